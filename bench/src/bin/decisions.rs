//! How long the rules take to judge one command, and that they allocate nothing for it.
//!
//! ```text
//! cargo run --release --package bench --bin decisions -- --bench
//! cargo run --package bench --bin decisions -- --test # each once, without a measurement
//! ```
//!
//! The rules are private to the library and need nothing of it, so they are compiled here once more.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    unfulfilled_lint_expectations,
    reason = "the library's own modules"
)]

#[path = "../../../src/id.rs"]
mod id;
#[path = "../../../src/money.rs"]
mod money;
#[path = "../../../src/rules/mod.rs"]
mod rules;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

use id::WalletId;
use money::{Amount, Currency};
use rules::{
    AuctionState, Command, Funds, Increment, Ladder, Leader, Micros, Pricing, Share, SoftClose,
    Standing, Table, Terms, Verdict, decide,
};

const SELLER: i64 = 1;
const LEADER: i64 = 2;
const BIDDER: i64 = 3;
const END: i64 = 1_000_000_000;

fn won(minor: i64) -> Amount {
    Amount::from_minor(minor).expect("an amount")
}

/// With all that makes a decision long: a table of increments, a reserve, a soft close, a premium and a fee.
fn terms(pricing: Pricing) -> Terms {
    let table = [(0, 5), (100, 25), (500, 50), (2_500, 100), (10_000, 250), (25_000, 500)];
    let sealed = pricing.is_sealed();
    let increment = Increment::Table(Table::new(table).expect("it ascends from zero"));
    let ladder = Ladder {
        start_price: won(10),
        increment: if sealed { Increment::NONE } else { increment },
        multiple_of: None,
        pricing,
    };
    let share = Share { basis_points: 2_500, at_least: won(3), at_most: Some(won(100_000)) };
    let terms = Terms {
        currency: Currency::EUR,
        ladder: Some(ladder),
        ask: None,
        reserve: Some(won(5_000)),
        acceptance_window: 1_000_000,
        soft_close: (!sealed).then_some(SoftClose { window: 600_000_000, at_most: None }),
        premium: share,
        fee: share,
        starts_at: Micros::new(0),
        ends_at: Micros::new(END),
    };
    terms.validated().expect("an auction can be opened with them")
}

fn led(terms: &Terms) -> Standing {
    let opened = Standing::opened(WalletId::from(SELLER), terms, Micros::new(0));
    if terms.is_sealed() {
        return opened;
    }
    let maximum = won(10_000);
    let hold = terms.with_premium(maximum).expect("it can be paid");
    let leader = Leader { wallet: WalletId::from(LEADER), maximum, hold, seq: 2 };
    Standing {
        leader: Some(leader),
        price: Some(won(6_000)),
        runner_up_maximum: Some(won(5_900)),
        seq: 7,
        ..opened
    }
}

fn commands() -> [(&'static str, Pricing, Command, i64); 5] {
    let bid =
        |maximum| Command::Bid { bidder: Some(WalletId::from(BIDDER)), maximum: won(maximum) };
    let raise = Command::Bid { bidder: Some(WalletId::from(LEADER)), maximum: won(20_000) };
    [
        ("a bid that leads", Pricing::Automatic, bid(12_000), END - 1),
        ("a bid that is answered", Pricing::Automatic, bid(8_000), END - 1),
        ("a raise", Pricing::Automatic, raise, END - 1),
        ("a sealed bid", Pricing::SecondPrice, bid(8_000), END - 1),
        ("a settlement", Pricing::Automatic, Command::Settle, END),
    ]
}

fn judge(terms: &Terms, standing: &Standing, command: &Command, now: i64) -> Option<Verdict> {
    let funds = Funds { available: 1_000_000 };
    decide(black_box(terms), black_box(standing), black_box(command), funds, Micros::new(now)).ok()
}

fn decisions(criterion: &mut Criterion) {
    for (name, pricing, command, now) in commands() {
        let terms = terms(pricing);
        let standing = led(&terms);
        let mut accepted = false;
        let allocated = allocation_counter::measure(|| {
            accepted = judge(&terms, &standing, &command, now).is_some();
        });
        assert!(accepted, "{name} is refused");
        assert_eq!(allocated.count_total, 0, "{name} allocates");
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| judge(&terms, &standing, &command, now));
        });
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
