//! The nodes: pools on each, one database for each test, and how a node is killed and comes back.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use auction_ledger::AuctionLedger;
use auction_ledger_migration::{Migrator, MigratorTrait};
use futures::FutureExt;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement,
};

use tokio::sync::{Mutex, MutexGuard};

use crate::support::{Books, TestResult};

/// A test has the cluster to itself: some of them take nodes of it away.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// One database on all nodes.
pub(super) struct Cluster {
    _turn: MutexGuard<'static, ()>,
    servers: Vec<String>,
    name: String,
    pub(super) nodes: Vec<DatabaseConnection>,
}

/// Whether a node waits, before it reads, for what was committed on the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// `wsrep_sync_wait = 0`, the server's default.
    Stale,
    /// `wsrep_sync_wait = 1`.
    Causal,
}

impl Cluster {
    /// Makes an empty database of the ledger's tables, and a pool on each node.
    pub(super) async fn new(name: &str, reads: Reads) -> Self {
        let servers = std::env::var("TEST_GALERA_URLS")
            .expect("TEST_GALERA_URLS is not set: run scripts/test-galera, which starts a cluster");
        let servers: Vec<String> = servers.split(',').map(str::to_owned).collect();
        assert!(servers.len() >= 3, "a cluster has three nodes, not {}", servers.len());
        let name = format!("al_galera_{name}");
        let turn = ONE_AT_A_TIME.lock().await;
        let admin = pool(&servers[0], 1, Reads::Stale).await;
        for statement in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
            admin.execute_unprepared(&format!("{statement} {name}")).await.expect(statement);
        }
        admin.close().await.expect("a pool can be closed");
        let mut cluster = Self { _turn: turn, servers, name, nodes: Vec::new() };
        let first = cluster.connect(0, 1, reads).await;
        Migrator::up(&first, None).await.expect("the migrations run on one node");
        first.close().await.expect("a pool can be closed");
        cluster.catch_up().await.expect("the other nodes have the tables too");
        for node in 0..cluster.servers.len() {
            let pool = cluster.connect(node, 12, reads).await;
            cluster.nodes.push(pool);
        }
        cluster
    }

    /// A further pool on one node.
    pub(super) async fn connect(&self, node: usize, size: u32, reads: Reads) -> DatabaseConnection {
        let (server, _) = self.servers[node].rsplit_once('/').expect("a database in the URL");
        pool(&format!("{server}/{}", self.name), size, reads).await
    }

    /// The ledger as each node has it.
    pub(super) fn ledgers(&self) -> Vec<AuctionLedger> {
        self.nodes.iter().cloned().map(AuctionLedger::new).collect()
    }

    /// What is stored, after every node has caught up: each node's audit finds nothing, and all store the same.
    pub(super) async fn books(&self) -> Result<Books, DbErr> {
        let mut all = Vec::new();
        for node in 0..self.nodes.len() {
            let reader = self.connect(node, 1, Reads::Causal).await;
            let books = Books::read(&reader).await?;
            books.check();
            all.push(books);
            let report = AuctionLedger::new(reader.clone()).audit().await;
            assert_eq!(report.expect("an audit can be made").findings, [], "node {node}");
            reader.close().await?;
        }
        let books = all.pop().expect("three nodes");
        for (node, other) in all.into_iter().enumerate() {
            assert!(other == books, "node {node} stores something else than the last");
        }
        Ok(books)
    }

    pub(super) async fn end(self) -> TestResult {
        for node in &self.nodes {
            node.close_by_ref().await?;
        }
        let admin = pool(&self.servers[0], 1, Reads::Stale).await;
        admin.execute_unprepared(&format!("DROP DATABASE {}", self.name)).await?;
        Ok(admin.close().await?)
    }

    /// Waits until every node has applied what is committed by now.
    pub(super) async fn catch_up(&self) -> Result<(), DbErr> {
        for server in &self.servers {
            let reader = pool(server, 1, Reads::Causal).await;
            let any = Statement::from_string(DbBackend::MySql, "SELECT COUNT(*) FROM mysql.user");
            reader.query_one_raw(any).await?;
            reader.close().await?;
        }
        Ok(())
    }

    /// Signals the process of a node.
    pub(super) fn signal(&self, node: usize, signal: &str) {
        let pid = std::fs::read_to_string(control(node, "pid")).expect("the pid of a node");
        let sent = Command::new("kill").args(["-s", signal, pid.trim()]).status();
        assert!(sent.expect("kill runs").success(), "node {node} was not running");
    }

    /// Has a killed node started again.
    pub(super) fn start(&self, node: usize) {
        std::fs::write(control(node, "start"), "").expect("the node can be asked for");
    }

    /// Cuts a node off from the others, or joins it to them again.
    pub(super) async fn cut_off(&self, node: usize, off: bool) -> Result<(), DbErr> {
        let admin = pool(&self.servers[node], 1, Reads::Stale).await;
        let isolate =
            format!("SET GLOBAL wsrep_provider_options = 'gmcast.isolate={}'", i32::from(off));
        admin.execute_unprepared(&isolate).await?;
        admin.close().await
    }

    /// Waits until all nodes are there and have caught up.
    pub(super) async fn wait_until_whole(&self) {
        let size = self.servers.len().to_string();
        for node in 0..self.servers.len() {
            self.wait_for(node, "wsrep_cluster_size", &size).await;
            self.wait_for(node, "wsrep_local_state_comment", "Synced").await;
            self.wait_for(node, "wsrep_ready", "ON").await;
        }
    }

    /// Waits until a counter of a node says `value`.
    pub(super) async fn wait_for(&self, node: usize, name: &str, value: &str) {
        let waited = async {
            while !self.says(node, name, value).await {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), waited).await;
        waited.unwrap_or_else(|_| panic!("node {node}: {name} is still not {value}"));
    }

    async fn says(&self, node: usize, name: &str, value: &str) -> bool {
        let Ok(pool) = try_pool(&self.servers[node], 1, Reads::Stale).await else {
            return false;
        };
        let said = status(&pool, name).await.is_ok_and(|said| said == value);
        _ = pool.close().await;
        said
    }
}

async fn status(db: &DatabaseConnection, name: &str) -> Result<String, DbErr> {
    let sql = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = ?";
    let query = Statement::from_sql_and_values(db.get_database_backend(), sql, [name.into()]);
    let row = db.query_one_raw(query).await?;
    row.unwrap_or_else(|| panic!("no counter {name}")).try_get_by_index(0)
}

fn control(node: usize, what: &str) -> PathBuf {
    let folder = std::env::var_os("TEST_GALERA_CONTROL").expect(
        "TEST_GALERA_CONTROL is not set: run scripts/test-galera, whose nodes may be killed",
    );
    PathBuf::from(folder).join(format!("{}.{what}", node + 1))
}

async fn pool(url: &str, size: u32, reads: Reads) -> DatabaseConnection {
    try_pool(url, size, reads).await.expect("a node can be reached")
}

async fn try_pool(url: &str, size: u32, reads: Reads) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(size).acquire_timeout(Duration::from_secs(30)).sqlx_logging(false);
    if reads == Reads::Causal {
        options.map_sqlx_mysql_pool_opts(|options| {
            options.after_connect(|connection, _| {
                async move {
                    use sea_orm::sqlx::Executor;
                    connection.execute("SET SESSION wsrep_sync_wait = 1").await?;
                    Ok(())
                }
                .boxed()
            })
        });
    }
    Database::connect(options).await
}
