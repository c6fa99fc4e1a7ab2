//! The tables come and go.

use auction_ledger::AuctionLedger;
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbErr, Statement};

use super::{WON, books, one};
use crate::support::{Books, Database, World, on_every_backend, on_every_backend_bare, race};

/// Everything with a name of ours: tables, indexes, triggers, functions, sequences. The migrator's own table aside.
async fn ours(world: &World) -> Result<Vec<String>, DbErr> {
    let sql = match world.database() {
        Database::Sqlite => {
            "SELECT name FROM sqlite_master WHERE (name LIKE '%al\\_%' ESCAPE '\\' OR sql LIKE '% al\\_%' ESCAPE '\\')"
        }
        Database::Postgres => {
            "SELECT relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE relname LIKE 'al\\_%' AND nspname = 'public' \
             UNION ALL SELECT proname::text FROM pg_proc WHERE proname LIKE 'al\\_%' \
             UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'al\\_%' \
             UNION ALL SELECT typname::text FROM pg_type WHERE typname LIKE 'al\\_%'"
        }
        Database::Mariadb => {
            "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'al\\_%' \
             UNION ALL SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() \
             UNION ALL SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()"
        }
    };
    let rows = world
        .db()
        .query_all_raw(Statement::from_string(world.db().get_database_backend(), sql))
        .await?;
    let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
    // `al_migrations`, its key's index and its types.
    Ok(names?.into_iter().filter(|name| !name.contains("al_migrations")).collect())
}

async fn works(world: &World) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let ledger = AuctionLedger::new(world.db().clone());
    ledger.deposit("ann", WON, 1.into()).await?;
    assert_eq!(books(world).await?.entries.len(), 1);
    Ok(())
}

on_every_backend_bare! {
    async fn up_down_and_up_again(world: &World) {
        world.db().execute_unprepared("CREATE TABLE host_thing (num INTEGER)").await?;
        world.db().execute_unprepared("INSERT INTO host_thing VALUES (7)").await?;
        for _ in 0..3 {
            Migrator::up(world.db(), None).await?;
            assert!(Migrator::get_pending_migrations(world.db()).await?.is_empty());
            works(world).await?;
            // Tables with rows that refuse to be deleted go all the same.
            Migrator::down(world.db(), None).await?;
            assert_eq!(ours(world).await?, Vec::<String>::new(), "nothing of ours is left");
            assert_eq!(one::<i64>(world.db(), "SELECT COUNT(*) FROM al_migrations").await?, 0);
        }
        // Without the tables a verb says what is missing.
        let ledger = AuctionLedger::new(world.db().clone());
        let missing = ledger.deposit("ann", WON, 1.into()).await.unwrap_err();
        assert!(matches!(missing, auction_ledger::Error::MigrationsMissing(_)), "{missing:?}");
        Migrator::up(world.db(), None).await?;
        works(world).await?;
        Migrator::refresh(world.db()).await?;
        assert!(Books::read(world.db()).await?.entries.is_empty());
        Migrator::reset(world.db()).await?;
        assert_eq!(ours(world).await?, Vec::<String>::new());
        assert_eq!(one::<i64>(world.db(), "SELECT COUNT(*) FROM host_thing WHERE num = 7").await?, 1);
    }

    async fn two_processes_migrate_at_once(world: &World) {
        let pools = [world.connect(1).await, world.connect(2).await];
        for round in 0..5 {
            let outcomes = race(2, |index| {
                let pool = pools[index].clone();
                async move { Migrator::up(&pool, None).await }
            })
            .await;
            for outcome in outcomes {
                outcome?;
            }
            assert_eq!(one::<i64>(world.db(), "SELECT COUNT(*) FROM al_migrations").await?, 4, "round {round}");
            works(world).await?;
            let outcomes = race(2, |index| {
                let pool = pools[index].clone();
                async move { Migrator::down(&pool, None).await }
            })
            .await;
            for outcome in outcomes {
                outcome?;
            }
            assert_eq!(ours(world).await?, Vec::<String>::new(), "round {round}");
        }
    }
}

on_every_backend! {
    async fn the_tables_have_the_names_that_were_promised(world: &World) {
        let ours = ours(world).await?;
        for table in ["al_wallet", "al_auction", "al_bid", "al_act", "al_entry", "al_key", "al_house", "al_sealed_bid"] {
            assert!(ours.iter().any(|name| name == table), "{table} is not among {ours:?}");
        }
    }
}
