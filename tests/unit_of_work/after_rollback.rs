//! `after_rollback`: told once, after the ROLLBACK of the block it belongs to, and why.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, RollbackReason, UnitOfWork};
use futures::FutureExt;
use sea_orm::{DbErr, TransactionSession, TransactionTrait};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Failure, Log, Stored, drop_at, insert, numbers, stay, things, until};
use crate::support::on_every_backend_bare;

on_every_backend_bare! {
    async fn the_root_tells_why(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        insert(db, 1).await?;
        let tell = |uow: &UnitOfWork| uow.after_rollback(log.rolled_back(""));
        let failed = db.atomic(async |uow| {
            tell(uow);
            Err::<(), _>(Failure::Failed)
        });
        assert!(failed.await.is_err());
        let panicking = db.atomic(async |uow| -> Result<(), Failure> {
            tell(uow);
            panic!("on purpose")
        });
        assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());
        let broken = db.atomic(async |uow| {
            tell(uow);
            assert!(insert(uow, 1).await.is_err());
            Ok::<_, Failure>(())
        });
        assert!(broken.await.is_err());
        let only = db.atomic(async |uow| {
            tell(uow);
            uow.set_rollback_only();
            Ok::<_, Failure>(())
        });
        assert!(only.await.is_err());
        let vetoed = db.atomic(async |uow| {
            tell(uow);
            uow.before_commit(async |_| Err::<(), _>(Failure::Failed));
            Ok::<_, Failure>(())
        });
        assert!(vetoed.await.is_err());
        let child_open = db.atomic(async |uow| {
            tell(uow);
            std::mem::forget(uow.begin().await?);
            Ok::<_, Failure>(())
        });
        assert!(child_open.await.is_err());
        assert_eq!(
            log.entries(),
            [" Failed", " Panicked", " Broken", " RollbackOnly", " Vetoed", " ChildOpen"]
        );
        let there = Notify::new();
        let dropped = db.atomic(async |uow| {
            tell(uow);
            stay::<Result<(), Failure>>(&there).await
        });
        drop_at(&there, dropped).await;
        until("it was told of the drop", async || log.entries().len() == 7).await;
        assert_eq!(log.entries()[6], " Dropped");
    }

    async fn a_commit_tells_nobody(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let done = db.atomic(async |uow| {
            uow.after_rollback(log.rolled_back("root"));
            uow.atomic(async |uow| {
                uow.after_rollback(log.rolled_back("nested"));
                Ok::<_, DbErr>(())
            })
            .await
        });
        assert!(done.await?.hooks().is_clean());
        assert_eq!(log.entries(), [""; 0]);
    }

    /// The savepoint's callback runs then and there, the transaction goes on, and its commit tells nobody again.
    async fn a_savepoint_tells_its_own_and_only_its_own(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let done = db.atomic(async |uow| {
            uow.after_rollback(log.rolled_back("root"));
            let failed = uow.atomic(async |uow| {
                uow.after_rollback(log.rolled_back("savepoint"));
                uow.atomic(async |uow| {
                    uow.after_rollback(log.rolled_back("released inside"));
                    Ok::<_, Failure>(())
                })
                .await?;
                Err::<(), _>(Failure::Failed)
            });
            assert!(failed.await.is_err());
            assert_eq!(log.entries(), ["savepoint Failed", "released inside Failed"]);
            let child = uow.begin().await?;
            child.after_rollback(log.rolled_back("by hand"));
            child.rollback().await?;
            assert_eq!(log.entries()[2..], ["by hand Failed"]);
            insert(uow, 1).await?;
            Ok::<_, Failure>(())
        });
        assert!(done.await?.hooks().is_clean());
        assert_eq!(log.entries().len(), 3);
        assert_eq!(numbers(db).await?, [1]);
    }

    /// A released savepoint's callback belongs to its parent, and is told with the parent's reason.
    async fn a_released_savepoint_is_told_by_its_parent(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let failed = db.atomic(async |uow| {
            uow.atomic(async |uow| {
                uow.after_rollback(log.rolled_back("inner"));
                Ok::<_, Failure>(())
            })
            .await?;
            uow.set_rollback_only();
            Ok::<_, Failure>(())
        });
        assert!(failed.await.is_err());
        assert_eq!(log.entries(), ["inner RollbackOnly"]);
    }

    /// A merged block has nothing to roll back to: told when the block around it is rolled back.
    async fn a_merged_block_is_told_by_its_parent(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let failed = db.atomic(async |uow| {
            uow.after_rollback(log.rolled_back("root"));
            let inner = uow.atomic(async |uow| {
                let merged = uow.merged(async |uow| {
                    uow.after_rollback(log.rolled_back("merged"));
                    Err::<(), _>(Failure::Failed)
                });
                assert!(merged.await.is_err());
                assert_eq!(log.entries(), [""; 0]);
                Ok::<_, Failure>(())
            });
            assert!(inner.await.is_err());
            assert_eq!(log.entries(), ["merged Broken"]);
            Err::<(), _>(Failure::Failed)
        });
        assert!(failed.await.is_err());
        assert_eq!(log.entries(), ["merged Broken", "root Failed"]);
    }

    async fn a_dropped_savepoint_is_told(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let done = db.atomic(async |uow| {
            let child = uow.begin().await?;
            child.after_rollback(log.rolled_back("child"));
            drop(child);
            let there = Notify::new();
            let cut = uow.atomic(async |uow| {
                uow.after_rollback(log.rolled_back("future"));
                stay::<Result<(), Failure>>(&there).await
            });
            drop_at(&there, cut).await;
            insert(uow, 1).await?;
            Ok::<_, Failure>(())
        });
        assert!(done.await?.hooks().is_clean());
        until("both were told", async || log.entries() == ["child Dropped", "future Dropped"])
            .await;
    }

    /// After the ROLLBACK, with the connection back in the pool: it can see that nothing is there, also in a pool of one.
    async fn the_roots_callback_may_use_a_pool_of_one(world: &World) {
        let (_, log) = (things(world).await?, Log::default());
        let pool = world.connect(1).await;
        let (again, seen) = (pool.clone(), log.clone());
        let failed = pool.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.after_rollback(move |reason: RollbackReason| async move {
                assert_eq!(reason, RollbackReason::Failed);
                again.atomic(async |uow| insert(uow, 2).await).await?.stored();
                seen.add(format!("{:?}", numbers(&again).await?));
                Ok::<_, DbErr>(())
            });
            Err::<(), _>(Failure::Failed)
        });
        let failed = timeout(Duration::from_secs(5), failed).await.expect("it waits for itself");
        assert!(matches!(failed, Err(Failure::Failed)));
        assert_eq!(log.entries(), ["[2]"]);
    }

    /// Each is told, in order, whatever the one before it did.
    async fn a_failing_callback_stops_nobody(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let failed = db.atomic(async |uow| {
            uow.after_rollback(async |_| Err::<(), _>(Failure::Failed));
            uow.after_rollback(log.rolled_back("second"));
            uow.after_rollback(|_| -> std::future::Ready<()> { panic!("on purpose") });
            uow.after_rollback(log.rolled_back("fourth"));
            Err::<(), _>(Failure::Failed)
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
        assert_eq!(log.entries(), ["second Failed", "fourth Failed"]);
    }
}
