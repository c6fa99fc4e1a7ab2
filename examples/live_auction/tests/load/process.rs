//! The server, in a process of its own: what is measured of it is of nobody else.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::client::soon;
use crate::redis::{answers, free_port};

pub(crate) const SECRET: &str = "the same secret in all processes";

/// It ends with its test.
pub(crate) struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    pub(crate) async fn start(folder: &Path, database: &str) -> Self {
        let (port, log) = (free_port().await, folder.join("log"));
        let mut program = Command::new(env!("CARGO_BIN_EXE_live_auction"));
        program.env("PORT", port.to_string()).env("DATABASE_URL", database);
        program.env("SESSION_SECRET", SECRET);
        program.env_remove("BIND").env_remove("PUBLIC_ORIGIN").env_remove("REDIS_URL");
        program.stdin(Stdio::null()).stdout(File::create(&log).unwrap());
        let server = Self { child: program.spawn().unwrap(), port, log };
        soon("the start of the program", answers(port)).await;
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How much memory it has, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = self.told_by_the_system("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// How much time of processors it has used, in hundredths of a second.
    pub(crate) fn processor(&self) -> u64 {
        let stat = self.told_by_the_system("stat");
        // The name of the program, in parentheses, is the second field.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    fn told_by_the_system(&self, what: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{what}", self.child.id())).unwrap()
    }

    /// How many lines of its log say so.
    pub(crate) fn logged(&self, what: &str) -> usize {
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines().filter(|line| line.contains(what)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
