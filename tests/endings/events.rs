//! What the sinks get, in which order, and what they never get.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use auction_ledger::{
    AuctionEvent, AuctionId, AuctionLedger, BroadcastSink, Error, EventKind, EventReaderError,
    EventSink, RecordingSink, Rejection, SaleKind, SinkError, UserId,
};
use chrono::TimeDelta;
use rust_decimal::Decimal;
use sea_orm::DbErr;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::timeout;

use super::{WON, balance, books, charge, end, ledger, open, rejection, start, terms};
use crate::support::{World, on_every_backend, race, scale, told};

const SOON: Duration = Duration::from_secs(10);

async fn recorded(
    world: &World,
) -> Result<(AuctionLedger, auction_ledger::ManualClock, RecordingSink), Error> {
    let sink = RecordingSink::new();
    let (ledger, clock) = ledger(world);
    let ledger = ledger.sink(sink.clone());
    charge(&ledger, &["ann", "bob"], 1_000).await?;
    Ok((ledger, clock, sink))
}

/// All that came before, which can be read back.
async fn until_now(
    ledger: &AuctionLedger,
    sink: &RecordingSink,
) -> Result<Vec<AuctionEvent>, Box<dyn std::error::Error + Send + Sync>> {
    let events = told::everything(ledger, sink).await?;
    told::is_read_back(ledger, &events).await?;
    Ok(events)
}

fn numbers(events: &[AuctionEvent]) -> Vec<(i64, u32)> {
    events.iter().map(|event| (event.seq, event.index)).collect()
}

fn host_failed() -> Error {
    DbErr::Custom("the host has changed its mind".into()).into()
}

fn round_trip(event: &AuctionEvent) {
    let json = serde_json::to_value(event).unwrap();
    let name = match event.kind {
        EventKind::Opened { .. } => "opened",
        EventKind::BidPlaced { .. } => "bid_placed",
        EventKind::Outbid { .. } => "outbid",
        EventKind::HoldReleased { .. } => "hold_released",
        EventKind::Sold { .. } => "sold",
        EventKind::Unsold => "unsold",
        EventKind::Cancelled { .. } => "cancelled",
        _ => panic!("a new kind: {event:?}"),
    };
    assert_eq!(json["type"], name);
    assert_eq!(json["version"], 1);
    assert_eq!(json["seq"], event.seq);
    assert_eq!(json["auction"], event.auction.get());
    let text = serde_json::to_string(event).unwrap();
    assert_eq!(&serde_json::from_str::<AuctionEvent>(&text).unwrap(), event, "{text}");
}

/// Does as it is told with each event.
struct Doing(Arc<dyn Fn(&AuctionEvent) -> Result<(), SinkError> + Send + Sync>);

#[async_trait]
impl EventSink for Doing {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        (self.0)(event)
    }
}

/// Never done with its first event.
struct Stuck;

#[async_trait]
impl EventSink for Stuck {
    async fn deliver(&self, _: &AuctionEvent) -> Result<(), SinkError> {
        std::future::pending().await
    }
}

/// Takes an event for each permit, and notes what it missed.
#[derive(Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    busy: Arc<Notify>,
    recording: RecordingSink,
    missed: Arc<Mutex<Vec<u64>>>,
    panics_when_missed: bool,
}

impl Gate {
    fn new(panics_when_missed: bool) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(0)),
            busy: Arc::new(Notify::new()),
            recording: RecordingSink::new(),
            missed: Arc::default(),
            panics_when_missed,
        }
    }
}

#[async_trait]
impl EventSink for Gate {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        self.busy.notify_one();
        self.permits.acquire().await?.forget();
        self.recording.deliver(event).await
    }

    async fn missed(&self, count: u64) {
        self.missed.lock().unwrap().push(count);
        assert!(!self.panics_when_missed, "as it was told");
    }
}

/// A broadcast whose deliveries can be waited for.
struct Both(BroadcastSink, RecordingSink);

