//! The server is shut down in good order under load, and started again on the same files.

use auction_ledger::AuctionLedger;

use super::load::{Dice, Load, Market};
use super::server::Server;
use super::{Log, Result, audit, close_the_house, cycles};
use crate::support::Database;

mod a_server_shut_down_under_load_loses_and_doubles_nothing {
    use crate::faults::Result;
    use crate::support::Database;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn postgres() -> Result {
        super::shut_down_and_restart(Database::Postgres).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn mariadb() -> Result {
        super::shut_down_and_restart(Database::Mariadb).await
    }
}

async fn shut_down_and_restart(database: Database) -> Result {
    let mut dice = Dice::new();
    let mut server = tokio::task::block_in_place(|| Server::start(database, ""));
    let (_, db) = server.database().await?;
    let ledger = AuctionLedger::new(db.clone());
    let (log, market) = (Log::new("shut down"), Market::default());
    for cycle in 1..=cycles(2, 10) {
        let load = Load::start(4, &ledger, &log, &market, &mut dice);
        log.until_acknowledged(log.acknowledged() + 10 + dice.roll(60) as usize).await;
        server.shut_down();
        server.restart();
        // The same load, on the same pool, finds its way back.
        log.until_acknowledged(log.acknowledged() + 20).await;
        load.stop().await;
        let books = audit(database, &db, &log).await?;
        println!("{}, cycle {cycle}: {:?}", database.label(), log.compare(&books));
    }
    println!("{}: {:#?}", database.label(), log.errors());
    close_the_house(database, &db, &ledger, &log).await
}
