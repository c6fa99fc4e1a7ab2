//! The past of an auction: its bids and its acts, page by page.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::AuctionLedger;
use super::query::query;
use super::store::{self, Account};
use crate::entity::{act, auction, bid, wallet};
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

/// Which rows to read: those after a number, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) after: i64,
    pub(super) limit: u64,
}

impl Cursor {
    /// What a database can count to.
    pub(super) const MOST: u64 = i64::MAX.unsigned_abs();
    pub(super) const FIRST: Self = Self { after: 0, limit: 100 };
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

pub(super) use paged;

paged!(GetBids);
paged!(GetActs);

query!(GetBids -> Vec<BidRecord>);
query!(GetActs -> Vec<ActRecord>);

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
