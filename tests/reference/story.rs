//! The reference application's whole story: charge, open, bid, outbid, buy now, expire, settle.

use auction_ledger::{
    AuctionEvent, AuctionLedger, AuctionState, AuctionTerms, Currency, EventKind, ManualClock,
    RecordingSink, SaleKind,
};
use chrono::{DateTime, TimeDelta};
use rust_decimal::Decimal;

use crate::support::on_every_backend;

const WON: Currency = Currency::KRW;

on_every_backend! {
    async fn charge_open_bid_outbid_buy_expire_settle(world: &World) {
        let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let clock = ManualClock::new(start);
        let sink = RecordingSink::new();
        let ledger = AuctionLedger::new(world.db().clone()).clock(clock.clone()).sink(sink.clone());

        // Two neighbours charge their wallets.
        ledger.deposit("mina", WON, 50_000.into()).memo("charge").await?;
        ledger.deposit("joon", WON, 30_000.into()).memo("charge").await?;

        // A third one offers a bicycle, to be bought for 40,000, and a lamp.
        let terms = AuctionTerms::english(WON, 10_000.into(), 1_000.into()).multiple_of(1_000.into());
        let bicycle = terms.clone().buy_now(40_000.into()).ends_at(start + TimeDelta::hours(1));
        let bicycle = ledger.open_auction("seller", "bicycle", bicycle).await?.id;
        let lamp = ledger.open_auction("seller", "lamp", terms.ends_at(start + TimeDelta::hours(2))).await?.id;

        // Joon bids, Mina outbids him: his money is free again before anybody could ask.
        ledger.place_bid(bicycle, "joon", 12_000.into()).await?;
        assert_eq!(balance(&ledger, "joon").await, (18_000.into(), 12_000.into()));
        let bid = ledger.place_bid(bicycle, "mina", 15_000.into()).await?;
        assert_eq!(bid.outbid.map(|outbid| outbid.user), Some("joon".into()));
        assert_eq!(balance(&ledger, "joon").await, (30_000.into(), 0.into()));
        assert_eq!(balance(&ledger, "mina").await, (35_000.into(), 15_000.into()));

        // Mina buys: her hold pays a part of the price, and the seller is paid.
        let purchase = ledger.buy_now(bicycle, "mina").await?;
        assert_eq!((purchase.price, purchase.outbid), (40_000.into(), None));
        assert_eq!(balance(&ledger, "mina").await, (10_000.into(), 0.into()));
        assert_eq!(balance(&ledger, "seller").await, (40_000.into(), 0.into()));

        // Joon bids on the lamp, which expires and is settled by the sweep.
        ledger.place_bid(lamp, "joon", 20_000.into()).await?;
        clock.set(start + TimeDelta::hours(2));
        let sweep = ledger.settle_due(100).await?;
        assert!(sweep.failed.is_empty() && !sweep.more);
        assert_eq!(sweep.settled.len(), 1);
        assert_eq!(ledger.auction(lamp).await?.state, AuctionState::Sold);
        assert_eq!(balance(&ledger, "joon").await, (10_000.into(), 0.into()));
        assert_eq!(balance(&ledger, "seller").await, (60_000.into(), 0.into()));

        // Everybody was told, in the order of what happened to each auction.
        let events = sink.wait_for(9).await;
        let told = |auction| {
            let of = events.iter().filter(move |event| event.auction == auction);
            of.map(|event| (event.seq, event.index, name(event))).collect::<Vec<_>>()
        };
        assert_eq!(told(bicycle), [
            (1, 0, "opened"), (2, 0, "bid"), (3, 0, "bid"), (3, 1, "outbid"), (3, 2, "released"), (4, 0, "bought"),
        ]);
        assert_eq!(told(lamp), [(1, 0, "opened"), (2, 0, "bid"), (3, 0, "settled")]);
    }
}

async fn balance(ledger: &AuctionLedger, user: &str) -> (Decimal, Decimal) {
    let wallet = ledger.wallet(user, WON).await.unwrap();
    (wallet.available, wallet.held)
}

fn name(event: &AuctionEvent) -> &'static str {
    match event.kind {
        EventKind::Opened { .. } => "opened",
        EventKind::BidPlaced { .. } => "bid",
        EventKind::Outbid { .. } => "outbid",
        EventKind::HoldReleased { .. } => "released",
        EventKind::Sold { how: SaleKind::Bought, .. } => "bought",
        EventKind::Sold { .. } => "settled",
        _ => "something else",
    }
}
