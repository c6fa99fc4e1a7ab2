use auction_ledger::{AuctionId, AuctionLedger, AuctionState, Availability, Error, Rejection};

use super::{automatic, balance, books, charge, ledger, open, rejection};
use crate::support::on_every_backend;

/// Whether the buy-now price of 50 is offered, at each of these: nobody has bid; a leader below the reserve of 40; one at it;
/// one whose price has reached it.
async fn offers(ledger: &AuctionLedger, auction: AuctionId) -> Result<[bool; 4], Error> {
    let offered = async || Ok::<_, Error>(ledger.auction(auction).await?.buy_now_offer.is_some());
    let nobody = offered().await?;
    ledger.place_bid(auction, "ann", 30.into()).await?;
    let below = offered().await?;
    ledger.place_bid(auction, "ann", 45.into()).await?;
    let met = offered().await?;
    if met {
        // A bid at or above it would buy: the price cannot reach it.
        return Ok([nobody, below, met, true]);
    }
    ledger.place_bid(auction, "ann", 90.into()).await?;
    ledger.place_bid(auction, "bob", 60.into()).await?;
    Ok([nobody, below, met, offered().await?])
}

on_every_backend! {
    async fn four_availabilities(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob"], 10_000).await?;
        for (until, expected) in [
            (Availability::Always, [true, true, true, true]),
            (Availability::UntilFirstBid, [true, false, false, false]),
            (Availability::UntilReserveMet, [true, true, false, false]),
            (Availability::UntilPriceReaches, [true, true, true, true]),
        ] {
            let terms = automatic().reserve(40.into()).buy_now(50.into()).buy_now_until(until);
            let auction = open(&ledger, terms).await?;
            assert_eq!(offers(&ledger, auction).await?, expected, "{until:?}");
            let bought = ledger.buy_now(auction, "bob").await;
            if expected[3] {
                assert_eq!(bought?.price, 50.into());
            } else {
                assert_eq!(rejection(bought), Rejection::BuyNowUnavailable);
            }
        }
        books(world, &ledger).await?;
    }

    async fn a_maximum_at_the_buy_now_price_buys_at_it_and_satisfies_the_reserve(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, automatic().reserve(50.into()).buy_now(50.into())).await?;
        ledger.place_bid(auction, "ann", 30.into()).await?;
        let bid = ledger.place_bid(auction, "bob", 700.into()).await?;
        assert_eq!((bid.bought, bid.leads, bid.price), (true, true, 50.into()));
        assert_eq!(ledger.auction(auction).await?.state, AuctionState::Sold);
        assert_eq!((balance(&ledger, "ann").await?, balance(&ledger, "bob").await?), ((1_000, 0), (950, 0)));
        books(world, &ledger).await?;
    }
}
