//! Events on their way to the sinks.
//!
//! 1. A ticket is drawn while the auction's row is locked, so tickets of one auction are in the order of `seq`.
//! 2. The commit fills the ticket; a ticket that is dropped, because its command was rolled back, is void. Where the commit
//!    got no answer the line waits until it is known what became of it, or until the verb gives up.
//! 3. Events leave an auction's line from the front only, and stop before a ticket that is neither filled nor void.
//! 4. The events go to the sinks of the ledger that carried the command out; clones with other sinks share the lines.
//! 5. Each sink has a bounded queue and a task of its own. A full queue drops the event, and the gap is told in its
//!    place.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio::sync::mpsc;

use crate::event::AuctionEvent;
use crate::id::AuctionId;
use crate::sink::EventSink;
use crate::unit_of_work::UnitOfWork;

/// The sinks of one ledger.
#[derive(Clone, Default)]
pub(super) struct Dispatch {
    queues: Vec<Queue>,
    lines: Arc<Mutex<Lines>>,
}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dispatch").field("sinks", &self.queues.len()).finish()
    }
}

/// The tickets of every auction that has any under way.
#[derive(Default)]
struct Lines {
    next: u64,
    by_auction: HashMap<AuctionId, VecDeque<Ticket>>,
}

struct Ticket {
    number: u64,
    state: TicketState,
    queues: Vec<Queue>,
}

enum TicketState {
    Drawn,
    Filled(Vec<AuctionEvent>),
    Void,
}

/// The right to a place in an auction's line. Dropped, it makes the ticket void.
struct Place {
    dispatch: Dispatch,
    auction: AuctionId,
    number: u64,
}

impl Place {
    fn fill(self, events: Vec<AuctionEvent>) {
        self.dispatch.set(self.auction, self.number, TicketState::Filled(events));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After `fill` the ticket has left the line, or is filled: both are past being made void.
        self.dispatch.set(self.auction, self.number, TicketState::Void);
    }
}

/// Events that wait for their commit. They are told once; when the last clone is dropped untold, their ticket is void.
#[derive(Clone)]
pub(super) struct Telling(Arc<Mutex<Option<Waiting>>>);

struct Waiting {
    place: Place,
    events: Vec<AuctionEvent>,
}

impl Telling {
    /// Call it when the commit is known to have happened.
    pub(super) fn tell(&self) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Waiting { place, events }) = waiting {
            place.fill(events);
        }
    }
}

impl std::fmt::Debug for Telling {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Telling")
    }
}

impl Dispatch {
    pub(super) fn add(&mut self, sink: impl EventSink, capacity: usize) {
        self.queues.push(Queue::new(Arc::new(sink), capacity));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Sends the events of one command to the sinks once `uow` is committed. Call it under the auction's lock.
    pub(super) fn stage(
        &self,
        uow: &UnitOfWork,
        auction: AuctionId,
        events: Vec<AuctionEvent>,
    ) -> Option<Telling> {
        if self.is_empty() {
            return None;
        }
        self.queues.iter().for_each(Queue::start);
        let waiting = Waiting { place: self.draw(auction), events };
        let telling = Telling(Arc::new(Mutex::new(Some(waiting))));
        let staged = telling.clone();
        uow.stage(move || staged.tell());
        Some(telling)
    }

    fn draw(&self, auction: AuctionId) -> Place {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let number = lines.next;
        lines.next = number.wrapping_add(1);
        lines.by_auction.entry(auction).or_default().push_back(Ticket {
            number,
            state: TicketState::Drawn,
            queues: self.queues.clone(),
        });
        Place { dispatch: self.clone(), auction, number }
    }

    fn set(&self, auction: AuctionId, number: u64, state: TicketState) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.by_auction.get_mut(&auction) else {
            return;
        };
        if let Some(ticket) = line.iter_mut().find(|ticket| ticket.number == number)
            && matches!(ticket.state, TicketState::Drawn)
        {
            ticket.state = state;
        }
        while let Some(ticket) = line.pop_front() {
            match ticket.state {
                TicketState::Drawn => {
                    line.push_front(ticket);
                    break;
                }
                TicketState::Void => {}
                TicketState::Filled(events) => {
                    for event in events {
                        ticket.queues.iter().for_each(|queue| queue.push(event.clone()));
                    }
                }
            }
        }
        if line.is_empty() {
            lines.by_auction.remove(&auction);
        }
    }
}

/// The queue of one sink. Its task ends when the last clone of the ledger is dropped.
#[derive(Clone)]
struct Queue {
    sender: mpsc::Sender<Item>,
    /// How many events have not found room since the last gap was told.
    missed: Arc<AtomicU64>,
    /// What the task needs, until it is started: a ledger may be made outside a runtime.
    idle: Arc<Mutex<Option<Worker>>>,
}

/// What waits in a queue.
enum Item {
    Event(AuctionEvent),
    Missed(u64),
}

struct Worker {
    sink: Arc<dyn EventSink>,
    items: mpsc::Receiver<Item>,
    missed: Arc<AtomicU64>,
}

impl Queue {
    fn new(sink: Arc<dyn EventSink>, capacity: usize) -> Self {
        // One place more than asked for: a gap is told by an item of its own.
        let (sender, items) = mpsc::channel(capacity.clamp(1, MOST_ITEMS).saturating_add(1));
        let missed = Arc::new(AtomicU64::new(0));
        let worker = Worker { sink, items, missed: Arc::clone(&missed) };
        Self { sender, missed, idle: Arc::new(Mutex::new(Some(worker))) }
    }

    fn start(&self) {
        let worker = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            tokio::spawn(worker.run());
        }
    }

    fn push(&self, event: AuctionEvent) {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        // One place is kept free, so that the notice of a gap always finds room where the gap is.
        let Ok(mut room) = self.sender.try_reserve_many(2) else {
            self.missed.fetch_add(missed.saturating_add(1), Ordering::Relaxed);
            return;
        };
        if missed > 0
            && let Some(place) = room.next()
        {
            place.send(Item::Missed(missed));
        }
        if let Some(place) = room.next() {
            place.send(Item::Event(event));
        }
    }
}

/// More than any host waits for, and less than a channel can count.
const MOST_ITEMS: usize = 1 << 24;

impl Worker {
    /// What waits next; in an empty queue, the gap after all that was in it.
    async fn next(&mut self) -> Option<Item> {
        if let Ok(item) = self.items.try_recv() {
            return Some(item);
        }
        match self.missed.swap(0, Ordering::Relaxed) {
            0 => self.items.recv().await,
            missed => Some(Item::Missed(missed)),
        }
    }

    async fn run(mut self) {
        while let Some(item) = self.next().await {
            let delivery = AssertUnwindSafe(async {
                match &item {
                    Item::Event(event) => self.sink.deliver(event).await,
                    Item::Missed(count) => {
                        self.sink.missed(*count).await;
                        Ok(())
                    }
                }
            });
            match delivery.catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a sink failed"),
                Err(_) => tracing::error!("a sink panicked"),
            }
        }
    }
}
