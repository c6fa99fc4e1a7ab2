//! Lines are bounded, and nobody waits in one for ever.

use std::time::Duration;

use auction_ledger::entity::auction;
use auction_ledger::unit_of_work::Error as UnitOfWorkError;
use auction_ledger::{Error, GroupCommit};
use auction_ledger_migration::{Migrator, MigratorTrait};

use super::{all_at_once, charge, ledger, open};
use crate::support::{Books, on_every_backend};

/// Whoever waits is carried out on a runtime that somebody drives, whatever has become of the one that had the turn.
#[test]
fn a_list_runs_where_somebody_waits_for_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ending, lasting) = (runtime(), runtime());
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/ledger.db?mode=rwc", folder.path().display());
    let (ledger, auction) = lasting.block_on(async {
        let db = sea_orm::Database::connect(url).await.unwrap();
        Migrator::up(&db, None).await.unwrap();
        let clock = auction_ledger::ManualClock::new(super::start());
        let ledger = auction_ledger::AuctionLedger::new(db).clock(clock);
        charge(&ledger, &["ann"], 10_000).await.unwrap();
        let auction = open(&ledger).await.unwrap();
        (ledger, auction)
    });
    let bid = |tens: i64| vec![ledger.place_bid(auction, "ann", (10 * tens).into()).into_future()];
    let (mut first, mut second, mut third) = (bid(10), bid(11), bid(12));
    ending.block_on(super::line_up(&mut first));
    lasting.block_on(super::line_up(&mut second));
    // Its runtime is there, and nobody drives it any more.
    lasting.block_on(async { drop(first) });
    assert_eq!(lasting.block_on(second.remove(0)).unwrap().seq, 2);
    lasting.block_on(ledger.drain());
    // Of a runtime that has ended nothing can be expected: whoever waits behind its caller is told.
    let mut turn = bid(13);
    lasting.block_on(super::line_up(&mut turn));
    ending.block_on(super::line_up(&mut third));
    let mut fourth = bid(14);
    lasting.block_on(super::line_up(&mut fourth));
    drop(ending);
    assert_eq!(lasting.block_on(turn.remove(0)).unwrap().seq, 3);
    let told = lasting.block_on(fourth.remove(0));
    assert!(matches!(told, Err(Error::Overloaded { waiting: 2 })), "{told:?}");
    // The auction is free.
    assert_eq!(lasting.block_on(bid(15).remove(0)).unwrap().seq, 4);
    lasting.block_on(async { drop(third) });
}

