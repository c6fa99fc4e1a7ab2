//! Who waits for which auction, and who is next.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answer, GroupCommit, MOST_WALLETS};
use crate::error::Error;
use crate::id::AuctionId;
use crate::ledger::batch::Command;
use crate::ledger::once::Place;
use crate::rules::Standing;

/// The lines of all auctions that are busy, or for which somebody waits.
#[derive(Debug, Default)]
pub(super) struct Lines {
    by_auction: HashMap<AuctionId, Line>,
    /// Auctions that are free and for which somebody waits, in the order in which they became so.
    free: VecDeque<AuctionId>,
    /// Auctions that were handed over and for which somebody waits, while a turn before is ending.
    behind: VecDeque<AuctionId>,
    /// The turns that count as transactions under way, and since when. Whoever is behind a turn that is ending counts when that
    /// has ended: of one auction one transaction is under way, and the next waits for it.
    counted: BTreeMap<TurnId, Instant>,
    /// How many turns there are, counted or not.
    turns: usize,
    /// How many commands wait in all lines.
    waiting: usize,
    /// How many turns there have ever been, and how many commands have ever waited.
    numbers: u64,
    /// Whether somebody is just starting lists: who has to, needs not.
    is_starting: bool,
}

#[derive(Debug, Default)]
struct Line {
    /// Whose turn its auction is.
    turn: Option<TurnId>,
    /// Turns that have handed the auction over, and have not ended, in their order; and what they write.
    ending: Vec<(TurnId, Arc<Ahead>)>,
    waiting: VecDeque<Waiting>,
}

/// A command in line.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) command: Command,
    /// The runtime of whoever waits: somebody drives it.
    pub(super) runtime: Handle,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The number of a turn.
pub(super) type TurnId = u64;

/// What whoever had an auction before is just writing.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    pub(super) keys: HashSet<Arc<Place>>,
    /// How the auction stands once it is written.
    pub(super) standing: Option<Standing>,
}

/// How many transactions are under way before others wait: `lists`, not counting those that take longer than `slow`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) lists: usize,
    pub(super) slow: Option<Duration>,
}

/// What whoever comes gets: the turn, or a number in line and where the answer will come.
pub(super) enum Entered {
    Turn(TurnId),
    InLine { number: u64, receiver: oneshot::Receiver<Answer> },
}

/// The commands that are carried out next, and their auctions.
pub(super) struct NextList {
    pub(super) turn: TurnId,
    pub(super) auctions: Vec<AuctionId>,
    pub(super) list: Vec<Waiting>,
    /// What those write who have handed over, and have not ended.
    pub(super) ahead: Vec<Arc<Ahead>>,
}

impl NextList {
    fn new(turn: TurnId) -> Self {
        Self { turn, auctions: Vec::new(), list: Vec::new(), ahead: Vec::new() }
    }
}

impl Lines {
    /// Gives the turn to whoever finds the auction free, room for a transaction, and nobody who waits for it; and a place in
    /// line to whoever does not. `come` makes what is kept of whoever waits, and is called for nobody else.
    pub(super) fn enter(
        &mut self,
        settings: &GroupCommit,
        room: Room,
        auction: AuctionId,
        come: impl FnOnce() -> (Command, Handle),
    ) -> Result<Entered, Error> {
        let is_free = !self.by_auction.contains_key(&auction);
        if is_free && self.free.is_empty() && self.has(room) {
            let turn = self.begin();
            self.by_auction.insert(auction, Line { turn: Some(turn), ..Line::default() });
            return Ok(Entered::Turn(turn));
        }
        if self.waiting >= settings.waiting {
            return Err(Error::Overloaded { waiting: self.waiting });
        }
        let (command, runtime) = come();
        let (answer, receiver) = oneshot::channel();
        let number = self.numbers;
        self.numbers = number.wrapping_add(1);
        self.waiting = self.waiting.saturating_add(1);
        let line = self.by_auction.entry(auction).or_default();
        let is_next = line.turn.is_none() && line.waiting.is_empty();
        line.waiting.push_back(Waiting { number, command, runtime, answer });
        if is_next {
            self.queue(auction);
        }
        Ok(Entered::InLine { number, receiver })
    }

    /// Leaves the line: how many waited, if there was still time.
    pub(super) fn leave(&mut self, auction: AuctionId, number: u64) -> Option<usize> {
        let waiting = self.waiting;
        let line = self.by_auction.get_mut(&auction)?;
        let place = line.waiting.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
        line.waiting.remove(place);
        if line.turn.is_none() && line.waiting.is_empty() {
            self.free.retain(|free| *free != auction);
            self.behind.retain(|behind| *behind != auction);
            if line.ending.is_empty() {
                self.by_auction.remove(&auction);
            }
        }
        self.waiting = waiting.saturating_sub(1);
        Some(waiting)
    }

    /// Who is carried out next: who waits for an auction that was handed over, or if there is room for a transaction, for
    /// auctions that are free. Whoever asks goes on until nobody is; `first` is the first time.
    pub(super) fn next_list(
        &mut self,
        settings: &GroupCommit,
        room: Room,
        first: bool,
    ) -> Option<NextList> {
        if first && self.is_starting {
            return None;
        }
        let next = match self.take_behind(settings.commands) {
            None if self.has(room) => self.take_list(settings.commands),
            next => next,
        };
        self.is_starting = next.is_some();
        next
    }

