//! What a relay has taken, at work in tasks of its own: whoever looks for more, or is asked to stop, waits for none of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use futures::future;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use super::delivery::Delivered;
use super::line::Taken;
use super::{Relay, Relayed};
use crate::id::AuctionId;

/// Auctions of which the events are read together.
const TOGETHER: usize = 32;

/// The auctions that are at work.
pub(super) struct AtWork {
    groups: JoinSet<()>,
    /// How often each is: what is written down can be taken again before it is told here.
    auctions: BTreeMap<AuctionId, usize>,
    tell: mpsc::UnboundedSender<Ended>,
    told: mpsc::UnboundedReceiver<Ended>,
}

/// What became of auctions that are at work no longer.
#[derive(Default)]
pub(super) struct Ended {
    pub(super) auctions: BTreeSet<AuctionId>,
    pub(super) relayed: Relayed,
    /// Of which there may be more.
    pub(super) more: BTreeSet<AuctionId>,
}

impl AtWork {
    pub(super) fn new() -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        Self { groups: JoinSet::new(), auctions: BTreeMap::new(), tell, told }
    }

    pub(super) fn len(&self) -> usize {
        self.auctions.len()
    }

    pub(super) fn has(&self, auction: AuctionId) -> bool {
        self.auctions.contains_key(&auction)
    }

    /// Begins to deliver what was taken.
    pub(super) fn start(&mut self, relay: &Relay, taken: Vec<Taken>) {
        // What has ended is let go of.
        while let Some(ended) = self.groups.try_join_next() {
            _ = ended.inspect_err(report);
        }
        for auction in taken.iter().map(Taken::auction) {
            let times = self.auctions.entry(auction).or_default();
            *times = times.saturating_add(1);
        }
        let mut taken = taken.into_iter().peekable();
        while taken.peek().is_some() {
            let group = Group::of(taken.by_ref().take(TOGETHER).collect(), self.tell.clone());
            self.groups.spawn(group.deliver(relay.clone()).in_current_span());
        }
    }

    /// Waits for what ends next. Dropped, it loses nothing.
    pub(super) async fn next(&mut self) -> Ended {
        match self.told.recv().await {
            Some(ended) => self.without(ended),
            None => future::pending().await,
        }
    }

    /// What else has ended by now.
    pub(super) fn next_now(&mut self) -> Option<Ended> {
        let ended = self.told.try_recv().ok()?;
        Some(self.without(ended))
    }

    fn without(&mut self, ended: Ended) -> Ended {
        for auction in &ended.auctions {
            if let Entry::Occupied(mut times) = self.auctions.entry(*auction) {
                match times.get().checked_sub(1) {
                    Some(left @ 1..) => _ = times.insert(left),
                    _ => _ = times.remove(),
                }
            }
        }
        ended
    }

    /// Waits for all of it, and tells of which auctions there may be more.
    pub(super) async fn finish(mut self, done: &mut Relayed) -> BTreeSet<AuctionId> {
        let mut unfinished = BTreeSet::new();
        while !self.auctions.is_empty() {
            let ended = self.next().await;
            done.add(ended.relayed);
            unfinished.extend(ended.more);
        }
        unfinished
    }
}

fn report(error: &JoinError) {
    tracing::error!(%error, "a task of a relay has ended");
}

/// Auctions that were taken together.
struct Group {
    taken: Vec<Taken>,
    /// Of which it was not told what became of them.
    left: BTreeSet<AuctionId>,
    tell: mpsc::UnboundedSender<Ended>,
}

impl Group {
    fn of(taken: Vec<Taken>, tell: mpsc::UnboundedSender<Ended>) -> Self {
        let left = taken.iter().map(Taken::auction).collect();
        Self { taken, left, tell }
    }

    /// Reads their events together, delivers those of each by itself, and writes down together what is done at the same time.
    async fn deliver(mut self, relay: Relay) {
        let taken = std::mem::take(&mut self.taken);
        let pages = relay.read(&taken).await;
        let mut sinks = JoinSet::new();
        for (taken, page) in taken.into_iter().zip(pages) {
            let relay = relay.clone();
            sinks.spawn(async move { relay.deliver_one(taken, page).await }.in_current_span());
        }
        while let Some(first) = sinks.join_next().await {
            let others = std::iter::from_fn(|| sinks.try_join_next());
            // One that has panicked is left; its lease will end.
            let ended = std::iter::once(first).chain(others).map(|ended| ended.inspect_err(report));
            let delivered: Vec<Delivered> = ended.filter_map(Result::ok).collect();
            if !delivered.is_empty() {
                self.tell(relay.write_down(&delivered).await);
            }
        }
    }

    fn tell(&mut self, ended: Ended) {
        self.left.retain(|auction| !ended.auctions.contains(auction));
        // Nobody listens any more if the relay was dropped.
        _ = self.tell.send(ended);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let auctions = std::mem::take(&mut self.left);
        if !auctions.is_empty() {
            self.tell(Ended { auctions, ..Ended::default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It was written down, and taken again, before it was told that it had ended the first time.
    #[test]
    fn what_is_at_work_twice_ends_twice() {
        let auction = AuctionId::from(1);
        let mut at_work = AtWork::new();
        at_work.auctions.insert(auction, 2);
        let ended = || Ended { auctions: BTreeSet::from([auction]), ..Ended::default() };
        for is_left in [true, false] {
            at_work.without(ended());
            assert_eq!((at_work.has(auction), at_work.len()), (is_left, usize::from(is_left)));
        }
    }
}
