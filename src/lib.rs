//! Auctions, and the money that is promised to them, for applications on SeaORM.
//!
//! - [`AuctionLedger`]: [`deposit`](AuctionLedger::deposit), [`open_auction`](AuctionLedger::open_auction),
//!   [`place_bid`](AuctionLedger::place_bid), [`buy_now`](AuctionLedger::buy_now): wallets with available and held money,
//!   and one immutable journal. Each verb is one database transaction under row locks.
//! - [`audit`](AuctionLedger::audit) and [`doctor`](AuctionLedger::doctor): whether the books are right, and whether the
//!   database keeps what a commit promises.
//! - [`EventSink`]: what happened, told after the commit.
//! - [`unit_of_work`]: Django's `transaction.atomic` and `transaction.on_commit`, for the ledger's verbs and the host's
//!   own tables in the same transaction.
//! - [`entity`]: the tables, for reading and for relations.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | unit of work | one database transaction, or a savepoint inside one |
//! | available, held | money the user can spend; money promised to open auctions |
//! | hold, release, capture | promise money; give the promise back; pay with it |
//! | entry | one immutable journal row of one wallet |
//! | operation | one command that moved money; all its entries carry its id |
//! | terms | what an auction promised when it opened |
//! | standing | leader, price, highest maximum, runner-up's maximum |
//! | rejection | the rules said no; nothing was written |
//!
//! # Money, users, instants
//!
//! An amount is a [`Decimal`](rust_decimal::Decimal) in the [`Currency`] of its wallet or auction: more than zero, at most
//! 10^15 minor units, with no more decimals than the currency has. Nothing is rounded. A user is the host's own key, as a
//! [`UserId`]. An instant is a [`DateTime<Utc>`](chrono::DateTime), truncated to microseconds; the database's clock
//! decides.
//!
//! # Features
//!
//! `postgres`, `mysql`, `sqlite` (default): SeaORM's drivers. `testing`: a manual clock, a recording
//! sink and `unit_of_work::capture_on_commit`. `blocking`: the ledger for code without async.

mod backend;
#[cfg(feature = "blocking")]
pub mod blocking;
mod clock;
pub mod entity;
mod error;
mod event;
mod id;
mod ledger;
mod money;
mod rules;
mod secret;
mod sink;
pub mod unit_of_work;

pub use backend::{DatabaseSetting, Severity};
#[cfg(feature = "testing")]
pub use clock::ManualClock;
pub use error::{Error, TextError};
pub use event::{AuctionEvent, EventKind, SaleKind};
pub use id::{AuctionId, OperationId, UserId, UserIdError, WalletId};
pub use ledger::{
    AcceptBelowReserve, ActRecord, Auction, AuctionLedger, AuctionTerms, AuctionView, Audit,
    AuditPosition, AuditReport, AuditedRows, Balance, Bid, BidRecord, BuyNow, Cancel, Cancellation,
    Change, Checkup, CloseEarly, CommandRef, CommandStatus, Conservation, Deposit, Doctor,
    EligibilityCheck, Entry, Extend, Finding, GetActs, GetAuction, GetAuctionFor, GetAuctions,
    GetBalanceAt, GetBids, GetEntries, GetEvents, GetHolds, GetWallet, GroupCommit, Hold,
    HouseShare, Increments, Lag, LowerReserve, OpenAuction, Outbid, Parked, PlaceBid, Purchase,
    Record, Relay, RelayHint, Relayed, Sale, Settle, Settled, Settlement, SettlementMismatch,
    Settler, Sweep, Symptom, Take, VoidBid, VoidedBid, Wallet, Withdraw,
};
pub use money::{AmountError, Currency, CurrencyError};
pub use rules::{AuctionState, Availability, Eligibility, Rejection, TermsError};
pub use secret::Secret;
#[cfg(feature = "testing")]
pub use sink::RecordingSink;
pub use sink::{BroadcastSink, EventReader, EventReaderError, EventSink, SinkError};

/// The code of the README is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So is that of the page on clusters.
#[cfg(doctest)]
#[doc = include_str!("../docs/scaling.md")]
struct Scaling;
