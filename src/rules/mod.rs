//! The rules of the auctions: pure functions of terms, standing, command, money and instant.
//!
//! They know money and ids, and nothing of a database, a clock, a task or a random number.
//! The same arguments give the same answer, so a history can be judged again, and a test needs no
//! server.

mod close;
mod decide;
mod increment;
mod rejection;
mod standing;
mod terms;
mod verdict;

pub(crate) use decide::{Actor, Command, Funds, buy_now_offer, decide, next_minimum};
pub(crate) use increment::Increment;
pub use rejection::Rejection;
pub use standing::AuctionState;
pub(crate) use standing::{Leader, Standing};
pub use terms::TermsError;
pub(crate) use terms::{Micros, Terms};
pub(crate) use verdict::{MoveKind, Released, Verdict};
