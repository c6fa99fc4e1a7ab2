//! Blocks end last in, first out, and a block with an open child does nothing (H4, H5, H8).

use std::sync::Arc;
use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Cause, Error, UnitOfWork};
use sea_orm::{
    AccessMode, ConnectionTrait, DbErr, IsolationLevel, SqliteTransactionMode, TransactionError,
    TransactionOptions, TransactionSession, TransactionTrait,
};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::{Failure, Log, NOTHING, Stored, drop_at, insert, numbers, stay, things};
use crate::support::on_every_backend_bare;

fn child_open(error: &DbErr) -> bool {
    matches!(Error::of(error), Some(Error::ChildOpen))
}

on_every_backend_bare! {
    /// H4: what the parent wrote while its child was open vanished with the child.
    async fn a_parent_refuses_everything_while_a_child_is_open(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let child = uow.begin().await?;
            insert(&child, 2).await?;
            assert!(child_open(&insert(uow, 3).await.unwrap_err()));
            assert!(child_open(&numbers(uow).await.unwrap_err()));
            assert!(child_open(&uow.begin().await.unwrap_err()));
            let nested: Result<(), Failure> = uow.atomic(async |_| panic!("it must not run")).await;
            assert!(matches!(nested.unwrap_err().refusal(), Error::ChildOpen));
            let nested: Result<(), Failure> = uow.merged(async |_| panic!("it must not run")).await;
            assert!(matches!(nested.unwrap_err().refusal(), Error::ChildOpen));
            let grandchild = child.begin().await?;
            assert!(child_open(&insert(&child, 3).await.unwrap_err()));
            insert(&grandchild, 4).await?;
            grandchild.commit().await?;
            child.commit().await?;
            insert(uow, 5).await?;
            Ok::<_, Failure>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 2, 4, 5]);
    }

    /// The refusal is no failed statement: neither block is broken by it.
    async fn a_refusal_for_an_open_child_breaks_nobody(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            let child = uow.begin().await?;
            assert!(insert(uow, 1).await.is_err());
            assert!(uow.refusal().is_none() && child.refusal().is_none());
            child.rollback().await?;
            insert(uow, 1).await
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1]);
    }

    /// H4: sibling nested transactions mixed up their rows.
    async fn of_two_siblings_at_one_time_one_is_refused(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            let sibling = async |num: i32, open: oneshot::Sender<()>, end: oneshot::Receiver<()>| -> Result<(), Failure> {
                uow.atomic(async |uow| {
                    insert(uow, num).await?;
                    let _ = open.send(());
                    let _ = end.await;
                    insert(uow, num + 1).await?;
                    Ok(())
                })
                .await
            };
            // The second begins while the first is open, and the first ends when the second has its answer.
            let ((open, is_open), (answered, end)) = (oneshot::channel(), oneshot::channel());
            let alone = |num| {
                let ((open, _), (_, end)) = (oneshot::channel(), oneshot::channel());
                sibling(num, open, end)
            };
            let (first, second) = tokio::join!(sibling(10, open, end), async {
                is_open.await.expect("the first opens");
                let second = alone(20).await;
                let _ = answered.send(());
                second
            });
            first?;
            assert!(matches!(second.unwrap_err().refusal(), Error::ChildOpen));
            // One after the other they are fine.
            alone(30).await?;
            let (statement, block) = tokio::join!(insert(uow, 1), alone(40));
            statement?;
            block?;
            Ok::<_, Failure>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 10, 11, 30, 31, 40, 41]);
    }

    /// H4: committing the outer while the inner was open only released the savepoint, and said `Ok`.
    async fn a_block_that_ends_while_a_child_is_open_is_rolled_back(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let pool = world.connect(1).await;
        let (send, mut kept) = tokio::sync::mpsc::unbounded_channel();
        let failed = pool.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(log.hook("on_commit"));
            let child = uow.begin().await?;
            insert(&child, 2).await?;
            assert!(send.send(child).is_ok());
            Ok::<_, Failure>(())
        });
        assert!(matches!(failed.await.unwrap_err().refusal(), Error::ChildOpen));
        let orphan = kept.recv().await.unwrap();
        assert!(matches!(Error::of(&insert(&orphan, 3).await.unwrap_err()), Some(Error::Ended)));
        assert!(matches!(Error::of(&orphan.begin().await.unwrap_err()), Some(Error::Ended)));
        assert!(matches!(orphan.refusal(), Some(Error::Ended)));
        assert!(matches!(Error::of(&orphan.commit().await.unwrap_err()), Some(Error::Ended)));
        assert_eq!(numbers(db).await?, NOTHING);
        assert_eq!(log.entries(), [""; 0]);
        super::assert_clean(world, &pool, 4).await?;
    }

    /// The same one level deeper: the savepoint is rolled back, with everything that was open in it.
    async fn a_nested_block_that_ends_while_a_child_is_open_undoes_both(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let mut leaked = None;
            let nested = uow.atomic(async |uow| {
                let child = uow.begin().await?;
                insert(&child, 2).await?;
                leaked = Some((child.begin().await?, child));
                Ok::<_, Failure>(())
            });
            assert!(matches!(nested.await.unwrap_err().refusal(), Error::ChildOpen));
            insert(uow, 3).await?;
            let (grandchild, child) = leaked.unwrap();
            assert!(matches!(
                Error::of(&insert(&grandchild, 4).await.unwrap_err()),
                Some(Error::Ended)
            ));
            assert!(matches!(Error::of(&child.rollback().await.unwrap_err()), Some(Error::Ended)));
            drop(grandchild);
            insert(uow, 5).await?;
            Ok::<_, Failure>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 3, 5]);
    }

    /// Ended out of order: the outer one takes the inner one with it, and the inner one learns it.
    async fn a_rollback_of_the_outer_child_ends_the_inner_one(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            let outer = uow.begin().await?;
            let inner = outer.begin().await?;
            insert(&inner, 1).await?;
            outer.rollback().await?;
            assert!(matches!(Error::of(&inner.commit().await.unwrap_err()), Some(Error::Ended)));
            insert(uow, 2).await?;
            let outer = uow.begin().await?;
            let inner = outer.begin().await?;
            insert(&inner, 3).await?;
            let refused = outer.commit().await.unwrap_err();
            assert!(child_open(&refused), "{refused:?}");
            assert!(matches!(Error::of(&inner.rollback().await.unwrap_err()), Some(Error::Ended)));
            insert(uow, 4).await
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [2, 4]);
    }

    /// A dropped child is rolled back before its parent does anything else, and the parent goes on.
    async fn a_dropped_child_is_rolled_back_first(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let child = uow.begin().await?;
            insert(&child, 2).await?;
            let grandchild = child.begin().await?;
            insert(&grandchild, 3).await?;
            drop(child);
            // Its own parent has gone: whatever becomes of this, it is not stored.
            _ = insert(&grandchild, 33).await;
            assert_eq!(numbers(uow).await?, [1]);
            let there = Notify::new();
            let cut = uow.atomic(async |uow| {
                insert(uow, 4).await?;
                stay::<Result<(), Failure>>(&there).await
            });
            drop_at(&there, cut).await;
            uow.atomic(async |uow| {
                assert_eq!(numbers(uow).await?, [1]);
                insert(uow, 5).await
            })
            .await?;
            let child = uow.begin().await?;
            insert(&child, 6).await?;
            drop(child);
            Ok::<_, Failure>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 5]);
    }

    /// A merged block has no savepoint: dropped, it breaks its parent.
    async fn a_dropped_merged_block_breaks_its_parent(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            let there = Notify::new();
            let cut = uow.merged(async |uow| {
                insert(uow, 1).await?;
                stay::<Result<(), Failure>>(&there).await
            });
            drop_at(&there, cut).await;
            assert!(matches!(
                Error::of(&insert(uow, 2).await.unwrap_err()),
                Some(Error::Broken { cause: Cause::MergedBlock })
            ));
            Ok::<_, Failure>(())
        });
        assert!(failed.await.is_err());
        assert_eq!(numbers(db).await?, NOTHING);
    }

    /// H5: dropped while another task used the parent, it panicked and left a transaction open in the pool.
    async fn a_child_dropped_while_others_use_the_parent_harms_nobody(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        let done = pool.atomic(async |uow| {
            for num in 0..20 {
                let child = uow.begin().await?;
                insert(&child, 1_000).await?;
                let dropping = tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    drop(child)
                });
                while let Err(error) = insert(uow, num).await {
                    assert!(child_open(&error), "{error:?}");
                    tokio::task::yield_now().await;
                }
                dropping.await.unwrap();
            }
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, (0..20).collect::<Vec<_>>());
        super::assert_clean(world, &pool, 20).await?;
    }

    async fn a_child_may_move_into_another_task(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            let child = uow.begin().await?;
            let task = tokio::spawn(async move {
                insert(&child, 1).await?;
                child.atomic(async |uow| insert(uow, 2).await).await?;
                child.commit().await
            });
            task.await.unwrap()?;
            assert_eq!(numbers(uow).await?, [1, 2]);
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 2]);
    }

    /// The root is dropped while a task still works with the child: it is refused, and nothing of it is stored.
    async fn a_child_in_another_task_ends_with_its_root(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        let (send, result) = tokio::sync::oneshot::channel();
        let there = Notify::new();
        let work = pool.atomic(async |uow| {
            let child = uow.begin().await?;
            tokio::spawn(async move {
                let refused = loop {
                    match child.execute_unprepared("DELETE FROM thing").await {
                        Ok(_) => tokio::task::yield_now().await,
                        Err(refused) => break refused,
                    }
                };
                send.send(refused).unwrap();
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            stay::<Result<(), Failure>>(&there).await
        });
        drop_at(&there, work).await;
        let refused = timeout(Duration::from_secs(5), result).await??;
        assert!(matches!(Error::of(&refused), Some(Error::Ended)), "{refused:?}");
        super::assert_clean(world, &pool, 1).await?;
        assert_eq!(numbers(db).await?, [1]);
    }

    /// H8: an error on PostgreSQL, ignored on SQLite.
    async fn options_on_a_nested_block_are_refused_and_break_nothing(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            let refused = |error: &DbErr| matches!(Error::of(error), Some(Error::NestedOptions));
            assert!(refused(
                &uow.begin_with_config(Some(IsolationLevel::Serializable), None).await.unwrap_err()
            ));
            assert!(refused(
                &uow.begin_with_config(None, Some(AccessMode::ReadOnly)).await.unwrap_err()
            ));
            let mode = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Exclusive),
                ..Default::default()
            };
            assert!(refused(&uow.begin_with_options(mode).await.unwrap_err()));
            let run: Result<(), TransactionError<DbErr>> = uow
                .transaction_with_config(
                    |_| Box::pin(async { panic!("it must not run") }),
                    Some(IsolationLevel::Serializable),
                    None,
                )
                .await;
            assert!(matches!(run, Err(TransactionError::Connection(error)) if refused(&error)));
            uow.begin_with_config(None, None).await?.commit().await?;
            uow.begin_with_options(TransactionOptions::default()).await?.commit().await?;
            insert(uow, 1).await
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1]);
    }

    /// SeaORM's own `transaction`, as its helpers use it.
    async fn transaction_commits_and_rolls_back_a_savepoint(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            let value = uow
                .transaction(|uow| {
                    Box::pin(async move {
                        insert(uow, 1).await?;
                        Ok::<_, DbErr>(7)
                    })
                })
                .await;
            assert_eq!(value.unwrap(), 7);
            let failed = uow.transaction(|uow| {
                Box::pin(async move {
                    insert(uow, 2).await?;
                    insert(uow, 1).await
                })
            });
            assert!(matches!(failed.await, Err(TransactionError::Transaction(DbErr::Exec(_)))));
            // A swallowed error ends in RolledBack here too.
            let swallowed = uow.transaction(|uow| {
                Box::pin(async move {
                    assert!(insert(uow, 1).await.is_err());
                    Ok::<_, DbErr>(())
                })
            });
            let Err(TransactionError::Connection(error)) = swallowed.await else {
                panic!("it was kept")
            };
            assert!(matches!(Error::of(&error), Some(Error::RolledBack { .. })));
            insert(uow, 3).await
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 3]);
    }

    async fn a_handle_is_told_apart_by_its_name_and_can_be_shared(world: &World) {
        let db = things(world).await?;
        let root = db.unit_of_work().name("nightly");
        let done = root.atomic(async |uow| {
            assert_eq!(uow.name(), Some("nightly"));
            assert!(format!("{uow:?}").contains("nightly"));
            let child = Arc::new(uow.begin().await?);
            assert_eq!((child.name(), child.attempt()), (Some("nightly"), 1));
            let tasks = (1..=4).map(|num| {
                let child: Arc<UnitOfWork> = child.clone();
                tokio::spawn(async move { insert(&*child, num).await })
            });
            for task in futures::future::join_all(tasks).await {
                task.unwrap()?;
            }
            Arc::into_inner(child).expect("the tasks have ended").commit().await
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 2, 3, 4]);
    }
}