    /// Those who wait for one auction that was handed over.
    fn take_behind(&mut self, commands: usize) -> Option<NextList> {
        let auction = self.behind.pop_front()?;
        let turn = self.number_a_turn();
        let mut next = NextList::new(turn);
        self.take(&mut next, auction, commands);
        Some(next)
    }

    fn take_list(&mut self, commands: usize) -> Option<NextList> {
        let turn = self.numbers;
        let mut next = NextList::new(turn);
        while let Some(auction) = self.free.front().copied() {
            let is_more = self.take(&mut next, auction, commands);
            if next.auctions.last() != Some(&auction) {
                break;
            }
            self.free.pop_front();
            if !is_more {
                break;
            }
        }
        if next.list.is_empty() {
            return None;
        }
        self.begin();
        Some(next)
    }

    /// Adds those in front of the line of an auction, as many as there is room for, to a list. Whether others can be added.
    fn take(&mut self, next: &mut NextList, auction: AuctionId, commands: usize) -> bool {
        let line = self.by_auction.get_mut(&auction).expect("who waits is in a line");
        let offers = line.offers(next.room(commands));
        // What is no bid and no purchase is a list of its own.
        let count = if next.list.is_empty() { offers.max(1) } else { offers };
        if count > 0 {
            line.turn = Some(next.turn);
            next.auctions.push(auction);
            next.list.extend(line.waiting.drain(..count));
            next.ahead.extend(line.ending.iter().map(|(_, ahead)| ahead.clone()));
            self.waiting = self.waiting.saturating_sub(count);
        }
        offers > 0
    }

    /// Whether there is room for a transaction. Nobody may be polling one that takes long, to say so.
    fn has(&self, room: Room) -> bool {
        let is_counted = |since: &&Instant| room.slow.is_none_or(|slow| since.elapsed() < slow);
        self.counted.values().filter(is_counted).count() < room.lists
    }

    fn begin(&mut self) -> TurnId {
        let turn = self.number_a_turn();
        self.counted.insert(turn, Instant::now());
        turn
    }

    fn number_a_turn(&mut self) -> TurnId {
        let turn = self.numbers;
        self.numbers = turn.wrapping_add(1);
        self.turns = self.turns.saturating_add(1);
        turn
    }

    /// A turn is split in two; these auctions are those of the new one.
    pub(super) fn split(&mut self, auctions: &[AuctionId]) -> TurnId {
        let turn = self.number_a_turn();
        for auction in auctions {
            if let Some(line) = self.by_auction.get_mut(auction) {
                line.turn = Some(turn);
            }
        }
        turn
    }

    /// A transaction that takes long counts no more.
    pub(super) fn stop_counting(&mut self, turn: TurnId) {
        self.counted.remove(&turn);
    }

    /// A turn that goes on needs its auction for itself no more. Whether somebody waits for it.
    pub(super) fn hand_over(&mut self, turn: TurnId, auction: AuctionId, writes: Ahead) -> bool {
        let Some(line) = self.by_auction.get_mut(&auction) else {
            return false;
        };
        if line.turn != Some(turn) {
            return false;
        }
        line.turn = None;
        line.ending.push((turn, Arc::new(writes)));
        let somebody_waits = !line.waiting.is_empty();
        if somebody_waits {
            self.queue(auction);
        }
        somebody_waits
    }

    /// Whoever waits for an auction that is nobody's turn is next.
    fn queue(&mut self, auction: AuctionId) {
        let is_ending = |line: &Line| !line.ending.is_empty();
        if self.by_auction.get(&auction).is_some_and(is_ending) {
            self.behind.push_back(auction);
        } else {
            self.free.push_back(auction);
        }
    }

    /// A turn has ended: its auctions are free. Whether it was the last one, and nobody waits.
    pub(super) fn end(&mut self, turn: TurnId, auctions: &[AuctionId]) -> bool {
        self.stop_counting(turn);
        self.turns = self.turns.saturating_sub(1);
        self.free(turn, auctions);
        self.is_idle()
    }

    /// Auctions are not this turn's any more.
    fn free(&mut self, turn: TurnId, auctions: &[AuctionId]) {
        for auction in auctions {
            let Some(line) = self.by_auction.get_mut(auction) else {
                continue;
            };
            line.ending.retain(|(ending, _)| *ending != turn);
            if line.turn == Some(turn) {
                line.turn = None;
            }
            // Whoever was behind it is under way now.
            let next = line.ending.first().map(|(turn, _)| *turn).or(line.turn);
            if let Some(next) = next {
                self.counted.entry(next).or_insert_with(Instant::now);
            } else if line.waiting.is_empty() {
                self.by_auction.remove(auction);
            } else {
                self.behind.retain(|behind| behind != auction);
                self.free.push_back(*auction);
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.turns == 0 && self.waiting == 0
    }
}

impl NextList {
    /// How many commands on one more auction can be added: its leader's wallet and its seller's come with it.
    fn room(&self, commands: usize) -> usize {
        let auctions = self.auctions.len().saturating_add(1);
        let wallets = self.list.len().saturating_add(auctions.saturating_mul(2));
        let wallets = MOST_WALLETS.saturating_sub(wallets);
        commands.saturating_sub(self.list.len()).min(wallets)
    }
}

impl Line {
    /// How many of those in front can go together: bids and purchases.
    fn offers(&self, room: usize) -> usize {
        let offers = self.waiting.iter().take_while(|waiting| waiting.command.wish.is_offer());
        offers.take(room).count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
