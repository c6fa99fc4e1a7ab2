//! The right to auctions, from when a command or a list begins until it has ended.
//!
//! A list of one auction hands it over once it is about to write: the auction is locked, all is judged, and what is left is to
//! write and to commit. The next list begins meanwhile, looks for its keys, and waits for the row in the database. It is told
//! which keys are being written, for it cannot see them yet. When that
//! list writes, the one before it has committed, and it hands over in its turn. If the one before fails and is tried again, it
//! is behind those that have begun.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::lines::{Ahead, TurnId};
use crate::id::AuctionId;
use crate::ledger::AuctionLedger;
use crate::ledger::once::Place;

/// The right to auctions. When it ends, those who wait for them are the next.
pub(super) struct Turn {
    pub(super) ledger: AuctionLedger,
    number: TurnId,
    pub(super) auctions: Vec<AuctionId>,
    /// What those write who had its auctions before, and have not ended.
    pub(super) ahead: Vec<Arc<Ahead>>,
}

impl Turn {
    /// Of auctions that the lines have marked as its own.
    pub(super) fn new(ledger: &AuctionLedger, number: TurnId, auctions: Vec<AuctionId>) -> Self {
        Self { ledger: ledger.clone(), number, auctions, ahead: Vec::new() }
    }

    /// Takes some of its auctions out, into a turn of their own that does not count as a transaction under way.
    pub(super) fn split(&mut self, auctions: Vec<AuctionId>) -> Self {
        self.auctions.retain(|auction| !auctions.contains(auction));
        let number = self.ledger.group.lock().split(&auctions);
        Self::new(&self.ledger, number, auctions)
    }

    /// What hands its auction over, if it is a list of one, where the next list can wait for the row.
    pub(super) fn handover(&self) -> Handover {
        match *self.auctions {
            [auction] if self.ledger.has_row_locks() => Handover(Some(Line {
                ledger: self.ledger.clone(),
                turn: self.number,
                auction,
                ahead: self.ahead.clone(),
            })),
            _ => Handover::NONE,
        }
    }

    /// Waits for what it does; if that takes long, strangers are not held up by it.
    pub(super) async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        if !self.ledger.has_row_locks() {
            return work.await;
        }
        let slow = self.ledger.group.settings.slow;
        let is_slow = || {
            self.ledger.group.lock().stop_counting(self.number);
            self.ledger.group.start(&self.ledger);
        };
        attend(work, slow, is_slow).await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let group = &self.ledger.group;
        if group.lock().end(self.number, &self.auctions) {
            group.idle.notify_waiters();
        }
        group.start(&self.ledger);
    }
}

/// Waits for some work; if it takes longer than `slow`, `is_slow` is told once.
pub(super) async fn attend<T>(
    work: impl Future<Output = T>,
    slow: Duration,
    is_slow: impl FnOnce(),
) -> T {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(slow, work.as_mut()).await {
        return done;
    }
    is_slow();
    work.await
}

/// What hands the auction of a turn over to the next list.
pub(in crate::ledger) struct Handover(Option<Line>);

struct Line {
    ledger: AuctionLedger,
    turn: TurnId,
    auction: AuctionId,
    ahead: Vec<Arc<Ahead>>,
}

impl Handover {
    /// There is nothing to hand over.
    pub(in crate::ledger) const NONE: Self = Self(None);

    pub(in crate::ledger) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether whoever had the auction before may be writing this key.
    pub(in crate::ledger) fn is_ahead(&self, key: &Place) -> bool {
        let ahead = self.0.iter().flat_map(|line| &line.ahead);
        ahead.into_iter().any(|ahead| ahead.keys.contains(key))
    }

    /// Whether nobody has come between whoever had the auction before and whoever has it now, this being the number of the last
    /// command on it.
    pub(in crate::ledger) fn is_next(&self, seq: i64) -> bool {
        let before = self.0.as_ref().and_then(|line| line.ahead.last());
        before.is_some_and(|before| before.seq == seq)
    }

    /// Call it when the auction is locked, and it is known what is to be written: these keys perhaps, and commands up to this
    /// number. Only the first call counts.
    pub(in crate::ledger) fn hand_over<'a>(
        &self,
        keys: impl Iterator<Item = &'a Arc<Place>>,
        seq: i64,
    ) {
        let Some(Line { ledger, turn, auction, .. }) = &self.0 else {
            return;
        };
        let writes = Ahead { keys: keys.cloned().collect(), seq };
        if ledger.group.lock().hand_over(*turn, *auction, writes) {
            ledger.group.start(ledger);
        }
    }
}