#[async_trait]
impl EventSink for Both {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        self.0.deliver(event).await?;
        self.1.deliver(event).await
    }
}

async fn raise(
    ledger: &AuctionLedger,
    auction: AuctionId,
    amounts: std::ops::Range<i64>,
) -> Result<(), Error> {
    for amount in amounts {
        ledger.place_bid(auction, "ann", amount.into()).await?;
    }
    Ok(())
}

on_every_backend! {
    async fn a_story_is_told_exactly(world: &World) {
        let (ledger, clock, sink) = recorded(world).await?;
        let ann = UserId::from("ann");
        let (bob, sam) = (UserId::from("bob"), UserId::from("sam"));
        let opened = |buy_now_price: Option<Decimal>| EventKind::Opened {
            title: "a thing".into(), seller: "sam".into(), start_price: 10.into(), buy_now_price,
            starts_at: start(), ends_at: end(),
        };
        let placed = |bidder: &UserId, price: i64, next: i64| EventKind::BidPlaced {
            bidder: bidder.clone(), leader: bidder.clone(), price: price.into(), next_minimum: Some(next.into()), ends_at: end(),
            reserve_met: None,
        };
        let outbid = |user: &UserId, price: i64| EventKind::Outbid { user: user.clone(), price: price.into() };
        let released = |user: &UserId, amount: i64| EventKind::HoldReleased { user: user.clone(), amount: amount.into() };
        let sold = |buyer: &UserId, price: i64, how| EventKind::Sold {
            buyer: buyer.clone(), seller: sam.clone(), price: price.into(), how,
        };

        let mut expected: Vec<(AuctionId, i64, u32, EventKind)> = Vec::new();
        // Bids, a raise of the own bid, bought while another leads.
        let bought = open(&ledger, terms().buy_now(100.into())).await?;
        expected.push((bought, 1, 0, opened(Some(100.into()))));
        ledger.place_bid(bought, "ann", 10.into()).await?;
        expected.push((bought, 2, 0, placed(&ann, 10, 11)));
        ledger.place_bid(bought, "bob", 20.into()).await?;
        expected.push((bought, 3, 0, placed(&bob, 20, 21)));
        expected.push((bought, 3, 1, outbid(&ann, 20)));
        expected.push((bought, 3, 2, released(&ann, 10)));
        ledger.place_bid(bought, "bob", 30.into()).await?;
        expected.push((bought, 4, 0, placed(&bob, 30, 31)));
        rejection(ledger.place_bid(bought, "ann", 30.into()).await);
        ledger.buy_now(bought, "ann").await?;
        expected.push((bought, 5, 0, sold(&ann, 100, SaleKind::Bought)));
        expected.push((bought, 5, 1, outbid(&bob, 100)));
        expected.push((bought, 5, 2, released(&bob, 30)));
        // Bought by the leader, by a bid at the price: nobody is outbid.
        let by_bid = open(&ledger, terms().buy_now(100.into())).await?;
        expected.push((by_bid, 1, 0, opened(Some(100.into()))));
        ledger.place_bid(by_bid, "ann", 40.into()).await?;
        expected.push((by_bid, 2, 0, placed(&ann, 40, 41)));
        ledger.place_bid(by_bid, "ann", 200.into()).await?;
        expected.push((by_bid, 3, 0, sold(&ann, 100, SaleKind::Bought)));
        // Sold early, unsold early, called off with and without a bid.
        let early = open(&ledger, terms()).await?;
        expected.push((early, 1, 0, opened(None)));
        ledger.place_bid(early, "bob", 50.into()).await?;
        expected.push((early, 2, 0, placed(&bob, 50, 51)));
        ledger.close_early(early).by("sam").await?;
        expected.push((early, 3, 0, sold(&bob, 50, SaleKind::ClosedEarly)));
        let nobody = open(&ledger, terms()).await?;
        expected.push((nobody, 1, 0, opened(None)));
        ledger.close_early(nobody).await?;
        expected.push((nobody, 2, 0, EventKind::Unsold));
        let cancelled = open(&ledger, terms()).await?;
        expected.push((cancelled, 1, 0, opened(None)));
        ledger.place_bid(cancelled, "bob", 60.into()).await?;
        expected.push((cancelled, 2, 0, placed(&bob, 60, 61)));
        ledger.cancel(cancelled).reason("stolen").await?;
        expected.push((cancelled, 3, 0, EventKind::Cancelled { reason: Some("stolen".into()) }));
        expected.push((cancelled, 3, 1, released(&bob, 60)));
        let empty = open(&ledger, terms()).await?;
        expected.push((empty, 1, 0, opened(None)));
        ledger.cancel(empty).by("sam").await?;
        expected.push((empty, 2, 0, EventKind::Cancelled { reason: None }));
        // Settled and unsold, by hand and by a sweep; told once.
        let settled = open(&ledger, terms()).await?;
        expected.push((settled, 1, 0, opened(None)));
        ledger.place_bid(settled, "ann", 70.into()).await?;
        expected.push((settled, 2, 0, placed(&ann, 70, 71)));
        let unsold = open(&ledger, terms()).await?;
        expected.push((unsold, 1, 0, opened(None)));
        clock.set(end());
        ledger.settle(settled).await?;
        expected.push((settled, 3, 0, sold(&ann, 70, SaleKind::Settled)));
        let sweep = ledger.settle_due(10).await?;
        assert_eq!(sweep.settled.len(), 1);
        expected.push((unsold, 2, 0, EventKind::Unsold));
        assert!(ledger.settle(settled).await?.repeated);

        let events = timeout(SOON, sink.wait_for(expected.len())).await?;
        let told: Vec<_> =
            events.iter().map(|event| (event.auction, event.seq, event.index, event.kind.clone())).collect();
        assert_eq!(told, expected);
        for event in &events {
            round_trip(event);
            assert_eq!((event.version, event.currency), (AuctionEvent::VERSION, WON));
            let recipient = match &event.kind {
                EventKind::Outbid { user, .. } | EventKind::HoldReleased { user, .. } => Some(user),
                _ => None,
            };
            assert_eq!(event.recipient(), recipient);
            assert_eq!(recipient.is_none(), event.index == 0, "public first: {event:?}");
        }
        let dump = books(world, 2_000).await?;
        for event in &events {
            let id = event.auction.get();
            let bid = dump.bids.iter().find(|row| (row.auction_id, row.seq) == (id, event.seq));
            let act = dump.acts.iter().find(|row| (row.auction_id, row.seq) == (id, event.seq));
            let at = bid.map(|row| row.at).or(act.map(|row| row.at)).expect("a command has a row");
            assert_eq!(event.at.timestamp_micros(), at);
        }
    }

    async fn sixteen_bidders_are_told_in_the_order_of_the_numbers(world: &World) {
        let sink = RecordingSink::new();
        // The database's own clock.
        let ledger = AuctionLedger::new(world.db().clone()).sink_with(sink.clone(), 100_000);
        let users: Vec<String> = (0..16).map(|index| format!("bidder {index}")).collect();
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        charge(&ledger, &names, 1_000_000).await?;
        let mut auctions = Vec::new();
        for _ in 0..2 {
            let terms = auction_ledger::AuctionTerms::english(WON, 10.into(), 1.into());
            auctions.push(open(&ledger, terms.ends_in(Duration::from_secs(3_600))).await?);
        }
        let bids = scale(15);
        let outcomes = race(16, |index| {
            let (ledger, user, auctions) = (ledger.clone(), users[index].clone(), auctions.clone());
            async move {
                for step in 0..bids {
                    let auction = auctions[(index + step) % 2];
                    let mut amount = Decimal::from(10);
                    loop {
                        match ledger.place_bid(auction, user.as_str(), amount).await {
                            Ok(_) => break,
                            Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => amount = minimum,
                            Err(error) => return Err(error),
                        }
                    }
                }
                Ok(())
            }
        })
        .await;
        for outcome in outcomes {
            outcome?;
        }
        let dump = books(world, 16_000_000).await?;
        let events = until_now(&ledger, &sink).await?;
        for auction in auctions {
            let events: Vec<_> = events.iter().filter(|event| event.auction == auction).collect();
            let mut last = (0, 0);
            for event in &events {
                let next = [(last.0, last.1 + 1), (last.0 + 1, 0)];
                assert!(next.contains(&(event.seq, event.index)), "{:?} after {last:?}", (event.seq, event.index));
                last = (event.seq, event.index);
                if let Some(bid) = dump.bids.iter().find(|row| (row.auction_id, row.seq) == (auction.get(), event.seq)) {
                    assert_eq!(event.at.timestamp_micros(), bid.at);
                }
            }
            let seq = dump.auctions.iter().find(|row| row.id == auction.get()).unwrap().seq;
            assert_eq!(last.0, seq, "every number was told");
        }
    }

    async fn nothing_is_told_of_what_was_not_committed(world: &World) {
        let (ledger, _, sink) = recorded(world).await?;
        let auction = open(&ledger, terms()).await?;
        // Rolled back by an error, by a veto, by a panic.
        let failed: Result<_, Error> = ledger
            .atomic(async |uow| {
                ledger.place_bid(auction, "ann", 10.into()).within(uow).await?;
                ledger.open_auction("sam", "never", terms()).within(uow).await?;
                Err::<(), _>(host_failed())
            })
            .await;
        failed.unwrap_err();
        let vetoed: Result<_, Error> = ledger
            .atomic(async |uow| {
                ledger.place_bid(auction, "ann", 10.into()).within(uow).await?;
                uow.before_commit(async |_| Err::<(), _>("no"));
                Ok(())
            })
            .await;
        vetoed.unwrap_err();
        let broken: Result<_, Error> = ledger
            .atomic(async |uow| {
                ledger.place_bid(auction, "ann", 10.into()).within(uow).await?;
                uow.set_rollback_only();
                Ok(())
            })
            .await;
        broken.unwrap_err();
        let panicked = tokio::spawn({
            let ledger = ledger.clone();
            async move {
                let outcome: Result<_, Error> = ledger
                    .atomic(async |uow| {
                        ledger.place_bid(auction, "ann", 10.into()).within(uow).await?;
                        if uow.refusal().is_none() {
                            panic!("as it was told");
                        }
                        Ok(())
                    })
                    .await;
                outcome.map(drop)
            }
        });
        assert!(panicked.await.unwrap_err().is_panic());
        // Dropped while it was open.
        let (sender, bid) = oneshot::channel();
        let dropped = tokio::spawn({
            let ledger = ledger.clone();
            async move {
                let _: Result<_, Error> = ledger
                    .atomic(async |uow| {
                        ledger.place_bid(auction, "ann", 10.into()).within(uow).await?;
                        _ = sender.send(());
                        std::future::pending::<Result<(), Error>>().await
                    })
                    .await;
            }
        });
        bid.await?;
        dropped.abort();
        assert!(dropped.await.unwrap_err().is_cancelled());
        // Refused, by the rules and by the request.
        rejection(ledger.place_bid(auction, "ann", 9.into()).await);
        rejection(ledger.settle(auction).await);
        ledger.place_bid(auction, "ann", 0.into()).await.unwrap_err();
        // A rolled back savepoint, between two bids that stay.
        let kept = ledger
            .atomic(async |uow| {
                ledger.place_bid(auction, "ann", 20.into()).within(uow).await?;
                let inner: Result<(), Error> = uow
                    .atomic(async |uow| {
                        ledger.place_bid(auction, "bob", 30.into()).within(uow).await?;
                        Err(host_failed())
                    })
                    .await;
                inner.unwrap_err();
                let inner: Result<(), Error> = uow
                    .atomic(async |uow| ledger.place_bid(auction, "ann", 25.into()).within(uow).await.map(drop))
                    .await;
                inner?;
                rejection(ledger.place_bid(auction, "bob", 25.into()).within(uow).await);
                Ok::<_, Error>(())
            })
            .await?;
        assert!(kept.hooks().is_clean());
        let events = until_now(&ledger, &sink).await?;
        assert_eq!(numbers(&events), [(1, 0), (2, 0), (3, 0)], "{events:?}");
        let prices: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::BidPlaced { price, .. } => Some(*price),
                _ => None,
            })
            .collect();
        assert_eq!(prices, [20.into(), 25.into()]);
        books(world, 2_000).await?;
    }

    async fn a_failing_callback_of_the_host_does_not_keep_events_back(world: &World) {
        let (ledger, _, sink) = recorded(world).await?;
        let auction = open(&ledger, terms()).await?;
        let done = ledger
            .atomic(async |uow| {
                uow.on_commit(async || Err::<(), _>("the mail server is down"));
                ledger.place_bid(auction, "ann", 10.into()).within(uow).await?;
                uow.on_commit(async || unreachable_callback());
                Ok::<_, Error>(())
            })
            .await?;
        assert_eq!((done.hooks().failed.len(), done.hooks().skipped), (1, 1));
        assert_eq!(numbers(&until_now(&ledger, &sink).await?), [(1, 0), (2, 0)]);
    }

    async fn failing_slow_and_panicking_sinks_change_nothing(world: &World) {
        let (ledger, clock, sink) = recorded(world).await?;
        let ledger = ledger
            .sink(Doing(Arc::new(|_| Err("no".into()))))
            .sink(Doing(Arc::new(|_| panic!("as it was told"))))
            .sink_with(Stuck, 1);
        let auction = open(&ledger, terms()).await?;
        let bids = async {
            ledger.place_bid(auction, "ann", 10.into()).await?;
            ledger.place_bid(auction, "bob", 20.into()).await?;
            raise(&ledger, auction, 30..60).await?;
            clock.set(end());
            ledger.settle(auction).await
        };
        let done = timeout(SOON, bids).await??;
        assert_eq!(done.sold.unwrap().price, 59.into());
        let events = timeout(SOON, sink.wait_for(1 + 1 + 3 + 30 + 2 + 1)).await?;
        assert_eq!(events.last().unwrap().seq, done.seq);
        assert_eq!(balance(&ledger, "sam").await?, (59, 0));
        books(world, 2_000).await?;
    }

    async fn a_full_queue_drops_and_says_how_many(world: &World) {
        let (ledger, _) = ledger(world);
        let gate = Gate::new(false);
        let ledger = ledger.sink_with(gate.clone(), 3);
        charge(&ledger, &["ann"], 1_000).await?;
        let auction = open(&ledger, terms()).await?;
        timeout(SOON, gate.busy.notified()).await?;
        raise(&ledger, auction, 10..20).await?;
        // One with the sink, three in its queue, seven of ten bids are dropped.
        gate.permits.add_permits(1_000);
        let events = timeout(SOON, gate.recording.wait_for(4)).await?;
        assert_eq!(numbers(&events), [(1, 0), (2, 0), (3, 0), (4, 0)]);
        ledger.place_bid(auction, "ann", 20.into()).await?;
        let events = timeout(SOON, gate.recording.wait_for(5)).await?;
        assert_eq!(*gate.missed.lock().unwrap(), [7], "told before the event after the gap");
        assert_eq!(events[4].seq, 12);
        assert_eq!(*gate.missed.lock().unwrap(), [7], "told once");
    }

    async fn a_panic_while_being_told_of_missed_events_costs_no_event(world: &World) {
        let (ledger, _) = ledger(world);
        let gate = Gate::new(true);
        let ledger = ledger.sink_with(gate.clone(), 3);
        charge(&ledger, &["ann"], 1_000).await?;
        let auction = open(&ledger, terms()).await?;
        timeout(SOON, gate.busy.notified()).await?;
        raise(&ledger, auction, 10..20).await?;
        gate.permits.add_permits(1_000);
        let mark = ledger.place_bid(auction, "ann", 50.into()).await?;
        timeout(SOON, async {
            loop {
                let events = gate.recording.wait_for(1).await;
                let missed: u64 = gate.missed.lock().unwrap().iter().sum();
                // The last bid may have found the queue full still.
                if events.last().is_some_and(|event| event.seq == mark.seq) || missed == 8 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let delivered = gate.recording.events().len() as u64;
        let missed: u64 = gate.missed.lock().unwrap().iter().sum();
        assert_eq!(delivered + missed, 12, "each event is delivered or counted");
    }

    async fn a_reader_that_lags_is_told_how_many_it_missed(world: &World) {
        let (ledger, _) = ledger(world);
        let (broadcast, recording) = (BroadcastSink::new(2), RecordingSink::new());
        let mut reader = broadcast.subscribe();
        let ledger = ledger.sink(Both(broadcast.clone(), recording.clone()));
        charge(&ledger, &["ann"], 1_000).await?;
        let auction = open(&ledger, terms()).await?;
        raise(&ledger, auction, 10..19).await?;
        timeout(SOON, recording.wait_for(10)).await?;
        assert_eq!(reader.recv().await, Err(EventReaderError::Lagged { missed: 8 }));
        assert_eq!(reader.recv().await?.seq, 9);
        assert_eq!(reader.recv().await?.seq, 10);
        let mut late = broadcast.subscribe();
        ledger.place_bid(auction, "ann", 19.into()).await?;
        for reader in [&mut reader, &mut late] {
            assert_eq!(timeout(SOON, reader.recv()).await??.seq, 11);
        }
        drop((ledger, broadcast));
        assert_eq!(timeout(SOON, reader.recv()).await?, Err(EventReaderError::Closed));
    }

    async fn what_the_queue_of_a_broadcast_dropped_is_told_to_its_readers_in_full(world: &World) {
        let (ledger, _) = ledger(world);
        let (broadcast, recording) = (BroadcastSink::new(8), RecordingSink::new());
        let mut reader = broadcast.subscribe();
        // As the task of the sink says it, after each gap.
        for _ in 0..20 {
            broadcast.missed(3).await;
        }
        let ledger = ledger.sink(Both(broadcast.clone(), recording.clone()));
        open(&ledger, terms()).await?;
        timeout(SOON, recording.wait_for(1)).await?;
        drop((ledger, broadcast));
        let (mut missed, mut events) = (0, Vec::new());
        loop {
            match timeout(SOON, reader.recv()).await? {
                Ok(event) => events.push((event.seq, missed)),
                Err(EventReaderError::Lagged { missed: more }) => missed += more,
                Err(_) => break,
            }
        }
        assert_eq!((events, missed), (vec![(1, 60)], 60), "the gap is told, wholly, before what comes after it");
    }

    async fn a_sink_belongs_to_the_clone_it_was_added_to_and_its_clones(world: &World) {
        let (plain, _) = ledger(world);
        charge(&plain, &["ann"], 1_000).await?;
        let sink = RecordingSink::new();
        let told = plain.clone().sink(sink.clone());
        let auction = open(&told, terms()).await?;
        plain.place_bid(auction, "ann", 10.into()).await?;
        told.clone().place_bid(auction, "ann", 11.into()).await?;
        told.place_bid(auction, "ann", 12.into()).await?;
        assert_eq!(numbers(&told::everything(&told, &sink).await?), [(1, 0), (3, 0), (4, 0)]);
    }

    async fn two_sinks_both_get_all(world: &World) {
        let (ledger, _, first) = recorded(world).await?;
        let second = RecordingSink::new();
        let ledger = ledger.sink(second.clone());
        let auction = open(&ledger, terms()).await?;
        raise(&ledger, auction, 10..20).await?;
        ledger.place_bid(auction, "bob", 30.into()).await?;
        let told = told::everything(&ledger, &first).await?;
        assert_eq!(told::everything(&ledger, &second).await?.into_iter().filter(|event| event.auction == auction).collect::<Vec<_>>(), told);
        assert_eq!(told.len(), 14);
    }

    /// A place in the line is given back when the unit of work is rolled back, not when the host's callbacks are done.
    async fn a_slow_callback_after_a_rollback_holds_up_no_events(world: &World) {
        let (ledger, _, sink) = recorded(world).await?;
        let auction = open(&ledger, terms()).await?;
        let release = rolled_back_but_busy(&ledger, auction).await?;
        ledger.place_bid(auction, "bob", 20.into()).await?;
        let told = timeout(Duration::from_secs(3), sink.wait_for(2)).await;
        _ = release.send(());
        let told = told.expect("the event of a committed bid comes while the callback of another unit waits");
        assert_eq!(numbers(&told), [(1, 0), (2, 0)]);
    }

    /// Two ledgers, one with a sink more: the line that they share gives each event to the sinks of its own ledger.
    async fn the_sinks_of_a_clone_get_its_events_also_when_another_clone_held_the_line(world: &World) {
        let (first, _, _) = recorded(world).await?;
        let sink = RecordingSink::new();
        let second = first.clone().sink(sink.clone());
        let auction = open(&second, terms()).await?;
        let release = rolled_back_but_busy(&first, auction).await?;
        second.place_bid(auction, "bob", 20.into()).await?;
        _ = release.send(());
        second.place_bid(auction, "bob", 21.into()).await?;
        let told = timeout(SOON, async {
            loop {
                let events = sink.wait_for(1).await;
                if events.last().is_some_and(|event| event.seq == 3) {
                    return events;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await?;
        assert_eq!(numbers(&told), [(1, 0), (2, 0), (3, 0)]);
    }

    async fn instants_are_told_as_the_rows_have_them_when_the_clock_steps_back(world: &World) {
        let (ledger, clock, sink) = recorded(world).await?;
        let auction = open(&ledger, terms()).await?;
        clock.set(start() + TimeDelta::minutes(5));
        ledger.place_bid(auction, "ann", 10.into()).await?;
        clock.set(start() + TimeDelta::minutes(1));
        let bid = ledger.place_bid(auction, "ann", 11.into()).await?;
        assert_eq!(bid.at, start() + TimeDelta::minutes(5));
        let events = until_now(&ledger, &sink).await?;
        assert_eq!(events[2].at, bid.at);
    }
}

/// A unit of work that has bid and been rolled back, and whose callback after the rollback waits for the answer.
async fn rolled_back_but_busy(
    ledger: &AuctionLedger,
    auction: AuctionId,
) -> Result<oneshot::Sender<()>, Box<dyn std::error::Error + Send + Sync>> {
    let (release, released) = oneshot::channel();
    let (busy, is_busy) = oneshot::channel();
    let ledger = ledger.clone();
    tokio::spawn(async move {
        let _: Result<_, Error> = ledger
            .atomic(async |uow| {
                uow.after_rollback(async move |_| {
                    _ = busy.send(());
                    _ = released.await;
                });
                ledger.place_bid(auction, "ann", 15.into()).within(uow).await?;
                Err::<(), _>(host_failed())
            })
            .await;
    });
    timeout(SOON, is_busy).await??;
    Ok(release)
}

fn unreachable_callback() {
    panic!("a failed callback stops the later ones");
}
