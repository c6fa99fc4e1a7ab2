//! What the migrations make is what the doctor asks for: every constraint and every trigger that a freshly migrated
//! database has is missed when it is gone, and nothing else is.

use std::collections::BTreeSet;

use auction_ledger::Symptom;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};

use super::symptoms;
use crate::support::{Database, World, on_every_backend, on_every_backend_bare};

/// The first columns of all rows, as text.
async fn rows<const N: usize>(
    db: &DatabaseConnection,
    sql: &str,
) -> Result<Vec<[String; N]>, DbErr> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    rows.iter()
        .map(|row| {
            let cells: Result<Vec<String>, _> =
                (0..N).map(|index| row.try_get_by_index(index)).collect();
            Ok(cells?.try_into().expect("as many as asked for"))
        })
        .collect()
}

/// Every trigger, with what drops it.
async fn triggers(world: &World) -> Result<Vec<[String; 2]>, DbErr> {
    rows(world.db(), match world.database() {
        Database::Sqlite => "SELECT name, 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger'",
        Database::Postgres => {
            "SELECT CAST(tgname AS TEXT), format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal"
        }
        Database::Mariadb => {
            "SELECT trigger_name, CONCAT('DROP TRIGGER ', trigger_name) FROM information_schema.triggers WHERE trigger_schema = database()"
        }
    }).await
}

/// Every constraint that has a name of its own, but for primary keys, with what drops it.
async fn constraints(world: &World) -> Result<Vec<[String; 2]>, DbErr> {
    match world.database() {
        Database::Postgres => rows(world.db(),
            "SELECT CAST(conname AS TEXT), format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint \
             WHERE connamespace = 'public'::regnamespace AND contype NOT IN ('p', 'n')").await,
        Database::Mariadb => rows(world.db(),
            "SELECT constraint_name, CONCAT('ALTER TABLE ', table_name, ' DROP CONSTRAINT ', constraint_name) \
             FROM information_schema.table_constraints WHERE constraint_schema = database() AND constraint_type <> 'PRIMARY KEY'").await,
        // No statement drops one: the text of the table is edited, so that it has another name.
        Database::Sqlite => {
            let mut found = Vec::new();
            for [table, text] in rows(world.db(), "SELECT name, sql FROM sqlite_master WHERE type = 'table'").await? {
                for part in text.split("CONSTRAINT ").skip(1) {
                    let (name, rest) = part.split_once(' ').expect("a name");
                    if !rest.starts_with("PRIMARY KEY") {
                        found.push([name.to_owned(), edit(&table, name, "another")]);
                    }
                }
            }
            Ok(found)
        }
    }
}

fn edit(table: &str, from: &str, to: &str) -> String {
    format!("UPDATE sqlite_master SET sql = replace(sql, '{from}', '{to}') WHERE name = '{table}'")
}

/// A connection that may edit what SQLite says of its tables.
async fn editor(world: &World) -> Result<DatabaseConnection, DbErr> {
    let db = world.connect(1).await;
    if world.database() == Database::Sqlite {
        db.execute_unprepared("PRAGMA writable_schema = ON").await?;
    }
    Ok(db)
}

fn trigger(name: &str) -> Symptom {
    Symptom::MissingTrigger { trigger: name.to_owned() }
}

fn constraint(name: &str) -> Symptom {
    Symptom::MissingConstraint { constraint: name.to_owned() }
}

fn table(name: &str) -> Symptom {
    Symptom::MissingTable { table: name.to_owned() }
}

/// As a set of texts: the order is the doctor's.
fn texts(symptoms: &[Symptom]) -> BTreeSet<String> {
    symptoms.iter().map(ToString::to_string).collect()
}

