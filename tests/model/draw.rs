//! Random commands, drawn so that both answers are frequent, and a random clock.

use std::time::Duration;

use auction_ledger::{AuctionState, Currency};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;

use super::answer::number;
use super::book::Book;
use super::command::{Command, End, Promise, Transfer, Wish};
use super::rows::Lot;
use super::rules::{least, offer};
use super::spoil::spoil;
use super::{AMOUNT_MAX, EURO, WON, terms};

/// A small generator (SplitMix64), so that a seed says it all.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to `sides - 1`.
    pub(super) fn roll(&mut self, sides: u64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides) as i64
    }

    pub(super) fn percent(&mut self, chance: i64) -> bool {
        self.roll(100) < chance
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }
}

/// What a sequence is made of; chances are in per cent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) currencies: &'static [Currency],
    /// Of a request that is wrong in itself.
    pub(super) spoiled: i64,
    /// Of several commands in one unit of work of the host.
    pub(super) together: i64,
    /// Of an idempotency key.
    pub(super) keyed: i64,
    /// Of the clock stepping back.
    pub(super) back: i64,
    /// Whether one wallet begins with almost as much as a wallet can hold.
    pub(super) full: bool,
}

/// Of what each drawn command knows.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) book: &'a Book,
    pub(super) users: &'a [String],
    pub(super) now: DateTime<Utc>,
    pub(super) style: Style,
    /// The commands with keys that were sent.
    pub(super) keyed: &'a [Command],
}

/// Moves the clock: mostly on, often to the very instants at which something begins or ends, sometimes back.
pub(super) fn tick(
    dice: &mut Dice,
    book: &Book,
    now: DateTime<Utc>,
    style: Style,
) -> DateTime<Utc> {
    if dice.percent(style.back) {
        return now - TimeDelta::milliseconds(dice.roll(30_000));
    }
    let edges = book.rows.lots.iter().flat_map(|lot| [lot.starts_at, lot.ends_at]);
    let edges: Vec<i64> = edges.filter(|at| *at >= now.timestamp_micros()).collect();
    if !edges.is_empty() && dice.percent(8) {
        return terms::calendar(dice.pick(&edges) + dice.roll(3) - 1);
    }
    now + TimeDelta::microseconds([0, 1, 700_000, 2_000_000][dice.roll(4) as usize])
}

