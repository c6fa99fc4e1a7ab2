//! Makes the six tables of the ledger.

mod mysql;
mod postgres;
mod sqlite;

use async_trait::async_trait;
use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    sea_orm::{DbBackend, DbErr},
};

use crate::statements::{all_or_nothing, each, unsupported};

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
