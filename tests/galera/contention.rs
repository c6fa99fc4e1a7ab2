//! Bidders on all nodes at once.

use std::error::Error;
use std::time::Duration;

use auction_ledger::unit_of_work::Retry;
use auction_ledger::{AuctionId, AuctionLedger, AuctionTerms};

use super::WON;
use super::client::Client;
use super::cluster::{Cluster, Reads};
use super::log::{Fate, Log};
use crate::support::{Books, TestResult, race, scale};

/// What every user has at first.
const FUNDS: i64 = 1_000_000_000;

/// Clients, and what they do.
struct Load {
    clients: usize,
    auctions: usize,
    /// Of each client.
    commands: usize,
    /// Over how many of the nodes they are spread.
    nodes: usize,
    retry: Retry,
}

impl Load {
    fn new(clients: usize, auctions: usize, commands: usize) -> Self {
        Self { clients, auctions, commands, nodes: 3, retry: Retry::new() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn bids_on_one_auction_from_three_nodes_are_stored_once_or_refused() -> TestResult {
    let cluster = Cluster::new("one_auction", Reads::Causal).await;
    contend(&cluster, &Load::new(12, 1, scale(100))).await?;
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn bids_on_many_auctions_from_three_nodes_are_stored_once_or_refused() -> TestResult {
    let cluster = Cluster::new("many_auctions", Reads::Causal).await;
    contend(&cluster, &Load::new(12, 9, scale(100))).await?;
    cluster.end().await
}

/// What a node has not seen yet may cost an attempt, or a refusal that a moment later would be none, and never money.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn nodes_that_read_what_is_old_store_nothing_wrong() -> TestResult {
    let cluster = Cluster::new("old_reads", Reads::Stale).await;
    contend(&cluster, &Load::new(12, 3, scale(100))).await?;
    cluster.end().await
}

/// How many attempts it takes when ever more clients want the same row is printed; `docs/scaling.md` says what came out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn a_crowd_on_one_auction_gets_through_with_a_hundred_attempts() -> TestResult {
    for clients in [3, 24, 48] {
        let cluster = Cluster::new("crowd", Reads::Causal).await;
        let load = Load::new(clients, 1, scale(1200).div_ceil(clients));
        contend(&cluster, &Load { retry: Retry::new().attempts(100), ..load }).await?;
        cluster.end().await?;
    }
    Ok(())
}

/// On one node the row lock is a lock again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn bids_on_one_auction_through_one_node_need_one_attempt() -> TestResult {
    let cluster = Cluster::new("one_node", Reads::Causal).await;
    let load = Load::new(24, 1, scale(50));
    let log = contend(&cluster, &Load { nodes: 1, ..load }).await?;
    assert!(log.0.iter().all(|line| line.attempts == 1), "{log}");
    cluster.end().await
}

/// The verbs by themselves, as a host calls them: they retry until they know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn deposits_of_a_new_user_from_three_nodes_make_one_wallet() -> TestResult {
    let cluster = Cluster::new("new_users", Reads::Causal).await;
    let rounds = scale(20);
    for round in 0..rounds {
        let user = format!("user {round}");
        let outcomes = race(6, |index| {
            let ledger = AuctionLedger::new(cluster.nodes[index % 3].clone());
            let user = user.clone();
            async move { ledger.deposit(user, WON, 10.into()).await }
        });
        for outcome in outcomes.await {
            outcome?;
        }
    }
    let books = cluster.books().await?;
    assert_eq!((books.wallets.len(), books.entries.len()), (rounds, 6 * rounds));
    assert_eq!(books.total(), 60 * rounds as i128);
    cluster.end().await
}

/// One of them settles it, the others are told what it did: settling is idempotent across nodes too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn an_auction_that_three_nodes_settle_is_settled_once() -> TestResult {
    let cluster = Cluster::new("settle", Reads::Causal).await;
    let ledgers = cluster.ledgers();
    ledgers[0].deposit("ann", WON, FUNDS.into()).await?;
    let rounds = scale(20);
    for _ in 0..rounds {
        let soon =
            AuctionTerms::english(WON, 100.into(), 10.into()).ends_in(Duration::from_millis(300));
        let auction = ledgers[0].open_auction("sam", "a lens", soon).await?.id;
        ledgers[1].place_bid(auction, "ann", 100.into()).await?;
        tokio::time::sleep(Duration::from_millis(350)).await;
        let outcomes = race(6, |index| {
            let ledger = ledgers[index % 3].clone();
            async move { ledger.settle(auction).await }
        });
        let outcomes: Vec<_> = outcomes.await.into_iter().collect::<Result<_, _>>()?;
        assert_eq!(outcomes.iter().filter(|settled| !settled.repeated).count(), 1);
        assert!(outcomes.iter().all(|settled| settled.operation == outcomes[0].operation));
    }
    let books = cluster.books().await?;
    assert_eq!(books.wallet("sam").available, 100 * rounds as i64);
    assert_eq!(books.total(), i128::from(FUNDS));
    cluster.end().await
}

/// The books of every node agree with what the clients were told, and nobody was told of a failure.
///
/// Every user has two clients, on two nodes if they are spread: the wallets are as contended as the auctions.
async fn contend(cluster: &Cluster, load: &Load) -> Result<Log, Box<dyn Error + Send + Sync>> {
    let (ledgers, users) = (cluster.ledgers(), load.clients.div_ceil(2));
    let auctions = opened(&ledgers[0], users, load.auctions).await?;
    cluster.catch_up().await?;
    let logs = race(load.clients, |index| {
        let mut client = Client::new(index, &user(index / 2), &ledgers, index % load.nodes);
        client.retry = load.retry.clone();
        let (auctions, commands) = (auctions.clone(), load.commands);
        async move {
            for _ in 0..commands {
                client.act(&auctions).await;
            }
            client.log
        }
    });
    let log = Log(logs.await.into_iter().flat_map(|log| log.0).collect());
    println!(
        "{} clients over {} nodes on {} auctions: {log}",
        load.clients, load.nodes, load.auctions
    );
    let books = cluster.books().await?;
    log.verify(&books);
    log.verify_refusals();
    assert_eq!(log.count(Fate::is_failure), 0, "nobody may be told of a failure");
    check_deposits(&books, users);
    Ok(log)
}

/// The users with their money, and the auctions: both made through one node.
pub(super) async fn opened(
    ledger: &AuctionLedger,
    users: usize,
    auctions: usize,
) -> Result<Vec<AuctionId>, auction_ledger::Error> {
    for index in 0..users {
        ledger.deposit(user(index), WON, FUNDS.into()).await?;
    }
    let mut opened = Vec::new();
    for _ in 0..auctions {
        let day = Duration::from_secs(86_400);
        let terms = AuctionTerms::english(WON, 100.into(), 10.into()).ends_in(day);
        opened.push(ledger.open_auction("sam", "a lens", terms).await?.id);
    }
    Ok(opened)
}

pub(super) fn user(index: usize) -> String {
    format!("user {index}")
}

/// Nothing but deposits has changed what there is. `Books` has compared it with the journal.
pub(super) fn check_deposits(books: &Books, users: usize) {
    assert_eq!(books.wallets.len(), users + 1, "the users and the seller");
    assert!(books.total() >= i128::from(FUNDS) * users as i128);
    assert_eq!(books.wallet("sam").seq, 0, "nothing is sold");
}
