//! The servers of a run: throwaway ones of `scripts/servers.sh`, or those that the environment names.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::Failure;

/// The servers, as long as this lives. They stop when the pipe to their script is closed, also if this process is killed.
#[derive(Debug)]
pub struct Servers {
    pub postgres: String,
    pub mariadb: Option<String>,
    /// Where PostgreSQL's programs are.
    pub postgres_bin: PathBuf,
    script: Child,
    pipe: Option<ChildStdin>,
}

const SCRIPT: &str = r#"set -euo pipefail
. scripts/servers.sh
trap stop_servers EXIT
start_postgres >&2
if [[ $1 == both ]]; then start_mariadb >&2; fi
printf '%s\n' "$(postgres_bin)" "$TEST_POSTGRES_URL" "${TEST_MYSQL_URL:-}"
read -r _ || true"#;

/// The folder of the repository, as the compiler saw it.
pub fn repository() -> &'static Path {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.parent().unwrap_or(bench)
}

impl Servers {
    /// Starts PostgreSQL, and MariaDB too if it is asked for.
    pub async fn start(mariadb: bool) -> Result<Self, Failure> {
        let mut script = Command::new("bash")
            .args(["-c", SCRIPT, "servers", if mariadb { "both" } else { "postgres" }])
            .current_dir(repository())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Of its own, so that a Ctrl-C reaches the bench alone, and the script still cleans up.
            .process_group(0)
            .spawn()?;
        let pipe = script.stdin.take();
        let stdout = script.stdout.take().ok_or("the script of the servers has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut line = async || lines.next_line().await.map(Option::unwrap_or_default);
        let (bin, postgres, mariadb) = (line().await?, line().await?, line().await?);
        if postgres.is_empty() {
            return Err("the servers did not start".into());
        }
        let mariadb = (!mariadb.is_empty()).then_some(mariadb);
        Ok(Self { postgres, mariadb, postgres_bin: bin.into(), script, pipe })
    }

    /// Stops them, and waits for it.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        drop(self.pipe.take());
        self.script.wait().await?;
        Ok(())
    }
}

/// A URL of a server, in its parts.
#[derive(Clone, Debug)]
pub struct Address {
    pub user: String,
    pub password: String,
    pub host: String,
    pub port: String,
    pub database: String,
}

impl Address {
    /// `scheme://user:password@host:port/database`
    pub fn of(url: &str) -> Result<Self, Failure> {
        let parts = || {
            let (login, place) = url.split_once("://")?.1.rsplit_once('@')?;
            let (user, password) = login.split_once(':')?;
            let (address, database) = place.split_once('/')?;
            let (host, port) = address.split_once(':')?;
            Some([user, password, host, port, database].map(str::to_owned))
        };
        let [user, password, host, port, database] =
            parts().ok_or("the URL of a server needs a user, a password, a port and a name")?;
        Ok(Self { user, password, host, port, database })
    }
}

/// The same server, another database.
pub fn with_database(url: &str, name: &str) -> String {
    let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
    format!("{server}/{name}")
}

/// The same database, by another port of this machine.
pub fn with_port(url: &str, port: u16) -> Result<String, Failure> {
    let (login, place) = url.rsplit_once('@').ok_or("no user in the URL")?;
    let database = place.split_once('/').map_or("", |(_, database)| database);
    Ok(format!("{login}@127.0.0.1:{port}/{database}"))
}
