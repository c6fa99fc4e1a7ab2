//! Row locks: order, refusals, and what is read under them. After Django's `select_for_update` tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auction_ledger::unit_of_work::{Atomic, Error, ErrorKind, LockWait, Retry, UnitOfWork};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryOrder, Set, TransactionSession, TransactionTrait,
};
use tokio::sync::Notify;

use super::{Failure, Stored, numbers, on_servers, things};
use crate::support::{TestResult, World, on_every_backend_bare, on_sqlite_bare, race, scale};

#[allow(unreachable_pub, reason = "the derive asks for it")]
pub(super) mod item {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "item")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub amount: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The items 1 to `count`, each with the amount 10.
pub(super) async fn items(world: &World, count: i64) -> Result<(), DbErr> {
    let create =
        "CREATE TABLE item (id BIGINT PRIMARY KEY, amount BIGINT NOT NULL CHECK (amount >= 0))";
    world.db().execute_unprepared(create).await?;
    let rows = (1..=count).map(|id| item::ActiveModel { id: Set(id), amount: Set(10) });
    item::Entity::insert_many(rows).exec_without_returning(world.db()).await?;
    Ok(())
}

async fn add(uow: &UnitOfWork, item: item::Model, amount: i64) -> Result<(), DbErr> {
    let amount = item.amount + amount;
    let mut item = item.into_active_model();
    item.amount = Set(amount);
    item.update(uow).await?;
    Ok(())
}

