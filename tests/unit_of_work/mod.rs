//! The unit of work, on every database.
//!
//! One file for each theme.

mod after_rollback;
mod atomic;
mod before_commit;
mod broken;
mod cancel;
mod capture;
mod classification;
mod control;
mod cost;
mod deadlock;
mod distributed;
mod errors;
mod handles;
mod locks;
mod lost;
mod nesting;
mod on_commit;
mod options;
mod retry;
mod send;
mod vectors;

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auction_ledger::unit_of_work::{Committed, Error, ErrorKind, RollbackReason};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, Statement};

use tokio::sync::Notify;

use crate::support::{Database, World};

/// What the closures of these tests fail with.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed")]
    Failed,
    #[error(transparent)]
    Refused(#[from] Error),
    #[error(transparent)]
    Database(DbErr),
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        match Error::of(&error) {
            Some(refusal) => Self::Refused(refusal.clone()),
            None => Self::Database(error),
        }
    }
}

impl Failure {
    /// The refusal of the unit of work that this failure must be.
    fn refusal(&self) -> &Error {
        match self {
            Self::Refused(refusal) => refusal,
            other => panic!("no refusal: {other:?}"),
        }
    }

    fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Failed => None,
            Self::Refused(refusal) => refusal.kind(),
            Self::Database(error) => Some(ErrorKind::of(error)),
        }
    }
}

/// What happened, in order.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// A callback that adds an entry when it runs.
    fn hook(&self, entry: &str) -> impl FnOnce() -> Ready<()> + Send + use<> + 'static {
        let (log, entry) = (self.clone(), entry.to_owned());
        move || {
            log.add(entry);
            ready(())
        }
    }

    /// A callback of `after_rollback` that adds an entry and the reason.
    fn rolled_back(
        &self,
        entry: &str,
    ) -> impl FnOnce(RollbackReason) -> Ready<()> + Send + use<> + 'static {
        let (log, entry) = (self.clone(), entry.to_owned());
        move |reason| {
            log.add(format!("{entry} {reason:?}"));
            ready(())
        }
    }
}

/// The end of a unit of work that is expected to be stored.
trait Stored<T> {
    /// The value; every callback must have succeeded.
    fn stored(self) -> T;
}

impl<T> Stored<T> for Committed<T> {
    fn stored(self) -> T {
        let (value, hooks) = self.into_parts();
        assert!(hooks.is_clean(), "{hooks:?}");
        value
    }
}

/// No number at all.
const NOTHING: [i32; 0] = [];

/// The table `thing`, whose numbers are unique.
async fn things(world: &World) -> Result<&DatabaseConnection, DbErr> {
    let create = "CREATE TABLE thing (num INTEGER UNIQUE)";
    world.db().execute_unprepared(create).await?;
    Ok(world.db())
}

async fn empty(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    connection.execute_unprepared("DELETE FROM thing").await?;
    Ok(())
}

async fn insert(connection: &impl ConnectionTrait, num: i32) -> Result<(), DbErr> {
    let insert = format!("INSERT INTO thing VALUES ({num})");
    connection.execute_unprepared(&insert).await?;
    Ok(())
}

/// Every number in `thing`.
async fn numbers(connection: &impl ConnectionTrait) -> Result<Vec<i32>, DbErr> {
    let backend = connection.get_database_backend();
    let query = Statement::from_string(backend, "SELECT num FROM thing ORDER BY num");
    let rows = connection.query_all_raw(query).await?;
    rows.iter().map(|row| row.try_get("", "num")).collect()
}

/// The one integer that a query returns.
async fn number(connection: &impl ConnectionTrait, sql: &str) -> Result<i64, DbErr> {
    let query = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(query).await?;
    row.expect("one row").try_get_by_index(0)
}

/// The one text that a query returns.
async fn text(connection: &impl ConnectionTrait, sql: &str) -> Result<String, DbErr> {
    let query = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(query).await?;
    row.expect("one row").try_get_by_index(0)
}

