//! The model: wallets and auctions in memory, and what a command makes of them.

use std::collections::BTreeMap;

use auction_ledger::entity::{act, entry};
use auction_ledger::{AuctionId, AuctionState, Currency, Error, Rejection};

use super::answer::{Answer, View, number, words};
use super::command::{Command, Promise, Transfer, Wish};
use super::effect::{Accepted, line};
use super::rows::{ActRow, Line, Lot, Owner, Purse, Rows, command_name, entry_name};
use super::rules::{self, Case, judge};
use super::{BALANCE_MAX, terms, text};

/// The id that the tests ask for where there is no auction.
pub(super) const NOWHERE: i64 = 4_000_000_000_000_000_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) rows: Rows,
    /// What was carried out with a key, and what was answered. A key belongs to a user, or to the house.
    pub(super) keys: BTreeMap<(Option<String>, String), (Command, Answer)>,
}

impl Book {
    /// Answers a command, and changes what it changes. `clock` is what the clock shows.
    pub(super) fn answer(&mut self, command: &Command, clock: i64) -> Answer {
        let answer = match command {
            Command::Deposit(transfer) => self.deposit(transfer, clock),
            Command::Withdraw(transfer) => self.withdraw(transfer, clock),
            Command::Open { seller, title, terms } => self.open(seller, title, terms, clock),
            Command::On { lot, wish, user, note } => {
                self.on(*lot, wish, user.as_deref(), note.as_deref(), clock)
            }
            Command::Keyed { key, command } => self.once(key, command, clock),
            Command::Together { commands, keep } => {
                let before = self.clone();
                let answers = commands.iter().map(|command| self.answer(command, clock)).collect();
                if !keep {
                    *self = before;
                }
                Ok(Answer::Together(answers))
            }
        };
        answer.unwrap_or_else(|error| Answer::refused(&error))
    }

    /// What was carried out is answered as it was, whatever has happened since, and nothing else has its key.
    fn once(&mut self, key: &str, command: &Command, clock: i64) -> Result<Answer, Error> {
        command.user().map_or(Ok(()), text::user)?;
        let place = (command.user().map(str::to_owned), key.to_owned());
        if let Some((used, answer)) = self.keys.get(&place) {
            return Ok(if used == command { answer.clone() } else { Answer::conflict() });
        }
        let answer = self.answer(command, clock);
        // Nothing is carried out by a refusal, nor by a settlement that only says what has become of the auction.
        if !matches!(answer, Answer::Refused(_) | Answer::Settlement { repeated: true, .. }) {
            self.keys.insert(place, (command.clone(), answer.clone()));
        }
        Ok(answer)
    }

    fn deposit(&mut self, transfer: &Transfer, clock: i64) -> Result<Answer, Error> {
        let amount = valid(transfer)?;
        let owner = self.owner(&transfer.user, transfer.currency)?;
        let purse = self.rows.purses.get(&owner);
        if purse.is_some_and(|purse| purse.available + purse.held + amount > BALANCE_MAX) {
            let maximum = number(BALANCE_MAX, transfer.currency);
            return Err(Rejection::BalanceTooLarge { maximum }.into());
        }
        self.make_purse(&owner, transfer.currency);
        self.transfer(transfer, &owner, entry::Kind::Deposit, amount, clock)
    }

    fn withdraw(&mut self, transfer: &Transfer, clock: i64) -> Result<Answer, Error> {
        let amount = valid(transfer)?;
        let owner = self.owner(&transfer.user, transfer.currency)?;
        let available = self.rows.purses.get(&owner).map_or(0, |purse| purse.available);
        if amount > available {
            let say = |minor| number(minor, transfer.currency);
            let (needed, available) = (say(amount), say(available));
            return Err(Rejection::InsufficientFunds { needed, available }.into());
        }
        self.transfer(transfer, &owner, entry::Kind::Withdrawal, -amount, clock)
    }

    fn transfer(
        &mut self,
        transfer: &Transfer,
        owner: &Owner,
        kind: entry::Kind,
        delta: i64,
        clock: i64,
    ) -> Result<Answer, Error> {
        let at = self.instant(clock, [Some(owner)]);
        let purse = &self.rows.purses[owner];
        let line = Line {
            operation: entry_name(owner, purse.seq + 1),
            kind,
            available_delta: delta,
            memo: transfer.memo.clone(),
            ..line(at)
        };
        self.enter(owner, line);
        Ok(self.wallet(&transfer.user, transfer.currency))
    }

    fn open(
        &mut self,
        seller: &str,
        title: &str,
        promise: &Promise,
        clock: i64,
    ) -> Result<Answer, Error> {
        text::user(seller)?;
        text::title(title)?;
        let mut lot = terms::promised(seller, title, promise, clock)?;
        let owner = self.owner(seller, promise.currency)?;
        self.make_purse(&owner, promise.currency);
        let at = self.instant(clock, [Some(&owner)]);
        let index = self.rows.lots.len();
        lot.acts.push(ActRow {
            seq: 1,
            operation: command_name(index, 1),
            kind: act::Kind::Opened,
            user: Some(seller.to_owned()),
            amount: None,
            reason: None,
            at,
        });
        (lot.seq, lot.last_at) = (1, at);
        self.rows.lots.push(lot);
        Ok(Answer::Opened(self.view(index)))
    }

