//! What the numbers were measured on.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use tokio::time::Instant;

use crate::Failure;
use crate::contest::Bench;
use crate::database::{self, Pool};
use crate::load::percentile;

/// What a flush to the disk takes.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Many times 8 KiB at the same place and `fdatasync`, as the servers' logs do it, on their disk.
pub fn flush(bench: &Bench) -> Result<Flush, Failure> {
    let file = File::create(bench.databases.folder().join("flush"))?;
    let page = [7; 8192];
    let mut all = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        file.write_all_at(&page, 0)?;
        file.sync_data()?;
        all.push(start.elapsed().as_micros() as u32);
    }
    all.sort_unstable();
    let of = |part| percentile(&all, part).unwrap_or(0.0);
    Ok(Flush { p50_ms: of(0.5), p99_ms: of(0.99) })
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".to_owned())
}

/// The rows of the table: what, and how it is.
pub async fn describe(bench: &Bench) -> Result<Vec<(&'static str, String)>, Failure> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let folder = bench.databases.folder().display().to_string();
    let disk = output("df", &["--output=fstype", &folder]);
    let flush = flush(bench)?;
    let servers = &bench.databases.servers;
    let mut rows = vec![
        ("date", output("date", &["-u", "+%F"])),
        ("processor", model.map_or("unknown", |(_, model)| model).to_owned()),
        ("cores", format!("{cores}, for the servers and the callers together")),
        ("load average at the start", load.split(' ').take(1).collect()),
        ("kernel", kernel.trim().to_owned()),
        ("file system", disk.lines().last().unwrap_or("unknown").to_owned()),
        (
            "`fdatasync` of 8 KiB, 500 times",
            format!("median {:.3} ms, 99 % {:.3} ms", flush.p50_ms, flush.p99_ms),
        ),
    ];
    let postgres =
        ["server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size"];
    rows.push(("PostgreSQL", settings(&servers.postgres, &postgres).await?));
    if let Some(mariadb) = &servers.mariadb {
        let settings = [
            "version",
            "innodb_flush_log_at_trx_commit",
            "sync_binlog",
            "log_bin",
            "innodb_buffer_pool_size",
        ];
        rows.push(("MariaDB", self::settings(mariadb, &settings).await?));
    }
    let sqlite = database::connect("sqlite::memory:", Pool::default()).await?;
    rows.push(("SQLite", database::text(&sqlite, "SELECT sqlite_version()").await?));
    rows.push(("rustc", output("rustc", &["--version"])));
    rows.push((
        "callers",
        "tokio, 2 worker threads, in one process; the default allocator".to_owned(),
    ));
    rows.push(("pool", "16 connections, where nothing else is said".to_owned()));
    Ok(rows)
}

/// The first is a version, the others have names.
async fn settings(url: &str, names: &[&str]) -> Result<String, Failure> {
    let db = database::connect(url, Pool { connections: 1, pings: true }).await?;
    let mut all = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let sql = if url.starts_with("postgres") {
            format!("SELECT current_setting('{name}')")
        } else {
            format!("SELECT CAST(@@{name} AS CHAR)")
        };
        let value = database::text(&db, &sql).await?;
        all.push(if index == 0 { value } else { format!("`{name}={value}`") });
    }
    db.close().await?;
    Ok(all.join(", "))
}
