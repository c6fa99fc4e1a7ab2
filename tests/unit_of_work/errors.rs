//! Refusals: which there are, what they say, and that they come back through SeaORM. After Django's
//! `AtomicErrorsTests`, `AtomicMiscTests` and `DurableTests`.

use std::error::Error as _;
use std::sync::Arc;

use auction_ledger::unit_of_work::{Atomic, Cause, Error, ErrorKind};
use sea_orm::{ConnectionTrait, DbErr, TransactionSession, TransactionTrait};

use super::{Failure, Log, NOTHING, Stored, insert, numbers, things};
use crate::support::{on_every_backend_bare, scale};

on_every_backend_bare! {
    /// Django's `test_atomic_prevents_queries_in_broken_transaction`.
    async fn a_broken_block_refuses_and_names_the_first_error(world: &World) {
        let db = things(world).await?;
        insert(db, 1).await?;
        let failed = db.atomic(async |uow| {
            let first = insert(uow, 1).await.unwrap_err();
            assert_eq!(ErrorKind::of(&first), ErrorKind::UniqueViolation);
            let refused = insert(uow, 2).await.unwrap_err();
            let refused = Error::of(&refused).expect("a refusal").clone();
            assert!(matches!(&refused, Error::Broken { cause: Cause::Statement(cause) } if *cause == first));
            assert_eq!(refused.kind(), Some(ErrorKind::UniqueViolation));
            assert_eq!(refused.to_string(), "the block is broken and must be rolled back first");
            assert!(refused.source().unwrap().to_string().contains(&first.to_string()));
            // The cause stays the first one, whatever is tried.
            let again = numbers(uow).await.unwrap_err();
            assert!(matches!(Error::of(&again), Some(Error::Broken { cause: Cause::Statement(cause) }) if *cause == first));
            Err::<(), _>(Failure::from(first))
        });
        assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::UniqueViolation));
        assert_eq!(numbers(db).await?, [1]);
    }

    /// H15, with several tasks on one handle: between an error and the refusals there is no gap for one more statement.
    async fn after_an_error_no_other_task_gets_through_either(world: &World) {
        let db = things(world).await?;
        insert(db, -1).await?;
        for round in 0..scale(300) {
            let failed = db.atomic(async |uow| {
                let child = Arc::new(uow.begin().await?);
                let log = Log::default();
                let tasks: Vec<_> = (0..6)
                    .map(|task| {
                        let (child, log) = (child.clone(), log.clone());
                        tokio::spawn(async move {
                            for num in 0..1_000 {
                                // The first task is the one that fails, after a while.
                                let num =
                                    if task == 0 && num == 5 { -1 } else { task * 1_000 + num };
                                let Err(error) = insert(&*child, num).await else { continue };
                                match Error::of(&error) {
                                    Some(Error::Broken { .. }) => log.add("refused"),
                                    None if num == -1 => log.add("failed"),
                                    _ => log.add(format!("{error:?}")),
                                }
                                return;
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                let mut entries = log.entries();
                entries.sort_unstable();
                assert_eq!(
                    entries,
                    ["failed", "refused", "refused", "refused", "refused", "refused"],
                    "in round {round}"
                );
                Arc::into_inner(child).unwrap().rollback().await?;
                Err::<(), _>(Failure::Failed)
            });
            assert!(matches!(failed.await, Err(Failure::Failed)));
        }
        assert_eq!(numbers(db).await?, [-1]);
    }

    /// Django's `test_atomic_allows_queries_after_fixing_transaction`, with the only cure that we have.
    async fn the_rollback_of_a_savepoint_heals(world: &World) {
        let db = things(world).await?;
        insert(db, 1).await?;
        let done = db.atomic(async |uow| {
            let savepoint = uow.begin().await?;
            assert!(insert(&savepoint, 1).await.is_err());
            assert!(matches!(savepoint.refusal(), Some(Error::Broken { .. })));
            savepoint.rollback().await?;
            assert!(uow.refusal().is_none());
            insert(uow, 2).await?;
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 2]);
    }

    /// Django's `test_mark_for_rollback_on_error_in_autocommit`.
    async fn an_error_outside_a_block_breaks_nothing(world: &World) {
        let db = things(world).await?;
        insert(db, 1).await?;
        assert!(insert(db, 1).await.is_err());
        insert(db, 2).await?;
        db.atomic(async |uow| insert(uow, 3).await).await?.stored();
        assert_eq!(numbers(db).await?, [1, 2, 3]);
    }

    /// SeaORM's own errors are no failed statements: the database said nothing.
    async fn an_error_that_is_not_the_databases_breaks_nothing(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let text: Result<String, _> = super::text(uow, "SELECT num FROM thing").await;
            assert!(text.is_err(), "a number is no text");
            let conversion: Result<i32, _> = uow
                .query_one_raw(sea_orm::Statement::from_string(
                    uow.get_database_backend(),
                    "SELECT num FROM thing",
                ))
                .await?
                .unwrap()
                .try_get("", "no_such_column");
            assert!(conversion.is_err());
            insert(uow, 2).await?;
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 2]);
    }

    /// Django's `test_force_rollback`, H10.
    async fn a_rollback_only_block_refuses_and_ends_in_rolled_back(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.set_rollback_only();
            let refused = insert(uow, 2).await.unwrap_err();
            assert!(matches!(Error::of(&refused), Some(Error::RollbackOnly)));
            assert!(matches!(uow.refusal(), Some(Error::RollbackOnly)));
            Ok::<_, Failure>(())
        });
        let failed = failed.await.unwrap_err();
        assert!(matches!(failed.refusal(), Error::RolledBack { cause: Cause::RollbackOnly }));
        assert_eq!(failed.refusal().kind(), None);
        assert!(!failed.refusal().is_retryable());
        assert_eq!(numbers(db).await?, NOTHING);
    }

    /// Django's `test_force_rollback` inside a transaction.
    async fn a_nested_rollback_only_block_undoes_itself_alone(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let inner: Result<(), Failure> = uow
                .atomic(async |uow| {
                    insert(uow, 2).await?;
                    uow.set_rollback_only();
                    Ok(())
                })
                .await;
            assert!(matches!(
                inner.unwrap_err().refusal(),
                Error::RolledBack { cause: Cause::RollbackOnly }
            ));
            insert(uow, 3).await?;
            Ok::<_, Failure>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 3]);
    }

    /// A rollback-only block's own error is returned, not replaced.
    async fn the_hosts_error_is_never_replaced(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            uow.set_rollback_only();
            Err::<(), _>(Failure::Failed)
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            assert!(insert(uow, 1).await.is_err());
            Err::<(), _>(Failure::Failed)
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
    }

    /// In a broken or rollback-only block `atomic` and `merged` take no savepoint, run, and have their statements refused.
    async fn a_block_inside_a_broken_one_runs_and_is_refused(world: &World) {
        let db = things(world).await?;
        for only in [false, true] {
            let failed = db.atomic(async |uow| {
                if only {
                    uow.set_rollback_only();
                } else {
                    assert!(uow.execute_unprepared("nonsense").await.is_err());
                }
                let mut ran = 0;
                let inner: Result<(), Failure> = uow
                    .atomic(async |uow| {
                        ran += 1;
                        let refused = Failure::from(insert(uow, 1).await.unwrap_err());
                        assert!(matches!(
                            refused.refusal(),
                            Error::Broken { .. } | Error::RollbackOnly
                        ));
                        Ok(())
                    })
                    .await;
                assert!(matches!(inner.unwrap_err().refusal(), Error::RolledBack { .. }));
                let inner: Result<(), Failure> = uow
                    .merged(async |_| {
                        ran += 1;
                        Err(Failure::Failed)
                    })
                    .await;
                assert!(matches!(inner, Err(Failure::Failed)));
                assert_eq!(ran, 2);
                let refused = uow.begin().await.unwrap_err();
                assert!(matches!(
                    Error::of(&refused),
                    Some(Error::Broken { .. } | Error::RollbackOnly)
                ));
                Ok::<_, Failure>(())
            });
            assert!(matches!(failed.await.unwrap_err().refusal(), Error::RolledBack { .. }));
        }
        assert_eq!(numbers(db).await?, NOTHING);
    }

    /// Django's `DurableTests`: `test_nested_inner_durable`, `test_nested_both_durable`.
    async fn a_durable_block_is_refused_inside_another_and_breaks_nothing(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let refused: Result<(), Failure> =
                uow.durable(async |_| panic!("it must not run")).await;
            assert!(matches!(refused.unwrap_err().refusal(), Error::NotDurable));
            uow.atomic(async |uow| {
                let refused: Result<(), Failure> = uow.durable(async |_| Ok(())).await;
                assert!(matches!(refused.unwrap_err().refusal(), Error::NotDurable));
                insert(uow, 2).await
            })
            .await?;
            Ok::<_, Failure>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 2]);
    }

    /// `NotDurable` comes before everything else: also in a broken block, and while a child is open.
    async fn durable_is_judged_first(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            let child = uow.begin().await?;
            let refused: Result<(), Failure> = uow.durable(async |_| Ok(())).await;
            assert!(matches!(refused.unwrap_err().refusal(), Error::NotDurable));
            child.rollback().await?;
            assert!(uow.execute_unprepared("nonsense").await.is_err());
            let refused: Result<(), Failure> = uow.durable(async |_| Ok(())).await;
            assert!(matches!(refused.unwrap_err().refusal(), Error::NotDurable));
            Ok::<_, Failure>(())
        });
        assert!(matches!(
            failed.await.unwrap_err().refusal(),
            Error::RolledBack { cause: Cause::Statement(_) }
        ));
    }
}

#[test]
fn a_refusal_travels_through_seaorm_and_back() {
    let sent = DbErr::from(Error::NotDurable);
    assert!(matches!(Error::of(&sent), Some(Error::NotDurable)));
    assert!(Error::of(&DbErr::Custom("not ours".to_owned())).is_none());
    assert_eq!(ErrorKind::of(&sent), ErrorKind::Other);
    assert!(Error::LockNotAvailable.is_retryable());
    assert!(!Error::Ended.is_retryable());
    let unknown = Error::CommitUnknown {
        error: DbErr::ConnectionAcquire(sea_orm::error::ConnAcquireErr::ConnectionClosed),
    };
    assert_eq!(unknown.kind(), Some(ErrorKind::PoolClosed));
    assert!(!unknown.is_retryable());
}
