//! `atomic` and `merged`: what is stored, by the way in which the blocks ended. After Django's `transactions/tests.py`.

use std::panic::AssertUnwindSafe;

use auction_ledger::unit_of_work::{Atomic, Cause, Error, UnitOfWork};
use futures::FutureExt;
use sea_orm::{DatabaseConnection, DbErr};

use super::{Failure, NOTHING, Stored, insert, numbers, things};
use crate::support::on_every_backend_bare;

on_every_backend_bare! {
    async fn a_block_that_returns_ok_is_stored_and_its_value_comes_back(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            Ok::<_, Failure>("the value")
        });
        let done = done.await?;
        assert_eq!(*done, "the value");
        assert!(done.hooks().is_clean());
        assert_eq!(done.into_value(), "the value");
        assert_eq!(numbers(db).await?, [1]);
    }

    async fn a_block_that_returns_an_error_is_not_stored(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            Err::<(), _>(Failure::Failed)
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
        assert_eq!(numbers(db).await?, NOTHING);
    }

    async fn a_block_that_panics_is_not_stored_and_the_panic_goes_on(world: &World) {
        let db = things(world).await?;
        let panicking = db.atomic(async |uow| -> Result<(), Failure> {
            insert(uow, 1).await?;
            panic!("on purpose")
        });
        let panic = AssertUnwindSafe(panicking).catch_unwind().await.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
        assert_eq!(numbers(db).await?, NOTHING);
    }

    async fn a_nested_block_that_panics_undoes_itself_alone(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let panicking = uow.atomic(async |uow| -> Result<(), Failure> {
                insert(uow, 2).await?;
                panic!("on purpose")
            });
            assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());
            insert(uow, 3).await?;
            Ok::<_, Failure>(())
        });
        assert!(done.await?.hooks().is_clean());
        assert_eq!(numbers(db).await?, [1, 3]);
    }

    async fn a_merged_block_that_panics_breaks_its_parent(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            let panicking = uow.merged(async |uow| -> Result<(), Failure> {
                insert(uow, 2).await?;
                panic!("on purpose")
            });
            assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());
            assert!(matches!(uow.refusal(), Some(Error::Broken { cause: Cause::MergedBlock })));
            Ok::<_, Failure>(())
        });
        let failed = failed.await.unwrap_err();
        assert!(matches!(failed.refusal(), Error::RolledBack { cause: Cause::MergedBlock }));
        assert_eq!(numbers(db).await?, NOTHING);
    }

    /// Django's sixteen `test_nested_…` and `test_merged_…`, each also one level deeper: `AtomicInsideTransaction`.
    async fn nested_and_merged_blocks_store_what_they_store_in_django(world: &World) {
        let db = things(world).await?;
        for deeper in [false, true] {
            for row in DJANGO {
                let stored = play(db, row, deeper).await?;
                assert_eq!(stored, row.stored, "{row:?}, deeper: {deeper}");
            }
        }
    }

    /// Django's `test_merged_inner_savepoint_rollback`: a savepoint around a merged block heals what it broke.
    async fn a_savepoint_around_a_merged_block_takes_its_failure(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let inner = uow.atomic(async |uow| {
                insert(uow, 2).await?;
                uow.merged(async |uow| {
                    insert(uow, 3).await?;
                    Err::<(), _>(Failure::Failed)
                })
                .await
            });
            assert!(matches!(inner.await, Err(Failure::Failed)));
            insert(uow, 4).await?;
            Ok::<_, Failure>(numbers(uow).await?)
        });
        assert_eq!(*done.await?, [1, 4]);
        assert_eq!(numbers(db).await?, [1, 4]);
    }

    /// Django's `test_merged_outer_rollback`: three merged blocks, the outermost of them fails.
    async fn merged_blocks_share_their_fate(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.merged(async |uow| {
                insert(uow, 2).await?;
                uow.merged(async |uow| insert(uow, 3).await.map_err(Failure::from)).await?;
                assert_eq!(numbers(uow).await?, [1, 2, 3]);
                Err::<(), _>(Failure::Failed)
            })
            .await
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
        assert_eq!(numbers(db).await?, NOTHING);
    }

    /// Django's `test_reuse_…`: one atomic object, entered again inside itself.
    async fn one_function_can_be_the_block_at_every_level(world: &World) {
        async fn write(uow: &UnitOfWork) -> Result<(), DbErr> {
            let next = numbers(uow).await?.len() as i32;
            insert(uow, next).await?;
            if next < 3 {
                Box::pin(uow.atomic(write)).await?;
            }
            Ok(())
        }
        let db = things(world).await?;
        assert!(db.atomic(write).await?.hooks().is_clean());
        assert_eq!(numbers(db).await?, [0, 1, 2, 3]);
    }

    async fn fifty_levels_unwind_in_order(world: &World) {
        fn level(
            uow: &UnitOfWork,
            depth: i32,
        ) -> futures::future::BoxFuture<'_, Result<(), Failure>> {
            async move {
                insert(uow, depth).await?;
                if depth == 50 {
                    return Err(Failure::Failed);
                }
                let inner = uow.atomic(async |uow| level(uow, depth + 1).await).await;
                // Every third level lets its error through, the others heal.
                if depth % 3 == 0 { inner } else { Ok(()) }
            }
            .boxed()
        }
        let db = things(world).await?;
        assert!(db.atomic(async |uow| level(uow, 1).await).await?.hooks().is_clean());
        // 50 fails; 49 takes it and is kept, with everything around it.
        assert_eq!(numbers(db).await?, (1..=49).collect::<Vec<_>>());
    }

    /// Django's `test_atomic_does_not_leak_savepoints_on_failure`: PostgreSQL slows down, SQLite and MariaDB keep them all.
    async fn savepoints_do_not_pile_up(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            for num in 0..300 {
                let nested = uow.atomic(async |uow| {
                    insert(uow, num).await?;
                    if num % 2 == 0 { Err(Failure::Failed) } else { Ok(()) }
                });
                assert_eq!(nested.await.is_err(), num % 2 == 0);
            }
            Ok::<_, Failure>(())
        });
        assert!(done.await?.hooks().is_clean());
        assert_eq!(numbers(db).await?.len(), 150);
    }

    async fn nobody_sees_a_block_before_it_is_committed(world: &World) {
        let db = things(world).await?;
        let reader = world.connect(1).await;
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.atomic(async |uow| insert(uow, 2).await).await?;
            assert_eq!(numbers(uow).await?, [1, 2]);
            assert_eq!(numbers(&reader).await?, NOTHING);
            Ok::<_, DbErr>(())
        });
        assert!(done.await?.hooks().is_clean());
        assert_eq!(numbers(&reader).await?, [1, 2]);
    }

    async fn a_failed_root_leaves_the_next_one_alone(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        for num in 0..5 {
            let failed = pool.atomic(async |uow| {
                insert(uow, 100).await?;
                insert(uow, 100).await?;
                Ok::<_, DbErr>(())
            });
            assert!(failed.await.is_err());
            pool.atomic(async |uow| insert(uow, num).await).await?.stored();
        }
        assert_eq!(numbers(db).await?, [0, 1, 2, 3, 4]);
    }
}

