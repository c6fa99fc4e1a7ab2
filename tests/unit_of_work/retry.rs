//! `Retry`: what is run again, how often, and what never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use auction_ledger::unit_of_work::{Atomic, Error, ErrorKind, LockWait, Retry};
use sea_orm::{ConnectionTrait, DbErr};

use super::locks::{item, items, while_locked};
use super::{Failure, Log, insert, numbers, on_servers, things};
use crate::support::{on_every_backend_bare, on_sqlite_bare};

/// How often the closure ran.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU32>);

impl Runs {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn seen(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

on_every_backend_bare! {
    async fn a_success_runs_once(world: &World) {
        let (db, runs) = (things(world).await?, Runs::default());
        let retry = Retry::new();
        let done = retry.atomic(db.unit_of_work(), async |uow| {
            runs.count();
            insert(uow, 1).await?;
            Ok::<_, DbErr>(uow.attempt())
        });
        assert_eq!((*done.await?, runs.seen()), (1, 1));
        assert_eq!(numbers(db).await?, [1]);
    }

    async fn the_hosts_own_refusal_is_returned_at_once(world: &World) {
        let (db, runs) = (things(world).await?, Runs::default());
        insert(db, 1).await?;
        let retry = Retry::new();
        let failed = retry.atomic(db.unit_of_work(), async |_| {
            runs.count();
            Err::<(), _>(Failure::Failed)
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
        assert_eq!(runs.seen(), 1);
        // Nor is an error of the database that a second run would meet again.
        let retry = Retry::new();
        let failed = retry.atomic(db.unit_of_work(), async |uow| {
            runs.count();
            insert(uow, 1).await
        });
        assert_eq!(ErrorKind::of(&failed.await.unwrap_err()), ErrorKind::UniqueViolation);
        assert_eq!(runs.seen(), 2);
        let retry = Retry::new();
        let failed = retry.atomic(db.unit_of_work(), async |uow| {
            runs.count();
            uow.set_rollback_only();
            Ok::<_, Failure>(())
        });
        assert!(matches!(failed.await.unwrap_err().refusal(), Error::RolledBack { .. }));
        assert_eq!(runs.seen(), 3);
        let retry = Retry::new();
        let vetoed = retry.atomic(db.unit_of_work(), async |uow| {
            runs.count();
            uow.before_commit(async |_| Err::<(), _>(Failure::Failed));
            Ok::<_, Failure>(())
        });
        assert!(matches!(vetoed.await.unwrap_err().refusal(), Error::Vetoed { .. }));
        assert_eq!(runs.seen(), 4);
    }

    async fn a_panic_is_not_repeated(world: &World) {
        let (db, runs) = (world.db(), Runs::default());
        let retry = Retry::new();
        let panicking = retry.atomic(db.unit_of_work(), async |_| -> Result<(), Failure> {
            runs.count();
            panic!("on purpose")
        });
        assert!(
            futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(panicking))
                .await
                .is_err()
        );
        assert_eq!(runs.seen(), 1);
    }
}

on_servers! {
    async fn attempts_are_bounded_and_counted(world: &World) {
        items(world, 1).await?;
        while_locked(world, 1, async || {
            for (asked, expected) in [(0, 1), (1, 1), (3, 3)] {
                let (runs, log) = (Runs::default(), Log::default());
                let retry = Retry::new().attempts(asked);
                let failed = retry.atomic(world.db().unit_of_work(), async |uow| {
                    runs.count();
                    assert_eq!(uow.attempt(), runs.seen());
                    uow.on_commit(log.hook("on_commit"));
                    uow.after_rollback(log.rolled_back(&format!("{}", uow.attempt())));
                    uow.lock_many::<item::Entity>([1], LockWait::NoWait)
                        .await
                        .map_err(Failure::from)
                });
                assert!(matches!(failed.await.unwrap_err().refusal(), Error::LockNotAvailable));
                assert_eq!(runs.seen(), expected);
                let told: Vec<_> =
                    (1..=expected).map(|attempt| format!("{attempt} Failed")).collect();
                assert_eq!(log.entries(), told);
            }
            Ok(())
        })
        .await?;
    }

    async fn no_attempt_begins_after_the_deadline(world: &World) {
        items(world, 1).await?;
        while_locked(world, 1, async || {
            let (runs, start) = (Runs::default(), Instant::now());
            let retry = Retry::new().attempts(1_000_000).deadline(Duration::from_millis(300));
            let failed = retry.atomic(world.db().unit_of_work(), async |uow| {
                runs.count();
                uow.lock_many::<item::Entity>([1], LockWait::NoWait).await
            });
            assert!(failed.await.is_err());
            assert!(runs.seen() > 1);
            assert!(start.elapsed() < Duration::from_secs(3));
            Ok(())
        })
        .await?;
    }

    /// It is the whole unit of work that is run again, wherever in it the lock was not to be had.
    async fn a_lock_timeout_inside_a_savepoint_is_retried_too(world: &World) {
        items(world, 1).await?;
        while_locked(world, 1, async || {
            let runs = Runs::default();
            let retry = Retry::new().attempts(3);
            let failed = retry.atomic(world.db().unit_of_work(), async |uow| {
                runs.count();
                uow.atomic(async |uow| {
                    uow.lock_many::<item::Entity>([1], LockWait::NoWait)
                        .await
                        .map_err(Failure::from)
                })
                .await
            });
            assert!(matches!(failed.await.unwrap_err().refusal(), Error::LockNotAvailable));
            assert_eq!(runs.seen(), 3);
            let runs = Runs::default();
            let retry = Retry::new().attempts(3);
            let failed = retry.atomic(world.db().unit_of_work(), async |uow| {
                runs.count();
                uow.merged(async |uow| {
                    uow.lock_many::<item::Entity>([1], LockWait::NoWait)
                        .await
                        .map_err(Failure::from)
                })
                .await
            });
            assert!(failed.await.is_err());
            assert_eq!(runs.seen(), 3);
            Ok(())
        })
        .await?;
    }

    /// A lock that was not to be had, taken note of and healed, and then a refusal of the host's own: that is final.
    async fn a_refusal_after_a_healed_lock_timeout_is_returned_at_once(world: &World) {
        items(world, 1).await?;
        things(world).await?;
        while_locked(world, 1, async || {
            let runs = Runs::default();
            let retry = Retry::new().attempts(3);
            let failed = retry.atomic(world.db().unit_of_work(), async |uow| {
                runs.count();
                let busy = uow
                    .atomic(async |uow| uow.lock_many::<item::Entity>([1], LockWait::NoWait).await);
                assert!(busy.await.is_err());
                insert(uow, 1).await?;
                Err::<(), _>(Failure::Failed)
            });
            assert!(matches!(failed.await, Err(Failure::Failed)));
            assert_eq!(runs.seen(), 1);
            Ok(())
        })
        .await?;
    }

    /// A swallowed deadlock ends in `RolledBack`, which says that a second run can succeed.
    async fn a_swallowed_lock_timeout_is_retried(world: &World) {
        items(world, 1).await?;
        while_locked(world, 1, async || {
            let runs = Runs::default();
            let retry = Retry::new().attempts(3);
            let failed = retry.atomic(world.db().unit_of_work(), async |uow| {
                runs.count();
                assert!(uow.lock_many::<item::Entity>([1], LockWait::NoWait).await.is_err());
                Ok::<_, Failure>(())
            });
            assert!(matches!(failed.await.unwrap_err().refusal(), Error::RolledBack { .. }));
            assert_eq!(runs.seen(), 3);
            Ok(())
        })
        .await?;
    }

    async fn options_hold_for_every_attempt(world: &World) {
        items(world, 1).await?;
        while_locked(world, 1, async || {
            let (runs, start) = (Runs::default(), Instant::now());
            let root =
                world.db().unit_of_work().name("again").lock_timeout(Duration::from_millis(100));
            let retry = Retry::new().attempts(3);
            let failed = retry.atomic(root, async |uow| {
                assert_eq!(uow.name(), Some("again"));
                runs.count();
                uow.execute_unprepared("UPDATE item SET amount = 1").await
            });
            assert_eq!(ErrorKind::of(&failed.await.unwrap_err()), ErrorKind::LockTimeout);
            assert_eq!(runs.seen(), 3);
            assert!(start.elapsed() < Duration::from_secs(15));
            Ok(())
        })
        .await?;
    }
}

on_sqlite_bare! {
    /// There the lock is BEGIN: the closure does not even run, and it is tried again all the same.
    async fn a_busy_database_is_tried_again(world: &World) {
        let db = things(world).await?;
        let other = world.connect(1).await;
        let (held, holding) = tokio::sync::oneshot::channel();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let holder = tokio::spawn(async move {
            other
                .atomic(async |uow| {
                    insert(uow, 1).await?;
                    held.send(()).unwrap();
                    released.await.ok();
                    Ok::<_, DbErr>(())
                })
                .await
                .map(|done| done.into_value())
        });
        holding.await?;
        let root = db.unit_of_work().lock_timeout(Duration::from_millis(30));
        let retry = Retry::new().attempts(3);
        let refused = retry
            .atomic(root.clone(), async |_| -> Result<(), Failure> { panic!("it must not run") });
        assert!(matches!(refused.await.unwrap_err().refusal(), Error::LockNotAvailable));
        let (done, ()) = tokio::join!(
            async {
                Retry::new()
                    .attempts(1_000)
                    .atomic(root, async |uow| {
                        insert(uow, 2).await?;
                        Ok::<_, DbErr>(uow.attempt())
                    })
                    .await
            },
            async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                release.send(()).unwrap();
            }
        );
        assert!(*done? > 1);
        holder.await??;
        assert_eq!(numbers(db).await?, [1, 2]);
    }
}
