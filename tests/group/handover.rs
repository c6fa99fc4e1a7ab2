//! A list that is about to write hands its auction over.

use std::time::Duration;

use auction_ledger::unit_of_work::ErrorKind;
use auction_ledger::{AuctionId, AuctionLedger, Bid, Error, GroupCommit, ManualClock, Rejection};
use futures::future::{BoxFuture, join_all, poll_immediate};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, Statement, TransactionTrait,
};

use super::{charge, line_up, open};
use crate::faults::on_postgres;
use crate::support::link::{Link, says};
use crate::support::{Books, World};

/// How many transactions of this database wait for a lock.
async fn waiting(db: &DatabaseConnection) -> Result<i64, Error> {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.expect("a count is a row").try_get_by_index(0)?)
}

async fn wait_until_they_wait(db: &DatabaseConnection, count: i64) {
    let they_wait = async {
        while waiting(db).await.unwrap() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let timeout = Duration::from_secs(60);
    tokio::time::timeout(timeout, they_wait).await.expect("it should have begun, and wait");
}

/// No bid is slow: what begins, begins because the auction was handed over.
async fn one_list_at_a_time(world: &World) -> AuctionLedger {
    let ledger = AuctionLedger::new(world.connect(8).await).clock(ManualClock::new(super::start()));
    ledger.group_commit(GroupCommit::new().slow(Duration::from_secs(600)).lists(1))
}

/// Until it ends, whoever bids locks and judges, and cannot write.
async fn hold_bids(world: &World) -> Result<DatabaseTransaction, DbErr> {
    let held = world.db().begin().await?;
    held.execute_unprepared("LOCK TABLE al_bid IN SHARE MODE").await?;
    Ok(held)
}

/// A bid of ann's, always with one key.
fn keyed(
    ledger: &AuctionLedger,
    auction: AuctionId,
    amount: i64,
) -> BoxFuture<'_, Result<Bid, Error>> {
    ledger.place_bid(auction, "ann", amount.into()).key("a key").into_future()
}

/// The first was carried out, the second is the same request, and the third another one: both would be refused by the rules.
fn once(mut answers: Vec<Result<Bid, Error>>) -> Result<(), Error> {
    let conflict = answers.remove(2).unwrap_err();
    let (first, same) = (answers.remove(0)?, answers.remove(0)?);
    assert_eq!(same, first);
    let is_it = matches!(conflict, Error::IdempotencyConflict { operation } if operation == first.operation);
    assert!(is_it, "{conflict}");
    Ok(())
}

