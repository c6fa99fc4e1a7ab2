use auction_ledger::{EventKind, RecordingSink, Rejection};
use rust_decimal::Decimal;

use super::{automatic, balance, books, charge, ledger, open, rejection, user};
use crate::support::on_every_backend;

on_every_backend! {
    async fn the_whole_maximum_is_held_and_a_bid_that_loses_holds_nothing(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;

        let first = ledger.place_bid(auction, "ann", 100.into()).await?;
        assert_eq!((first.leads, first.price), (true, 10.into()));
        assert_eq!(balance(&ledger, "ann").await?, (900, 100));

        let lost = ledger.place_bid(auction, "bob", 60.into()).await?;
        assert_eq!((lost.leads, lost.price, &lost.outbid), (false, 65.into(), &None));
        assert_eq!(lost.maximum.reveal(), 60.into());
        assert_eq!(balance(&ledger, "bob").await?, (1_000, 0));
        assert_eq!(balance(&ledger, "ann").await?, (900, 100));

        let tie = ledger.place_bid(auction, "bob", 100.into()).await?;
        assert_eq!((tie.leads, tie.price), (false, 100.into()));
        let won = ledger.place_bid(auction, "bob", 107.into()).await?;
        assert_eq!((won.leads, won.price), (true, 105.into()));
        assert_eq!(won.outbid.as_ref().map(|outbid| (outbid.user.clone(), outbid.released.reveal())), Some((user("ann"), 100.into())));
        assert_eq!((balance(&ledger, "ann").await?, balance(&ledger, "bob").await?), ((1_000, 0), (893, 107)));
        books(world, &ledger).await?;
    }

    async fn a_bid_that_would_lose_must_be_paid_for_all_the_same(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        charge(&ledger, &["bob"], 50).await?;
        let auction = open(&ledger, automatic()).await?;
        ledger.place_bid(auction, "ann", 100.into()).await?;
        let refused = rejection(ledger.place_bid(auction, "bob", 60.into()).await);
        assert_eq!(refused, Rejection::InsufficientFunds { needed: 60.into(), available: 50.into() });
        assert_eq!(ledger.auction(auction).await?.price, Some(10.into()));
        books(world, &ledger).await?;
    }

    async fn a_leader_raises_the_own_maximum_by_any_amount(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;
        ledger.place_bid(auction, "ann", 100.into()).await?;
        for too_little in [100, 10, 1] {
            let refused = rejection(ledger.place_bid(auction, "ann", too_little.into()).await);
            assert_eq!(refused, Rejection::NotAboveOwnMaximum);
        }
        let raised = ledger.place_bid(auction, "ann", 101.into()).await?;
        assert_eq!((raised.price, raised.leads), (10.into(), true));
        assert_eq!(balance(&ledger, "ann").await?, (899, 101));
        // The price was capped by the old maximum: the raise completes the increment.
        ledger.place_bid(auction, "bob", 99.into()).await?;
        assert_eq!(ledger.auction(auction).await?.price, Some(101.into()));
        assert_eq!(ledger.place_bid(auction, "ann", 300.into()).await?.price, 104.into());

        clock.set(super::end());
        let sale = ledger.settle(auction).await?.sold.expect("ann has won");
        assert_eq!((sale.winner, sale.price), (user("ann"), 104.into()));
        assert_eq!((balance(&ledger, "ann").await?, balance(&ledger, "sam").await?), ((896, 0), (104, 0)));
        books(world, &ledger).await?;
    }

    /// At most two rows for each bid: whoever leads is shown at the price, whoever does not at the bid that made it.
    async fn the_public_history_shows_two_rows_at_most(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob", "cid"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;
        for (user, maximum) in [("ann", 100), ("bob", 60), ("ann", 200), ("bob", 250), ("bob", 400), ("cid", 300), ("bob", 401)] {
            ledger.place_bid(auction, user, maximum.into()).await?;
        }
        let rows = |records: Vec<auction_ledger::BidRecord>| -> Vec<(i64, String, Decimal, bool)> {
            records.into_iter().map(|one| (one.seq, one.user.to_string(), one.amount, one.automatic)).collect()
        };
        let row = |seq, user: &str, amount: i64, automatic| (seq, user.to_owned(), Decimal::from(amount), automatic);
        let all = [
            row(2, "ann", 10, false),
            row(3, "bob", 60, false),
            row(3, "ann", 65, true),
            row(5, "bob", 205, false),
            row(7, "cid", 300, false),
            row(7, "bob", 305, true),
        ];
        assert_eq!(rows(ledger.bids(auction).await?), all);
        // Page by page it is the same, wherever a page begins.
        for after in 1..8 {
            let rest: Vec<_> = all.iter().filter(|one| one.0 > after).cloned().collect();
            assert_eq!(rows(ledger.bids(auction).after(after).await?), rest, "after {after}");
        }
    }

    async fn everybody_concerned_is_told(world: &World) {
        let (ledger, _) = ledger(world);
        let sink = RecordingSink::new();
        let ledger = ledger.sink(sink.clone());
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;
        ledger.place_bid(auction, "ann", 100.into()).await?;
        ledger.place_bid(auction, "bob", 60.into()).await?;
        ledger.place_bid(auction, "ann", 150.into()).await?;
        let events = sink.wait_for(5).await;
        let placed = |bidder: &str, leader: &str, price: i64, next: i64| EventKind::BidPlaced {
            bidder: user(bidder), leader: user(leader), price: price.into(), next_minimum: Some(next.into()), ends_at: super::end(),
            reserve_met: None,
        };
        let kinds: Vec<_> = events.iter().skip(1).map(|event| (event.seq, event.index, event.kind.clone())).collect();
        assert_eq!(kinds, [
            (2, 0, placed("ann", "ann", 10, 15)),
            (3, 0, placed("bob", "ann", 65, 70)),
            (3, 1, EventKind::Outbid { user: user("bob"), price: 65.into() }),
            (4, 0, EventKind::Unchanged),
        ]);
    }
}
