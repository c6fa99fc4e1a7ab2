//! Several relays of one name share the auctions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use auction_ledger::{AuctionEvent, AuctionLedger, EventSink, SinkError};
use chrono::TimeDelta;
use tokio::sync::Semaphore;

use super::{Notebook, Running, Stuck, all_of, bids, charge, ledger, open, until};
use crate::support::{Database, on_every_backend, race, scale};

on_every_backend! {
    /// Under load, each from a pool of its own: nobody gets what another one gets, and of each auction all comes in order.
    async fn together_they_deliver_everything_once(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"]).await?;
        let notebook = Notebook::new();
        let mut running = Vec::new();
        for _ in 0..3 {
            let pool = world.connect(3).await;
            let relay = AuctionLedger::new(pool).clock(clock.clone()).relay("mail", notebook.clone())?;
            running.push(Running::start(relay.poll(Duration::from_millis(5)).at_once(4)));
        }
        let rounds = scale(if world.database() == Database::Sqlite { 15 } else { 40 }) as i64;
        let auctions = race(4, |_| {
            let ledger = ledger.clone();
            async move {
                let auction = open(&ledger).await?;
                for _ in 0..rounds {
                    bids(&ledger, auction, 2).await?;
                }
                Ok::<_, auction_ledger::Error>(auction)
            }
        })
        .await;
        let auctions = auctions.into_iter().collect::<Result<Vec<_>, _>>()?;
        let all = all_of(&ledger, &auctions).await?;
        notebook.wait_for(all.values().map(Vec::len).sum()).await;
        let mut delivered = 0;
        for relay in running {
            delivered += relay.stop().await.delivered as usize;
        }
        assert_eq!(delivered, notebook.accepted().len());
        for auction in auctions {
            assert_eq!(notebook.of(auction), all[&auction]);
        }
    }

    /// What one has taken is left alone by the others, until its lease has run out.
    async fn what_somebody_is_at_is_left_alone(world: &World) {
        let (ledger, clock) = ledger(world);
        let first = open(&ledger).await?;
        let stuck = ledger.relay("mail", Stuck)?.lease(Duration::from_secs(30));
        let task = tokio::spawn(async move { stuck.deliver().await });
        until("it has taken the auction", async || super::desk::count(world, LEASES).await.unwrap() > 0).await;
        let notebook = Notebook::new();
        let relay = ledger.relay("mail", notebook.clone())?;
        let second = open(&ledger).await?;
        relay.deliver().await?;
        assert_eq!(notebook.accepted().iter().map(|event| event.auction).collect::<BTreeSet<_>>(), [second].into());
        // It is gone, and says nothing any more.
        task.abort();
        clock.advance(TimeDelta::seconds(30) - TimeDelta::microseconds(1));
        assert_eq!(relay.deliver().await?.delivered, 0);
        clock.advance(TimeDelta::microseconds(1));
        assert_eq!(relay.deliver().await?.delivered, 1);
        assert_eq!(notebook.of(first), [(1, 0)]);
    }

    /// Its lease has run out while it was at an event: what another one has written down meanwhile stays.
    async fn whoever_comes_back_late_changes_nothing(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"]).await?;
        let auction = open(&ledger).await?;
        let gate = Arc::new(Semaphore::new(0));
        let late = ledger.relay("mail", Gated { gate: Arc::clone(&gate) })?;
        let late = tokio::spawn(async move { late.deliver().await });
        until("it is at its event", async || super::desk::count(world, LEASES).await.unwrap() > 0).await;
        clock.advance(TimeDelta::minutes(2));
        bids(&ledger, auction, 2).await?;
        let notebook = Notebook::new();
        let relay = ledger.relay("mail", notebook.clone())?;
        relay.deliver().await?;
        gate.add_permits(100);
        assert_eq!(late.await??.delivered, 1);
        assert_eq!(relay.deliver().await?.delivered, 0, "nothing was set back");
        assert_eq!(notebook.of(auction), [(1, 0), (2, 0), (3, 0), (3, 1), (3, 2)]);
    }
}

const LEASES: &str = "SELECT COUNT(*) FROM al_relay WHERE lease IS NOT NULL";

/// Takes an event for each permit.
struct Gated {
    gate: Arc<Semaphore>,
}

#[async_trait::async_trait]
impl EventSink for Gated {
    async fn deliver(&self, _: &AuctionEvent) -> Result<(), SinkError> {
        self.gate.acquire().await?.forget();
        Ok(())
    }
}
