//! Reading the past: the bids and acts of an auction, the entries of a wallet, and a balance at a past instant.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::AuctionLedger;
use super::query::query;
use super::store::{self, Account};
use super::wallet::Wallet;
use crate::entity::{act, auction, bid, entry, wallet};
use crate::error::Error;
use crate::id::{AuctionId, OperationId, UserId};
use crate::money::Currency;
use crate::rules::Micros;
use crate::unit_of_work::UnitOfWork;

/// A bid in the history of its auction. Amounts are in the auction's currency.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BidRecord {
    /// The number of the command on its auction.
    pub seq: i64,
    /// The operation that the entries of the journal carry.
    pub operation: OperationId,
    /// Who bid.
    pub user: UserId,
    /// What was bid.
    pub amount: Decimal,
    /// The price after it.
    pub price: Decimal,
    /// The end of the auction after it.
    pub ends_at: DateTime<Utc>,
    /// When it was accepted.
    pub at: DateTime<Utc>,
}

/// An act in the history of its auction: every accepted command that is not a bid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActRecord {
    /// The number of the command on its auction.
    pub seq: i64,
    /// The operation that the entries of the journal carry.
    pub operation: OperationId,
    /// What was done.
    pub kind: act::Kind,
    /// Who did it; `None` is the house.
    pub user: Option<UserId>,
    /// What was paid, in the auction's currency.
    pub amount: Option<Decimal>,
    /// Why.
    pub reason: Option<String>,
    /// When it was accepted.
    pub at: DateTime<Utc>,
}

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

/// Which rows to read: those after a number, and how many.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    after: i64,
    limit: u64,
}

impl Cursor {
    /// What a database can count to.
    const MOST: u64 = i64::MAX.unsigned_abs();
    const FIRST: Self = Self { after: 0, limit: 100 };
}

impl AuctionLedger {
    /// Reads the bids of an auction, the oldest first: 100 of them, or as [`limit`](GetBids::limit) says. Who has bid what
    /// is public in an English auction.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAuction`]; then [`Error::Database`], [`Error::MigrationsMissing`], [`Error::Damaged`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost. Within a unit of work, a drop breaks its innermost block, as of every statement.
    ///
    /// # Example: page by page
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
    /// ledger.place_bid(id, "ann", 20.into()).await?;
    ///
    /// let first = ledger.bids(id).limit(1).await?;
    /// assert_eq!(first[0].amount, 12.into());
    /// let rest = ledger.bids(id).after(first[0].seq).await?;
    /// assert_eq!(rest.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn bids(&self, auction: AuctionId) -> GetBids<'_> {
        GetBids { ledger: self, within: None, auction, cursor: Cursor::FIRST }
    }

    /// Reads the acts of an auction, the oldest first: 100 of them, or as [`limit`](GetActs::limit) says. The first is its
    /// opening; they share the numbers of its bids.
    ///
    /// # Errors
    ///
    /// As [`bids`](Self::bids).
    ///
    /// # Cancel safety
    ///
    /// As [`bids`](Self::bids).
    ///
    /// # Example: opened, then called off
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, entity::act::Kind};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// # let id = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.cancel(id).by("sam").reason("broken").await?;
    /// let acts = ledger.acts(id).await?;
    /// assert_eq!((acts[0].kind, acts[0].seq), (Kind::Opened, 1));
    /// assert_eq!((acts[1].kind, acts[1].reason.as_deref()), (Kind::Cancelled, Some("broken")));
    /// # Ok(()) }
    /// ```
    pub fn acts(&self, auction: AuctionId) -> GetActs<'_> {
        GetActs { ledger: self, within: None, auction, cursor: Cursor::FIRST }
    }

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

/// Bids to be read: [`AuctionLedger::bids`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetBids<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    auction: AuctionId,
    cursor: Cursor,
}

/// Acts to be read: [`AuctionLedger::acts`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetActs<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    auction: AuctionId,
    cursor: Cursor,
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