on_every_backend! {
    async fn a_database_as_the_readme_asks_for_has_no_symptom(world: &World) {
        assert_eq!(symptoms(world.db()).await?, []);
    }

    async fn every_trigger_of_the_migrations_is_missed(world: &World) {
        let all = triggers(world).await?;
        assert!(all.len() >= 8, "{all:?}");
        // One alone, and then all of them.
        world.db().execute_unprepared(&all[0][1]).await?;
        let found = symptoms(world.db()).await?;
        assert_eq!(found, [trigger(&all[0][0])]);
        assert_eq!(
            found[0].to_string(),
            format!(
                "the trigger {} is missing or disabled: what it forbids can be changed or deleted; remedy: create it again, as the \
                 migration that makes its table has it, or enable it, and run an audit", all[0][0],
            )
        );
        for [_, drop] in &all[1..] {
            world.db().execute_unprepared(drop).await?;
        }
        let expected: Vec<_> = all.iter().map(|[name, _]| trigger(name)).collect();
        let found = symptoms(world.db()).await?;
        assert_eq!(texts(&found), texts(&expected));
        assert_eq!(found.len(), expected.len());
    }

    async fn every_constraint_of_the_migrations_is_missed(world: &World) {
        let all = constraints(world).await?;
        assert!(all.len() >= 25, "{all:?}");
        let db = editor(world).await?;
        db.execute_unprepared(&all[0][1]).await?;
        let found = symptoms(&db).await?;
        assert_eq!(found, [constraint(&all[0][0])]);
        assert_eq!(
            found[0].to_string(),
            format!(
                "the constraint {} is missing: rows that it forbids can be stored; remedy: add it again, as the migration that makes \
                 its table has it", all[0][0],
            )
        );
        for [_, drop] in &all[1..] {
            db.execute_unprepared(drop).await?;
        }
        let expected: Vec<_> = all.iter().map(|[name, _]| constraint(name)).collect();
        let found = symptoms(&db).await?;
        assert_eq!(texts(&found), texts(&expected));
        assert_eq!(found.len(), expected.len());
    }

    /// A CHECK that is taken out of the table, name and all.
    async fn a_balance_that_nothing_defends(world: &World) {
        let db = editor(world).await?;
        let drop = match world.database() {
            Database::Sqlite => edit("al_wallet", "CONSTRAINT al_wallet_balance_check CHECK (available >= 0 AND held >= 0),", ""),
            _ => "ALTER TABLE al_wallet DROP CONSTRAINT al_wallet_balance_check".to_owned(),
        };
        db.execute_unprepared(&drop).await?;
        assert_eq!(symptoms(&db).await?, [constraint("al_wallet_balance_check")]);
    }

    /// SQLite keeps what it is given; so every column of money and of what explains it has a CHECK of its type.
    async fn every_type_that_the_migrations_check_is_missed(world: &World) {
        if world.database() != Database::Sqlite {
            return Ok(());
        }
        let db = editor(world).await?;
        let mut expected = Vec::new();
        let columns = "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' \
            AND t.name GLOB 'al_*' AND t.name NOT IN ('al_key', 'al_relay', 'al_migrations') AND c.name <> 'id'";
        for [table, column] in rows::<2>(&db, columns).await? {
            db.execute_unprepared(&edit(&table, &format!("typeof({column})"), "NOT (FALSE)")).await?;
            expected.push(Symptom::UncheckedType { table, column });
        }
        assert!(expected.len() >= 50, "{expected:?}");
        let found = symptoms(&db).await?;
        assert_eq!(texts(&found), texts(&expected));
        assert!(texts(&found).contains(
            "the type of al_wallet.held is not checked: a sum that overflows is stored as a fraction; remedy: make the table again, \
             as its migration has it, and copy the rows"
        ));
    }

    async fn a_trigger_that_is_disabled_is_missed(world: &World) {
        if world.database() != Database::Postgres {
            return Ok(());
        }
        for (state, expected) in [
            ("DISABLE TRIGGER", vec![trigger("al_entry_no_change")]),
            ("ENABLE REPLICA TRIGGER", vec![trigger("al_entry_no_change")]),
            ("ENABLE ALWAYS TRIGGER", vec![]),
            ("ENABLE TRIGGER", vec![]),
        ] {
            world.db().execute_unprepared(&format!("ALTER TABLE al_entry {state} al_entry_no_change")).await?;
            assert_eq!(symptoms(world.db()).await?, expected, "{state}");
        }
    }

    async fn a_table_without_transactions_is_seen(world: &World) {
        if world.database() != Database::Mariadb {
            return Ok(());
        }
        for engine in ["MyISAM", "Aria"] {
            world.db().execute_unprepared(&format!("ALTER TABLE al_entry ENGINE = {engine}")).await?;
            let found = symptoms(world.db()).await?;
            assert_eq!(found, [Symptom::Engine { table: "al_entry".into(), engine: engine.into() }]);
            assert_eq!(
                found[0].to_string(),
                format!("the table al_entry is kept by {engine}: what is written to it cannot be rolled back; remedy: ALTER TABLE al_entry ENGINE = InnoDB")
            );
            world.db().execute_unprepared(&found[0].remedy()).await?;
            assert_eq!(symptoms(world.db()).await?, []);
        }
        // A table of the host's is the host's affair.
        world.db().execute_unprepared("CREATE TABLE al_catalogue (id INT PRIMARY KEY) ENGINE = MyISAM").await?;
        assert_eq!(symptoms(world.db()).await?, []);
    }

    /// The user of an application, who may write rows and nothing else.
    async fn whoever_may_only_write_rows_sees_what_is_there(world: &World) {
        let Some((_, host)) = world.url().split_once('@') else {
            return Ok(()); // SQLite has no users
        };
        let name = world.url().rsplit('/').next().unwrap();
        // Users are the server's, and not the database's.
        let user = format!("user_{}", &name[name.len() - 20..]);
        let (scheme, prepare, clean) = match world.database() {
            Database::Mariadb => (
                "mysql",
                vec![
                    format!("CREATE OR REPLACE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'app'"),
                    // Some releases of MariaDB show triggers to nobody else.
                    format!("GRANT SELECT, INSERT, UPDATE, TRIGGER ON {name}.* TO '{user}'@'127.0.0.1'"),
                ],
                vec![format!("DROP USER '{user}'@'127.0.0.1'")],
            ),
            _ => (
                "postgres",
                vec![
                    format!("DROP ROLE IF EXISTS {user}"),
                    format!("CREATE ROLE {user} LOGIN PASSWORD 'app'"),
                    format!("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {user}"),
                ],
                vec![format!("DROP OWNED BY {user}"), format!("DROP ROLE {user}")],
            ),
        };
        for statement in prepare {
            world.db().execute_unprepared(&statement).await?;
        }
        let app = world.database().connect(&format!("{scheme}://{user}:app@{host}"), 1).await;
        let before = symptoms(&app).await;
        let [name, drop] = triggers(world).await?.remove(0);
        world.db().execute_unprepared(&drop).await?;
        let after = symptoms(&app).await;
        app.close().await?;
        for statement in clean {
            world.db().execute_unprepared(&statement).await?;
        }
        assert_eq!((before?, after?), (vec![], vec![trigger(&name)]));
    }

    async fn a_column_that_a_migration_would_have_added(world: &World) {
        world.db().execute_unprepared("ALTER TABLE al_act DROP COLUMN reason").await?;
        let found = symptoms(world.db()).await?;
        assert_eq!(found, [Symptom::MissingColumn { table: "al_act".into(), column: "reason".into() }]);
        assert_eq!(
            found[0].to_string(),
            "the column al_act.reason is missing: a migration has not been run; remedy: run auction_ledger_migration::Migrator::up, \
             or the migrator that has its migrations"
        );
    }

    /// With its constraints and its triggers, which are not told again.
    async fn a_table_that_is_gone(world: &World) {
        world.db().execute_unprepared("DROP TABLE al_entry").await?;
        let found = symptoms(world.db()).await?;
        assert_eq!(found, [table("al_entry")]);
        assert_eq!(
            found[0].to_string(),
            "the table al_entry is missing: a migration has not been run; remedy: run auction_ledger_migration::Migrator::up, or the \
             migrator that has its migrations"
        );
    }
}

on_every_backend_bare! {
    async fn an_empty_database_lacks_every_table(world: &World) {
        let expected = ["al_wallet", "al_auction", "al_bid", "al_act", "al_entry", "al_house", "al_sealed_bid", "al_key", "al_relay"].map(table);
        assert_eq!(symptoms(world.db()).await?, expected);
    }

    /// The tables of another schema are not those that the ledger would use.
    async fn a_ledger_that_is_not_on_the_search_path(world: &World) {
        if world.database() != Database::Postgres {
            return Ok(());
        }
        use auction_ledger_migration::{Migrator, MigratorTrait};
        let db = world.connect(1).await;
        db.execute_unprepared("CREATE SCHEMA house; SET search_path = house").await?;
        Migrator::up(&db, None).await?;
        assert_eq!(symptoms(&db).await?, []);
        assert_eq!(symptoms(world.db()).await?.len(), 9);
        Migrator::up(world.db(), None).await?;
        world.db().execute_unprepared("DROP TRIGGER al_bid_no_change ON public.al_bid").await?;
        assert_eq!(symptoms(&db).await?, []);
        assert_eq!(symptoms(world.db()).await?, [trigger("al_bid_no_change")]);
    }
}
