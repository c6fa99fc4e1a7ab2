//! Deadlocks and lock timeouts, provoked for real (H13, H15).

use std::sync::Arc;
use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Cause, Error, ErrorKind, LockWait, Retry, UnitOfWork};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, Set};
use tokio::sync::{Barrier, Notify};

use super::locks::{item, items, while_locked};
use super::{
    Failure, Log, NOTHING, Stored, insert, number, numbers, on_mariadb, on_postgres, on_servers,
    things,
};
use crate::support::{Database, World};

/// How many locking statements are on their way in this database: with the row held by somebody, they wait.
pub(super) async fn waiters(world: &World) -> i64 {
    let waiting = match world.database() {
        Database::Postgres => {
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        }
        _ => {
            // Not information_schema.innodb_trx: that view stays as it is for as long as somebody keeps asking.
            "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> CONNECTION_ID()
             AND command IN ('Query', 'Execute') AND info LIKE '%FOR UPDATE%'"
        }
    };
    number(world.db(), waiting).await.unwrap()
}

/// Two tasks lock the items 1 and 2 crosswise in `body`, which gets the first id, the second, and what lets both go on.
pub(super) async fn crosswise<T: Send + 'static, Fut>(
    world: &World,
    body: impl Fn(DatabaseConnection, i64, i64, Arc<Barrier>) -> Fut,
) -> Vec<T>
where
    Fut: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(2));
    let tasks = [(1, 2), (2, 1)].map(|(first, second)| {
        tokio::spawn(body(world.db().clone(), first, second, barrier.clone()))
    });
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

pub(super) async fn lock_both(
    uow: &UnitOfWork,
    first: i64,
    second: i64,
    barrier: &Barrier,
) -> Result<(), DbErr> {
    uow.lock_one::<item::Entity>(first).await?;
    if uow.attempt() == 1 {
        barrier.wait().await;
    }
    uow.lock_one::<item::Entity>(second).await?;
    Ok(())
}

