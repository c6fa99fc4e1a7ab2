//! Taking an auction at what is asked.

use rust_decimal::Decimal;

use super::batch::{Command, Wish};
use super::buy_now::purchase;
use super::once::Once;
use super::request::command;
use super::{AuctionLedger, Purchase};
use crate::error::Error;
use crate::id::{AuctionId, UserId};
use crate::unit_of_work::UnitOfWork;

impl AuctionLedger {
    /// Takes an auction at what is asked at this instant, if that is at most `limit`, in the auction's currency: the price of
    /// the clock of a Dutch auction, a fixed price, or the buy-now price of an English auction.
    ///
    /// The price is read under the auction's lock, by the database's clock: whoever takes pays that, and not the limit. Money
    /// moves as in [`buy_now`](Self::buy_now), which is the same without a limit.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the memo), [`Error::UnknownAuction`], [`Error::CurrencyMismatch`],
    /// [`Error::InvalidAmount`]; then the rules' [`Rejection`](crate::Rejection) of a purchase: closed, not open yet, ended,
    /// not offered, the seller's own, not eligible, more than the limit, not enough money, the seller's wallet full.
    /// Nothing is written, and a unit of work around it goes on. Then [`Error::NotStrict`],
    /// [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`], [`Error::Damaged`]: nothing is stored.
    /// And [`Error::CommitUnknown`]. Where the auction is busy, [`Error::Overloaded`] may come
    /// before everything that the database is asked for: see [`GroupCommit`](crate::GroupCommit).
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits in the line of a busy auction: nothing happened. Taken from the line it is carried out,
    /// wholly or not at all, whoever still listens. On an auction that is free: dropped before COMMIT is sent, nothing happened;
    /// dropped while COMMIT is under way, wholly or not at all. Sent again with the same key, it happens once. Within a unit of
    /// work, a drop breaks its innermost block.
    ///
    /// # Locking
    ///
    /// The auction; then, ascending and in one query, the wallets of the buyer, of the leader and of the seller.
    ///
    /// # Example: a clock that has not yet fallen far enough
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, Rejection};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let hour = Duration::from_secs(3600);
    /// let steps = [(Duration::ZERO, 100.into()), (hour, 80.into())];
    /// let terms = AuctionTerms::dutch_in_steps(Currency::EUR, steps).ends_in(2 * hour);
    /// let auction = ledger.open_auction("sam", "200 tulips", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 150.into()).await?;
    ///
    /// let refused = ledger.take(auction, "ann", 90.into()).await.unwrap_err();
    /// assert_eq!(refused.rejection(), Some(&Rejection::AboveLimit { price: 100.into() }));
    /// let purchase = ledger.take(auction, "ann", 120.into()).await?;
    /// assert_eq!(purchase.price, 100.into());
    /// # Ok(()) }
    /// ```
    pub fn take(&self, auction: AuctionId, user: impl Into<UserId>, limit: Decimal) -> Take<'_> {
        let command = Command::new(auction, Some(user.into()), Wish::Take(Some(limit)));
        Take { ledger: self, within: None, command }
    }
}

/// A purchase to be made at what is asked: [`AuctionLedger::take`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Take<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl Take<'_> {
    /// A note for the entries of the buyer and of the seller: at most 200 bytes, without NUL.
    pub fn memo(mut self, memo: impl Into<String>) -> Self {
        self.command.memo = Some(memo.into());
        self
    }

    fn once(&mut self) -> &mut Once {
        &mut self.command.once
    }

    fn precheck(&self) -> Result<(), Error> {
        self.command.precheck()
    }
}

command!(Take -> Purchase, purchase);
