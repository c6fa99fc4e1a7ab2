//! Who waits for which auction, and who is next.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answer, GroupCommit, MOST_WALLETS};
use crate::error::Error;
use crate::id::AuctionId;
use crate::ledger::batch::Command;

/// The lines of all auctions that are busy, or for which somebody waits.
#[derive(Debug, Default)]
pub(super) struct Lines {
    by_auction: HashMap<AuctionId, Line>,
    /// Auctions that are free and for which somebody waits, in the order in which they became so.
    free: VecDeque<AuctionId>,
    /// The turns that count as transactions under way, and since when.
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
    /// Turns that have handed the auction over, and have not ended.
    ending: Vec<TurnId>,
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

/// How many transactions are under way before others wait: `lists`, not counting those that take longer than `slow`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) lists: usize,
    pub(super) slow: Option<Duration>,
}

/// What whoever comes gets: the turn, or a number in line.
pub(super) enum Entered {
    Turn(TurnId),
    InLine(u64),
}

/// The commands that are carried out next, and their auctions.
pub(super) struct NextList {
    pub(super) turn: TurnId,
    pub(super) auctions: Vec<AuctionId>,
    pub(super) list: Vec<Waiting>,
}

impl Lines {
    /// Gives the turn to whoever finds the auction free, room for a transaction, and nobody who waits for it; and a place in
    /// line to whoever does not.
    pub(super) fn enter(
        &mut self,
        settings: &GroupCommit,
        room: Room,
        waiting: Waiting,
    ) -> Result<Entered, Error> {
        let auction = waiting.command.auction;
        let is_free = !self.by_auction.contains_key(&auction);
        if is_free && self.free.is_empty() && self.has(room) {
            let turn = self.begin();
            self.by_auction.insert(auction, Line { turn: Some(turn), ..Line::default() });
            return Ok(Entered::Turn(turn));
        }
        if self.waiting >= settings.waiting {
            return Err(Error::Overloaded { waiting: self.waiting });
        }
        let number = self.numbers;
        self.numbers = number.wrapping_add(1);
        self.waiting = self.waiting.saturating_add(1);
        let line = self.by_auction.entry(auction).or_default();
        if line.turn.is_none() && line.waiting.is_empty() {
            self.free.push_back(auction);
        }
        line.waiting.push_back(Waiting { number, ..waiting });
        Ok(Entered::InLine(number))
    }

    /// Leaves the line: how many waited, if there was still time.
    pub(super) fn leave(&mut self, auction: AuctionId, number: u64) -> Option<usize> {
        let waiting = self.waiting;
        let line = self.by_auction.get_mut(&auction)?;
        let place = line.waiting.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
        line.waiting.remove(place);
        if line.turn.is_none() && line.waiting.is_empty() {
            self.free.retain(|free| *free != auction);
            if line.ending.is_empty() {
                self.by_auction.remove(&auction);
            }
        }
        self.waiting = waiting.saturating_sub(1);
        Some(waiting)
    }

    /// Who is carried out next, if there is room for a transaction and somebody waits for an auction that is free. Whoever asks
    /// goes on until nobody is; `first` is the first time.
    pub(super) fn next_list(
        &mut self,
        settings: &GroupCommit,
        room: Room,
        first: bool,
    ) -> Option<NextList> {
        if first && self.is_starting {
            return None;
        }
        let next = if self.has(room) { self.take_list(settings.commands) } else { None };
        self.is_starting = next.is_some();
        next
    }

    fn take_list(&mut self, commands: usize) -> Option<NextList> {
        let turn = self.numbers;
        let mut next = NextList { turn, auctions: Vec::new(), list: Vec::new() };
        while let Some(auction) = self.free.front().copied() {
            let line = self.by_auction.get_mut(&auction).expect("who waits is in a line");
            let offers = line.offers(next.room(commands));
            // Its row is locked until the turn before has ended: who does not need it, does not wait for it.
            let is_ending = !line.ending.is_empty();
            let count = match next.list.is_empty() {
                // What is no bid and no purchase is a list of its own.
                true => offers.max(1),
                false if is_ending => 0,
                false => offers,
            };
            if count == 0 {
                break;
            }
            self.free.pop_front();
            line.turn = Some(turn);
            next.auctions.push(auction);
            next.list.extend(line.waiting.drain(..count));
            if offers == 0 || is_ending {
                break;
            }
        }
        if next.list.is_empty() {
            return None;
        }
        self.waiting = self.waiting.saturating_sub(next.list.len());
        self.begin();
        Some(next)
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
    pub(super) fn hand_over(&mut self, turn: TurnId, auction: AuctionId) -> bool {
        let Some(line) = self.by_auction.get_mut(&auction) else {
            return false;
        };
        if line.turn != Some(turn) {
            return false;
        }
        line.ending.push(turn);
        let somebody_waits = !line.waiting.is_empty();
        self.leave_auction(turn, auction);
        somebody_waits
    }

    /// A turn has ended: its auctions are free. Whether it was the last one, and nobody waits.
    pub(super) fn end(&mut self, turn: TurnId, auctions: &[AuctionId]) -> bool {
        self.stop_counting(turn);
        self.turns = self.turns.saturating_sub(1);
        self.free(turn, auctions);
        self.is_idle()
    }

    /// Auctions are not this turn's any more.
    pub(super) fn free(&mut self, turn: TurnId, auctions: &[AuctionId]) {
        for auction in auctions {
            if let Some(line) = self.by_auction.get_mut(auction) {
                line.ending.retain(|ending| *ending != turn);
                self.leave_auction(turn, *auction);
            }
        }
    }

    /// Whoever waits for an auction that was this turn's can be next.
    fn leave_auction(&mut self, turn: TurnId, auction: AuctionId) {
        let Some(line) = self.by_auction.get_mut(&auction) else {
            return;
        };
        if line.turn == Some(turn) {
            line.turn = None;
            if !line.waiting.is_empty() {
                self.free.push_back(auction);
            }
        }
        if line.turn.is_none() && line.waiting.is_empty() && line.ending.is_empty() {
            self.by_auction.remove(&auction);
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
