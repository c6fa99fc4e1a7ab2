//! The floor: pgbench calls a function in the server that does all the work of a bid, one bid a call.

use std::path::Path;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::process::Command;

use crate::Failure;
use crate::load::percentile;
use crate::servers::{Address, Servers, repository};
use crate::statistics::Sample;
use crate::world::Shape;

/// The numbers of clients among which the best is looked for.
pub const SWEEP: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Makes the function.
pub async fn install(db: &DatabaseConnection) -> Result<(), Failure> {
    let sql = std::fs::read_to_string(repository().join("bench/peers/floor.sql"))?;
    db.execute_unprepared(&sql).await?;
    Ok(())
}

/// One run of pgbench.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub shape: Shape,
    pub zipf: bool,
    pub clients: usize,
    pub key: bool,
    pub warmup: Duration,
    pub measured: Duration,
}

/// Runs it on the database of a URL.
pub async fn run(servers: &Servers, url: &str, run: Run) -> Result<Sample, Failure> {
    if !run.warmup.is_zero() {
        pgbench(servers, url, run, run.warmup, None).await?;
    }
    // Writing down each call costs a little, so it is done only where the median of one caller is asked for.
    let folder = tempfile::tempdir()?;
    let log = (run.clients == 1).then_some(folder.path());
    let output = pgbench(servers, url, run, run.measured, log).await?;
    let find = |what: &str| {
        output
            .lines()
            .find_map(|line| line.strip_prefix(what)?.split_whitespace().next()?.parse().ok())
    };
    let calls: f64 = find("number of transactions actually processed: ").ok_or("no count")?;
    let rate: f64 = find("tps = ").ok_or("no rate")?;
    let failed: f64 = find("number of failed transactions: ").unwrap_or(0.0);
    if failed > 0.0 {
        return Err(format!("{failed} calls of the floor failed").into());
    }
    let latencies = latencies(folder.path())?;
    Ok(Sample {
        accepted: calls as u64,
        // So that a rate is the one that pgbench says: without the time to connect.
        seconds: calls / rate,
        p50_ms: percentile(&latencies, 0.5),
        p99_ms: percentile(&latencies, 0.99),
        ..Sample::default()
    })
}

async fn pgbench(
    servers: &Servers,
    url: &str,
    run: Run,
    time: Duration,
    log: Option<&Path>,
) -> Result<String, Failure> {
    let address = Address::of(url)?;
    let mut command = Command::new(servers.postgres_bin.join("pgbench"));
    command
        .args(["--no-vacuum", "--protocol=prepared", "--host", &address.host])
        .args(["--port", &address.port, "--username", &address.user])
        .arg("--file")
        .arg(repository().join(if run.zipf {
            "bench/peers/floor_zipf.pgbench"
        } else {
            "bench/peers/floor.pgbench"
        }))
        .arg(format!("--client={}", run.clients))
        .arg(format!("--jobs={}", run.clients.min(2)))
        .arg(format!("--time={}", time.as_secs().max(1)))
        .args(["-D", &format!("auctions={}", run.shape.auctions)])
        .args(["-D", &format!("wallets={}", run.shape.wallets)])
        .args(["-D", &format!("keys={}", run.key)])
        .env("PGPASSWORD", &address.password)
        .kill_on_drop(true);
    if let Some(folder) = log {
        command.arg("--log").arg("--log-prefix").arg(folder.join("calls"));
    }
    let output = command.arg(&address.database).output().await?;
    if !output.status.success() {
        return Err(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The microseconds of all calls, sorted: the third column of each file.
fn latencies(folder: &Path) -> Result<Vec<u32>, Failure> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let text = std::fs::read_to_string(file?.path())?;
        let third = |line: &str| line.split(' ').nth(2)?.parse::<u32>().ok();
        all.extend(text.lines().filter_map(third));
    }
    all.sort_unstable();
    Ok(all)
}
