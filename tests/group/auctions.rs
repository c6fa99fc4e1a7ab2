//! Across auctions: their lines share transactions, and nobody waits for what they do not need.

use std::time::Duration;

use auction_ledger::entity::{auction, wallet};
use auction_ledger::unit_of_work::{LockWait, UnitOfWork};
use auction_ledger::{AuctionId, AuctionLedger, Bid, Error, GroupCommit, ManualClock};
use futures::future::{BoxFuture, Either, join_all, poll_immediate, select};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use tokio::sync::oneshot;

use super::{WON, all_at_once, charge, ledger, line_up, open};
use crate::faults::on_servers;
use crate::support::link::{Link, says};
use crate::support::{Books, on_every_backend, race, scale};

type BidRequest<'a> = BoxFuture<'a, Result<Bid, Error>>;

async fn open_many(ledger: &AuctionLedger, count: usize) -> Result<Vec<AuctionId>, Error> {
    let mut auctions = Vec::new();
    for _ in 0..count {
        auctions.push(open(ledger).await?);
    }
    Ok(auctions)
}

/// A host's unit of work that stays open until it is told to end.
struct Host {
    end: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), Error>>,
}

/// What a host keeps to itself.
#[derive(Clone, Copy)]
enum Lock {
    Auction(AuctionId),
    Wallet(&'static str),
    /// The key `k` of the house, for another end of this auction.
    Key(AuctionId),
}

impl Lock {
    async fn take(self, ledger: &AuctionLedger, uow: &UnitOfWork) -> Result<(), Error> {
        match self {
            Self::Auction(auction) => {
                uow.lock_one::<auction::Entity>(auction.get()).await?;
            }
            Self::Wallet(user) => {
                let wallet =
                    wallet::Entity::find().filter(wallet::Column::Owner.eq(user.as_bytes()));
                uow.lock(wallet, LockWait::Wait).await?;
            }
            Self::Key(auction) => {
                let later = super::end() + chrono::TimeDelta::hours(2);
                ledger.extend(auction, later).key("k").within(uow).await?;
            }
        }
        Ok(())
    }
}

impl Host {
    async fn with(ledger: &AuctionLedger, lock: Lock) -> Self {
        let ledger = ledger.clone();
        let (end, ended) = oneshot::channel::<()>();
        let (locked, is_locked) = oneshot::channel();
        let task = tokio::spawn(async move {
            let done = ledger.atomic(async |uow| {
                lock.take(&ledger, uow).await?;
                _ = locked.send(());
                _ = ended.await;
                Ok::<_, Error>(())
            });
            done.await.map(|done| done.into_value())
        });
        is_locked.await.expect("it locks");
        Self { end, task }
    }

