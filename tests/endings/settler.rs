//! Settlement that runs by itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionState, AuctionTerms, Error, ManualClock, Settled, Settler,
};
use sea_orm::ConnectionTrait;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{WON, balance, books, charge, end, just_before_the_end, ledger, open, start, terms};
use crate::support::{Books, Database, on_every_backend, race};

/// A settler that runs in a task of its own, and what it has settled.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Settled>,
    settled: Arc<Mutex<Vec<AuctionId>>>,
}

impl Running {
    fn start(settler: Settler) -> Self {
        let settled = Arc::<Mutex<Vec<AuctionId>>>::default();
        let noted = Arc::clone(&settled);
        let settler = settler.on_sweep(move |sweep| {
            noted.lock().unwrap().extend(sweep.settled.iter().map(|done| done.auction));
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(settler.run(async move { _ = stopped.await }));
        Self { stop, task, settled }
    }

    fn settled(&self) -> Vec<AuctionId> {
        self.settled.lock().unwrap().clone()
    }

    /// Waits until it has settled so many.
    async fn wait_for(&self, count: usize) {
        while self.settled().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) -> Settled {
        _ = self.stop.send(());
        self.task.await.expect("it does not panic")
    }
}

/// Opens auctions with one bid each, of ten sellers.
async fn open_many(ledger: &AuctionLedger, count: usize) -> Result<BTreeSet<AuctionId>, Error> {
    let opened = race(16, |task| {
        let ledger = ledger.clone();
        async move {
            let mut auctions = Vec::new();
            for index in (task..count).step_by(16) {
                let seller = format!("seller {}", index % 10);
                let auction = ledger.open_auction(seller, "a thing", terms()).await?.id;
                let bidder = format!("bidder {}", index % 100);
                ledger.place_bid(auction, bidder, 10.into()).await?;
                auctions.push(auction);
            }
            Ok::<_, Error>(auctions)
        }
    });
    let mut auctions = BTreeSet::new();
    for opened in opened.await {
        auctions.extend(opened?);
    }
    Ok(auctions)
}

on_every_backend! {
    async fn ten_thousand_that_end_at_once_are_settled_by_three_workers_once_each(world: &World) {
        // All of them on PostgreSQL, where each settlement is least work.
        let count = if world.database() == Database::Postgres { 10_000 } else { 1_000 };
        let ledger = AuctionLedger::new(world.connect(8).await).clock(ManualClock::new(start()));
        let bidders: Vec<String> = (0..100).map(|index| format!("bidder {index}")).collect();
        let bidders: Vec<&str> = bidders.iter().map(String::as_str).collect();
        charge(&ledger, &bidders, 1_000_000).await?;
        let auctions = open_many(&ledger, count).await?;
        let mut workers = Vec::new();
        for _ in 0..3 {
            let process = AuctionLedger::new(world.connect(3).await).clock(ManualClock::new(end()));
            workers.push(Running::start(process.settler()));
        }
        let all = || workers.iter().flat_map(Running::settled).collect::<Vec<_>>();
        while all().len() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut settled = Vec::new();
        let mut shares = Vec::new();
        for worker in workers {
            let mine = worker.settled();
            let done = worker.stop().await;
            assert_eq!((done.settled, done.failed), (mine.len() as u64, 0));
            shares.push(mine.len());
            settled.extend(mine);
        }
        println!("{}: {shares:?}", world.database().label());
        assert_eq!(settled.len(), count, "each is reported once");
        assert_eq!(settled.into_iter().collect::<BTreeSet<_>>(), auctions);
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!(books.total(), 100_000_000);
    }

    /// By the database's clock, and by nothing else: it would look again in ten minutes only.
    async fn it_wakes_for_the_next_end(world: &World) {
        let ledger = AuctionLedger::new(world.db().clone());
        let in_millis = |millis| {
            let terms = AuctionTerms::english(WON, 10.into(), 1.into());
            terms.ends_in(Duration::from_millis(millis))
        };
        let later = open(&ledger, in_millis(1_500)).await?;
        let sooner = open(&ledger, in_millis(700)).await?;
        open(&ledger, in_millis(3_600_000)).await?;
        let worker = Running::start(ledger.settler().idle(Duration::from_secs(600)));
        worker.wait_for(2).await;
        assert_eq!(worker.settled(), [sooner, later]);
        let done = worker.stop().await;
        assert_eq!((done.settled, done.failed), (2, 0));
        assert!(done.sweeps < 10, "{} sweeps: it polls", done.sweeps);
    }

    async fn an_end_that_was_moved_is_waited_for(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        let extended = open(&ledger, terms().soft_close(Duration::from_secs(60))).await?;
        let other = open(&ledger, terms()).await?;
        clock.set(just_before_the_end());
        let bid = ledger.place_bid(extended, "ann", 20.into()).await?;
        assert!(bid.ends_at > end());
        clock.set(end());
        let worker = Running::start(ledger.settler().idle(Duration::from_millis(20)));
        worker.wait_for(1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(worker.settled(), [other]);
        clock.set(bid.ends_at);
        worker.wait_for(2).await;
        assert_eq!(worker.stop().await.settled, 2);
        assert_eq!(balance(&ledger, "sam").await?, (20, 0));
        books(world, 1_000).await?;
    }

    /// The seller's wallet is full, and has room later.
    async fn one_that_fails_stops_nobody_and_is_tried_again(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        let mut auctions = Vec::new();
        for seller in ["sam", "rich", "tom"] {
            let auction = ledger.open_auction(seller, "a thing", terms()).await?.id;
            ledger.place_bid(auction, "ann", 20.into()).await?;
            auctions.push(auction);
        }
        super::endings::fill(world, "rich").await?;
        clock.set(end());
        let worker = Running::start(ledger.settler().idle(Duration::from_millis(20)));
        worker.wait_for(2).await;
        assert_eq!(worker.settled(), [auctions[0], auctions[2]]);
        assert_eq!(ledger.auction(auctions[1]).await?.state, AuctionState::Open);
        world.db().execute_unprepared("UPDATE al_wallet SET available = 0 WHERE available = 1000000000000000000").await?;
        worker.wait_for(3).await;
        let done = worker.stop().await;
        assert!(done.settled == 3 && done.failed > 0, "{done:?}");
        books(world, 1_000).await?;
    }

    /// What has been begun is finished, and nothing is begun any more.
    async fn it_stops_when_it_is_told(world: &World) {
        let (ledger, clock) = ledger(world);
        open(&ledger, terms()).await?;
        clock.set(end());
        let worker = Running::start(ledger.settler().idle(Duration::from_millis(5)));
        worker.wait_for(1).await;
        let done = worker.stop().await;
        assert!(done.settled == 1 && done.failed == 0, "{done:?}");
        clock.set(start());
        let late = open(&ledger, terms()).await?;
        clock.set(end());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(ledger.auction(late).await?.state, AuctionState::Open);
    }

    /// The database has gone: it is asked again, and nothing panics.
    async fn a_database_that_is_away_is_asked_again(world: &World) {
        let pool = world.connect(1).await;
        let ledger = AuctionLedger::new(pool.clone()).clock(ManualClock::new(start()));
        pool.close().await?;
        let worker = Running::start(ledger.settler().idle(Duration::from_millis(5)));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let done = worker.stop().await;
        assert!(done.settled == 0 && done.sweeps > 1, "{done:?}");
    }
}
