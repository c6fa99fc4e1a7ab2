//! Options of the root, and that none of them outlives it on the pooled connection.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use auction_ledger::unit_of_work::{Atomic, Error, ErrorKind, Retry, Root, UnitOfWork};
use futures::FutureExt;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DbErr, IsolationLevel, TransactionTrait,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::locks::{item, items, while_locked};
use super::{
    Failure, NOTHING, Stored, assert_clean, drop_at, insert, number, numbers, on_mariadb,
    on_servers, pool, stay, text, things,
};
use crate::support::{Database, World, on_every_backend_bare, on_sqlite_bare};

const LEVELS: [(IsolationLevel, &str); 4] = [
    (IsolationLevel::ReadUncommitted, "read uncommitted"),
    (IsolationLevel::ReadCommitted, "read committed"),
    (IsolationLevel::RepeatableRead, "repeatable read"),
    (IsolationLevel::Serializable, "serializable"),
];

/// The isolation level that the server has given to this transaction: by its word, or by its deeds.
async fn level(world: &World, uow: &UnitOfWork) -> Result<String, DbErr> {
    if world.database() == Database::Postgres {
        return text(uow, "SELECT current_setting('transaction_isolation')").await;
    }
    let count = "SELECT count(*) FROM item";
    let before = number(uow, count).await?;
    let other = world.connect(1).await.begin().await?;
    let level = if other.execute_unprepared("SELECT * FROM item FOR UPDATE NOWAIT").await.is_err() {
        other.rollback().await?;
        "serializable" // plain reads lock
    } else {
        other.execute_unprepared(&format!("INSERT INTO item VALUES ({}, 0)", before + 1)).await?;
        let sees_what_is_not_committed = number(uow, count).await? > before;
        other.commit().await?;
        match (sees_what_is_not_committed, number(uow, count).await? > before) {
            (true, _) => "read uncommitted",
            (false, true) => "read committed",
            (false, false) => "repeatable read",
        }
    };
    Ok(level.to_owned())
}

/// Ends a root in every way there is.
async fn end_in_every_way(
    root: impl Fn() -> Root,
    mut then: impl AsyncFnMut(&str) -> Result<(), DbErr>,
) -> Result<(), DbErr> {
    root().atomic(async |_| Ok::<_, DbErr>(())).await?.stored();
    then("Ok").await?;
    assert!(root().atomic(async |_| Err::<(), _>(Failure::Failed)).await.is_err());
    then("Err").await?;
    let panicking = root().atomic(async |_| -> Result<(), Failure> { panic!("on purpose") });
    assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());
    then("a panic").await?;
    let veto = root().atomic(async |uow| {
        uow.before_commit(async |_| Err::<(), _>(Failure::Failed));
        Ok::<_, Failure>(())
    });
    assert!(veto.await.is_err());
    then("a veto").await?;
    let there = Notify::new();
    drop_at(&there, root().atomic(async |_| stay::<Result<(), Failure>>(&there).await)).await;
    then("a drop").await?;
    let only = root().atomic(async |uow| {
        uow.set_rollback_only();
        Ok::<_, Failure>(())
    });
    assert!(only.await.is_err());
    then("Ok of a rollback-only block").await?;
    let broken = root().atomic(async |uow| {
        assert!(uow.execute_unprepared("nonsense").await.is_err());
        Ok::<_, Failure>(())
    });
    assert!(broken.await.is_err());
    then("Ok of a broken block").await?;
    let child_open = root().atomic(async |uow| {
        std::mem::forget(uow.begin().await?);
        Ok::<_, Failure>(())
    });
    assert!(child_open.await.is_err());
    then("Ok with a child open").await
}

fn read_only(pool: &DatabaseConnection) -> Root {
    pool.unit_of_work().access_mode(AccessMode::ReadOnly)
}

