//! `ErrorKind::of`, each kind provoked for real on each database that has it (H22).

use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Error, ErrorKind};
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, DbErr, IsolationLevel, TransactionTrait,
};

use super::locks::{items, while_locked};
use super::{
    Failure, Stored, backend_id, insert, kill, number, on_mariadb, on_postgres, on_servers, pool,
    slow, things,
};
use crate::support::{Database, on_every_backend_bare, on_sqlite_bare};

/// The kind of the error that a statement must give.
async fn kind(connection: &impl ConnectionTrait, sql: &str) -> ErrorKind {
    let error = connection.execute_unprepared(sql).await.expect_err(sql);
    let kind = ErrorKind::of(&error);
    if kind == ErrorKind::Other {
        println!("{sql}: {error:?}");
    }
    kind
}

on_every_backend_bare! {
    async fn constraints_are_told_apart(world: &World) {
        let db = world.db();
        db.execute_unprepared("CREATE TABLE parent (id INTEGER PRIMARY KEY)").await?;
        db.execute_unprepared(
            "CREATE TABLE row_of (id INTEGER PRIMARY KEY, parent INTEGER, num INTEGER NOT NULL CHECK (num > 0), word VARCHAR(9) UNIQUE,
             FOREIGN KEY (parent) REFERENCES parent (id))",
        ).await?;
        db.execute_unprepared("INSERT INTO parent VALUES (1)").await?;
        db.execute_unprepared("INSERT INTO row_of VALUES (1, 1, 1, 'a')").await?;
        assert_eq!(
            kind(db, "INSERT INTO row_of VALUES (1, 1, 1, 'b')").await,
            ErrorKind::UniqueViolation,
            "primary key"
        );
        assert_eq!(
            kind(db, "INSERT INTO row_of VALUES (2, 1, 1, 'a')").await,
            ErrorKind::UniqueViolation,
            "unique"
        );
        assert_eq!(kind(db, "UPDATE row_of SET num = 0").await, ErrorKind::CheckViolation);
        assert_eq!(
            kind(db, "INSERT INTO row_of VALUES (3, 9, 1, 'c')").await,
            ErrorKind::ForeignKeyViolation,
            "no parent"
        );
        assert_eq!(kind(db, "DELETE FROM parent").await, ErrorKind::ForeignKeyViolation, "a child");
        assert_eq!(
            kind(db, "INSERT INTO row_of VALUES (4, 1, NULL, 'd')").await,
            ErrorKind::NotNullViolation,
            "null"
        );
        assert_eq!(
            kind(db, "INSERT INTO row_of (id, parent, word) VALUES (5, 1, 'e')").await,
            ErrorKind::NotNullViolation,
            "no default"
        );
        assert_eq!(kind(db, "SELECT * FROM no_such_table").await, ErrorKind::UndefinedTable);
        assert_eq!(kind(db, "SELECT no_such_column FROM parent").await, ErrorKind::UndefinedTable);
        assert_eq!(
            kind(db, "INSERT INTO no_such_table VALUES (1)").await,
            ErrorKind::UndefinedTable
        );
        assert_eq!(kind(db, "this is no SQL").await, ErrorKind::Other);
        assert_eq!(ErrorKind::of(&DbErr::Custom("not the database".to_owned())), ErrorKind::Other);
    }

    async fn a_trigger_that_refuses_is_told(world: &World) {
        let db = things(world).await?;
        match world.database() {
            Database::Sqlite => {
                db.execute_unprepared(
                    "CREATE TRIGGER no BEFORE DELETE ON thing BEGIN SELECT RAISE(ABORT, 'no'); END",
                )
                .await?;
            }
            Database::Mariadb => {
                db.execute_unprepared(
                    "CREATE TRIGGER no BEFORE DELETE ON thing FOR EACH ROW SIGNAL SQLSTATE '45000'",
                )
                .await?;
            }
            Database::Postgres => {
                db.execute_unprepared("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$").await?;
                db.execute_unprepared(
                    "CREATE TRIGGER no BEFORE DELETE ON thing FOR EACH ROW EXECUTE FUNCTION no()",
                )
                .await?;
            }
        }
        insert(db, 1).await?;
        assert_eq!(kind(db, "DELETE FROM thing").await, ErrorKind::TriggerRefusal);
        let failed = db.atomic(async |uow| {
            uow.execute_unprepared("DELETE FROM thing").await.map(drop).map_err(Failure::from)
        });
        assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::TriggerRefusal));
    }

    async fn a_read_only_unit_of_work_refuses_to_write(world: &World) {
        let db = things(world).await?;
        let root = db.unit_of_work().access_mode(AccessMode::ReadOnly);
        let failed = root.atomic(async |uow| insert(uow, 1).await.map_err(Failure::from));
        assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::ReadOnly));
    }

    async fn a_pool_without_a_free_connection_times_out(world: &World) {
        things(world).await?;
        let pool = pool(world.url(), 1, |options| {
            options.acquire_timeout(Duration::from_secs(1));
        })
        .await;
        let held = pool.begin().await?;
        assert_eq!(kind(&pool, "SELECT 1").await, ErrorKind::PoolTimeout);
        let refused = pool.atomic(async |_| Ok::<_, Failure>(())).await.unwrap_err();
        assert!(matches!(refused.refusal(), Error::Begin { .. }));
        assert_eq!(refused.kind(), Some(ErrorKind::PoolTimeout));
        held.rollback().await?;
        pool.close().await?;
        let closed = world.connect(1).await;
        closed.clone().close().await?;
        assert_eq!(kind(&closed, "SELECT 1").await, ErrorKind::PoolClosed);
    }
}

