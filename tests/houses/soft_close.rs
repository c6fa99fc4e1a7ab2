use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{automatic, books, charge, end, ledger, open, rejection};
use crate::support::on_every_backend;

fn before_end(minutes: i64) -> DateTime<Utc> {
    end() - TimeDelta::minutes(minutes)
}

fn after_end(minutes: i64) -> DateTime<Utc> {
    before_end(-minutes)
}

on_every_backend! {
    /// End 17:30, bid 17:28, window 10: 17:38. And bids two minutes before the end and at it, window 3: three minutes more each.
    async fn a_late_bid_moves_the_end(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let window = |minutes: u64| automatic().soft_close(Duration::from_secs(60 * minutes));
        let (ten, three) = (open(&ledger, window(10)).await?, open(&ledger, window(3)).await?);
        ledger.place_bid(ten, "ann", 50.into()).await?;
        assert_eq!(ledger.auction(ten).await?.ends_at, end(), "an early bid moves nothing");
        clock.set(before_end(2));
        assert_eq!(ledger.place_bid(ten, "bob", 100.into()).await?.ends_at, after_end(8));
        assert_eq!(ledger.place_bid(three, "ann", 50.into()).await?.ends_at, after_end(1));
        clock.set(end());
        assert_eq!(ledger.place_bid(three, "bob", 100.into()).await?.ends_at, after_end(3));
        let auction = ledger.auction(three).await?;
        assert_eq!((auction.ends_at, auction.original_ends_at), (after_end(3), end()));
        assert!(ledger.settle_due(10).await?.settled.is_empty());
        clock.set(after_end(8));
        assert_eq!(ledger.settle_due(10).await?.settled.len(), 2);
        books(world, &ledger).await?;
    }

    async fn what_changes_nothing_moves_nothing(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let terms = automatic().soft_close(Duration::from_secs(600)).soft_close_at_most(Duration::from_secs(900));
        let auction = open(&ledger, terms).await?;
        ledger.place_bid(auction, "ann", 50.into()).await?;
        clock.set(before_end(1));
        // A silent raise, and a bid that is refused.
        assert_eq!(ledger.place_bid(auction, "ann", 200.into()).await?.ends_at, end());
        rejection(ledger.place_bid(auction, "bob", 12.into()).await);
        assert_eq!(ledger.auction(auction).await?.ends_at, end());
        // A bid that loses raises the price, and counts.
        assert_eq!(ledger.place_bid(auction, "bob", 90.into()).await?.ends_at, after_end(9));
        clock.set(after_end(8));
        assert_eq!(ledger.place_bid(auction, "bob", 150.into()).await?.ends_at, after_end(15), "the cap");
        clock.set(after_end(15));
        assert_eq!(ledger.settle(auction).await?.sold.map(|sale| sale.price), Some(155.into()));
        books(world, &ledger).await?;
    }

    async fn more_time(world: &World) {
        use auction_ledger::{Rejection, entity::act::Kind};
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;
        assert_eq!(ledger.extend(auction, after_end(5)).by("sam").await?.ends_at, after_end(5));
        assert_eq!(rejection(ledger.extend(auction, after_end(5)).await), Rejection::NotLater { ends_at: after_end(5) });
        clock.set(after_end(4));
        ledger.place_bid(auction, "ann", 50.into()).await?;
        assert_eq!(rejection(ledger.extend(auction, after_end(9)).by("sam").await), Rejection::HasBids);
        assert_eq!(ledger.extend(auction, after_end(9)).reason("the site was down").await?.ends_at, after_end(9));
        let extended = ledger.acts(auction).await?.pop().expect("it is an act");
        assert_eq!((extended.kind, extended.user, extended.ends_at), (Kind::Extended, None, Some(after_end(9))));
        assert_eq!(extended.reason.as_deref(), Some("the site was down"));
        clock.set(after_end(9));
        assert_eq!(rejection(ledger.extend(auction, after_end(20)).await), Rejection::Ended { at: after_end(9) });
        assert!(ledger.settle(auction).await?.sold.is_some());
        books(world, &ledger).await?;
    }
}
