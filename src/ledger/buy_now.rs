//! Buying at the buy-now price.

use super::batch::{Command, Wish};
use super::once::Once;
use super::receipt::Outcome;
use super::request::command;
use super::{AuctionLedger, Purchase};
use crate::error::Error;
use crate::id::{AuctionId, UserId};
use crate::unit_of_work::UnitOfWork;

impl AuctionLedger {
    /// Buys the auction at its buy-now price, and ends it.
    ///
    /// The price is paid out of what the buyer holds for this auction, if they lead it, and else out of available money;
    /// what is left of the own hold is available again. The seller gets the price as available money. What another leader
    /// held for the auction is available to them again. Nothing else moves. The offer stands while the price is below the
    /// buy-now price, so a purchase never sells below the current price.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the memo), [`Error::UnknownAuction`], [`Error::CurrencyMismatch`]; then the rules'
    /// [`Rejection`](crate::Rejection) of a purchase: closed, not open yet, ended, not offered, the seller's own, not
    /// eligible, not enough money, the seller's wallet full. Nothing is written, and a unit of work around it goes on. Then
    /// [`Error::NotStrict`], [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`],
    /// [`Error::Damaged`]: nothing is stored. And [`Error::CommitUnknown`]. Where the auction is busy, [`Error::Overloaded`] may come
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
    /// The auction; then, ascending and in one query, the wallets of the buyer and of the leader, and the seller's while the
    /// auction can be bought.
    ///
    /// # Example: sold
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionState, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into())
    ///     .buy_now(80.into())
    ///     .ends_in(Duration::from_secs(60));
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    ///
    /// let purchase = ledger.buy_now(auction, "ann").await?;
    /// assert_eq!(purchase.price, 80.into());
    /// assert_eq!(ledger.auction(auction).await?.state, AuctionState::Sold);
    /// assert_eq!(ledger.wallet("sam", Currency::EUR).await?.available, 80.into());
    /// # Ok(()) }
    /// ```
    pub fn buy_now(&self, auction: AuctionId, user: impl Into<UserId>) -> BuyNow<'_> {
        BuyNow {
            ledger: self,
            within: None,
            command: Command::new(auction, Some(user.into()), Wish::Take(None)),
        }
    }
}

/// A purchase to be made: [`AuctionLedger::buy_now`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct BuyNow<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl BuyNow<'_> {
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

pub(super) fn purchase(outcome: Outcome) -> Result<Purchase, Error> {
    match outcome {
        Outcome::Purchase(purchase) => Ok(purchase),
        _ => Err(Error::damaged("a purchase was answered with something else")),
    }
}

command!(BuyNow -> Purchase, purchase);
