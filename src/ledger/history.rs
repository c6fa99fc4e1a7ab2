//! The past of an auction: its bids and its acts, page by page.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::AuctionLedger;
use super::query::query;
use super::store::{self, Account, Lot};
use crate::backend::Dialect;
use crate::entity::{act, auction, bid, sealed_bid, wallet};
use crate::error::Error;
use crate::id::{AuctionId, OperationId, UserId, WalletId};
use crate::money::Amount;
use crate::rules::{AuctionState, Micros, Pricing, Terms};
use crate::unit_of_work::UnitOfWork;

/// A row of the public history of an auction's bids. Amounts are in the auction's currency.
///
/// A bid is one row. Of a sealed auction there is one row for each bidder, and none before it is over. With automatic bidding it can be two with the same number, the bid that did not lead and the leader's
/// answer, or none, when a leader raises the own maximum and the price stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BidRecord {
    /// The number of the command on its auction.
    pub seq: i64,
    /// The operation that the entries of the journal carry.
    pub operation: OperationId,
    /// Who bid.
    pub user: UserId,
    /// What was bid: for whoever led by it when it was placed, or answered, no more than the price then. The maximum behind it
    /// is not told. Of a sealed auction: the winner's at the price, the others' as they were last.
    pub amount: Decimal,
    /// Whether it is void: see [`AuctionLedger::void_bid`].
    pub voided: bool,
    /// Whether it is the ledger's answer for a leader with a higher maximum, or an earlier equal one.
    pub automatic: bool,
    /// The price after it; of a sealed bid, the amount.
    pub price: Decimal,
    /// The end of the auction after it.
    pub ends_at: DateTime<Utc>,
    /// When it was accepted.
    pub at: DateTime<Utc>,
}