on_every_backend_bare! {
    async fn a_read_only_unit_of_work_reads_and_refuses_to_write(world: &World) {
        let db = things(world).await?;
        insert(db, 1).await?;
        let done = read_only(db).atomic(async |uow| {
            assert_eq!(numbers(uow).await?, [1]);
            let inner: Result<_, DbErr> = uow.atomic(async |uow| insert(uow, 2).await).await;
            assert_eq!(ErrorKind::of(&inner.unwrap_err()), ErrorKind::ReadOnly);
            numbers(uow).await
        });
        assert_eq!(*done.await?, [1]);
        let done = db
            .unit_of_work()
            .access_mode(AccessMode::ReadWrite)
            .atomic(async |uow| insert(uow, 3).await);
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 3]);
    }

    /// However it ended: on SQLite it is a setting of the connection.
    async fn read_only_ends_with_the_root_however_it_ended(world: &World) {
        things(world).await?;
        let pool = world.connect(1).await;
        let mut num = 0;
        let mut left = Vec::new();
        end_in_every_way(
            || read_only(&pool),
            async |how| {
                num += 1;
                if let Err(error) = assert_clean(world, &pool, num).await {
                    left.push(format!("{how}: {error}"));
                    if world.database() == Database::Sqlite {
                        pool.execute_unprepared("PRAGMA query_only = OFF").await?;
                    }
                }
                Ok(())
            },
        )
        .await?;
        assert!(left.is_empty(), "the next user cannot write after {left:#?}");
    }

    async fn a_name_and_an_attempt_are_known_inside(world: &World) {
        let db = world.db();
        let named = db.unit_of_work().name("settle").atomic(async |uow| {
            assert_eq!((uow.name(), uow.attempt()), (Some("settle"), 1));
            uow.atomic(async |uow| {
                assert_eq!(uow.name(), Some("settle"));
                Ok::<_, DbErr>(())
            })
            .await
        });
        named.await?.stored();
        let retry = Retry::new();
        let unnamed = retry
            .atomic(db.unit_of_work(), async |uow| Ok::<_, DbErr>(uow.name().map(str::to_owned)));
        assert_eq!(*unnamed.await?, None);
    }

    /// Longer than the database can count is as good as for ever, and nothing at all is not for ever.
    async fn extreme_lock_timeouts_are_no_errors(world: &World) {
        let db = things(world).await?;
        for (num, limit) in [(1, Duration::MAX), (2, Duration::from_secs(60 * 60 * 24 * 365))] {
            let done =
                db.unit_of_work().lock_timeout(limit).atomic(async |uow| insert(uow, num).await);
            done.await.unwrap_or_else(|error| panic!("{limit:?}: {error:?}")).stored();
        }
        assert_eq!(numbers(db).await?, [1, 2]);
    }
}

on_servers! {
    async fn the_isolation_level_is_the_one_asked_for(world: &World) {
        items(world, 1).await?;
        let pool = world.connect(1).await;
        for (asked, expected) in LEVELS {
            let done =
                pool.unit_of_work().isolation(asked).atomic(async |uow| level(world, uow).await);
            assert_eq!(*done.await?, expected);
            // H24: READ COMMITTED unless asked otherwise, also after a unit of work that asked.
            let done = pool.atomic(async |uow| level(world, uow).await);
            assert_eq!(*done.await?, "read committed");
        }
    }

    /// Set for one unit of work, and not for the next user of the connection.
    async fn timeouts_are_set_and_end_with_the_root_however_it_ended(world: &World) {
        let pool = world.connect(1).await;
        let settings = match world.database() {
            Database::Postgres => {
                "SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')"
            }
            _ => {
                "SELECT CONCAT(@@SESSION.innodb_lock_wait_timeout, ' ', @@SESSION.max_statement_time)"
            }
        };
        if world.database() == Database::Mariadb {
            pool.execute_unprepared(
                "SET SESSION innodb_lock_wait_timeout = 33, max_statement_time = 44.5",
            )
            .await?;
        }
        let before = text(&pool, settings).await?;
        let root = || {
            pool.unit_of_work()
                .lock_timeout(Duration::from_millis(1_500))
                .statement_timeout(Duration::from_millis(2_750))
        };
        let inside = root().atomic(async |uow| text(uow, settings).await).await?;
        // MariaDB counts the lock timeout in whole seconds, rounded up.
        assert_eq!(
            *inside,
            if world.database() == Database::Postgres { "1500ms 2750ms" } else { "2 2.750000" }
        );
        let mut left = Vec::new();
        end_in_every_way(root, async |how| {
            let after = text(&pool, settings).await?;
            if after != before {
                left.push(format!("{how}: {after}"));
            }
            if world.database() == Database::Mariadb {
                pool.execute_unprepared(
                    "SET SESSION innodb_lock_wait_timeout = 33, max_statement_time = 44.5",
                )
                .await?;
            }
            Ok(())
        })
        .await?;
        assert!(left.is_empty(), "it was {before}, and is left behind by {left:#?}");
    }

    async fn a_statement_timeout_ends_the_statement_and_breaks_the_block(world: &World) {
        let db = things(world).await?;
        let root = db.unit_of_work().statement_timeout(Duration::from_millis(100));
        let start = Instant::now();
        let failed = root.atomic(async |uow| {
            insert(uow, 1).await?;
            let many = "SELECT count(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c";
            assert_eq!(ErrorKind::of(&uow.execute_unprepared(many).await.unwrap_err()), ErrorKind::StatementTimeout);
            assert!(insert(uow, 2).await.is_err());
            Ok::<_, Failure>(())
        });
        let failed = failed.await.unwrap_err();
        assert_eq!(failed.kind(), Some(ErrorKind::StatementTimeout));
        assert!(!failed.refusal().is_retryable());
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(numbers(db).await?, NOTHING);
    }

    async fn a_lock_timeout_of_zero_does_not_wait_for_ever(world: &World) {
        items(world, 1).await?;
        while_locked(world, 1, async || {
            let root = world.db().unit_of_work().lock_timeout(Duration::ZERO);
            let work = root
                .atomic(async |uow| uow.lock_one::<item::Entity>(1).await.map_err(Failure::from));
            let refused = timeout(Duration::from_secs(20), work)
                .await
                .expect("it waits for ever")
                .unwrap_err();
            assert!(matches!(refused.refusal(), Error::LockNotAvailable));
            Ok(())
        })
        .await?;
    }
}

