//! Where the time comes from.

use auction_ledger::AuctionLedger;
use chrono::{TimeDelta, Utc};

use super::{WON, books, charge, end, ledger, open, start, terms};
use crate::support::{Database, on_every_backend};

on_every_backend! {
    async fn an_auctions_clock_never_goes_back(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 10_000).await?;
        let opening = start() + TimeDelta::minutes(1);
        let auction = open(&ledger, terms().starts_at(opening).buy_now(5_000.into())).await?;
        clock.set(opening + TimeDelta::seconds(10));
        let first = ledger.place_bid(auction, "ann", 100.into()).await?;
        assert_eq!(first.at, clock.now());
        // Behind the last bid, and even behind the opening: the auction stays where it was.
        for back in [opening + TimeDelta::seconds(9), start(), start() - TimeDelta::days(1)] {
            clock.set(back);
            let before = ledger.auction(auction).await?;
            let bid = ledger.place_bid(auction, "bob", before.next_minimum.unwrap()).await?;
            assert_eq!(bid.at, first.at);
            assert_eq!(ledger.auction(auction).await?.ends_at, end());
        }
        clock.set(start());
        let bought = ledger.buy_now(auction, "ann").await?;
        assert_eq!(bought.at, first.at);
        let books = books(world).await?;
        let row = books.auction(auction);
        assert_eq!((row.last_at, row.seq), (first.at.timestamp_micros(), 6));
        // Another auction, of wallets that have seen nothing later, has a clock of its own.
        charge(&ledger, &["dan"], 100).await?;
        let other = ledger.open_auction("kim", "a lens", terms()).await?.id;
        assert_eq!(ledger.place_bid(other, "dan", 100.into()).await?.at, start());
    }

    async fn a_wallets_clock_never_goes_back(world: &World) {
        let (ledger, clock) = ledger(world);
        let later = start() + TimeDelta::seconds(10);
        clock.set(later);
        charge(&ledger, &["ann"], 100).await?;
        clock.set(start());
        ledger.withdraw("ann", WON, 30.into()).await?;
        ledger.deposit("ann", WON, 5.into()).await?;
        let books = books(world).await?;
        let at: Vec<i64> = books.journal("ann").iter().map(|entry| entry.at).collect();
        assert_eq!(at, [later.timestamp_micros(); 3]);
        // Otherwise the past would be told as it never was.
        assert!(ledger.balance_at("ann", WON, start()).await?.available.is_zero());
        assert_eq!(ledger.balance_at("ann", WON, later).await?.available, 75.into());
    }

    async fn a_bid_and_its_entries_have_one_instant(world: &World) {
        let ledger = AuctionLedger::new(world.db().clone());
        charge(&ledger, &["ann", "bob"], 10_000).await?;
        let later = terms().ends_at(Utc::now() + TimeDelta::days(1)).buy_now(500.into());
        let auction = open(&ledger, later).await?;
        for (user, amount) in [("ann", 100), ("bob", 110), ("bob", 130), ("ann", 500)] {
            let bid = ledger.place_bid(auction, user, amount.into()).await?;
            let books = books(world).await?;
            let at = bid.at.timestamp_micros();
            let moved: Vec<_> =
                books.entries.iter().filter(|entry| entry.operation == bid.operation.get()).collect();
            assert!(!moved.is_empty() && moved.iter().all(|entry| entry.at == at), "{moved:?}");
            let mut rows: Vec<_> = books.bids.iter().map(|row| (row.operation, row.at)).collect();
            rows.extend(books.acts.iter().map(|row| (row.operation, row.at)));
            assert!(rows.contains(&(bid.operation.get(), at)));
            assert_eq!(books.auction(auction).last_at, at);
        }
    }

    async fn the_databases_own_clock_judges_unless_asked_otherwise(world: &World) {
        let ledger = AuctionLedger::new(world.db().clone());
        let before = Utc::now().timestamp_micros() - 1_000;
        for _ in 0..30 {
            ledger.deposit("ann", WON, 1.into()).await?;
        }
        let after = Utc::now().timestamp_micros() + 1_000;
        let books = books(world).await?;
        let at: Vec<i64> = books.entries.iter().map(|entry| entry.at).collect();
        assert!(at.is_sorted(), "{at:?}");
        assert!(before <= at[0] && *at.last().unwrap() <= after, "{before} {at:?} {after}");
        // SQLite's clock shows milliseconds, the servers' show microseconds.
        let fine = if world.database() == Database::Sqlite { 1_000 } else { 1 };
        assert!(at.iter().all(|at| at % fine == 0));
        assert!(at.iter().any(|at| at % (fine * 1_000) != 0), "coarser than promised: {at:?}");
        let auction = ledger.open_auction("sam", "a lens", terms().ends_at(Utc::now() - TimeDelta::days(1))).await;
        assert!(auction.is_err(), "the end is not after the start, which is now");
    }

    /// H25: a bid is judged by the time at which it is placed, not by that at which its transaction began.
    async fn a_bid_late_in_a_unit_of_work_has_a_late_instant(world: &World) {
        let ledger = AuctionLedger::new(world.db().clone());
        charge(&ledger, &["ann"], 10_000).await?;
        let auction = open(&ledger, terms().ends_at(Utc::now() + TimeDelta::days(1))).await?;
        let unit = ledger.atomic(async |uow| {
            ledger.deposit("bob", WON, 1.into()).within(uow).await?;
            // Somebody else's transaction, on another connection, begins and ends meanwhile.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let meanwhile = ledger.auction_for(auction, "ann").await?.now;
            let bid = ledger.place_bid(auction, "ann", 100.into()).within(uow).await?;
            Ok::<_, auction_ledger::Error>((meanwhile, bid.at))
        });
        let (meanwhile, at) = unit.await?.into_value();
        assert!(meanwhile <= at, "{meanwhile} {at}");
    }

    /// H25: whoever has waited for an auction is judged by the time after the wait.
    async fn the_clock_is_read_after_the_auctions_lock(world: &World) {
        let ledger = AuctionLedger::new(world.db().clone());
        charge(&ledger, &["ann", "bob"], 10_000).await?;
        let auction = open(&ledger, terms().ends_at(Utc::now() + TimeDelta::days(1))).await?;
        let rival = ledger.clone();
        let (sent, started) = tokio::sync::oneshot::channel();
        let waiting = tokio::spawn(async move {
            _ = started.await;
            rival.place_bid(auction, "bob", 110.into()).await
        });
        let committed = ledger
            .atomic(async move |uow| {
                let ledger = AuctionLedger::new(world.db().clone());
                ledger.place_bid(auction, "ann", 100.into()).within(uow).await?;
                _ = sent.send(());
                // Time for the rival to wait; what is judged does not depend on it.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                ledger.deposit("cyd", WON, 1.into()).within(uow).await?;
                Ok::<_, auction_ledger::Error>(())
            })
            .await?;
        drop(committed);
        let waited = waiting.await??;
        let books = books(world).await?;
        assert!(waited.at.timestamp_micros() >= books.journal("cyd")[0].at, "{waited:?}");
    }
}
