//! The sweep: auctions whose end has passed are settled, whoever else sweeps.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use super::AuctionLedger;
use super::batch::{Command, Wish};
use super::group;
use super::settle::{Settlement, settlement};
use crate::backend::Detached;
use crate::entity::auction;
use crate::error::Error;
use crate::id::AuctionId;
use crate::rules::{Micros, Rejection};

impl AuctionLedger {
    /// Settles auctions whose end has passed, the earliest end first, until `limit` are settled or none is left: up to 50 of
    /// them share a unit of work, and each has the own outcome, as if it had been settled alone. Sealed auctions are settled
    /// one by one.
    ///
    /// One that fails is reported, and stops neither the others nor those behind it. Several processes may sweep at once:
    /// an auction is settled by one of them, and the others do not report it. What somebody has locked is passed over at
    /// first, and waited for at the end if it is still due. Call again while [`more`](Sweep::more) says so.
    /// [`Settler`](crate::Settler) does, as long as a host runs.
    ///
    /// # Errors
    ///
    /// [`Error::Database`] and [`Error::MigrationsMissing`], of the query for what is due. What goes wrong with an auction
    /// is in the report.
    ///
    /// # Cancel safety
    ///
    /// What has been settled is settled; the rest is found by the next sweep.
    ///
    /// # Locking
    ///
    /// As [`settle`](Self::settle): the auctions of a unit of work, then all of their wallets, each ascending and in one query.
    ///
    /// # Example: nothing is due
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// # use auction_ledger::AuctionLedger;
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let sweep = ledger.settle_due(100).await?;
    /// assert!(sweep.settled.is_empty() && sweep.failed.is_empty() && !sweep.more);
    /// # Ok(()) }
    /// ```
    pub async fn settle_due(&self, limit: u64) -> Result<Sweep, Error> {
        let now = self.clock.now(&Detached(&self.db)).await?;
        let mut sweep = Sweep::default();
        // What is being released was begun by somebody, who may be gone.
        let mut last = 0;
        while count(&sweep) < limit {
            let Some(id) = self.releasing(last).await? else { break };
            last = id;
            self.settle_one(AuctionId::from(id), &mut sweep).await;
        }
        let mut last = None;
        let mut passed_over = Vec::new();
        while count(&sweep) < limit {
            let due = self.due(now, last).await?;
            let Some(end) = due.last() else {
                self.settle_still_due(now, passed_over, limit, &mut sweep).await?;
                return Ok(sweep);
            };
            last = Some((end.ends_at, end.id));
            passed_over.extend(self.settle_page(due, limit, &mut sweep).await);
        }
        sweep.more = limit > 0;
        Ok(sweep)
    }

    /// Settles those that are due, until as many are settled as may be, and tells which of them it has passed over.
    async fn settle_page(&self, due: Vec<Due>, limit: u64, sweep: &mut Sweep) -> Vec<i64> {
        let mut passed_over = Vec::new();
        let mut due = due.into_iter().peekable();
        while let Some(next) = due.peek() {
            let room = usize::try_from(limit.saturating_sub(count(sweep))).unwrap_or(usize::MAX);
            if room == 0 {
                break;
            }
            if next.is_sealed() {
                self.settle_one(next.id.into(), sweep).await;
                due.next();
                continue;
            }
            let mut commands = Vec::new();
            while commands.len() < room.min(MOST_TOGETHER)
                && let Some(one) = due.next_if(|one| !one.is_sealed())
            {
                commands.push(Command::new(one.id.into(), None, Wish::Settle));
            }
            let fates = group::together(self, &commands).await;
            for (fate, command) in fates.into_iter().zip(commands) {
                match fate {
                    Some(answer) => sweep.note(command.auction, answer.and_then(settlement)),
                    None => passed_over.push(command.auction.get()),
                }
            }
        }
        passed_over
    }

    /// Settles those that were passed over and that nobody has settled meanwhile, and waits for their locks.
    async fn settle_still_due(
        &self,
        now: Micros,
        passed_over: Vec<i64>,
        limit: u64,
        sweep: &mut Sweep,
    ) -> Result<(), Error> {
        for ids in passed_over.chunks(MOST_TOGETHER) {
            let still = is_due(now).filter(auction::Column::Id.is_in(ids.iter().copied()));
            let still: Vec<i64> = still.into_tuple().all(&Detached(&self.db)).await?;
            for id in still {
                if count(sweep) == limit {
                    sweep.more = true;
                    return Ok(());
                }
                self.settle_one(id.into(), sweep).await;
            }
        }
        Ok(())
    }

