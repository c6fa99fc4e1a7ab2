//! The server's side of a connection is ended by an administrator while verbs run on it.

use auction_ledger::AuctionLedger;
use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::load::{Dice, Load, Market};
use super::{Log, Result, audit, close_the_house, on_servers, one};
use crate::support::{Database, World, scale};

/// How an administrator interferes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// The connection ends, and its transaction with it.
    Terminate,
    /// The statement that runs, if one does, ends in an error.
    Cancel,
}

/// Strikes at somebody else's connection to this database, preferably one with a transaction; whether there was one.
async fn strike(world: &World, admin: &DatabaseConnection, act: Act) -> Result<bool> {
    if world.database() == Database::Postgres {
        let strike = match act {
            Act::Terminate => "pg_terminate_backend",
            Act::Cancel => "pg_cancel_backend",
        };
        let strike = format!(
            "SELECT count({strike}(pid)) FROM (SELECT pid FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND backend_type = 'client backend' \
             ORDER BY xact_start IS NULL, random() LIMIT 1) AS victim"
        );
        return Ok(one::<i64>(admin, &strike).await? == 1);
    }
    let victim: Option<i64> = one(
        admin,
        "SELECT MAX(id) FROM (SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist \
         WHERE db = DATABASE() AND id <> CONNECTION_ID() ORDER BY command = 'Sleep', RAND() LIMIT 1) AS victim",
    )
    .await?;
    let Some(victim) = victim else { return Ok(false) };
    let strike = match act {
        Act::Terminate => format!("KILL CONNECTION {victim}"),
        Act::Cancel => format!("KILL QUERY {victim}"),
    };
    match admin.execute_unprepared(&strike).await {
        // 1094: it has just ended by itself.
        Err(error) if error.to_string().contains("1094") => Ok(false),
        struck => Ok(struck.map(|_| true)?),
    }
}

/// Strikes again and again at a load, which goes on in between.
async fn strike_at_load(world: &World, act: Act) -> Result {
    let mut dice = Dice::new();
    let (log, market) = (Log::new("struck"), Market::default());
    let ledger = AuctionLedger::new(world.connect(4).await);
    let admin = world.connect(1).await;
    let mut strikes = 0;
    for round in 0..scale(3) {
        let load = Load::start(4, &ledger, &log, &market, &mut dice);
        for _ in 0..30 {
            log.until_acknowledged(log.acknowledged() + dice.roll(4) as usize).await;
            strikes += usize::from(strike(world, &admin, act).await?);
        }
        // It has survived the last one, too.
        log.until_acknowledged(log.acknowledged() + 5).await;
        load.stop().await;
        let books = audit(world.database(), world.db(), &log).await?;
        println!("round {round}: {strikes} strikes, {:?}", log.compare(&books));
    }
    assert!(strikes >= scale(3) * 10, "only {strikes} strikes");
    close_the_house(world.database(), world.db(), &ledger, &log).await
}

on_servers! {
    async fn terminated_connections_lose_and_double_nothing(world: &World) {
        strike_at_load(world, Act::Terminate).await?;
    }

    async fn cancelled_statements_lose_and_double_nothing(world: &World) {
        strike_at_load(world, Act::Cancel).await?;
    }
}
