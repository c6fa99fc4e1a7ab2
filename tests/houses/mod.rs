//! The rules of the houses, through every database: automatic bidding, reserves, sealed bids, asks, soft closes, premiums and fees.

mod automatic;
mod buy_now;
mod dutch;
pub(crate) mod eligibility;
mod house_share;
mod pages;
mod random;
mod read_back;
mod reserve;
mod sealed;
mod sealed_many;
mod secrets;
mod soft_close;
mod terms;
mod upgrade;
mod void_bid;

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Currency, Error, ManualClock, Rejection, UserId,
};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use sea_orm::DbErr;

use crate::support::{Books, World};

const WON: Currency = Currency::KRW;

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn end() -> DateTime<Utc> {
    start() + TimeDelta::hours(1)
}

fn ledger(world: &World) -> (AuctionLedger, ManualClock) {
    let clock = ManualClock::new(start());
    (AuctionLedger::new(world.db().clone()).clock(clock.clone()), clock)
}

/// Automatic bidding from 10 in steps of 5, for an hour.
fn automatic() -> AuctionTerms {
    AuctionTerms::english(WON, 10.into(), 5.into()).automatic_bidding().ends_at(end())
}

async fn open(ledger: &AuctionLedger, terms: AuctionTerms) -> Result<AuctionId, Error> {
    Ok(ledger.open_auction("sam", "a thing", terms).await?.id)
}

async fn charge(ledger: &AuctionLedger, users: &[&str], amount: i64) -> Result<(), Error> {
    for user in users {
        ledger.deposit(*user, WON, amount.into()).await?;
    }
    Ok(())
}

/// Available and held.
async fn balance(ledger: &AuctionLedger, user: &str) -> Result<(i64, i64), Error> {
    let wallet = ledger.wallet(user, WON).await?;
    let won = |amount: Decimal| i64::try_from(amount).expect("whole won");
    Ok((won(wallet.available), won(wallet.held)))
}

fn user(name: &str) -> UserId {
    name.into()
}

fn rejection<T: std::fmt::Debug>(result: Result<T, Error>) -> Rejection {
    match result {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("the rules should have said no: {other:?}"),
    }
}

/// Reads all tables and checks every law of the books, and lets the audit look too.
async fn books(world: &World, ledger: &AuctionLedger) -> Result<Books, DbErr> {
    let books = Books::read(world.db()).await?;
    books.check();
    let report = ledger.audit().await.expect("an audit can be made");
    assert_eq!(report.findings, []);
    Ok(books)
}
