//! Adds the table in which relays remember what they have delivered: a row for each relay and auction.

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
        "m20261130_000003_add_relay"
    }
}

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        match manager.get_database_backend() {
            DbBackend::Postgres => all_or_nothing(db, postgres::UP).await,
            DbBackend::Sqlite => all_or_nothing(db, sqlite::UP).await,
            // One statement: DDL commits itself here.
            DbBackend::MySql => each(db, mysql::UP).await,
            other => Err(unsupported(other)),
        }
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        each(manager.get_connection(), &["DROP TABLE al_relay"]).await
    }
}
