//! Events that arrive, whatever happens to the process that caused them.
//!
//! A relay needs nothing from the write path. It finds auctions that have come further than it has, makes their events from the
//! rows that are there anyway ([`events`](super::events)), hands them to its sink in their order, and writes down how far it has come:
//!
//! 1. It takes auctions under a lease: a short unit of work marks them with whoever takes them, and passes over what others have
//!    locked. No transaction is open while a sink is at work.
//! 2. Nothing is handed over once the lease has run out; then somebody else may be at it. An auction is given back before, and
//!    taken again.
//! 3. What was delivered is written down if the lease is still the own one. If not, it is delivered again.
//! 4. There is no cursor over all auctions, for numbers are given out in an order in which they are not committed. What is
//!    behind is found by comparing each auction with its row of the relay.

mod at_work;
mod delivery;
mod desk;
mod line;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{self, Either, select};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::at_work::AtWork;
pub use self::desk::{Lag, Parked};
use super::AuctionLedger;
use crate::error::{self, Error};
use crate::event::AuctionEvent;
use crate::id::AuctionId;
use crate::sink::{EventSink, SinkError};

/// Delivers every event of every auction to one sink, at least once: [`AuctionLedger::relay`].
///
/// A sink of a ledger is told at most once, right after the commit, and nothing if the process dies there. A relay is told by the
/// database: whatever is committed will arrive. Each relay has a name, under which the table `al_relay` knows how far it has
/// come with each auction.
///
/// - **Order**: the events of an auction come in the order of `seq` and `index`, one at a time; those of several auctions at once.
/// - **Again**: an event comes again if the process dies, or loses the database, after it was delivered and before that was
///   written down, which happens after up to 100 commands of an auction; and if the sink was dropped in the middle of it, for it
///   took longer than the [lease](Self::lease) allows. Whoever must not do something twice keeps the last `(seq, index)` of each
///   auction.
/// - **Refused**: an event that the sink refuses comes again after a pause that doubles, and nothing after it comes before. After
///   [`attempts`](Self::attempts) refusals its auction is [parked](Self::parked) with the reason, until it is
///   [resumed](Self::resume) or the event [skipped](Self::skip). Other auctions go on.
/// - **Several processes** may run a relay of the same name: they share the auctions.
/// - **All of them**: private events too. The sink sees to it who gets what: [`AuctionEvent::recipient`].
///
/// What it costs the write path is nothing: bids write no row for it.
///
/// # Example: mails that are sent, whatever happens
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use auction_ledger_migration::{Migrator, MigratorTrait};
/// use auction_ledger::{AuctionEvent, AuctionLedger, AuctionTerms, Currency, EventSink, SinkError};
/// use tokio::sync::{mpsc, oneshot};
///
/// struct Mail(mpsc::Sender<String>);
///
/// #[async_trait::async_trait]
/// impl EventSink for Mail {
///     async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
///         if let Some(user) = event.recipient() {
///             self.0.send(user.to_string()).await?;
///         }
///         Ok(())
///     }
/// }
///
/// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
/// # Migrator::up(&db, None).await?;
/// let (sender, mut sent) = mpsc::channel(16);
/// let relay = AuctionLedger::new(db.clone()).relay("mail", Mail(sender))?;
/// // The hint wakes it at once; without, it looks once a second.
/// let ledger = AuctionLedger::new(db).sink(relay.hint());
/// let (stop, stopped) = oneshot::channel::<()>();
/// let running = tokio::spawn(async move { relay.run(async move { _ = stopped.await }).await });
///
/// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
/// ledger.deposit("bob", Currency::EUR, 100.into()).await?;
/// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into()).ends_in(Duration::from_secs(60));
/// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
/// ledger.place_bid(auction, "ann", 20.into()).await?;
/// ledger.place_bid(auction, "bob", 25.into()).await?;
///
/// assert_eq!(sent.recv().await.as_deref(), Some("ann"));
/// _ = stop.send(());
/// assert!(running.await?.delivered >= 4);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is run"]
pub struct Relay {
    ledger: AuctionLedger,
    name: Vec<u8>,
    sink: Arc<dyn EventSink>,
    hint: RelayHint,
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    poll: Duration,
    lease: Duration,
    attempts: u32,
    backoff: (Duration, Duration),
    retention: Duration,
    at_once: usize,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, settings, .. } = self;
        let name = String::from_utf8_lossy(name);
        formatter.debug_struct("Relay").field("name", &name).field("settings", settings).finish()
    }
}

/// What a [`Relay`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relayed {
    /// How many events were delivered, those that came again included.
    pub delivered: u64,
    /// How often the sink has refused one.
    pub refused: u64,
    /// How many auctions were parked.
    pub parked: u64,
}

