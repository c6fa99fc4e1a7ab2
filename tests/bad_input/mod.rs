//! Bad input by the thousand: whatever a host passes, it gets a typed answer, and a refusal writes nothing.
//!
//! An [input](inputs) is a request whose parts are valid most of the time, so that one or two of them are wild and the
//! request gets as deep as they let it. After each one: no panic; the refusal that the documentation promises for this input,
//! or what the rows decide, and never a failure of the database; and after a refusal the [`Witness`](witness::Witness) has
//! seen no write, on any table. Every accepted command shows that it would have.

mod arena;
mod asking;
mod corners;
mod houses;
mod inputs;
mod judge;
mod request;
mod source;
mod statements;
mod values;
mod wild;
mod witness;

use std::time::Duration;

use auction_ledger::Currency;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectOptions, DatabaseConnection, DbErr};

use self::asking::ask;
use crate::support::{Database, World, on_every_backend, scale};

const WON: Currency = Currency::KRW;
const EUR: Currency = Currency::EUR;

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

const OF_WALLETS: usize = 36_000;
const OF_AUCTIONS: usize = 28_000;
const OF_QUERIES: usize = 36_000;
const _: () = assert!(OF_WALLETS + OF_AUCTIONS + OF_QUERIES >= 100_000, "on SQLite");
const _: () = assert!((OF_WALLETS + OF_AUCTIONS + OF_QUERIES) / 20 >= 5_000, "on each server");

/// One connection, which is not asked whether it is alive before each of a hundred thousand inputs.
async fn pool(world: &World) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(world.url());
    options.max_connections(1).test_before_acquire(false).sqlx_logging(false);
    options.map_sqlx_sqlite_opts(|options| {
        // It is not the disk that is tested here.
        options
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .pragma("synchronous", "OFF")
    });
    sea_orm::Database::connect(options).await
}

fn count(database: Database, usual: usize) -> usize {
    scale(if database == Database::Sqlite { usual } else { usual / 20 })
}

on_every_backend! {
    async fn whatever_is_asked_of_a_wallet_gets_a_typed_answer(world: &World) {
        let count = count(world.database(), OF_WALLETS);
        let tally = ask(world, count, inputs::of_wallets()).await?;
        tally.assert_deep(count, 30, 15);
        tally.assert_rejections(count, &["InsufficientFunds", "BalanceTooLarge"]);
    }

    async fn whatever_is_asked_of_an_auction_gets_a_typed_answer(world: &World) {
        let count = count(world.database(), OF_AUCTIONS);
        let tally = ask(world, count, inputs::of_auctions()).await?;
        tally.assert_deep(count, 50, 5);
        tally.assert_rejections(count, &[
            "BalanceTooLarge", "BelowMinimum", "BuyNowUnavailable", "Closed", "Ended", "HasBids",
            "InsufficientFunds", "NotEnded", "NotOnIncrement", "NotOpenYet", "NotSeller",
            "SellerCannotBid", "SellerCannotBuy",
        ]);
    }

    async fn whatever_is_queried_gets_a_typed_answer(world: &World) {
        let count = count(world.database(), OF_QUERIES);
        let tally = ask(world, count, inputs::of_queries()).await?;
        tally.assert_deep(count, 50, 50);
    }
}
