//! `docs/partition/`: the tables that grow with every bid, hashed over partitions, are the same tables to the ledger.

use std::time::Duration;

use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
use sea_orm::{ConnectionTrait, DbErr};

use super::By::Trigger;
use super::{By, all, refuses};
use crate::support::{Books, Database, Schema, TestResult, World, run};

/// SQLite has no partitions.
mod partitioned_tables_take_bids_and_stay_append_only {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn postgres() {
        run(Database::Postgres, Schema::Migrated, module_path!(), take_bids).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn mariadb() {
        run(Database::Mariadb, Schema::Migrated, module_path!(), take_bids).await;
    }
}

async fn take_bids(world: &World) -> TestResult {
    partition(world).await?;
    let ledger = AuctionLedger::new(world.db().clone());
    let users = ["ann", "bob", "cyd", "dan", "eve"];
    for user in users {
        ledger.deposit(user, Currency::KRW, 10_000.into()).await?;
    }
    for _ in 0..10 {
        let terms = AuctionTerms::english(Currency::KRW, 10.into(), 1.into())
            .ends_in(Duration::from_secs(3600));
        let auction = ledger.open_auction("sam", "a lens", terms).await?.id;
        for (step, user) in users.into_iter().enumerate() {
            ledger.place_bid(auction, user, (10 + step as i64).into()).await?;
        }
    }
    let before = Books::read(world.db()).await?;
    before.check();
    assert_eq!(before.bids.len(), 50);
    assert_spread(world).await?;
    refuses(world, changes(world.database())).await;
    assert_eq!(Books::read(world.db()).await?, before);
    Ok(())
}

/// Partitions al_bid and al_entry as the documentation does.
async fn partition(world: &World) -> Result<(), DbErr> {
    match world.database() {
        Database::Postgres => {
            let block = include_str!("../../docs/partition/postgres.sql");
            world.db().execute_unprepared(block).await?;
        }
        _ => {
            let script = include_str!("../../docs/partition/mariadb.sql");
            for statement in script.split(';').filter(|text| text.contains("ALTER")) {
                world.db().execute_unprepared(statement).await?;
            }
        }
    }
    Ok(())
}

/// The rows are in several partitions, and not all in one.
async fn assert_spread(world: &World) -> TestResult {
    for table in ["al_bid", "al_entry"] {
        let filled = match world.database() {
            Database::Postgres => format!("SELECT count(DISTINCT tableoid) FROM {table}"),
            _ => {
                world.db().execute_unprepared(&format!("ANALYZE TABLE {table}")).await?;
                format!(
                    "SELECT count(*) FROM information_schema.partitions
                     WHERE table_schema = DATABASE() AND table_name = '{table}' AND table_rows > 0"
                )
            }
        };
        let filled = all::<i64>(world.db(), &filled).await?;
        assert!(filled[0] > 2, "{table} has rows in {filled:?} partitions");
    }
    Ok(())
}

/// History cannot be changed through the table, and not through one of its partitions either.
fn changes(database: Database) -> Vec<(String, By)> {
    let mut statements = Vec::new();
    for table in ["al_bid", "al_entry"] {
        let no = Trigger(table, "is append-only");
        statements.push((format!("UPDATE {table} SET at = 9"), no));
        statements.push((format!("DELETE FROM {table}"), no));
        match database {
            Database::Postgres => {
                statements.push((format!("TRUNCATE {table}"), no));
                for number in 0..16 {
                    statements.push((format!("TRUNCATE {table}_{number}"), no));
                }
            }
            Database::Mariadb => {
                statements.push((format!("REPLACE INTO {table} SELECT * FROM {table}"), no));
            }
            Database::Sqlite => {}
        }
    }
    statements
}
