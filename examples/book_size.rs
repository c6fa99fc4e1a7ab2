//! How many bytes a bid takes: makes a book of bids through the ledger, and asks the database how large its tables are.
//!
//! ```text
//! cargo run --example book_size                       2,000 bids in an SQLite file that is removed afterwards
//! cargo run --features postgres,mysql --example book_size -- 200000 postgres://…/empty_database
//! ```
//!
//! `scripts/measure-size` runs it on all three databases. Every auction gets 50 bids, the auctions take turns, and the bidders
//! are drawn from half as many users as there are auctions: so the journals of all wallets grow at once, as they do in life.

#![allow(clippy::print_stdout, reason = "an example shows what it measures")]
#![allow(clippy::arithmetic_side_effects, reason = "counts of an example")]
#![allow(clippy::float_arithmetic, reason = "bytes of a bid are no money")]
#![allow(clippy::cast_precision_loss, reason = "bytes of a bid are printed as a fraction")]

use std::error::Error;
use std::time::Duration;

use auction_ledger::{AuctionId, AuctionLedger, AuctionTerms, Currency};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement,
};

type Failure = Box<dyn Error + Send + Sync>;

const BIDS_PER_AUCTION: usize = 50;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let bids: usize = arguments.next().map_or(Ok(2_000), |bids| bids.parse())?;
    let folder = tempfile::tempdir()?;
    let url = arguments.next().unwrap_or_else(|| {
        format!("sqlite://{}?mode=rwc", folder.path().join("book.db").display())
    });
    let db = connect(&url).await?;
    Migrator::up(&db, None).await?;
    let auctions = bids.div_ceil(BIDS_PER_AUCTION);
    println!("{bids} bids on {auctions} auctions, {}", version(&db).await?);
    fill(&AuctionLedger::new(db.clone()), auctions).await?;
    report(&db, "as the bids left it", bids).await?;
    for statement in tidy(db.get_database_backend()) {
        db.execute_unprepared(statement).await?;
    }
    report(&db, tidied(db.get_database_backend()), bids).await?;
    db.close().await?;
    Ok(())
}

/// The pool. SQLite in WAL, since that is what the documentation asks for.
async fn connect(url: &str) -> Result<DatabaseConnection, Failure> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(8).sqlx_logging(false);
    options.map_sqlx_sqlite_opts(|options| {
        options.busy_timeout(Duration::from_secs(60)).pragma("journal_mode", "WAL")
    });
    Ok(Database::connect(options).await?)
}

/// Bids on every auction, in as many tasks as the pool serves well; SQLite has one writer.
async fn fill(ledger: &AuctionLedger, auctions: usize) -> Result<(), Failure> {
    let users = auctions.div_ceil(2).max(2);
    for user in 0..users {
        let funds = 1_000_000_000.into();
        ledger.deposit(format!("user-{user:08}"), Currency::EUR, funds).await?;
    }
    let mut opened = Vec::with_capacity(auctions);
    for index in 0..auctions {
        let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into())
            .ends_in(Duration::from_secs(86_400));
        let seller = format!("seller-{:06}", index / 10);
        opened.push(ledger.open_auction(seller, "a brass telescope, 1890", terms).await?.id);
    }
    let tasks = match ledger.connection().get_database_backend() {
        DbBackend::Sqlite => 1,
        _ => 6,
    };
    let tasks: Vec<_> = opened
        .chunks(auctions.div_ceil(tasks))
        .enumerate()
        .map(|(task, share)| tokio::spawn(bid(ledger.clone(), share.to_vec(), users, task)))
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn bid(
    ledger: AuctionLedger,
    auctions: Vec<AuctionId>,
    users: usize,
    seed: usize,
) -> Result<(), Failure> {
    let mut random = 1 + seed;
    for round in 0..BIDS_PER_AUCTION {
        for auction in &auctions {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let user = format!("user-{:08}", (random >> 33) % users);
            ledger.place_bid(*auction, user, (10 + i64::try_from(round)?).into()).await?;
        }
    }
    Ok(())
}

async fn report(db: &DatabaseConnection, state: &str, bids: usize) -> Result<(), Failure> {
    println!(
        "\n{state}\n| table | rows | bytes | bytes a row | bytes a bid |\n|---|---|---|---|---|"
    );
    let mut total = 0;
    for table in ["al_bid", "al_entry", "al_act", "al_wallet", "al_auction", "al_key"] {
        let rows = number(db, &format!("SELECT count(*) FROM {table}")).await?;
        let bytes = number(db, &size(db.get_database_backend(), table)).await?;
        total += bytes;
        let (each, per_bid) = (bytes as f64 / rows.max(1) as f64, bytes as f64 / bids as f64);
        println!("| `{table}` | {rows} | {bytes} | {each:.0} | {per_bid:.1} |");
    }
    println!("| all | | {total} | | {:.1} |", total as f64 / bids as f64);
    Ok(())
}

/// The bytes of a table with its indexes, by the database's own reckoning.
fn size(backend: DbBackend, table: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("SELECT pg_total_relation_size('{table}')"),
        DbBackend::MySql => format!(
            "SELECT CAST(FILE_SIZE AS SIGNED) FROM information_schema.INNODB_SYS_TABLESPACES
             WHERE NAME = CONCAT(DATABASE(), '/{table}')"
        ),
        _ => format!(
            "SELECT COALESCE(SUM(pgsize), 0) FROM dbstat WHERE name IN
             (SELECT name FROM sqlite_master WHERE tbl_name = '{table}')"
        ),
    }
}

fn tidy(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Postgres => &["VACUUM (ANALYZE)"],
        DbBackend::MySql => {
            &["OPTIMIZE TABLE al_bid, al_entry, al_act, al_wallet, al_auction, al_key"]
        }
        _ => &["VACUUM", "ANALYZE"],
    }
}

fn tidied(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "after VACUUM (ANALYZE)",
        DbBackend::MySql => "after OPTIMIZE TABLE, which rebuilds them",
        _ => "after VACUUM and ANALYZE",
    }
}

async fn version(db: &DatabaseConnection) -> Result<String, Failure> {
    let sql = match db.get_database_backend() {
        DbBackend::Sqlite => "SELECT 'SQLite ' || sqlite_version()",
        _ => "SELECT version()",
    };
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.ok_or("no version")?.try_get_by_index(0)?)
}

async fn number(db: &DatabaseConnection, sql: &str) -> Result<i64, Failure> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.ok_or("no number")?.try_get_by_index(0)?)
}
