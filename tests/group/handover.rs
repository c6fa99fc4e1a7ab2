//! A list that is about to write hands its auction over.

use std::time::Duration;

use auction_ledger::{AuctionLedger, Error, GroupCommit, ManualClock};
use futures::future::{BoxFuture, Either, join_all, poll_immediate, select};
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

on_postgres! {
    /// While one is writing the next has begun, and waits for the row in the database, with nobody behind it.
    async fn the_next_list_begins_while_the_one_before_is_writing(world: &World) {
        let ledger = AuctionLedger::new(world.connect(8).await).clock(ManualClock::new(super::start()));
        // No bid is slow: what begins, begins because the auction was handed over.
        let ledger = ledger.group_commit(GroupCommit::new().slow(Duration::from_secs(600)));
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let auction = open(&ledger).await?;
        let bid = |user: &'static str, amount: i64| ledger.place_bid(auction, user, amount.into()).into_future();
        // Every command locks and judges, and cannot write.
        let held = world.db().begin().await?;
        held.execute_unprepared("LOCK TABLE al_bid IN SHARE MODE").await?;
        let mut bids: Vec<BoxFuture<'_, _>> = vec![bid("ann", 100), bid("bob", 110), bid("ann", 120)];
        ledger.drain().await;
        line_up(&mut bids).await;
        let bids = join_all(bids);
        let both_wait = async {
            while waiting(world.db()).await? < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // The second has not written, so nobody has begun behind it.
            let mut third = ledger.place_bid(auction, "bob", 130.into()).into_future();
            assert!(poll_immediate(&mut third).await.is_none());
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, Error>((third, waiting(world.db()).await?))
        };
        let both_wait = tokio::time::timeout(Duration::from_secs(60), both_wait);
        let (third, most, bids) = match select(Box::pin(both_wait), bids).await {
            Either::Left((both, bids)) => {
                let (third, most) = both.expect("the second list should have begun")?;
                (third, most, bids)
            }
            Either::Right(_) => panic!("nobody can write"),
        };
        assert_eq!(most, 2);
        held.rollback().await?;
        let (bids, third) = tokio::join!(bids, third);
        let seqs: Result<Vec<_>, Error> = bids.into_iter().chain([third]).map(|bid| Ok(bid?.seq)).collect();
        assert_eq!(seqs?, [2, 3, 4, 5]);
        Books::read(world.db()).await?.check();
    }
}
