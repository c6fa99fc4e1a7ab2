//! How requests are made up.

use auction_ledger::Currency;
use proptest::option;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::arena::Slot;
use super::request::{Command, End, Input, Lot, Request, Terms};
use super::wild::{self, Text, mostly};
use super::{EUR, WON, start};

/// Commands on wallets, and openings.
pub(super) fn of_wallets() -> BoxedStrategy<Input> {
    let transfer = || (user(), currency(), amount(), note());
    let command = prop_oneof![
        2 => transfer().prop_map(|(user, currency, amount, memo)| Command::Deposit { user, currency, amount, memo }),
        2 => transfer().prop_map(|(user, currency, amount, memo)| Command::Withdraw { user, currency, amount, memo }),
        3 => (user(), title(), terms()).prop_map(|(seller, title, terms)| Command::Open { seller, title, terms }),
    ];
    sent(command)
}

/// Commands on auctions.
pub(super) fn of_auctions() -> BoxedStrategy<Input> {
    let command = prop_oneof![
        8 => (lot(), user(), amount(), note())
            .prop_map(|(lot, user, amount, memo)| Command::Bid { lot, user, amount, memo }),
        3 => (lot(), user(), note()).prop_map(|(lot, user, memo)| Command::Buy { lot, user, memo }),
        3 => (lot(), note()).prop_map(|(lot, memo)| Command::Settle { lot, memo }),
        3 => (lot(), option::of(user()), note())
            .prop_map(|(lot, by, reason)| Command::CloseEarly { lot, by, reason }),
        3 => (lot(), option::of(user()), note()).prop_map(|(lot, by, reason)| Command::Cancel { lot, by, reason }),
        1 => wild::limit().prop_map(|limit| Command::SettleDue { limit }),
    ];
    sent(command)
}

pub(super) fn of_queries() -> BoxedStrategy<Input> {
    let cursor = || (mostly(0_i64..5, wild::id()), mostly(0_u64..5, wild::limit()));
    let command =
        prop_oneof![
            lot().prop_map(|lot| Command::Auction { lot }),
            (lot(), cursor()).prop_map(|(lot, (after, limit))| Command::Bids { lot, after, limit }),
            (lot(), cursor()).prop_map(|(lot, (after, limit))| Command::Acts { lot, after, limit }),
            (user(), currency()).prop_map(|(user, currency)| Command::Wallet { user, currency }),
            (user(), currency(), cursor()).prop_map(|(user, currency, (after, limit))| {
                Command::Entries { user, currency, after, limit }
            }),
            (user(), currency(), wild::instant())
                .prop_map(|(user, currency, at)| Command::BalanceAt { user, currency, at }),
        ];
    sent(command)
}

fn sent(command: impl Strategy<Value = Command> + 'static) -> BoxedStrategy<Input> {
    // A key joins here.
    let request = command.prop_map(|command| Request { command }).boxed();
    let together = request.clone().prop_map(|request| match request.command {
        // A sweep opens units of work of its own.
        Command::SettleDue { .. } => {
            Request { command: Command::Settle { lot: Lot::In(Slot::Due), memo: None } }
        }
        _ => request,
    });
    let together = prop::collection::vec(together, 1..12).prop_map(Input::Together);
    prop_oneof![5 => request.prop_map(Input::Alone), 1 => together].boxed()
}

fn user() -> BoxedStrategy<Text> {
    let known = prop::sample::select(vec!["ann", "bob", "sam", "rich", "full", "top"]);
    let newcomer = (0_u32..20).prop_map(|number| Text(format!("user {number}")));
    let known = known.prop_map(|user| Text(user.to_owned()));
    mostly(prop_oneof![5 => known, 1 => newcomer], wild::text())
}

fn currency() -> BoxedStrategy<Currency> {
    mostly(prop_oneof![3 => Just(WON), 1 => Just(EUR)], wild::currency())
}

fn amount() -> BoxedStrategy<Decimal> {
    let whole = prop_oneof![
        (1_i64..700).prop_map(Decimal::from),
        (1_i64..60).prop_map(|tens| Decimal::from(tens * 10))
    ];
    mostly(whole, wild::decimal())
}

fn note() -> BoxedStrategy<Option<Text>> {
    mostly(option::of("[a-z ]{0,20}".prop_map(Text)), wild::text().prop_map(Some))
}

fn title() -> BoxedStrategy<Text> {
    mostly("[a-z ]{1,20}".prop_map(Text), wild::text())
}

fn lot() -> BoxedStrategy<Lot> {
    let known = prop::sample::select(Slot::ALL.to_vec()).prop_map(Lot::In);
    // Ids that are handed out are small and positive.
    let unknown = wild::id().prop_map(|id| if (1..1_000_000).contains(&id) { -id } else { id });
    prop_oneof![10 => known, 1 => unknown.prop_map(Lot::Id)].boxed()
}

fn terms() -> BoxedStrategy<Terms> {
    // A grid on which most prices lie, so that the multiples are met too.
    let tens = |range: std::ops::Range<i64>| range.prop_map(|tens| Decimal::from(tens * 10));
    let start_price = mostly(tens(1..50), amount());
    let increment = mostly(tens(1..5), amount());
    let multiple_of = mostly(option::of(Just(Decimal::TEN)), amount().prop_map(Some));
    let buy_now = mostly(option::of(tens(50..90)), amount().prop_map(Some));
    let starts_at = mostly(Just(None), wild::instant().prop_map(Some));
    let an_hour = start() + chrono::TimeDelta::days(3_650);
    let wild_end = prop_oneof![
        2 => wild::instant().prop_map(|at| Some(End::At(at))),
        2 => wild::duration().prop_map(|duration| Some(End::In(duration))),
        1 => Just(None),
    ];
    let end = mostly(Just(Some(End::At(an_hour))), wild_end);
    (currency(), start_price, increment, multiple_of, buy_now, starts_at, end)
        .prop_map(|(currency, start_price, increment, multiple_of, buy_now, starts_at, end)| {
            Terms { currency, start_price, increment, multiple_of, buy_now, starts_at, end }
        })
        .boxed()
}
