//! `on_commit`: when callbacks run, in which order, and what discards them. After Django's `transaction_hooks/tests.py`.

use std::sync::Arc;
use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, CallbackError, UnitOfWork};
use sea_orm::{ConnectionTrait, DbErr, TransactionSession, TransactionTrait};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Failure, Log, NOTHING, Stored, drop_at, insert, numbers, stay, things, until};
use crate::support::on_every_backend_bare;

on_every_backend_bare! {
    /// Django's `test_executes_immediately_if_no_transaction`.
    async fn outside_a_unit_of_work_a_callback_runs_at_once(world: &World) {
        let (db, log) = (world.db(), Log::default());
        assert!(db.on_commit(log.hook("first")).await.is_clean());
        assert_eq!(log.entries(), ["first"]);
        let report = db.on_commit(|| async { Err::<(), _>(Failure::Failed) }).await;
        assert!(matches!(report.stopped_by().unwrap().error.downcast_ref(), Some(Failure::Failed)));
        let report = db.on_commit_robust(async || panic!("on purpose") as ()).await;
        assert!(report.stopped_by().is_none());
        assert!(
            matches!(&report.failed[0].error, CallbackError::Panicked(text) if text == "on purpose")
        );
        let report =
            db.on_commit(|| -> std::future::Ready<()> { panic!("before its future") }).await;
        assert!(matches!(&report.failed[0].error, CallbackError::Panicked(_)));
    }

    /// Django's `test_delays_execution_until_after_transaction_commit`.
    async fn a_callback_runs_after_the_commit_and_sees_the_row(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let seen = log.clone();
        let reader = db.clone();
        let done = db.atomic(async |uow| {
            uow.on_commit(move || async move {
                seen.add(format!("{:?}", numbers(&reader).await?));
                Ok::<(), DbErr>(())
            });
            insert(uow, 1).await?;
            assert_eq!(log.entries(), [""; 0]);
            Ok::<_, DbErr>(())
        });
        let done = done.await?;
        assert_eq!((done.hooks().succeeded, done.hooks().is_clean()), (1, true));
        assert_eq!(log.entries(), ["[1]"]);
    }

    /// Django's `test_does_not_execute_if_transaction_rolled_back`.
    async fn a_callback_does_not_run_after_a_rollback(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let failed = db.atomic(async |uow| {
            uow.on_commit(log.hook("on_commit"));
            uow.on_commit_robust(log.hook("robust"));
            Err::<(), _>(Failure::Failed)
        });
        assert!(failed.await.is_err());
        // Django's `test_hooks_cleared_after_rollback`: the next block starts with none.
        assert_eq!(db.atomic(async |_| Ok::<_, DbErr>(())).await?.hooks().succeeded, 0);
        assert_eq!(log.entries(), [""; 0]);
    }

    /// Django's `test_executes_only_after_final_transaction_committed`, and its order over all levels.
    async fn callbacks_run_in_the_order_of_their_registration_over_all_levels(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let done = db.atomic(async |uow| {
            uow.on_commit(log.hook("1 root"));
            uow.atomic(async |uow| {
                uow.on_commit(log.hook("2 savepoint"));
                uow.merged(async |uow| {
                    uow.on_commit_robust(log.hook("3 merged"));
                    Ok::<_, Failure>(())
                })
                .await?;
                uow.on_commit(log.hook("4 savepoint"));
                Ok::<_, Failure>(())
            })
            .await?;
            let child = uow.begin().await?;
            child.on_commit(log.hook("5 begin"));
            // A parent may register while its child is open: it does not touch the connection.
            uow.on_commit(log.hook("6 root"));
            child.on_commit(log.hook("7 begin"));
            child.commit().await?;
            assert_eq!(log.entries(), [""; 0]);
            Ok::<_, Failure>(())
        });
        assert_eq!(done.await?.hooks().succeeded, 7);
        let order =
            ["1 root", "2 savepoint", "3 merged", "4 savepoint", "5 begin", "6 root", "7 begin"];
        assert_eq!(log.entries(), order);
    }

    /// Django's `test_discards_hooks_from_rolled_back_savepoint`, and H9: by whatever means it was rolled back.
    async fn callbacks_are_discarded_with_their_savepoint_however_it_was_rolled_back(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        insert(db, 1).await?;
        let done = db.atomic(async |uow| {
            let register = |uow: &UnitOfWork, by: &str| {
                uow.on_commit(log.hook(by));
                uow.on_commit_robust(log.hook(by));
            };
            uow.on_commit(log.hook("kept: before"));
            let error = uow.atomic(async |uow| {
                register(uow, "error");
                Err::<(), _>(Failure::Failed)
            });
            assert!(error.await.is_err());
            let broken = uow.atomic(async |uow| {
                register(uow, "broken");
                assert!(insert(uow, 1).await.is_err());
                Ok::<_, Failure>(())
            });
            assert!(broken.await.is_err());
            let only = uow.atomic(async |uow| {
                register(uow, "only");
                uow.set_rollback_only();
                Ok::<_, Failure>(())
            });
            assert!(only.await.is_err());
            let child_open = uow.atomic(async |uow| {
                register(uow, "child open");
                std::mem::forget(uow.begin().await?);
                Ok::<_, Failure>(())
            });
            assert!(child_open.await.is_err());
            let panicking = uow.atomic(async |uow| -> Result<(), Failure> {
                register(uow, "panic");
                panic!("on purpose")
            });
            assert!(
                futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(panicking))
                    .await
                    .is_err()
            );
            let there = Notify::new();
            let dropped = uow.atomic(async |uow| {
                register(uow, "dropped future");
                stay::<Result<(), Failure>>(&there).await
            });
            drop_at(&there, dropped).await;
            let child = uow.begin().await?;
            register(&child, "rollback()");
            child.rollback().await?;
            let child = uow.begin().await?;
            register(&child, "drop");
            drop(child);
            let transaction = uow.transaction(|uow| {
                uow.on_commit(log.hook("transaction()"));
                Box::pin(async { Err::<(), _>(Failure::Failed) })
            });
            assert!(transaction.await.is_err());
            let released_inside = uow.atomic(async |uow| {
                uow.atomic(async |uow| {
                    register(uow, "released inside");
                    Ok::<_, Failure>(())
                })
                .await?;
                uow.merged(async |uow| {
                    register(uow, "merged inside");
                    Ok::<_, Failure>(())
                })
                .await?;
                Err::<(), _>(Failure::Failed)
            });
            assert!(released_inside.await.is_err());
            uow.on_commit(log.hook("kept: after"));
            Ok::<_, Failure>(())
        });
        assert_eq!(done.await?.hooks().succeeded, 2);
        assert_eq!(log.entries(), ["kept: before", "kept: after"]);
    }

    /// A dropped child is rolled back by whoever comes next; if nobody does, by the commit.
    async fn a_child_that_is_dropped_last_takes_its_callbacks_with_it(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let done = db.atomic(async |uow| {
            let child = uow.begin().await?;
            insert(&child, 1).await?;
            child.on_commit(log.hook("of the dropped child"));
            drop(child);
            uow.on_commit(log.hook("kept"));
            Ok::<_, Failure>(())
        });
        assert_eq!(done.await?.hooks().succeeded, 1);
        assert_eq!(log.entries(), ["kept"]);
        assert_eq!(numbers(db).await?, NOTHING);
    }

    /// Django's `test_error_in_hook_doesnt_prevent_clearing_hooks` and its siblings; ours reports instead of raising.
    async fn a_failing_callback_stops_the_later_ones_and_is_reported(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(log.hook("first"));
            uow.on_commit(|| async { Err::<(), _>(Failure::Failed) });
            uow.on_commit(log.hook("skipped"));
            uow.on_commit_robust(log.hook("skipped too"));
            Ok::<_, DbErr>("committed")
        });
        let done = done.await?;
        let hooks = done.hooks();
        assert_eq!((hooks.succeeded, hooks.failed.len(), hooks.skipped), (1, 1, 2));
        let failure = hooks.stopped_by().unwrap();
        assert_eq!((failure.index, failure.robust), (1, false));
        assert!(matches!(failure.error.downcast_ref(), Some(Failure::Failed)));
        assert_eq!(failure.error.to_string(), "failed");
        assert_eq!(log.entries(), ["first"]);
        assert_eq!(*done, "committed");
        assert_eq!(numbers(db).await?, [1]);
    }

    /// Django's `test_robust_if_…`, `test_robust_transaction`.
    async fn a_failing_robust_callback_is_reported_and_stops_nobody(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let done = db.atomic(async |uow| {
            uow.on_commit_robust(|| async { Err::<(), _>(Failure::Failed) });
            uow.on_commit(log.hook("second"));
            uow.on_commit_robust(async || panic!("{} purpose", "on") as ());
            uow.on_commit(log.hook("fourth"));
            Ok::<_, DbErr>(())
        });
        let (_, hooks) = done.await?.into_parts();
        assert_eq!((hooks.succeeded, hooks.skipped, hooks.is_clean()), (2, 0, false));
        assert!(hooks.stopped_by().is_none());
        assert_eq!(hooks.failed.iter().map(|failure| failure.index).collect::<Vec<_>>(), [0, 2]);
        assert!(
            matches!(&hooks.failed[1].error, CallbackError::Panicked(text) if text == "on purpose")
        );
        assert_eq!(log.entries(), ["second", "fourth"]);
    }

    async fn a_panicking_callback_is_a_failure_and_never_a_panic(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(|| -> std::future::Ready<()> { panic!("before its future exists") });
            uow.on_commit(log.hook("skipped"));
            Ok::<_, DbErr>(())
        });
        let done = done.await?;
        assert_eq!(done.hooks().skipped, 1);
        let panicked = &done.hooks().stopped_by().unwrap().error;
        assert_eq!(panicked.to_string(), "the callback panicked: before its future exists");
        assert_eq!(numbers(db).await?, [1]);
    }

    /// Django's `test_inner_savepoint_…` with `test_hook_in_hook`: what a callback registers runs at once, depth-first.
    async fn what_a_callback_registers_runs_before_the_next_callback(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let (again, inner) = (db.clone(), log.clone());
        let done = db.atomic(async |uow| {
            uow.on_commit(move || async move {
                inner.add("1");
                again.on_commit(inner.hook("1.1")).await;
                let nested = again.atomic(async |uow| {
                    uow.on_commit(inner.hook("1.3"));
                    inner.add("1.2");
                    Ok::<_, DbErr>(())
                });
                assert_eq!(nested.await.unwrap().hooks().succeeded, 1);
            });
            uow.on_commit(log.hook("2"));
            Ok::<_, DbErr>(())
        });
        assert!(done.await?.hooks().is_clean());
        assert_eq!(log.entries(), ["1", "1.1", "1.2", "1.3", "2"]);
    }

    /// H12, Django's `test_db_query_in_hook` and `test_transaction_in_hook`: with a pool of one.
    async fn a_callback_may_use_a_pool_of_one(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        let again = pool.clone();
        let done = pool.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(move || async move {
                assert_eq!(numbers(&again).await?, [1]);
                again.atomic(async |uow| insert(uow, 2).await).await?.stored();
                Ok::<_, DbErr>(())
            });
            Ok::<_, DbErr>(())
        });
        let done = timeout(Duration::from_secs(5), done).await.expect("it waits for itself")?;
        assert!(done.hooks().is_clean(), "{:?}", done.hooks());
        assert_eq!(numbers(db).await?, [1, 2]);
    }

    /// H7: whoever stops waiting after COMMIT was sent does not take the callbacks with it.
    async fn callbacks_run_although_the_caller_has_gone(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (enter, wait, seen) = (entered.clone(), go_on.clone(), log.clone());
        let committing = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(move || async move {
                enter.notify_one();
                wait.notified().await;
                seen.add("first");
            });
            uow.on_commit(log.hook("second"));
            Ok::<_, DbErr>(())
        });
        tokio::select! {
            _ = committing => panic!("its callback waits"),
            () = entered.notified() => {} // the caller is dropped here, in the middle of the first callback
        }
        assert_eq!(numbers(db).await?, [1]);
        go_on.notify_one();
        until("both callbacks have run", async || log.entries() == ["first", "second"]).await;
    }

    /// Registered when its block has ended, a callback has nowhere to go: it is discarded, and nothing breaks.
    async fn a_callback_registered_after_the_end_is_discarded(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let (handle, wait) = tokio::sync::oneshot::channel();
        let failed = db.atomic(async |uow| {
            handle.send(uow.begin().await?).unwrap();
            Ok::<_, Failure>(())
        });
        assert!(failed.await.is_err(), "a child is open");
        let child = wait.await?;
        child.on_commit(log.hook("too late"));
        child.after_rollback(log.rolled_back("too late"));
        assert!(child.execute_unprepared("SELECT 1").await.is_err());
        drop(child);
        assert_eq!(log.entries(), [""; 0]);
    }

    /// What a callback captured may be a handle of this very unit of work: dropping it must not wait for itself.
    async fn a_discarded_callback_may_own_a_handle(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let work = db.atomic(async |uow| {
            let failed = uow.atomic(async |uow| {
                let child = uow.begin().await?;
                uow.on_commit(move || async move { drop(child) });
                Err::<(), _>(Failure::Failed)
            });
            assert!(failed.await.is_err());
            insert(uow, 1).await?;
            let child = uow.begin().await?;
            uow.on_commit(move || async move { drop(child) });
            uow.after_rollback(log.rolled_back("after_rollback"));
            Ok::<_, Failure>(())
        });
        let failed = timeout(Duration::from_secs(5), work).await.expect("it waits for itself");
        assert!(failed.is_err(), "a child is open");
        assert_eq!(log.entries(), ["after_rollback ChildOpen"]);
    }
}
