//! What arrives when nothing goes wrong.

use std::time::Duration;

use async_trait::async_trait;
use auction_ledger::{AuctionEvent, AuctionId, AuctionLedger, EventSink, RecordingSink, SinkError};
use chrono::TimeDelta;

use super::{Notebook, Running, bids, charge, ledger, open};
use crate::support::{on_every_backend, scale, told};

on_every_backend! {
    /// To the last field, and whomever it is for.
    async fn a_relay_gets_what_the_sinks_get(world: &World) {
        let sink = RecordingSink::new();
        let (quiet, clock) = ledger(world);
        let ledger = AuctionLedger::new(world.db().clone()).clock(clock.clone()).sink(sink.clone());
        charge(&ledger, &["ann", "bob"]).await?;
        let (first, second) = (open(&ledger).await?, open(&ledger).await?);
        bids(&ledger, first, 7).await?;
        bids(&ledger, second, 1).await?;
        ledger.cancel(second).reason("broken").await?;
        clock.advance(TimeDelta::hours(1));
        ledger.settle(first).await?;

        let notebook = Notebook::new();
        let relay = quiet.relay("mail", notebook.clone())?;
        let mut told = told::everything(&ledger, &sink).await?;
        let relayed = relay.deliver().await?;
        let mut accepted = notebook.accepted();
        let mark = accepted.iter().map(|event| event.auction).max().unwrap();
        accepted.retain(|event| event.auction != mark);
        let by_auction = |event: &AuctionEvent| event.auction;
        told.sort_by_key(by_auction);
        accepted.sort_by_key(by_auction);
        assert_eq!(accepted, told);
        assert_eq!((relayed.delivered as usize, relayed.refused), (told.len() + 1, 0));
        assert_eq!(relay.deliver().await?.delivered, 0, "once is enough");
    }

    /// More commands than one page has, while the clock goes on: what is delivered is due later than when it was begun.
    async fn a_long_auction_arrives_page_by_page(world: &World) {
        let ledger = AuctionLedger::new(world.db().clone());
        charge(&ledger, &["ann", "bob"]).await?;
        let auction = open(&ledger).await?;
        let count = scale(250) as i64;
        bids(&ledger, auction, count).await?;
        let notebook = Notebook::new();
        ledger.relay("mail", notebook.clone())?.deliver().await?;
        let all = super::all_of(&ledger, &[auction]).await?;
        assert_eq!(notebook.of(auction), all[&auction]);
        assert_eq!(notebook.of(auction).last().unwrap().0, count + 1);
    }

    async fn a_hint_wakes_it_and_without_one_it_looks_by_itself(world: &World) {
        let (quiet, clock) = ledger(world);
        charge(&quiet, &["ann", "bob"]).await?;
        let hour = Duration::from_secs(3_600);
        let (hinted, looking) = (Notebook::new(), Notebook::new());
        let woken = quiet.relay("hinted", hinted.clone())?.poll(hour);
        let ledger = AuctionLedger::new(world.db().clone()).clock(clock).sink(woken.hint());
        let looker = quiet.relay("looking", looking.clone())?.poll(Duration::from_millis(20));
        let (woken, looker) = (Running::start(woken), Running::start(looker));
        let auction = open(&ledger).await?;
        hinted.wait_for(1).await;
        bids(&ledger, auction, 3).await?;
        // Two bids outbid somebody: three events each.
        hinted.wait_for(1 + 1 + 3 + 3).await;
        looking.wait_for(1 + 1 + 3 + 3).await;
        assert_eq!(hinted.of(auction), looking.of(auction));
        assert_eq!((woken.stop().await.delivered, looker.stop().await.delivered), (8, 8));
    }

    /// Opened and bought between two looks, which the states of auctions do not show any more.
    async fn an_auction_that_is_over_before_it_was_seen_is_found(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"]).await?;
        let notebook = Notebook::new();
        let relay = ledger.relay("mail", notebook.clone())?;
        relay.deliver().await?;
        let auction = open(&ledger).await?;
        ledger.cancel(auction).await?;
        assert_eq!(relay.deliver().await?.delivered, 2);
        assert_eq!(notebook.of(auction), [(1, 0), (2, 0)]);
        clock.advance(TimeDelta::days(1));
        assert_eq!(relay.deliver().await?.delivered, 0);
    }

    /// An auction that is called off while another one hangs.
    async fn what_hangs_holds_up_no_other(world: &World) {
        let (quiet, clock) = ledger(world);
        let (first, second) = (open(&quiet).await?, open(&quiet).await?);
        let sink = Hanging { notebook: Notebook::new(), auction: first };
        let relay = quiet.relay("mail", sink.clone())?.poll(Duration::from_millis(10)).at_once(2);
        let ledger = AuctionLedger::new(world.db().clone()).clock(clock).sink(relay.hint());
        let running = tokio::spawn(async move { relay.run(std::future::pending()).await });
        sink.notebook.wait_for(1).await;
        ledger.cancel(second).await?;
        sink.notebook.wait_for(2).await;
        assert_eq!(sink.notebook.of(second), [(1, 0), (2, 0)]);
        running.abort();
    }

    async fn what_is_old_is_forgotten_and_does_not_come_again(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"]).await?;
        let day = Duration::from_secs(24 * 3_600);
        let notebook = Notebook::new();
        let relay = || ledger.relay("mail", notebook.clone()).map(|relay| relay.retention(day));
        let (over, going_on) = (open(&ledger).await?, open(&ledger).await?);
        ledger.cancel(over).await?;
        assert_eq!(relay()?.deliver().await?.delivered, 3);
        let rows = "SELECT COUNT(*) FROM al_relay WHERE auction_id > 0";
        for (hours, left) in [(24, 2), (1, 2), (1, 1), (1, 1)] {
            clock.advance(TimeDelta::hours(hours));
            assert_eq!(relay()?.deliver().await?.delivered, 0, "after {hours} hours more");
            assert_eq!(super::desk::count(world, rows).await?, left, "after {hours} hours more");
        }
        // Nor if more is to be remembered from now on.
        assert_eq!(ledger.relay("mail", notebook.clone())?.deliver().await?.delivered, 0);
        // Whoever is new begins at the beginning.
        let other = Notebook::new();
        ledger.relay("search", other.clone())?.retention(day).deliver().await?;
        assert_eq!((other.of(over).len(), other.of(going_on).len()), (2, 1));
    }
}

/// Never done with the events of one auction.
#[derive(Clone)]
struct Hanging {
    notebook: Notebook,
    auction: AuctionId,
}

#[async_trait]
impl EventSink for Hanging {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        match event.auction == self.auction {
            true => std::future::pending().await,
            false => self.notebook.deliver(event).await,
        }
    }
}
