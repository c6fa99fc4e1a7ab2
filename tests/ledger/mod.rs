//! The ledger's verbs from the outside: every promise on every database.

mod clock;
mod contention;
mod hazards;
mod hazards_schema;
mod lock_bid;
mod migrations;
mod races;
mod refusals;
mod refusals_opening;
mod statements;
mod story;

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Currency, Error, ManualClock, Rejection,
};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::support::{Books, World};

const WON: Currency = Currency::KRW;

/// Where the manual clock begins. It is a whole second; the tests add what they need.
fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn end() -> DateTime<Utc> {
    start() + TimeDelta::hours(1)
}

fn ledger(world: &World) -> (AuctionLedger, ManualClock) {
    let clock = ManualClock::new(start());
    let ledger = AuctionLedger::new(world.db().clone()).clock(clock.clone());
    (ledger, clock)
}

/// Won: start price 100, increment 10, an hour.
fn terms() -> AuctionTerms {
    AuctionTerms::english(WON, 100.into(), 10.into()).ends_at(end())
}

async fn open(ledger: &AuctionLedger, terms: AuctionTerms) -> Result<AuctionId, Error> {
    Ok(ledger.open_auction("sam", "a telescope", terms).await?.id)
}

async fn charge(ledger: &AuctionLedger, users: &[&str], amount: i64) -> Result<(), Error> {
    for user in users {
        ledger.deposit(*user, WON, amount.into()).await?;
    }
    Ok(())
}

/// Available and held, in won.
async fn balance(ledger: &AuctionLedger, user: &str) -> Result<(i64, i64), Error> {
    let wallet = ledger.wallet(user, WON).await?;
    Ok((wallet.available.try_into().unwrap(), wallet.held.try_into().unwrap()))
}

fn rejection<T: std::fmt::Debug>(result: Result<T, Error>) -> Rejection {
    match result {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("the rules should have said no: {other:?}"),
    }
}

/// The first column of the only row, of a statement in the words of this database.
async fn one<T: sea_orm::TryGetable>(db: &impl ConnectionTrait, sql: &str) -> Result<T, DbErr> {
    let query = Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(query).await?;
    row.unwrap_or_else(|| panic!("no row: {sql}")).try_get_by_index(0)
}

/// Reads all tables and checks every law.
async fn books(world: &World) -> Result<Books, DbErr> {
    let books = Books::read(world.db()).await?;
    books.check();
    Ok(books)
}
