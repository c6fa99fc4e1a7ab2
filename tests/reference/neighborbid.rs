//! 200 random histories answered by the reference application.

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionState, AuctionTerms, Currency, Error, ManualClock, Rejection,
    Settlement,
};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};

use crate::support::{World, on_every_backend, report, vectors};

on_every_backend! {
    async fn neighborbid(world: &World) {
        let cases = vectors("neighborbid");
        let mut agreed = 0;
        for case in &cases {
            match replay(world, case).await {
                Ok(()) => agreed += 1,
                Err(difference) => println!("seed {}: {difference}", case["seed"]),
            }
        }
        report("neighborbid", world.database(), agreed, cases.len());
        assert_eq!(agreed, cases.len());
    }
}

const CURRENCY: Currency = Currency::KRW;

/// The instant at which every history happens.
fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

async fn replay(world: &World, case: &Value) -> Result<(), String> {
    let clock = ManualClock::new(now() - TimeDelta::hours(2));
    let ledger = AuctionLedger::new(world.db().clone()).clock(clock.clone());
    // Users of one history are not those of another.
    let user = |number: &Value| format!("{}/{number}", case["seed"]);
    for (number, deposit) in case["deposits"].as_array().unwrap().iter().enumerate() {
        if deposit != 0 {
            let amount = deposit.as_i64().unwrap().into();
            ledger
                .deposit(user(&number.into()), CURRENCY, amount)
                .await
                .map_err(|error| error.to_string())?;
        }
    }
    let mut auctions = Vec::new();
    for auction in case["auctions"].as_array().unwrap() {
        auctions.push(
            open(&ledger, &user(&case["seller"]), auction)
                .await
                .map_err(|error| error.to_string())?,
        );
    }
    clock.set(now());
    for (index, op) in case["ops"].as_array().unwrap().iter().enumerate() {
        let number = usize::try_from(op["auction"].as_u64().unwrap()).unwrap();
        let past_end = case["auctions"][number]["past_end"] == true;
        let outcome = carry_out(&ledger, auctions[number], op, &user(&op["user"]), past_end).await;
        if outcome != op["outcome"] {
            return Err(format!("op {index} {op}: expected {}, came {outcome}", op["outcome"]));
        }
    }
    let got = books(&ledger, case, &auctions, user).await.map_err(|error| error.to_string())?;
    if got != case["final"] {
        return Err(format!("expected {}, came {got}", case["final"]));
    }
    Ok(())
}

async fn open(ledger: &AuctionLedger, seller: &str, auction: &Value) -> Result<AuctionId, Error> {
    let amount = |name: &str| auction[name].as_i64();
    let increment = amount("increment").unwrap().into();
    let mut terms =
        AuctionTerms::english(CURRENCY, amount("start_price").unwrap().into(), increment)
            .multiple_of(increment)
            .ends_at(if auction["past_end"] == true {
                now() - TimeDelta::hours(1)
            } else {
                now() + TimeDelta::hours(2)
            });
    if let Some(price) = amount("buy_now_price") {
        terms = terms.buy_now(price.into());
    }
    if auction["status"] == "WAITING" {
        terms = terms.starts_at(now() + TimeDelta::hours(1));
    }
    let id = ledger.open_auction(seller, "a thing", terms).await?.id;
    if auction["status"] == "CANCELLED" {
        ledger.cancel(id).await?;
    }
    Ok(id)
}

async fn carry_out(
    ledger: &AuctionLedger,
    auction: AuctionId,
    op: &Value,
    user: &str,
    past_end: bool,
) -> Value {
    let result = match op["op"].as_str().unwrap() {
        "place_bid" => {
            let amount = op["amount"].as_i64().unwrap().into();
            ledger.place_bid(auction, user, amount).await.map(|_| "Accepted")
        }
        "buy_now" => ledger.buy_now(auction, user).await.map(|_| "Accepted"),
        // The reference closes what is past its end, and what is not, by the same name.
        "close" if past_end => ledger.settle(auction).await.map(closed),
        "close" => ledger.close_early(auction).await.map(closed),
        other => panic!("{other}"),
    };
    let name = match result {
        Ok(name) => name,
        Err(Error::Rejected(rejection)) => match rejection {
            rejection if rejection.is_not_active() => "NotActive",
            Rejection::Ended { .. } => "Ended",
            Rejection::BelowMinimum { .. } => "BidTooLow",
            Rejection::NotOnIncrement { .. } => "NotOnIncrement",
            Rejection::InsufficientFunds { .. } => "InsufficientFunds",
            Rejection::BuyNowUnavailable => "BuyNowUnavailable",
            Rejection::SellerCannotBuy => "SellerCannotBuy",
            other => return other.to_string().into(),
        },
        Err(error) => return format!("{error:?}").into(),
    };
    name.into()
}

fn closed(settlement: Settlement) -> &'static str {
    match settlement {
        Settlement { repeated: true, .. } => "NotActive",
        Settlement { sold: Some(_), .. } => "Sold",
        _ => "Unsold",
    }
}

/// What the vectors call `final`.
async fn books(
    ledger: &AuctionLedger,
    case: &Value,
    auctions: &[AuctionId],
    user: impl Fn(&Value) -> String,
) -> Result<Value, Error> {
    let count = case["users"].as_u64().unwrap();
    let mut wallets = Vec::new();
    for number in 0..count {
        let wallet = ledger.wallet(user(&number.into()), CURRENCY).await?;
        wallets.push(json!([wallet.available.to_i64(), wallet.held.to_i64()]));
    }
    let number = |name: &auction_ledger::UserId| {
        name.as_str().split('/').nth(1).and_then(|text| text.parse::<u64>().ok())
    };
    let mut finals = Vec::new();
    for (index, id) in auctions.iter().enumerate() {
        let auction = ledger.auction(*id).await?;
        let status = match auction.state {
            AuctionState::Open if case["auctions"][index]["status"] == "WAITING" => "WAITING",
            AuctionState::Open => "ACTIVE",
            AuctionState::Cancelled => "CANCELLED",
            _ => "ENDED",
        };
        let winner = auction
            .leader
            .as_ref()
            .filter(|_| auction.state == AuctionState::Sold)
            .and_then(number);
        let bids = ledger.bids(*id).limit(1_000).await?;
        let bids: Vec<_> =
            bids.iter().map(|bid| json!([number(&bid.user), bid.amount.to_i64()])).collect();
        let price = auction.price.and_then(|price| price.to_i64()).unwrap_or(0);
        finals.push(json!({"status": status, "price": price, "winner": winner, "bids": bids}));
    }
    Ok(json!({"wallets": wallets, "auctions": finals}))
}