on_servers! {
    async fn locks_and_timeouts_are_told_apart(world: &World) {
        items(world, 1).await?;
        let short = world.db().unit_of_work().lock_timeout(Duration::from_millis(100));
        while_locked(world, 1, async || {
            let update = short.atomic(async |uow| {
                uow.execute_unprepared("UPDATE item SET amount = 1")
                    .await
                    .map(drop)
                    .map_err(Failure::from)
            });
            assert_eq!(update.await.unwrap_err().kind(), Some(ErrorKind::LockTimeout));
            let nowait = world.db().atomic(async |uow| {
                Err::<(), _>(Failure::from(
                    uow.execute_unprepared("SELECT * FROM item FOR UPDATE NOWAIT")
                        .await
                        .unwrap_err(),
                ))
            });
            assert_eq!(nowait.await.unwrap_err().kind(), Some(ErrorKind::LockTimeout));
            Ok(())
        })
        .await?;
        let limited = world.db().unit_of_work().statement_timeout(Duration::from_millis(100));
        let text = match world.database() {
            // SLEEP is cut short there and says so with a 1: a statement that computes is what the limit is for.
            Database::Mariadb => "SELECT count(*) FROM information_schema.columns a JOIN information_schema.columns b JOIN information_schema.columns c".to_owned(),
            _ => slow(world, 5),
        };
        let failed = limited.atomic(async |uow| {
            uow.execute_unprepared(&text).await.map(drop).map_err(Failure::from)
        });
        assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::StatementTimeout));
    }

    async fn a_statement_cancelled_by_an_administrator_is_a_timeout(world: &World) {
        let pool = world.connect(1).await;
        let id = backend_id(world, &pool).await?;
        let text = slow(world, 20);
        let running = tokio::spawn(async move {
            pool.query_all_raw(sea_orm::Statement::from_string(
                pool.get_database_backend(),
                format!("{text} FROM (SELECT 1) one WHERE 1 = 1"),
            ))
            .await
            .map(|rows| rows.len())
        });
        let (cancel, active) = match world.database() {
            Database::Postgres => (
                format!("SELECT pg_cancel_backend({id})"),
                format!(
                    "SELECT count(*) FROM pg_stat_activity WHERE pid = {id} AND wait_event = 'PgSleep'"
                ),
            ),
            _ => (
                format!("KILL QUERY {id}"),
                format!(
                    "SELECT count(*) FROM information_schema.processlist WHERE id = {id} AND state = 'User sleep'"
                ),
            ),
        };
        super::until("it sleeps", async || number(world.db(), &active).await == Ok(1)).await;
        world.db().execute_unprepared(&cancel).await?;
        match running.await? {
            Err(error) => {
                assert_eq!(ErrorKind::of(&error), ErrorKind::StatementTimeout, "{error:?}")
            }
            // MariaDB's SLEEP answers 1 when it is interrupted.
            Ok(rows) => assert_eq!((world.database(), rows), (Database::Mariadb, 1)),
        }
    }

    async fn a_killed_connection_is_lost(world: &World) {
        let pool = world.connect(1).await;
        let raw = pool.begin().await?;
        kill(world, backend_id(world, &raw).await?).await?;
        assert_eq!(kind(&raw, "SELECT 1").await, ErrorKind::ConnectionLost);
        drop(raw);
        assert!(pool.execute_unprepared("SELECT 1").await.is_ok());
    }

    async fn deadlock_is_told(world: &World) {
        items(world, 2).await?;
        let results = super::deadlock::crosswise(world, |db, first, second, barrier| async move {
            db.atomic(async |uow| super::deadlock::lock_both(uow, first, second, &barrier).await)
                .await
                .map(|done| done.into_value())
        });
        let kinds: Vec<_> = results
            .await
            .iter()
            .filter_map(|result| result.as_ref().err().map(ErrorKind::of))
            .collect();
        assert_eq!(kinds, [ErrorKind::Deadlock]);
    }
}

