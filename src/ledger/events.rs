//! The events of an auction, read back: every one of them can be had from the rows of its bids and acts.

mod read;
mod replay;

use sea_orm::ConnectionTrait;

pub(super) use self::read::Page;
pub(super) use self::replay::Gaps;
use super::AuctionLedger;
use super::history::Cursor;
use super::query::query;
use crate::error::Error;
use crate::event::AuctionEvent;
use crate::id::{AuctionId, UserId};
use crate::unit_of_work::UnitOfWork;

impl AuctionLedger {
    /// Reads the events of an auction, the oldest first: those of 100 commands, or as [`limit`](GetEvents::limit) says. They
    /// are what the [sinks](crate::EventSink) were told, event for event, whatever became of the process that told them: no event
    /// is stored, and each is made from the rows of the bids and acts that are committed. So a client that sees a gap in
    /// [`seq`](AuctionEvent::seq) asks for what it has missed.
    ///
    /// Without [`for_user`](GetEvents::for_user) they are those that everybody may see. Every command has at least one of them,
    /// so the last event that was read tells where to go on.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`], [`Error::UnknownAuction`]; then [`Error::Database`], [`Error::MigrationsMissing`],
    /// [`Error::Damaged`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost. Within a unit of work, a drop breaks its innermost block, as of every statement.
    ///
    /// # Locking
    ///
    /// None: what is committed while it reads comes with the next page. A unit of work that reads from a snapshot gets the
    /// events up to the first command that it cannot see.
    ///
    /// # Example: a client that comes back
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, EventKind};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// # let id = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// # ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// # ledger.deposit("bob", Currency::EUR, 100.into()).await?;
    /// ledger.place_bid(id, "ann", 12.into()).await?;
    /// let seen = ledger.events(id).await?.last().unwrap().seq;
    ///
    /// ledger.place_bid(id, "bob", 20.into()).await?;
    /// let missed = ledger.events(id).since(seen).await?;
    /// assert!(matches!(&missed[..], [event] if matches!(event.kind, EventKind::BidPlaced { .. })));
    ///
    /// // Ann alone is told that she leads no longer, and what is available to her again.
    /// let hers = ledger.events(id).since(seen).for_user("ann").await?;
    /// assert!(matches!(hers[1].kind, EventKind::Outbid { .. }));
    /// assert!(matches!(&hers[2].kind, EventKind::HoldReleased { amount, .. } if *amount == 12.into()));
    /// # Ok(()) }
    /// ```
    pub fn events(&self, auction: AuctionId) -> GetEvents<'_> {
        GetEvents { ledger: self, within: None, auction, user: None, cursor: Cursor::FIRST }
    }
}

/// Events to be read: [`AuctionLedger::events`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetEvents<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    auction: AuctionId,
    user: Option<UserId>,
    cursor: Cursor,
}

impl GetEvents<'_> {
    /// Only those of commands with a number greater than `seq`. Default: from the opening, which is 1.
    pub fn since(mut self, seq: i64) -> Self {
        self.cursor.after = seq;
        self
    }

    /// Those of at most so many commands, whole. Default: 100.
    pub fn limit(mut self, commands: u64) -> Self {
        self.cursor.limit = commands.min(Cursor::MOST);
        self
    }

    /// Those for `user`, too. Give them to nobody else.
    pub fn for_user(mut self, user: impl Into<UserId>) -> Self {
        self.user = Some(user.into());
        self
    }

    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Vec<AuctionEvent>, Error> {
        if let Some(user) = &self.user {
            user.validate()?;
        }
        let gaps = if self.within.is_some() { Gaps::Snapshot } else { Gaps::Damage };
        let page = Page::read(connection, self.auction, self.cursor, gaps).await?;
        let mut events = page.events;
        events.retain(|event| {
            event.recipient().is_none_or(|recipient| Some(recipient) == self.user.as_ref())
        });
        Ok(events)
    }
}

query!(GetEvents -> Vec<AuctionEvent>);
