//! Events on their way to the sinks.
//!
//! 1. A ticket is drawn while the auction's row is locked, so tickets of one auction are in the order of `seq`.
//! 2. The commit fills the ticket; a ticket that is dropped, because its command was rolled back or its commit is unknown,
//!    is void.
//! 3. Events leave an auction's line from the front only, and stop before a ticket that is neither filled nor void.
//! 4. Each sink has a bounded queue and a task of its own. A full queue drops the event and counts it.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio::sync::mpsc;

use crate::event::{AuctionEvent, EventSink};
use crate::id::AuctionId;
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

impl Dispatch {
    pub(super) fn add(&mut self, sink: impl EventSink, capacity: usize) {
        self.queues.push(Queue::new(Arc::new(sink), capacity));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Sends the events of one command to the sinks once `uow` is committed. Call it under the auction's lock.
    pub(super) fn stage(&self, uow: &UnitOfWork, auction: AuctionId, events: Vec<AuctionEvent>) {
        if self.is_empty() {
            return;
        }
        self.queues.iter().for_each(Queue::start);
        let place = self.draw(auction);
        uow.stage(move || place.fill(events));
    }

    fn draw(&self, auction: AuctionId) -> Place {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let number = lines.next;
        lines.next = number.wrapping_add(1);
        lines
            .by_auction
            .entry(auction)
            .or_default()
            .push_back(Ticket { number, state: TicketState::Drawn });
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
                        self.queues.iter().for_each(|queue| queue.push(event.clone()));
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
    sender: mpsc::Sender<AuctionEvent>,
    missed: Arc<AtomicU64>,
    /// What the task needs, until it is started: a ledger may be made outside a runtime.
    idle: Arc<Mutex<Option<Worker>>>,
}

struct Worker {
    sink: Arc<dyn EventSink>,
    events: mpsc::Receiver<AuctionEvent>,
    missed: Arc<AtomicU64>,
}

impl Queue {
    fn new(sink: Arc<dyn EventSink>, capacity: usize) -> Self {
        let (sender, events) = mpsc::channel(capacity.max(1));
        let missed = Arc::new(AtomicU64::new(0));
        let worker = Worker { sink, events, missed: Arc::clone(&missed) };
        Self { sender, missed, idle: Arc::new(Mutex::new(Some(worker))) }
    }

    fn start(&self) {
        let worker = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            tokio::spawn(worker.run());
        }
    }

    fn push(&self, event: AuctionEvent) {
        if self.sender.try_send(event).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Worker {
    async fn run(mut self) {
        while let Some(event) = self.events.recv().await {
            let sink = &self.sink;
            let missed = self.missed.swap(0, Ordering::Relaxed);
            let delivery = AssertUnwindSafe(async {
                if missed > 0 {
                    sink.missed(missed).await;
                }
                sink.deliver(&event).await
            });
            match delivery.catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(auction = %event.auction, seq = event.seq, %error, "a sink failed");
                }
                Err(_) => {
                    tracing::error!(auction = %event.auction, seq = event.seq, "a sink panicked")
                }
            }
        }
    }
}