on_postgres! {
    /// Write skew: each reads what the other writes. One of the two is refused, at a statement or at COMMIT.
    async fn serialization_is_told_and_can_be_retried(world: &World) {
        items(world, 2).await?;
        let results = super::deadlock::crosswise(world, |db, read, write, barrier| async move {
            let root = db.unit_of_work().isolation(IsolationLevel::Serializable);
            let done = root.atomic(async |uow| {
                number(uow, &format!("SELECT amount FROM item WHERE id = {read}")).await?;
                barrier.wait().await;
                uow.execute_unprepared(&format!("UPDATE item SET amount = 0 WHERE id = {write}"))
                    .await?;
                Ok::<_, Failure>(())
            });
            done.await.map(|done| done.into_value())
        });
        let results = results.await;
        let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(failed.len(), 1, "{results:?}");
        assert_eq!(failed[0].kind(), Some(ErrorKind::Serialization));
        if let Failure::Refused(refusal) = failed[0] {
            assert!(
                matches!(refusal, Error::CommitRefused { .. }) && refusal.is_retryable(),
                "{refusal:?}"
            );
        }
    }

    async fn an_idle_transaction_that_the_server_ends_is_lost(world: &World) {
        let failed = world.db().atomic(async |uow| {
            uow.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 50").await?;
            tokio::time::sleep(Duration::from_millis(400)).await;
            Ok::<_, Failure>(uow.execute_unprepared("SELECT 1").await.map(drop)?)
        });
        assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::ConnectionLost));
    }
}

on_postgres! {
    /// What a server says that goes down, starts, has crashed, or has no room. It is said here by a statement.
    async fn a_server_that_serves_nobody_is_told(world: &World) {
        for (codes, expected) in [
            (&["57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "08006", "08003"][..], ErrorKind::ConnectionLost),
            (&["53300"], ErrorKind::TooManyConnections),
            (&["53100", "53200"], ErrorKind::Full),
        ] {
            for code in codes {
                let raise = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
                assert_eq!(kind(world.db(), &raise).await, expected, "{code}");
            }
        }
    }

    /// The pool waits for room, and says in the end that there was none.
    async fn an_account_without_room_for_a_connection_times_out(world: &World) {
        let admin = world.db();
        let name = format!("al_narrow_{}", std::process::id());
        let create = format!("CREATE ROLE {name} LOGIN PASSWORD 'narrow' CONNECTION LIMIT 0");
        admin.execute_unprepared(&create).await?;
        let (_, address) = world.url().split_once('@').expect("a user in the URL");
        let url = format!("postgres://{name}:narrow@{address}");
        let mut options = ConnectOptions::new(url);
        options.connect_lazy(true).acquire_timeout(Duration::from_secs(1)).sqlx_logging(false);
        let pool = sea_orm::Database::connect(options).await?;
        assert_eq!(kind(&pool, "SELECT 1").await, ErrorKind::PoolTimeout);
        admin.execute_unprepared(&format!("DROP ROLE {name}")).await?;
    }
}

on_mariadb! {
    async fn a_server_that_serves_nobody_is_told_by_its_number(world: &World) {
        for (numbers, expected) in [
            (&[1047, 1053, 1077, 1079, 1152, 1184, 1927, 2006, 2013][..], ErrorKind::ConnectionLost),
            (&[1040, 1203, 1226], ErrorKind::TooManyConnections),
            (&[1021, 1041, 1114], ErrorKind::Full),
        ] {
            for number in numbers {
                let raise = format!("SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}");
                assert_eq!(kind(world.db(), &raise).await, expected, "{number}");
            }
        }
    }

    /// There the pool tells at once.
    async fn an_account_without_room_for_a_connection_is_told(world: &World) {
        let admin = world.db();
        let name = format!("al_narrow_{}", std::process::id());
        let create = format!("CREATE USER {name} IDENTIFIED BY 'narrow' WITH MAX_USER_CONNECTIONS 1");
        admin.execute_unprepared(&create).await?;
        let (_, address) = world.url().split_once('@').expect("a user in the URL");
        let (host, _) = address.rsplit_once('/').expect("a database in the URL");
        let mut options = ConnectOptions::new(format!("mysql://{name}:narrow@{host}/information_schema"));
        options.connect_lazy(true).max_connections(2).sqlx_logging(false);
        let pool = sea_orm::Database::connect(options).await?;
        let first = pool.begin().await?;
        let refused = pool.atomic(async |_| Ok::<_, Failure>(())).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorKind::TooManyConnections));
        assert!(matches!(refused.refusal(), Error::Begin { .. }) && refused.refusal().is_retryable());
        first.rollback().await?;
        // Tried again until the pool has the first one back.
        let retry = auction_ledger::unit_of_work::Retry::new().attempts(100);
        retry.atomic(pool.unit_of_work(), async |_| Ok::<_, Failure>(())).await?.stored();
        pool.close().await?;
        admin.execute_unprepared(&format!("DROP USER {name}")).await?;
    }

    async fn a_full_table_is_told(world: &World) {
        let pool = world.connect(1).await;
        pool.execute_unprepared("SET SESSION max_heap_table_size = 16384").await?;
        pool.execute_unprepared("CREATE TABLE small (text CHAR(250)) ENGINE = MEMORY").await?;
        let fill = "INSERT INTO small SELECT 'x' FROM information_schema.columns LIMIT 1000";
        assert_eq!(kind(&pool, fill).await, ErrorKind::Full);
    }
}

