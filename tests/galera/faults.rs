//! A node is killed, cut off or frozen while clients bid through all of them, and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use auction_ledger::AuctionId;
use auction_ledger::unit_of_work::ErrorKind;
use tokio::task::JoinHandle;

use super::client::Client;
use super::cluster::{Cluster, Reads};
use super::contention::{check_deposits, opened, user};
use super::log::{self, Fate, Log};
use crate::support::{TestResult, scale};

const CLIENTS: usize = 9;
/// The first is the one that many bid on at once.
const AUCTIONS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// SIGKILL.
    Killed,
    /// No word to or from the other nodes; its clients still reach it.
    CutOff,
    /// SIGSTOP: the others go on without it, and it wakes up in the middle of what it was doing.
    Frozen,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn a_killed_node_loses_nothing() -> TestResult {
    disturb(Fault::Killed, "killed").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn a_node_that_is_cut_off_loses_nothing() -> TestResult {
    disturb(Fault::CutOff, "cut_off").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Galera cluster: run scripts/test-galera"]
async fn a_frozen_node_loses_nothing() -> TestResult {
    disturb(Fault::Frozen, "frozen").await
}

/// What the clients share.
struct Scene {
    stop: AtomicBool,
    /// The node that is away, or [`NOBODY`]. Who came from it speaks to another one until it is back.
    away: AtomicUsize,
    /// Commands that were acknowledged, by node.
    done: [AtomicUsize; 3],
}

/// No node is away.
const NOBODY: usize = usize::MAX;

impl Scene {
    fn new() -> Self {
        let (stop, away) = (AtomicBool::new(false), AtomicUsize::new(NOBODY));
        Self { stop, away, done: Default::default() }
    }

    fn done(&self) -> usize {
        self.done.iter().map(|done| done.load(Ordering::SeqCst)).sum()
    }

    async fn until(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        let waited = async {
            while !reached(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(180), waited).await;
        waited.unwrap_or_else(|_| panic!("{what}: no progress in three minutes"));
    }
}

/// Each round takes another node away in the middle of the load, and brings it back.
async fn disturb(fault: Fault, name: &str) -> TestResult {
    let cluster = Cluster::new(name, Reads::Causal).await;
    let ledgers = cluster.ledgers();
    let auctions = opened(&ledgers[0], CLIENTS.div_ceil(2), AUCTIONS).await?;
    let scene = Arc::new(Scene::new());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|index| {
            let client = Client::new(index, &user(index / 2), &ledgers, index % 3);
            bid_until_stopped(client, auctions.clone(), Arc::clone(&scene))
        })
        .collect();
    for round in 0..scale(3) {
        let node = round % 3;
        run_for(&scene, 60).await;
        scene.away.store(node, Ordering::SeqCst);
        take_away(&cluster, fault, node).await?;
        run_for(&scene, 60).await;
        bring_back(&cluster, fault, node).await?;
        let before = scene.done[node].load(Ordering::SeqCst);
        scene.away.store(NOBODY, Ordering::SeqCst);
        scene
            .until("the node that came back", |scene| {
                scene.done[node].load(Ordering::SeqCst) > before + 20
            })
            .await;
    }
    scene.stop.store(true, Ordering::SeqCst);
    let mut all = Log::default();
    for client in clients {
        all.0.extend(client.await?.0);
    }
    let books = cluster.books().await?;
    let found = all.verify(&books);
    println!("{fault:?}: {all}; of the unknown {found} are stored");
    all.verify_refusals();
    check_deposits(&books, CLIENTS.div_ceil(2));
    verify_failures(&all);
    cluster.end().await
}

fn bid_until_stopped(
    mut client: Client,
    auctions: Vec<AuctionId>,
    scene: Arc<Scene>,
) -> JoinHandle<Log> {
    tokio::spawn(async move {
        let home = client.node;
        while !scene.stop.load(Ordering::SeqCst) {
            // Whoever came back too early tries again.
            if scene.away.load(Ordering::SeqCst) != home {
                client.node = home;
            }
            let node = client.node;
            if client.act(&auctions).await {
                scene.done[node].fetch_add(1, Ordering::SeqCst);
            } else if client.was_let_down() {
                client.fail_over();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        client.log
    })
}

async fn run_for(scene: &Scene, commands: usize) {
    let goal = scene.done() + commands;
    scene.until("the load", |scene| scene.done() >= goal).await;
}

async fn take_away(cluster: &Cluster, fault: Fault, node: usize) -> TestResult {
    match fault {
        Fault::Killed => cluster.signal(node, "KILL"),
        Fault::CutOff => cluster.cut_off(node, true).await?,
        Fault::Frozen => {
            cluster.signal(node, "STOP");
            // Until the others have given it up.
            cluster.wait_for((node + 1) % 3, "wsrep_cluster_size", "2").await;
        }
    }
    Ok(())
}

async fn bring_back(cluster: &Cluster, fault: Fault, node: usize) -> TestResult {
    match fault {
        Fault::Killed => cluster.start(node),
        Fault::CutOff => cluster.cut_off(node, false).await?,
        Fault::Frozen => cluster.signal(node, "CONT"),
    }
    cluster.wait_until_whole().await;
    Ok(())
}

/// A client that was let down can tell that the node is at fault, or its neighbours, and not its command.
fn verify_failures(log: &Log) {
    for line in &log.0 {
        if let Fate::Failed(error) = &line.fate {
            let kind = log::kind(error);
            let passing = kind.is_some_and(|kind| {
                kind.is_retryable()
                    || matches!(kind, ErrorKind::ConnectionLost | ErrorKind::PoolTimeout)
            });
            assert!(passing, "taken for {kind:?}: {line:?}");
        }
    }
}
