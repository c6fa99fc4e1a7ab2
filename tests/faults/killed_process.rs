//! A process with SQLite is killed with SIGKILL under load, and the next one goes on with its file.

use std::path::Path;
use std::time::Duration;

use auction_ledger::{AuctionLedger, Error};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection};

use super::child::{self, Process};
use super::load::{Dice, Load, Market};
use super::{Answer, Log, Result, Wish, audit, close_the_house, cycles, one};
use crate::support::{Books, Database};

mod a_process_killed_under_load_loses_and_doubles_nothing {
    const NAME: &str = concat!(module_path!(), "::sqlite");

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() -> crate::faults::Result {
        match super::child::part() {
            Some(part) => super::work_until_killed(&part).await,
            None => super::kill_and_look(NAME).await,
        }
    }
}

/// Opens the file as the crate's documentation says, but with either journal.
async fn open(file: &Path, journal: &'static str) -> DatabaseConnection {
    let options = |options: &mut ConnectOptions| {
        options.map_sqlx_sqlite_opts(move |options| {
            let options = options.create_if_missing(true).foreign_keys(true);
            let options =
                options.busy_timeout(Duration::from_secs(10)).pragma("journal_mode", journal);
            // In pages: what does not fit is written to the file before its commit, and a kill leaves it there.
            options.pragma("cache_size", "20")
        });
    };
    Database::Sqlite.connect_with(&format!("sqlite://{}", file.display()), 4, options).await
}

/// The part of the process that is killed: file, journal, and a word for its notes.
async fn work_until_killed(part: &str) -> Result {
    let [prefix, journal, file] = part.splitn(3, ' ').collect::<Vec<_>>()[..] else {
        panic!("{part:?} is no part");
    };
    let db = open(Path::new(file), if journal == "WAL" { "WAL" } else { "DELETE" }).await;
    assert_eq!(one::<String>(&db, "PRAGMA journal_mode").await?, journal.to_lowercase());
    let ledger = AuctionLedger::new(db);
    let log = Log::told(prefix);
    let load = Load::start(3, &ledger, &log, &Market::default(), &mut Dice::new());
    loop {
        let outcome = log.record(async |note| deposit_with_rows(&ledger, note).await).await;
        if let Err(error) = outcome {
            load.stop().await;
            return Err(error.into());
        }
    }
}

/// Rows of the host that come with each of its deposits: so many that writing them takes its time, and can be cut.
const ROWS: i64 = 300;

async fn deposit_with_rows(
    ledger: &AuctionLedger,
    note: &str,
) -> std::result::Result<Answer, Error> {
    let done = ledger.atomic(async |uow| {
        uow.execute_unprepared(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS}) \
             INSERT INTO host_row SELECT '{note}', n, randomblob(2000) FROM n"
        ))
        .await?;
        let wish = Wish::Deposit { user: "host".to_owned(), amount: 1 };
        wish.carry_out(ledger, note, Some(uow)).await
    });
    Ok(done.await?.into_value())
}

/// Each deposit of the host is there with all its rows, or neither is.
async fn check_rows(db: &DatabaseConnection, books: &Books) -> Result {
    let whole = format!(
        "SELECT count(*) FROM (SELECT note FROM host_row GROUP BY note HAVING count(*) = {ROWS} \
         INTERSECT SELECT memo FROM al_entry)"
    );
    let any = "SELECT count(DISTINCT note) FROM host_row";
    let host = books.wallets.iter().find(|wallet| wallet.owner == b"host");
    let deposits = host.map_or(0, |wallet| wallet.seq);
    assert_eq!(one::<i64>(db, &whole).await?, deposits, "deposits with all their rows");
    assert_eq!(one::<i64>(db, any).await?, deposits, "deposits with rows");
    Ok(())
}

async fn kill_and_look(test: &str) -> Result {
    let mut dice = Dice::new();
    let folder = tempfile::Builder::new().prefix("auction-ledger-test.").tempdir()?;
    let file = folder.path().join("ledger.db");
    let db = open(&file, "WAL").await;
    Migrator::up(&db, None).await?;
    db.execute_unprepared("CREATE TABLE host_row (note TEXT, n INTEGER, filler BLOB)").await?;
    db.close().await?;
    let log = Log::new("audit");
    for cycle in 1..=cycles(10, 50) {
        // The two journals of SQLite recover in different ways.
        let journal = if cycle % 2 == 0 { "DELETE" } else { "WAL" };
        let part = format!("cycle-{cycle} {journal} {}", file.display());
        let mut process = Process::start(test, &part, None)?;
        let enough = log.acknowledged() + 5 + dice.roll(60) as usize;
        while log.acknowledged() < enough {
            let line = process.line()?.ok_or("the process has ended by itself")?;
            log.learn(&line);
        }
        // Not always just after an answer: anywhere in the command after it.
        std::thread::sleep(Duration::from_micros(dice.roll(4_000)));
        process.kill(&log)?;
        let db = open(&file, journal).await;
        let books = audit(Database::Sqlite, &db, &log).await?;
        check_rows(&db, &books).await?;
        assert_eq!(one::<String>(&db, "PRAGMA integrity_check").await?, "ok");
        println!("{journal}, cycle {cycle}: {:?}", log.compare(&books));
        db.close().await?;
    }
    let db = open(&file, "WAL").await;
    close_the_house(Database::Sqlite, &db, &AuctionLedger::new(db.clone()), &log).await?;
    db.close().await?;
    Ok(folder.close()?)
}
