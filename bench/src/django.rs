//! The same application in Django, if it is there: `bench/peers/django/run` says how it did.

use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use crate::Failure;
use crate::servers::repository;
use crate::statistics::Sample;
use crate::world::Shape;

/// The numbers of processes among which the best is looked for.
pub const SWEEP: [usize; 4] = [2, 4, 8, 16];

/// The line that the script prints.
#[derive(Clone, Debug, Deserialize)]
struct Report {
    accepted: u64,
    rejected: u64,
    seconds: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    django: String,
    python: String,
}

/// Whether there is a script.
pub fn is_there() -> bool {
    repository().join("bench/peers/django/run").exists()
}

/// Runs it on an empty database, and says with which versions.
pub async fn run(
    url: &str,
    shape: Shape,
    processes: usize,
    warmup: Duration,
    measured: Duration,
) -> Result<(Sample, String), Failure> {
    let script = repository().join("bench/peers/django/run");
    let mut command = Command::new(script);
    command
        .args(["--database-url", url])
        .args(["--auctions", &shape.auctions.to_string()])
        .args(["--wallets", &shape.wallets.to_string()])
        .args(["--processes", &processes.to_string()])
        .args(["--seconds", &measured.as_secs().to_string()])
        .args(["--warmup", &warmup.as_secs().to_string()])
        .kill_on_drop(true);
    let output = command.output().await?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = errors.lines().rev().take(3).collect();
        return Err(format!("django: {last:?}").into());
    }
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().rfind(|line| line.starts_with('{')).ok_or("django said nothing")?;
    let report: Report = serde_json::from_str(line)?;
    let sample = Sample {
        accepted: report.accepted,
        rejected: report.rejected,
        seconds: report.seconds,
        p50_ms: report.p50_ms,
        p99_ms: report.p99_ms,
        ..Sample::default()
    };
    Ok((sample, format!("Django {}, Python {}", report.django, report.python)))
}
