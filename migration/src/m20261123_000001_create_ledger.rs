//! Makes the six tables of the ledger.

mod mysql;
mod postgres;
mod sqlite;

use async_trait::async_trait;
use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager, SchemaManagerConnection,
    sea_orm::{ConnectionTrait, DbBackend, DbErr, TransactionTrait},
};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261123_000001_create_ledger"
    }
}

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        match manager.get_database_backend() {
            DbBackend::Postgres => all_or_nothing(db, postgres::UP).await,
            DbBackend::Sqlite => all_or_nothing(db, sqlite::UP).await,
            DbBackend::MySql => mysql::up(db).await,
            other => Err(unsupported(other)),
        }
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        match manager.get_database_backend() {
            DbBackend::Postgres => all_or_nothing(db, postgres::DOWN).await,
            DbBackend::Sqlite => all_or_nothing(db, sqlite::DOWN).await,
            DbBackend::MySql => each(db, mysql::DOWN).await,
            other => Err(unsupported(other)),
        }
    }
}

/// Runs the statements in a transaction, or in a savepoint of the migrator's: `SeaORM` opens none of its own on SQLite.
#[expect(
    clippy::disallowed_methods,
    reason = "a migration is no unit of work: it has no hooks, and the host decides where it runs"
)]
async fn all_or_nothing(
    db: &SchemaManagerConnection<'_>,
    statements: &[&str],
) -> Result<(), DbErr> {
    let transaction = db.begin().await?;
    each(&transaction, statements).await?;
    transaction.commit().await
}

/// Runs the statements one by one: sent together, MySQL would stop at the first.
async fn each(db: &impl ConnectionTrait, statements: &[&str]) -> Result<(), DbErr> {
    for statement in statements {
        db.execute_unprepared(statement).await?;
    }
    Ok(())
}

fn unsupported(backend: DbBackend) -> DbErr {
    DbErr::Migration(format!("the ledger has no tables for {backend:?}"))
}
