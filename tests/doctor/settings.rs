//! Settings that take a promise back: of a connection, and of a server that was started with them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use auction_ledger::{DatabaseSetting as Setting, Severity, Symptom};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection};

use super::symptoms;
use crate::support::{Database, TestResult, World, on_every_backend, on_every_backend_bare};

/// Fails unless the doctor finds exactly these settings: which, its name and value, how bad, and the remedy.
async fn finds(
    db: &DatabaseConnection,
    expected: &[(Setting, &str, Severity, &str)],
) -> TestResult {
    let found = symptoms(db).await?;
    let found: Vec<_> = found
        .iter()
        .map(|symptom| match symptom {
            Symptom::Setting { setting, name, value, severity, remedy, harm } => {
                let text = format!("{name} is {value}: {harm}; remedy: {remedy}");
                assert_eq!(symptom.to_string().replace(" is empty:", " is :"), text);
                assert_eq!(symptom.severity(), *severity);
                (*setting, format!("{name} = {value}"), *severity, *remedy)
            }
            other => panic!("{other}"),
        })
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(setting, value, severity, remedy)| (*setting, value.as_str(), *severity, *remedy))
        .collect();
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!((expected.0, expected.1, expected.2), (found.0, found.1, found.2));
        assert!(found.3.contains(expected.3), "{found:?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
    Ok(())
}

/// SQLite's file, connected to as `options` says.
async fn sqlite(
    world: &World,
    foreign_keys: bool,
    busy_timeout: Duration,
    pragma: (&'static str, &'static str),
) -> DatabaseConnection {
    let mut connect = ConnectOptions::new(world.url());
    connect.max_connections(1).sqlx_logging(false);
    connect.map_sqlx_sqlite_opts(move |options| {
        let options = options.create_if_missing(true).foreign_keys(foreign_keys);
        options.busy_timeout(busy_timeout).pragma(pragma.0, pragma.1)
    });
    sea_orm::Database::connect(connect).await.expect("the file can be opened")
}

const WAIT: Duration = Duration::from_secs(5);

on_every_backend! {
    async fn a_connection_of_sqlite_that_defends_less(world: &World) {
        if world.database() != Database::Sqlite {
            return Ok(());
        }
        let error = Severity::Error;
        for (db, expected) in [
            (sqlite(world, true, WAIT, ("synchronous", "EXTRA")).await, None),
            (sqlite(world, false, WAIT, ("synchronous", "FULL")).await,
                Some((Setting::ForeignKeys, "foreign_keys = 0", error, "PRAGMA foreign_keys = ON"))),
            (sqlite(world, true, Duration::ZERO, ("synchronous", "FULL")).await,
                Some((Setting::BusyTimeout, "busy_timeout = 0", Severity::Warning, "PRAGMA busy_timeout = 5000"))),
            (sqlite(world, true, WAIT, ("synchronous", "NORMAL")).await,
                Some((Setting::Synchronous, "synchronous = 1", error, "PRAGMA synchronous = FULL"))),
            (sqlite(world, true, WAIT, ("synchronous", "OFF")).await,
                Some((Setting::Synchronous, "synchronous = 0", error, "PRAGMA synchronous = FULL"))),
            (sqlite(world, true, WAIT, ("ignore_check_constraints", "ON")).await,
                Some((Setting::CheckConstraints, "ignore_check_constraints = 1", error, "PRAGMA ignore_check_constraints = OFF"))),
        ] {
            finds(&db, expected.as_slice()).await?;
            db.close().await?;
        }
    }

    async fn a_connection_of_postgres_that_defends_less(world: &World) {
        if world.database() != Database::Postgres {
            return Ok(());
        }
        for (options, expected) in [
            ("synchronous_commit%3Doff", Some((Setting::SynchronousCommit, "synchronous_commit = off", Severity::Error, "SET synchronous_commit = on"))),
            ("synchronous_commit%3Dlocal", None),
            ("session_replication_role%3Dreplica", Some((Setting::SessionReplicationRole, "session_replication_role = replica", Severity::Error, "RESET session_replication_role"))),
            ("default_transaction_isolation%3Dserializable", Some((Setting::Isolation, "default_transaction_isolation = serializable", Severity::Warning, "RESET default_transaction_isolation"))),
            ("default_transaction_isolation%3Drepeatable%5C%20read", Some((Setting::Isolation, "default_transaction_isolation = repeatable read", Severity::Warning, "RESET default_transaction_isolation"))),
        ] {
            let db = Database::Postgres.connect(&format!("{}?options=-c%20{options}", world.url()), 1).await;
            finds(&db, expected.as_slice()).await?;
            db.close().await?;
        }
    }

    async fn a_connection_of_mariadb_that_defends_less(world: &World) {
        if world.database() != Database::Mariadb {
            return Ok(());
        }
        let strict = "add STRICT_TRANS_TABLES to sql_mode";
        for (statement, expected) in [
            ("sql_mode = ''", Some((Setting::SqlMode, "sql_mode = ", Severity::Error, strict))),
            ("sql_mode = 'ansi'", Some((Setting::SqlMode,
                "sql_mode = real_as_float,pipes_as_concat,ansi_quotes,ignore_space,ansi", Severity::Error, strict))),
            ("sql_mode = 'strict_all_tables'", None),
            ("sql_mode = 'traditional'", None),
            ("check_constraint_checks = OFF", Some((Setting::CheckConstraints, "check_constraint_checks = off", Severity::Error, "SET check_constraint_checks = ON"))),
            ("foreign_key_checks = OFF", Some((Setting::ForeignKeys, "foreign_key_checks = off", Severity::Error, "SET foreign_key_checks = ON"))),
            ("tx_isolation = 'READ-UNCOMMITTED'", Some((Setting::Isolation, "tx_isolation = read-uncommitted", Severity::Warning, "READ COMMITTED"))),
            ("tx_isolation = 'SERIALIZABLE'", Some((Setting::Isolation, "tx_isolation = serializable", Severity::Warning, "READ COMMITTED"))),
            ("tx_isolation = 'READ-COMMITTED'", None),
        ] {
            let db = world.connect(1).await;
            db.execute_unprepared(&format!("SET SESSION {statement}")).await?;
            finds(&db, expected.as_slice()).await?;
        }
    }
}

