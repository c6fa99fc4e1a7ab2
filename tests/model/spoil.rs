//! Mistakes: a sound command that is made wrong in one way.

use auction_ledger::Currency;
use chrono::TimeDelta;
use rust_decimal::Decimal;

use super::AMOUNT_MAX;
use super::answer::number;
use super::command::{Command, End, Promise, Transfer, Wish};
use super::draw::Dice;

pub(super) fn spoil(dice: &mut Dice, command: Command) -> Command {
    match command {
        Command::Deposit(transfer) => Command::Deposit(spoil_transfer(dice, transfer)),
        Command::Withdraw(transfer) => Command::Withdraw(spoil_transfer(dice, transfer)),
        Command::Open { seller, title, terms } => match dice.roll(6) {
            0 => Command::Open { seller: no_user(dice), title, terms },
            1 => Command::Open { seller, title: no_text(dice, true), terms },
            _ => Command::Open { seller, title, terms: spoil_terms(dice, terms) },
        },
        Command::On { lot, wish, user, note } => match (dice.roll(4), wish) {
            (0, wish) => Command::On { lot: usize::MAX, wish, user, note },
            (1, wish) => Command::On { lot, wish, user, note: Some(no_text(dice, false)) },
            (2, Wish::Bid(_)) => Command::On { lot, wish: Wish::Bid(no_amount(dice)), user, note },
            (_, wish) => Command::On { lot, wish, user: user.map(|_| no_user(dice)), note },
        },
        other @ (Command::Keyed { .. } | Command::Together { .. }) => other,
    }
}

fn spoil_transfer(dice: &mut Dice, transfer: Transfer) -> Transfer {
    match dice.roll(4) {
        0 => Transfer { user: no_user(dice), ..transfer },
        1 => Transfer { memo: Some(no_text(dice, false)), ..transfer },
        2 => Transfer { amount: no_amount(dice), ..transfer },
        // The first to come decides how many decimals the wallet has.
        _ => Transfer { currency: other_decimals(transfer.currency), ..transfer },
    }
}

fn spoil_terms(dice: &mut Dice, terms: Promise) -> Promise {
    let grid = Some(number(10, terms.currency));
    let off = |amount: Decimal| amount + number(1, terms.currency);
    match dice.roll(10) {
        0 => Promise { end: None, ..terms },
        1 => {
            let at = terms.starts_at.unwrap_or_default();
            Promise { starts_at: Some(at), end: Some(End::At(at)), ..terms }
        }
        2 => {
            let at = terms.starts_at.unwrap_or_default();
            let end = Some(End::At(at - TimeDelta::microseconds(1)));
            Promise { starts_at: Some(at), end, ..terms }
        }
        3 => Promise { buy_now: Some(terms.start_price), ..terms },
        4 => Promise {
            multiple_of: grid,
            start_price: off(terms.start_price),
            buy_now: None,
            ..terms
        },
        5 => Promise { multiple_of: grid, increment: off(terms.increment), ..terms },
        6 => {
            Promise { multiple_of: grid, buy_now: Some(off(number(200, terms.currency))), ..terms }
        }
        7 => Promise { currency: other_decimals(terms.currency), ..terms },
        8 => Promise { multiple_of: Some(no_amount(dice)), ..terms },
        _ => match dice.roll(3) {
            0 => Promise { start_price: no_amount(dice), ..terms },
            1 => Promise { increment: no_amount(dice), ..terms },
            _ => Promise { buy_now: Some(no_amount(dice)), ..terms },
        },
    }
}

fn no_user(dice: &mut Dice) -> String {
    let users = [String::new(), "é".repeat(33), "an\0n".to_owned()];
    dice.pick(&users).clone()
}

fn no_text(dice: &mut Dice, title: bool) -> String {
    let long = if title { "é".repeat(201) } else { "e".repeat(201) };
    let empty = if title { String::new() } else { long.clone() };
    let texts = [long, "no\0text".to_owned(), empty];
    dice.pick(&texts).clone()
}

fn no_amount(dice: &mut Dice) -> Decimal {
    let amounts = [
        Decimal::ZERO,
        Decimal::from(-1),
        Decimal::new(1, 3),
        Decimal::from(AMOUNT_MAX) + Decimal::ONE,
        Decimal::MAX,
    ];
    *dice.pick(&amounts)
}

/// The same code with one decimal more.
fn other_decimals(currency: Currency) -> Currency {
    Currency::new(currency.code(), currency.exponent() + 1).expect("a few decimals are allowed")
}
