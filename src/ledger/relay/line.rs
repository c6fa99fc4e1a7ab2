//! The auctions that a relay has met, and how it takes those of which there is something to deliver.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, InsertStatement, JoinType, OnConflict, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IsolationLevel, QueryFilter, QueryOrder,
    QuerySelect, RelationTrait, Select,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{HOUR, Relay, later};
use crate::backend::{Detached, Dialect};
use crate::entity::{auction, relay};
use crate::error::Error;
use crate::id::AuctionId;
use crate::unit_of_work::{LockWait, UnitOfWork};

/// Auctions that are met at a time.
const MET: usize = 1_000;

/// No auction's id: the row that says which auctions were forgotten, those that were over before its `changed_at`.
const FORGOTTEN: i64 = 0;

/// A row to be made.
struct Row {
    auction_id: i64,
    finished: bool,
    changed_at: i64,
}

/// The states in which something can still happen.
pub(super) const NOT_OVER: [auction::State; 4] = [
    auction::State::Open,
    auction::State::AwaitingSeller,
    auction::State::Settling,
    auction::State::Cancelling,
];

/// An auction that this relay has taken.
pub(super) struct Taken {
    pub(super) row: relay::Model,
    pub(super) lease: Uuid,
    /// When somebody else may take it.
    pub(super) until: Instant,
}

impl Taken {
    pub(super) fn auction(&self) -> AuctionId {
        self.row.auction_id.into()
    }
}

impl Relay {
    /// Looks for auctions that are behind, and takes up to so many.
    pub(super) async fn look(&self, sweeps: bool, room: usize) -> Result<Vec<Taken>, Error> {
        self.meet(sweeps).await?;
        if sweeps {
            self.forget().await?;
        }
        let behind = self.behind(self.now().await?, room).await?;
        self.take(&behind).await
    }

    /// Takes auctions that a hint has told of.
    pub(super) async fn take_hinted(
        &self,
        hinted: &BTreeSet<AuctionId>,
    ) -> Result<Vec<Taken>, Error> {
        if hinted.is_empty() {
            return Ok(Vec::new());
        }
        let dialect = Dialect::of(self.ledger.db.get_database_backend());
        let these = dialect
            .is_one_of((auction::Entity, auction::Column::Id), hinted.iter().map(|id| id.get()));
        self.begin(self.unmet(true).await?.filter(these)).await?;
        self.take(hinted).await
    }

    /// Its rows of auctions.
    pub(super) fn rows(&self) -> Select<relay::Entity> {
        let rows = relay::Entity::find().filter(relay::Column::Relay.eq(self.name.clone()));
        rows.filter(relay::Column::AuctionId.ne(FORGOTTEN))
    }

    /// Begins with auctions that it has not met: those that are not over, and in a sweep those that have ended meanwhile.
    pub(super) async fn meet(&self, sweeps: bool) -> Result<(), Error> {
        while self.begin(self.unmet(sweeps).await?).await? == MET {}
        Ok(())
    }

    /// Auctions that it has not met, but those that were over when it has forgotten all that was over.
    async fn unmet(&self, sweeps: bool) -> Result<Select<auction::Entity>, Error> {
        let mut wanted = auction::Column::State.is_in(NOT_OVER);
        if sweeps {
            let forgotten = relay::Entity::find_by_id((self.name.clone(), FORGOTTEN));
            let forgotten = forgotten.one(&Detached(&self.ledger.db)).await?;
            let since = forgotten.map_or(i64::MIN, |row| row.changed_at);
            wanted = wanted.or(auction::Column::LastAt.gte(since));
        }
        let met = Query::select()
            .expr(Expr::val(1))
            .from(relay::Entity)
            .and_where(Expr::col((relay::Entity, relay::Column::Relay)).eq(self.name.clone()))
            .and_where(
                Expr::col((relay::Entity, relay::Column::AuctionId))
                    .equals((auction::Entity, auction::Column::Id)),
            )
            .take();
        Ok(auction::Entity::find().filter(wanted).filter(Expr::exists(met).not()))
    }

    /// Makes rows for some auctions, unless another process has just done so, and says for how many.
    async fn begin(&self, auctions: Select<auction::Entity>) -> Result<usize, Error> {
        let ids = auctions.select_only().column(auction::Column::Id);
        let ids = ids.order_by_asc(auction::Column::Id).limit(u64::try_from(MET).unwrap_or(1));
        let ids: Vec<i64> = ids.into_tuple().all(&Detached(&self.ledger.db)).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        let rows = ids.iter().map(|id| Row { auction_id: *id, finished: false, changed_at: 0 });
        let place = [relay::Column::Relay, relay::Column::AuctionId];
        let nothing = OnConflict::columns(place).do_nothing_on(place).to_owned();
        let insert = self.insert(rows).on_conflict(nothing).take();
        self.in_short(async |uow| Ok(uow.execute(&insert).await.map(drop)?)).await?;
        Ok(ids.len())
    }

