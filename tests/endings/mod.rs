//! Issue 3 from the outside: contention, endings, events, bad input, history and the plans of the write path.

mod bad_input;
mod contention;
#[allow(clippy::module_inception)]
mod endings;
mod events;
mod history;
mod plans;
mod settler;

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Currency, Error, ManualClock, Rejection,
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

/// The last instant at which a bid counts.
fn just_before_the_end() -> DateTime<Utc> {
    end() - TimeDelta::microseconds(1)
}

fn ledger(world: &World) -> (AuctionLedger, ManualClock) {
    let clock = ManualClock::new(start());
    let ledger = AuctionLedger::new(world.db().clone()).clock(clock.clone());
    (ledger, clock)
}

/// Start price 10, increment 1, an hour.
fn terms() -> AuctionTerms {
    AuctionTerms::english(WON, 10.into(), 1.into()).ends_at(end())
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

async fn balance(ledger: &AuctionLedger, user: &str) -> Result<(i64, i64), Error> {
    let wallet = ledger.wallet(user, WON).await?;
    let won = |amount: Decimal| i64::try_from(amount).expect("whole won");
    Ok((won(wallet.available), won(wallet.held)))
}

fn rejection<T: std::fmt::Debug>(result: Result<T, Error>) -> Rejection {
    match result {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("the rules should have said no: {other:?}"),
    }
}

/// Reads all tables and checks every law of the books; `total` is all money there should be.
async fn books(world: &World, total: i128) -> Result<Books, DbErr> {
    let books = Books::read(world.db()).await?;
    books.check();
    assert_eq!(books.total(), total, "money is conserved");
    Ok(books)
}
