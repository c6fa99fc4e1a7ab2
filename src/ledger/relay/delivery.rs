//! How a relay delivers the events of what it has taken, and writes down how far it has come.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ConnectionTrait, QueryFilter};
use tokio::time::Instant;
use uuid::Uuid;

use super::at_work::Ended;
use super::line::{Taken, micros};
use super::{Relay, Relayed, later};
use crate::backend::{Detached, Dialect, Rows};
use crate::entity::relay;
use crate::error::Error;
use crate::event::AuctionEvent;
use crate::id::AuctionId;
use crate::ledger::events::{Gaps, Page};
use crate::ledger::history::Cursor;
use crate::unit_of_work::{LockWait, UnitOfWork};

/// Commands whose events are delivered before that is written down.
const PAGE: u64 = 100;

/// What was done about an auction that was taken, and is to be written down.
pub(super) struct Delivered {
    /// How far it has come, and how it goes on.
    row: relay::Model,
    lease: Uuid,
    /// How long it waits, after a refusal.
    pause: Duration,
    is_parked: bool,
    relayed: Relayed,
    /// Whether there may be more of it.
    more: bool,
}

impl Delivered {
    pub(super) fn auction(&self) -> AuctionId {
        self.row.auction_id.into()
    }
}

/// What became of what was taken.
enum End {
    /// All there was is delivered; and whether it is over.
    Delivered { is_over: bool },
    /// There may be more.
    More,
    /// The next event was refused.
    Refused { reason: String },
    /// Its events could not be read, which is no fault of the sink.
    Unread { reason: String },
}

impl Relay {
    /// Reads the next events of auctions: together, and one by one if that may have failed for one of them.
    pub(super) async fn read(&self, taken: &[Taken]) -> Vec<Result<Page, Error>> {
        let db = &Detached(&self.ledger.db);
        let next = |taken: &Taken| (taken.auction(), Cursor { after: taken.row.seq, limit: PAGE });
        let wanted: Vec<_> = taken.iter().map(next).collect();
        let error = match Page::read_all(db, &wanted, Gaps::Damage).await {
            Ok(pages) => return pages,
            Err(error) => error,
        };
        if !error.may_be_of_one() {
            return wanted.iter().map(|_| Err(error.clone())).collect();
        }
        tracing::debug!(%error, "a relay reads the events of auctions one by one");
        let mut pages = Vec::with_capacity(wanted.len());
        for (auction, cursor) in wanted {
            pages.push(Page::read(db, auction, cursor, Gaps::Damage).await);
        }
        pages
    }

    /// Delivers what was read of one auction.
    pub(super) async fn deliver_one(&self, taken: Taken, page: Result<Page, Error>) -> Delivered {
        let Taken { mut row, lease, until } = taken;
        let before = (row.seq, row.told);
        let mut relayed = Relayed::default();
        let mut end = match page {
            Ok(page) => self.deliver_page(&page, &mut row, until, &mut relayed).await,
            Err(error) => End::Unread { reason: error.to_string() },
        };
        if matches!(end, End::More) && before == (row.seq, row.told) {
            end = End::Unread { reason: "the lease has run out meanwhile".to_owned() };
        }
        if let End::Unread { reason } = &end {
            let auction = row.auction_id;
            tracing::warn!(%reason, %auction, "a relay could not read the events of an auction");
        }
        if before != (row.seq, row.told) {
            (row.attempts, row.reason) = (0, None);
        }
        let mut pause = Duration::ZERO;
        match &end {
            End::Delivered { is_over } => row.finished = *is_over,
            End::More => {}
            End::Refused { reason } | End::Unread { reason } => {
                row.attempts = row.attempts.saturating_add(1);
                row.reason = Some(short(reason));
                pause = self.pause_after(row.attempts);
            }
        }
        let mut is_parked = false;
        if matches!(end, End::Refused { .. }) {
            relayed.refused = 1;
            is_parked = row.attempts >= i64::from(self.settings.attempts);
            relayed.parked = u64::from(is_parked);
        }
        let more = matches!(end, End::More);
        Delivered { row, lease, pause, is_parked, relayed, more }
    }

    async fn deliver_page(
        &self,
        page: &Page,
        row: &mut relay::Model,
        until: Instant,
        done: &mut Relayed,
    ) -> End {
        let mut events = page.events.iter().peekable();
        while let Some(event) = events.next() {
            if i64::from(event.index) >= row.told {
                // What is left of the lease is enough for this one, and to write that down.
                let patience = self.settings.lease.checked_div(4).unwrap_or_default();
                if until < later(Instant::now(), patience.saturating_mul(2)) {
                    return End::More;
                }
                if let Err(reason) = self.hand_over(event, patience).await {
                    return End::Refused { reason };
                }
                done.delivered = done.delivered.saturating_add(1);
                row.told = i64::from(event.index).saturating_add(1);
            }
            if events.peek().is_none_or(|next| next.seq != event.seq) {
                (row.seq, row.told) = (event.seq, 0);
            }
        }
        match row.seq < page.last {
            true => End::More,
            false => End::Delivered { is_over: page.is_over },
        }
    }

