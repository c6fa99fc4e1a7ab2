//! Where events go after the commit.
//!
//! The crate opens no socket and picks no broker: an [`EventSink`] hands events to the host's transport.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::event::AuctionEvent;
use crate::id::UserId;

/// Where events go after the commit.
///
/// Within one process a sink gets the events of an auction in the order of `seq` and `index`, one at a time, from a task of
/// its own behind a bounded queue. It never delays a verb and never changes its result: an error or a panic is logged, and
/// the next event comes. Delivery is at most once: what finds the queue full is not delivered, and counted.
///
/// # Example: to a channel of the host
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use auction_ledger_migration::{Migrator, MigratorTrait};
/// use auction_ledger::{AuctionEvent, AuctionLedger, AuctionTerms, Currency, EventKind, EventSink, SinkError};
/// use tokio::sync::mpsc;
///
/// struct Channel(mpsc::Sender<AuctionEvent>);
///
/// #[async_trait::async_trait]
/// impl EventSink for Channel {
///     async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
///         Ok(self.0.send(event.clone()).await?)
///     }
/// }
///
/// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
/// # Migrator::up(&db, None).await?;
/// let (sender, mut events) = mpsc::channel(16);
/// let ledger = AuctionLedger::new(db).sink(Channel(sender));
/// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into()).ends_in(Duration::from_secs(60));
/// let auction = ledger.open_auction("sam", "brass telescope", terms).await?;
///
/// let event = events.recv().await.unwrap();
/// assert_eq!((event.auction, event.seq), (auction.id, 1));
/// assert!(matches!(event.kind, EventKind::Opened { .. }));
/// # Ok(()) }
/// ```
#[async_trait]
pub trait EventSink: Send + Sync + 'static {
    /// Hands one event on.
    ///
    /// # Errors
    ///
    /// Anything; it is logged.
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError>;

    /// Tells that `count` events were not delivered because the queue was full. The default logs it.
    async fn missed(&self, count: u64) {
        tracing::warn!(count, "a sink was too slow: events were not delivered");
    }
}

/// What a sink may fail with.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// A sink that gives events to everybody who has subscribed, in this process: the public ones to all, and those for one
/// user to the readers of that user.
///
/// A clone has the same subscribers.
///
/// # Example: a reader that knows when it is too slow
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use auction_ledger_migration::{Migrator, MigratorTrait};
/// use auction_ledger::{AuctionLedger, AuctionTerms, BroadcastSink, Currency};
///
/// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
/// # Migrator::up(&db, None).await?;
/// let sink = BroadcastSink::new(64);
/// let mut reader = sink.subscribe();
/// let ledger = AuctionLedger::new(db).sink(sink);
/// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into()).ends_in(Duration::from_secs(60));
/// ledger.open_auction("sam", "brass telescope", terms).await?;
///
/// assert_eq!(reader.recv().await?.seq, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct BroadcastSink {
    sender: broadcast::Sender<Told>,
    /// The number of the next event. Missed events have numbers too, so that every reader can count its gaps.
    next: Arc<Mutex<u64>>,
}

/// What is told to the readers: an event and its number, or only the number of the next one.
#[derive(Clone, Debug)]
struct Told {
    number: u64,
    event: Option<AuctionEvent>,
}

impl BroadcastSink {
    /// A sink that keeps up to `capacity` events, at least one and at most 2^16, for its slowest reader. Their
    /// places are allocated at once.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity.clamp(1, 1 << 16)), next: Arc::default() }
    }

    /// A reader of the public events that come from now on.
    #[must_use]
    pub fn subscribe(&self) -> EventReader {
        self.reader(None)
    }

    /// A reader of the events that come from now on, the public ones and those for `user`. Give it to nobody else.
    #[must_use]
    pub fn subscribe_for(&self, user: impl Into<UserId>) -> EventReader {
        self.reader(Some(user.into()))
    }

    fn reader(&self, user: Option<UserId>) -> EventReader {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        EventReader { receiver: self.sender.subscribe(), user, next: *next, waiting: None }
    }

    /// Tells of `count` numbers, of which the last may be an event. Without a reader there is nobody to tell, which is no
    /// failure.
    fn tell(&self, count: u64, event: Option<AuctionEvent>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let after = next.saturating_add(count);
        let number = if event.is_some() { *next } else { after };
        *next = after;
        _ = self.sender.send(Told { number, event });
    }
}

#[async_trait]
impl EventSink for BroadcastSink {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        self.tell(1, Some(event.clone()));
        Ok(())
    }

    async fn missed(&self, count: u64) {
        self.tell(count, None);
    }
}

/// One reader of a [`BroadcastSink`].
#[derive(Debug)]
pub struct EventReader {
    receiver: broadcast::Receiver<Told>,
    user: Option<UserId>,
    /// The number of the event that comes next, if none is missed.
    next: u64,
    /// An event that has come after a gap, which is told first.
    waiting: Option<AuctionEvent>,
}

impl EventReader {
    /// Waits for the next event that this reader may see.
    ///
    /// # Errors
    ///
    /// [`EventReaderError::Lagged`]: events were dropped here, and the next call goes on after them; read the auction anew.
    /// [`EventReaderError::Closed`]: the sink is gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Result<AuctionEvent, EventReaderError> {
        loop {
            if let Some(event) = self.waiting.take() {
                return Ok(event);
            }
            let Told { number, event } = match self.receiver.recv().await {
                Ok(told) => told,
                // The number of what comes next tells how many were dropped.
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return Err(EventReaderError::Closed),
            };
            let missed = number.saturating_sub(self.next);
            self.next = number.saturating_add(u64::from(event.is_some()));
            self.waiting = event.filter(|event| {
                event.recipient().is_none_or(|user| Some(user) == self.user.as_ref())
            });
            if missed > 0 {
                return Err(EventReaderError::Lagged { missed });
            }
        }
    }
}

/// Why an [`EventReader`] has no event to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventReaderError {
    /// The reader, or the sink, was too slow.
    #[error("{missed} events were missed")]
    Lagged {
        /// How many events were dropped.
        missed: u64,
    },
    /// The sink is gone.
    #[error("there will be no more events")]
    Closed,
}

/// A sink that keeps every event, for tests.
///
/// A clone has the same events.
#[cfg(feature = "testing")]
#[derive(Clone, Debug, Default)]
pub struct RecordingSink(Arc<Recorded>);

#[cfg(feature = "testing")]
#[derive(Debug, Default)]
struct Recorded {
    events: Mutex<Vec<AuctionEvent>>,
    grown: tokio::sync::Notify,
}

#[cfg(feature = "testing")]
impl RecordingSink {
    /// A sink without events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The events so far, in the order of their delivery.
    #[must_use]
    pub fn events(&self) -> Vec<AuctionEvent> {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until there are at least `count` events, and returns them all.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn wait_for(&self, count: usize) -> Vec<AuctionEvent> {
        loop {
            let grown = self.0.grown.notified();
            let events = self.events();
            if events.len() >= count {
                return events;
            }
            grown.await;
        }
    }
}

#[cfg(feature = "testing")]
#[async_trait]
impl EventSink for RecordingSink {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        self.0.grown.notify_waiters();
        Ok(())
    }
}
