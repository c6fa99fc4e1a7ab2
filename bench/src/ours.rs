//! Callers of the ledger: each bids what is valid when its turn comes.

use std::sync::atomic::{AtomicI64, Ordering};

use auction_ledger::{AuctionId, AuctionLedger, Currency, Error};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::Failure;
use crate::keys::Keys;
use crate::load::{Answer, Target};
use crate::world::{DecimalOf, START_PRICE, Shape, user};

/// Which auction a caller picks.
#[derive(Clone, Debug)]
pub enum Pick {
    Uniform,
    /// The cumulated shares of auctions of which the n-th is picked as often as 1/n.
    Zipf(Vec<f64>),
}

impl Pick {
    pub fn zipf(auctions: i64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=auctions)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Self::Zipf(shares)
    }
}

/// What can be bid on, and by whom.
#[derive(Debug)]
pub struct Market {
    /// The next amount on each auction; they have the ids from 1 on.
    next: Vec<AtomicI64>,
    wallets: i64,
    pick: Pick,
}

impl Market {
    /// The market of a book on whose auctions the price is `price`, or none has been bid.
    pub fn new(shape: Shape, pick: Pick, price: Option<i64>) -> Self {
        let next = price.map_or(START_PRICE, |price| price + 1);
        let next = (0..shape.auctions).map(|_| AtomicI64::new(next)).collect();
        Self { next, wallets: shape.wallets, pick }
    }

    /// The index of an auction.
    pub fn auction(&self, random: &mut fastrand::Rng) -> usize {
        match &self.pick {
            Pick::Uniform => random.usize(..self.next.len()),
            Pick::Zipf(shares) => {
                let point = random.f64();
                shares.partition_point(|share| *share < point).min(self.next.len() - 1)
            }
        }
    }

    /// The id of a bidder's wallet: the second is the seller's.
    pub fn bidder(&self, random: &mut fastrand::Rng) -> i64 {
        match random.i64(1..=self.wallets) {
            1 => 1,
            number => number + 1,
        }
    }

    /// The next amount of an auction.
    pub fn amount(&self, auction: usize) -> i64 {
        self.next[auction].fetch_add(1, Ordering::SeqCst)
    }
}

/// Bids through the ledger.
pub struct Bidding {
    pub ledger: AuctionLedger,
    pub market: Market,
    pub keys: Keys,
}

impl Target for Bidding {
    fn call<'a>(&'a self, random: &'a mut fastrand::Rng) -> BoxFuture<'a, Result<Answer, Failure>> {
        async move {
            let auction = self.market.auction(random);
            let bidder = user(self.market.bidder(random));
            let key = self.keys.next();
            let id = AuctionId::from(auction as i64 + 1);
            // Last, so that few overtake it.
            let amount = Currency::EUR.decimal_of(self.market.amount(auction));
            let mut bid = self.ledger.place_bid(id, bidder, amount);
            if let Some(key) = key {
                bid = bid.key(key.to_string());
            }
            answer(bid.await)
        }
        .boxed()
    }
}

/// What a verb answered; what is neither a yes nor a no ends the run.
pub fn answer<T>(answer: Result<T, Error>) -> Result<Answer, Failure> {
    match answer {
        Ok(_) => Ok(Answer::Accepted),
        Err(error) if error.is_rejection() => Ok(Answer::Rejected),
        Err(Error::Overloaded { .. }) => Ok(Answer::Shed),
        Err(error) => Err(error.into()),
    }
}

/// Audits the books.
pub async fn audit(ledger: &AuctionLedger) -> Result<(), Failure> {
    let report = ledger.audit().await?;
    if report.is_clean() {
        return Ok(());
    }
    Err(format!("the books do not balance: {:?}", report.findings.first()).into())
}