/// An act in the history of its auction: every accepted command that is not a bid. That somebody has placed a sealed bid is
/// told by its number only, which no act has.
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
    /// The price it was sold for, in the auction's currency.
    pub amount: Option<Decimal>,
    /// Why.
    pub reason: Option<String>,
    /// The number of the bid that it makes void.
    pub bid: Option<i64>,
    /// The new end, where it moved that.
    pub ends_at: Option<DateTime<Utc>>,
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
    /// Reads the bids of an auction, the oldest first: 100 of them, or as [`limit`](GetBids::limit) says, each with its row
    /// or rows, two at most: see [`BidRecord`]; another house may show each step between two maxima. Who has bid what is public in an English auction; the maximum of whoever leads is not.
    /// A sealed auction shows its bids once it is sold or unsold.
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
        let row = auction::Entity::find_by_id(self.auction.get()).one(connection).await?;
        let row = row.ok_or(Error::UnknownAuction { auction: self.auction })?;
        let lot = store::lot(&row)?;
        if lot.terms.is_sealed() {
            return self.read_sealed(connection, &lot).await;
        }
        let terms = lot.terms;
        let currency = terms.currency;
        let rows = self.of_auction().filter(bid::Column::Seq.gt(self.cursor.after));
        let rows = rows.order_by_asc(bid::Column::Seq).limit(self.cursor.limit);
        let rows = rows.all(connection).await?;
        let automatic = terms.ladder.is_some_and(|ladder| ladder.pricing == Pricing::Automatic);
        let mut before = self.before(connection, automatic).await?;
        // Behind these the lead is not what the bid before has made of it.
        let turned = self.turned(connection).await?;
        let ids = rows.iter().flat_map(|row| [row.wallet_id, row.leader_wallet_id]);
        let users = users(connection, ids).await?;
        let voided = voided(connection, self.auction).await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            let same_lead = before.filter(|(seq, _)| !turned.range(*seq..row.seq).any(|_| true));
            for (wallet, amount, automatic) in public(row, same_lead.map(|(_, lead)| lead)) {
                records.push(BidRecord {
                    seq: row.seq,
                    operation: row.operation.into(),
                    user: users.get(&wallet).cloned().ok_or_else(|| vanished(wallet))?,
                    amount: currency.decimal_of_minor(amount),
                    voided: voided.contains(&row.seq),
                    automatic,
                    price: currency.decimal_of_minor(row.price),
                    ends_at: Micros::new(row.ends_at).datetime(),
                    at: Micros::new(row.at).datetime(),
                });
            }
            before = automatic.then(|| (row.seq, lead(row)));
        }
        Ok(records)
    }

    /// Sealed bids, once it is over and they can move nothing any more: the winner's at the price, the others as they were.
    async fn read_sealed<C: ConnectionTrait>(
        &self,
        connection: &C,
        lot: &Lot,
    ) -> Result<Vec<BidRecord>, Error> {
        let over = matches!(lot.standing.state, AuctionState::Sold | AuctionState::Unsold);
        if !over {
            return Ok(Vec::new());
        }
        let rows = sealed_bid::Entity::find()
            .filter(sealed_bid::Column::AuctionId.eq(self.auction.get()))
            .filter(sealed_bid::Column::Seq.gt(self.cursor.after))
            .filter(sealed_bid::Column::Seq.is_not_in(voided(connection, self.auction).await?))
            .order_by_asc(sealed_bid::Column::Seq)
            .limit(self.cursor.limit)
            .all(connection)
            .await?;
        let operations = act::Entity::find()
            .filter(act::Column::AuctionId.eq(self.auction.get()))
            .filter(act::Column::Kind.eq(act::Kind::SealedBid))
            .filter(act::Column::Seq.gte(rows.first().map_or(i64::MAX, |row| row.seq)))
            .filter(act::Column::Seq.lte(rows.last().map_or(0, |row| row.seq)))
            .all(connection)
            .await?;
        let operations: BTreeMap<i64, OperationId> =
            operations.into_iter().map(|act| (act.seq, act.operation.into())).collect();
        let users = users(connection, rows.iter().map(|row| row.wallet_id)).await?;
        let winner = lot.standing.leader.map(|leader| leader.wallet.get());
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            let leads = winner == Some(row.wallet_id);
            let price = lot.standing.price.filter(|_| leads).map(Amount::minor);
            let amount = lot.terms.currency.decimal_of_minor(price.unwrap_or(row.maximum));
            records.push(BidRecord {
                seq: row.seq,
                operation: *operations.get(&row.seq).ok_or_else(|| {
                    Error::damaged(format!("auction {}: bid {} has no act", lot.id, row.seq))
                })?,
                user: users.get(&row.wallet_id).cloned().ok_or_else(|| vanished(row.wallet_id))?,
                amount,
                voided: false,
                automatic: false,
                price: amount,
                ends_at: lot.standing.ends_at.datetime(),
                at: Micros::new(row.at).datetime(),
            });
        }
        Ok(records)
    }

    /// Who led before the first row that is read, where that decides whether a raise is to be seen.
    async fn before<C: ConnectionTrait>(
        &self,
        connection: &C,
        automatic: bool,
    ) -> Result<Option<(i64, (i64, i64))>, Error> {
        if !automatic || self.cursor.after < 1 {
            return Ok(None);
        }
        let before = self.of_auction().filter(bid::Column::Seq.lte(self.cursor.after));
        let before = before.order_by_desc(bid::Column::Seq).limit(1);
        Ok(before.one(connection).await?.map(|row| (row.seq, lead(&row))))
    }

    /// The acts that have changed the lead without a bid.
    async fn turned<C: ConnectionTrait>(&self, connection: &C) -> Result<BTreeSet<i64>, Error> {
        let [voided, skipped] = act::Kind::VOIDING;
        let turned = act::Entity::find()
            .select_only()
            .column(act::Column::Seq)
            .filter(act::Column::AuctionId.eq(self.auction.get()))
            .filter(act::Column::Kind.is_in([voided, skipped, act::Kind::ReserveLowered]));
        let turned: Vec<i64> = turned.into_tuple().all(connection).await?;
        Ok(turned.into_iter().collect())
    }

    fn of_auction(&self) -> Select<bid::Entity> {
        bid::Entity::find().filter(bid::Column::AuctionId.eq(self.auction.get()))
    }
}

/// Who leads after a bid, and at which price.
fn lead(row: &bid::Model) -> (i64, i64) {
    (row.leader_wallet_id, row.price)
}

