//! `capture_on_commit`: the callbacks of a unit of work in a host's tests, as production would have run them (H11).

use auction_ledger::unit_of_work::{Atomic, Error, capture_on_commit};
use sea_orm::{DbErr, TransactionTrait};

use super::{Failure, Log, NOTHING, insert, numbers, things};
use crate::support::on_every_backend_bare;

on_every_backend_bare! {
    async fn callbacks_are_captured_and_nothing_is_stored(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let captured = capture_on_commit(db, async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(log.hook("first"));
            uow.after_rollback(log.rolled_back("after_rollback"));
            uow.on_commit(log.hook("second"));
            Ok::<_, Failure>("value")
        });
        let captured = captured.await?;
        assert_eq!((captured.value, captured.len(), captured.is_empty()), ("value", 2, false));
        assert_eq!(numbers(db).await?, NOTHING);
        assert_eq!(log.entries(), ["after_rollback Captured"]);
        assert_eq!(captured.run().await.succeeded, 2);
        assert_eq!(log.entries()[1..], ["first", "second"]);
    }

    /// Django runs them even if the body raised.
    async fn a_body_that_fails_has_none(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        insert(db, 1).await?;
        let failed = capture_on_commit(db, async |uow| {
            uow.on_commit(log.hook("it ran"));
            Err::<(), _>(Failure::Failed)
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
        let broken = capture_on_commit(db, async |uow| {
            uow.on_commit(log.hook("it ran"));
            assert!(insert(uow, 1).await.is_err());
            Ok::<_, Failure>(())
        });
        assert!(matches!(
            broken.await.unwrap_err().refusal(),
            Error::Broken { .. } | Error::RolledBack { .. }
        ));
        assert_eq!(log.entries(), [""; 0]);
    }

    /// Django runs what a callback registers breadth-first; production and we run it depth-first.
    async fn what_a_callback_registers_runs_at_once(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let (again, inner) = (db.clone(), log.clone());
        let captured = capture_on_commit(db, async |uow| {
            uow.on_commit(move || async move {
                inner.add("1");
                again.on_commit(inner.hook("1.1")).await;
            });
            uow.on_commit(log.hook("2"));
            Ok::<_, DbErr>(())
        });
        captured.await?.run().await;
        assert_eq!(log.entries(), ["1", "1.1", "2"]);
    }

    async fn a_failing_callback_stops_the_later_ones(world: &World) {
        let (db, log) = (world.db(), Log::default());
        let captured = capture_on_commit(db, async |uow| {
            uow.on_commit_robust(|| async { Err::<(), _>(Failure::Failed) });
            uow.on_commit(|| async { Err::<(), _>(Failure::Failed) });
            uow.on_commit(log.hook("skipped"));
            Ok::<_, DbErr>(())
        });
        let report = captured.await?.run().await;
        assert_eq!((report.failed.len(), report.skipped), (2, 1));
        assert_eq!(log.entries(), [""; 0]);
    }

    async fn a_rolled_back_savepoint_has_none(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let captured = capture_on_commit(db, async |uow| {
            let failed = uow.atomic(async |uow| {
                uow.on_commit(log.hook("failed"));
                Err::<(), _>(Failure::Failed)
            });
            assert!(failed.await.is_err());
            let child = uow.begin().await?;
            child.on_commit(log.hook("of the dropped child"));
            drop(child);
            uow.on_commit(log.hook("kept"));
            Ok::<_, Failure>(())
        });
        captured.await?.run().await;
        assert_eq!(log.entries(), ["kept"]);
    }

    /// Production would have refused to commit it.
    async fn a_child_left_open_is_an_error(world: &World) {
        let db = things(world).await?;
        let captured = capture_on_commit(db, async |uow| {
            std::mem::forget(uow.begin().await?);
            Ok::<_, Failure>(())
        });
        let refused = captured.await.map(|captured| captured.value);
        assert!(matches!(refused.unwrap_err().refusal(), Error::ChildOpen));
    }
}
