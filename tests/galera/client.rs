//! A client: it sends commands through one node after the other, and logs what it is told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use auction_ledger::unit_of_work::{Error as UnitOfWorkError, Retry, UnitOfWork};
use auction_ledger::{AuctionId, AuctionLedger, Error};

use super::WON;
use super::log::{Fate, Line, Log, told};

/// Somebody who bids and deposits.
pub(super) struct Client {
    /// Unique among the clients of a test.
    name: String,
    user: String,
    ledgers: Vec<AuctionLedger>,
    /// The node it speaks to.
    pub(super) node: usize,
    pub(super) retry: Retry,
    pub(super) log: Log,
    random: u64,
}

/// What a client wants.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Bid(AuctionId, i64),
    Deposit(i64),
}

impl Client {
    pub(super) fn new(index: usize, user: &str, ledgers: &[AuctionLedger], node: usize) -> Self {
        Self {
            name: format!("client-{index}"),
            user: user.to_owned(),
            ledgers: ledgers.to_vec(),
            node,
            retry: Retry::new(),
            log: Log::default(),
            random: 1 + index as u64,
        }
    }

    /// Another node from now on.
    pub(super) fn fail_over(&mut self) {
        self.node = (self.node + 1) % self.ledgers.len();
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % limit
    }

    /// Nine times of ten a bid on one of the auctions, else a deposit. Whether it was acknowledged.
    pub(super) async fn act(&mut self, auctions: &[AuctionId]) -> bool {
        if self.below(10) == 0 {
            let amount = 1 + self.below(100) as i64;
            return self.send(Wish::Deposit(amount)).await;
        }
        let auction = auctions[self.below(auctions.len())];
        self.bid(auction).await
    }

    /// A bid a little above what the auction asks for, as this node shows it. Whether it was acknowledged.
    pub(super) async fn bid(&mut self, auction: AuctionId) -> bool {
        let minimum = match self.ledgers[self.node].auction(auction).await {
            Ok(shown) => shown.next_minimum.expect("the auction is open"),
            Err(error) => return self.note(0, Vec::new(), Fate::Failed(error)),
        };
        let more = 10 * self.below(3) as i64;
        self.send(Wish::Bid(auction, i64::try_from(minimum).expect("whole won") + more)).await
    }

    async fn send(&mut self, wish: Wish) -> bool {
        let command = self.command();
        let (ledger, user) = (&self.ledgers[self.node], self.user.as_str());
        let attempts = Arc::new(AtomicU32::new(0));
        let conflicts = Arc::new(Mutex::new(Vec::new()));
        let run = async |uow: &UnitOfWork| {
            attempts.store(uow.attempt(), Ordering::SeqCst);
            let memo = format!("{command} {}", uow.attempt());
            let done = match wish {
                Wish::Bid(auction, amount) => {
                    let bid = ledger.place_bid(auction, user, amount.into()).memo(memo);
                    bid.within(uow).await.map(drop)
                }
                Wish::Deposit(amount) => {
                    ledger.deposit(user, WON, amount.into()).memo(memo).within(uow).await.map(drop)
                }
            };
            if let Err(error @ (Error::Database(_) | Error::UnitOfWork(_))) = &done {
                conflicts.lock().unwrap().push(told(error));
            }
            done
        };
        let fate = match self.retry.atomic(ledger.unit_of_work(), run).await {
            Ok(_) => Fate::Done,
            Err(Error::Rejected(rejection)) => Fate::Refused(rejection),
            Err(error @ Error::UnitOfWork(UnitOfWorkError::CommitUnknown { .. })) => {
                Fate::Unknown(error)
            }
            Err(error) => Fate::Failed(error),
        };
        let conflicts = std::mem::take(&mut *conflicts.lock().unwrap());
        self.note(attempts.load(Ordering::SeqCst), conflicts, fate)
    }

    fn command(&self) -> String {
        format!("{} {}", self.name, self.log.0.len())
    }

    fn note(&mut self, attempts: u32, conflicts: Vec<String>, fate: Fate) -> bool {
        let done = matches!(fate, Fate::Done);
        self.log.0.push(Line { command: self.command(), attempts, conflicts, fate });
        done
    }

    /// Whether the last command met a node that could not serve it.
    pub(super) fn was_let_down(&self) -> bool {
        let last = self.log.0.last();
        last.is_some_and(|line| matches!(line.fate, Fate::Failed(_) | Fate::Unknown(_)))
    }
}
