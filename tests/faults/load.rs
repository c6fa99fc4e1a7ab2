//! Load: commands at random by several workers, who go on whatever fails, until they are told to stop.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use auction_ledger::{AuctionId, AuctionLedger, Error, Rejection};
use rust_decimal::Decimal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Answer, Log, Wish, terms};

/// A small generator (xorshift), so that a seed says what was asked for.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Seeded by `AUCTION_LEDGER_SEED`, or by the clock; a failing test shows which seed it was.
    pub(super) fn new() -> Self {
        let seed = match std::env::var("AUCTION_LEDGER_SEED") {
            Ok(seed) => seed.parse().expect("AUCTION_LEDGER_SEED is a number"),
            Err(_) => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                now.expect("a clock after 1970").as_micros() as u64
            }
        };
        println!("AUCTION_LEDGER_SEED={seed}");
        Self::seeded(seed)
    }

    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    pub(super) fn seed(&mut self) -> u64 {
        self.roll(u64::MAX)
    }
}

/// An auction that a worker may bid on.
#[derive(Clone, Copy, Debug)]
struct Lot {
    id: AuctionId,
    minimum: Decimal,
    ended: bool,
}

/// The auctions that the workers know of.
#[derive(Clone, Debug, Default)]
pub(super) struct Market(Arc<Mutex<Vec<Lot>>>);

const USERS: u64 = 6;

impl Market {
    /// What somebody wants next. Few auctions, so that the workers meet.
    fn wish(&self, dice: &mut Dice) -> Wish {
        let user = format!("user {}", dice.roll(USERS));
        let lots = self.0.lock().unwrap();
        if let Some(lot) = lots.iter().find(|lot| lot.ended) {
            return Wish::Settle { auction: lot.id };
        }
        let kind = dice.roll(20);
        if lots.len() < 3 || kind == 0 {
            let terms =
                terms().buy_now(40.into()).ends_in(Duration::from_millis(200 + dice.roll(1_500)));
            return Wish::Open { seller: format!("seller {}", dice.roll(2)), terms };
        }
        let lot = lots[dice.roll(lots.len() as u64) as usize];
        match kind {
            1..=3 => Wish::Deposit { user, amount: 50 + dice.roll(100) as i64 },
            4 => Wish::Withdraw { user, amount: 1 + dice.roll(20) as i64 },
            5 => Wish::Buy { auction: lot.id, user },
            6 => Wish::CloseEarly { auction: lot.id },
            7 => Wish::Cancel { auction: lot.id },
            8 => Wish::Settle { auction: lot.id },
            _ => Wish::Bid {
                auction: lot.id,
                user,
                amount: lot.minimum + Decimal::from(dice.roll(3)),
            },
        }
    }

    fn learn(&self, wish: &Wish, outcome: &Result<Answer, Error>) {
        let mut lots = self.0.lock().unwrap();
        let (Wish::Bid { auction, .. }
        | Wish::Buy { auction, .. }
        | Wish::Settle { auction }
        | Wish::CloseEarly { auction }
        | Wish::Cancel { auction }) = wish
        else {
            if let (Wish::Open { .. }, Ok(Answer { auction: Some(id), .. })) = (wish, outcome) {
                lots.push(Lot { id: *id, minimum: 10.into(), ended: false });
            }
            return;
        };
        let bid = matches!(wish, Wish::Bid { .. });
        match outcome {
            Ok(_) if !bid => lots.retain(|lot| lot.id != *auction),
            Err(Error::Rejected(Rejection::Closed { .. })) => lots.retain(|lot| lot.id != *auction),
            _ => {}
        }
        let Some(lot) = lots.iter_mut().find(|lot| lot.id == *auction) else { return };
        match (wish, outcome) {
            (Wish::Bid { amount, .. }, Ok(_)) => {
                lot.minimum = lot.minimum.max(amount + Decimal::ONE)
            }
            (_, Err(Error::Rejected(Rejection::BelowMinimum { minimum }))) => {
                lot.minimum = *minimum
            }
            (_, Err(Error::Rejected(Rejection::Ended { .. }))) => lot.ended = true,
            (_, Err(Error::Rejected(Rejection::NotEnded { .. }))) => lot.ended = false,
            _ => {}
        }
    }
}

/// Workers under way.
#[derive(Debug)]
pub(super) struct Load {
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `workers`, who share the ledger and the market.
    pub(super) fn start(
        workers: usize,
        ledger: &AuctionLedger,
        log: &Log,
        market: &Market,
        dice: &mut Dice,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let start = |_| {
            let worker = work(
                ledger.clone(),
                log.clone(),
                market.clone(),
                Dice::seeded(dice.seed()),
                stop.subscribe(),
            );
            tokio::spawn(worker)
        };
        let workers = (0..workers).map(start).collect();
        Self { stop, workers }
    }

    /// Waits until every worker has an answer to its last command.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        for worker in self.workers {
            worker.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        }
    }
}

async fn work(
    ledger: AuctionLedger,
    log: Log,
    market: Market,
    mut dice: Dice,
    stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        let wish = market.wish(&mut dice);
        let outcome = log.send(&ledger, wish.clone()).await;
        market.learn(&wish, &outcome);
        if let Err(error) = outcome
            && error.rejection().is_none()
        {
            assert!(!matches!(error, Error::Damaged { .. }), "{error:?}");
            // The database has a fault: not at it again at once, or the log would be full of nothing else.
            tokio::time::sleep(Duration::from_millis(5 + dice.roll(20))).await;
        }
    }
}
