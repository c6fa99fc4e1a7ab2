//! What a relay shows of itself, and what is done about events that its sink refuses.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{
    Alias, Expr, ExprTrait, Func, Iden, Query, SelectStatement, SimpleExpr, SubQueryStatement,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::Relay;
use super::line::NOT_OVER;
use crate::backend::{Detached, Dialect};
use crate::entity::{act, auction, bid, relay};
use crate::error::Error;
use crate::id::AuctionId;
use crate::rules::Micros;

/// How far a [`Relay`] is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// How many auctions have events that are to be delivered, the parked ones included.
    pub auctions: u64,
    /// How many commands there are whose events are to be delivered.
    pub commands: u64,
    /// How long ago the oldest of them was carried out that is of no parked auction, by the database's clock; zero if there is
    /// none.
    pub oldest: Duration,
    /// How many auctions are parked.
    pub parked: u64,
}

/// An auction whose next event was refused so often that its relay has given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// The auction.
    pub auction: AuctionId,
    /// The number of the command whose event it is.
    pub seq: i64,
    /// The number of the event within the command.
    pub index: u32,
    /// How often it was refused.
    pub attempts: u32,
    /// Why it was refused last, in the sink's words: up to 500 characters.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl Relay {
    /// How far it is behind, whoever runs it. It looks at every auction, and begins with those that it has not met, so ask a few
    /// times a minute.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::MigrationsMissing`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Example: nothing was delivered yet
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, BroadcastSink, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into()).ends_in(Duration::from_secs(60));
    /// ledger.open_auction("sam", "brass telescope", terms).await?;
    /// let relay = ledger.relay("mail", BroadcastSink::new(16))?;
    /// let lag = relay.lag().await?;
    /// assert_eq!((lag.auctions, lag.commands, lag.parked), (1, 1, 0));
    /// # Ok(()) }
    /// ```
    pub async fn lag(&self) -> Result<Lag, Error> {
        self.meet(true).await?;
        let db = &Detached(&self.ledger.db);
        let (auctions, commands) = self.behind_in_all(db).await?;
        let parked = self.rows().filter(relay::Column::ParkedAt.is_not_null()).count(db).await?;
        let bids = [bid::Column::AuctionId, bid::Column::Seq, bid::Column::At];
        let acts = [act::Column::AuctionId, act::Column::Seq, act::Column::At];
        let oldest = [
            self.oldest::<bid::Entity>(db, bids).await?,
            self.oldest::<act::Entity>(db, acts).await?,
        ];
        let now = self.now().await?;
        let oldest = oldest.into_iter().flatten().min().map_or(0, |at| now.saturating_sub(at));
        let oldest = Duration::from_micros(u64::try_from(oldest).unwrap_or(0));
        Ok(Lag { auctions, commands, oldest, parked })
    }

    /// How many auctions have come further than this relay, and by how many commands.
    async fn behind_in_all(&self, db: &impl ConnectionTrait) -> Result<(u64, u64), Error> {
        let integer = Alias::new(Dialect::of(db.get_database_backend()).integer());
        let has = Expr::col((auction::Entity, auction::Column::Seq));
        let delivered = Expr::col((relay::Entity, relay::Column::Seq));
        let behind = Func::sum(has.clone().sub(delivered.clone())).cast_as(integer);
        let query = self
            .unfinished()
            .expr_as(Func::count(Expr::col((relay::Entity, relay::Column::AuctionId))), "auctions")
            .expr_as(behind, "commands")
            .inner_join(
                auction::Entity,
                Expr::col((auction::Entity, auction::Column::Id))
                    .equals((relay::Entity, relay::Column::AuctionId)),
            )
            .and_where(has.gt(delivered))
            .take();
        let Some(row) = db.query_one(&query).await? else { return Ok((0, 0)) };
        let count = |column: &str| {
            let number: Option<i64> = row.try_get("", column)?;
            Ok::<_, DbErr>(u64::try_from(number.unwrap_or(0)).unwrap_or(0))
        };
        Ok((count("auctions")?, count("commands")?))
    }

    /// When the oldest of the next commands was carried out that are in one table.
    async fn oldest<E>(
        &self,
        db: &impl ConnectionTrait,
        [auction_id, seq, at]: [E::Column; 3],
    ) -> Result<Option<i64>, Error>
    where
        E: EntityTrait,
        E::Column: Iden,
    {
        let next = Expr::col((relay::Entity, relay::Column::Seq)).add(1_i64);
        let same = Expr::col((E::default(), auction_id))
            .equals((relay::Entity, relay::Column::AuctionId))
            .and(Expr::col((E::default(), seq)).eq(next));
        let query = self
            .unfinished()
            .and_where(Expr::col((relay::Entity, relay::Column::ParkedAt)).is_null())
            .expr_as(Func::min(Expr::col((E::default(), at))), "oldest")
            .inner_join(E::default(), same)
            .take();
        let row = db.query_one(&query).await?;
        Ok(row.map(|row| row.try_get("", "oldest")).transpose()?.flatten())
    }

    /// A query of its rows of auctions of which something may be left.
    fn unfinished(&self) -> SelectStatement {
        let mut unfinished = Query::select();
        unfinished
            .from(relay::Entity)
            .and_where(Expr::col((relay::Entity, relay::Column::Relay)).eq(self.name.clone()))
            .and_where(Expr::col((relay::Entity, relay::Column::Finished)).eq(false));
        unfinished
    }

    /// The auctions that are parked, whoever has parked them, ascending.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::MigrationsMissing`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn parked(&self) -> Result<Vec<Parked>, Error> {
        let rows = self
            .rows()
            .filter(relay::Column::ParkedAt.is_not_null())
            .order_by_asc(relay::Column::AuctionId)
            .all(&Detached(&self.ledger.db))
            .await?;
        let parked = rows.into_iter().map(|row| Parked {
            auction: row.auction_id.into(),
            seq: row.seq.saturating_add(1),
            index: u32::try_from(row.told).unwrap_or(u32::MAX),
            attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
            reason: row.reason.unwrap_or_default(),
            since: Micros::new(row.parked_at.unwrap_or(0)).datetime(),
        });
        Ok(parked.collect())
    }

    /// Delivers the events of a parked auction again, from the one that was refused. Tells whether it was parked.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::MigrationsMissing`].
    ///
    /// # Cancel safety
    ///
    /// Done or not done.
    ///
    /// # Example: what was broken is mended
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionEvent, AuctionLedger, AuctionTerms, Currency, EventSink, SinkError};
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    ///
    /// struct Mail { is_broken: Arc<AtomicBool> }
    ///
    /// #[async_trait::async_trait]
    /// impl EventSink for Mail {
    ///     async fn deliver(&self, _: &AuctionEvent) -> Result<(), SinkError> {
    ///         if self.is_broken.load(Ordering::SeqCst) { Err("no route to host".into()) } else { Ok(()) }
    ///     }
    /// }
    ///
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into()).ends_in(Duration::from_secs(60));
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// let is_broken = Arc::new(AtomicBool::new(true));
    /// let relay = ledger.relay("mail", Mail { is_broken: is_broken.clone() })?.attempts(1);
    /// assert_eq!(relay.deliver().await?.parked, 1);
    /// let parked = &relay.parked().await?[0];
    /// assert_eq!((parked.auction, parked.seq, parked.reason.as_str()), (auction, 1, "no route to host"));
    ///
    /// is_broken.store(false, Ordering::SeqCst);
    /// assert!(relay.resume(auction).await?);
    /// assert_eq!(relay.deliver().await?.delivered, 1);
    /// # Ok(()) }
    /// ```
    pub async fn resume(&self, auction: AuctionId) -> Result<bool, Error> {
        let told = Expr::col(relay::Column::Told);
        self.unpark(auction, told).await
    }

    /// Goes on with a parked auction behind the event that was refused, which is never delivered. Tells whether it was parked.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::MigrationsMissing`].
    ///
    /// # Cancel safety
    ///
    /// Done or not done.
    pub async fn skip(&self, auction: AuctionId) -> Result<bool, Error> {
        let told = Expr::col(relay::Column::Told);
        self.unpark(auction, told.add(1_i64)).await
    }

    async fn unpark(&self, auction: AuctionId, told: SimpleExpr) -> Result<bool, Error> {
        let done = relay::Entity::update_many()
            .col_expr(relay::Column::Told, told)
            .col_expr(relay::Column::Attempts, 0_i64.into())
            .col_expr(relay::Column::DueAt, 0_i64.into())
            .col_expr(relay::Column::ParkedAt, Option::<i64>::None.into())
            .filter(relay::Column::Relay.eq(self.name.clone()))
            .filter(relay::Column::AuctionId.eq(auction.get()))
            .filter(relay::Column::ParkedAt.is_not_null())
            .exec(&Detached(&self.ledger.db))
            .await?;
        let was_parked = done.rows_affected == 1;
        if was_parked {
            self.hint.add(BTreeSet::from([auction]));
        }
        Ok(was_parked)
    }

    /// Leaves out whatever has happened until now and is not delivered yet: for a relay that is new on an old database, before it
    /// runs. What is parked stays so.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`].
    ///
    /// # Cancel safety
    ///
    /// Some auctions may be done, and others not. Do it again.
    ///
    /// # Example: no mails of yesterday
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, BroadcastSink, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into()).ends_in(Duration::from_secs(60));
    /// ledger.open_auction("sam", "brass telescope", terms).await?;
    /// let relay = ledger.relay("mail", BroadcastSink::new(16))?;
    /// relay.skip_all().await?;
    /// assert_eq!(relay.deliver().await?.delivered, 0);
    /// # Ok(()) }
    /// ```
    pub async fn skip_all(&self) -> Result<(), Error> {
        self.meet(true).await?;
        let mut has = Query::select();
        has.from(auction::Entity).and_where(
            Expr::col((auction::Entity, auction::Column::Id))
                .equals((relay::Entity, relay::Column::AuctionId)),
        );
        let is_going_on = auction::Column::State.is_in(NOT_OVER);
        let goes_on = Expr::exists(has.clone().expr(Expr::val(1)).and_where(is_going_on).take());
        let has = has.column(auction::Column::Seq).take();
        let has = SimpleExpr::SubQuery(None, Box::new(SubQueryStatement::SelectStatement(has)));
        let dialect = Dialect::of(self.ledger.db.get_database_backend());
        let now = self.ledger.clock.expression(dialect);
        self.in_short(async |uow| {
            relay::Entity::update_many()
                .col_expr(relay::Column::Seq, has.clone())
                .col_expr(relay::Column::Told, 0_i64.into())
                .col_expr(relay::Column::Finished, goes_on.clone().not())
                .col_expr(relay::Column::Attempts, 0_i64.into())
                .col_expr(relay::Column::DueAt, now.clone())
                .col_expr(relay::Column::Lease, Option::<Uuid>::None.into())
                .col_expr(relay::Column::Reason, Option::<String>::None.into())
                .col_expr(relay::Column::ChangedAt, now.clone())
                .filter(relay::Column::Relay.eq(self.name.clone()))
                .filter(relay::Column::Finished.eq(false))
                .filter(relay::Column::ParkedAt.is_null())
                .exec(uow)
                .await?;
            Ok(())
        })
        .await
    }
}
