//! Settlement that runs by itself.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{AuctionLedger, Sweep};
use crate::backend::Detached;
use crate::entity::auction;
use crate::error::Error;
use crate::rules::Micros;

/// Settles auctions as they end, for as long as a host runs: [`AuctionLedger::settler`].
///
/// It [sweeps](AuctionLedger::settle_due), and then sleeps until the next auction ends, whose end it reads from the database. A
/// soft close that moved an end is found there too: nothing is settled before its time. An auction that cannot be settled is
/// reported by each sweep and tried again by the next one; it stops neither the others nor the settler. Any number of processes
/// may run one: an auction is settled by one of them.
///
/// # Example: until the host shuts down
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use auction_ledger_migration::{Migrator, MigratorTrait};
/// use auction_ledger::{AuctionLedger, AuctionState, AuctionTerms, Currency};
/// use std::time::Duration;
/// use tokio::sync::{mpsc, oneshot};
///
/// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
/// # Migrator::up(&db, None).await?;
/// # let ledger = AuctionLedger::new(db);
/// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
/// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_millis(500));
/// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
/// ledger.place_bid(auction, "ann", 20.into()).await?;
///
/// let (sold, mut sales) = mpsc::unbounded_channel();
/// let (stop, stopped) = oneshot::channel::<()>();
/// let settler = ledger.settler().on_sweep(move |sweep| {
///     for settlement in &sweep.settled {
///         _ = sold.send(settlement.clone());
///     }
/// });
/// let settler = tokio::spawn(settler.run(async move { _ = stopped.await }));
///
/// assert_eq!(sales.recv().await.unwrap().sold.unwrap().winner.as_str(), "ann");
/// assert_eq!(ledger.auction(auction).await?.state, AuctionState::Sold);
/// _ = stop.send(());
/// assert_eq!(settler.await?.settled, 1);
/// # Ok(()) }
/// ```
#[must_use = "it does nothing until it is run"]
pub struct Settler {
    ledger: AuctionLedger,
    batch: u64,
    idle: Duration,
    on_sweep: Option<OnSweep>,
}

type OnSweep = Box<dyn FnMut(&Sweep) + Send>;

impl std::fmt::Debug for Settler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ledger: _, batch, idle, on_sweep: _ } = self;
        formatter.debug_struct("Settler").field("batch", batch).field("idle", idle).finish()
    }
}

/// What a [`Settler`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settled {
    /// How many auctions it has settled.
    pub settled: u64,
    /// How often an auction could not be settled: one that is tried again counts again.
    pub failed: u64,
    /// How often it has looked for auctions that are due.
    pub sweeps: u64,
}

impl AuctionLedger {
    /// A worker that settles auctions as they end: see [`Settler`].
    pub fn settler(&self) -> Settler {
        Settler { ledger: self.clone(), batch: 100, idle: Duration::from_secs(2), on_sweep: None }
    }

    /// How long it is until the next auction ends that has not ended; `None` if there is none.
    async fn until_next_end(&self) -> Result<Option<Duration>, Error> {
        let db = &Detached(&self.db);
        let now = self.clock.now(db).await?;
        let mut next = self.next_acceptance_end(now).await?;
        // An end is only ever moved to later, so no auction behind ends before its original end.
        let mut after = None;
        loop {
            let mut open = auction::Entity::find()
                .select_only()
                .columns([
                    auction::Column::OriginalEndsAt,
                    auction::Column::Id,
                    auction::Column::EndsAt,
                ])
                .filter(auction::Column::State.eq(auction::State::Open))
                .filter(auction::Column::EndsAt.gt(now.get()))
                .order_by_asc(auction::Column::OriginalEndsAt)
                .order_by_asc(auction::Column::Id)
                .limit(PAGE);
            if let Some((ends_at, id)) = after {
                let same_end =
                    auction::Column::OriginalEndsAt.eq(ends_at).and(auction::Column::Id.gt(id));
                open = open.filter(auction::Column::OriginalEndsAt.gt(ends_at).or(same_end));
            }
            let page: Vec<(i64, i64, i64)> = open.into_tuple().all(db).await?;
            let ends = page.iter().map(|(_, _, ends_at)| *ends_at);
            next = ends.chain(next).min();
            after = page.last().map(|(ends_at, id, _)| (*ends_at, *id));
            let is_behind = |(ends_at, _)| next.is_some_and(|next| next <= ends_at);
            if after.is_none_or(is_behind) {
                break;
            }
        }
        let until = next.map(|next| next.saturating_sub(now.get()));
        Ok(until.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))))
    }

    /// When the next seller can accept a price below the reserve no longer.
    async fn next_acceptance_end(&self, now: Micros) -> Result<Option<i64>, Error> {
        let end =
            Expr::col(auction::Column::EndsAt).add(Expr::col(auction::Column::AcceptanceWindow));
        let ends = auction::Entity::find()
            .select_only()
            .column_as(end.clone(), "window_ends_at")
            .filter(auction::Column::State.eq(auction::State::AwaitingSeller))
            .filter(end.clone().gt(now.get()))
            .order_by_asc(end)
            .limit(1);
        Ok(ends.into_tuple().one(&Detached(&self.db)).await?)
    }
}

/// Auctions whose ends are read at a time.
const PAGE: u64 = 100;

impl Settler {
    /// Up to so many auctions are settled in one sweep, at least one. Whether it shall stop is looked at after each sweep.
    /// Default: 100.
    pub fn batch(mut self, auctions: u64) -> Self {
        self.batch = Ord::max(auctions, 1);
        self
    }

    /// It never sleeps longer than this, so an auction that was opened meanwhile, or that could not be settled, waits no longer.
    /// Default: two seconds.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Is told of every sweep, also of those that found nothing: what was settled, and what could not be.
    pub fn on_sweep(mut self, told: impl FnMut(&Sweep) + Send + 'static) -> Self {
        self.on_sweep = Some(Box::new(told));
        self
    }

    /// Runs until `stop` completes, which is seen between two sweeps: what has been begun is finished. A database that is away
    /// is logged, and asked again after [`idle`](Self::idle).
    ///
    /// # Cancel safety
    ///
    /// What has been settled is settled; the rest is found by whoever sweeps next.
    ///
    /// # Locking
    ///
    /// As [`settle_due`](AuctionLedger::settle_due); while it sleeps, none.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Settled {
        let mut stop = pin!(stop);
        let mut done = Settled::default();
        loop {
            let pause = self.sweep(&mut done).await;
            match select(stop.as_mut(), pin!(tokio::time::sleep(pause))).await {
                Either::Left(_) => return done,
                Either::Right(_) => {}
            }
        }
    }

    /// Sweeps once, and says how long to sleep.
    async fn sweep(&mut self, done: &mut Settled) -> Duration {
        done.sweeps = done.sweeps.saturating_add(1);
        let until = match self.ledger.settle_due(self.batch).await {
            Ok(sweep) => {
                let count = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
                done.settled = done.settled.saturating_add(count(sweep.settled.len()));
                done.failed = done.failed.saturating_add(count(sweep.failed.len()));
                if let Some(on_sweep) = &mut self.on_sweep {
                    on_sweep(&sweep);
                }
                if sweep.more {
                    return Duration::ZERO;
                }
                self.ledger.until_next_end().await
            }
            Err(error) => Err(error),
        };
        match until {
            Ok(until) => until.map_or(self.idle, |until| until.min(self.idle)),
            Err(error) => {
                tracing::warn!(%error, "the auctions that are due could not be looked for");
                self.idle
            }
        }
    }
}
