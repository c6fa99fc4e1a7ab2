//! A statement that failed, or was dropped, breaks its block, and nothing of a broken block is ever stored.

use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Cause, Error, ErrorKind};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, TransactionTrait};
use tokio::time::timeout;

use super::{
    Failure, Log, NOTHING, Stored, assert_clean, insert, number, numbers, on_postgres, pool, slow,
    things,
};
use crate::support::{on_every_backend_bare, on_sqlite_bare};

on_every_backend_bare! {
    /// H1, H2, H3: `Ok(7)` with the row on SQLite, `Ok(7)` without it on PostgreSQL, and Django's callbacks in both.
    async fn a_swallowed_error_ends_in_rolled_back_on_every_database(world: &World) {
        let db = things(world).await?;
        let log = Log::default();
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(log.hook("on_commit"));
            uow.after_rollback(log.rolled_back("after_rollback"));
            assert!(uow.execute_unprepared("INSERT INTO no_such_table VALUES (1)").await.is_err());
            Ok::<_, Failure>(7)
        });
        let failed = failed.await.unwrap_err();
        assert!(matches!(failed.refusal(), Error::RolledBack { cause: Cause::Statement(_) }));
        assert_eq!(failed.kind(), Some(ErrorKind::UndefinedTable));
        assert_eq!(numbers(db).await?, NOTHING);
        assert_eq!(log.entries(), ["after_rollback Broken"]);
    }

    /// H15: MariaDB would run it in autocommit. The other connection asks the server, not the unit of work.
    async fn nothing_after_an_error_reaches_the_server(world: &World) {
        let db = things(world).await?;
        let other = world.connect(1).await;
        insert(db, 1).await?;
        let failed = db.atomic(async |uow| {
            assert!(insert(uow, 1).await.is_err());
            for num in 10..20 {
                assert!(insert(uow, num).await.is_err());
            }
            assert!(uow.execute_unprepared("DROP TABLE thing").await.is_err());
            assert_eq!(numbers(&other).await?, [1]);
            let one: Result<_, DbErr> = uow.atomic(async |uow| insert(uow, 20).await).await;
            assert!(one.is_err());
            Ok::<_, Failure>(())
        });
        assert!(failed.await.is_err());
        assert_eq!(numbers(&other).await?, [1]);
    }

    /// H10: an error swallowed around a merged block breaks the parent; around a savepoint it does not.
    async fn a_merged_block_that_failed_breaks_its_parent(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let inner = uow.merged(async |uow| {
                insert(uow, 2).await?;
                Err::<(), _>(Failure::Failed)
            });
            assert!(matches!(inner.await, Err(Failure::Failed)));
            let refused = insert(uow, 3).await.unwrap_err();
            assert!(matches!(
                Error::of(&refused),
                Some(Error::Broken { cause: Cause::MergedBlock })
            ));
            Ok::<_, Failure>(())
        });
        assert!(matches!(
            failed.await.unwrap_err().refusal(),
            Error::RolledBack { cause: Cause::MergedBlock }
        ));
        assert_eq!(numbers(db).await?, NOTHING);
    }

    /// `RolledBack` out of a merged block breaks the parent too, with what broke the block as the cause.
    async fn a_swallowed_error_in_a_merged_block_breaks_its_parent(world: &World) {
        let db = things(world).await?;
        insert(db, 1).await?;
        let failed = db.atomic(async |uow| {
            let inner: Result<(), Failure> = uow
                .merged(async |uow| {
                    assert!(insert(uow, 1).await.is_err());
                    Ok(())
                })
                .await;
            assert!(matches!(inner.unwrap_err().refusal(), Error::RolledBack { .. }));
            assert!(insert(uow, 2).await.is_err());
            Ok::<_, Failure>(())
        });
        assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::UniqueViolation));
        assert_eq!(numbers(db).await?, [1]);
    }

    /// H39: a statement cancelled by a timeout would show its error on the next one, or at COMMIT.
    async fn a_statement_dropped_by_a_timeout_breaks_its_block(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        let failed = pool.atomic(async |uow| {
            insert(uow, 1).await?;
            let cut =
                timeout(Duration::from_millis(100), uow.execute_unprepared(&slow(world, 1))).await;
            assert!(cut.is_err(), "it was to take longer: {cut:?}");
            let refused = insert(uow, 2).await.unwrap_err();
            assert!(matches!(
                Error::of(&refused),
                Some(Error::Broken { cause: Cause::StatementDropped })
            ));
            Ok::<_, Failure>(())
        });
        assert!(matches!(
            failed.await.unwrap_err().refusal(),
            Error::RolledBack { cause: Cause::StatementDropped }
        ));
        assert_eq!(numbers(db).await?, NOTHING);
        assert_clean(world, &pool, 3).await?;
    }

    /// The same within a savepoint: its rollback waits for the answer, takes it, and heals.
    async fn a_dropped_statement_is_healed_by_its_savepoint(world: &World) {
        let db = things(world).await?;
        insert(db, 1).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 2).await?;
            let inner: Result<(), Failure> = uow
                .atomic(async |uow| {
                    insert(uow, 3).await?;
                    let cut = timeout(
                        Duration::from_millis(100),
                        uow.execute_unprepared(&slow(world, 1)),
                    )
                    .await;
                    assert!(cut.is_err());
                    Ok(())
                })
                .await;
            assert!(matches!(
                inner.unwrap_err().refusal(),
                Error::RolledBack { cause: Cause::StatementDropped }
            ));
            insert(uow, 4).await?;
            // The same with a prepared statement, dropped in one of its two round trips, and an error nobody reads.
            for polls in 1..6 {
                let inner: Result<(), Failure> = uow
                    .atomic(async |uow| {
                        let duplicate = sea_orm::Statement::from_sql_and_values(
                            uow.get_database_backend(),
                            if world.database() == crate::support::Database::Postgres {
                                "INSERT INTO thing VALUES ($1)"
                            } else {
                                "INSERT INTO thing VALUES (?)"
                            },
                            [1.into()],
                        );
                        super::cancel::polled(polls, uow.execute_raw(duplicate)).await;
                        Err(Failure::Failed)
                    })
                    .await;
                assert!(matches!(inner, Err(Failure::Failed)));
                insert(uow, 10 + polls as i32).await?;
            }
            Ok::<_, Failure>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 2, 4, 11, 12, 13, 14, 15]);
    }

    /// One of several statements of one task fails: the others are done before it or refused, and the block is broken.
    async fn statements_that_are_joined_break_together(world: &World) {
        let db = things(world).await?;
        insert(db, 3).await?;
        let failed = db.atomic(async |uow| {
            let all = (1..=5).map(|num| insert(uow, num));
            let results = futures::future::join_all(all).await;
            let ok: Vec<_> = results.iter().map(Result::is_ok).collect();
            assert_eq!(ok, [true, true, false, false, false]);
            Ok::<_, Failure>(())
        });
        assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::UniqueViolation));
        assert_eq!(numbers(db).await?, [3]);
    }

    /// SeaORM's `RecordNotInserted` and its like come from SeaORM: the database refused nothing.
    async fn a_missing_row_breaks_nothing(world: &World) {
        let db = things(world).await?;
        super::locks::items(world, 1).await?;
        let done = db.atomic(async |uow| {
            let missing =
                super::locks::item::ActiveModel { id: sea_orm::Set(99), amount: sea_orm::Set(1) };
            let error = super::locks::item::Entity::update(missing).exec(uow).await.unwrap_err();
            assert!(matches!(error, DbErr::RecordNotUpdated), "{error:?}");
            assert!(uow.refusal().is_none());
            insert(uow, 1).await?;
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1]);
    }
}