/// Holds the row `id` in another pool while `body` runs.
pub(super) async fn while_locked(
    world: &World,
    id: i64,
    body: impl AsyncFnOnce() -> TestResult,
) -> TestResult {
    let other = world.connect(1).await;
    let (held, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (hold, release) = (held.clone(), done.clone());
    let holder = tokio::spawn(async move {
        other
            .atomic(async |uow| {
                assert!(uow.lock_one::<item::Entity>(id).await?.is_some());
                hold.notify_one();
                release.notified().await;
                Ok::<_, DbErr>(())
            })
            .await
            .map(|done| done.into_value())
    });
    held.notified().await;
    let result = body().await;
    done.notify_one();
    holder.await??;
    result
}

on_every_backend_bare! {
    async fn locked_rows_are_read_in_the_order_of_their_keys(world: &World) {
        items(world, 20).await?;
        let done = world.db().atomic(async |uow| {
            let one = uow.lock_one::<item::Entity>(7).await?.unwrap();
            assert_eq!((one.id, one.amount), (7, 10));
            assert!(uow.lock_one::<item::Entity>(99).await?.is_none());
            let many = uow.lock_many::<item::Entity>([9, 3, 99, 15, 3, 1], LockWait::Wait).await?;
            assert_eq!(many.iter().map(|item| item.id).collect::<Vec<_>>(), [1, 3, 9, 15]);
            assert!(uow.lock_many::<item::Entity>([], LockWait::Wait).await?.is_empty());
            let ordered = uow
                .lock(item::Entity::find().order_by_desc(item::Column::Id), LockWait::Wait)
                .await?;
            assert_eq!(ordered.first().map(|item| item.id), Some(20));
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
    }

    /// H27: sixteen tasks, the same eight rows, in shuffled orders: no deadlock, and no retry to hide one.
    async fn lock_many_in_any_order_never_deadlocks(world: &World) {
        items(world, 8).await?;
        let rounds = scale(10);
        let results = race(16, |task| {
            let db = world.db().clone();
            async move {
                for round in 0..rounds {
                    let mut ids: Vec<i64> = (1..=8).collect();
                    ids.rotate_left((task + round) % 8);
                    if task % 2 == 0 {
                        ids.reverse();
                    }
                    let done = db.atomic(async |uow| {
                        for item in uow.lock_many::<item::Entity>(ids, LockWait::Wait).await? {
                            add(uow, item, 1).await?;
                        }
                        Ok::<_, DbErr>(())
                    });
                    done.await?.stored();
                }
                Ok::<_, DbErr>(())
            }
        });
        for result in results.await {
            result?;
        }
        let expected = 10 + 16 * rounds as i64;
        for item in item::Entity::find().all(world.db()).await? {
            assert_eq!(item.amount, expected);
        }
    }

    /// H20, H21: read, decide, write. On SQLite the lock is BEGIN IMMEDIATE, and nobody meets error 517.
    async fn what_is_read_under_a_lock_can_be_written(world: &World) {
        items(world, 1).await?;
        let rounds = scale(20);
        let results = race(8, |_| {
            let db = world.db().clone();
            async move {
                for _ in 0..rounds {
                    let done = db.atomic(async |uow| {
                        let item = uow.lock_one::<item::Entity>(1).await?.unwrap();
                        add(uow, item, 1).await
                    });
                    done.await?.stored();
                }
                Ok::<_, DbErr>(())
            }
        });
        for result in results.await {
            result?;
        }
        let item = item::Entity::find_by_id(1).one(world.db()).await?.unwrap();
        assert_eq!(item.amount, 10 + 8 * rounds as i64);
    }

    /// H29: locked by one statement, written by the next, a CHECK never judges the row from before the lock.
    async fn lock_then_write_never_meets_a_stale_check(world: &World) {
        items(world, 1).await?;
        // Ten takers for an amount of ten, each followed by a giver: whoever is judged on an old row fails.
        let results = race(10, |task| {
            let db = world.db().clone();
            async move {
                let mut taken = 0;
                for _ in 0..scale(20) {
                    let done = db.atomic(async |uow| {
                        let item = uow.lock_one::<item::Entity>(1).await?.unwrap();
                        let step =
                            if item.amount == 0 { 10 } else { -item.amount.min(1 + task as i64) };
                        add(uow, item, step).await?;
                        Ok::<_, DbErr>(step)
                    });
                    taken += done.await?.into_value();
                }
                Ok::<_, DbErr>(taken)
            }
        });
        let mut sum = 10;
        for result in results.await {
            sum += result?;
        }
        assert_eq!(item::Entity::find_by_id(1).one(world.db()).await?.unwrap().amount, sum);
    }

    async fn refresh_reads_again_under_a_lock(world: &World) {
        items(world, 2).await?;
        let mine = item::Entity::find_by_id(1).one(world.db()).await?.unwrap();
        let gone = item::Entity::find_by_id(2).one(world.db()).await?.unwrap();
        world.db().execute_unprepared("UPDATE item SET amount = 77 WHERE id = 1").await?;
        world.db().execute_unprepared("DELETE FROM item WHERE id = 2").await?;
        let done = world.db().atomic(async |uow| {
            assert_eq!(uow.refresh(&mine).await?.unwrap().amount, 77);
            assert!(uow.refresh(&gone).await?.is_none());
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
    }

    async fn a_lock_on_a_handle_that_has_ended_is_refused(world: &World) {
        items(world, 1).await?;
        let (send, kept) = tokio::sync::oneshot::channel();
        let done = world.db().atomic(async |uow| {
            uow.before_commit(|uow| async move { assert!(send.send(uow).is_ok()) });
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        let kept = kept.await?;
        let ended = |error: DbErr| matches!(Error::of(&error), Some(Error::Ended));
        assert!(ended(kept.lock_one::<item::Entity>(1).await.unwrap_err()));
        assert!(ended(kept.lock_many::<item::Entity>([1], LockWait::Wait).await.unwrap_err()));
        assert!(ended(kept.refresh(&item::Model { id: 1, amount: 0 }).await.unwrap_err()));
    }

    /// A lock taken in a broken block, or while a child is open, is refused as every statement is.
    async fn a_lock_is_refused_where_a_statement_is(world: &World) {
        items(world, 1).await?;
        let failed = world.db().atomic(async |uow| {
            let child = uow.begin().await?;
            let refused = uow.lock_one::<item::Entity>(1).await.unwrap_err();
            assert!(matches!(Error::of(&refused), Some(Error::ChildOpen)));
            child.rollback().await?;
            assert!(uow.execute_unprepared("nonsense").await.is_err());
            let refused = uow.lock_one::<item::Entity>(1).await.unwrap_err();
            assert!(matches!(Error::of(&refused), Some(Error::Broken { .. })));
            Err::<(), _>(Failure::Failed)
        });
        assert!(failed.await.is_err());
    }
}

on_servers! {
    /// Django's `test_nowait_raises_error_on_block`, H22.
    async fn nowait_is_refused_at_once_and_breaks_the_block(world: &World) {
        items(world, 2).await?;
        while_locked(world, 1, async || {
            let start = Instant::now();
            let done = world.db().atomic(async |uow| {
                let inner = uow.atomic(async |uow| {
                    let refused =
                        uow.lock_many::<item::Entity>([1, 2], LockWait::NoWait).await.unwrap_err();
                    assert!(
                        matches!(Error::of(&refused), Some(Error::LockNotAvailable)),
                        "{refused:?}"
                    );
                    assert!(matches!(uow.refusal(), Some(Error::Broken { .. })));
                    Err::<(), _>(Failure::from(refused))
                });
                let refused = inner.await.unwrap_err();
                assert_eq!(refused.kind(), Some(ErrorKind::LockTimeout));
                assert!(refused.refusal().is_retryable());
                assert!(uow.lock_many::<item::Entity>([2], LockWait::NoWait).await?.len() == 1);
                Ok::<_, Failure>(())
            });
            done.await?.stored();
            assert!(start.elapsed() < Duration::from_secs(5), "it waited");
            Ok(())
        })
        .await?;
    }

    /// Django's `test_skip_locked_skips_locked_rows`.
    async fn skip_locked_leaves_the_row_out(world: &World) {
        items(world, 3).await?;
        while_locked(world, 2, async || {
            let done = world.db().atomic(async |uow| {
                let free = uow.lock_many::<item::Entity>([1, 2, 3], LockWait::SkipLocked).await?;
                assert_eq!(free.iter().map(|item| item.id).collect::<Vec<_>>(), [1, 3]);
                assert!(uow.refusal().is_none());
                Ok::<_, DbErr>(())
            });
            done.await?.stored();
            Ok(())
        })
        .await?;
    }

    /// Django's `test_block`: the second waits until the first has ended, and reads what it wrote.
    async fn a_waiter_gets_the_row_as_the_holder_left_it(world: &World) {
        items(world, 1).await?;
        let (db, began, locked) =
            (world.db().clone(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begin, go_on) = (began.clone(), locked.clone());
        let waiter = tokio::spawn(async move {
            db.atomic(async |uow| {
                // H24: the snapshot, were there one, is taken here.
                assert_eq!(item::Entity::find().count(uow).await?, 1);
                begin.notify_one();
                go_on.notified().await;
                let item = uow.lock_one::<item::Entity>(1).await?.unwrap();
                // H23, H24: a plain read after the wait sees what the holder wrote too, in every row.
                let plain = item::Entity::find_by_id(1).one(uow).await?.unwrap();
                Ok::<_, DbErr>((item.amount, plain.amount, item::Entity::find().count(uow).await?))
            })
            .await
        });
        let other = world.connect(1).await;
        let done = other.atomic(async |uow| {
            began.notified().await;
            let item = uow.lock_one::<item::Entity>(1).await?.unwrap();
            locked.notify_one();
            add(uow, item, 5).await?;
            uow.execute_unprepared("INSERT INTO item VALUES (2, 1)").await?;
            // Until the server says that somebody waits for us.
            super::until("the waiter waits", async || super::deadlock::waiters(world).await == 1)
                .await;
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert_eq!(*waiter.await??, (15, 15, 2));
    }

    /// Set per unit of work, H18: MariaDB would wait 50 seconds, PostgreSQL for ever.
    async fn a_lock_timeout_ends_the_wait(world: &World) {
        items(world, 1).await?;
        while_locked(world, 1, async || {
            let start = Instant::now();
            let root = world.db().unit_of_work().lock_timeout(Duration::from_millis(300));
            let failed = root
                .atomic(async |uow| uow.lock_one::<item::Entity>(1).await.map_err(Failure::from));
            assert!(matches!(failed.await.unwrap_err().refusal(), Error::LockNotAvailable));
            assert!(
                (Duration::from_millis(200)..Duration::from_secs(5)).contains(&start.elapsed())
            );
            // A write that waits for the row is a lock timeout too, as a kind.
            let root = world.db().unit_of_work().lock_timeout(Duration::from_millis(300));
            let failed = root.atomic(async |uow| {
                uow.execute_unprepared("UPDATE item SET amount = 1").await.map_err(Failure::from)
            });
            assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::LockTimeout));
            Ok(())
        })
        .await?;
    }

    /// A savepoint's rollback lets go of what it locked, on PostgreSQL; nobody is kept waiting by it anywhere.
    async fn a_retried_nowait_gets_the_row_in_the_end(world: &World) {
        items(world, 1).await?;
        let taken = race(6, |_| {
            let db = world.db().clone();
            async move {
                let retry = Retry::new().attempts(1_000).deadline(Duration::from_secs(60));
                let done = retry.atomic(db.unit_of_work(), async |uow| {
                    let item = uow
                        .lock(item::Entity::find_by_id(1), LockWait::NoWait)
                        .await?
                        .pop()
                        .unwrap();
                    add(uow, item, 1).await
                });
                done.await.map(|done| done.into_value())
            }
        });
        for result in taken.await {
            result?;
        }
        assert_eq!(item::Entity::find_by_id(1).one(world.db()).await?.unwrap().amount, 16);
    }
}

on_sqlite_bare! {
    async fn nowait_and_skip_locked_are_refused_and_break_nothing(world: &World) {
        items(world, 1).await?;
        things(world).await?;
        let done = world.db().atomic(async |uow| {
            for wait in [LockWait::NoWait, LockWait::SkipLocked] {
                let refused = uow.lock_many::<item::Entity>([1], wait).await.unwrap_err();
                assert!(
                    matches!(
                        Error::of(&refused),
                        Some(Error::Unsupported { database: "sqlite", .. })
                    ),
                    "{wait:?}"
                );
            }
            super::insert(uow, 1).await?;
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert_eq!(numbers(world.db()).await?, [1]);
    }
}
