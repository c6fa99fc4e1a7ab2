//! Idempotency keys: claimed by INSERT, compared as bytes, forgotten when they are old.

use auction_ledger::unit_of_work::ErrorKind;
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::sea_query::{DynIden, IntoIden};
use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::MigrationTrait;

use super::By::{Check, Key, Length};
use super::{accepts, all, bytes, in_words_of, key, refuses};
use crate::support::{Books, Database, World, on_every_backend, on_sqlite, race};

/// The columns of the primary key, in its order.
async fn primary_key(world: &World) -> Result<Vec<String>, DbErr> {
    let columns = match world.database() {
        Database::Sqlite => "SELECT name FROM pragma_table_info('al_key') WHERE pk > 0 ORDER BY pk",
        Database::Postgres => {
            "SELECT CAST(column_name AS TEXT) FROM information_schema.key_column_usage
             WHERE table_name = 'al_key' AND table_schema = current_schema() ORDER BY ordinal_position"
        }
        Database::Mariadb => {
            "SELECT column_name FROM information_schema.key_column_usage
             WHERE table_name = 'al_key' AND table_schema = database() ORDER BY ordinal_position"
        }
    };
    all(world.db(), columns).await
}

on_every_backend! {
    async fn a_key_is_claimed_once(world: &World) {
        accepts(world, [
            key(),
            key().with("idempotency_key", "X'41'"),
            key().with("idempotency_key", "X'6120'"),
            key().with("idempotency_key", "X'6100'"),
            key().with("scope", "X'41'"),
            key().with("scope", "X'6120'"),
        ]).await;
        refuses(world, [
            (key(), Key("al_key_pkey")),
            (key().with("request_hash", "X'62'"), Key("al_key_pkey")),
        ]).await;
    }

    /// H45: a key that is looked for and then stored is stored twice.
    async fn of_many_claims_at_once_one_succeeds(world: &World) {
        let claims = race(8, |_| {
            let (db, sql) = (world.db().clone(), in_words_of(world.database(), &key().to_string()));
            async move { db.execute_unprepared(&sql).await }
        });
        let claims = claims.await;
        let refused: Vec<_> = claims.iter().filter_map(|claim| claim.as_ref().err()).map(ErrorKind::of).collect();
        assert_eq!(refused, [ErrorKind::UniqueViolation; 7]);
    }

    async fn a_key_has_a_bounded_length(world: &World) {
        accepts(world, [
            key(),
            key().with("scope", bytes(80)).with("idempotency_key", bytes(200)).with("request_hash", bytes(64)),
        ]).await;
        refuses(world, [
            (key().with("scope", "X''"), Check("al_key_scope_check")),
            (key().with("scope", bytes(81)), Length("al_key_scope_check")),
            (key().with("idempotency_key", "X''"), Check("al_key_key_check")),
            (key().with("idempotency_key", bytes(201)), Length("al_key_key_check")),
            (key().with("scope", "X'62'").with("request_hash", "X''"), Check("al_key_request_hash_check")),
            (key().with("scope", "X'62'").with("request_hash", bytes(65)), Length("al_key_request_hash_check")),
        ]).await;
    }

    async fn old_keys_can_be_purged(world: &World) {
        accepts(world, [
            key().to_string(),
            key().with("scope", "X'62'").with("at", 9).to_string(),
            "DELETE FROM al_key WHERE at < 9".to_owned(),
        ]).await;
        assert_eq!(all::<i64>(world.db(), "SELECT at FROM al_key").await?, [9]);
    }

    /// On SQLite, where the rows move to another table, whatever views the host has.
    async fn keys_survive_a_new_order(world: &World) {
        let keys = async || Books::read(world.db()).await.map(|books| books.keys);
        let row = || key().with("scope", "X'63'").with("request_hash", "X'6464'");
        let by_user = ["scope", "idempotency_key"];
        let in_order = match world.database() {
            Database::Sqlite => ["idempotency_key", "scope"],
            Database::Postgres | Database::Mariadb => by_user,
        };
        assert_eq!(primary_key(world).await?, in_order);
        if world.database() == Database::Sqlite {
            world.db().execute_unprepared("CREATE VIEW host_keys AS SELECT idempotency_key FROM al_key").await?;
            world.db().execute_unprepared("CREATE VIEW host_broken AS SELECT num FROM host_thing").await?;
        }
        Migrator::down(world.db(), Some(1)).await?;
        assert_eq!(primary_key(world).await?, by_user);
        accepts(world, [row().with("idempotency_key", "X'62'").with("answer", "'{}'").with("at", 7), row(), key()]).await;
        let stored = keys().await?;
        assert_eq!(stored.len(), 3);
        assert_eq!(stored.iter().filter(|key| key.answer.is_some() && key.at == 7).count(), 1);

        Migrator::up(world.db(), None).await?;
        assert_eq!(primary_key(world).await?, in_order);
        assert_eq!(keys().await?, stored);
        refuses(world, [
            (key(), Key("al_key_pkey")),
            (key().with("idempotency_key", "X''"), Check("al_key_key_check")),
        ]).await;

        Migrator::down(world.db(), Some(1)).await?;
        assert_eq!(keys().await?, stored);
        refuses(world, [(key(), Key("al_key_pkey"))]).await;
    }
}

/// A host's migrator that has the ledger's migrations among its own: SeaORM opens no transaction for it on SQLite.
struct Appended;

impl MigratorTrait for Appended {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        auction_ledger_migration::migrations()
    }

    fn migration_table_name() -> DynIden {
        "al_migrations".into_iden()
    }
}

on_sqlite! {
    /// On SQLite, where a row of the host refers to one of the table that is made anew.
    async fn a_new_order_that_fails_changes_nothing(world: &World) {
        let keys = async || Books::read(world.db()).await.map(|books| books.keys);
        let execute = async |statement| world.db().execute_unprepared(statement).await;
        accepts(world, [key()]).await;
        let stored = keys().await?;
        execute(
            "CREATE TABLE host_call (scope BLOB, key BLOB,
             FOREIGN KEY (scope, key) REFERENCES al_key (scope, idempotency_key))",
        )
        .await?;
        Migrator::down(world.db(), Some(1)).await?;
        execute("INSERT INTO host_call SELECT scope, idempotency_key FROM al_key").await?;
        for is_appended in [false, true] {
            let failed = match is_appended {
                false => Migrator::up(world.db(), None).await,
                true => Appended::up(world.db(), None).await,
            };
            let error = failed.expect_err("the host refers to the row");
            assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
            let left = "SELECT name FROM sqlite_master WHERE name = 'al_key_before'";
            assert_eq!(all::<String>(world.db(), left).await?, [""; 0]);
            assert_eq!(primary_key(world).await?, ["scope", "idempotency_key"]);
            assert_eq!(keys().await?, stored);
        }
        execute("DELETE FROM host_call").await?;
        Appended::up(world.db(), None).await?;
        assert_eq!(primary_key(world).await?, ["idempotency_key", "scope"]);
        assert_eq!(keys().await?, stored);
    }
}
