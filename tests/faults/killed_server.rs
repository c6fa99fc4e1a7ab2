//! The server is killed with SIGKILL under load and started again on the same files.

use auction_ledger::AuctionLedger;

use super::load::{Dice, Load, Market};
use super::server::Server;
use super::{Log, Result, audit, close_the_house, cycles};
use crate::support::Database;

mod a_server_killed_under_load_loses_and_doubles_nothing {
    use crate::faults::Result;
    use crate::support::Database;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn postgres() -> Result {
        super::kill_and_restart(Database::Postgres).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn mariadb() -> Result {
        super::kill_and_restart(Database::Mariadb).await
    }
}

async fn kill_and_restart(database: Database) -> Result {
    let mut dice = Dice::new();
    let mut server = tokio::task::block_in_place(|| Server::start(database, ""));
    let (_, db) = server.database().await?;
    let ledger = AuctionLedger::new(db.clone());
    let (log, market) = (Log::new("killed"), Market::default());
    for cycle in 1..=cycles(3, 20) {
        let load = Load::start(4, &ledger, &log, &market, &mut dice);
        log.until_acknowledged(log.acknowledged() + 10 + dice.roll(60) as usize).await;
        // Every third time the processes that serve the connections outlive the one that was killed.
        server.kill(cycle % 3 == 0);
        server.restart();
        // The same load, on the same pool, finds its way back.
        log.until_acknowledged(log.acknowledged() + 20).await;
        load.stop().await;
        let books = audit(database, &db, &log).await?;
        println!("{}, cycle {cycle}: {:?}", database.label(), log.compare(&books));
    }
    close_the_house(database, &db, &ledger, &log).await
}
