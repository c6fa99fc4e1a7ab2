//! The world of one test: a database of its own, the pools on it, and their end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, DatabaseConnection};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Database, TestResult, database, scale_percent};

/// Worlds at one time. On a machine of many cores the servers would run out of connections otherwise.
static WORLDS: Semaphore = Semaphore::const_new(12);

/// What a database holds when the test begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    Bare,
    Migrated,
}

/// A fresh database, and everything a test needs to work with it.
#[derive(Debug)]
pub(crate) struct World {
    database: Database,
    url: String,
    db: DatabaseConnection,
    /// Every pool that was made, to be closed in the end.
    pools: Mutex<Vec<DatabaseConnection>>,
    folder: TempDir,
    _permit: SemaphorePermit<'static>,
}

impl World {
    /// A database with the tables of the crate.
    pub(crate) async fn new(database: Database, test: &str) -> Self {
        let world = Self::bare(database, test).await;
        let migrated = Migrator::up(&world.db, None).await;
        migrated.unwrap_or_else(|error| panic!("cannot migrate the database of {test}: {error}"));
        world
    }

    /// An empty database.
    pub(crate) async fn bare(database: Database, test: &str) -> Self {
        let permit = WORLDS.acquire().await.expect("the semaphore is never closed");
        let folder = tempfile::Builder::new().prefix("auction-ledger-test.").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let url = database.create(test, folder.path()).await;
        let max_connections = if database == Database::Sqlite { 8 } else { 10 };
        let db = database.connect(&url, max_connections).await;
        let pools = Mutex::new(vec![db.clone()]);
        Self { database, url, db, pools, folder, _permit: permit }
    }

    pub(crate) fn database(&self) -> Database {
        self.database
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A pool of ten connections, of eight on SQLite.
    pub(crate) fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Another pool on the same database.
    pub(crate) async fn connect(&self, max_connections: u32) -> DatabaseConnection {
        self.connect_with(max_connections, |_| {}).await
    }

    /// The same, with options of one's own.
    pub(crate) async fn connect_with(
        &self,
        max_connections: u32,
        set: impl FnOnce(&mut ConnectOptions),
    ) -> DatabaseConnection {
        let pool = self.database.connect_with(&self.url, max_connections, set).await;
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.push(pool.clone());
        pool
    }

    /// Closes every pool and drops the database. After a failure the database of a server is kept, to be looked at.
    async fn end(self) {
        let pools = self.pools.into_inner().unwrap_or_else(PoisonError::into_inner);
        for pool in pools {
            database::close(&pool, &self.url).await;
        }
        self.database.remove(&self.url).await;
        self.folder.close().expect("the temporary folder can be removed");
    }
}

/// Runs the body of one test in a world of its own.
pub(crate) async fn run(
    database: Database,
    schema: Schema,
    test: &str,
    body: impl AsyncFnOnce(&World) -> TestResult,
) {
    let world = match schema {
        Schema::Bare => World::bare(database, test).await,
        Schema::Migrated => World::new(database, test).await,
    };
    // A test that hangs should say so, and not leave it to whoever waits for all of them.
    let limit = Duration::from_secs(900) * scale_percent().div_ceil(100) as u32;
    match tokio::time::timeout(limit, body(&world)).await {
        Ok(Ok(())) => world.end().await,
        Ok(Err(error)) => panic!("{error}\n{error:#?}"),
        Err(_) => panic!("not done after {limit:?}"),
    }
}
