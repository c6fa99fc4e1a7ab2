//! A refusal leaves no trace, and neither does a reading. But it must have been right at some moment: somewhere between
//! the last command that was answered before it was asked, and the first that was asked after it was answered.

use std::ops::RangeInclusive;

use super::answer::Answer;
use super::book::{Book, view};
use super::command::{Command, Transfer, Wish};
use super::race::{Event, What};
use super::rows::{Lot, Owner, Purse, Rows, command_name};
use super::rules::{Case, judge};
use super::serial::Replay;

/// The moments of all auctions and wallets.
#[derive(Debug)]
pub(super) struct Moments<'a> {
    replay: &'a Replay<'a>,
}

impl<'a> Moments<'a> {
    pub(super) fn of(replay: &'a Replay<'a>) -> Self {
        Self { replay }
    }

    /// The events that have been right at no moment.
    pub(super) fn unexplained<'e>(&self, events: &'e [Event]) -> Vec<&'e Event> {
        events.iter().filter(|event| !self.explain(event)).collect()
    }

    /// Whether an event has been right at some moment. What was accepted has been compared already.
    fn explain(&self, event: &Event) -> bool {
        match &event.what {
            What::Looked(seen) => {
                self.lots(seen.lot, event).iter().any(|lot| view(seen.lot, lot) == *seen)
            }
            What::Command(Command::On { lot, .. }, Answer::Settlement { repeated: true, .. }) => {
                self.repeats(*lot, event)
            }
            What::Command(Command::Withdraw(transfer), Answer::Refused(error)) => {
                self.cannot_be_withdrawn(transfer, error, event)
            }
            What::Command(Command::On { lot, wish, user, .. }, Answer::Refused(error)) => {
                self.refused(*lot, wish, user.as_deref(), error, event)
            }
            What::Command(_, Answer::Refused(_)) => false,
            What::Command(..) => true,
        }
    }

    /// The auction was over, and says what became of it.
    fn repeats(&self, lot: usize, event: &Event) -> bool {
        let What::Command(_, answer) = &event.what else { return false };
        let last = self.replay.lots[lot].last();
        self.lots(lot, event).last() == last && self.replay.book.settled(lot, true) == *answer
    }

    fn cannot_be_withdrawn(&self, transfer: &Transfer, error: &str, event: &Event) -> bool {
        let owner = (transfer.user.clone(), transfer.currency.code().to_owned());
        self.purses(&owner, event).iter().any(|purse| {
            let purses = [(owner.clone(), purse.clone())].into();
            let mut book = Book { rows: Rows { purses, lots: Vec::new() }, ..Book::default() };
            let answer = book.answer(&Command::Withdraw(transfer.clone()), 0);
            answer == Answer::Refused(error.to_owned())
        })
    }

    fn refused(
        &self,
        lot: usize,
        wish: &Wish,
        user: Option<&str>,
        error: &str,
        event: &Event,
    ) -> bool {
        let code = self.replay.lots[lot][0].currency.code().to_owned();
        let owner = (user.unwrap_or_default().to_owned(), code.clone());
        let purses = self.purses(&owner, event);
        let purses: Vec<_> = match purses {
            [] => vec![None],
            some => some.iter().map(Some).collect(),
        };
        self.lots(lot, event).iter().any(|lot| {
            let seller = &self.replay.book.rows.purses[&(lot.seller.clone(), code.clone())];
            instants(lot, event.latest).into_iter().any(|now| {
                purses.iter().any(|purse| {
                    let case = Case { lot, wish, user, purse: *purse, seller, now };
                    judge(case).is_err_and(|refusal| format!("{refusal:?}") == error)
                })
            })
        })
    }

    /// How an auction can have stood while something was asked and told.
    fn lots(&self, lot: usize, event: &Event) -> &[Lot] {
        let states = &self.replay.lots[lot];
        let names = (1..=states.len()).map(|seq| command_name(lot, seq as i64));
        // The opening is the first command, and nobody knows the auction before it.
        let window = self.window(names, event);
        &states[window.start().saturating_sub(1)..=window.end() - 1]
    }

    /// What can have been in a wallet while something was asked and told.
    fn purses(&self, owner: &Owner, event: &Event) -> &[Purse] {
        let (Some(states), Some(purse)) =
            (self.replay.purses.get(owner), self.replay.book.rows.purses.get(owner))
        else {
            return &[];
        };
        let names = purse.lines.iter().map(|line| line.operation.clone());
        &states[self.window(names, event)]
    }

    /// How many of these, in their order, can have happened while something was asked and told: at least as many as were
    /// told before, and none that was asked later.
    fn window(&self, names: impl Iterator<Item = String>, event: &Event) -> RangeInclusive<usize> {
        let events: Vec<_> = names.map(|name| self.replay.accepted[&name]).collect();
        let least = events.iter().rposition(|other| other.told < event.asked);
        let most = events.iter().position(|other| other.asked > event.told);
        least.map_or(0, |last| last + 1)..=most.unwrap_or(events.len())
    }
}

/// The instants that make a difference: at once, at the start and at the end, as far as the clock had come.
fn instants(lot: &Lot, latest: i64) -> Vec<i64> {
    let instants = [lot.last_at, lot.starts_at, lot.ends_at];
    instants.into_iter().filter(|at| lot.last_at <= *at && *at <= latest.max(lot.last_at)).collect()
}