on_postgres! {
    /// A constraint that is judged at COMMIT: refused, with the reason, and no callback.
    async fn a_commit_that_the_database_refuses_is_told_as_such(world: &World) {
        let db = things(world).await?;
        db.execute_unprepared("CREATE TABLE one (n INT UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            .await?;
        let log = Log::default();
        let pool = world.connect(1).await;
        let failed = pool.atomic(async |uow| {
            uow.on_commit(log.hook("on_commit"));
            uow.after_rollback(log.rolled_back("after_rollback"));
            uow.execute_unprepared("INSERT INTO one VALUES (1), (1)").await?;
            Ok::<_, Failure>(())
        });
        let failed = failed.await.unwrap_err();
        assert!(matches!(failed.refusal(), Error::CommitRefused { .. }));
        assert_eq!(failed.kind(), Some(ErrorKind::UniqueViolation));
        assert_eq!(log.entries(), ["after_rollback CommitRefused"]);
        assert_clean(world, &pool, 1).await?;
    }

    /// The server answered COMMIT with an error, whatever its code: that is a proof, and nothing is unknown.
    async fn a_commit_refused_with_a_code_of_the_hosts_own_is_refused_and_not_unknown(world: &World) {
        let db = things(world).await?;
        db.execute_unprepared(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'HO001'; END $$",
        )
        .await?;
        db.execute_unprepared(
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON thing
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await?;
        let failed =
            db.atomic(async |uow| insert(uow, 1).await.map_err(Failure::from)).await.unwrap_err();
        assert!(matches!(failed.refusal(), Error::CommitRefused { .. }), "{failed:?}");
        assert_eq!(numbers(db).await?, NOTHING);
    }

    /// So is a COMMIT that an administrator cancels while a deferred trigger runs: nothing is stored yet.
    async fn a_commit_cancelled_by_an_administrator_is_refused_and_not_unknown(world: &World) {
        let db = things(world).await?;
        db.execute_unprepared(
            "CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(20); RETURN NULL; END $$",
        )
        .await?;
        db.execute_unprepared(
            "CREATE CONSTRAINT TRIGGER doze AFTER INSERT ON thing
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION doze()",
        )
        .await?;
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        let (failed, ()) = tokio::join!(
            db.atomic(async |uow| insert(uow, 1).await.map_err(Failure::from)),
            super::until("COMMIT sleeps", async || number(db, cancel).await == Ok(1)),
        );
        let failed = failed.unwrap_err();
        assert!(matches!(failed.refusal(), Error::CommitRefused { .. }), "{failed:?}");
        assert_eq!(failed.kind(), Some(ErrorKind::StatementTimeout));
        assert_eq!(numbers(db).await?, NOTHING);
    }
}

on_sqlite_bare! {
    /// SQLite keeps the transaction open when it refuses COMMIT: the pool must not get it back that way.
    async fn a_foreign_key_refused_at_commit_leaves_a_clean_connection(world: &World) {
        let db = things(world).await?;
        db.execute_unprepared(
            "CREATE TABLE child (num INTEGER REFERENCES thing (num) DEFERRABLE INITIALLY DEFERRED)",
        )
        .await?;
        let pool = world.connect(1).await;
        for num in 0..3 {
            let failed = pool.atomic(async |uow| {
                insert(uow, 100).await?;
                uow.execute_unprepared("INSERT INTO child VALUES (7)").await?;
                Ok::<_, Failure>(())
            });
            let failed = failed.await.unwrap_err();
            assert!(matches!(failed.refusal(), Error::CommitRefused { .. }), "{failed:?}");
            assert_eq!(failed.kind(), Some(ErrorKind::ForeignKeyViolation));
            assert_clean(world, &pool, num).await?;
        }
        assert_eq!(numbers(db).await?, [0, 1, 2]);
    }

    /// H35: without a write-ahead log COMMIT waits for readers, and gives up.
    async fn a_commit_refused_because_of_a_reader_leaves_a_clean_connection(world: &World) {
        let url = format!("{}.rollback-journal?mode=rwc", world.url());
        let db = pool(&url, 1, |options| {
            options.map_sqlx_sqlite_opts(|options| {
                options.busy_timeout(Duration::from_millis(50)).pragma("journal_mode", "DELETE")
            });
        })
        .await;
        let reader = pool(&url, 1, |_| {}).await;
        db.execute_unprepared("CREATE TABLE thing (num INTEGER UNIQUE)").await?;
        let reading = reader.begin().await?;
        assert_eq!(numbers(&reading).await?, NOTHING);
        let failed =
            db.atomic(async |uow| insert(uow, 1).await.map_err(Failure::from)).await.unwrap_err();
        assert!(matches!(failed.refusal(), Error::CommitRefused { .. }), "{failed:?}");
        assert!(failed.refusal().is_retryable());
        reading.rollback().await?;
        insert(&db, 2).await?;
        assert_eq!(numbers(&reader).await?, [2]);
        db.close().await?;
        reader.close().await?;
    }

    /// `OR ROLLBACK`, `ON CONFLICT ROLLBACK` and `RAISE(ROLLBACK)` end the transaction inside SQLite, behind everybody's back.
    async fn a_statement_that_ends_the_transaction_leaves_a_clean_connection(world: &World) {
        let db = things(world).await?;
        db.execute_unprepared("CREATE TABLE strict (n INTEGER UNIQUE ON CONFLICT ROLLBACK)")
            .await?;
        db.execute_unprepared("INSERT INTO strict VALUES (1)").await?;
        db.execute_unprepared(
            "CREATE TRIGGER no BEFORE DELETE ON strict BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
        )
        .await?;
        insert(db, 1).await?;
        let enders = [
            "INSERT OR ROLLBACK INTO thing VALUES (1)",
            "INSERT INTO strict VALUES (1)",
            "DELETE FROM strict",
        ];
        for (num, ender) in (10..).step_by(10).zip(enders) {
            let pool = world.connect(1).await;
            for nested in [false, true] {
                let failed = pool.atomic(async |uow| {
                    insert(uow, 1_000).await?;
                    if nested {
                        let inner: Result<_, DbErr> =
                            uow.atomic(async |uow| uow.execute_unprepared(ender).await).await;
                        assert!(inner.is_err());
                    } else {
                        assert!(uow.execute_unprepared(ender).await.is_err());
                    }
                    // The server is in autocommit now: nothing may reach it.
                    assert!(insert(uow, 1_001).await.is_err(), "{ender}, nested: {nested}");
                    Ok::<_, Failure>(())
                });
                let failed = failed.await.unwrap_err();
                assert!(
                    matches!(failed.refusal(), Error::RolledBack { .. }),
                    "{ender}: {failed:?}"
                );
                let next = assert_clean(world, &pool, num + i32::from(nested)).await;
                assert!(next.is_ok(), "{ender}, nested: {nested}: {next:?}");
                let again = pool.atomic(async |uow| insert(uow, num + 5 + i32::from(nested)).await);
                again
                    .await
                    .unwrap_or_else(|error| panic!("{ender}, nested: {nested}: {error:?}"))
                    .stored();
            }
        }
        assert_eq!(number(db, "SELECT count(*) FROM thing").await?, 13);
    }
}
