//! Published examples of automatic bidding.

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Currency, Error, Increments, Rejection, UserId,
};
use rust_decimal::Decimal;
use serde_json::Value;
use std::time::Duration;

use crate::support::{on_every_backend, report, vectors};

on_every_backend! {
    async fn proxy_bidding(world: &World) {
        let cases = vectors("proxy_bidding");
        let ledger = AuctionLedger::new(world.db().clone());
        let mut agreed = 0;
        for case in &cases {
            match replay(&ledger, case).await {
                Ok(()) => agreed += 1,
                Err(difference) => println!("{}: {difference}", case["name"]),
            }
        }
        report("proxy_bidding", world.database(), agreed, cases.len());
        assert_eq!(agreed, cases.len());
    }
}

const CURRENCY: Currency = Currency::USD;

fn amount(value: &Value) -> Decimal {
    value.as_str().expect("an amount is a text").parse().expect("an amount")
}

async fn replay(ledger: &AuctionLedger, case: &Value) -> Result<(), String> {
    let told = |error: Error| format!("{error:?}");
    let auction = open(ledger, case).await.map_err(told)?;
    let bids = case["bids"].as_array().unwrap();
    let expected = case["expect"].as_array().unwrap();
    assert_eq!(bids.len(), expected.len(), "{}: each bid has an answer", case["name"]);
    for (index, (bid, expected)) in bids.iter().zip(expected).enumerate() {
        let (user, maximum) = (bid[0].as_str().unwrap(), amount(&bid[1]));
        ledger.deposit(user, CURRENCY, maximum).await.map_err(told)?;
        let answer = ledger.place_bid(auction, user, maximum).await;
        let state = ledger.auction(auction).await.map_err(told)?;
        let agrees = match (&answer, expected["rejected"].as_str()) {
            (Ok(bid), None) => {
                let leader = expected["leader"].as_str().map(UserId::from);
                let price = amount(&expected["price"]);
                bid.leads == (leader.as_ref() == Some(&bid.user))
                    && (bid.price, state.leader, state.price) == (price, leader, Some(price))
            }
            (Err(Error::Rejected(Rejection::BelowMinimum { minimum })), Some("BelowMinimum")) => {
                *minimum == amount(&expected["minimum"]) && state.next_minimum == Some(*minimum)
            }
            (Err(Error::Rejected(Rejection::NotAboveOwnMaximum)), Some("NotAboveOwnMaximum")) => {
                true
            }
            _ => false,
        };
        if !agrees {
            return Err(format!("bid {index}: expected {expected}, came {answer:?}"));
        }
    }
    Ok(())
}

async fn open(ledger: &AuctionLedger, case: &Value) -> Result<AuctionId, Error> {
    let rows = case["increments"].as_array().unwrap();
    let rows = rows.iter().map(|row| (amount(&row[0]), amount(&row[1])));
    let mut terms = AuctionTerms::english(CURRENCY, amount(&case["start_price"]), Decimal::ONE)
        .automatic_bidding()
        .increments(Increments::table(rows))
        .ends_in(Duration::from_secs(3600));
    if !case["reserve"].is_null() {
        terms = terms.reserve(amount(&case["reserve"]));
    }
    Ok(ledger.open_auction("the seller", "a thing", terms).await?.id)
}
