//! What becomes of an event that its sink refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use auction_ledger::EventKind;
use chrono::TimeDelta;
use sea_orm::ConnectionTrait;

use super::{Notebook, Stuck, bids, charge, ledger, open};
use crate::support::on_every_backend;

const SECOND: Duration = Duration::from_secs(1);

/// Refuses every bid of an auction, the second one there is.
fn picky(refusals: Arc<AtomicU32>) -> Notebook {
    Notebook::that_answers(move |event| {
        let is_first_bid = event.seq == 2 && matches!(event.kind, EventKind::BidPlaced { .. });
        let left = refusals.load(Ordering::SeqCst);
        if is_first_bid && left > 0 {
            refusals.store(left - 1, Ordering::SeqCst);
            return Err(format!("{left} refusals\0left").into());
        }
        Ok(())
    })
}

on_every_backend! {
    async fn it_comes_again_after_a_pause_that_doubles_and_nothing_after_it_before(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"]).await?;
        let auction = open(&ledger).await?;
        bids(&ledger, auction, 2).await?;
        let refusals = Arc::new(AtomicU32::new(4));
        let notebook = picky(refusals.clone());
        let relay = ledger.relay("mail", notebook.clone())?.backoff(SECOND, 5 * SECOND);
        assert_eq!(relay.deliver().await?.refused, 1);
        // One second, two, four, and five, the most.
        for (seconds, left) in [(1, 3), (2, 2), (4, 1)] {
            assert_eq!(refusals.load(Ordering::SeqCst), left);
            clock.advance(TimeDelta::seconds(seconds) - TimeDelta::microseconds(1));
            assert_eq!(relay.deliver().await?.refused, 0, "not before {seconds} seconds");
            clock.advance(TimeDelta::microseconds(1));
            assert_eq!(relay.deliver().await?.refused, 1, "after {seconds} seconds");
        }
        assert_eq!(notebook.of(auction), [(1, 0)]);
        clock.advance(TimeDelta::seconds(5));
        relay.deliver().await?;
        assert_eq!(notebook.of(auction), [(1, 0), (2, 0), (3, 0), (3, 1), (3, 2)]);
    }

    async fn a_poison_event_parks_its_auction_and_no_other(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"]).await?;
        let auction = open(&ledger).await?;
        bids(&ledger, auction, 2).await?;
        let refusals = Arc::new(AtomicU32::new(u32::MAX));
        let notebook = picky(refusals.clone());
        let relay = ledger.relay("mail", notebook.clone())?.attempts(3).backoff(SECOND, SECOND);
        let mut parked = 0;
        for _ in 0..5 {
            parked += relay.deliver().await?.parked;
            clock.advance(TimeDelta::seconds(1));
        }
        assert_eq!(parked, 1);
        assert_eq!(u32::MAX - refusals.load(Ordering::SeqCst), 3, "then it is left alone");
        let poison = relay.parked().await?;
        assert_eq!(poison.len(), 1, "{poison:?}");
        let poison = &poison[0];
        assert_eq!((poison.auction, poison.seq, poison.index, poison.attempts), (auction, 2, 0, 3));
        assert!(poison.reason.ends_with(" refusals\u{fffd}left"), "{}", poison.reason);
        assert_eq!(poison.since, super::start() + TimeDelta::seconds(2));
        assert_eq!(relay.lag().await?.parked, 1);

        let other = open(&ledger).await?;
        relay.deliver().await?;
        assert_eq!(notebook.of(other), [(1, 0)]);

        // Resumed, it is refused and parked again.
        assert!(relay.resume(auction).await?);
        assert!(!relay.resume(auction).await?, "it is not parked any more");
        for _ in 0..3 {
            relay.deliver().await?;
            clock.advance(TimeDelta::seconds(1));
        }
        assert_eq!(u32::MAX - refusals.load(Ordering::SeqCst), 6);
        assert!(relay.skip(auction).await?);
        assert!(!relay.skip(other).await?, "it is not parked");
        relay.deliver().await?;
        assert_eq!(notebook.of(auction), [(1, 0), (3, 0), (3, 1), (3, 2)]);
        assert_eq!(relay.parked().await?, []);
    }

    /// What was delivered of a command does not come again with the rest of it.
    async fn within_a_command_it_goes_on_where_it_was(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"]).await?;
        let auction = open(&ledger).await?;
        bids(&ledger, auction, 2).await?;
        let once = Arc::new(AtomicU32::new(1));
        let notebook = Notebook::that_answers(move |event| match event.kind {
            EventKind::HoldReleased { .. } if once.swap(0, Ordering::SeqCst) == 1 => Err("no".into()),
            _ => Ok(()),
        });
        let relay = ledger.relay("mail", notebook.clone())?.attempts(1);
        assert_eq!(relay.deliver().await?.parked, 1);
        let poison = &relay.parked().await?[0];
        assert_eq!((poison.seq, poison.index), (3, 2));
        clock.advance(TimeDelta::seconds(1));
        relay.resume(auction).await?;
        assert_eq!(relay.deliver().await?.delivered, 1);
        assert_eq!(notebook.of(auction), [(1, 0), (2, 0), (3, 0), (3, 1), (3, 2)]);
    }

    async fn a_panic_is_a_refusal(world: &World) {
        let (ledger, _) = ledger(world);
        open(&ledger).await?;
        let notebook = Notebook::that_answers(|_| panic!("a mistake in the sink"));
        let relay = ledger.relay("mail", notebook)?.attempts(1);
        assert_eq!(relay.deliver().await?.parked, 1);
        assert_eq!(relay.parked().await?[0].reason, "the sink panicked");
    }

    /// The lease is long, for a machine that is busy with other tests may take a while until it hands the event over.
    async fn a_sink_that_hangs_is_dropped_after_a_quarter_of_the_lease(world: &World) {
        let (ledger, _) = ledger(world);
        open(&ledger).await?;
        let stuck = ledger.relay("mail", Stuck)?.lease(8 * SECOND).attempts(1);
        assert_eq!(stuck.deliver().await?.parked, 1);
        assert_eq!(stuck.parked().await?[0].reason, "the sink was not done after 2s");
    }

    /// An act of a kind that only a later release knows spoils the statement that reads of all of them; a command without a row,
    /// its auction alone.
    async fn an_auction_that_cannot_be_read_stops_no_other(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"]).await?;
        let [unknown, good, gap] = [open(&ledger).await?, open(&ledger).await?, open(&ledger).await?];
        bids(&ledger, good, 2).await?;
        for statement in [
            format!(
                "INSERT INTO al_act (auction_id, seq, operation, kind, at) \
                 SELECT auction_id, 2, operation, 98, at FROM al_act WHERE auction_id = {unknown} AND seq = 1"
            ),
            format!("UPDATE al_auction SET seq = 2 WHERE id IN ({unknown}, {gap})"),
        ] {
            world.db().execute_unprepared(&statement).await?;
        }
        let notebook = Notebook::new();
        let relay = ledger.relay("mail", notebook.clone())?.attempts(1).backoff(SECOND, SECOND);
        for _ in 0..2 {
            relay.deliver().await?;
            clock.advance(TimeDelta::seconds(1));
        }
        assert_eq!(notebook.of(good), [(1, 0), (2, 0), (3, 0), (3, 1), (3, 2)]);
        assert_eq!((notebook.of(unknown), notebook.of(gap)), (vec![], vec![]));
        assert_eq!(relay.parked().await?, [], "that is no fault of an event");
        let lag = relay.lag().await?;
        assert_eq!((lag.auctions, lag.commands), (2, 4));
    }
}
