//! Faults: connections, servers, processes and clocks fail, and the books do not.
//!
//! Each test sends commands through a [`Log`] of what was answered, makes something fail, and then audits: the books
//! obey every law (money is conserved, no hold is orphaned), and they agree with the log. The contract:
//!
//! | the verb said | the books have it |
//! |---|---|
//! | `Ok` | exactly once, with the number and the operation that were answered |
//! | an error that is not [unknown](is_unknown) | never |
//! | an unknown error, or nothing at all | at most once |

mod boundaries;
pub(crate) mod child;
mod clocks;
mod commit;
mod deadlocks;
mod isolation;
mod killed_process;
mod killed_server;
mod load;
mod lock_waits;
mod log;
mod pools;
mod server;
mod shut_down;
mod terminated;

use auction_ledger::entity::auction;
use auction_ledger::unit_of_work::{Atomic, Retry, UnitOfWork};
use auction_ledger::{AuctionLedger, AuctionTerms, Currency, Error};
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, IsolationLevel,
    Statement, TryGetable,
};

use self::log::{Answer, Log, Wish};
use crate::support::{Books, Database, scale};

/// What a helper answers; any error fails the test.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const WON: Currency = Currency::KRW;

/// Whether after this error the command may be stored or not. Every other error says that it is not.
fn is_unknown(error: &Error) -> bool {
    !error.is_known_not_stored()
}

/// Has the ledger audit its books, reads them, checks their laws and compares them with what was answered.
///
/// What the server still does for connections that are gone comes to its end first.
async fn audit(database: Database, db: &DatabaseConnection, log: &Log) -> Result<Books> {
    quiet(database, db).await?;
    let report = AuctionLedger::new(db.clone()).audit().await?;
    assert_eq!(report.findings, []);
    look(db, log).await
}

/// The same at this instant, while somebody may still be at work: what was answered is there already.
async fn look(db: &DatabaseConnection, log: &Log) -> Result<Books> {
    // One snapshot: a command that ends late is seen wholly or not at all.
    let root = db
        .unit_of_work()
        .isolation(IsolationLevel::RepeatableRead)
        .access_mode(AccessMode::ReadOnly);
    let books = root.atomic::<_, _, DbErr>(async |uow| Books::read(uow).await).await?;
    let books = books.into_value();
    books.check();
    log.compare(&books);
    Ok(books)
}

/// Calls off whatever is open, and finds that nobody holds anything.
async fn close_the_house(
    database: Database,
    db: &DatabaseConnection,
    ledger: &AuctionLedger,
    log: &Log,
) -> Result {
    let books = audit(database, db, log).await?;
    for auction in books.auctions.iter().filter(|row| row.state == auction::State::Open) {
        log.send(ledger, Wish::Cancel { auction: auction.id.into() }).await?;
    }
    let books = audit(database, db, log).await?;
    assert!(books.wallets.iter().all(|wallet| wallet.held == 0), "{:?}", books.wallets);
    Ok(())
}

/// Waits until nobody has a transaction open that could still commit. Whoever never ends it, fails the test.
async fn quiet(database: Database, db: &DatabaseConnection) -> Result {
    match database {
        Database::Sqlite => {}
        Database::Postgres => {
            let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND pid <> pg_backend_pid() AND backend_type = 'client backend' \
                 AND (state <> 'idle' OR xact_start IS NOT NULL)";
            until("nobody has a transaction open", async || one::<i64>(db, open).await == Ok(0))
                .await;
        }
        // Its list of transactions is a copy that may be old. Whoever has written has locked one of these rows.
        Database::Mariadb => {
            let retry = Retry::new();
            _ = retry
                .atomic::<_, _, DbErr>(db.unit_of_work(), async |uow| lock_all(uow).await)
                .await?;
        }
    }
    Ok(())
}

async fn lock_all(uow: &UnitOfWork) -> std::result::Result<(), DbErr> {
    for table in ["al_auction", "al_wallet"] {
        let lock = format!("SELECT id FROM {table} ORDER BY id FOR UPDATE");
        uow.query_all_raw(Statement::from_string(uow.get_database_backend(), lock)).await?;
    }
    Ok(())
}

/// Waits for something that others bring about, half a minute at most.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..6_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it did not come to pass: {what}");
}

/// The first column of the only row, of a statement in the words of this database.
async fn one<T: TryGetable>(db: &impl ConnectionTrait, sql: &str) -> std::result::Result<T, DbErr> {
    let query = Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(query).await?;
    row.unwrap_or_else(|| panic!("no row: {sql}")).try_get_by_index(0)
}

/// Has a statement run on each connection of a MariaDB pool as it is made.
fn on_connect(options: &mut ConnectOptions, sql: impl Into<String>) {
    #[cfg(feature = "mysql")]
    {
        let sql: std::sync::Arc<str> = sql.into().into();
        options.map_sqlx_mysql_pool_opts(move |pool| {
            let sql = std::sync::Arc::clone(&sql);
            pool.after_connect(move |connection, _| {
                let sql = sea_orm::sqlx::AssertSqlSafe(sql.to_string());
                Box::pin(async move {
                    sea_orm::sqlx::Executor::execute(connection, sql).await.map(drop)
                })
            })
        });
    }
    #[cfg(not(feature = "mysql"))]
    panic!("without the feature `mysql` nothing connects, {options:?} {:?}", sql.into());
}

/// How often a long fault is repeated: `soak` times with SOAK=1, else what `scale` makes of `usual`.
fn cycles(usual: usize, soak: usize) -> usize {
    match std::env::var("SOAK") {
        Ok(on) if on == "1" => soak,
        _ => scale(usual),
    }
}

/// Start price 10, increment 1.
fn terms() -> AuctionTerms {
    AuctionTerms::english(WON, 10.into(), 1.into())
}

macro_rules! test_on_server {
    ($name:ident $label:ident $database:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs a server: run scripts/test"]
        async fn $label() {
            use $crate::support::{Database, Schema, run};
            run(Database::$database, Schema::Migrated, module_path!(), async |world| {
                super::$name(world).await
            })
            .await;
        }
    };
}

/// `on_every_backend!`, for faults that SQLite does not have.
macro_rules! on_servers {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: &World $(,)?) $body:block)*) => { $(
        $crate::support::test_body! { [$(#[$attribute])*] $name $world $body }

        mod $name {
            $crate::faults::test_on_server! { $name postgres Postgres }
            $crate::faults::test_on_server! { $name mariadb Mariadb }
        }
    )* };
}

macro_rules! on_postgres {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: &World $(,)?) $body:block)*) => { $(
        $crate::support::test_body! { [$(#[$attribute])*] $name $world $body }

        mod $name {
            $crate::faults::test_on_server! { $name postgres Postgres }
        }
    )* };
}

pub(crate) use {on_postgres, on_servers, test_on_server};
