//! Adds what the rules of the houses need: automatic bidding, tables of increments, reserves, asks, soft closes, premiums and
//! fees as columns of an auction, the table of the house's shares, and that of sealed bids.
//!
//! Every column has a default that says what an auction without it has always done, so auctions that are open go on.

mod mysql;
mod postgres;
mod sqlite;

use async_trait::async_trait;
use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    sea_orm::{DbBackend, DbErr},
};

use crate::statements::{all_or_nothing, unsupported};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261127_000002_add_house_rules"
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
            DbBackend::MySql => mysql::down(db).await,
            other => Err(unsupported(other)),
        }
    }
}
