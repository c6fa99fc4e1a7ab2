//! A host with a migrator of its own, under SeaORM's default name of the table (H33).

use async_trait::async_trait;
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::up_and_down::{assert_complete, objects};
use super::{all, store_one_of_each};
use crate::support::on_every_backend_bare;

/// The host's own table.
struct CreateUser;

impl MigrationName for CreateUser {
    fn name(&self) -> &'static str {
        "m20200101_000001_create_user"
    }
}

#[async_trait]
impl MigrationTrait for CreateUser {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .get_connection()
            .execute_unprepared("CREATE TABLE host_user (id INT)")
            .await
            .map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE host_user").await.map(drop)
    }
}

/// Keeps the ledger's migrations apart.
struct Apart;

impl MigratorTrait for Apart {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(CreateUser)]
    }
}

/// Appends the ledger's migrations to its own.
struct Appending;

impl MigratorTrait for Appending {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut all = Apart::migrations();
        all.extend(auction_ledger_migration::migrations());
        all
    }
}

on_every_backend_bare! {
    async fn a_host_may_keep_the_ledgers_migrations_apart(world: &World) {
        Apart::up(world.db(), None).await?;
        Migrator::up(world.db(), None).await?;
        assert_complete(&objects(world).await?);
        // Each finds what it knows, and nothing else.
        Apart::up(world.db(), None).await?;
        assert!(Migrator::get_pending_migrations(world.db()).await?.is_empty());
        store_one_of_each(world).await;
        Apart::down(world.db(), None).await?;
        assert_complete(&objects(world).await?);
        Apart::up(world.db(), None).await?;
        Migrator::reset(world.db()).await?;
        assert!(all::<i64>(world.db(), "SELECT count(*) FROM host_user").await? == [0]);
        assert_eq!(all::<String>(world.db(), "SELECT version FROM seaql_migrations").await?, ["m20200101_000001_create_user"]);
    }

    async fn a_host_may_append_the_ledgers_migrations(world: &World) {
        Appending::up(world.db(), None).await?;
        assert_complete(&objects(world).await?);
        store_one_of_each(world).await;
        Appending::up(world.db(), None).await?;
        let known = "SELECT version FROM seaql_migrations ORDER BY version";
        assert_eq!(all::<String>(world.db(), known).await?, ["m20200101_000001_create_user", "m20261123_000001_create_ledger", "m20261127_000002_add_house_rules", "m20261130_000003_add_relay", "m20261201_000004_order_keys"]);
        Appending::down(world.db(), Some(1)).await?;
        assert_eq!(all::<i64>(world.db(), "SELECT count(*) FROM host_user").await?, [0]);
        Appending::refresh(world.db()).await?;
        assert_complete(&objects(world).await?);
    }

    /// Who appended the migrations and then runs the ledger's own migrator is told, and loses nothing.
    async fn the_ledgers_migrator_touches_no_tables_of_another(world: &World) {
        Appending::up(world.db(), None).await?;
        store_one_of_each(world).await;
        Migrator::up(world.db(), None).await.expect_err("the tables are there");
        assert_complete(&objects(world).await?);
        assert_eq!(all::<i64>(world.db(), "SELECT count(*) FROM al_entry").await?, [1]);
    }
}
