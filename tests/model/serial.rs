//! From many tasks at once to one order: every auction numbers what it accepted, and every wallet its entries. If all these
//! numbers fit into one order, the model is asked in that order, and must answer and store the same.

use std::collections::{BTreeMap, BTreeSet};

use auction_ledger::entity::act;

use super::answer::Answer;
use super::book::Book;
use super::command::Command;
use super::race::{Event, What};
use super::rows::{ActRow, Lot, Owner, Purse, Rows, command_name};
use super::stored::Stored;

/// What was accepted, and what the model made of it.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    /// By the name of the operation.
    pub(super) accepted: BTreeMap<String, &'a Event>,
    pub(super) book: Book,
    /// Where each auction stood after its first command, its second, and so on.
    pub(super) lots: Vec<Vec<Lot>>,
    /// What was in each wallet before its first entry, after it, and so on.
    pub(super) purses: BTreeMap<Owner, Vec<Purse>>,
}

impl<'a> Replay<'a> {
    /// Asks the model in an order that fits all numbers.
    ///
    /// # Errors
    ///
    /// There is none, or the model says something else, or what was answered is not what is stored.
    pub(super) fn of(events: &'a [Event], stored: &Stored) -> Result<Self, String> {
        let accepted = accepted(events, &stored.rows)?;
        let answered: BTreeSet<&String> = accepted.keys().collect();
        let kept: BTreeSet<&String> = stored.names.values().collect();
        if answered != kept {
            let lost: Vec<_> = answered.difference(&kept).collect();
            let invented: Vec<_> = kept.difference(&answered).collect();
            return Err(format!("accepted and not stored: {lost:?}; only stored: {invented:?}"));
        }
        let mut replay =
            Self { accepted, book: Book::default(), lots: Vec::new(), purses: BTreeMap::new() };
        let instants = instants(&stored.rows);
        for name in order(&stored.rows, &instants)? {
            let What::Command(command, answer) = &replay.accepted[&name].what else {
                return Err(format!("{name} is no command"));
            };
            let expected = replay.book.answer(command, instants[&name]);
            if *answer != expected {
                return Err(format!("{name}: {command:?}\ngot {answer:?}\nand not {expected:?}"));
            }
            replay.remember(command);
        }
        replay.book.rows.compare(&stored.rows)?;
        replay.in_time()?;
        Ok(replay)
    }

    /// Keeps what a command can have changed.
    fn remember(&mut self, command: &Command) {
        let lot = match command {
            Command::Open { .. } => Some(self.book.rows.lots.len() - 1),
            Command::On { lot, .. } => Some(*lot),
            _ => None,
        };
        if let Some(lot) = lot {
            self.lots.resize(self.book.rows.lots.len(), Vec::new());
            self.lots[lot].push(self.book.rows.lots[lot].clone());
        }
        for (owner, purse) in &self.book.rows.purses {
            let nothing = Purse { available: 0, held: 0, seq: 0, last_at: 0, ..bare(purse) };
            let states = self.purses.entry(owner.clone()).or_insert_with(|| vec![nothing]);
            // A command leaves at most one entry in a wallet.
            assert!(purse.seq as usize <= states.len(), "{owner:?}");
            if purse.seq as usize == states.len() {
                states.push(bare(purse));
            }
        }
    }

    /// What was answered before another command was asked comes before it, on each auction and in each wallet.
    fn in_time(&self) -> Result<(), String> {
        for (index, lot) in self.book.rows.lots.iter().enumerate() {
            self.names_in_time((1..=lot.seq).map(|seq| command_name(index, seq)))?;
        }
        for purse in self.book.rows.purses.values() {
            self.names_in_time(purse.lines.iter().map(|line| line.operation.clone()))?;
        }
        Ok(())
    }

    fn names_in_time(&self, names: impl Iterator<Item = String>) -> Result<(), String> {
        // Whoever comes later must not have been told before one that comes earlier was asked.
        let mut asked = 0;
        for name in names {
            let event = self.accepted[&name];
            if event.told < asked {
                return Err(format!("{name} was told before an earlier one was asked"));
            }
            asked = asked.max(event.asked);
        }
        Ok(())
    }
}

/// A wallet without its journal.
fn bare(purse: &Purse) -> Purse {
    Purse { lines: Vec::new(), ..purse.clone() }
}

/// The events of what was accepted, by the name of the operation: by the number that was answered, or by the note.
fn accepted<'a>(events: &'a [Event], rows: &Rows) -> Result<BTreeMap<String, &'a Event>, String> {
    let mut noted = BTreeMap::new();
    for line in rows.purses.values().flat_map(|purse| &purse.lines) {
        if let (Some(memo), None) = (&line.memo, line.lot)
            && let Some(other) = noted.insert(memo.clone(), line.operation.clone())
        {
            return Err(format!("{memo} is stored twice: {other} and {}", line.operation));
        }
    }
    let mut accepted = BTreeMap::new();
    for event in events {
        if let What::Command(command, answer) = &event.what
            && let Some(name) = name(command, answer, &noted)?
            && let Some(other) = accepted.insert(name.clone(), event)
        {
            return Err(format!("{name} was answered twice: {other:?} and {event:?}"));
        }
    }
    Ok(accepted)
}