on_postgres! {
    /// While one is writing the next has begun, and waits for the row in the database, with nobody behind it. It takes no room.
    async fn the_next_list_begins_while_the_one_before_is_writing(world: &World) {
        let ledger = one_list_at_a_time(world).await;
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let (auction, other) = (open(&ledger).await?, open(&ledger).await?);
        let bid = |user: &'static str, amount: i64| ledger.place_bid(auction, user, amount.into()).into_future();
        let held = hold_bids(world).await?;
        ledger.drain().await;
        let mut crowd = ledger.cancel(other).into_future();
        assert!(poll_immediate(&mut crowd).await.is_none());
        let mut bids: Vec<BoxFuture<'_, _>> = vec![bid("ann", 100), bid("bob", 110)];
        line_up(&mut bids).await;
        // Now there is room for them: they are a list.
        crowd.await?;
        wait_until_they_wait(world.db(), 1).await;
        let mut behind: Vec<BoxFuture<'_, _>> = vec![bid("ann", 120)];
        line_up(&mut behind).await;
        wait_until_they_wait(world.db(), 2).await;
        // That one has not written, so nobody begins behind it.
        behind.push(bid("bob", 130));
        line_up(&mut behind[1..]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(waiting(world.db()).await?, 2);
        held.rollback().await?;
        let bids = join_all(bids.into_iter().chain(behind)).await;
        let seqs: Result<Vec<_>, Error> = bids.into_iter().map(|bid| Ok(bid?.seq)).collect();
        assert_eq!(seqs?, [2, 3, 4, 5]);
        Books::read(world.db()).await?.check();
    }

    /// The list that handed over fails when it writes; whoever was behind it has begun. Each gets an answer that is true.
    async fn a_list_that_fails_after_it_handed_over_is_tried_again_behind_the_next(world: &World) {
        super::failures::refuse_150(world).await?;
        let ledger = one_list_at_a_time(world).await;
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let (auction, other) = (open(&ledger).await?, open(&ledger).await?);
        let bid = |user: &'static str, amount: i64| ledger.place_bid(auction, user, amount.into()).into_future();
        let held = hold_bids(world).await?;
        ledger.drain().await;
        let mut crowd = ledger.cancel(other).into_future();
        assert!(poll_immediate(&mut crowd).await.is_none());
        let mut bids: Vec<BoxFuture<'_, _>> = vec![bid("ann", 100), bid("bob", 150), bid("ann", 160)];
        line_up(&mut bids).await;
        crowd.await?;
        wait_until_they_wait(world.db(), 1).await;
        let mut behind: Vec<BoxFuture<'_, _>> = vec![bid("bob", 130)];
        line_up(&mut behind).await;
        wait_until_they_wait(world.db(), 2).await;
        held.rollback().await?;
        let mut answers = join_all(bids.into_iter().chain(behind)).await;
        let (next, last, failed, first) = (answers.remove(3), answers.remove(2), answers.remove(1), answers.remove(0));
        assert_eq!(failed.unwrap_err().kind(), Some(ErrorKind::TriggerRefusal));
        assert_eq!(next?.seq, 2, "it was waiting for the row, and got it");
        assert!(matches!(super::rejection(first), Rejection::BelowMinimum { .. }));
        assert_eq!(last?.seq, 3);
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!(books.bids.len(), 2);
    }

    /// The next list looks for its keys while the one before is writing them, and cannot see them.
    async fn whoever_is_behind_knows_the_keys_that_are_being_written(world: &World) {
        let ledger = one_list_at_a_time(world).await;
        charge(&ledger, &["ann"], 100_000).await?;
        let (auction, other) = (open(&ledger).await?, open(&ledger).await?);
        let held = hold_bids(world).await?;
        ledger.drain().await;
        let mut crowd = ledger.cancel(other).into_future();
        assert!(poll_immediate(&mut crowd).await.is_none());
        let mut bids = vec![keyed(&ledger, auction, 100)];
        line_up(&mut bids).await;
        crowd.await?;
        wait_until_they_wait(world.db(), 1).await;
        let mut behind = vec![keyed(&ledger, auction, 100), keyed(&ledger, auction, 90)];
        line_up(&mut behind).await;
        wait_until_they_wait(world.db(), 2).await;
        held.rollback().await?;
        once(join_all(bids.into_iter().chain(behind)).await)?;
        Books::read(world.db()).await?.check();
    }

    /// Another process writes the key after the list has looked for it.
    async fn whoever_waits_for_another_process_knows_the_keys_that_it_has_written(world: &World) {
        let ledger = one_list_at_a_time(world).await;
        let another = AuctionLedger::new(world.connect(1).await).clock(ManualClock::new(super::start()));
        charge(&ledger, &["ann"], 100_000).await?;
        let (auction, other) = (open(&ledger).await?, open(&ledger).await?);
        let held = hold_bids(world).await?;
        let mut bid = keyed(&another, auction, 100);
        let waits = wait_until_they_wait(world.db(), 1);
        futures::future::select(&mut bid, Box::pin(waits)).await;
        ledger.drain().await;
        let mut crowd = ledger.cancel(other).into_future();
        assert!(poll_immediate(&mut crowd).await.is_none());
        let mut behind = vec![keyed(&ledger, auction, 100), keyed(&ledger, auction, 90)];
        line_up(&mut behind).await;
        crowd.await?;
        wait_until_they_wait(world.db(), 2).await;
        held.rollback().await?;
        let bid = bid.await;
        once([bid].into_iter().chain(join_all(behind).await).collect())?;
        Books::read(world.db()).await?.check();
    }

    /// The list before fails, and another process writes as many commands as it would have.
    async fn whoever_is_behind_a_list_that_fails_knows_the_keys_of_another_process(world: &World) {
        super::failures::refuse_150(world).await?;
        let ledger = one_list_at_a_time(world).await;
        let another = AuctionLedger::new(world.connect(1).await).clock(ManualClock::new(super::start()));
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let (auction, other) = (open(&ledger).await?, open(&ledger).await?);
        let held = hold_bids(world).await?;
        ledger.drain().await;
        let mut crowd = ledger.cancel(other).into_future();
        assert!(poll_immediate(&mut crowd).await.is_none());
        let mut fails: Vec<BoxFuture<'_, _>> = vec![ledger.place_bid(auction, "bob", 150.into()).into_future()];
        line_up(&mut fails).await;
        crowd.await?;
        wait_until_they_wait(world.db(), 1).await;
        let mut bid = keyed(&another, auction, 100);
        let waits = wait_until_they_wait(world.db(), 2);
        futures::future::select(&mut bid, Box::pin(waits)).await;
        let mut behind = vec![keyed(&ledger, auction, 100), keyed(&ledger, auction, 90)];
        line_up(&mut behind).await;
        wait_until_they_wait(world.db(), 3).await;
        held.rollback().await?;
        let bid = bid.await;
        assert_eq!(fails.remove(0).await.unwrap_err().kind(), Some(ErrorKind::TriggerRefusal));
        once([bid].into_iter().chain(join_all(behind).await).collect())?;
        Books::read(world.db()).await?.check();
    }

    /// A server whose default is a snapshot refuses a row that has changed while it was waited for: once.
    async fn whoever_has_met_a_snapshot_asks_for_none_from_then_on(world: &World) {
        let (_, database) = world.url().rsplit_once('/').expect("a database in the URL");
        let default = format!("ALTER DATABASE {database} SET default_transaction_isolation = 'repeatable read'");
        world.db().execute_unprepared(&default).await?;
        let link = Link::to(world).await;
        let pool = world.database().connect(link.url(), 1).await;
        let ledger = AuctionLedger::new(pool.clone()).clock(ManualClock::new(super::start()));
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let auction = open(&ledger).await?;
        for amount in [100, 110] {
            ledger.place_bid(auction, "ann", amount.into()).await?;
        }
        link.requests();
        ledger.place_bid(auction, "ann", 120.into()).await?;
        let plain = link.requests().len();
        let held = world.db().begin().await?;
        held.execute_unprepared("UPDATE al_wallet SET last_at = last_at").await?;
        let mut waiting_bid = ledger.place_bid(auction, "bob", 130.into()).into_future();
        let waits = wait_until_they_wait(world.db(), 1);
        futures::future::select(&mut waiting_bid, Box::pin(waits)).await;
        held.commit().await?;
        assert_eq!(waiting_bid.await?.seq, 5);
        let again = link.requests();
        assert!(again.iter().any(|request| says(request, "READ COMMITTED")), "tried again without one");
        ledger.place_bid(auction, "ann", 140.into()).await?;
        link.requests();
        ledger.place_bid(auction, "ann", 150.into()).await?;
        assert_eq!(link.requests().len(), plain + 1, "it asks from then on");
        Books::read(world.db()).await?.check();
        pool.close().await?;
    }
}
