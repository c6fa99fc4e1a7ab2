//! All connections of the pool are taken.

use std::time::Duration;

use auction_ledger::Error;
use auction_ledger::unit_of_work::ErrorKind;
use sea_orm::{ConnectOptions, TransactionTrait};

use super::boundaries::{House, Verb};
use super::{Wish, look};
use crate::support::{on_every_backend, race};

/// What the database said, wherever in the error it stands.
fn kind(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::UnitOfWork(refusal) => refusal.kind(),
        Error::Database(error) => Some(ErrorKind::of(error)),
        _ => None,
    }
}

on_every_backend! {
    async fn an_exhausted_pool_is_a_typed_error_and_recovers(world: &World) {
        let house = House::new(world).await?;
        let impatient = |options: &mut ConnectOptions| {
            options.acquire_timeout(Duration::from_secs(1));
        };
        let pool = world.connect_with(2, impatient).await;
        let ledger = house.behind(&pool);
        let mut wishes: Vec<(Verb, Wish)> = Vec::new();
        for verb in super::lock_waits::VERBS {
            wishes.push((verb, house.wish(verb).await?));
        }
        let held = [pool.begin().await?, pool.begin().await?];
        let outcomes = race(wishes.len(), |index| {
            let (ledger, log, wish) = (ledger.clone(), house.log.clone(), wishes[index].1.clone());
            async move { log.send(&ledger, wish).await }
        });
        for ((verb, _), outcome) in wishes.iter().zip(outcomes.await) {
            let error = outcome.expect_err("there is no connection");
            assert_eq!(kind(&error), Some(ErrorKind::PoolTimeout), "{verb:?}: {error:?}");
            assert!(!super::is_unknown(&error), "{verb:?}");
        }
        let read = ledger.wallet("ann", super::WON).await.expect_err("there is no connection");
        assert_eq!(kind(&read), Some(ErrorKind::PoolTimeout), "{read:?}");
        look(world.db(), &house.log).await?;
        for transaction in held {
            transaction.rollback().await?;
        }
        for (verb, wish) in wishes {
            house.log.send(&ledger, wish).await.map_err(|error| format!("{verb:?}: {error:?}"))?;
        }
        house.close().await?;
    }
}