/// Fails if the next user of `pool` does not get a clean connection: what it inserts must be seen by another pool at once.
async fn assert_clean(world: &World, pool: &DatabaseConnection, num: i32) -> Result<(), DbErr> {
    insert(pool, num).await?;
    let stored = numbers(world.db()).await?;
    assert!(stored.contains(&num), "{num} is in a transaction that somebody left open: {stored:?}");
    Ok(())
}

/// Waits for something that other tasks bring about, half a minute at most.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to pass: {what}");
}

/// Drops `work` in the middle: when it has reached the place where it signals `there`.
async fn drop_at<F: Future>(there: &Notify, work: F)
where
    F::Output: std::fmt::Debug,
{
    tokio::select! {
        done = work => panic!("it was to wait: {done:?}"),
        () = there.notified() => {}
    }
}

/// Signals that it was reached, and waits for ever.
async fn stay<T>(there: &Notify) -> T {
    there.notify_one();
    std::future::pending().await
}

/// A pool with options of its own. It is not closed at the end of the test: close it, or leave nothing checked out.
async fn pool(
    url: &str,
    connections: u32,
    set: impl FnOnce(&mut ConnectOptions),
) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        .sqlx_logging(false);
    set(&mut options);
    sea_orm::Database::connect(options).await.unwrap()
}

/// The server's number of the connection behind `connection`.
async fn backend_id(world: &World, connection: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let query = match world.database() {
        Database::Postgres => "SELECT CAST(pg_backend_pid() AS BIGINT)",
        Database::Mariadb => "SELECT CAST(CONNECTION_ID() AS SIGNED)",
        Database::Sqlite => panic!("SQLite has no server"),
    };
    number(connection, query).await
}

/// Kills a connection from outside and waits until the server has let go of it.
async fn kill(world: &World, id: i64) -> Result<(), DbErr> {
    let (kill, alive) = match world.database() {
        Database::Postgres => (
            format!("SELECT pg_terminate_backend({id})"),
            format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {id}"),
        ),
        _ => (
            format!("KILL CONNECTION {id}"),
            format!("SELECT count(*) FROM information_schema.processlist WHERE id = {id}"),
        ),
    };
    world.db().execute_unprepared(&kill).await?;
    until("the connection is gone", async || number(world.db(), &alive).await == Ok(0)).await;
    Ok(())
}

/// A statement that takes about this many seconds.
fn slow(world: &World, seconds: u32) -> String {
    match world.database() {
        Database::Postgres => format!("SELECT pg_sleep({seconds})"),
        Database::Mariadb => format!("SELECT SLEEP({seconds})"),
        // SQLite has no sleep: it counts, some ten million steps a second.
        Database::Sqlite => format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT max(i) FROM n",
            u64::from(seconds) * 4_000_000
        ),
    }
}

macro_rules! test_on_server {
    ($name:ident $label:ident $database:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs a server: run scripts/test"]
        async fn $label() {
            use $crate::support::{Database, Schema, run};
            run(Database::$database, Schema::Bare, module_path!(), async |world| {
                super::$name(world).await
            })
            .await;
        }
    };
}

/// `on_every_backend_bare!`, for what SQLite does not have.
macro_rules! on_servers {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: &World $(,)?) $body:block)*) => { $(
        $crate::support::test_body! { [$(#[$attribute])*] $name $world $body }

        mod $name {
            $crate::unit_of_work::test_on_server! { $name postgres Postgres }
            $crate::unit_of_work::test_on_server! { $name mariadb Mariadb }
        }
    )* };
}

macro_rules! on_postgres {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: &World $(,)?) $body:block)*) => { $(
        $crate::support::test_body! { [$(#[$attribute])*] $name $world $body }

        mod $name {
            $crate::unit_of_work::test_on_server! { $name postgres Postgres }
        }
    )* };
}

macro_rules! on_mariadb {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: &World $(,)?) $body:block)*) => { $(
        $crate::support::test_body! { [$(#[$attribute])*] $name $world $body }

        mod $name {
            $crate::unit_of_work::test_on_server! { $name mariadb Mariadb }
        }
    )* };
}

use {on_mariadb, on_postgres, on_servers, test_on_server};