/// One of Django's tests: an outer block that inserts 1, and an inner one that inserts 2, whose error is swallowed.
#[derive(Debug)]
struct Row {
    merged: bool,
    inner_fails: bool,
    outer_fails: bool,
    stored: &'static [i32],
}

const fn row(merged: bool, inner_fails: bool, outer_fails: bool, stored: &'static [i32]) -> Row {
    Row { merged, inner_fails, outer_fails, stored }
}

const DJANGO: &[Row] = &[
    row(false, false, false, &[1, 2]), // test_nested_commit_commit
    row(false, false, true, &[]),      // test_nested_commit_rollback
    row(false, true, false, &[1]),     // test_nested_rollback_commit
    row(false, true, true, &[]),       // test_nested_rollback_rollback
    row(true, false, false, &[1, 2]),  // test_merged_commit_commit
    row(true, false, true, &[]),       // test_merged_commit_rollback
    row(true, true, false, &[]),       // test_merged_rollback_commit: everything is rolled back
    row(true, true, true, &[]),        // test_merged_rollback_rollback
];

async fn play(db: &DatabaseConnection, row: &Row, deeper: bool) -> Result<Vec<i32>, DbErr> {
    super::empty(db).await?;
    let outer = async |uow: &UnitOfWork| -> Result<(), Failure> {
        insert(uow, 1).await?;
        let inner = async |uow: &UnitOfWork| -> Result<(), Failure> {
            insert(uow, 2).await?;
            if row.inner_fails { Err(Failure::Failed) } else { Ok(()) }
        };
        let inner = if row.merged { uow.merged(inner).await } else { uow.atomic(inner).await };
        assert_eq!(inner.is_err(), row.inner_fails);
        if row.outer_fails { Err(Failure::Failed) } else { Ok(()) }
    };
    // A merged block that failed makes its parent's Ok a RolledBack.
    let refused = row.outer_fails || (row.merged && row.inner_fails);
    if deeper {
        let done = db.atomic(async |uow| {
            assert_eq!(uow.atomic(outer).await.is_err(), refused);
            Ok::<_, DbErr>(())
        });
        assert!(done.await?.hooks().is_clean());
    } else {
        assert_eq!(db.atomic(outer).await.is_err(), refused);
    }
    numbers(db).await
}
