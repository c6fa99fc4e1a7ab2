//! Lists of commands, on every database.

use std::time::Duration;

use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, EntityTrait,
    PaginatorTrait, QueryFilter,
};

use super::*;
use crate::entity::{bid, key, wallet};
use crate::id::OperationId;
use crate::{AuctionTerms, Currency};

/// SQLite, and every server that is named: `scripts/test` names two.
async fn databases() -> Vec<DatabaseConnection> {
    let mut all = vec![connect("sqlite::memory:").await];
    let servers = [
        ("TEST_POSTGRES_URL", cfg!(feature = "postgres")),
        ("TEST_MYSQL_URL", cfg!(feature = "mysql")),
    ];
    for (name, has_driver) in servers {
        let Some(url) = std::env::var(name).ok().filter(|_| has_driver) else {
            println!("not run on a server: {name} is not set, or its driver is not compiled");
            continue;
        };
        let (host, _) = url.rsplit_once('/').unwrap();
        let database = format!("al_list_{}", uuid::Uuid::now_v7().simple());
        let admin = connect(&url).await;
        admin.execute_unprepared(&format!("CREATE DATABASE {database}")).await.unwrap();
        all.push(connect(&format!("{host}/{database}")).await);
    }
    all
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}

async fn house(db: DatabaseConnection) -> (AuctionLedger, AuctionId) {
    Migrator::up(&db, None).await.unwrap();
    let ledger = AuctionLedger::new(db);
    for user in ["ann", "bob"] {
        ledger.deposit(user, Currency::KRW, 10_000.into()).await.unwrap();
    }
    let terms = AuctionTerms::english(Currency::KRW, 100.into(), 10.into());
    let terms = terms.ends_in(Duration::from_secs(3_600));
    let auction = ledger.open_auction("sam", "a telescope", terms).await.unwrap().id;
    (ledger, auction)
}

fn bid(auction: AuctionId, user: &str, amount: i64, key: &str) -> Command {
    let mut command = Command::new(auction, Some(user.into()), Wish::Bid(amount.into()));
    command.once.key = Some(key.to_owned());
    command
}

async fn carry_out(
    ledger: &AuctionLedger,
    commands: &[Command],
) -> Vec<Result<Done<Outcome>, Error>> {
    let way = Way { keys: KeyUse::LookUnderLock, ..Way::CLAIMED };
    let done = ledger.atomic(async |uow| execute(uow, ledger, commands, way).await);
    done.await.unwrap().into_value()
}

fn operation(outcome: &Result<Done<Outcome>, Error>) -> OperationId {
    outcome.as_ref().unwrap().command.operation()
}

async fn stored(ledger: &AuctionLedger) -> (u64, u64) {
    let db = ledger.connection();
    (bid::Entity::find().count(db).await.unwrap(), key::Entity::find().count(db).await.unwrap())
}

#[tokio::test]
async fn the_same_key_twice_in_one_list_is_one_command() {
    for db in databases().await {
        one_command(db).await;
    }
}

async fn one_command(db: DatabaseConnection) {
    let (ledger, auction) = house(db).await;
    let list = [
        bid(auction, "ann", 100, "k"),
        bid(auction, "bob", 110, "k"),
        bid(auction, "ann", 100, "k"),
        bid(auction, "ann", 120, "k"),
    ];
    let outcomes = carry_out(&ledger, &list).await;
    assert_eq!(operation(&outcomes[0]), operation(&outcomes[2]));
    assert_ne!(operation(&outcomes[0]), operation(&outcomes[1]), "bob's key is bob's");
    assert!(matches!(outcomes[3], Err(Error::IdempotencyConflict { .. })));
    assert_eq!(stored(&ledger).await, (2, 2));
    // And again: everything is answered as it was.
    let again = carry_out(&ledger, &list).await;
    assert!(outcomes[..3].iter().map(operation).eq(again[..3].iter().map(operation)));
    assert_eq!(stored(&ledger).await, (2, 2));
}

#[tokio::test]
async fn a_refusal_in_a_list_leaves_the_key_to_the_next() {
    for db in databases().await {
        left_to_the_next(db).await;
    }
}

async fn left_to_the_next(db: DatabaseConnection) {
    let (ledger, auction) = house(db).await;
    let list =
        [bid(auction, "ann", 5, "k"), bid(auction, "ann", 100, "k"), bid(auction, "bob", 5, "l")];
    let outcomes = carry_out(&ledger, &list).await;
    assert!(outcomes[0].as_ref().unwrap_err().is_rejection());
    assert_eq!(operation(&outcomes[1]), list[1].once.operation);
    assert!(outcomes[2].as_ref().unwrap_err().is_rejection());
    assert_eq!(stored(&ledger).await, (1, 1), "what was not used is free");
    // The key stands for the request that was carried out, not for the first that had it.
    let again = carry_out(&ledger, &[bid(auction, "ann", 100, "k")]).await;
    assert_eq!(operation(&again[0]), list[1].once.operation);
    let other = carry_out(&ledger, &[bid(auction, "ann", 5, "k")]).await;
    assert!(matches!(other[0], Err(Error::IdempotencyConflict { .. })));
}

#[tokio::test]
async fn the_times_of_strangers_wallets_are_no_commands_business() {
    for db in databases().await {
        strangers_times(db).await;
    }
}

/// A clock that stepped back has left a wallet behind that lives in the future: for its own bids the auction is over.
async fn strangers_times(db: DatabaseConnection) {
    let (ledger, auction) = house(db).await;
    let update = wallet::Entity::update_many()
        .col_expr(wallet::Column::LastAt, Expr::val(9_000_000_000_000_000_i64));
    let update = update.filter(wallet::Column::Owner.eq("ann".as_bytes()));
    assert_eq!(update.exec(ledger.connection()).await.unwrap().rows_affected, 1);
    let list = [
        bid(auction, "ann", 100, "k"),
        bid(auction, "bob", 110, "l"),
        bid(auction, "ann", 120, "m"),
    ];
    let outcomes = carry_out(&ledger, &list).await;
    assert!(outcomes[0].as_ref().unwrap_err().is_rejection());
    assert_eq!(operation(&outcomes[1]), list[1].once.operation);
    assert!(outcomes[2].as_ref().unwrap_err().is_rejection());
}
