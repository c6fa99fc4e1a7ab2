//! A list that is about to write hands its auction over.

use std::time::Duration;

use auction_ledger::{AuctionLedger, Error, GroupCommit, ManualClock};
use futures::future::{BoxFuture, join_all, poll_immediate};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement, TransactionTrait};

use super::{charge, line_up, open};
use crate::faults::on_postgres;
use crate::support::Books;

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

on_postgres! {
    /// While one is writing the next has begun, and waits for the row in the database, with nobody behind it. It takes no room.
    async fn the_next_list_begins_while_the_one_before_is_writing(world: &World) {
        let ledger = AuctionLedger::new(world.connect(8).await).clock(ManualClock::new(super::start()));
        // No bid is slow: what begins, begins because the auction was handed over.
        let ledger = ledger.group_commit(GroupCommit::new().slow(Duration::from_secs(600)).lists(1));
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let (auction, other) = (open(&ledger).await?, open(&ledger).await?);
        let bid = |user: &'static str, amount: i64| ledger.place_bid(auction, user, amount.into()).into_future();
        // Whoever bids locks and judges, and cannot write.
        let held = world.db().begin().await?;
        held.execute_unprepared("LOCK TABLE al_bid IN SHARE MODE").await?;
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
}
