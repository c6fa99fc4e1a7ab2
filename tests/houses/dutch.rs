use std::time::Duration;

use auction_ledger::{AuctionState, AuctionTerms, Rejection};
use chrono::TimeDelta;

use super::{WON, balance, books, charge, end, ledger, open, rejection, start, user};
use crate::support::{on_every_backend, race};

on_every_backend! {
    /// 1,000 to 0 over an hour, read every 360 seconds: 1000, 900, 800 … 100.
    async fn the_taker_pays_what_the_clock_says(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 10_000).await?;
        let mut spent = 0;
        for step in 0..10 {
            clock.set(start());
            let auction = open(&ledger, AuctionTerms::dutch(WON, 1_000.into(), 0.into()).ends_at(end())).await?;
            clock.set(start() + TimeDelta::seconds(360 * step));
            let price = 1_000 - 100 * step;
            let refused = rejection(ledger.take(auction, "ann", (price - 1).into()).await);
            assert_eq!(refused, Rejection::AboveLimit { price: price.into() });
            let purchase = ledger.take(auction, "ann", 1_000.into()).await?;
            assert_eq!((purchase.price, purchase.buyer), (price.into(), user("ann")));
            spent += price;
            let sold = ledger.auction(auction).await?;
            assert_eq!((sold.state, sold.price, sold.leader), (AuctionState::Sold, Some(price.into()), Some(user("ann"))));
        }
        assert_eq!((balance(&ledger, "ann").await?, balance(&ledger, "sam").await?), ((10_000 - spent, 0), (spent, 0)));
        books(world, &ledger).await?;
    }

    async fn steps_and_the_end_of_the_clock(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let steps = [(minutes(0), 100.into()), (minutes(20), 70.into()), (minutes(40), 40.into())];
        let terms = AuctionTerms::dutch_in_steps(WON, steps).ends_at(end());
        let (taken, left) = (open(&ledger, terms.clone()).await?, open(&ledger, terms).await?);
        assert_eq!(rejection(ledger.place_bid(taken, "ann", 100.into()).await), Rejection::TakesNoBids);
        assert_eq!(rejection(ledger.take(taken, "sam", 100.into()).await), Rejection::SellerCannotBuy);
        clock.set(start() + TimeDelta::minutes(40) - TimeDelta::microseconds(1));
        assert_eq!(ledger.take(taken, "ann", 70.into()).await?.price, 70.into());
        clock.set(end());
        assert_eq!(rejection(ledger.take(left, "ann", 70.into()).await), Rejection::Ended { at: end() });
        assert_eq!(ledger.settle(left).await?.sold, None);
        assert_eq!(ledger.settle(taken).await?.sold.map(|sale| sale.price), Some(70.into()));
        books(world, &ledger).await?;
    }

    async fn of_many_takers_the_first_wins(world: &World) {
        let (ledger, _) = ledger(world);
        let auction = open(&ledger, AuctionTerms::fixed_price(WON, 50.into()).ends_at(end())).await?;
        let names: Vec<String> = (0..16).map(|number| format!("taker {number}")).collect();
        for name in &names {
            ledger.deposit(name.as_str(), WON, 80.into()).await?;
        }
        let results = race(names.len(), |index| {
            let (ledger, name) = (ledger.clone(), names[index].clone());
            async move { ledger.take(auction, name, 60.into()).await }
        }).await;
        let taken: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].price, 50.into());
        for refused in results.into_iter().filter(Result::is_err) {
            assert_eq!(rejection(refused), Rejection::Closed { state: AuctionState::Sold });
        }
        books(world, &ledger).await?;
    }

    async fn nobody_takes_it_for_nothing(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        let terms = AuctionTerms::dutch(WON, 100.into(), 0.into()).ends_at(end());
        let auction = open(&ledger, terms).await?;
        ledger.extend(auction, end() + TimeDelta::hours(1)).by("sam").await?;
        clock.set(end() + TimeDelta::minutes(1));
        assert_eq!(ledger.auction_for(auction, "ann").await?.take_price, None);
        assert_eq!(rejection(ledger.take(auction, "ann", 100.into()).await), Rejection::BuyNowUnavailable);
        books(world, &ledger).await?;
    }
}
