//! Reading: an auction as everybody may see it, and a wallet.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::{ConnectionTrait, EntityTrait};
use serde::{Deserialize, Serialize};

use super::store;
use super::wallet::Wallet;
use super::{AuctionLedger, view};
use crate::entity::auction;
use crate::error::Error;
use crate::id::{AuctionId, UserId};
use crate::money::{Amount, Currency};
use crate::rules::{self, AuctionState};
use crate::unit_of_work::UnitOfWork;

/// Makes a query out of a struct with the fields `ledger` and `within`, and the method `read(&self, connection)`.
macro_rules! query {
    ($query:ident -> $output:ty) => {
        impl<'a> $query<'a> {
            /// Reads in `uow`, and so what it has written but not committed yet.
            pub fn within(mut self, uow: &'a crate::unit_of_work::UnitOfWork) -> Self {
                self.within = Some(uow);
                self
            }
        }

        impl<'a> std::future::IntoFuture for $query<'a> {
            type Output = Result<$output, crate::error::Error>;
            type IntoFuture = futures::future::BoxFuture<'a, Self::Output>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(async move {
                    match self.within {
                        Some(uow) => self.read(uow).await,
                        None => self.read(&crate::backend::Detached(&self.ledger.db)).await,
                    }
                })
            }
        }
    };
}

pub(super) use query;

/// An auction as everybody may see it. Amounts are in its currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Auction {
    /// The auction.
    pub id: AuctionId,
    /// What is sold.
    pub title: String,
    /// Who sells it.
    pub seller: UserId,
    /// The currency of the amounts.
    pub currency: Currency,
    /// The least first bid.
    #[serde(with = "rust_decimal::serde::str")]
    pub start_price: Decimal,
    /// By how much the next bid must be above the price, or above the start price before the first bid; `None` if bids are
    /// sealed, or nobody can bid.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub increment: Option<Decimal>,
    /// What bids must be multiples of.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub multiple_of: Option<Decimal>,
    /// The buy-now price that the terms name, whether it is still offered or not.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub buy_now_price: Option<Decimal>,
    /// The first instant at which a bid counts.
    pub starts_at: DateTime<Utc>,
    /// The first instant at which no bid counts any more.
    pub ends_at: DateTime<Utc>,
    /// The end that was promised at the opening. Late bids and whoever gave more time have moved it from there.
    pub original_ends_at: DateTime<Utc>,
    /// Whether a bid is a maximum.
    pub automatic_bidding: bool,
    /// Whether nobody sees a bid before the end: until then there is no leader and no price.
    #[serde(default)]
    pub sealed: bool,
    /// Whether the leader's maximum is at or above the hidden reserve; `None` if there is none, and as long as bids are
    /// sealed.
    pub reserve_met: Option<bool>,
    /// What has become of it. An auction past its end stays open until it is settled.
    pub state: AuctionState,
    /// Who leads, or has won.
    pub leader: Option<UserId>,
    /// The price, or the price paid; `None` before the first bid.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub price: Option<Decimal>,
    /// The least bid that would be accepted as things stand; `None` once it is over.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub next_minimum: Option<Decimal>,
    /// The price at which it can be bought as things stand.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub buy_now_offer: Option<Decimal>,
    /// How many commands it has accepted, the opening included.
    pub seq: i64,
}

impl Auction {
    pub(super) fn of(
        row: &auction::Model,
        seller: UserId,
        leader: Option<UserId>,
    ) -> Result<Self, Error> {
        let lot = store::lot(row)?;
        let (terms, standing) = (&lot.terms, &lot.standing);
        let decimal = |amount: Amount| terms.currency.decimal(amount);
        let ascending = terms.ladder.filter(|ladder| !ladder.pricing.is_sealed());
        let is_hidden = terms.is_sealed() && standing.leader.is_none();
        let increment = ascending.map(|ladder| {
            decimal(ladder.increment.at(standing.price.unwrap_or(ladder.start_price)))
        });
        let multiple_of = terms.ladder.and_then(|ladder| ladder.multiple_of);
        Ok(Self {
            id: lot.id,
            title: row.title.clone(),
            seller,
            currency: terms.currency,
            start_price: decimal(terms.start_price()),
            increment,
            multiple_of: multiple_of.map(decimal),
            buy_now_price: terms.buy_now_price().map(decimal),
            starts_at: terms.starts_at.datetime(),
            ends_at: standing.ends_at.datetime(),
            original_ends_at: terms.ends_at.datetime(),
            automatic_bidding: terms
                .ladder
                .is_some_and(|ladder| ladder.pricing == rules::Pricing::Automatic),
            sealed: terms.is_sealed(),
            reserve_met: standing.reserve.filter(|_| !is_hidden).map(|_| standing.meets_reserve()),
            state: standing.state,
            leader,
            price: standing.price.map(decimal),
            next_minimum: rules::next_minimum(terms, standing).map(decimal),
            buy_now_offer: rules::buy_now_offer(terms, standing).map(decimal),
            seq: standing.seq,
        })
    }
}

impl AuctionLedger {
    /// Reads an auction. Nothing is locked: it may have changed when the answer arrives.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAuction`]; then [`Error::Database`], [`Error::MigrationsMissing`], [`Error::Damaged`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost. Within a unit of work, a drop breaks its innermost block, as of every statement.
    ///
    /// # Example: the next bid
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
    /// # let id = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// # ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.place_bid(id, "ann", 12.into()).await?;
    /// let auction = ledger.auction(id).await?;
    /// assert_eq!(auction.price, Some(12.into()));
    /// assert_eq!(auction.next_minimum, Some(17.into()));
    /// # Ok(()) }
    /// ```
    pub fn auction(&self, auction: AuctionId) -> GetAuction<'_> {
        GetAuction { ledger: self, within: None, auction }
    }

    /// Reads the wallet of a user. Whoever has never had one has nothing available and nothing held.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`], [`Error::CurrencyMismatch`]; then [`Error::Database`], [`Error::MigrationsMissing`],
    /// [`Error::Damaged`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost. Within a unit of work, a drop breaks its innermost block, as of every statement.
    ///
    /// # Example: no wallet yet
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// assert!(ledger.wallet("ann", Currency::EUR).await?.available.is_zero());
    /// # Ok(()) }
    /// ```
    pub fn wallet(&self, user: impl Into<UserId>, currency: Currency) -> GetWallet<'_> {
        GetWallet { ledger: self, within: None, user: user.into(), currency }
    }
}

/// An auction to be read: [`AuctionLedger::auction`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetAuction<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    auction: AuctionId,
}

impl GetAuction<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Auction, Error> {
        let row = auction::Entity::find_by_id(self.auction.get()).one(connection).await?;
        let row = row.ok_or(Error::UnknownAuction { auction: self.auction })?;
        let auction = view::named(connection, std::slice::from_ref(&row)).await?.pop();
        auction.ok_or(Error::UnknownAuction { auction: self.auction })
    }
}

/// A wallet to be read: [`AuctionLedger::wallet`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetWallet<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    user: UserId,
    currency: Currency,
}

impl GetWallet<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Wallet, Error> {
        let account = store::find_wallet(connection, &self.user, self.currency).await?;
        Ok(account.map_or_else(
            || Wallet::empty(self.user.clone(), self.currency),
            |account| Wallet::of(&account),
        ))
    }
}

query!(GetAuction -> Auction);
query!(GetWallet -> Wallet);
