//! Rows that somebody does not let go of, and lock timeouts that are shorter than that.

use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Retry, UnitOfWork};
use auction_ledger::{AuctionLedger, Error};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, Statement};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::boundaries::{House, Verb};
use super::{Answer, Log, Result, Wish, audit, look, on_connect, one};
use crate::support::{Database, World, on_every_backend, race};

/// The settlement first: what needs an auction that is not over comes after the clock has moved.
pub(super) const VERBS: [Verb; 8] = [
    Verb::Settle,
    Verb::Deposit,
    Verb::Withdraw,
    Verb::Open,
    Verb::Outbid,
    Verb::Buy,
    Verb::CloseEarly,
    Verb::Cancel,
];

/// Somebody with a transaction open who holds locks.
struct Holder {
    release: oneshot::Sender<()>,
    holding: JoinHandle<std::result::Result<(), DbErr>>,
}

impl Holder {
    /// Locks every row of the table; on SQLite, where there is one lock, that one.
    async fn of(world: &World, table: &str) -> Result<Self> {
        let (release, released) = oneshot::channel();
        let (locked, is_locked) = oneshot::channel();
        let lock = match world.database() {
            Database::Sqlite => format!("SELECT id FROM {table}"),
            Database::Postgres | Database::Mariadb => format!("SELECT id FROM {table} FOR UPDATE"),
        };
        let admin = world.connect(1).await;
        let holding = tokio::spawn(async move {
            let held = admin.atomic(async move |uow| {
                let lock = Statement::from_string(uow.get_database_backend(), lock);
                uow.query_all_raw(lock).await?;
                _ = locked.send(());
                _ = released.await;
                Ok::<_, DbErr>(())
            });
            held.await.map(drop)
        });
        is_locked.await?;
        Ok(Self { release, holding })
    }

    async fn release(self) -> Result {
        _ = self.release.send(());
        Ok(self.holding.await??)
    }
}

/// A pool whose connections wait for a lock a second at most: as long as the setting of MariaDB lets it be.
async fn impatient_pool(world: &World) -> Result<DatabaseConnection> {
    Ok(match world.database() {
        Database::Sqlite => {
            let set = |options: &mut ConnectOptions| {
                options.map_sqlx_sqlite_opts(|options| {
                    let options = options.create_if_missing(false).foreign_keys(true);
                    options.busy_timeout(Duration::from_millis(100))
                });
            };
            world.connect_with(8, set).await
        }
        Database::Postgres => {
            let name: String = one(world.db(), "SELECT current_database()").await?;
            let set = format!("ALTER DATABASE {name} SET lock_timeout = '100ms'");
            world.db().execute_unprepared(&set).await?;
            world.connect(8).await
        }
        Database::Mariadb => {
            let set = "SET SESSION innodb_lock_wait_timeout = 1";
            world.connect_with(8, |options| on_connect(options, set)).await
        }
    })
}

/// Sends a command alone, or in a unit of the host with a limit to how long it waits for a lock.
async fn send(
    ledger: &AuctionLedger,
    log: &Log,
    wish: Wish,
    limit: Option<Duration>,
) -> std::result::Result<Answer, Error> {
    let Some(limit) = limit else { return log.send(ledger, wish).await };
    let root = ledger.unit_of_work().lock_timeout(limit);
    log.record(async |note| {
        let send = async |uow: &UnitOfWork| wish.carry_out(ledger, note, Some(uow)).await;
        Ok(root.atomic(send).await?.into_value())
    })
    .await
}

/// While a table is held every verb that needs it ends in a typed error, and works as soon as it is free.
async fn meet_held_rows(world: &World, limit: Option<Duration>) -> Result {
    let house = House::new(world).await?;
    let pool = match limit {
        Some(_) => world.connect(8).await,
        None => impatient_pool(world).await?,
    };
    let ledger = house.behind(&pool).retry(Retry::new().attempts(2));
    for table in ["al_auction", "al_wallet"] {
        let mut wishes = Vec::new();
        for verb in VERBS {
            wishes.push((verb, house.wish(verb).await?));
        }
        let holder = Holder::of(world, table).await?;
        let outcomes = race(wishes.len(), |index| {
            let (ledger, log, wish) = (ledger.clone(), house.log.clone(), wishes[index].1.clone());
            async move { send(&ledger, &log, wish, limit).await }
        })
        .await;
        // The rows are still held: reading waits for nobody.
        look(world.db(), &house.log).await?;
        holder.release().await?;
        let mut again = Vec::new();
        for ((verb, wish), outcome) in wishes.into_iter().zip(outcomes) {
            let border = matches!(verb, Verb::Deposit | Verb::Withdraw | Verb::Open);
            let free = border && table == "al_auction" && world.database() != Database::Sqlite;
            match outcome {
                Ok(_) if free => {}
                Err(error) if error.is_retryable() => again.push((verb, wish)),
                outcome => panic!("{verb:?} while {table} is held: {outcome:?}"),
            }
        }
        // One after the other: they are not to wait for each other now.
        for (verb, wish) in again {
            let outcome = send(&ledger, &house.log, wish, limit).await;
            outcome.map_err(|error| format!("{verb:?} after {table} was held: {error:?}"))?;
        }
        audit(world.database(), world.db(), &house.log).await?;
    }
    house.close().await
}

on_every_backend! {
    async fn a_held_row_ends_in_a_typed_error_by_the_connections_own_timeout(world: &World) {
        meet_held_rows(world, None).await?;
    }

    async fn a_held_row_ends_in_a_typed_error_by_the_timeout_of_the_unit(world: &World) {
        meet_held_rows(world, Some(Duration::from_millis(500))).await?;
    }
}
