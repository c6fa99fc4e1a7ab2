use std::time::Duration;

use auction_ledger::{AuctionState, AuctionTerms, Error, HouseShare, Secret};
use chrono::TimeDelta;
use rust_decimal::Decimal;

use super::{WON, automatic, charge, end, ledger, open, start, user};
use crate::support::on_every_backend;

fn revealed(secret: Option<Secret>) -> Option<Decimal> {
    secret.map(Secret::reveal)
}

on_every_backend! {
    async fn each_user_sees_their_own_auction(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, automatic().buy_now(500.into()).reserve(60.into())).await?;
        let new = ledger.auction_for(auction, "ann").await?;
        assert_eq!((new.leads, new.next_minimum, new.take_price), (false, Some(10.into()), Some(500.into())));
        assert_eq!((new.is_running, new.now, new.time_left), (true, start(), Duration::from_secs(3600)));

        ledger.place_bid(auction, "ann", 77.into()).await?;
        let ann = ledger.auction_for(auction, "ann").await?;
        assert_eq!((ann.leads, revealed(ann.own_maximum), ann.next_minimum), (true, Some(77.into()), Some(78.into())));
        assert_eq!((ann.auction.reserve_met, ann.auction.price), (Some(true), Some(60.into())));
        let bob = ledger.auction_for(auction, "bob").await?;
        assert_eq!((bob.leads, bob.own_maximum, bob.next_minimum), (false, None, Some(65.into())));
        let sam = ledger.auction_for(auction, "sam").await?;
        assert_eq!((sam.is_seller, sam.next_minimum, sam.take_price), (true, None, None));
        let stranger = ledger.auction_for(auction, "nobody yet").await?;
        assert_eq!((stranger.leads, stranger.next_minimum), (false, Some(65.into())));

        clock.set(end());
        let ended = ledger.auction_for(auction, "ann").await?;
        assert_eq!((ended.is_running, ended.time_left, ended.take_price), (false, Duration::ZERO, None));
        ledger.settle(auction).await?;
        let won = ledger.auction_for(auction, "ann").await?;
        assert_eq!((won.leads, won.own_maximum, won.next_minimum), (true, None, None));
        assert!(matches!(ledger.auction_for(999.into(), "ann").await, Err(Error::UnknownAuction { .. })));
    }

    async fn the_clock_of_a_dutch_auction_is_shown(world: &World) {
        let (ledger, clock) = ledger(world);
        let auction = open(&ledger, AuctionTerms::dutch(WON, 100.into(), 0.into()).ends_at(end())).await?;
        clock.set(start() + TimeDelta::minutes(15));
        let view = ledger.auction_for(auction, "ann").await?;
        assert_eq!((view.take_price, view.next_minimum, view.auction.increment), (Some(75.into()), None, None));
    }

    async fn auctions_are_listed_by_state_and_end(world: &World) {
        let (ledger, clock) = ledger(world);
        let mut ids = Vec::new();
        // Two of the five end at the same instant.
        for minutes in [50, 10, 30, 30, 20] {
            let terms = automatic().ends_at(start() + TimeDelta::minutes(minutes));
            ids.push(open(&ledger, terms).await?);
        }
        let mut seen = Vec::new();
        let mut last = None;
        loop {
            let page = ledger.auctions(AuctionState::Open).limit(2);
            let page = match &last {
                Some(last) => page.after(last).await?,
                None => page.await?,
            };
            seen.extend(page.iter().map(|auction| auction.id));
            match page.last() {
                Some(auction) => last = Some(auction.clone()),
                None => break,
            }
        }
        assert_eq!(seen, [ids[1], ids[4], ids[2], ids[3], ids[0]]);
        clock.set(start() + TimeDelta::minutes(25));
        drop(ledger.settle_due(10).await?);
        let unsold: Vec<_> = ledger.auctions(AuctionState::Unsold).await?.iter().map(|auction| auction.id).collect();
        assert_eq!(unsold, [ids[1], ids[4]]);
        assert_eq!(ledger.auctions(AuctionState::Open).await?.len(), 3);
    }

    async fn holds_are_what_the_wallet_holds(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let premium = automatic().premium(HouseShare::basis_points(10_00));
        let (first, second, third) = (open(&ledger, premium).await?, open(&ledger, automatic()).await?, open(&ledger, automatic()).await?);
        for (auction, user, maximum) in [(first, "ann", 100), (second, "ann", 50), (third, "ann", 70), (third, "bob", 90)] {
            ledger.place_bid(auction, user, maximum.into()).await?;
        }
        ledger.cancel(second).await?;
        let holds = ledger.holds("ann", WON).await?;
        let seen: Vec<_> = holds.iter().map(|hold| (hold.auction, hold.amount.reveal(), hold.price)).collect();
        assert_eq!(seen, [(first, 110.into(), Some(10.into()))]);
        assert_eq!(ledger.wallet("ann", WON).await?.held, 110.into());
        assert_eq!(ledger.holds("bob", WON).await?[0].auction, third);
        assert_eq!(ledger.holds(user("nobody"), WON).await?, []);
    }
}