on_every_backend_bare! {
    async fn a_file_of_sqlite_that_is_kept_badly(world: &World) {
        if world.database() != Database::Sqlite {
            return Ok(());
        }
        let wal = "PRAGMA journal_mode = WAL";
        for (mode, value, severity) in [
            ("DELETE", "delete", Severity::Warning), ("TRUNCATE", "truncate", Severity::Warning),
            ("MEMORY", "memory", Severity::Error), ("OFF", "off", Severity::Error),
        ] {
            // A file of its own: one that is in WAL already would stay in it.
            let url = world.url().replace(".db", &format!("-{value}.db"));
            let mut connect = ConnectOptions::new(url);
            connect.max_connections(1).sqlx_logging(false);
            connect.map_sqlx_sqlite_opts(move |options| options.create_if_missing(true).pragma("journal_mode", mode));
            let db = sea_orm::Database::connect(connect).await?;
            Migrator::up(&db, None).await?;
            finds(&db, &[(Setting::JournalMode, &format!("journal_mode = {value}"), severity, wal)]).await?;
            db.close().await?;
        }
        let db = sea_orm::Database::connect("sqlite::memory:").await?;
        Migrator::up(&db, None).await?;
        finds(&db, &[(Setting::JournalMode, "journal_mode = memory", Severity::Warning, "open a file")]).await?;
    }
}

/// A server that was started with these arguments besides its own. It ends when its standard input does.
struct Server {
    script: Child,
    url: String,
}

impl Server {
    /// `start` is a function of `scripts/servers.sh`, `url` the variable that it sets.
    fn start(start: &str, url: &str, arguments: &str) -> Self {
        let script = format!(
            r#"
            set -euo pipefail
            . scripts/servers.sh
            trap stop_servers EXIT
            unset {url}
            eval "plain_$(declare -f servers_spawn)"
            servers_spawn() {{ plain_servers_spawn "$@" {arguments}; }}
            {start}
            echo "${url}"
            read -r _ || true
            "#
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("bash can be started");
        let mut url = String::new();
        let stdout = script.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut url).expect("the script says something");
        assert!(url.contains("://"), "no server: see the lines above");
        Self { script, url: url.trim_end().to_owned() }
    }

    /// A migrated database on it.
    async fn migrated(&self, database: Database) -> Result<DatabaseConnection, sea_orm::DbErr> {
        let admin = database.connect(&self.url, 1).await;
        admin.execute_unprepared("CREATE DATABASE app").await?;
        admin.close().await?;
        let (server, _) = self.url.rsplit_once('/').expect("a URL with a database");
        let db = database.connect(&format!("{server}/app"), 1).await;
        Migrator::up(&db, None).await?;
        Ok(db)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// Settings that only the start of a server, or its administrator, can change: on a server of the test's own.
mod a_server_that_loses_what_it_acknowledged {
    use super::{Database, Server, Setting, Severity, TestResult, finds};
    use sea_orm::ConnectionTrait;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn postgres() -> TestResult {
        let start = || {
            Server::start(
                "start_postgres",
                "TEST_POSTGRES_URL",
                "-c fsync=off -c full_page_writes=off",
            )
        };
        let server = tokio::task::spawn_blocking(start).await?;
        let db = server.migrated(Database::Postgres).await?;
        finds(
            &db,
            &[
                (Setting::Fsync, "fsync = off", Severity::Error, "ALTER SYSTEM SET fsync = on"),
                (
                    Setting::FullPageWrites,
                    "full_page_writes = off",
                    Severity::Error,
                    "ALTER SYSTEM SET full_page_writes = on",
                ),
            ],
        )
        .await?;
        db.close().await?;
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn mariadb() -> TestResult {
        let start = || Server::start("start_mariadb", "TEST_MYSQL_URL", "--log-bin=binlog");
        let server = tokio::task::spawn_blocking(start).await?;
        let db = server.migrated(Database::Mariadb).await?;
        let flush = "innodb_flush_log_at_trx_commit";
        let log =
            (Setting::SyncBinlog, "sync_binlog = 0", Severity::Error, "SET GLOBAL sync_binlog = 1");
        finds(&db, &[log]).await?;
        for value in [0, 2] {
            db.execute_unprepared(&format!("SET GLOBAL {flush} = {value}")).await?;
            let commit = format!("{flush} = {value}");
            let remedy = "SET GLOBAL innodb_flush_log_at_trx_commit = 1";
            finds(
                &db,
                &[(Setting::InnodbFlushLogAtTrxCommit, &commit, Severity::Error, remedy), log],
            )
            .await?;
        }
        // The remedies are statements that help.
        db.execute_unprepared("SET GLOBAL innodb_flush_log_at_trx_commit = 1").await?;
        db.execute_unprepared("SET GLOBAL sync_binlog = 1").await?;
        finds(&db, &[]).await?;
        db.close().await?;
        Ok(())
    }
}