on_sqlite_bare! {
    async fn busy_and_serialization_are_told_apart(world: &World) {
        let db = things(world).await?;
        let impatient = pool(world.url(), 2, |options| {
            options.map_sqlx_sqlite_opts(|options| options.busy_timeout(Duration::from_millis(50)));
        })
        .await;
        let reader = impatient.begin().await?; // deferred, as SeaORM begins
        number(&reader, "SELECT count(*) FROM thing").await?;
        insert(db, 1).await?;
        // 517: a reader turns writer after another writer.
        assert_eq!(kind(&reader, "INSERT INTO thing VALUES (2)").await, ErrorKind::Serialization);
        reader.rollback().await?;
        let done = db.atomic(async |uow| {
            insert(uow, 3).await?;
            assert_eq!(
                kind(&impatient, "INSERT INTO thing VALUES (4)").await,
                ErrorKind::LockTimeout
            );
            let busy = impatient.atomic(async |_| Ok::<_, Failure>(())).await.unwrap_err();
            assert!(matches!(busy.refusal(), Error::Begin { .. }) && busy.refusal().is_retryable());
            assert_eq!(busy.kind(), Some(ErrorKind::LockTimeout));
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        impatient.close().await?;
    }

    /// SQLite may roll back by itself when it is full: nothing is stored, and the connection is clean.
    async fn a_full_database_is_told_and_leaves_a_clean_connection(world: &World) {
        let db = things(world).await?;
        db.execute_unprepared("CREATE TABLE blob (bytes BLOB)").await?;
        let pool = world.connect(1).await;
        let fill = "INSERT INTO blob SELECT randomblob(4000) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i FROM n)";
        for (num, nested) in [(1, false), (2, true)] {
            pool.execute_unprepared("PRAGMA max_page_count = 20").await?;
            let failed = pool.atomic(async |uow| {
                insert(uow, 100).await?;
                if nested {
                    let inner: Result<_, DbErr> =
                        uow.atomic(async |uow| uow.execute_unprepared(fill).await).await;
                    assert_eq!(ErrorKind::of(&inner.unwrap_err()), ErrorKind::Full);
                } else {
                    assert_eq!(kind(uow, fill).await, ErrorKind::Full);
                }
                assert!(insert(uow, 101).await.is_err());
                Ok::<_, Failure>(())
            });
            assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::Full));
            pool.execute_unprepared("PRAGMA max_page_count = 100000").await?;
            super::assert_clean(world, &pool, num).await?;
            pool.atomic(async |uow| insert(uow, num + 10).await).await?.stored();
        }
        assert_eq!(super::numbers(db).await?, [1, 2, 11, 12]);
    }

    async fn a_read_only_file_is_told(world: &World) {
        things(world).await?;
        let reader = pool(&format!("{}?mode=ro", world.url()), 1, |_| {}).await;
        assert_eq!(kind(&reader, "INSERT INTO thing VALUES (1)").await, ErrorKind::ReadOnly);
        reader.close().await?;
    }
}