    /// Forgets auctions that are over, and remembers that it has. An hour more than the retention, for what is committed late.
    pub(super) async fn forget(&self) -> Result<(), Error> {
        let since = self.now().await?.saturating_sub(micros(self.settings.retention));
        let before = since.saturating_sub(micros(HOUR));
        let old = Condition::all()
            .add(relay::Column::Relay.eq(self.name.clone()))
            .add(relay::Column::AuctionId.ne(FORGOTTEN))
            .add(relay::Column::Finished.eq(true))
            .add(relay::Column::ChangedAt.lt(before));
        let is_any = relay::Entity::find().filter(old.clone()).limit(1);
        if is_any.one(&Detached(&self.ledger.db)).await?.is_none() {
            return Ok(());
        }
        let place = [relay::Column::Relay, relay::Column::AuctionId];
        let nothing = OnConflict::columns(place).do_nothing_on(place).to_owned();
        let row = Row { auction_id: FORGOTTEN, finished: true, changed_at: i64::MIN };
        let insert = self.insert(std::iter::once(row)).on_conflict(nothing).take();
        self.in_short(async |uow| {
            uow.execute(&insert).await?;
            relay::Entity::update_many()
                .col_expr(relay::Column::ChangedAt, since.into())
                .filter(relay::Column::Relay.eq(self.name.clone()))
                .filter(relay::Column::AuctionId.eq(FORGOTTEN))
                .filter(relay::Column::ChangedAt.lt(since))
                .exec(uow)
                .await?;
            relay::Entity::delete_many().filter(old.clone()).exec(uow).await?;
            Ok(())
        })
        .await
    }

    fn insert(&self, rows: impl Iterator<Item = Row>) -> InsertStatement {
        let mut insert = Query::insert();
        insert.into_table(relay::Entity).columns([
            relay::Column::Relay,
            relay::Column::AuctionId,
            relay::Column::Seq,
            relay::Column::Told,
            relay::Column::Finished,
            relay::Column::Attempts,
            relay::Column::DueAt,
            relay::Column::ChangedAt,
        ]);
        for Row { auction_id, finished, changed_at } in rows {
            insert.values_panic([
                self.name.clone().into(),
                auction_id.into(),
                0_i64.into(),
                0_i64.into(),
                finished.into(),
                0_i64.into(),
                0_i64.into(),
                changed_at.into(),
            ]);
        }
        insert
    }

    /// Runs in a short unit of work, again if need be.
    pub(super) async fn in_short<F, T>(&self, f: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, Error> + Clone,
    {
        let root = self.ledger.unit_of_work().name("Relay");
        let root = root.isolation(IsolationLevel::ReadCommitted);
        Ok(self.ledger.retry.atomic(root, f).await?.into_value())
    }

    /// Auctions that have come further than this relay, and that nobody is at, those first that were longest not looked at.
    pub(super) async fn behind(
        &self,
        due_at: i64,
        most: usize,
    ) -> Result<BTreeSet<AuctionId>, Error> {
        let behind: Vec<i64> = self
            .due(due_at)
            .select_only()
            .column(relay::Column::AuctionId)
            .join(JoinType::InnerJoin, relay::Relation::Auction.def())
            .filter(
                Expr::col((auction::Entity, auction::Column::Seq))
                    .gt(Expr::col((relay::Entity, relay::Column::Seq))),
            )
            .order_by_asc(relay::Column::DueAt)
            .limit(u64::try_from(most).unwrap_or(u64::MAX))
            .into_tuple()
            .all(&Detached(&self.ledger.db))
            .await?;
        Ok(behind.into_iter().map(AuctionId::from).collect())
    }

    /// The rows that may be taken.
    fn due(&self, due_at: i64) -> Select<relay::Entity> {
        self.rows()
            .filter(relay::Column::Finished.eq(false))
            .filter(relay::Column::ParkedAt.is_null())
            .filter(relay::Column::DueAt.lte(due_at))
    }

    pub(super) async fn now(&self) -> Result<i64, Error> {
        Ok(self.ledger.clock.now(&Detached(&self.ledger.db)).await?.get())
    }

    /// Marks those of these auctions as taken that nobody is at and nobody has locked.
    pub(super) async fn take(&self, auctions: &BTreeSet<AuctionId>) -> Result<Vec<Taken>, Error> {
        if auctions.is_empty() {
            return Ok(Vec::new());
        }
        let lease = Uuid::now_v7();
        let until = later(Instant::now(), self.settings.lease);
        let take = async |uow: &UnitOfWork| {
            let dialect = Dialect::of(uow.get_database_backend());
            let wait = match dialect.has_row_locks() {
                true => LockWait::SkipLocked,
                false => LockWait::Wait,
            };
            let now = self.ledger.clock.now(uow).await?.get();
            let ids = auctions.iter().map(|id| id.get());
            let rows = self.due(now).filter(dialect.is_one_of(relay::Column::AuctionId, ids));
            let rows = uow.lock(rows, wait).await?;
            if !rows.is_empty() {
                let until = now.saturating_add(micros(self.settings.lease));
                let taken = rows.iter().map(|row| row.auction_id);
                relay::Entity::update_many()
                    .col_expr(relay::Column::Lease, lease.into())
                    .col_expr(relay::Column::DueAt, until.into())
                    .filter(relay::Column::Relay.eq(self.name.clone()))
                    .filter(dialect.is_one_of(relay::Column::AuctionId, taken))
                    .exec(uow)
                    .await?;
            }
            Ok(rows)
        };
        let rows = self.in_short(take).await?;
        Ok(rows.into_iter().map(|row| Taken { row, lease, until }).collect())
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