    async fn end(self) -> Result<(), Error> {
        _ = self.end.send(());
        self.task.await.expect("it does not panic")
    }
}

/// Whether a request is still not answered when the others are, which are awaited.
async fn is_behind(
    request: &mut BidRequest<'_>,
    others: Vec<BidRequest<'_>>,
) -> Result<bool, Error> {
    let answered = select(request, join_all(others)).await;
    let Either::Right((answers, _)) = answered else { return Ok(false) };
    for answer in answers {
        match answer {
            Ok(_) | Err(Error::Rejected(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

on_servers! {
    /// One for the first, and one for all that stood in line.
    async fn auctions_share_a_transaction(world: &World) {
        let link = Link::to(world).await;
        let pool = world.database().connect(link.url(), 4).await;
        let ledger = AuctionLedger::new(pool.clone()).clock(ManualClock::new(super::start()));
        let ledger = ledger.group_commit(GroupCommit::new().lists(1));
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let auctions = open_many(&ledger, 30).await?;
        link.requests();
        let bid = |place: usize| {
            let user = if place.is_multiple_of(2) { "ann" } else { "bob" };
            ledger.place_bid(auctions[place], user, (100 + 10 * place as i64).into()).into_future()
        };
        for answer in all_at_once(&ledger, (0..30).map(bid).collect()).await {
            assert_eq!(answer?.seq, 2);
        }
        let commits = link.requests().iter().filter(|request| says(request, "COMMIT")).count();
        assert_eq!(commits, 2);
        Books::read(world.db()).await?.check();
        pool.close().await?;
    }

    /// It is left out of the list, and carried out when its lock is free.
    async fn an_auction_that_somebody_else_has_locked_holds_up_no_other(world: &World) {
        let ledger = AuctionLedger::new(world.connect(8).await).clock(ManualClock::new(super::start()));
        let ledger = ledger.group_commit(GroupCommit::new().lists(1));
        charge(&ledger, &["ann"], 100_000).await?;
        let auctions = open_many(&ledger, 6).await?;
        let locked = auctions[3];
        let host = Host::with(&ledger, Lock::Auction(locked)).await;
        let bid = |auction: &AuctionId| ledger.place_bid(*auction, "ann", 100.into()).into_future();
        let mut bids: Vec<_> = auctions.iter().map(bid).collect();
        ledger.drain().await;
        line_up(&mut bids).await;
        let mut behind = bids.remove(3);
        assert!(is_behind(&mut behind, bids).await?);
        // Whoever comes to it now waits in its line, and not even for a place among the transactions.
        let mut later = bid(&auctions[3]);
        assert!(is_behind(&mut later, vec![ledger.place_bid(auctions[0], "ann", 110.into()).into_future()]).await?);
        host.end().await?;
        assert_eq!(behind.await?.seq, 2);
        assert!(matches!(later.await, Err(Error::Rejected(_))), "it is the same amount");
        Books::read(world.db()).await?.check();
    }

    /// The list gives up after a second, and each of its auctions waits alone.
    async fn a_wallet_that_somebody_else_has_locked_holds_up_no_stranger(world: &World) {
        let ledger = AuctionLedger::new(world.connect(12).await).clock(ManualClock::new(super::start()));
        let ledger = ledger.group_commit(GroupCommit::new().lists(1));
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let auctions = open_many(&ledger, 6).await?;
        let host = Host::with(&ledger, Lock::Wallet("ann")).await;
        let bid = |place: usize, auction: &AuctionId| {
            let user = if place == 2 { "ann" } else { "bob" };
            ledger.place_bid(*auction, user, 100.into()).into_future()
        };
        let mut bids: Vec<_> = auctions.iter().enumerate().map(|(place, auction)| bid(place, auction)).collect();
        ledger.drain().await;
        line_up(&mut bids).await;
        let mut behind = bids.remove(2);
        assert!(is_behind(&mut behind, bids).await?);
        host.end().await?;
        assert_eq!(behind.await?.user.as_str(), "ann");
        Books::read(world.db()).await?.check();
    }

    /// A key of the house, so that nothing else is waited for. Whoever comes to the auction meanwhile waits too, and is answered.
    async fn a_key_that_a_host_is_using_for_something_else_is_waited_for(world: &World) {
        let ledger = AuctionLedger::new(world.connect(12).await).clock(ManualClock::new(super::start()));
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let auctions = open_many(&ledger, 2).await?;
        let (auction, other) = (auctions[0], auctions[1]);
        let host = Host::with(&ledger, Lock::Key(other)).await;
        let later = super::end() + chrono::TimeDelta::hours(1);
        let extend = tokio::spawn({
            let ledger = ledger.clone();
            async move { ledger.extend(auction, later).key("k").await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let bid = tokio::spawn({
            let ledger = ledger.clone();
            async move { ledger.place_bid(auction, "bob", 100.into()).await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!extend.is_finished() && !bid.is_finished());
        host.end().await?;
        let conflict = extend.await?;
        assert!(matches!(conflict, Err(Error::IdempotencyConflict { .. })), "it is another auction: {conflict:?}");
        assert_eq!(bid.await??.seq, 2);
        Books::read(world.db()).await?.check();
    }

    /// A key that stands there already undoes the list, which looks for its keys then; what is locked is left out of it.
    async fn keys_of_many_auctions_share_a_transaction(world: &World) {
        let ledger = AuctionLedger::new(world.connect(8).await).clock(ManualClock::new(super::start()));
        let ledger = ledger.group_commit(GroupCommit::new().lists(1));
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let auctions = open_many(&ledger, 6).await?;
        let (used, locked, replayed) = (auctions[2], auctions[3], auctions[4]);
        let bid = |auction: AuctionId, amount: i64, key: &str| {
            ledger.place_bid(auction, "ann", amount.into()).key(key).into_future()
        };
        let first = bid(used, 100, "used").await?;
        let original = bid(replayed, 100, "replayed").await?;
        let host = Host::with(&ledger, Lock::Auction(locked)).await;
        let mut bids = vec![
            bid(auctions[0], 100, "0"),
            bid(auctions[1], 100, "1"),
            bid(used, 110, "used"),
            bid(locked, 100, "3"),
            bid(replayed, 100, "replayed"),
            bid(auctions[5], 100, "5"),
        ];
        ledger.drain().await;
        line_up(&mut bids).await;
        let behind = bids.remove(3);
        let mut answers = join_all(bids).await;
        assert_eq!(answers.remove(3)?, original);
        let conflict = answers.remove(2);
        assert!(matches!(conflict, Err(Error::IdempotencyConflict { operation }) if operation == first.operation), "{conflict:?}");
        for answer in answers {
            assert_eq!(answer?.seq, 2);
        }
        host.end().await?;
        assert_eq!(behind.await?.seq, 2);
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!((books.bids.len(), books.keys.len()), (6, 6));
    }

    /// Processes whose lists have no auction in common, and every wallet: each waits for the wallets of the other, and finds
    /// them as the other has left them.
    async fn lists_that_share_their_wallets_find_all_of_them(world: &World) {
        let names: Vec<String> = (0..12).map(|index| format!("bidder {index}")).collect();
        let users: Vec<&str> = names.iter().map(String::as_str).collect();
        charge(&ledger(world), &users, 100_000_000).await?;
        let mut processes = Vec::new();
        for _ in 0..3 {
            let process = AuctionLedger::new(world.connect(4).await).clock(ManualClock::new(super::start()));
            let auctions = open_many(&process, 12).await?;
            processes.push((process, auctions));
        }
        let rounds = scale(10);
        let outcomes = race(processes.len(), |index| {
            let (process, auctions) = processes[index].clone();
            let names = names.clone();
            async move {
                for round in 0..rounds {
                    let bid = |place: usize| {
                        let user = names[(place + round) % names.len()].as_str();
                        let amount = 100 + 10 * round as i64;
                        process.place_bid(auctions[place], user, amount.into()).into_future()
                    };
                    for answer in all_at_once(&process, (0..auctions.len()).map(bid).collect()).await {
                        answer?;
                    }
                }
                Ok::<_, Error>(())
            }
        });
        for outcome in outcomes.await {
            outcome?;
        }
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!(books.bids.len(), 36 * rounds);
    }

    /// A caller that nobody polls cannot say that it takes long.
    async fn whoever_is_not_polled_takes_nobodys_place(world: &World) {
        let ledger = AuctionLedger::new(world.connect(8).await).clock(ManualClock::new(super::start()));
        let slow = Duration::from_millis(50);
        let ledger = ledger.group_commit(GroupCommit::new().lists(1).slow(slow));
        charge(&ledger, &["ann", "bob", "cid"], 100_000).await?;
        let auctions = open_many(&ledger, 3).await?;
        // Each with a wallet of their own: what is not polled any more may hold its locks.
        let bid = |auction: AuctionId, user: &'static str| ledger.place_bid(auction, user, 100.into()).into_future();
        let mut first = vec![bid(auctions[0], "ann"), bid(auctions[1], "bob")];
        ledger.drain().await;
        line_up(&mut first).await;
        tokio::time::sleep(slow).await;
        // Whoever comes now goes, and takes along who waits.
        assert_eq!(bid(auctions[2], "cid").await?.seq, 2);
        for bid in first {
            assert_eq!(bid.await?.seq, 2);
        }
    }

    /// A transaction that takes long does not count: there is room for the next one.
    async fn whoever_waits_for_a_lock_takes_nobodys_place(world: &World) {
        let ledger = AuctionLedger::new(world.connect(8).await).clock(ManualClock::new(super::start()));
        let ledger = ledger.group_commit(GroupCommit::new().lists(1));
        charge(&ledger, &["ann"], 100_000).await?;
        let auctions = open_many(&ledger, 2).await?;
        let locked = auctions[0];
        let host = Host::with(&ledger, Lock::Auction(locked)).await;
        let bid = |auction: AuctionId| ledger.place_bid(auction, "ann", 100.into()).into_future();
        let mut bids = vec![bid(auctions[0]), bid(auctions[1])];
        ledger.drain().await;
        line_up(&mut bids).await;
        let mut behind = bids.remove(0);
        assert!(is_behind(&mut behind, bids).await?);
        host.end().await?;
        assert_eq!(behind.await?.seq, 2);
    }
}

on_every_backend! {
    /// A second transaction begins only when there is room for it, or somebody waits for an auction.
    async fn on_free_auctions_everybody_is_carried_out(world: &World) {
        for lists in [1, 2, 3, 100] {
            let ledger = ledger(world).group_commit(GroupCommit::new().lists(lists).commands(7));
            charge(&ledger, &["ann"], 100_000).await?;
            let auctions = open_many(&ledger, 20).await?;
            let bid = |auction: &AuctionId| ledger.place_bid(*auction, "ann", 100.into()).into_future();
            for answer in all_at_once(&ledger, auctions.iter().map(bid).collect()).await {
                assert_eq!(answer?.seq, 2);
            }
            Books::read(world.db()).await?.check();
        }
    }

    async fn an_auction_that_is_not_there_is_no_affair_of_the_others(world: &World) {
        let ledger = ledger(world).group_commit(GroupCommit::new().lists(1));
        charge(&ledger, &["ann"], 100_000).await?;
        let mut auctions = open_many(&ledger, 4).await?;
        auctions.insert(2, AuctionId::from(77_777));
        let bid = |auction: &AuctionId| ledger.place_bid(*auction, "ann", 100.into()).into_future();
        let mut answers = all_at_once(&ledger, auctions.iter().map(bid).collect()).await;
        let unknown = answers.remove(2);
        assert!(matches!(unknown, Err(Error::UnknownAuction { auction }) if auction == auctions[2]), "{unknown:?}");
        for answer in answers {
            assert_eq!(answer?.seq, 2);
        }
    }

    /// Each kind of command stands in the line of its auction, and is a list of its own.
    async fn every_command_on_an_auction_keeps_its_place_in_line(world: &World) {
        let ledger = ledger(world);
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let auction = open(&ledger).await?;
        let bid = |amount: i64| {
            let request = ledger.place_bid(auction, "ann", amount.into()).into_future();
            futures::FutureExt::boxed(async move { request.await.map(|bid| bid.seq) })
        };
        macro_rules! seq {
            ($request:expr) => {{
                let request = $request.into_future();
                futures::FutureExt::boxed(async move { request.await.map(|done| done.seq) })
            }};
        }
        let later = super::end() + chrono::TimeDelta::hours(1);
        let requests = vec![
            bid(100),
            bid(110),
            seq!(ledger.extend(auction, later).reason("a storm")),
            bid(120),
            bid(130),
            seq!(ledger.void_bid(auction, 6, "a typing error")),
            seq!(ledger.close_early(auction).by("sam")),
            bid(140),
            seq!(ledger.settle(auction)),
            seq!(ledger.cancel(auction)),
        ];
        let answers = all_at_once(&ledger, requests).await;
        let seqs: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().copied()).collect();
        let expected = [Some(2), Some(3), Some(4), Some(5), Some(6), Some(7), Some(8), None, Some(8), None];
        assert_eq!(seqs, expected, "{answers:?}");
        assert_eq!(ledger.wallet("sam", WON).await?.available, 120.into());
        Books::read(world.db()).await?.check();
    }

    async fn a_host_that_shuts_down_waits_for_all(world: &World) {
        let ledger = ledger(world);
        // Nothing is under way.
        ledger.drain().await;
        charge(&ledger, &["ann"], 100_000).await?;
        let auction = open(&ledger).await?;
        let bid = |tens: i64| ledger.place_bid(auction, "ann", (10 * tens).into()).into_future();
        let mut bids: Vec<_> = (10..40).map(bid).collect();
        ledger.drain().await;
        line_up(&mut bids).await;
        assert!(poll_immediate(ledger.drain()).await.is_none(), "they are in line");
        bids.remove(0).await?;
        ledger.drain().await;
        for (bid, seq) in bids.into_iter().zip(3..) {
            assert_eq!(poll_immediate(bid).await.expect("it is answered")?.seq, seq);
        }
        Books::read(world.db()).await?.check();
    }
}
