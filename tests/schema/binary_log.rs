//! A server with the binary log on lets only a superuser make triggers (H52).
//!
//! The log is switched on where a server starts, so this test starts one of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};

use super::all;
use crate::support::{Database, TestResult};

/// Says the URL of a MariaDB with the binary log on, and stops it when nobody listens any more.
const SERVER: &str = r#"
    set -euo pipefail
    . scripts/servers.sh
    trap stop_servers EXIT
    unset TEST_MYSQL_URL
    eval "plain_$(declare -f servers_spawn)"
    servers_spawn() { plain_servers_spawn "$@" --log-bin=binlog; }
    if [[ -z $(mariadb_bin) ]]; then servers_missing mariadb-server; exit 1; fi
    start_mariadb
    echo "$TEST_MYSQL_URL"
    read -r _ || true
"#;

/// A server of this test. It ends when its standard input does.
struct Server {
    script: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let mut command = Command::new("bash");
        command.args(["-c", SERVER]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("bash can be started");
        let mut url = String::new();
        let stdout = script.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut url).expect("the script says something");
        assert!(url.starts_with("mysql://"), "no server with a binary log: see the lines above");
        Self { script, url: url.trim_end().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

async fn tables(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    all(db, "SELECT table_name FROM information_schema.tables WHERE table_schema = database() ORDER BY 1").await
}

mod a_refused_trigger_names_its_remedy_and_leaves_nothing {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn mariadb() -> crate::support::TestResult {
        super::a_refused_trigger_names_its_remedy_and_leaves_nothing().await
    }
}

async fn a_refused_trigger_names_its_remedy_and_leaves_nothing() -> TestResult {
    let server = tokio::task::spawn_blocking(Server::start).await?;
    let admin = Database::Mariadb.connect(&server.url, 1).await;
    assert_eq!(all::<i64>(&admin, "SELECT CAST(@@log_bin AS SIGNED)").await?, [1]);
    for sql in [
        "CREATE DATABASE app",
        "CREATE USER 'app'@'127.0.0.1' IDENTIFIED BY 'app'",
        "GRANT ALL ON app.* TO 'app'@'127.0.0.1'",
    ] {
        admin.execute_unprepared(sql).await?;
    }
    let (_, host) = server.url.rsplit_once('@').expect("a URL with a user");
    let (host, _) = host.split_once('/').expect("a URL with a database");
    let app = Database::Mariadb.connect(&format!("mysql://app:app@{host}/app"), 1).await;

    let error = Migrator::up(&app, None)
        .await
        .expect_err("without SUPER no trigger can be made")
        .to_string();
    assert!(error.contains("SET GLOBAL log_bin_trust_function_creators = 1"), "{error}");
    assert_eq!(tables(&app).await?, ["al_migrations"]);

    admin.execute_unprepared("SET GLOBAL log_bin_trust_function_creators = 1").await?;
    Migrator::up(&app, None).await?;
    assert_eq!(tables(&app).await?.len(), 10);
    app.close().await?;
    admin.close().await?;
    Ok(())
}
