//! Placing a bid.

use rust_decimal::Decimal;

use super::batch::{Command, Wish};
use super::once::Once;
use super::receipt::Outcome;
use super::request::command;
use super::{AuctionLedger, Bid};
use crate::error::Error;
use crate::id::{AuctionId, UserId};
use crate::unit_of_work::UnitOfWork;

impl AuctionLedger {
    /// Places a bid of `amount`, in the auction's currency.
    ///
    /// The amount moves from available to held in the bidder's wallet, and the bidder leads; what the leader before held
    /// for this auction is available to them again. A raise of the own bid holds the difference only. A bid at or above
    /// the buy-now price, while that is offered, buys the auction at that price, as [`buy_now`](Self::buy_now) does.
    /// Nothing else moves.
    ///
    /// Where bids are sealed, the amount is held until the end, whoever bids what: nobody leads and nobody is outbid before.
    /// Each bidder has one bid, and a further one raises it.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the memo), [`Error::UnknownAuction`], [`Error::CurrencyMismatch`],
    /// [`Error::InvalidAmount`]; then the rules' [`Rejection`](crate::Rejection) of a bid: closed, not open yet, ended,
    /// takes no bids, the seller's own, not eligible, not above the own maximum or below the minimum, not a multiple, not enough money, and, if it buys, the seller's wallet
    /// full. Nothing is written, and a unit of work around it goes on. Then [`Error::NotStrict`],
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
    /// The auction; then, ascending and in one query, the wallets of the bidder and of the leader, and the seller's if the
    /// bid buys.
    ///
    /// # Example: an equal bid is too low
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, Rejection};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.deposit("bob", Currency::EUR, 100.into()).await?;
    ///
    /// ledger.place_bid(auction, "ann", 20.into()).await?;
    /// let refused = ledger.place_bid(auction, "bob", 20.into()).await.unwrap_err();
    /// assert_eq!(refused.rejection(), Some(&Rejection::BelowMinimum { minimum: 25.into() }));
    /// # Ok(()) }
    /// ```
    pub fn place_bid(
        &self,
        auction: AuctionId,
        user: impl Into<UserId>,
        amount: Decimal,
    ) -> PlaceBid<'_> {
        PlaceBid {
            ledger: self,
            within: None,
            command: Command::new(auction, Some(user.into()), Wish::Bid(amount)),
        }
    }
}

/// A bid to be placed: [`AuctionLedger::place_bid`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct PlaceBid<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl PlaceBid<'_> {
    /// A note for the entry of the bidder's wallet: at most 200 bytes, without NUL.
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

fn bid(outcome: Outcome) -> Result<Bid, Error> {
    match outcome {
        Outcome::Bid(bid) => Ok(bid),
        _ => Err(Error::damaged("a bid was answered with something else")),
    }
}

command!(PlaceBid -> Bid, bid);
