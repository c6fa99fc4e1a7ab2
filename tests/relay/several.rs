//! Several relays of one name share the auctions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use auction_ledger::{AuctionEvent, AuctionId, AuctionLedger, EventSink, SinkError};
use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
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
        let late = ledger.relay("mail", Gated { gate: Arc::clone(&gate), refused: None })?;
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

    /// What ends at the same time is written down together, each in its own way.
    async fn of_what_ends_together_each_is_written_down_as_it_is(world: &World) {
        let (ledger, _) = ledger(world);
        let [one, refused, lost, over, another] =
            [open(&ledger).await?, open(&ledger).await?, open(&ledger).await?, open(&ledger).await?, open(&ledger).await?];
        ledger.cancel(over).await?;
        let gate = Arc::new(Semaphore::new(0));
        let sink = Gated { gate: Arc::clone(&gate), refused: Some(refused) };
        let relay = ledger.relay("mail", sink)?.attempts(1);
        let delivering = tokio::spawn(async move { relay.deliver().await });
        until("all are taken", async || super::desk::count(world, LEASES).await.unwrap() == 5).await;
        let loses = format!("UPDATE al_relay SET lease = NULL, due_at = 0 WHERE auction_id = {lost}");
        world.db().execute_unprepared(&loses).await?;
        gate.add_permits(100);
        let relayed = delivering.await??;
        assert!(relayed.delivered >= 5, "{relayed:?}");
        assert_eq!((relayed.refused, relayed.parked), (1, 1));

        let notebook = Notebook::new();
        let relay = ledger.relay("mail", notebook.clone())?;
        relay.deliver().await?;
        for auction in [one, refused, over, another] {
            assert_eq!(notebook.of(auction), []);
        }
        // The one that had it lost may have taken it again itself.
        assert_eq!(relayed.delivered + notebook.of(lost).len() as u64, 6);
        let parked = relay.parked().await?;
        assert_eq!(parked.iter().map(|parked| (parked.auction, &*parked.reason)).collect::<Vec<_>>(), [(refused, "no way")]);
        assert_eq!(super::desk::count(world, "SELECT COUNT(*) FROM al_relay WHERE finished").await?, 1);
        assert_eq!(super::desk::count(world, LEASES).await?, 0);
    }

    /// There are more behind than it has room for, and hints never end: they come in turn.
    async fn hints_keep_nobody_waiting_who_is_behind(world: &World) {
        let (ledger, _) = ledger(world);
        let mut auctions = Vec::new();
        for _ in 0..6 {
            auctions.push(open(&ledger).await?);
        }
        let hinted = ledger.events(auctions[0]).await?.remove(0);
        let notebook = Notebook::new();
        let relay = ledger.relay("mail", notebook.clone())?.at_once(1).poll(Duration::from_secs(3_600));
        let hint = relay.hint();
        let hints = tokio::spawn(async move {
            loop {
                hint.deliver(&hinted).await.expect("it takes all");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let running = Running::start(relay);
        notebook.wait_for(6).await;
        hints.abort();
        assert_eq!(running.stop().await.delivered, 6);
        for auction in auctions {
            assert_eq!(notebook.of(auction), [(1, 0)]);
        }
    }
}

const LEASES: &str = "SELECT COUNT(*) FROM al_relay WHERE lease IS NOT NULL";

/// Takes an event for each permit, but those of an auction that it refuses.
struct Gated {
    gate: Arc<Semaphore>,
    refused: Option<AuctionId>,
}

#[async_trait::async_trait]
impl EventSink for Gated {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        self.gate.acquire().await?.forget();
        if self.refused == Some(event.auction) {
            return Err("no way".into());
        }
        Ok(())
    }
}