on_servers! {
    /// H13: fatal for the root. The savepoint around it is gone with the transaction, so it cannot heal.
    async fn a_deadlock_is_fatal_for_the_root_on_every_server(world: &World) {
        things(world).await?;
        items(world, 2).await?;
        let other = Arc::new(world.connect(1).await);
        let results = crosswise(world, |db, first, second, barrier| {
            let other = other.clone();
            async move {
                db.atomic(async |uow| {
                    insert(uow, first as i32).await?;
                    let inner: Result<(), Failure> = uow
                        .atomic(async |uow| {
                            insert(uow, 10 + first as i32).await?;
                            Ok(lock_both(uow, first, second, &barrier).await?)
                        })
                        .await;
                    if let Err(error) = inner {
                        assert_eq!(error.kind(), Some(ErrorKind::Deadlock), "{error:?}");
                        // H15: in MariaDB the next statement would run in autocommit, seen by all.
                        let refused =
                            Failure::from(insert(uow, 20 + first as i32).await.unwrap_err());
                        assert!(matches!(
                            refused.refusal(),
                            Error::Broken { cause: Cause::Statement(_) }
                        ));
                        assert!(!numbers(&*other).await?.contains(&(20 + first as i32)));
                        assert!(uow.atomic(async |uow| insert(uow, 30).await).await.is_err());
                    }
                    Ok::<_, Failure>(())
                })
                .await
                .map(|done| done.into_value())
            }
        });
        let results = results.await;
        let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(failed.len(), 1, "exactly one is the victim: {results:?}");
        assert!(matches!(failed[0].refusal(), Error::RolledBack { .. }));
        assert_eq!(failed[0].kind(), Some(ErrorKind::Deadlock));
        assert!(failed[0].refusal().is_retryable());
        let winner = if results[0].is_ok() { 1 } else { 2 };
        assert_eq!(numbers(world.db()).await?, [winner, 10 + winner]);
    }

    /// With `Retry` both get through, and each attempt has fresh callbacks.
    async fn a_deadlock_is_retried_with_fresh_callbacks(world: &World) {
        things(world).await?;
        items(world, 2).await?;
        let log = Log::default();
        let shared = log.clone();
        let results = crosswise(world, move |db, first, second, barrier| {
            let log = shared.clone();
            async move {
                let retry = Retry::new();
                let done = retry.atomic(db.unit_of_work(), async |uow| {
                    uow.on_commit(log.hook(&format!("{first} committed")));
                    uow.after_rollback(
                        log.rolled_back(&format!("{first} in attempt {}", uow.attempt())),
                    );
                    insert(uow, first as i32).await?;
                    lock_both(uow, first, second, &barrier).await?;
                    Ok::<_, DbErr>(uow.attempt())
                });
                done.await.map(|done| (*done, done.hooks().succeeded))
            }
        });
        let mut results: Vec<_> = results.await.into_iter().collect::<Result<_, _>>()?;
        results.sort_unstable();
        assert_eq!(results, [(1, 1), (2, 1)]);
        assert_eq!(numbers(world.db()).await?, [1, 2]);
        let mut entries = log.entries();
        entries.sort_unstable();
        assert_eq!(entries.len(), 3, "{entries:?}");
        assert!(
            entries.contains(&"1 committed".to_owned())
                && entries.contains(&"2 committed".to_owned())
        );
        assert!(entries.iter().any(|entry| entry.ends_with("in attempt 1 Failed")), "{entries:?}");
    }

    /// H13: 1205 undoes the statement alone; a half-done list of writes must not be committed. One rule for all.
    async fn a_lock_timeout_breaks_the_block_and_a_savepoint_heals_it(world: &World) {
        things(world).await?;
        items(world, 2).await?;
        while_locked(world, 1, async || {
            let root = world.db().unit_of_work().lock_timeout(Duration::from_millis(200));
            let failed = root.clone().atomic(async |uow| {
                insert(uow, 1).await?;
                assert!(uow.lock_one::<item::Entity>(1).await.is_err());
                assert!(insert(uow, 2).await.is_err());
                Ok::<_, Failure>(())
            });
            let failed = failed.await.unwrap_err();
            assert!(matches!(failed.refusal(), Error::RolledBack { .. }));
            assert!(failed.refusal().is_retryable());
            assert_eq!(numbers(world.db()).await?, NOTHING);
            let done = root.atomic(async |uow| {
                insert(uow, 3).await?;
                let inner = uow.atomic(async |uow| {
                    insert(uow, 4).await?;
                    uow.lock_one::<item::Entity>(1).await
                });
                assert!(inner.await.is_err());
                assert_eq!(uow.lock_many::<item::Entity>([2], LockWait::NoWait).await?.len(), 1);
                insert(uow, 5).await?;
                Ok::<_, DbErr>(())
            });
            done.await?.stored();
            assert_eq!(numbers(world.db()).await?, [3, 5]);
            Ok(())
        })
        .await?;
    }

    /// A writer that waits in one unit of work is not a victim of its own nested blocks.
    async fn rows_locked_in_a_savepoint_stay_locked_after_its_release(world: &World) {
        items(world, 1).await?;
        let other = world.connect(1).await;
        let done = world.db().atomic(async |uow| {
            uow.atomic(async |uow| uow.lock_one::<item::Entity>(1).await).await?;
            let refused = other
                .atomic(async |uow| uow.lock_many::<item::Entity>([1], LockWait::NoWait).await);
            assert!(matches!(
                Error::of(&refused.await.unwrap_err()),
                Some(Error::LockNotAvailable)
            ));
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
    }
}

on_postgres! {
    /// H29: what `lock_one` and a write in two statements are for. In one statement PostgreSQL judges the CHECK on the row
    /// from before the lock, and refuses what is allowed.
    async fn locking_and_writing_in_one_statement_is_judged_on_the_old_row(world: &World) {
        items(world, 1).await?;
        let one = "WITH locked AS (SELECT id FROM item WHERE id = 1 FOR UPDATE)
                   UPDATE item SET amount = amount - 5 FROM locked WHERE item.id = locked.id";
        for two_statements in [false, true] {
            world.db().execute_unprepared("UPDATE item SET amount = 0").await?;
            let written = Notify::new();
            let holder = async {
                let other = world.connect(1).await;
                let done = other.atomic(async |uow| {
                    uow.execute_unprepared("UPDATE item SET amount = 10").await?;
                    written.notify_one();
                    super::until("the other waits", async || waiters(world).await == 1).await;
                    Ok::<_, DbErr>(())
                });
                done.await.map(Stored::stored)
            };
            let taker = async {
                written.notified().await;
                let done = world.db().atomic(async |uow| {
                    if two_statements {
                        uow.lock_one::<item::Entity>(1).await?;
                    }
                    uow.execute_unprepared(one).await
                });
                done.await.map(|done| done.rows_affected())
            };
            let (held, taken) = tokio::join!(holder, taker);
            held?;
            match taken {
                Ok(rows) => assert_eq!((rows, two_statements), (1, true)),
                Err(error) => assert_eq!(
                    (ErrorKind::of(&error), two_statements),
                    (ErrorKind::CheckViolation, false),
                    "{error:?}"
                ),
            }
        }
        assert_eq!(number(world.db(), "SELECT amount FROM item").await?, 5);
    }
}

on_mariadb! {
    /// H15: 1020, "record has changed since last read", ends the transaction in the server as a deadlock does.
    async fn a_changed_record_is_fatal_for_the_root(world: &World) {
        let db = things(world).await?;
        items(world, 1).await?;
        let pool = world.connect(1).await;
        if pool.execute_unprepared("SET SESSION innodb_snapshot_isolation = ON").await.is_err() {
            return Ok(()); // before 10.6.18 there is no such setting, and no such error
        }
        let root = pool.unit_of_work().isolation(sea_orm::IsolationLevel::RepeatableRead);
        let failed = root.atomic(async |uow| {
            insert(uow, 1).await?;
            assert_eq!(item::Entity::find_by_id(1).one(uow).await?.unwrap().amount, 10);
            item::Entity::update(item::ActiveModel { id: Set(1), amount: Set(11) })
                .exec(db)
                .await?;
            let inner: Result<_, DbErr> =
                uow.atomic(async |uow| uow.lock_one::<item::Entity>(1).await).await;
            assert_eq!(ErrorKind::of(&inner.unwrap_err()), ErrorKind::Serialization);
            assert!(insert(uow, 2).await.is_err());
            assert_eq!(numbers(db).await?, NOTHING);
            Ok::<_, Failure>(())
        });
        let failed = failed.await.unwrap_err();
        assert!(failed.refusal().is_retryable(), "{failed:?}");
        assert_eq!(numbers(db).await?, NOTHING);
        super::assert_clean(world, &pool, 3).await?;
    }

    /// Where the server is told to end the transaction on a lock timeout, the savepoint is gone: nothing may be stored.
    /// `innodb_rollback_on_timeout` is set at the start only, so this ends the transaction by hand where the server would.
    async fn a_savepoint_that_the_server_has_lost_breaks_its_parent(world: &World) {
        let db = things(world).await?;
        db.execute_unprepared("CREATE PROCEDURE lose() ROLLBACK").await?;
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let inner: Result<(), Failure> = uow
                .atomic(async |uow| {
                    insert(uow, 2).await?;
                    uow.execute_unprepared("CALL lose()").await?;
                    Err(Failure::Failed)
                })
                .await;
            assert!(matches!(inner, Err(Failure::Failed)));
            assert!(insert(uow, 3).await.is_err());
            Ok::<_, Failure>(())
        });
        assert!(matches!(failed.await.unwrap_err().refusal(), Error::RolledBack { .. }));
        assert_eq!(numbers(db).await?, NOTHING);
    }
}
