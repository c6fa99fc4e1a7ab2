//! A ledger in memory, written from the rules and sharing no code with the write path, and random commands that both it
//! and the database answer: they must never disagree.
//!
//! | file | what it is |
//! |---|---|
//! | `rows` | what is stored, in names instead of ids: the model keeps it, and the database is read into it |
//! | `command`, `answer` | what is asked and what is answered, in the same names |
//! | `rules`, `terms`, `text` | what a command makes of an auction; what an opening, an amount and a text must be |
//! | `book`, `effect` | the model: wallets and auctions, and what an accepted command does to them |
//! | `draw`, `spoil` | random commands, random clocks, and random mistakes |
//! | `send`, `stored`, `public` | the same commands through the ledger; the tables and the public answers in names |
//! | `sequences`, `agreement` | the tests, one command after the other |
//! | `race`, `serial`, `explain` | the tests with many tasks at once, and how their answers are put in an order |
//!
//! A failure names the seed and the command. `AUCTION_LEDGER_SEED=17` begins with that seed, and `AUCTION_LEDGER_SCALE=1`
//! runs few after it.

mod agreement;
mod answer;
mod book;
mod command;
mod draw;
mod effect;
mod explain;
mod public;
mod race;
mod rows;
mod rules;
mod send;
mod sequences;
mod serial;
mod spoil;
mod stored;
mod terms;
mod text;

use auction_ledger::Currency;
use chrono::{DateTime, TimeDelta, Utc};

const WON: Currency = Currency::KRW;
const EURO: Currency = Currency::EUR;

/// The most that one amount can be, and one wallet hold, in minor units.
const AMOUNT_MAX: i64 = 1_000_000_000_000_000;
const BALANCE_MAX: i64 = 1_000 * AMOUNT_MAX;

/// Where the clock of every sequence begins.
fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

/// The first seed: 1, or what `AUCTION_LEDGER_SEED` says.
fn first_seed() -> u64 {
    std::env::var("AUCTION_LEDGER_SEED").map_or(1, |seed| {
        seed.parse().unwrap_or_else(|_| panic!("AUCTION_LEDGER_SEED is a number, not {seed:?}"))
    })
}
