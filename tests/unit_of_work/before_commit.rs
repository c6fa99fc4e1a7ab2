//! `before_commit`: inside the transaction, at the root, with a veto.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use auction_ledger::unit_of_work::{Atomic, CallbackError, Cause, Error, UnitOfWork};
use futures::FutureExt;
use sea_orm::{ConnectionTrait, DbErr, TransactionSession, TransactionTrait};
use tokio::sync::Notify;

use super::{Failure, Log, NOTHING, drop_at, insert, numbers, stay, things, until};
use crate::support::on_every_backend_bare;

/// Fails with the host's own error.
async fn veto(_: UnitOfWork) -> Result<(), Failure> {
    Err(Failure::Failed)
}

on_every_backend_bare! {
    async fn callbacks_run_in_order_inside_the_transaction(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let (outside, seen) = (world.connect(1).await, log.clone());
        let done = db.atomic(async |uow| {
            uow.on_commit(log.hook("4 on_commit"));
            let first = log.clone();
            uow.before_commit(move |uow| async move {
                first.add("1 root");
                insert(&uow, 10).await
            });
            uow.atomic(async |uow| {
                uow.before_commit(move |uow| async move {
                    seen.add(format!("2 nested sees {:?}", numbers(&uow).await?));
                    assert_eq!(numbers(&outside).await?, NOTHING);
                    Ok::<_, DbErr>(())
                });
                insert(uow, 1).await
            })
            .await?;
            let third = log.clone();
            uow.before_commit(move |_| async move { third.add("3 root") });
            assert_eq!(log.entries(), [""; 0], "not when the nested block ends");
            Ok::<_, DbErr>(())
        });
        assert!(done.await?.hooks().is_clean());
        assert_eq!(log.entries(), ["1 root", "2 nested sees [1, 10]", "3 root", "4 on_commit"]);
        assert_eq!(numbers(db).await?, [1, 10]);
    }

    async fn an_error_refuses_the_commit_and_comes_back(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(log.hook("on_commit"));
            uow.after_rollback(log.rolled_back("after_rollback"));
            uow.before_commit(veto);
            let skipped = log.clone();
            uow.before_commit(move |_| async move { skipped.add("skipped") });
            Ok::<_, Failure>(())
        });
        let failed = failed.await.unwrap_err();
        let Error::Vetoed { error } = failed.refusal() else { panic!("{failed:?}") };
        assert!(matches!(error.downcast_ref(), Some(Failure::Failed)));
        assert!(!failed.refusal().is_retryable());
        assert_eq!(log.entries(), ["after_rollback Vetoed"]);
        assert_eq!(numbers(db).await?, NOTHING);
    }

    async fn a_panic_refuses_the_commit(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        for early in [false, true] {
            let failed = pool.atomic(async |uow| {
                insert(uow, 1).await?;
                if early {
                    uow.before_commit(|_| -> std::future::Ready<()> { panic!("on purpose") });
                } else {
                    uow.before_commit(async |_| panic!("on purpose") as ());
                }
                Ok::<_, Failure>(())
            });
            let failed = failed.await.unwrap_err();
            let Error::Vetoed { error } = failed.refusal() else { panic!("{failed:?}") };
            assert!(matches!(&**error, CallbackError::Panicked(text) if text == "on purpose"));
        }
        assert_eq!(numbers(db).await?, NOTHING);
        super::assert_clean(world, &pool, 2).await?;
    }

    async fn a_callback_may_register_further_ones(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let outer = log.clone();
        let done = db.atomic(async |uow| {
            uow.before_commit(move |uow| async move {
                outer.add("1");
                let inner = outer.clone();
                uow.before_commit(move |uow| async move {
                    inner.add("3");
                    uow.on_commit(inner.hook("on_commit"));
                    uow.atomic(async |uow| insert(uow, 1).await).await
                });
            });
            let second = log.clone();
            uow.before_commit(move |_| async move { second.add("2") });
            Ok::<_, DbErr>(())
        });
        assert_eq!(done.await?.hooks().succeeded, 1);
        assert_eq!(log.entries(), ["1", "2", "3", "on_commit"]);
        assert_eq!(numbers(db).await?, [1]);
    }

    async fn a_callback_that_breaks_the_block_and_says_ok_is_rolled_back(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.before_commit(|uow| async move { assert!(insert(&uow, 1).await.is_err()) });
            let second = log.clone();
            uow.before_commit(move |_| async move {
                second.add("a broken block runs no further callback")
            });
            Ok::<_, Failure>(())
        });
        assert!(matches!(
            failed.await.unwrap_err().refusal(),
            Error::RolledBack { cause: Cause::Statement(_) }
        ));
        assert_eq!(log.entries(), [""; 0]);
        assert_eq!(numbers(db).await?, NOTHING);
    }

    async fn callbacks_do_not_run_when_nothing_will_be_committed(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let run = async |end: fn(&UnitOfWork) -> Result<(), Failure>| {
            db.atomic(async |uow| {
                let callback = log.clone();
                uow.before_commit(move |_| async move { callback.add("it ran") });
                end(uow)
            })
            .await
        };
        assert!(run(|_| Err(Failure::Failed)).await.is_err());
        assert!(
            run(|uow| {
                uow.set_rollback_only();
                Ok(())
            })
            .await
            .is_err()
        );
        assert!(AssertUnwindSafe(run(|_| panic!("on purpose"))).catch_unwind().await.is_err());
        assert_eq!(log.entries(), [""; 0]);
    }

    async fn callbacks_are_discarded_with_their_savepoint(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let register = |uow: &UnitOfWork, by: &str| {
            let (log, by) = (log.clone(), by.to_owned());
            uow.before_commit(move |_| async move { log.add(by) });
        };
        let done = db.atomic(async |uow| {
            let failed = uow.atomic(async |uow| {
                register(uow, "failed");
                Err::<(), _>(Failure::Failed)
            });
            assert!(failed.await.is_err());
            let child = uow.begin().await?;
            register(&child, "rolled back by hand");
            child.rollback().await?;
            let child = uow.begin().await?;
            register(&child, "dropped, and noticed by the next statement");
            drop(child);
            insert(uow, 1).await?;
            register(uow, "kept");
            Ok::<_, Failure>(())
        });
        assert!(done.await?.hooks().is_clean());
        assert_eq!(log.entries(), ["kept"]);
    }

    /// The child is rolled back by whoever comes next, and that is the commit: its callbacks must be gone by then.
    async fn callbacks_are_discarded_with_a_child_that_was_dropped_last(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        for in_the_middle in [false, true] {
            let done = db.atomic(async |uow| {
                if in_the_middle {
                    let there = Notify::new();
                    let cut = uow.atomic(async |uow| {
                        let callback = log.clone();
                        uow.before_commit(move |_| async move {
                            callback.add("of a block that was dropped")
                        });
                        stay::<Result<(), Failure>>(&there).await
                    });
                    drop_at(&there, cut).await;
                } else {
                    let child = uow.begin().await?;
                    let callback = log.clone();
                    child.before_commit(
                        move |_| async move { callback.add("of the dropped child") },
                    );
                    drop(child);
                }
                Ok::<_, Failure>(())
            });
            assert!(done.await?.hooks().is_clean());
        }
        assert_eq!(log.entries(), [""; 0]);
    }

    /// A block with an open child cannot be committed, so `before_commit` has no place in it: the refusal is `ChildOpen`.
    async fn an_open_child_is_told_as_such_and_not_as_a_veto(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let failed = db.atomic(async |uow| {
            let callback = log.clone();
            uow.before_commit(move |uow| async move {
                callback.add("it ran");
                insert(&uow, 1).await
            });
            std::mem::forget(uow.begin().await?);
            Ok::<_, Failure>(())
        });
        let failed = failed.await.unwrap_err();
        assert!(matches!(failed.refusal(), Error::ChildOpen), "{failed:?}");
        assert_eq!(log.entries(), [""; 0]);
    }

    /// The handle is lent: it works until the end, cannot end the root, and is refused afterwards.
    async fn the_lent_handle_cannot_end_the_root_and_ends_with_it(world: &World) {
        let db = things(world).await?;
        let (send, kept) = tokio::sync::oneshot::channel();
        let done = db.atomic(async |uow| {
            uow.before_commit(|uow| async move {
                let refused = uow.commit().await.unwrap_err();
                assert!(matches!(Error::of(&refused), Some(Error::NotOwner)));
            });
            uow.before_commit(|uow| async move {
                let refused = uow.rollback().await.unwrap_err();
                assert!(matches!(Error::of(&refused), Some(Error::NotOwner)));
            });
            uow.before_commit(|uow| async move {
                insert(&uow, 1).await?;
                assert!(send.send(uow).is_ok());
                Ok::<_, DbErr>(())
            });
            Ok::<_, DbErr>(())
        });
        assert!(done.await?.hooks().is_clean());
        let kept = kept.await?;
        let refused = insert(&kept, 2).await.unwrap_err();
        assert!(matches!(Error::of(&refused), Some(Error::Ended)));
        assert!(matches!(kept.refusal(), Some(Error::Ended)));
        drop(kept);
        assert_eq!(numbers(db).await?, [1]);
    }

    /// It is the transaction's own time: a root on the same pool would wait for this one.
    async fn a_root_in_before_commit_is_refused(world: &World) {
        let db = things(world).await?;
        let again = db.clone();
        let done = db.atomic(async |uow| {
            uow.before_commit(move |_| async move {
                let nested = again.atomic(async |_| Ok::<_, Failure>(()));
                assert!(matches!(nested.await.unwrap_err().refusal(), Error::NestedRoot));
            });
            Ok::<_, DbErr>(())
        });
        assert!(done.await?.hooks().is_clean());
    }

    /// Dropped in the middle of `before_commit`: nothing has been sent, so nothing happened.
    async fn a_caller_that_goes_during_before_commit_stores_nothing(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let there = Arc::new(Notify::new());
        let work = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(log.hook("on_commit"));
            uow.after_rollback(log.rolled_back("after_rollback"));
            let there = there.clone();
            uow.before_commit(async move |_| stay::<()>(&there).await);
            Ok::<_, DbErr>(())
        });
        drop_at(&there, work).await;
        until("it is rolled back", async || log.entries() == ["after_rollback Dropped"]).await;
        assert_eq!(numbers(db).await?, NOTHING);
        assert!(db.execute_unprepared("SELECT 1").await.is_ok());
    }
}
