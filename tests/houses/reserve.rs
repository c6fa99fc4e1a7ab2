use std::time::Duration;

use auction_ledger::entity::act;
use auction_ledger::{AuctionEvent, AuctionState, Error, EventKind, Rejection};
use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, EntityTrait};

use super::{automatic, balance, books, charge, end, ledger, open, rejection, user};
use crate::support::{Database, on_every_backend};

on_every_backend! {
    async fn an_auction_below_its_reserve_is_unsold_and_releases(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        let auction = open(&ledger, automatic().reserve(80.into())).await?;
        ledger.place_bid(auction, "ann", 79.into()).await?;
        assert_eq!(ledger.auction(auction).await?.reserve_met, Some(false));
        clock.set(end());
        let settlement = ledger.settle(auction).await?;
        assert_eq!((settlement.sold, settlement.awaiting_seller_until), (None, None));
        assert_eq!((ledger.auction(auction).await?.state, balance(&ledger, "ann").await?), (AuctionState::Unsold, (100, 0)));
        books(world, &ledger).await?;
    }

    async fn the_price_jumps_to_the_reserve_at_the_first_maximum_that_meets_it(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 200).await?;
        let auction = open(&ledger, automatic().reserve(80.into())).await?;
        ledger.place_bid(auction, "ann", 50.into()).await?;
        let met = ledger.place_bid(auction, "bob", 80.into()).await?;
        assert_eq!(met.price, 80.into());
        assert_eq!(ledger.auction(auction).await?.reserve_met, Some(true));
        clock.set(end());
        assert_eq!(ledger.settle(auction).await?.sold.map(|sale| sale.price), Some(80.into()));
        books(world, &ledger).await?;
    }

    async fn the_seller_accepts_within_the_window(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        let terms = automatic().reserve(80.into()).acceptance_window(Duration::from_secs(600));
        let auction = open(&ledger, terms).await?;
        ledger.place_bid(auction, "ann", 60.into()).await?;
        clock.set(end());
        let until = end() + TimeDelta::minutes(10);
        let sweep = ledger.settle_due(10).await?;
        assert_eq!(sweep.settled.len(), 1);
        assert_eq!((&sweep.settled[0].sold, sweep.settled[0].awaiting_seller_until), (&None, Some(until)));
        // It waits: the money is held, no bid counts, and it is not due.
        assert_eq!((ledger.auction(auction).await?.state, balance(&ledger, "ann").await?), (AuctionState::AwaitingSeller, (40, 60)));
        books(world, &ledger).await?;
        assert!(ledger.settle_due(10).await?.settled.is_empty());
        assert_eq!(rejection(ledger.settle(auction).await), Rejection::AwaitingSeller { until });
        let closed = Rejection::Closed { state: AuctionState::AwaitingSeller };
        assert_eq!(rejection(ledger.place_bid(auction, "ann", 90.into()).await), closed);
        assert_eq!(rejection(ledger.accept_below_reserve(auction).by("ann").await), Rejection::NotSeller);
        clock.set(until - TimeDelta::microseconds(1));
        let sale = ledger.accept_below_reserve(auction).by("sam").reason("better than nothing").await?.sold.expect("sold");
        assert_eq!((sale.winner, sale.price), (user("ann"), 10.into()));
        assert_eq!((balance(&ledger, "ann").await?, balance(&ledger, "sam").await?), ((90, 0), (10, 0)));
        let kinds: Vec<_> = ledger.acts(auction).await?.iter().map(|act| act.kind).collect();
        assert_eq!(kinds, [act::Kind::Opened, act::Kind::AwaitingSeller, act::Kind::AcceptedBelowReserve]);
        assert!(ledger.settle(auction).await?.repeated);
        books(world, &ledger).await?;
    }

    async fn the_window_passes(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        let terms = automatic().reserve(80.into()).acceptance_window(Duration::from_secs(600));
        let auction = open(&ledger, terms).await?;
        ledger.place_bid(auction, "ann", 60.into()).await?;
        clock.set(end());
        ledger.settle(auction).await?;
        let until = end() + TimeDelta::minutes(10);
        clock.set(until);
        assert_eq!(rejection(ledger.accept_below_reserve(auction).await), Rejection::Ended { at: until });
        let sweep = ledger.settle_due(10).await?;
        assert_eq!((sweep.settled.len(), balance(&ledger, "ann").await?), (1, (100, 0)));
        assert_eq!(ledger.auction(auction).await?.state, AuctionState::Unsold);
        books(world, &ledger).await?;
    }

    async fn a_lowered_reserve_is_met_and_is_not_told(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        let auction = open(&ledger, automatic().reserve(90.into())).await?;
        ledger.place_bid(auction, "ann", 60.into()).await?;
        assert_eq!(rejection(ledger.lower_reserve(auction, 50.into()).by("ann").await), Rejection::NotSeller);
        assert_eq!(rejection(ledger.lower_reserve(auction, 90.into()).await), Rejection::ReserveNotLower);
        let lowered = ledger.lower_reserve(auction, 61.into()).by("sam").await?;
        assert_eq!((lowered.price, lowered.reserve_met), (Some(10.into()), Some(false)));
        let met = ledger.lower_reserve(auction, 55.into()).by("sam").await?;
        assert_eq!((met.price, met.reserve_met), (Some(55.into()), Some(true)));
        assert_eq!(rejection(ledger.lower_reserve(auction, 50.into()).by("sam").await), Rejection::ReserveMet);
        let acts = ledger.acts(auction).await?;
        assert!(acts.iter().all(|act| act.amount.is_none()), "{acts:?}");
        books(world, &ledger).await?;
    }

    /// Its act says what it was, to nobody. Where the act does not, it was more than anybody had bid.
    async fn what_the_reserve_was_before_it_was_lowered_is_known_to_the_events(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob"], 200).await?;
        let auction = open(&ledger, automatic().reserve(80.into())).await?;
        ledger.place_bid(auction, "ann", 50.into()).await?;
        ledger.lower_reserve(auction, 70.into()).by("sam").await?;
        ledger.place_bid(auction, "bob", 60.into()).await?;
        ledger.lower_reserve(auction, 40.into()).by("sam").await?;
        ledger.place_bid(auction, "ann", 100.into()).await?;
        let met = async || {
            let met = |event: AuctionEvent| match event.kind {
                EventKind::BidPlaced { reserve_met, .. } => Some(reserve_met),
                _ => None,
            };
            let events = ledger.events(auction).await?;
            Ok::<_, Error>(events.into_iter().filter_map(met).collect::<Vec<_>>())
        };
        assert_eq!(met().await?, [Some(false), Some(false), Some(true)]);
        assert!(ledger.acts(auction).await?.iter().all(|act| act.amount.is_none()));
        let opened = act::Entity::find_by_id((auction.get(), 1)).one(world.db()).await?;
        assert_eq!(opened.and_then(|opened| opened.amount), Some(80));
        let triggers = match world.database() {
            Database::Postgres => "ALTER TABLE al_act DISABLE TRIGGER USER",
            Database::Mariadb | Database::Sqlite => "DROP TRIGGER al_act_no_update",
        };
        for sql in [triggers, "UPDATE al_act SET amount = NULL WHERE seq = 1"] {
            world.db().execute_unprepared(sql).await?;
        }
        assert_eq!(met().await?, [Some(false), Some(false), Some(true)]);
    }
}