impl Relayed {
    fn add(&mut self, other: Self) {
        self.delivered = self.delivered.saturating_add(other.delivered);
        self.refused = self.refused.saturating_add(other.refused);
        self.parked = self.parked.saturating_add(other.parked);
    }
}

/// Tells a [`Relay`] of this process that there is something to deliver: a sink for the ledgers that cause it. A hint that is
/// lost costs time, and nothing else.
#[derive(Clone, Debug, Default)]
pub struct RelayHint(Arc<Hinted>);

#[derive(Debug, Default)]
struct Hinted {
    auctions: Mutex<Waiting>,
    grown: Notify,
}

/// Auctions that somebody has told of, and the one that was taken last: those behind it come first.
#[derive(Debug, Default)]
struct Waiting {
    auctions: BTreeSet<AuctionId>,
    last: Option<AuctionId>,
}

impl RelayHint {
    fn add(&self, auctions: BTreeSet<AuctionId>) {
        if !auctions.is_empty() {
            self.lock().auctions.extend(auctions);
            self.0.grown.notify_one();
        }
    }

    /// Takes up to so many, but those that are at work: what it tells of may have come after they were read.
    fn take(&self, most: usize, at_work: &AtWork) -> BTreeSet<AuctionId> {
        let mut waiting = self.lock();
        let Waiting { auctions, last } = &mut *waiting;
        let is_behind = |auction: &&AuctionId| last.is_none_or(|last| last < **auction);
        let free = auctions.iter().filter(|auction| !at_work.has(**auction));
        let behind = free.clone().filter(is_behind);
        let before = free.filter(|auction| !is_behind(auction));
        let taken: Vec<AuctionId> = behind.chain(before).take(most).copied().collect();
        taken.iter().for_each(|auction| _ = auctions.remove(auction));
        *last = taken.last().copied().or(*last);
        taken.into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.auctions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EventSink for RelayHint {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        self.add(BTreeSet::from([event.auction]));
        Ok(())
    }

    /// The relay looks by itself, too.
    async fn missed(&self, _: u64) {}
}

impl AuctionLedger {
    /// A relay of a name of 1 to 64 bytes, that delivers to `sink`. See [`Relay`].
    ///
    /// A relay that is new begins with the first event of every auction there is; [`skip_all`](Relay::skip_all) leaves out what
    /// has happened before.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidText`] (the relay).
    pub fn relay(&self, name: impl Into<String>, sink: impl EventSink) -> Result<Relay, Error> {
        let name = name.into();
        error::relay(&name)?;
        Ok(Relay {
            ledger: self.clone(),
            name: name.into_bytes(),
            sink: Arc::new(sink),
            hint: RelayHint::default(),
            settings: Settings {
                poll: SECOND,
                lease: Duration::from_secs(60),
                attempts: 10,
                backoff: (SECOND, Duration::from_secs(300)),
                retention: Duration::from_secs(30 * 24 * 3_600),
                at_once: 32,
            },
        })
    }
}

const MOMENT: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// How often a relay looks for auctions that were opened and have ended while it did not look, and forgets what is old.
const SWEEP: Duration = Duration::from_secs(60);

impl Relay {
    /// It looks at least so often for what there is to deliver, at least a millisecond; for auctions that were opened and have
    /// ended between two looks, of which no hint has told, once a minute. Default: a second.
    ///
    /// A look reads every auction that is not over, and that once a minute every auction.
    pub fn poll(mut self, poll: Duration) -> Self {
        self.settings.poll = poll.max(MOMENT);
        self
    }

    /// Nobody else delivers an auction's events for so long after they were taken, at least a tenth of a second: so long it may
    /// take until a process that died is replaced. An event must be delivered in a quarter of it; a sink that is not done after
    /// that is dropped, which counts as a refusal. Default: 60 seconds.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.clamp(MOMENT.saturating_mul(100), YEAR);
        self
    }