/// What everybody may see of a bid: whose wallet, how much, and whether the ledger answered for it. Whoever leads is shown at
/// the price; whoever does not, at what was bid, for that has made the price.
fn public(row: &bid::Model, before: Option<(i64, i64)>) -> impl Iterator<Item = (i64, i64, bool)> {
    let leads = row.wallet_id == row.leader_wallet_id;
    let silent = leads && before == Some(lead(row));
    let own = if leads { row.price } else { row.amount };
    let challenger = (!silent).then_some((row.wallet_id, own, false));
    let answer = (!leads).then_some((row.leader_wallet_id, row.price, true));
    [challenger, answer].into_iter().flatten()
}

impl GetActs<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Vec<ActRecord>, Error> {
        let currency = terms_of(connection, self.auction).await?.currency;
        let rows = act::Entity::find()
            .filter(act::Column::AuctionId.eq(self.auction.get()))
            .filter(act::Column::Seq.gt(self.cursor.after))
            .filter(act::Column::Kind.ne(act::Kind::SealedBid))
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
                amount: row
                    .amount
                    .filter(|_| !HIDDEN.contains(&row.kind))
                    .map(|amount| currency.decimal_of_minor(amount)),
                reason: row.reason,
                bid: row.bid_seq,
                ends_at: row.ends_at.map(|ends_at| Micros::new(ends_at).datetime()),
                at: Micros::new(row.at).datetime(),
            })
        });
        records.collect()
    }
}

/// The acts whose amount is a reserve.
const HIDDEN: [act::Kind; 2] = [act::Kind::Opened, act::Kind::ReserveLowered];

/// The bids of an auction that are void.
async fn voided<C: ConnectionTrait>(
    connection: &C,
    auction: AuctionId,
) -> Result<BTreeSet<i64>, Error> {
    let acts = act::Entity::find()
        .select_only()
        .column(act::Column::BidSeq)
        .filter(act::Column::AuctionId.eq(auction.get()))
        .filter(act::Column::Kind.is_in(act::Kind::VOIDING));
    let acts: Vec<Option<i64>> = acts.into_tuple().all(connection).await?;
    Ok(acts.into_iter().flatten().collect())
}

async fn terms_of<C: ConnectionTrait>(connection: &C, auction: AuctionId) -> Result<Terms, Error> {
    let row = auction::Entity::find_by_id(auction.get()).one(connection).await?;
    let row = row.ok_or(Error::UnknownAuction { auction })?;
    Ok(store::lot(&row)?.terms)
}

/// The owners of wallets, all of which must be there.
pub(super) async fn users<C: ConnectionTrait>(
    connection: &C,
    ids: impl Iterator<Item = i64>,
) -> Result<BTreeMap<i64, UserId>, Error> {
    let ids: BTreeSet<i64> = ids.collect();
    let accounts = known_accounts(connection, ids.iter().copied()).await?;
    let user = |id: i64| {
        let account = accounts.get(&id.into()).ok_or_else(|| vanished(id))?;
        Ok((id, account.owner.clone()))
    };
    ids.into_iter().map(user).collect()
}

/// Those of these wallets that there are.
pub(super) async fn known_accounts<C: ConnectionTrait>(
    connection: &C,
    ids: impl Iterator<Item = i64>,
) -> Result<BTreeMap<WalletId, Account>, Error> {
    let dialect = Dialect::of(connection.get_database_backend());
    let ids: Vec<i64> = ids.collect::<BTreeSet<_>>().into_iter().collect();
    let mut accounts = BTreeMap::new();
    // SQLite binds 32,766 values at most.
    for ids in ids.chunks(1_000) {
        let is_named = dialect.is_one_of(wallet::Column::Id, ids.iter().copied());
        for row in wallet::Entity::find().filter(is_named).all(connection).await? {
            let account = Account::from_row(row)?;
            accounts.insert(account.id, account);
        }
    }
    Ok(accounts)
}

pub(super) fn vanished(wallet: i64) -> Error {
    Error::damaged(format!("wallet {wallet} is referred to and does not exist"))
}