    fn on(
        &mut self,
        index: usize,
        wish: &Wish,
        user: Option<&str>,
        note: Option<&str>,
        clock: i64,
    ) -> Result<Answer, Error> {
        user.map_or(Ok(()), text::user)?;
        match wish {
            Wish::CloseEarly | Wish::Cancel => text::reason(note)?,
            _ => text::memo(note)?,
        }
        let unknown = Error::UnknownAuction { auction: AuctionId::from(NOWHERE) };
        let lot = self.rows.lots.get(index).ok_or(unknown)?;
        let at = self.instant_on(lot, wish, user, clock);
        let case = Case {
            lot,
            wish,
            user,
            purse: user.and_then(|user| self.purse(lot, user)),
            seller: self.purse(lot, &lot.seller).expect("a seller has a wallet"),
            now: at,
        };
        let accepted = Accepted { lot: index, seq: lot.seq + 1, user, wish, note, at };
        match judge(case) {
            Ok(effect) => Ok(self.carry_out(&accepted, &effect)),
            Err(Error::Rejected(Rejection::Closed { state }))
                if matches!(wish, Wish::Settle) && state != AuctionState::Cancelled =>
            {
                Ok(self.settled(index, true))
            }
            Err(error) => Err(error),
        }
    }

    /// When a command on an auction happens: not before the last one on it, nor before the last entry of a wallet whose
    /// money it may move, or whose owner gives it.
    fn instant_on(&self, lot: &Lot, wish: &Wish, user: Option<&str>, clock: i64) -> i64 {
        let offer = rules::offer(lot);
        let sells = match wish {
            Wish::Bid(amount) => offer.is_some_and(|price| *amount >= number(price, lot.currency)),
            Wish::Buy => offer.is_some(),
            Wish::Settle | Wish::CloseEarly => true,
            Wish::Cancel => false,
        };
        let seller = sells.then_some(lot.seller.as_str());
        let owners = [user, lot.leader.as_deref(), seller]
            .map(|user| user.map(|user| (user.to_owned(), lot.currency.code().to_owned())));
        self.instant(clock.max(lot.last_at), owners.each_ref().map(Option::as_ref))
    }

    /// What the clock shows, but not before the last entry of any of these wallets.
    fn instant<const N: usize>(&self, clock: i64, owners: [Option<&Owner>; N]) -> i64 {
        let purses = owners.into_iter().flatten().filter_map(|owner| self.rows.purses.get(owner));
        purses.map(|purse| purse.last_at).fold(clock, i64::max)
    }

    /// The owner of a wallet, refused if it counts with other decimals.
    fn owner(&self, user: &str, currency: Currency) -> Result<Owner, Error> {
        let owner = (user.to_owned(), currency.code().to_owned());
        match self.rows.purses.get(&owner) {
            Some(purse) if purse.currency != currency => {
                let stored = purse.currency.exponent();
                Err(Error::CurrencyMismatch { given: currency, stored })
            }
            _ => Ok(owner),
        }
    }

    fn make_purse(&mut self, owner: &Owner, currency: Currency) {
        self.rows.purses.entry(owner.clone()).or_insert_with(|| Purse {
            currency,
            available: 0,
            held: 0,
            seq: 0,
            last_at: 0,
            lines: Vec::new(),
        });
    }

    /// A wallet that begins with this entry.
    pub(super) fn fill(&mut self, owner: &Owner, line: Line) {
        self.make_purse(owner, super::WON);
        self.enter(owner, line);
    }

    fn purse(&self, lot: &Lot, user: &str) -> Option<&Purse> {
        self.rows.purses.get(&(user.to_owned(), lot.currency.code().to_owned()))
    }

    /// What the ledger must say of a wallet.
    pub(super) fn wallet(&self, user: &str, currency: Currency) -> Answer {
        let purse = self.rows.purses.get(&(user.to_owned(), currency.code().to_owned()));
        let (available, held) = purse.map_or((0, 0), |purse| (purse.available, purse.held));
        Answer::Wallet {
            user: user.to_owned(),
            currency,
            available: words(available, currency),
            held: words(held, currency),
        }
    }

    /// What a settlement of an auction that is over answers.
    pub(super) fn settled(&self, index: usize, repeated: bool) -> Answer {
        let lot = &self.rows.lots[index];
        let sold = lot.winner.clone().zip(lot.sold_price);
        Answer::Settlement {
            lot: index,
            seq: lot.seq,
            currency: lot.currency,
            sold: sold
                .map(|(winner, price)| (winner, lot.seller.clone(), words(price, lot.currency))),
            at: lot.last_at,
            repeated,
        }
    }

    /// What the ledger must say of an auction.
    pub(super) fn view(&self, index: usize) -> View {
        view(index, &self.rows.lots[index])
    }
}

/// The user, the memo and the amount, in this order.
fn valid(transfer: &Transfer) -> Result<i64, Error> {
    text::user(&transfer.user)?;
    text::memo(transfer.memo.as_deref())?;
    text::amount("amount", transfer.amount, transfer.currency)
}

/// An auction as everybody may see it.
pub(super) fn view(index: usize, lot: &Lot) -> View {
    let say = |minor: Option<i64>| minor.map(|minor| words(minor, lot.currency));
    View {
        lot: index,
        title: lot.title.clone(),
        seller: lot.seller.clone(),
        currency: lot.currency,
        start_price: words(lot.start_price, lot.currency),
        increment: words(lot.increment, lot.currency),
        multiple_of: say(lot.multiple_of),
        buy_now_price: say(lot.buy_now_price),
        starts_at: lot.starts_at,
        ends_at: lot.ends_at,
        state: lot.state,
        leader: lot.leader.clone(),
        price: say(lot.price),
        next_minimum: say(rules::next_minimum(lot)),
        buy_now_offer: say(rules::offer(lot)),
        seq: lot.seq,
    }
}
