//! Relays: every event arrives, at least once and in order, whatever happens.

mod deliveries;
mod desk;
mod killed;
mod refusals;
mod several;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use auction_ledger::{
    AuctionEvent, AuctionId, AuctionLedger, AuctionTerms, Currency, Error, EventSink, ManualClock,
    Relay, Relayed, SinkError,
};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::World;

const WON: Currency = Currency::KRW;

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

/// A ledger whose clock stands still, so that no lease ever runs out by itself.
fn ledger(world: &World) -> (AuctionLedger, ManualClock) {
    let clock = ManualClock::new(start());
    (AuctionLedger::new(world.db().clone()).clock(clock.clone()), clock)
}

/// Start price 10, increment 1, an hour.
async fn open(ledger: &AuctionLedger) -> Result<AuctionId, Error> {
    let terms = AuctionTerms::english(WON, 10.into(), 1.into()).ends_in(Duration::from_secs(3_600));
    Ok(ledger.open_auction("sam", "a thing", terms).await?.id)
}

async fn charge(ledger: &AuctionLedger, users: &[&str]) -> Result<(), Error> {
    for user in users {
        ledger.deposit(*user, WON, 1_000_000.into()).await?;
    }
    Ok(())
}

/// Two bidders outbid each other, each bid one more than the one before.
async fn bids(ledger: &AuctionLedger, auction: AuctionId, count: i64) -> Result<(), Error> {
    for _ in 0..count {
        let now = ledger.auction(auction).await?;
        let user =
            if now.leader.is_some_and(|leader| leader.as_str() == "ann") { "bob" } else { "ann" };
        ledger.place_bid(auction, user, now.next_minimum.expect("it is open")).await?;
    }
    Ok(())
}

/// What a sink answers.
type Answer = Box<dyn Fn(&AuctionEvent) -> Result<(), SinkError> + Send + Sync>;

/// Keeps what it has accepted, and asks somebody what to accept.
#[derive(Clone)]
struct Notebook {
    accepted: Arc<Mutex<Vec<AuctionEvent>>>,
    answer: Arc<Answer>,
}

impl Notebook {
    fn new() -> Self {
        Self::that_answers(|_| Ok(()))
    }

    fn that_answers(
        answer: impl Fn(&AuctionEvent) -> Result<(), SinkError> + Send + Sync + 'static,
    ) -> Self {
        Self { accepted: Arc::default(), answer: Arc::new(Box::new(answer)) }
    }

    fn accepted(&self) -> Vec<AuctionEvent> {
        self.accepted.lock().unwrap().clone()
    }

    /// The numbers of what it has accepted of an auction.
    fn of(&self, auction: AuctionId) -> Vec<(i64, u32)> {
        let accepted = self.accepted();
        let of = accepted.iter().filter(|event| event.auction == auction);
        of.map(|event| (event.seq, event.index)).collect()
    }

    /// Waits until it has accepted so many.
    async fn wait_for(&self, count: usize) {
        until("the events have arrived", async || self.accepted().len() >= count).await;
    }
}

#[async_trait]
impl EventSink for Notebook {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        (self.answer)(event)?;
        self.accepted.lock().unwrap().push(event.clone());
        Ok(())
    }
}

/// Waits for what is to come soon.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), waiting).await;
    waited.unwrap_or_else(|_| panic!("it never came to this: {what}"));
}

/// Never done with an event.
struct Stuck;

#[async_trait]
impl EventSink for Stuck {
    async fn deliver(&self, _: &AuctionEvent) -> Result<(), SinkError> {
        std::future::pending().await
    }
}

/// A relay that runs in a task of its own.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Relayed>,
}

impl Running {
    fn start(relay: Relay) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move { relay.run(async move { _ = stopped.await }).await });
        Self { stop, task }
    }

    async fn stop(self) -> Relayed {
        _ = self.stop.send(());
        self.task.await.expect("it does not panic")
    }
}

/// All events of these auctions, whomever they are for, as they can be read back.
async fn all_of(
    ledger: &AuctionLedger,
    auctions: &[AuctionId],
) -> Result<BTreeMap<AuctionId, Vec<(i64, u32)>>, Error> {
    let mut all = BTreeMap::new();
    for auction in auctions {
        let mut numbers = std::collections::BTreeSet::new();
        for user in ["ann", "bob", "cid", "dan"] {
            let events = ledger.events(*auction).limit(1_000_000).for_user(user).await?;
            numbers.extend(events.iter().map(|event| (event.seq, event.index)));
        }
        all.insert(*auction, numbers.into_iter().collect());
    }
    Ok(all)
}
