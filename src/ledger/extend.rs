//! Giving bidders more time.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::AuctionLedger;
use super::batch::{Command, Wish};
use super::once::Once;
use super::receipt::Outcome;
use super::request::command;
use crate::error::Error;
use crate::id::{AuctionId, OperationId, UserId};
use crate::money::Currency;
use crate::unit_of_work::UnitOfWork;

/// An auction that was changed while it is open; no money has moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// The auction.
    pub auction: AuctionId,
    /// The number of the command on its auction.
    pub seq: i64,
    /// The operation.
    pub operation: OperationId,
    /// The auction's currency.
    pub currency: Currency,
    /// The price now; `None` before the first bid.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub price: Option<Decimal>,
    /// The end now.
    pub ends_at: DateTime<Utc>,
    /// Whether the reserve is met now; `None` if there is none.
    pub reserve_met: Option<bool>,
    /// When it was changed, by the database's clock.
    pub at: DateTime<Utc>,
}

impl AuctionLedger {
    /// Moves the end of an auction to later, truncated to microseconds. No money moves. The clock of a Dutch auction keeps its
    /// pace, and stays at its last price from the original end on.
    ///
    /// Without [`by`](Extend::by) it is the decision of the house, which can always give more time to what has not ended. A
    /// seller can while nobody has bid.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the reason), [`Error::UnknownAuction`], [`Error::CurrencyMismatch`]; then the rules'
    /// [`Rejection`](crate::Rejection): over, ended, not the seller, somebody has bid, not later than the end is.
    /// Nothing is written, and a unit of work around it goes on. Then [`Error::NotStrict`],
    /// [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`], [`Error::Damaged`]: nothing is stored.
    /// And [`Error::CommitUnknown`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before COMMIT is sent: nothing happened. Dropped while COMMIT is under way: wholly or not at all; sent again
    /// with the same key, it happens once. Within a unit of work, a drop breaks its innermost block.
    ///
    /// # Locking
    ///
    /// The auction; then, ascending and in one query, the wallets of the leader and of whoever extends.
    ///
    /// # Example: an hour more
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let hour = Duration::from_secs(3600);
    /// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(hour);
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?;
    /// let extended = ledger.extend(auction.id, auction.ends_at + hour).by("sam").reason("rain").await?;
    /// assert_eq!(extended.ends_at, auction.ends_at + hour);
    /// assert_eq!(ledger.auction(auction.id).await?.original_ends_at, auction.ends_at);
    /// # Ok(()) }
    /// ```
    pub fn extend(&self, auction: AuctionId, ends_at: DateTime<Utc>) -> Extend<'_> {
        let command = Command::new(auction, None, Wish::Extend(ends_at));
        Extend { ledger: self, within: None, command }
    }
}

/// A later end to be set: [`AuctionLedger::extend`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Extend<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl Extend<'_> {
    /// The user who wants it, who must be the seller.
    pub fn by(mut self, user: impl Into<UserId>) -> Self {
        self.command.user = Some(user.into());
        self
    }

    /// Why, for the history of the auction: at most 200 characters, without NUL.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.command.reason = Some(reason.into());
        self
    }

    fn once(&mut self) -> &mut Once {
        &mut self.command.once
    }

    fn precheck(&self) -> Result<(), Error> {
        self.command.precheck()
    }
}

pub(super) fn change(outcome: Outcome) -> Result<Change, Error> {
    match outcome {
        Outcome::Change(change) => Ok(change),
        _ => Err(Error::damaged("a change was answered with something else")),
    }
}

command!(Extend -> Change, change);
