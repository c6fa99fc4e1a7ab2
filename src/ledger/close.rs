//! How auctions end before their time: closed early, or called off.

use chrono::{DateTime, Utc};

use super::batch::{Command, Wish};
use super::once::Once;
use super::receipt::Outcome;
use super::request::command;
use super::settle::{Settlement, settlement};
use super::{AuctionLedger, Outbid};
use crate::error::Error;
use crate::id::{AuctionId, OperationId, UserId};
use crate::money::Currency;
#[allow(unused_imports, reason = "named in the documentation")]
use crate::rules::Rejection;
use crate::unit_of_work::UnitOfWork;

/// An auction that was called off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancellation {
    /// The auction.
    pub auction: AuctionId,
    /// The number of the command on its auction.
    pub seq: i64,
    /// The operation that the entries of the journal carry.
    pub operation: OperationId,
    /// The auction's currency.
    pub currency: Currency,
    /// Who led, and what came back to them.
    pub released: Option<Outbid>,
    /// When it was called off, by the database's clock.
    pub at: DateTime<Utc>,
}

impl AuctionLedger {
    /// Closes an auction before its end: sold to the leader at the price now, or unsold. Money moves as in
    /// [`settle`](Self::settle). Another house may forbid it in the last hours.
    ///
    /// Without [`by`](CloseEarly::by) it is the decision of the house, and only the host can have made it.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the reason), [`Error::UnknownAuction`], [`Error::CurrencyMismatch`]; then the rules'
    /// [`Rejection`]: over, not open yet, ended, not the seller, sealed, the seller's wallet full. Nothing is written, and a
    /// unit of work around it goes on. Then [`Error::NotStrict`], [`Error::UnitOfWork`], [`Error::Database`],
    /// [`Error::MigrationsMissing`], [`Error::Damaged`]: nothing is stored. And [`Error::CommitUnknown`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before COMMIT is sent: nothing happened. Dropped while COMMIT is under way: wholly or not at all; sent again
    /// with the same key, it happens once. Within a unit of work, a drop breaks its innermost block.
    ///
    /// # Locking
    ///
    /// The auction; then, ascending and in one query, the wallets of the leader, of the seller and of whoever closes.
    ///
    /// # Example: the seller takes the bid there is
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, Rejection};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.place_bid(auction, "ann", 20.into()).await?;
    ///
    /// let refused = ledger.close_early(auction).by("ann").await.unwrap_err();
    /// assert_eq!(refused.rejection(), Some(&Rejection::NotSeller));
    /// let closed = ledger.close_early(auction).by("sam").reason("moving house").await?;
    /// assert_eq!(closed.sold.unwrap().price, 20.into());
    /// # Ok(()) }
    /// ```
    pub fn close_early(&self, auction: AuctionId) -> CloseEarly<'_> {
        CloseEarly {
            ledger: self,
            within: None,
            command: Command::new(auction, None, Wish::CloseEarly),
        }
    }

    /// Calls an auction off. The leader's hold is available again, and that of every sealed bid; nothing else moves.
    ///
    /// Of more than 200 sealed bids the rest is released by [`settle_due`](Self::settle_due), or by [`settle`](Self::settle).
    ///
    /// Without [`by`](Cancel::by) it is the decision of the house, which can always cancel what is not over. A seller can
    /// cancel while nobody has bid; another house may let a seller cancel a reserve that is not met, too.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the reason), [`Error::UnknownAuction`], [`Error::CurrencyMismatch`]; then the rules'
    /// [`Rejection`]: over, not the seller, somebody has bid. Nothing is written, and a unit of work around it goes on.
    /// Then [`Error::NotStrict`], [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`],
    /// [`Error::Damaged`]: nothing is stored. And [`Error::CommitUnknown`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before COMMIT is sent: nothing happened. Dropped while COMMIT is under way: wholly or not at all; sent again
    /// with the same key, it happens once. Within a unit of work, a drop breaks its innermost block.
    ///
    /// # Locking
    ///
    /// The auction; then, ascending and in one query, the wallets of the leader, of whoever cancels, and of the sealed bids
    /// that are released.
    ///
    /// # Example: the house calls it off
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.place_bid(auction, "ann", 20.into()).await?;
    ///
    /// let cancelled = ledger.cancel(auction).reason("the telescope is stolen goods").await?;
    /// assert_eq!(cancelled.released.unwrap().released.reveal(), 20.into());
    /// assert_eq!(ledger.wallet("ann", Currency::EUR).await?.available, 100.into());
    /// # Ok(()) }
    /// ```
    pub fn cancel(&self, auction: AuctionId) -> Cancel<'_> {
        Cancel { ledger: self, within: None, command: Command::new(auction, None, Wish::Cancel) }
    }
}

/// An early close to be made: [`AuctionLedger::close_early`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct CloseEarly<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl CloseEarly<'_> {
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

/// A cancellation to be made: [`AuctionLedger::cancel`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Cancel<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl Cancel<'_> {
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

fn cancellation(outcome: Outcome) -> Result<Cancellation, Error> {
    match outcome {
        Outcome::Cancellation(cancellation) => Ok(cancellation),
        _ => Err(Error::damaged("a cancellation was answered with something else")),
    }
}

command!(CloseEarly -> Settlement, settlement);
command!(Cancel -> Cancellation, cancellation);
