//! The right to auctions, from when a command or a list begins until it has ended.
//!
//! A list of one auction hands it over once it is about to write: the auction is locked, all is judged, and what is left is to
//! write and to commit. The next list begins meanwhile, looks for its keys, and waits for the row in the database. It is told
//! what is being written, for it cannot see that yet. When that list writes, the one before it has committed, and it hands over
//! in its turn. If the one before fails and is tried again, it is behind those that have begun; the next finds the auction in
//! another standing than it was told, and looks again before it refuses anybody with a key.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::lines::{Ahead, TurnId};
use crate::id::AuctionId;
use crate::ledger::AuctionLedger;
use crate::ledger::once::Place;
use crate::rules::Standing;

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
            [auction] if self.ledger.has_row_locks() => Handover(Some(Baton {
                ledger: self.ledger.clone(),
                turn: self.number,
                auction,
                ahead: self.ahead.clone(),
                is_passed: AtomicBool::new(false),
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

/// What hands the auction of a turn over to the next list, and knows what those write who have handed it over before.
pub(in crate::ledger) struct Handover(Option<Baton>);

struct Baton {
    ledger: AuctionLedger,
    turn: TurnId,
    auction: AuctionId,
    ahead: Vec<Arc<Ahead>>,
    is_passed: AtomicBool,
}

impl Handover {
    /// There is nothing to hand over.
    pub(in crate::ledger) const NONE: Self = Self(None);

    /// Whether the auction can be handed over and was not yet: until then nobody can be behind.
    pub(in crate::ledger) fn is_to_come(&self) -> bool {
        self.0.as_ref().is_some_and(|baton| !baton.is_passed.load(Ordering::Relaxed))
    }

    pub(in crate::ledger) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether whoever had the auction before may be writing this key.
    pub(in crate::ledger) fn is_ahead(&self, key: &Place) -> bool {
        let ahead = self.0.iter().flat_map(|baton| &baton.ahead);
        ahead.into_iter().any(|ahead| ahead.keys.contains(key))
    }

    /// Whether the auction stands as whoever had it before has left it. Not the number alone, which others have written if
    /// that one has failed; what they write has another time too.
    pub(in crate::ledger) fn is_as_left(&self, standing: &Standing) -> bool {
        let before = self.0.as_ref().and_then(|baton| baton.ahead.last());
        before.is_some_and(|before| before.standing.as_ref() == Some(standing))
    }

    /// Call it when the auction is locked, and it is known what is to be written: how it stands then, and these keys perhaps.
    /// Only the first call counts.
    pub(in crate::ledger) fn hand_over<'a>(
        &self,
        keys: impl Iterator<Item = &'a Arc<Place>>,
        standing: Standing,
    ) {
        let Some(Baton { ledger, turn, auction, is_passed, .. }) = &self.0 else {
            return;
        };
        is_passed.store(true, Ordering::Relaxed);
        let writes = Ahead { keys: keys.cloned().collect(), standing: Some(standing) };
        if ledger.group.lock().hand_over(*turn, *auction, writes) {
            ledger.group.start(ledger);
        }
    }
}