    /// Hands one event to the sink.
    async fn hand_over(&self, event: &AuctionEvent, patience: Duration) -> Result<(), String> {
        let delivery = AssertUnwindSafe(async { self.sink.deliver(event).await }).catch_unwind();
        match tokio::time::timeout(patience, delivery).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(_)) => Err("the sink panicked".to_owned()),
            Err(_) => Err(format!("the sink was not done after {patience:?}")),
        }
    }

    /// How long an event waits that was refused so often.
    fn pause_after(&self, refusals: i64) -> Duration {
        let (first, most) = self.settings.backoff;
        let doublings = u32::try_from(refusals.saturating_sub(1)).unwrap_or(u32::MAX);
        let times = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        first.saturating_mul(times).min(most)
    }

    /// Writes down how far auctions have come that nobody else has taken meanwhile.
    pub(super) async fn write_down(&self, all: &[Delivered]) -> Ended {
        let written = self.written(all).await;
        let mut ended = Ended::default();
        for delivered in all {
            let auction = delivered.auction();
            ended.auctions.insert(auction);
            ended.relayed.add(delivered.relayed);
            if delivered.more && written.contains(&auction) {
                ended.more.insert(auction);
            }
        }
        ended
    }

    /// Writes together, and one by one if that may have failed for one of them; and says what was written.
    async fn written(&self, all: &[Delivered]) -> BTreeSet<AuctionId> {
        let together = self.write_together(all).await;
        if all.len() < 2 || !together.as_ref().is_err_and(Error::may_be_of_one) {
            return or_none(together);
        }
        let mut written = BTreeSet::new();
        for one in all.chunks(1) {
            written.append(&mut or_none(self.write_together(one).await));
        }
        written
    }

    async fn write_together(&self, all: &[Delivered]) -> Result<BTreeSet<AuctionId>, Error> {
        let own = self.in_short(async |uow| self.write(uow, all).await).await?;
        for late in all.iter().map(Delivered::auction).filter(|auction| !own.contains(auction)) {
            tracing::warn!(auction = %late, "a relay took longer than its lease: events are delivered again");
        }
        Ok(own)
    }

    /// Writes down what of this is still its own, and says what that was.
    async fn write(
        &self,
        uow: &UnitOfWork,
        all: &[Delivered],
    ) -> Result<BTreeSet<AuctionId>, Error> {
        let dialect = Dialect::of(uow.get_database_backend());
        let ids = all.iter().map(|delivered| delivered.row.auction_id);
        let rows = self.rows().filter(dialect.is_one_of(relay::Column::AuctionId, ids));
        let rows = uow.lock(rows, LockWait::Wait).await?;
        let leases: BTreeMap<i64, Option<Uuid>> =
            rows.into_iter().map(|row| (row.auction_id, row.lease)).collect();
        let is_own = |delivered: &&Delivered| {
            leases.get(&delivered.row.auction_id) == Some(&Some(delivered.lease))
        };
        let now = self.ledger.clock.now(uow).await?.get();
        let values = |Delivered { row, pause, is_parked, .. }: &Delivered| {
            [
                row.auction_id.into(),
                row.seq.into(),
                row.told.into(),
                row.finished.into(),
                row.attempts.into(),
                now.saturating_add(micros(*pause)).into(),
                is_parked.then_some(now).into(),
                row.reason.clone().into(),
                now.into(),
            ]
        };
        let columns = [
            relay::Column::AuctionId,
            relay::Column::Seq,
            relay::Column::Told,
            relay::Column::Finished,
            relay::Column::Attempts,
            relay::Column::DueAt,
            relay::Column::ParkedAt,
            relay::Column::Reason,
            relay::Column::ChangedAt,
        ];
        let own: Vec<&Delivered> = all.iter().filter(is_own).collect();
        let changed = own.iter().map(|delivered| values(delivered));
        for mut update in Rows::<relay::Entity>::new(columns, changed).updates(dialect) {
            let is_of_relay =
                Expr::col((relay::Entity, relay::Column::Relay)).eq(self.name.clone());
            let mine = &mut update.statement;
            mine.value(relay::Column::Lease, Option::<Uuid>::None).and_where(is_of_relay);
            uow.execute_raw(update.map(Into::into).render(Vec::new(), dialect)).await?;
        }
        Ok(own.iter().map(|delivered| delivered.auction()).collect())
    }
}

/// What was written; nothing if that failed.
fn or_none(written: Result<BTreeSet<AuctionId>, Error>) -> BTreeSet<AuctionId> {
    written.unwrap_or_else(|error| {
        tracing::warn!(%error, "a relay could not write down what it has delivered: it is delivered again");
        BTreeSet::new()
    })
}

/// A reason as it is kept: its first 500 characters, without what databases refuse.
fn short(reason: &str) -> String {
    reason
        .chars()
        .take(500)
        .map(|letter| if letter == '\0' { '\u{fffd}' } else { letter })
        .collect()
}