impl Scene<'_> {
    pub(super) fn command(&self, dice: &mut Dice) -> Command {
        if !dice.percent(self.style.together) {
            return self.alone(dice);
        }
        // Drawn against what is stored, so the later ones may be about auctions that do not exist yet.
        let commands = (0..2 + dice.roll(3)).map(|_| self.alone(dice)).collect();
        Command::Together { commands, keep: dice.percent(60) }
    }

    fn alone(&self, dice: &mut Dice) -> Command {
        let keyed = dice.percent(self.style.keyed);
        if keyed && !self.keyed.is_empty() && dice.percent(50) {
            let command = dice.pick(self.keyed).clone();
            return again(dice, command);
        }
        let command = self.sound(dice);
        let command = if dice.percent(self.style.spoiled) { spoil(dice, command) } else { command };
        if !keyed {
            return command;
        }
        // Few keys, so that some are tried for different commands.
        let key = format!("{} key {}", self.users[0], dice.roll(40));
        Command::Keyed { key, command: Box::new(command) }
    }

    fn sound(&self, dice: &mut Dice) -> Command {
        let lots = &self.book.rows.lots;
        let open = |(index, lot): (usize, &Lot)| (lot.state == AuctionState::Open).then_some(index);
        let open: Vec<usize> = lots.iter().enumerate().filter_map(open).collect();
        match dice.roll(100) {
            0..14 => Command::Deposit(self.transfer(dice, 2_000)),
            14..20 => Command::Withdraw(self.transfer(dice, 500)),
            _ if lots.is_empty() => self.open(dice),
            20..40 if open.len() < 3 => self.open(dice),
            kind => {
                let any = dice.roll(lots.len() as u64) as usize;
                // What is over answers always the same.
                let index =
                    if open.is_empty() || dice.percent(10) { any } else { *dice.pick(&open) };
                let wish = self.wish(dice, kind, &lots[index]);
                self.on(dice, index, wish)
            }
        }
    }

    fn transfer(&self, dice: &mut Dice, most: u64) -> Transfer {
        let user = dice.pick(self.users).clone();
        let currency = *dice.pick(self.style.currencies);
        let amount = number(1 + dice.roll(most), currency);
        Transfer { user, currency, amount: written(dice, amount), memo: note(dice) }
    }

    fn wish(&self, dice: &mut Dice, kind: i64, lot: &Lot) -> Wish {
        let over = lot.ends_at <= self.now.timestamp_micros();
        match kind {
            40..85 if over && dice.percent(60) => Wish::Settle,
            ..85 => Wish::Bid(self.bid(dice, lot)),
            85..88 => Wish::Buy,
            88..96 => Wish::Settle,
            96..98 => Wish::CloseEarly,
            _ => Wish::Cancel,
        }
    }

    /// Around what would be accepted.
    fn bid(&self, dice: &mut Dice, lot: &Lot) -> Decimal {
        let least = least(lot);
        let amount = match dice.roll(12) {
            0..5 => least,
            5..8 => least + lot.increment * dice.roll(4),
            8 => least - 1,
            9 => least + 1 + dice.roll(20),
            10 => offer(lot).unwrap_or(least) + dice.roll(3) - 1,
            _ => [1, AMOUNT_MAX][dice.roll(2) as usize],
        };
        let amount = number(amount.clamp(1, AMOUNT_MAX), lot.currency);
        written(dice, amount)
    }

    fn on(&self, dice: &mut Dice, lot: usize, wish: Wish) -> Command {
        let row = &self.book.rows.lots[lot];
        let anybody = self.somebody(dice, row.currency);
        let user = match wish {
            Wish::Settle => None,
            Wish::Bid(_) | Wish::Buy => Some(anybody),
            Wish::CloseEarly | Wish::Cancel => {
                [None, Some(row.seller.clone()), Some(row.seller.clone()), Some(anybody)]
                    [dice.roll(4) as usize]
                    .clone()
            }
        };
        Command::On { lot, wish, user, note: note(dice) }
    }

    /// Mostly somebody with money.
    fn somebody(&self, dice: &mut Dice, currency: Currency) -> String {
        let spendable = |user: &&String| {
            let owner = ((*user).clone(), currency.code().to_owned());
            self.book.rows.purses.get(&owner).is_some_and(|purse| purse.available > 0)
        };
        let able: Vec<String> = self.users.iter().filter(spendable).cloned().collect();
        let among = if able.is_empty() || dice.percent(20) { self.users } else { &able };
        dice.pick(among).clone()
    }

    fn open(&self, dice: &mut Dice) -> Command {
        let seller = dice.pick(self.users).clone();
        let currency = *dice.pick(self.style.currencies);
        let say = |minor| number(minor, currency);
        let first = 10 * (1 + dice.roll(5));
        let huge = dice.percent(2);
        let increment = if huge { AMOUNT_MAX / 2 } else { 10 * (1 + dice.roll(2)) };
        let starts_at = self.now + TimeDelta::nanoseconds(500) + TimeDelta::seconds(dice.roll(4));
        let length = 20 + dice.roll(100);
        let terms = Promise {
            currency,
            start_price: say(first),
            increment: say(increment),
            multiple_of: dice.percent(40).then(|| say(10)),
            buy_now: dice.percent(65).then(|| say(first + 10 * (1 + dice.roll(15)))),
            starts_at: dice.percent(60).then_some(starts_at),
            end: Some(match dice.roll(2) {
                0 => End::At(starts_at + TimeDelta::seconds(length)),
                _ => End::In(Duration::from_millis(length as u64 * 1_000)),
            }),
        };
        let title = dice.pick(&["a lens", "ein Fernrohr für Müßiggänger", "望遠鏡"]).to_string();
        Command::Open { seller, title, terms }
    }
}

/// A command with a key once more: mostly the same, sometimes another one.
fn again(dice: &mut Dice, command: Command) -> Command {
    let Command::Keyed { key, command } = command else { return command };
    let other = match *command {
        other if dice.percent(70) => other,
        Command::Deposit(transfer) => Command::Withdraw(transfer),
        Command::Withdraw(transfer) => Command::Deposit(transfer),
        Command::Open { seller, terms, .. } => {
            Command::Open { seller, title: "another one".to_owned(), terms }
        }
        Command::On { lot, wish, user, .. } => {
            Command::On { lot, wish, user, note: Some("another one".to_owned()) }
        }
        other => other,
    };
    Command::Keyed { key, command: Box::new(other) }
}

/// The amount, sometimes with zeros at its end that say nothing.
fn written(dice: &mut Dice, mut amount: Decimal) -> Decimal {
    if dice.percent(10) {
        amount.rescale(amount.scale() + 2);
    }
    amount
}

fn note(dice: &mut Dice) -> Option<String> {
    let notes = ["paid", "für später", "第一", ""];
    dice.percent(40).then(|| dice.pick(&notes).to_string())
}

/// The currencies of a sequence in which not everything is whole.
pub(super) const BOTH: &[Currency] = &[WON, EURO];
