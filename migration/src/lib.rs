#![doc = "The tables of `auction-ledger`, as `SeaORM` migrations for PostgreSQL, MySQL/MariaDB and SQLite."]
//!
//! A host that has no migrator of its own, or wants the ledger's migrations kept apart, runs [`Migrator`]:
//!
//! ```
//! use auction_ledger_migration::{Migrator, MigratorTrait};
//! # use sea_orm_migration::sea_orm::{Database, DbErr};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), DbErr> {
//! let db = Database::connect("sqlite::memory:").await?;
//! Migrator::up(&db, None).await?;
//! Migrator::up(&db, None).await?; // nothing is pending: nothing happens
//! assert!(Migrator::get_pending_migrations(&db).await?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! A host with a migrator of its own appends [`migrations()`] to its list. It then keeps them in its own migration table,
//! and a lock around two processes that migrate at once is its own affair.
//!
//! A released migration is never changed: what comes later is a further migration. Going down drops the tables and columns
//! that the migration has made, with the money in them: settle sealed auctions and collect the house's shares before that of the houses'
//! rules. On `SQLite` the fourth makes `al_key` anew, without indexes and triggers of the host.
//!
//! # What the database itself defends
//!
//! - a balance is never negative: `CHECK (available >= 0 AND held >= 0)` on the row that every hold debits;
//! - bids, acts and entries are append-only: triggers refuse UPDATE and DELETE, `TRUNCATE` on PostgreSQL, `REPLACE` on SQLite;
//! - a wallet with entries and an auction with acts or bids cannot be deleted;
//! - no trigger fires when a bid updates a wallet or an auction, and none computes a balance.
//!
//! MySQL and MariaDB cannot catch `TRUNCATE`: do not grant `DROP` to the application's user there. On MySQL and MariaDB the triggers
//! run as the user who migrated, who therefore must not be removed.

mod lock;
mod m20261123_000001_create_ledger;
mod m20261127_000002_add_house_rules;
mod m20261130_000003_add_relay;
mod m20261201_000004_order_keys;
mod statements;

pub use sea_orm_migration::MigratorTrait;

use async_trait::async_trait;
use sea_orm_migration::{
    IntoSchemaManagerConnection, MigrationTrait,
    sea_orm::{DbErr, DynIden, sea_query::IntoIden},
};

use crate::lock::Command;

/// Lists the ledger's migrations, oldest first, for hosts that append them to their own migrator.
///
/// ```
/// use auction_ledger_migration::MigratorTrait;
/// use sea_orm_migration::MigrationTrait;
///
/// struct HostMigrator;
///
/// impl MigratorTrait for HostMigrator {
///     fn migrations() -> Vec<Box<dyn MigrationTrait>> {
///         let mut all = auction_ledger_migration::migrations();
///         all.extend([/* the host's own */]);
///         all
///     }
/// }
/// assert_eq!(HostMigrator::migrations().len(), 4);
/// ```
#[must_use]
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(m20261123_000001_create_ledger::Migration),
        Box::new(m20261127_000002_add_house_rules::Migration),
        Box::new(m20261130_000003_add_relay::Migration),
        Box::new(m20261201_000004_order_keys::Migration),
    ]
}

/// Runs the ledger's migrations, remembered in the table `al_migrations`.
///
/// Any number of processes may call it at once: they take turns, the first one migrates, the others find nothing to do.
/// All of it happens on one connection, so a pool of one is enough.
///
/// # Joining a transaction
///
/// Given a connection, each verb opens and commits a transaction of its own (DDL on MySQL and MariaDB commits itself, statement by
/// statement). Given a borrowed transaction, it runs inside and leaves commit and rollback to the caller; on SQLite that
/// transaction should have begun `IMMEDIATE`, or a second process may find the database busy. An owned transaction is committed
/// on success.
///
/// # Errors
///
/// Whatever the database says, and:
///
/// - on MySQL and MariaDB with the binary log on, a user without `SUPER` may not create triggers: the error names the remedy,
///   `log_bin_trust_function_creators = 1`;
/// - on MySQL and MariaDB, when another process has kept the lock for two minutes;
/// - when a newer version has migrated this database, whose migrations are missing here: use that version, or go `down` with it first.
///
/// After an error of `up` nothing is left of the migration that failed; on MySQL and MariaDB those before it stay, and are recorded.
/// Only a process killed half-way there leaves empty tables behind, and columns at their default, to be dropped by hand.
///
/// # Cancel safety
///
/// Given a connection, the work runs in a task of its own: dropping the future does not stop it, and never leaves a
/// locked connection in the pool. Given a borrowed transaction, dropping the future breaks that transaction.
///
/// # Locking
///
/// PostgreSQL: `pg_advisory_xact_lock`, one for each database. MySQL and MariaDB: `GET_LOCK`, one for each server and database; it does not
/// span the nodes of a Galera cluster, so migrate on one of them. SQLite: `BEGIN IMMEDIATE`.
///
/// # `fresh`
///
/// [`MigratorTrait::fresh`] is `SeaORM`'s own: it takes no lock and drops **every** table of the database, the host's included.
#[derive(Debug, Clone, Copy, Default)]
pub struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        migrations()
    }

    fn migration_table_name() -> DynIden {
        "al_migrations".into_iden()
    }

    async fn up<'c, C>(db: C, steps: Option<u32>) -> Result<(), DbErr>
    where
        C: IntoSchemaManagerConnection<'c>,
    {
        lock::run(db.into_database_executor(), Command::Up(steps)).await
    }

    async fn down<'c, C>(db: C, steps: Option<u32>) -> Result<(), DbErr>
    where
        C: IntoSchemaManagerConnection<'c>,
    {
        lock::run(db.into_database_executor(), Command::Down(steps)).await
    }

    async fn refresh<'c, C>(db: C) -> Result<(), DbErr>
    where
        C: IntoSchemaManagerConnection<'c>,
    {
        lock::run(db.into_database_executor(), Command::Refresh).await
    }

    async fn reset<'c, C>(db: C) -> Result<(), DbErr>
    where
        C: IntoSchemaManagerConnection<'c>,
    {
        lock::run(db.into_database_executor(), Command::Reset).await
    }
}
