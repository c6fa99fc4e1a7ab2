//! What a seller can do about a reserve that is not met: lower it, or accept the price below it.

use rust_decimal::Decimal;

use super::AuctionLedger;
use super::batch::{Command, Wish};
use super::extend::{Change, change};
use super::once::Once;
use super::request::command;
use super::settle::{Settlement, settlement};
use crate::error::Error;
use crate::id::{AuctionId, UserId};
use crate::unit_of_work::UnitOfWork;

impl AuctionLedger {
    /// Lowers the reserve of an auction that has not ended, in its currency. No money moves.
    ///
    /// At or below the leader's maximum the reserve is met, and the price is at least the new reserve. A reserve that is met is
    /// not lowered further: there would be nothing to gain. Another house may let it be given up. Without [`by`](LowerReserve::by) it is the decision of the house.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the reason), [`Error::UnknownAuction`], [`Error::CurrencyMismatch`],
    /// [`Error::InvalidAmount`]; then the rules' [`Rejection`](crate::Rejection): over, ended, not the seller, no reserve, met
    /// already, not lower, not a multiple. Nothing is written, and a unit of work around it goes on. Then [`Error::NotStrict`],
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
    /// The auction; then, ascending and in one query, the wallets of the leader and of whoever lowers it.
    ///
    /// # Example: the price jumps to it
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into())
    ///     .automatic_bidding()
    ///     .reserve(80.into())
    ///     .ends_in(Duration::from_secs(60));
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// assert_eq!(ledger.place_bid(auction, "ann", 60.into()).await?.price, 10.into());
    ///
    /// let lowered = ledger.lower_reserve(auction, 50.into()).by("sam").await?;
    /// assert_eq!((lowered.price, lowered.reserve_met), (Some(50.into()), Some(true)));
    /// # Ok(()) }
    /// ```
    pub fn lower_reserve(&self, auction: AuctionId, reserve: Decimal) -> LowerReserve<'_> {
        let command = Command::new(auction, None, Wish::LowerReserve(reserve));
        LowerReserve { ledger: self, within: None, command }
    }

    /// Sells an auction to its leader at the price now, although that is below the reserve: before the end, and after it for
    /// as long as the [acceptance window](crate::AuctionTerms::acceptance_window) lasts. Money moves as in
    /// [`settle`](Self::settle).
    ///
    /// The bids of a sealed auction are opened when it is settled: until then there is nothing to accept.
    ///
    /// Without [`by`](AcceptBelowReserve::by) it is the decision of the house.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the reason), [`Error::UnknownAuction`], [`Error::CurrencyMismatch`]; then the rules'
    /// [`Rejection`](crate::Rejection): over, not open yet, ended, not the seller, sealed, nobody has bid, the reserve is met,
    /// the seller's wallet full. Nothing is written, and a unit of work around it goes on. Then [`Error::NotStrict`],
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
    /// The auction; then, ascending and in one query, the wallets of the leader, of the seller and of whoever accepts.
    ///
    /// # Example: rather this than nothing
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into())
    ///     .reserve(80.into())
    ///     .ends_in(Duration::from_secs(60));
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.place_bid(auction, "ann", 60.into()).await?;
    ///
    /// let settlement = ledger.accept_below_reserve(auction).by("sam").await?;
    /// assert_eq!(settlement.sold.unwrap().price, 60.into());
    /// # Ok(()) }
    /// ```
    pub fn accept_below_reserve(&self, auction: AuctionId) -> AcceptBelowReserve<'_> {
        let command = Command::new(auction, None, Wish::AcceptBelowReserve);
        AcceptBelowReserve { ledger: self, within: None, command }
    }
}

/// A lower reserve to be set: [`AuctionLedger::lower_reserve`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct LowerReserve<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl LowerReserve<'_> {
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

/// A price below the reserve to be accepted: [`AuctionLedger::accept_below_reserve`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct AcceptBelowReserve<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl AcceptBelowReserve<'_> {
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

command!(LowerReserve -> Change, change);
command!(AcceptBelowReserve -> Settlement, settlement);
