//! The rules of the auctions: pure functions of terms, standing, command, money and instant.
//!
//! They know money and ids, and nothing of a database, a clock, a task or a random number.
//! The same arguments give the same answer, so a history can be judged again, and a test needs no
//! server.

mod ask;
mod close;
mod decide;
mod eligibility;
mod increment;
mod instant;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
mod properties;
mod rejection;
mod sealed;
mod share;
mod soft_close;
mod standing;
mod table;
mod terms;
mod terms_error;
mod verdict;
mod void;

pub use ask::Availability;
pub(crate) use ask::{Ask, AskPrice, ask_at, buy_now_offer};
pub(crate) use decide::{Actor, Command, Funds, Party, decide, next_minimum, next_minimum_of};
pub use eligibility::Eligibility;
pub(crate) use increment::Increment;
pub(crate) use instant::Micros;
pub use rejection::Rejection;
pub(crate) use share::Share;
pub(crate) use soft_close::SoftClose;
pub use standing::AuctionState;
pub(crate) use standing::{Leader, Standing};
pub(crate) use table::Table;
pub(crate) use terms::{Ladder, Pricing, Terms};
pub use terms_error::TermsError;
pub(crate) use verdict::{MoveKind, Released, Sale, Verdict};
pub(crate) use void::{RankedBid, Recount, may_void, recount};