on_mariadb! {
    /// `SET TRANSACTION` is for the next transaction only: what is refused before it must not leave it behind.
    async fn the_isolation_level_of_a_session_is_left_alone(world: &World) {
        items(world, 1).await?;
        let pool = world.connect(1).await;
        let isolation = "SELECT @@SESSION.tx_isolation";
        let before = text(&pool, isolation).await?;
        let done = pool
            .unit_of_work()
            .isolation(IsolationLevel::Serializable)
            .atomic(async |_| Ok::<_, DbErr>(()));
        done.await?.stored();
        assert_eq!(text(&pool, isolation).await?, before);
    }
}

on_sqlite_bare! {
    async fn a_statement_timeout_is_refused_before_anything_happens(world: &World) {
        let root = world.db().unit_of_work().statement_timeout(Duration::from_secs(1));
        let refused = root
            .atomic(async |_| -> Result<(), Failure> { panic!("it must not run") })
            .await
            .unwrap_err();
        assert!(matches!(refused.refusal(), Error::Unsupported { database: "sqlite", .. }));
        assert_eq!(refused.to_string(), "sqlite cannot limit the time of a statement");
    }

    /// It is always serializable, which keeps every level asked for.
    async fn every_isolation_level_is_kept(world: &World) {
        let db = things(world).await?;
        for (num, (asked, _)) in (0..).zip(LEVELS) {
            db.unit_of_work()
                .isolation(asked)
                .atomic(async |uow| insert(uow, num).await)
                .await?
                .stored();
        }
        assert_eq!(numbers(db).await?, [0, 1, 2, 3]);
    }

    /// The only wait is the one for the write lock; a pool that gave up late would still be clean.
    async fn the_lock_timeout_is_that_of_begin(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let start = Instant::now();
            let waiting = pool
                .unit_of_work()
                .lock_timeout(Duration::from_millis(200))
                .atomic(async |_| -> Result<(), Failure> { panic!("it must not run") });
            let refused = waiting.await.unwrap_err();
            assert!(
                matches!(refused.refusal(), Error::LockNotAvailable)
                    && refused.refusal().is_retryable()
            );
            assert!(start.elapsed() < Duration::from_secs(5));
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        // The BEGIN that was given up gets its lock now, and must let go of it.
        assert_clean(world, &pool, 2).await?;
        insert(db, 3).await?;
    }

    /// A read-only unit of work takes no lock: it reads while another one writes.
    async fn a_read_only_unit_of_work_does_not_wait_for_a_writer(world: &World) {
        let db = things(world).await?;
        let other = world.connect(1).await;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let reading = read_only(&other).atomic(async |uow| numbers(uow).await);
            assert_eq!(
                *timeout(Duration::from_secs(5), reading).await.expect("it waits")?,
                NOTHING
            );
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
    }

    /// The host's own setting is put back, not a default.
    async fn a_pool_that_only_reads_still_only_reads_afterwards(world: &World) {
        things(world).await?;
        let pool = pool(world.url(), 1, |options| {
            options.map_sqlx_sqlite_opts(|options| options.pragma("query_only", "ON"));
        })
        .await;
        assert_eq!(ErrorKind::of(&insert(&pool, 1).await.unwrap_err()), ErrorKind::ReadOnly);
        read_only(&pool).atomic(async |uow| numbers(uow).await).await?.stored();
        assert_eq!(
            ErrorKind::of(&insert(&pool, 1).await.expect_err("it writes")),
            ErrorKind::ReadOnly
        );
        pool.close().await?;
    }
}