/// Gives a request the setters of its cursor.
macro_rules! paged {
    ($request:ident) => {
        impl $request<'_> {
            /// Only what has a number greater than `seq`: the last one read goes on from there. Default: from the first.
            pub fn after(mut self, seq: i64) -> Self {
                self.cursor.after = seq;
                self
            }

            /// At most this many. Default: 100.
            pub fn limit(mut self, limit: u64) -> Self {
                self.cursor.limit = limit.min(Cursor::MOST);
                self
            }
        }
    };
}

paged!(GetBids);
paged!(GetActs);
paged!(GetEntries);

query!(GetBids -> Vec<BidRecord>);
query!(GetActs -> Vec<ActRecord>);
query!(GetEntries -> Vec<Entry>);
query!(GetBalanceAt -> Wallet);

impl GetBids<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Vec<BidRecord>, Error> {
        let currency = currency_of(connection, self.auction).await?;
        let rows = bid::Entity::find()
            .filter(bid::Column::AuctionId.eq(self.auction.get()))
            .filter(bid::Column::Seq.gt(self.cursor.after))
            .order_by_asc(bid::Column::Seq)
            .limit(self.cursor.limit)
            .all(connection)
            .await?;
        let users = users(connection, rows.iter().map(|row| row.wallet_id)).await?;
        let records = rows.into_iter().map(|row| {
            Ok(BidRecord {
                seq: row.seq,
                operation: row.operation.into(),
                user: users.get(&row.wallet_id).cloned().ok_or_else(|| vanished(row.wallet_id))?,
                amount: currency.decimal_of_minor(row.amount),
                price: currency.decimal_of_minor(row.price),
                ends_at: Micros::new(row.ends_at).datetime(),
                at: Micros::new(row.at).datetime(),
            })
        });
        records.collect()
    }
}

impl GetActs<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Vec<ActRecord>, Error> {
        let currency = currency_of(connection, self.auction).await?;
        let rows = act::Entity::find()
            .filter(act::Column::AuctionId.eq(self.auction.get()))
            .filter(act::Column::Seq.gt(self.cursor.after))
            .order_by_asc(act::Column::Seq)
            .limit(self.cursor.limit)
            .all(connection)
            .await?;
        let users = users(connection, rows.iter().filter_map(|row| row.wallet_id)).await?;
        let user = |id: i64| users.get(&id).cloned().ok_or_else(|| vanished(id));
        let records = rows.into_iter().map(|row| {
            Ok(ActRecord {
                seq: row.seq,
                operation: row.operation.into(),
                kind: row.kind,
                user: row.wallet_id.map(user).transpose()?,
                amount: row.amount.map(|amount| currency.decimal_of_minor(amount)),
                reason: row.reason,
                at: Micros::new(row.at).datetime(),
            })
        });
        records.collect()
    }
}

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

async fn currency_of<C: ConnectionTrait>(
    connection: &C,
    auction: AuctionId,
) -> Result<Currency, Error> {
    let row = auction::Entity::find_by_id(auction.get()).one(connection).await?;
    let row = row.ok_or(Error::UnknownAuction { auction })?;
    Ok(store::lot(&row)?.terms.currency)
}

/// The owners of wallets.
pub(super) async fn users<C: ConnectionTrait>(
    connection: &C,
    ids: impl Iterator<Item = i64>,
) -> Result<BTreeMap<i64, UserId>, Error> {
    let ids: Vec<i64> = ids.collect::<BTreeSet<_>>().into_iter().collect();
    let mut users = BTreeMap::new();
    // SQLite binds 32,766 values at most.
    for ids in ids.chunks(1_000) {
        let rows = wallet::Entity::find().filter(wallet::Column::Id.is_in(ids.iter().copied()));
        for row in rows.all(connection).await? {
            let account = Account::from_row(row)?;
            users.insert(account.id.get(), account.owner);
        }
    }
    Ok(users)
}

pub(super) fn vanished(wallet: i64) -> Error {
    Error::damaged(format!("wallet {wallet} is referred to and does not exist"))
}
