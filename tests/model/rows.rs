//! What is stored, in names instead of ids: users by their key, auctions by the order of their opening, operations by the
//! one row that nobody else has.

use std::collections::BTreeMap;

use auction_ledger::entity::{act, entry};
use auction_ledger::{AuctionState, Currency};

/// Everything that is stored of some users and auctions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) purses: BTreeMap<Owner, Purse>,
    pub(super) lots: Vec<Lot>,
}

/// A user, and the code of a currency.
pub(super) type Owner = (String, String);

/// A wallet and its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purse {
    pub(super) currency: Currency,
    pub(super) available: i64,
    pub(super) held: i64,
    pub(super) seq: i64,
    pub(super) last_at: i64,
    pub(super) lines: Vec<Line>,
}

/// An entry of a journal. Its number is its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) operation: String,
    pub(super) kind: entry::Kind,
    pub(super) available_delta: i64,
    pub(super) held_delta: i64,
    pub(super) available_after: i64,
    pub(super) held_after: i64,
    pub(super) lot: Option<usize>,
    pub(super) memo: Option<String>,
    pub(super) at: i64,
}

/// An auction and its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lot {
    pub(super) title: String,
    pub(super) seller: String,
    pub(super) currency: Currency,
    pub(super) start_price: i64,
    pub(super) increment: i64,
    pub(super) multiple_of: Option<i64>,
    pub(super) buy_now_price: Option<i64>,
    pub(super) starts_at: i64,
    pub(super) original_ends_at: i64,
    pub(super) ends_at: i64,
    pub(super) state: AuctionState,
    pub(super) leader: Option<String>,
    pub(super) leader_max: Option<i64>,
    pub(super) leader_seq: Option<i64>,
    pub(super) price: Option<i64>,
    pub(super) runner_up_max: Option<i64>,
    pub(super) winner: Option<String>,
    pub(super) sold_price: Option<i64>,
    pub(super) seq: i64,
    pub(super) last_at: i64,
    pub(super) bids: Vec<BidRow>,
    pub(super) acts: Vec<ActRow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BidRow {
    pub(super) seq: i64,
    pub(super) operation: String,
    pub(super) user: String,
    pub(super) amount: i64,
    pub(super) price: i64,
    pub(super) leader: String,
    pub(super) ends_at: i64,
    pub(super) at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ActRow {
    pub(super) seq: i64,
    pub(super) operation: String,
    pub(super) kind: act::Kind,
    pub(super) user: Option<String>,
    pub(super) amount: Option<i64>,
    pub(super) reason: Option<String>,
    pub(super) at: i64,
}

/// The name of what an auction has accepted under this number.
pub(super) fn command_name(lot: usize, seq: i64) -> String {
    format!("lot {lot} command {seq}")
}

/// The name of a deposit or a withdrawal: the entry that it made.
pub(super) fn entry_name((user, code): &Owner, seq: i64) -> String {
    format!("{user:?} {code} entry {seq}")
}

impl Rows {
    /// The canonical journal: one line for each row. Whatever stores the same has the same text.
    pub(super) fn journal(&self) -> String {
        let mut lines = Vec::new();
        for (owner, purse) in &self.purses {
            lines.push(format!("{owner:?} {:?}", Purse { lines: Vec::new(), ..purse.clone() }));
            lines.extend(purse.lines.iter().map(|line| format!("{owner:?} {line:?}")));
        }
        for (index, lot) in self.lots.iter().enumerate() {
            let bare = Lot { bids: Vec::new(), acts: Vec::new(), ..lot.clone() };
            lines.push(format!("lot {index} {bare:?}"));
            lines.extend(lot.bids.iter().map(|bid| format!("lot {index} {bid:?}")));
            lines.extend(lot.acts.iter().map(|act| format!("lot {index} {act:?}")));
        }
        lines.join("\n")
    }

    /// The rows that differ, if any do.
    pub(super) fn compare(&self, stored: &Self) -> Result<(), String> {
        if self == stored {
            return Ok(());
        }
        let (model, stored) = (self.journal(), stored.journal());
        let only = |one: &str, other: &str| {
            let other: Vec<_> = other.lines().collect();
            let lines = one.lines().filter(|line| !other.contains(line));
            lines.map(|line| format!("    {line}\n")).collect::<String>()
        };
        let (model, stored) = (only(&model, &stored), only(&stored, &model));
        Err(format!("only in the model:\n{model}only in the database:\n{stored}"))
    }
}