on_every_backend! {
    async fn one_more_than_can_wait_is_told_at_once(world: &World) {
        let ledger = ledger(world).group_commit(GroupCommit::new().waiting(2));
        charge(&ledger, &["ann"], 10_000).await?;
        let auction = open(&ledger).await?;
        let bid = |amount: i64| ledger.place_bid(auction, "ann", amount.into()).into_future();
        let answers = all_at_once(&ledger, (10..15).map(|tens| bid(10 * tens)).collect()).await;
        let overloaded = |answer: &Result<_, Error>| matches!(answer, Err(Error::Overloaded { waiting: 2 }));
        assert_eq!(answers.iter().map(overloaded).collect::<Vec<_>>(), [false, false, false, true, true]);
        for answer in &answers[..3] {
            assert!(answer.is_ok(), "{answer:?}");
        }
        let error = answers[4].as_ref().unwrap_err();
        assert!(error.is_retryable() && error.is_known_not_stored() && !error.is_rejection());
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!(books.bids.len(), 3);
        // There is room again.
        assert_eq!(all_at_once(&ledger, vec![bid(150)]).await.len(), 1);
    }

    async fn a_list_has_no_more_commands_than_it_may(world: &World) {
        for commands in [1, 2, 3, 7, 1_000_000] {
            let ledger = ledger(world).group_commit(GroupCommit::new().commands(commands));
            charge(&ledger, &["ann"], 100_000).await?;
            let auction = open(&ledger).await?;
            let bid = |tens: i64| ledger.place_bid(auction, "ann", (10 * tens).into()).into_future();
            let answers = all_at_once(&ledger, (10..20).map(bid).collect()).await;
            let seqs: Vec<_> = answers.into_iter().map(|answer| answer.map(|bid| bid.seq)).collect::<Result<_, _>>()?;
            assert!(seqs.into_iter().eq(2..12), "in the order of the line");
            Books::read(world.db()).await?.check();
        }
    }

    /// The line stands still while somebody else has the row: who has waited long enough goes, and nothing of theirs is stored.
    async fn whoever_has_waited_long_enough_is_told(world: &World) {
        let ledger = ledger(world).group_commit(GroupCommit::new().deadline(Duration::from_millis(50)));
        charge(&ledger, &["ann"], 10_000).await?;
        let auction = open(&ledger).await?;
        let bid = |tens: i64| ledger.place_bid(auction, "ann", (10 * tens).into()).into_future();
        let host = world.connect(1).await;
        let lock = auction_ledger::unit_of_work::Atomic::unit_of_work(&host);
        let (sent, told) = tokio::sync::oneshot::channel::<()>();
        let (locked, is_locked) = tokio::sync::oneshot::channel();
        let holding = tokio::spawn(async move {
            lock.atomic(async move |uow| {
                uow.lock_one::<auction::Entity>(auction.get()).await?;
                _ = locked.send(());
                _ = told.await;
                Ok::<_, Error>(())
            })
            .await
            .map(|done| done.into_value())
        });
        is_locked.await?;
        let mut bids: Vec<_> = (10..14).map(bid).collect();
        // One has more time than the ledger gives.
        let patient = ledger.place_bid(auction, "ann", 200.into()).deadline(Duration::from_secs(600));
        bids.push(patient.into_future());
        ledger.drain().await;
        super::line_up(&mut bids).await;
        let first = bids.remove(0);
        let patient = bids.pop().expect("there are five");
        for waiting in bids {
            assert!(matches!(waiting.await, Err(Error::Overloaded { .. })));
        }
        _ = sent.send(());
        holding.await??;
        assert_eq!(first.await?.maximum.reveal(), 100.into());
        assert_eq!(patient.await?.maximum.reveal(), 200.into());
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!(books.bids.len(), 2);
    }

    async fn off_means_that_nobody_waits_in_line(world: &World) {
        let ledger = ledger(world).group_commit(GroupCommit::off().waiting(0));
        charge(&ledger, &["ann"], 10_000).await?;
        let auction = open(&ledger).await?;
        let bid = |tens: i64| ledger.place_bid(auction, "ann", (10 * tens).into()).into_future();
        let answers = all_at_once(&ledger, (10..15).map(bid).collect()).await;
        assert!(answers.iter().any(Result::is_ok));
        let overloaded = answers.iter().any(|answer| matches!(answer, Err(Error::Overloaded { .. })));
        assert!(!overloaded, "{answers:?}");
        Books::read(world.db()).await?.check();
    }

    /// In the task of a list nobody would see that it is nested, and both would wait for ever.
    async fn nested_in_a_unit_of_work_it_is_refused_where_others_wait_too(world: &World) {
        let ledger = ledger(world);
        charge(&ledger, &["ann"], 10_000).await?;
        let auction = open(&ledger).await?;
        let first = ledger.atomic(async |uow| {
            // Whoever has the turn waits for this unit of work.
            uow.lock_one::<auction::Entity>(auction.get()).await?;
            let first = tokio::spawn({
                let ledger = ledger.clone();
                async move { ledger.place_bid(auction, "ann", 100.into()).await }
            });
            tokio::task::yield_now().await;
            let nested = ledger.place_bid(auction, "ann", 110.into()).await;
            assert!(matches!(nested, Err(Error::UnitOfWork(UnitOfWorkError::NestedRoot))), "{nested:?}");
            Ok::<_, Error>(first)
        });
        assert_eq!(first.await?.into_value().await??.seq, 2);
        assert_eq!(Books::read(world.db()).await?.bids.len(), 1);
    }
}
