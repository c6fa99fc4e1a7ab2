//! Events that are read back from the rows: those of sealed auctions with many bidders, and while somebody bids.

use std::time::Duration;

use auction_ledger::{AuctionId, AuctionLedger, AuctionTerms, Error, RecordingSink};
use chrono::TimeDelta;
use sea_orm::IsolationLevel;

use super::{WON, automatic, charge, end, ledger, open, rejection};
use crate::support::{TestResult, on_every_backend, race, scale, told};

/// More than two batches of releases; at a small scale, more than one.
fn bidders() -> usize {
    scale(450).max(250)
}

/// A bid of each bidder.
async fn with_many_bids(ledger: &AuctionLedger, terms: AuctionTerms) -> Result<AuctionId, Error> {
    let auction = open(ledger, terms.ends_at(end())).await?;
    for index in 0..bidders() {
        ledger.place_bid(auction, format!("bidder {index}"), (20 + index as i64).into()).await?;
    }
    Ok(auction)
}

async fn settle(ledger: &AuctionLedger, auction: AuctionId) -> Result<(), Error> {
    while ledger.settle(auction).await?.releasing {}
    Ok(())
}

on_every_backend! {
    /// Sold, called off before its end, and below its reserve: accepted, called off, and unsold.
    async fn sealed_auctions_with_many_bidders(world: &World) {
        let sink = RecordingSink::new();
        let (ledger, clock) = ledger(world);
        let ledger = ledger.sink_with(sink.clone(), 100_000);
        let names: Vec<_> = (0..bidders()).map(|index| format!("bidder {index}")).collect();
        for name in &names {
            ledger.deposit(name.as_str(), WON, 1_000_000.into()).await?;
        }
        let first_price = || AuctionTerms::sealed_first_price(WON, 10.into());
        let below = || {
            let window = Duration::from_secs(3_600);
            AuctionTerms::sealed_second_price(WON, 10.into()).reserve(9_000.into()).acceptance_window(window)
        };
        let sold = with_many_bids(&ledger, first_price()).await?;
        let called_off = with_many_bids(&ledger, first_price()).await?;
        // A bid that is void, and another one of the same bidder.
        ledger.void_bid(sold, 5, "a mistake").await?;
        ledger.place_bid(sold, "bidder 3", 7_000.into()).await?;
        ledger.cancel(called_off).reason("fire").await?;
        let few = [open(&ledger, below().ends_at(end())).await?, open(&ledger, below().ends_at(end())).await?, open(&ledger, below().ends_at(end())).await?];
        for auction in few {
            for (index, name) in names.iter().take(3).enumerate() {
                ledger.place_bid(auction, name.as_str(), (20 + index as i64).into()).await?;
            }
        }
        clock.set(end());
        settle(&ledger, sold).await?;
        settle(&ledger, called_off).await?;
        for auction in few {
            settle(&ledger, auction).await?;
        }
        ledger.accept_below_reserve(few[0]).by("sam").await?;
        ledger.cancel(few[1]).await?;
        clock.advance(TimeDelta::hours(2));
        settle(&ledger, few[2]).await?;
        told::is_read_back(&ledger, &told::everything(&ledger, &sink).await?).await?;
    }

    /// Whoever is skipped cannot pay any more.
    async fn voids_that_skip(world: &World) {
        let sink = RecordingSink::new();
        let (ledger, _) = ledger(world);
        let ledger = ledger.sink(sink.clone());
        charge(&ledger, &["ann", "bob", "cid", "dan"], 1_000).await?;
        let auction = open(&ledger, automatic().reserve(40.into())).await?;
        for (user, maximum) in [("ann", 100), ("bob", 200), ("cid", 300), ("dan", 400), ("dan", 450)] {
            ledger.place_bid(auction, user, maximum.into()).await?;
        }
        for user in ["bob", "cid"] {
            ledger.withdraw(user, WON, 950.into()).await?;
        }
        let voided = ledger.void_bid(auction, 5, "a mistake").await?;
        assert_eq!(voided.skipped, Vec::<i64>::new(), "dan has raised since");
        let voided = ledger.void_bid(auction, 6, "a mistake").await?;
        assert_eq!((voided.skipped, voided.leader.unwrap().as_str()), (vec![4, 3], "ann"));
        ledger.place_bid(auction, "dan", 90.into()).await?;
        ledger.place_bid(auction, "dan", 500.into()).await?;
        told::is_read_back(&ledger, &told::everything(&ledger, &sink).await?).await?;
    }

    /// Whatever is committed meanwhile, a page has no gap, and none is left out between two.
    async fn a_reader_among_bidders_misses_nothing(world: &World) {
        let sink = RecordingSink::new();
        let (ledger, _) = ledger(world);
        let ledger = ledger.sink_with(sink.clone(), 100_000);
        charge(&ledger, &["ann", "bob", "cid", "dan"], 1_000_000).await?;
        let auction = open(&ledger, automatic()).await?;
        let rounds = scale(100) as i64;
        let reading = tokio::spawn(read_until(ledger.clone(), auction, rounds * 3));
        let bidding = race(4, |index| {
            let ledger = ledger.clone();
            async move {
                for round in 0..rounds * 4 {
                    let user = ["ann", "bob", "cid", "dan"][(index + round as usize) % 4];
                    let bid = ledger.place_bid(auction, user, (10 * (round + 2)).into()).await;
                    if bid.is_err() {
                        rejection(bid);
                        let next = ledger.auction(auction).await?.next_minimum.expect("it is open");
                        _ = ledger.place_bid(auction, user, next).await;
                    }
                }
                Ok::<_, Error>(())
            }
        });
        for outcome in bidding.await {
            outcome?;
        }
        reading.await??;
        told::is_read_back(&ledger, &told::everything(&ledger, &sink).await?).await?;
    }

    /// Ann's raise is void when cid loses against her, and somebody else leads by now.
    async fn a_raise_that_is_void_is_no_maximum(world: &World) {
        let sink = RecordingSink::new();
        let (ledger, _) = ledger(world);
        let ledger = ledger.sink(sink.clone());
        charge(&ledger, &["ann", "bob", "cid"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;
        ledger.place_bid(auction, "ann", 100.into()).await?;
        ledger.place_bid(auction, "ann", 200.into()).await?;
        ledger.void_bid(auction, 3, "a mistake").await?;
        ledger.place_bid(auction, "cid", 50.into()).await?;
        ledger.place_bid(auction, "bob", 120.into()).await?;
        let last = ledger.events(auction).since(5).await?;
        assert_eq!(last.iter().map(|event| event.seq).collect::<Vec<_>>(), [6]);
        told::is_read_back(&ledger, &told::everything(&ledger, &sink).await?).await?;
    }

    /// MariaDB: a unit of work that began before somebody else's bid does not see it, and does see its own, which is behind it.
    async fn a_snapshot_ends_at_the_first_command_that_it_hides(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;
        ledger.place_bid(auction, "ann", 20.into()).await?;
        if world.database() == crate::support::Database::Sqlite {
            return Ok(());
        }
        let neighbour = AuctionLedger::new(world.connect(1).await).clock(clock);
        let root = ledger.unit_of_work().isolation(IsolationLevel::RepeatableRead);
        let seen = root.atomic(async |uow| {
            let before = ledger.events(auction).within(uow).await?.len();
            neighbour.place_bid(auction, "bob", 100.into()).await?;
            ledger.place_bid(auction, "ann", 200.into()).within(uow).await?;
            let mut seen = vec![before];
            for since in 0..=3 {
                seen.push(ledger.events(auction).since(since).within(uow).await?.len());
            }
            Ok::<_, Error>(seen)
        });
        match seen.await {
            Ok(seen) => assert_eq!(seen.into_value(), [2, 2, 1, 0, 0]),
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
        assert_eq!(ledger.events(auction).await?.last().map(|event| event.seq >= 3), Some(true));
    }
}

/// Reads what is new, over and over, until there is so much.
async fn read_until(ledger: AuctionLedger, auction: AuctionId, enough: i64) -> TestResult {
    let mut last = 0;
    while last < enough {
        for event in ledger.events(auction).since(last).limit(7).await? {
            assert!(event.seq == last || event.seq == last + 1, "{last}, and then {}", event.seq);
            last = event.seq;
        }
    }
    Ok(())
}