    /// After so many refusals of one event, at least one, its auction is parked. Default: 10.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.settings.attempts = Ord::max(attempts, 1);
        self
    }

    /// An event that was refused comes again after `first`, then after twice as long each time, at most after `most`; both at
    /// least a millisecond. Default: one second, at most five minutes.
    pub fn backoff(mut self, first: Duration, most: Duration) -> Self {
        self.settings.backoff = (first.clamp(MOMENT, YEAR), most.clamp(MOMENT, YEAR));
        self
    }

    /// What is known of an auction that is over is forgotten so long after its last event was delivered, at least an hour.
    /// Nothing is delivered again for that: the relay remembers how far back it has forgotten. Default: 30 days.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.settings.retention = retention.clamp(HOUR, YEAR.saturating_mul(1_000));
        self
    }

    /// The events of up to so many auctions are delivered at once, at least of one. Default: 32.
    pub fn at_once(mut self, auctions: usize) -> Self {
        self.settings.at_once = auctions.clamp(1, 1_000);
        self
    }

    /// The sink that wakes this relay: add it to the ledgers of this process with [`AuctionLedger::sink`].
    #[must_use]
    pub fn hint(&self) -> RelayHint {
        self.hint.clone()
    }

    /// Runs until `stop` completes: what has been taken is finished. A database that is away is logged, and asked again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it delivers what it has taken again, after the lease. `stop` it instead.
    ///
    /// # Locking
    ///
    /// Rows of `al_relay` only, for as long as it takes to mark them.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> Relayed {
        let mut stop = pin!(stop);
        let mut done = Relayed::default();
        let mut at_work = AtWork::new();
        let (mut next_poll, mut next_sweep) = (Instant::now(), Instant::now());
        let mut was_full = false;
        loop {
            let room = self.settings.at_once.saturating_sub(at_work.len());
            let now = Instant::now();
            let is_due = next_poll <= now;
            let hinted = match is_due {
                true => BTreeSet::new(),
                false => self.hint.take(room, &at_work),
            };
            // If there was more than it had room for, it looks again, in turn with what was hinted.
            let looks = room > 0 && (is_due || was_full && hinted.is_empty());
            let taken = if looks {
                let sweeps = next_sweep <= now;
                next_poll = later(now, self.settings.poll);
                next_sweep = if sweeps { later(now, SWEEP) } else { next_sweep };
                self.look(sweeps, room).await
            } else {
                self.take_hinted(&hinted).await
            };
            match taken {
                Ok(taken) => {
                    if looks {
                        was_full = taken.len() >= room;
                    } else if was_full {
                        next_poll = now;
                    }
                    at_work.start(self, taken);
                }
                Err(error) => {
                    let relay = String::from_utf8_lossy(&self.name);
                    tracing::warn!(%error, %relay, "a relay could not look for events");
                    was_full = false;
                    next_poll = later(now, self.settings.poll.min(SECOND));
                }
            }
            let has_room = at_work.len() < self.settings.at_once;
            let woken = async {
                match has_room {
                    true => {
                        let poll = pin!(tokio::time::sleep_until(next_poll));
                        select(pin!(self.hint.0.grown.notified()), poll).await;
                    }
                    false => future::pending().await,
                }
            };
            let ended = match select(stop.as_mut(), select(pin!(at_work.next()), pin!(woken))).await
            {
                Either::Left(_) => break,
                Either::Right((Either::Left((ended, _)), _)) => Some(ended),
                Either::Right((Either::Right(_), _)) => None,
            };
            let others = std::iter::from_fn(|| at_work.next_now());
            for ended in ended.into_iter().chain(others) {
                done.add(ended.relayed);
                self.hint.add(ended.more);
            }
        }
        at_work.finish(&mut done).await;
        done
    }

    /// Delivers what there is now, and returns when nothing is left but what was refused, what is parked, and what others are
    /// at: for hosts that run it by a timer of their own.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`]: what was delivered before stays so.
    ///
    /// # Cancel safety
    ///
    /// What was taken is delivered again, after the lease.
    ///
    /// # Locking
    ///
    /// As [`run`](Self::run).
    ///
    /// # Example: once, by hand
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
    /// let relay = ledger.relay("search index", BroadcastSink::new(16))?;
    /// assert_eq!(relay.deliver().await?.delivered, 1);
    /// assert_eq!(relay.deliver().await?.delivered, 0);
    /// # Ok(()) }
    /// ```
    pub async fn deliver(&self) -> Result<Relayed, Error> {
        let mut done = Relayed::default();
        self.meet(true).await?;
        self.forget().await?;
        // What is refused is due later than this.
        let begun = self.now().await?;
        let mut unfinished = BTreeSet::new();
        loop {
            let room = self.settings.at_once.saturating_sub(unfinished.len());
            let mut behind = self.behind(begun, room).await?;
            behind.append(&mut unfinished);
            let taken = self.take(&behind).await?;
            if taken.is_empty() {
                return Ok(done);
            }
            let mut at_work = AtWork::new();
            at_work.start(self, taken);
            unfinished = at_work.finish(&mut done).await;
        }
    }
}

/// An instant so much later, a year at most.
fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by.min(YEAR)).unwrap_or(now)
}