/// The name of the operation, if the command was accepted.
fn name(
    command: &Command,
    answer: &Answer,
    noted: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    Ok(match (answer, command) {
        (Answer::Opened(view), _) => Some(command_name(view.lot, 1)),
        (
            Answer::Bid { lot, seq, .. }
            | Answer::Purchase { lot, seq, .. }
            | Answer::Settlement { lot, seq, repeated: false, .. }
            | Answer::Cancellation { lot, seq, .. },
            _,
        ) => Some(command_name(*lot, *seq)),
        (Answer::Wallet { .. }, Command::Deposit(transfer) | Command::Withdraw(transfer)) => {
            let note = transfer.memo.as_ref().ok_or("a transfer without a note")?;
            let name = noted.get(note).ok_or_else(|| format!("{note}: accepted, not stored"))?;
            Some(name.clone())
        }
        _ => None,
    })
}

/// When each operation happened.
fn instants(rows: &Rows) -> BTreeMap<String, i64> {
    let mut instants = BTreeMap::new();
    let lines = rows.purses.values().flat_map(|purse| &purse.lines);
    instants.extend(lines.map(|line| (line.operation.clone(), line.at)));
    for lot in &rows.lots {
        instants.extend(lot.bids.iter().map(|bid| (bid.operation.clone(), bid.at)));
        instants.extend(lot.acts.iter().map(|act| (act.operation.clone(), act.at)));
    }
    instants
}

/// One order of all operations in which every auction and every wallet has its own.
fn order(rows: &Rows, instants: &BTreeMap<String, i64>) -> Result<Vec<String>, String> {
    let edges = edges(rows);
    let mut before: BTreeMap<&String, usize> = instants.keys().map(|name| (name, 0)).collect();
    for (_, later) in &edges {
        *before.get_mut(later).expect("every operation has an instant") += 1;
    }
    let free = before.iter().filter(|(_, count)| **count == 0);
    let mut free: BTreeSet<_> = free.map(|(name, _)| (instants[*name], *name)).collect();
    let mut order = Vec::new();
    while let Some((_, name)) = free.pop_first() {
        order.push(name.clone());
        for (_, later) in edges.iter().filter(|(earlier, _)| earlier == name) {
            let count = before.get_mut(later).expect("every operation has an instant");
            *count -= 1;
            if *count == 0 {
                free.insert((instants[later], later));
            }
        }
    }
    if order.len() < instants.len() {
        let left = before.iter().filter(|(_, count)| **count > 0);
        let left: Vec<_> = left.map(|(name, _)| name).collect();
        return Err(format!("no order fits all of {left:?}"));
    }
    Ok(order)
}

/// Which operation comes before which.
fn edges(rows: &Rows) -> BTreeSet<(String, String)> {
    let mut edges = BTreeSet::new();
    let mut chain = |names: &[String]| {
        let pairs = names.windows(2).filter(|pair| pair[0] != pair[1]);
        edges.extend(pairs.map(|pair| (pair[0].clone(), pair[1].clone())));
    };
    // The tasks named auctions in the order in which they heard of them, and nobody can act on one that has no name.
    let opened: Vec<_> = (0..rows.lots.len()).map(|index| command_name(index, 1)).collect();
    chain(&opened);
    for (index, lot) in rows.lots.iter().enumerate() {
        let names: Vec<_> = (1..=lot.seq).map(|seq| command_name(index, seq)).collect();
        chain(&names);
    }
    for purse in rows.purses.values() {
        let names: Vec<_> = purse.lines.iter().map(|line| line.operation.clone()).collect();
        chain(&names);
    }
    edges.extend(rows.lots.iter().flat_map(|lot| readings(rows, lot)));
    edges
}

/// Some acts of an auction look at the clock of the seller's wallet and leave no entry in it: they come before the first
/// entry that is later than they.
fn readings<'a>(rows: &'a Rows, lot: &'a Lot) -> impl Iterator<Item = (String, String)> + 'a {
    let owner = (lot.seller.clone(), lot.currency.code().to_owned());
    let lines = rows.purses.get(&owner).map_or(&[][..], |purse| &purse.lines);
    let looks = |act: &&ActRow| match act.kind {
        act::Kind::Opened => true,
        act::Kind::Cancelled => act.user.is_some(),
        _ => act.amount.is_none(),
    };
    lot.acts.iter().filter(looks).filter_map(|act| {
        let later = lines.iter().find(|line| line.at > act.at)?;
        Some((act.operation.clone(), later.operation.clone()))
    })
}
