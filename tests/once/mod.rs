//! Once, and only once: idempotency keys, commits without an answer, and what no snapshot hides.

mod isolation;
mod keys;
mod keys_kept;
mod outcome;
mod repeated;

use auction_ledger::{Auction, Bid};
use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Cancellation, Currency, Error, ManualClock, Purchase,
    Settlement, Wallet,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::World;

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

/// Won: start price 100, increment 10, to be bought for 1,000, an hour.
fn terms() -> AuctionTerms {
    AuctionTerms::english(WON, 100.into(), 10.into()).buy_now(1_000.into()).ends_at(end())
}

async fn open(ledger: &AuctionLedger) -> Result<AuctionId, Error> {
    Ok(ledger.open_auction("sam", "a telescope", terms()).await?.id)
}

/// Every command that moves money or opens an auction, as one type.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Deposit(i64),
    Withdraw(i64),
    Open,
    Bid(i64),
    Buy,
    Settle,
    CloseEarly,
    Cancel,
}

const EVERY: [Ask; 8] = [
    Ask::Deposit(5),
    Ask::Withdraw(5),
    Ask::Open,
    Ask::Bid(100),
    Ask::Buy,
    Ask::Settle,
    Ask::CloseEarly,
    Ask::Cancel,
];

/// What one of them answers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Wallet(Wallet),
    Opened(Auction),
    Bid(Bid),
    Purchase(Purchase),
    Settlement(Settlement),
    Cancellation(Cancellation),
}

impl Ask {
    /// Whether its auction has to be over.
    fn comes_after_the_end(self) -> bool {
        matches!(self, Self::Settle)
    }

    /// Sends it as ann, with a key if there is one.
    async fn send(
        self,
        ledger: &AuctionLedger,
        auction: AuctionId,
        key: Option<&str>,
    ) -> Result<Answer, Error> {
        macro_rules! sent {
            ($request:expr) => {
                match key {
                    Some(key) => $request.key(key).await,
                    None => $request.await,
                }
            };
        }
        match self {
            Self::Deposit(amount) => {
                sent!(ledger.deposit("ann", WON, amount.into())).map(Answer::Wallet)
            }
            Self::Withdraw(amount) => {
                sent!(ledger.withdraw("ann", WON, amount.into())).map(Answer::Wallet)
            }
            Self::Open => sent!(ledger.open_auction("ann", "a lamp", terms())).map(Answer::Opened),
            Self::Bid(amount) => {
                sent!(ledger.place_bid(auction, "ann", amount.into())).map(Answer::Bid)
            }
            Self::Buy => sent!(ledger.buy_now(auction, "ann")).map(Answer::Purchase),
            Self::Settle => sent!(ledger.settle(auction)).map(Answer::Settlement),
            Self::CloseEarly => sent!(ledger.close_early(auction)).map(Answer::Settlement),
            Self::Cancel => sent!(ledger.cancel(auction)).map(Answer::Cancellation),
        }
    }
}

/// A house with an auction of sam's, and 10,000 won of ann's.
async fn house(world: &World) -> Result<(AuctionLedger, ManualClock, AuctionId), Error> {
    let (ledger, clock) = ledger(world);
    ledger.deposit("ann", WON, 10_000.into()).await?;
    let auction = open(&ledger).await?;
    Ok((ledger, clock, auction))
}
