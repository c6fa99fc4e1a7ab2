//! A server of the test's own, to be killed and started again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection};

use super::Result;
use crate::support::Database;

/// Starts a server, says its URL, and then does what it is told, one line after the other, until nobody tells anything.
const SCRIPT: &str = r#"
    set -euo pipefail
    . scripts/servers.sh
    trap stop_servers EXIT
    unset TEST_POSTGRES_URL TEST_MYSQL_URL
    server=$1
    shift
    options=("$@")
    eval "plain_$(declare -f servers_spawn)"
    servers_spawn() { plain_servers_spawn "$@" "${options[@]}"; }
    "start_$server"
    echo "${TEST_POSTGRES_URL:-}${TEST_MYSQL_URL:-}"
    while read -r what how; do
        "${what}_$server" "$how"
        echo "$what is done"
    done
"#;

/// A server that ends with this value, or with this process.
pub(super) struct Server {
    database: Database,
    url: String,
    script: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server with one more option on its command line, or with none.
    pub(super) fn start(database: Database, option: &str) -> Self {
        let mut command = Command::new("bash");
        command.args(["-c", SCRIPT, "server", database.label()]);
        command.args(Some(option).filter(|option| !option.is_empty()));
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("bash can be started");
        let orders = script.stdin.take();
        let answers = BufReader::new(script.stdout.take().expect("it is piped"));
        let mut server = Self { database, url: String::new(), script, orders, answers };
        server.url = server.answer();
        assert!(server.url.contains("://"), "no server: see the lines above");
        server
    }

    /// Makes a database with the tables of the crate; its URL and a pool on it.
    pub(super) async fn database(&self) -> Result<(String, DatabaseConnection)> {
        let admin = self.database.connect(&self.url, 1).await;
        admin.execute_unprepared("CREATE DATABASE faults").await?;
        admin.close().await?;
        let (server, _) = self.url.rsplit_once('/').expect("a database in the URL");
        let url = format!("{server}/faults");
        // The driver pauses up to a fifth of this between two attempts to connect.
        let patience = |options: &mut ConnectOptions| {
            options.acquire_timeout(Duration::from_secs(2));
        };
        let db = self.database.connect_with(&url, 6, patience).await;
        Migrator::up(&db, None).await?;
        Ok((url, db))
    }

    /// SIGKILL. With `alone`, PostgreSQL's other processes are left to find out.
    pub(super) fn kill(&mut self, alone: bool) {
        self.order(if alone { "kill alone" } else { "kill" });
    }

    /// As an administrator does: whoever is at work is told, and cut off.
    pub(super) fn shut_down(&mut self) {
        self.order("shut_down");
    }

    /// On the same files and the same port; returns when it answers.
    pub(super) fn restart(&mut self) {
        self.order("restart");
    }

    fn order(&mut self, order: &str) {
        tokio::task::block_in_place(|| {
            let orders = self.orders.as_mut().expect("it listens until it is dropped");
            writeln!(orders, "{order}").expect("the script listens");
            let done = self.answer();
            assert!(done.ends_with("is done"), "{order}: {done:?}: see the lines above");
        });
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the script answers");
        line.trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Told nothing more, the script stops the server and ends.
        drop(self.orders.take());
        _ = self.script.wait();
    }
}
