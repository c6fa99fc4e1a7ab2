//! Reading on another node right after a commit.

use auction_ledger::{AuctionLedger, AuctionTerms, Error};
use sea_orm::ConnectionTrait;
use std::time::Duration;

use super::WON;
use super::cluster::{Cluster, Reads};
use crate::support::{TestResult, scale};

/// The node is held back here, as it is for a moment whenever it is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn a_node_shows_what_is_old_until_it_is_asked_to_wait() -> TestResult {
    let cluster = Cluster::new("shows_what_is_old", Reads::Stale).await;
    let first = AuctionLedger::new(cluster.nodes[0].clone());
    first.deposit("ann", WON, 10.into()).await?;
    cluster.catch_up().await?;
    let held = cluster.connect(1, 1, Reads::Stale).await;
    held.execute_unprepared("FLUSH TABLES WITH READ LOCK").await?;
    first.deposit("ann", WON, 5.into()).await?;

    let old = AuctionLedger::new(cluster.nodes[1].clone());
    assert_eq!(old.wallet("ann", WON).await?.available, 10.into(), "the deposit is not there yet");
    let asked = AuctionLedger::new(cluster.connect(1, 1, Reads::Causal).await);
    let waiting = tokio::spawn(async move { asked.wallet("ann", WON).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "it waits for what was committed before");
    held.execute_unprepared("UNLOCK TABLES").await?;
    assert_eq!(waiting.await??.available, 15.into());
    held.close().await?;
    cluster.end().await
}

/// What one node has acknowledged the next one builds on: a deposit is bid with, an opened auction is bid on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn with_wsrep_sync_wait_a_command_sees_what_another_node_has_acknowledged() -> TestResult {
    let cluster = Cluster::new("sees", Reads::Causal).await;
    let rounds = scale(200);
    let refused = relay(&cluster, rounds).await?;
    println!("with wsrep_sync_wait: {} of {rounds} rounds were refused", refused.len());
    assert!(refused.is_empty(), "{refused:?}");
    cluster.books().await?;
    cluster.end().await
}

/// No promise can be tested here but that nothing wrong is stored; how often a command was refused is printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn without_wsrep_sync_wait_a_command_may_be_refused_and_stores_nothing_wrong() -> TestResult {
    let cluster = Cluster::new("may_be_refused", Reads::Stale).await;
    let rounds = scale(200);
    let refused = relay(&cluster, rounds).await?;
    println!("without wsrep_sync_wait: {} of {rounds} rounds were refused", refused.len());
    let stale = |error: &Error| {
        matches!(error, Error::UnknownAuction { .. }) || error.rejection().is_some()
    };
    assert!(refused.iter().all(stale), "{refused:?}");
    cluster.books().await?;
    cluster.end().await
}

/// Each round a user deposits through one node, an auction opens through the next, and the user bids through the third.
async fn relay(cluster: &Cluster, rounds: usize) -> Result<Vec<Error>, Error> {
    let ledgers = cluster.ledgers();
    let mut refused = Vec::new();
    for round in 0..rounds {
        let user = format!("user {round}");
        let ledger = |step: usize| &ledgers[(round + step) % 3];
        ledger(0).deposit(user.as_str(), WON, 100.into()).await?;
        let terms =
            AuctionTerms::english(WON, 100.into(), 10.into()).ends_in(Duration::from_secs(3600));
        let auction = ledger(1).open_auction("sam", "a lens", terms).await?.id;
        match ledger(2).place_bid(auction, user.as_str(), 100.into()).await {
            Ok(_) => {}
            Err(error) => refused.push(error),
        }
    }
    Ok(refused)
}
