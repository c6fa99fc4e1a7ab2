//! One migrator at a time, and next to the host's own (H33).

use std::time::Duration;

use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::ConnectionTrait;

use super::all;
use super::up_and_down::{assert_complete, objects};
use crate::support::{on_every_backend_bare, race, scale};

on_every_backend_bare! {
    async fn two_processes_may_migrate_at_once(world: &World) {
        let mut processes = Vec::new();
        for _ in 0..8 {
            processes.push(world.connect(1).await);
        }
        for round in 0..scale(10) {
            let results = race(processes.len(), |i| {
                let pool = processes[i].clone();
                async move { Migrator::up(&pool, None).await }
            });
            let results = results.await;
            assert!(results.iter().all(Result::is_ok), "round {round}: {results:?}");
            assert_complete(&objects(world).await?);
            assert_eq!(all::<i64>(world.db(), "SELECT count(*) FROM al_migrations").await?, [4]);
            Migrator::reset(&processes[round % processes.len()]).await?;
        }
    }

    /// Some go up, some down, all at once: what is left is all of it or nothing.
    async fn up_and_down_take_turns(world: &World) {
        Migrator::up(world.db(), None).await?;
        for round in 0..scale(10) {
            let results = race(6, |i| {
                let pool = world.db().clone();
                async move {
                    if i % 2 == 0 { Migrator::up(&pool, None).await } else { Migrator::down(&pool, None).await }
                }
            });
            let results = results.await;
            assert!(results.iter().all(Result::is_ok), "round {round}: {results:?}");
            let left = objects(world).await?;
            if !left.is_empty() { assert_complete(&left); }
        }
    }

    /// The caller stops waiting at some moment of the migration: it goes on, and its connection comes back without a lock.
    async fn a_dropped_up_goes_on_and_keeps_no_lock(world: &World) {
        let (pool, other) = (world.connect(1).await, world.connect(1).await);
        for millis in [0, 1, 2, 5, 10, 20] {
            let _ = tokio::time::timeout(Duration::from_millis(millis), Migrator::up(&pool, None)).await;
            Migrator::up(&other, None).await?;
            assert_complete(&objects(world).await?);
            pool.execute_unprepared("DELETE FROM al_wallet").await?;
            Migrator::reset(&other).await?;
        }
    }

    /// A newer version has been here.
    async fn a_migration_that_is_not_known_is_an_error(world: &World) {
        Migrator::up(world.db(), None).await?;
        let newer = "INSERT INTO al_migrations (version, applied_at) VALUES ('m99990101_000099_newer', 1)";
        world.db().execute_unprepared(newer).await?;
        let error = Migrator::up(world.db(), None).await.expect_err("it is not known");
        assert!(error.to_string().contains("m99990101_000099_newer"), "{error}");
        assert_complete(&objects(world).await?);
    }

    /// SeaORM's own name of the table, with a migration in it that the ledger has never heard of.
    async fn the_hosts_table_of_migrations_is_left_alone(world: &World) {
        let db = world.db();
        db.execute_unprepared("CREATE TABLE seaql_migrations (version VARCHAR(255) NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)").await?;
        db.execute_unprepared("INSERT INTO seaql_migrations VALUES ('m20200101_000001_create_user', 1)").await?;
        Migrator::up(db, None).await?;
        assert_complete(&objects(world).await?);
        Migrator::refresh(db).await?;
        Migrator::reset(db).await?;
        assert_eq!(all::<String>(db, "SELECT version FROM seaql_migrations").await?, ["m20200101_000001_create_user"]);
    }
}
