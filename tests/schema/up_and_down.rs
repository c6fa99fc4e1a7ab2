//! The migrator: up, down and again, in whose transaction, and after a failure.

use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};

use super::{all, store_one_of_each};
use crate::support::{Database, World, on_every_backend, on_every_backend_bare};

/// The names of all that the migrations made: tables, indexes, triggers, functions; without the migrator's own table.
pub(super) async fn objects(world: &World) -> Result<Vec<String>, DbErr> {
    let names = match world.database() {
        Database::Postgres => {
            "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relnamespace = CAST('public' AS regnamespace)
             UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
             UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = CAST('public' AS regnamespace)
             ORDER BY 1"
        }
        Database::Mariadb => {
            "SELECT table_name FROM information_schema.tables WHERE table_schema = database()
             UNION ALL SELECT CONCAT('trigger ', trigger_name) FROM information_schema.triggers WHERE trigger_schema = database()
             ORDER BY 1"
        }
        Database::Sqlite => "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY 1",
    };
    let names = all::<String>(world.db(), names).await?;
    Ok(names.into_iter().filter(|name| !name.starts_with("al_migrations")).collect())
}

/// What is there when all is there.
pub(super) fn assert_complete(objects: &[String]) {
    for table in [
        "al_wallet",
        "al_auction",
        "al_bid",
        "al_act",
        "al_entry",
        "al_key",
        "al_house",
        "al_sealed_bid",
        "al_relay",
    ] {
        assert!(objects.iter().any(|name| name == table), "{table} is missing: {objects:?}");
    }
    let triggers = objects.iter().filter(|name| name.contains("_no_")).count();
    assert!(triggers >= 8, "triggers are missing: {objects:?}");
}

const NOTHING: [&str; 0] = [];

on_every_backend_bare! {
    async fn up_makes_everything_and_down_leaves_nothing(world: &World) {
        for _ in 0..2 {
            Migrator::up(world.db(), None).await?;
            let made = objects(world).await?;
            assert_complete(&made);
            Migrator::up(world.db(), None).await?;
            assert_eq!(objects(world).await?, made, "the second up has nothing to do");
            Migrator::down(world.db(), Some(1)).await?;
            assert_eq!(objects(world).await?, made, "the last one orders a table");
            Migrator::down(world.db(), Some(1)).await?;
            let left = objects(world).await?;
            assert!(!left.iter().any(|name| name.contains("al_relay")), "{left:?}");
            Migrator::down(world.db(), Some(1)).await?;
            let left = objects(world).await?;
            assert!(!left.iter().any(|name| name.contains("al_house") || name.contains("al_sealed")), "{left:?}");
            Migrator::up(world.db(), None).await?;
            assert_eq!(objects(world).await?, made, "three steps up again");
            Migrator::down(world.db(), Some(4)).await?;
            assert_eq!(objects(world).await?, NOTHING);
            Migrator::down(world.db(), None).await?;
        }
    }

    async fn refresh_makes_the_tables_anew(world: &World) {
        Migrator::refresh(world.db()).await?;
        let made = objects(world).await?;
        assert_complete(&made);
        store_one_of_each(world).await;
        Migrator::refresh(world.db()).await?;
        assert_eq!(objects(world).await?, made);
        assert_eq!(all::<i64>(world.db(), "SELECT count(*) FROM al_entry").await?, [0]);
    }

    async fn reset_leaves_not_even_the_table_of_migrations(world: &World) {
        Migrator::reset(world.db()).await?;
        Migrator::up(world.db(), None).await?;
        Migrator::reset(world.db()).await?;
        assert_eq!(objects(world).await?, NOTHING);
        assert!(world.db().execute_unprepared("SELECT * FROM al_migrations").await.is_err());
    }

    async fn a_pool_of_one_is_enough(world: &World) {
        let pool = world.connect(1).await;
        Migrator::up(&pool, None).await?;
        Migrator::refresh(&pool).await?;
        Migrator::status(&pool).await?;
        assert!(Migrator::get_pending_migrations(&pool).await?.is_empty());
        Migrator::down(&pool, None).await?;
        Migrator::reset(&pool).await?;
        assert_eq!(objects(world).await?, NOTHING);
    }

    async fn a_borrowed_transaction_is_left_to_its_owner(world: &World) {
        let transaction = world.db().begin().await?;
        Migrator::up(&transaction, None).await?;
        transaction.commit().await?;
        assert_complete(&objects(world).await?);
        assert!(Migrator::get_pending_migrations(world.db()).await?.is_empty());
        Migrator::reset(world.db()).await?;
        let transaction = world.db().begin().await?;
        Migrator::up(&transaction, None).await?;
        transaction.rollback().await?;
        match world.database() {
            // DDL commits itself there.
            Database::Mariadb => assert_complete(&objects(world).await?),
            Database::Sqlite | Database::Postgres => assert_eq!(objects(world).await?, NOTHING),
        }
    }

    async fn an_owned_transaction_is_committed(world: &World) {
        Migrator::up(world.db().begin().await?, None).await?;
        assert_complete(&objects(world).await?);
        Migrator::down(world.db().begin().await?, None).await?;
        assert_eq!(objects(world).await?, NOTHING);
    }

    /// The last but one table is in the way: what was made before it must be gone again, and what was there must not.
    async fn a_failure_half_way_leaves_nothing(world: &World) {
        world.db().execute_unprepared("CREATE TABLE al_entry (mine INT)").await?;
        let error = Migrator::up(world.db(), None).await.expect_err("the table exists");
        assert!(error.to_string().contains("al_entry"), "the first error is told: {error}");
        assert_eq!(objects(world).await?, ["al_entry"]);
        world.db().execute_unprepared("INSERT INTO al_entry (mine) VALUES (1)").await?;
        world.db().execute_unprepared("DROP TABLE al_entry").await?;
        Migrator::up(world.db(), None).await?;
        assert_complete(&objects(world).await?);
    }
}

on_every_backend! {
    async fn down_takes_history_along(world: &World) {
        store_one_of_each(world).await;
        Migrator::down(world.db(), None).await?;
        assert_eq!(objects(world).await?, NOTHING);
    }
}
