//! A root inside a root on the same pool waits for itself: refused at once, unless asked for (H12).

use std::time::{Duration, Instant};

use auction_ledger::unit_of_work::{Atomic, Error, ErrorKind, Retry, capture_on_commit};
use sea_orm::DbErr;

use super::{Failure, Stored, insert, numbers, on_servers, pool, things};
use crate::support::on_every_backend_bare;

on_every_backend_bare! {
    async fn a_root_inside_a_root_on_the_same_pool_is_refused_at_once(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        let start = Instant::now();
        let done = pool.atomic(async |uow| {
            insert(uow, 1).await?;
            let nested =
                pool.atomic(async |_| -> Result<(), Failure> { panic!("it must not run") });
            assert!(matches!(nested.await.unwrap_err().refusal(), Error::NestedRoot));
            // A clone is the same pool; a deeper block and a retry are no way around.
            let clone = pool.clone();
            uow.atomic(async |_| {
                let retry = Retry::new();
                let nested = retry.atomic(clone.unit_of_work(), async |_| Ok::<_, Failure>(()));
                assert!(matches!(nested.await.unwrap_err().refusal(), Error::NestedRoot));
                let nested = capture_on_commit(&clone, async |_| Ok::<_, Failure>(()));
                assert!(matches!(
                    nested.await.map(|captured| captured.value).unwrap_err().refusal(),
                    Error::NestedRoot
                ));
                Ok::<_, DbErr>(())
            })
            .await?;
            assert!(uow.refusal().is_none());
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert!(start.elapsed() < Duration::from_secs(5), "it waited");
        assert_eq!(numbers(db).await?, [1]);
    }

    /// Not nested: beside it, after it, in a task of its own.
    async fn roots_that_are_not_inside_one_another_are_not_refused(world: &World) {
        let db = things(world).await?;
        let (first, second) = tokio::join!(
            db.atomic(async |uow| insert(uow, 1).await),
            db.atomic(async |uow| insert(uow, 2).await)
        );
        first?.stored();
        second?.stored();
        let failed = db.atomic(async |_| Err::<(), _>(Failure::Failed));
        assert!(failed.await.is_err());
        db.atomic(async |uow| insert(uow, 3).await).await?.stored();
        // A future made inside a closure, and awaited after its end, is not inside.
        let again = db.clone();
        let later = db.atomic(async |_| {
            Ok::<_, DbErr>(async move { again.atomic(async |uow| insert(uow, 4).await).await })
        });
        later.await?.into_value().await?.stored();
        assert_eq!(numbers(db).await?, [1, 2, 3, 4]);
    }

    /// A pool that has ended does not lend its address to another one: no false alarm.
    async fn a_root_on_another_pool_is_not_refused(world: &World) {
        let db = things(world).await?;
        let done =
            db.unit_of_work().access_mode(sea_orm::AccessMode::ReadOnly).atomic(async |_| {
                for num in 0..3 {
                    let other = world.connect(1).await;
                    other.atomic(async |uow| insert(uow, num).await).await?.stored();
                }
                Ok::<_, DbErr>(())
            });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [0, 1, 2]);
    }
}

on_servers! {
    async fn a_nested_root_is_allowed_when_asked_for(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let inner =
                db.unit_of_work().allow_nested_root().atomic(async |uow| insert(uow, 2).await);
            inner.await?.stored();
            Err::<(), _>(Failure::Failed)
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
        assert_eq!(numbers(db).await?, [2], "they are two transactions");
    }

    /// What it was asked for in a pool of one: the acquire timeout, told as what it is.
    async fn a_pool_that_waits_for_itself_is_told_as_a_pool_timeout(world: &World) {
        things(world).await?;
        let pool = pool(world.url(), 1, |options| {
            options.acquire_timeout(Duration::from_secs(1));
        })
        .await;
        let done = pool.atomic(async |uow| {
            let inner =
                pool.unit_of_work().allow_nested_root().atomic(async |_| Ok::<_, Failure>(()));
            let refused = inner.await.unwrap_err();
            assert!(matches!(refused.refusal(), Error::Begin { .. }));
            assert_eq!(refused.kind(), Some(ErrorKind::PoolTimeout));
            assert!(!refused.refusal().is_retryable());
            insert(uow, 1).await
        });
        done.await?.stored();
        pool.close().await?;
    }
}
