//! Group commit: commands that meet share a transaction, and nobody can tell.

mod auctions;
mod bypass;
mod callers;
mod equivalence;
mod failures;
mod guesses;
mod handover;
mod limits;

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Currency, Error, ManualClock, Rejection,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{BoxFuture, join_all, poll_immediate};

use crate::support::World;

const WON: Currency = Currency::KRW;

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn end() -> DateTime<Utc> {
    start() + TimeDelta::hours(1)
}

fn ledger(world: &World) -> AuctionLedger {
    AuctionLedger::new(world.db().clone()).clock(ManualClock::new(start()))
}

/// From 100 in steps of 10, for an hour.
fn terms() -> AuctionTerms {
    AuctionTerms::english(WON, 100.into(), 10.into()).ends_at(end())
}

async fn open(ledger: &AuctionLedger) -> Result<AuctionId, Error> {
    Ok(ledger.open_auction("sam", "a thing", terms()).await?.id)
}

async fn charge(ledger: &AuctionLedger, users: &[&str], amount: i64) -> Result<(), Error> {
    for user in users {
        ledger.deposit(*user, WON, amount.into()).await?;
    }
    Ok(())
}

fn rejection<T: std::fmt::Debug>(result: Result<T, Error>) -> Rejection {
    match result {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("the rules should have said no: {other:?}"),
    }
}

/// Each is polled once, in order, before the first is polled again: so the first has the turn, and the others stand in line
/// behind it in their order. What is done already is `Some`.
async fn line_up<T>(requests: &mut [BoxFuture<'_, T>]) -> Vec<Option<T>> {
    let mut done = Vec::new();
    for request in requests {
        done.push(poll_immediate(request).await);
    }
    done
}

/// All of them at once, the first with the turn: their answers, in order.
async fn all_at_once<T>(ledger: &AuctionLedger, mut requests: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    ledger.drain().await;
    let done = line_up(&mut requests).await;
    let rest = requests.into_iter().zip(done).map(|(request, done)| async move {
        match done {
            Some(answer) => answer,
            None => request.await,
        }
    });
    join_all(rest).await
}