    async fn settle_one(&self, id: AuctionId, sweep: &mut Sweep) {
        let settled = loop {
            match self.settle(id).await {
                // Sealed bids are released batch by batch.
                Ok(settlement) if settlement.releasing => {}
                settled => break settled,
            }
        };
        sweep.note(id, settled);
    }

    /// The next auction after `last` whose sealed bids are being released.
    async fn releasing(&self, last: i64) -> Result<Option<i64>, Error> {
        let releasing = auction::Entity::find()
            .select_only()
            .column(auction::Column::Id)
            .filter(
                auction::Column::State
                    .is_in([auction::State::Settling, auction::State::Cancelling]),
            )
            .filter(auction::Column::Id.gt(last))
            .order_by_asc(auction::Column::Id)
            .limit(1);
        Ok(releasing.into_tuple().one(&Detached(&self.db)).await?)
    }

    /// Some auctions that are due, by their original end and their id, after the `last` one.
    async fn due(&self, now: Micros, last: Option<(i64, i64)>) -> Result<Vec<Due>, Error> {
        let mut due = is_due(now)
            .column(auction::Column::OriginalEndsAt)
            .column(auction::Column::Pricing)
            .order_by_asc(auction::Column::OriginalEndsAt)
            .order_by_asc(auction::Column::Id)
            .limit(100);
        if let Some((ends_at, id)) = last {
            let same_end =
                auction::Column::OriginalEndsAt.eq(ends_at).and(auction::Column::Id.gt(id));
            due = due.filter(auction::Column::OriginalEndsAt.gt(ends_at).or(same_end));
        }
        let rows: Vec<(i64, i64, auction::Pricing)> =
            due.into_tuple().all(&Detached(&self.db)).await?;
        Ok(rows.into_iter().map(|(id, ends_at, pricing)| Due { id, ends_at, pricing }).collect())
    }
}

/// How many auctions are settled in one unit of work.
const MOST_TOGETHER: usize = 50;

/// An auction that is due.
#[derive(Clone, Copy, Debug)]
struct Due {
    id: i64,
    /// Its original end.
    ends_at: i64,
    pricing: auction::Pricing,
}

impl Due {
    fn is_sealed(&self) -> bool {
        matches!(self.pricing, auction::Pricing::FirstPrice | auction::Pricing::SecondPrice)
    }
}

/// The ids of the auctions that are due.
fn is_due(now: Micros) -> Select<auction::Entity> {
    let open =
        auction::Column::State.eq(auction::State::Open).and(auction::Column::EndsAt.lte(now.get()));
    let window =
        Expr::col(auction::Column::EndsAt).add(Expr::col(auction::Column::AcceptanceWindow));
    let awaiting =
        auction::Column::State.eq(auction::State::AwaitingSeller).and(window.lte(now.get()));
    auction::Entity::find()
        .select_only()
        .column(auction::Column::Id)
        .filter(
            auction::Column::State.is_in([auction::State::Open, auction::State::AwaitingSeller]),
        )
        .filter(auction::Column::OriginalEndsAt.lte(now.get()))
        .filter(open.or(awaiting))
}

fn count(sweep: &Sweep) -> u64 {
    u64::try_from(sweep.settled.len()).unwrap_or(u64::MAX)
}

/// What a sweep has settled: [`AuctionLedger::settle_due`].
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "auctions that could not be settled are told here and nowhere else"]
pub struct Sweep {
    /// What this sweep has settled.
    pub settled: Vec<Settlement>,
    /// What could not be settled, and why. The next sweep tries again.
    pub failed: Vec<(AuctionId, Error)>,
    /// Whether the limit was reached, so that more may be due. Never true if nothing was settled.
    pub more: bool,
}

impl Sweep {
    /// Takes down what became of an auction.
    fn note(&mut self, auction: AuctionId, settled: Result<Settlement, Error>) {
        match settled {
            Ok(settlement) if settlement.repeated => {}
            Ok(settlement) => self.settled.push(settlement),
            // Somebody has settled or cancelled it meanwhile.
            Err(Error::Rejected(Rejection::Closed { .. })) => {}
            Err(error) => {
                tracing::error!(%auction, %error, "an auction could not be settled");
                self.failed.push((auction, error));
            }
        }
    }
}
