//! What is not an argument of a command: the clock, and the options of a unit of work.

use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Error as UnitOfWorkError, Retry};
use auction_ledger::{AuctionLedger, AuctionTerms, Error, ManualClock, RecordingSink};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::option;
use proptest::prelude::*;
use sea_orm::IsolationLevel;

use super::source::Source;
use super::wild;
use super::{WON, pool};
use crate::support::{Books, Database, on_every_backend, scale};

fn few(database: Database) -> usize {
    scale(if database == Database::Sqlite { 1_000 } else { 200 })
}

/// A way through the life of an auction, with clocks that jump in between.
async fn live(
    ledger: &AuctionLedger,
    clock: &ManualClock,
    number: usize,
    (instants, duration, deltas): ([DateTime<Utc>; 3], Duration, [i64; 2]),
) -> Result<(), Error> {
    let (seller, bidder) = (format!("seller {number}"), format!("bidder {number}"));
    clock.set(instants[0]);
    ledger.deposit(bidder.as_str(), WON, 100.into()).await?;
    clock.set(instants[1]);
    let terms =
        AuctionTerms::english(WON, 10.into(), 1.into()).buy_now(90.into()).ends_in(duration);
    let auction = match ledger.open_auction(seller.as_str(), "a thing", terms).await {
        Err(Error::InvalidTerms(_)) => return Ok(()),
        opened => opened?.id,
    };
    clock.advance(TimeDelta::microseconds(deltas[0]));
    let typed = |answer: Result<(), Error>| match answer {
        Err(error) if error.rejection().is_none() => Err(error),
        _ => Ok(()),
    };
    typed(ledger.place_bid(auction, bidder.as_str(), 20.into()).await.map(drop))?;
    clock.advance(TimeDelta::try_milliseconds(deltas[1]).unwrap_or(TimeDelta::MAX));
    typed(ledger.close_early(auction).by(seller.as_str()).await.map(drop))?;
    clock.set(instants[2]);
    typed(ledger.settle(auction).await.map(drop))?;
    typed(ledger.cancel(auction).await.map(drop))?;
    ledger.settle_due(3).await.map(drop)?;
    ledger.balance_at(bidder.as_str(), WON, clock.now()).await?;
    ledger.auction(auction).await.map(drop)
}

on_every_backend! {
    async fn whatever_the_clock_shows_the_books_obey_their_laws(world: &World) {
        let clock = ManualClock::new(super::start());
        let sink = RecordingSink::new();
        let ledger = AuctionLedger::new(pool(world).await?).clock(clock.clone()).sink_with(sink, usize::MAX);
        let instants = [wild::instant(), wild::instant(), wild::instant()];
        let deltas = [any::<i64>(), any::<i64>()];
        let (inputs, mut source, mut number) = ((instants, wild::duration(), deltas), Source::new(), 0);
        for _ in 0..few(world.database()) {
            source.try_next(&inputs, async |input| {
                number += 1;
                live(&ledger, &clock, number, input).await.map_err(|error| format!("{error:?}"))
            })
            .await;
        }
        let books = Books::read(world.db()).await?;
        books.check();
        let opened = books.auctions.len();
        assert!(opened * 2 > number, "{opened} auctions in {number} lives");
        ledger.connection().close_by_ref().await?;
    }

    async fn any_options_of_a_unit_of_work_are_taken_or_refused(world: &World) {
        let pool = pool(world).await?;
        let ledger = AuctionLedger::new(pool.clone());
        let levels = prop::sample::select(vec![
            IsolationLevel::ReadUncommitted,
            IsolationLevel::ReadCommitted,
            IsolationLevel::RepeatableRead,
            IsolationLevel::Serializable,
        ]);
        // A limit of less than a second can be met, which is another thing.
        let limit = || option::of(wild::duration().prop_map(|limit| limit.saturating_add(Duration::from_secs(2))));
        let inputs = (option::of(levels), limit(), limit(), wild::text(), any::<u32>(), wild::duration());
        let (mut source, mut done) = (Source::new(), 0_i64);
        for _ in 0..few(world.database()) {
            source.try_next(&inputs, async |(level, lock, statement, name, attempts, deadline)| {
                let mut root = pool.unit_of_work().name(name.0);
                if let Some(level) = level {
                    root = root.isolation(level);
                }
                if let Some(limit) = lock {
                    root = root.lock_timeout(limit);
                }
                if let Some(limit) = statement {
                    root = root.statement_timeout(limit);
                }
                let retry = Retry::new().attempts(attempts).deadline(deadline);
                let answer = retry.atomic(root, async |uow| {
                    ledger.deposit("ann", WON, 1.into()).within(uow).await
                });
                let refusable = world.database() == Database::Sqlite && statement.is_some();
                match answer.await {
                    Ok(_) if !refusable => {
                        done += 1;
                        Ok(())
                    }
                    Err(Error::UnitOfWork(UnitOfWorkError::Unsupported { .. })) if refusable => Ok(()),
                    answer => Err(format!("{answer:?}")),
                }
            })
            .await;
        }
        assert_eq!(ledger.wallet("ann", WON).await?.available, done.into());
        assert!(done > 10, "{done}");
        pool.close().await?;
    }
}
