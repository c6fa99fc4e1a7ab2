//! The past of a wallet: its journal, page by page, and its balance at a past instant.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::AuctionLedger;
use super::history::{Cursor, paged};
use super::query::query;
use super::store::{self, Account};
use super::wallet::Wallet;
use crate::entity::entry;
use crate::error::Error;
use crate::id::{AuctionId, OperationId, UserId};
use crate::money::Currency;
use crate::rules::Micros;
use crate::unit_of_work::UnitOfWork;

/// An entry of the journal. Amounts are in the wallet's currency.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The number of the entry in its wallet, from 1 without gaps.
    pub seq: i64,
    /// The command that moved the money.
    pub operation: OperationId,
    /// What kind of move it was.
    pub kind: entry::Kind,
    /// The change of the available money.
    pub available_delta: Decimal,
    /// The change of the held money.
    pub held_delta: Decimal,
    /// The available money after it.
    pub available_after: Decimal,
    /// The held money after it.
    pub held_after: Decimal,
    /// The auction it was for.
    pub auction: Option<AuctionId>,
    /// A note of the host.
    pub memo: Option<String>,
    /// When it was made.
    pub at: DateTime<Utc>,
}

impl AuctionLedger {
    /// Reads the journal of a wallet, the oldest entry first: 100 of them, or as [`limit`](GetEntries::limit) says. A user
    /// without a wallet has none.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`], [`Error::CurrencyMismatch`]; then [`Error::Database`], [`Error::MigrationsMissing`],
    /// [`Error::Damaged`].
    ///
    /// # Cancel safety
    ///
    /// As [`bids`](Self::bids).
    ///
    /// # Example: a bid moves money from available to held
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
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.place_bid(id, "ann", 20.into()).await?;
    ///
    /// let journal = ledger.entries("ann", Currency::EUR).after(1).await?;
    /// assert_eq!((journal[0].available_delta, journal[0].held_delta), ((-20).into(), 20.into()));
    /// assert_eq!((journal[0].available_after, journal[0].held_after), (80.into(), 20.into()));
    /// # Ok(()) }
    /// ```
    pub fn entries(&self, user: impl Into<UserId>, currency: Currency) -> GetEntries<'_> {
        GetEntries {
            ledger: self,
            within: None,
            user: user.into(),
            currency,
            cursor: Cursor::FIRST,
        }
    }

    /// Reads what a user had at a past instant: after the last entry made at or before `at`, truncated to microseconds.
    ///
    /// # Errors
    ///
    /// As [`entries`](Self::entries).
    ///
    /// # Cancel safety
    ///
    /// As [`bids`](Self::bids).
    ///
    /// # Example: before the deposit
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, Currency};
    /// use chrono::TimeDelta;
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// let made = ledger.entries("ann", Currency::EUR).await?[0].at;
    ///
    /// assert_eq!(ledger.balance_at("ann", Currency::EUR, made).await?.available, 100.into());
    /// let before = made - TimeDelta::microseconds(1);
    /// assert!(ledger.balance_at("ann", Currency::EUR, before).await?.available.is_zero());
    /// # Ok(()) }
    /// ```
    pub fn balance_at(
        &self,
        user: impl Into<UserId>,
        currency: Currency,
        at: DateTime<Utc>,
    ) -> GetBalanceAt<'_> {
        GetBalanceAt { ledger: self, within: None, user: user.into(), currency, at: at.into() }
    }
}

/// Entries to be read: [`AuctionLedger::entries`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetEntries<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    user: UserId,
    currency: Currency,
    cursor: Cursor,
}

/// A past balance to be read: [`AuctionLedger::balance_at`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetBalanceAt<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    user: UserId,
    currency: Currency,
    at: Micros,
}

paged!(GetEntries);

query!(GetEntries -> Vec<Entry>);
query!(GetBalanceAt -> Wallet);

impl GetEntries<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Vec<Entry>, Error> {
        let Some(account) = store::find_wallet(connection, &self.user, self.currency).await? else {
            return Ok(Vec::new());
        };
        let rows = entry::Entity::find()
            .filter(entry::Column::WalletId.eq(account.id.get()))
            .filter(entry::Column::Seq.gt(self.cursor.after))
            .order_by_asc(entry::Column::Seq)
            .limit(self.cursor.limit)
            .all(connection)
            .await?;
        let decimal = |minor: i64| self.currency.decimal_of_minor(minor);
        let entries = rows.into_iter().map(|row| Entry {
            seq: row.seq,
            operation: row.operation.into(),
            kind: row.kind,
            available_delta: decimal(row.available_delta),
            held_delta: decimal(row.held_delta),
            available_after: decimal(row.available_after),
            held_after: decimal(row.held_after),
            auction: row.auction_id.map(AuctionId::from),
            memo: row.memo,
            at: Micros::new(row.at).datetime(),
        });
        Ok(entries.collect())
    }
}

impl GetBalanceAt<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Wallet, Error> {
        let empty = Wallet::empty(self.user.clone(), self.currency);
        let Some(account) = store::find_wallet(connection, &self.user, self.currency).await? else {
            return Ok(empty);
        };
        // From the newest entry backwards: as far as the wallet has changed since.
        let last = entry::Entity::find()
            .filter(entry::Column::WalletId.eq(account.id.get()))
            .filter(entry::Column::At.lte(self.at.get()))
            .order_by_desc(entry::Column::Seq)
            .one(connection)
            .await?;
        Ok(last.map_or(empty, |last| {
            Wallet::of(&Account {
                available: last.available_after,
                held: last.held_after,
                seq: last.seq,
                ..account
            })
        }))
    }
}
