//! Callers in a closed loop: each calls, waits for its answer, and calls again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::Failure;
use crate::statistics::{Sample, resident_kib};

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    /// The rules said no: mostly, that another bid came first.
    Rejected,
    /// There was no room in the line.
    Shed,
}

/// What callers call.
pub trait Target: Send + Sync {
    fn call<'a>(&'a self, random: &'a mut fastrand::Rng) -> BoxFuture<'a, Result<Answer, Failure>>;
}

/// How many call, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub callers: usize,
    pub warmup: Duration,
    pub measured: Duration,
}

/// Whoever finds no room waits so long before the next call, as a client would.
const AFTER_SHED: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Tally {
    accepted: u64,
    rejected: u64,
    shed: u64,
    /// Microseconds of the accepted calls.
    latencies: Vec<u32>,
}

/// Runs callers, and counts what is answered within the measured time. Whoever waits at its end is waited for.
pub async fn run(target: Arc<dyn Target>, load: Load) -> Result<Sample, Failure> {
    let start = Instant::now() + load.warmup;
    let end = start + load.measured;
    let callers: Vec<_> = (0..load.callers)
        .map(|number| tokio::spawn(caller(Arc::clone(&target), number as u64, start, end)))
        .collect();
    // Before the callers stop: what they need is in use.
    tokio::time::sleep_until(start + load.measured.mul_f64(0.9)).await;
    let resident_kib = resident_kib();
    let mut all = Tally::default();
    for caller in callers {
        let tally = caller.await??;
        all.accepted += tally.accepted;
        all.rejected += tally.rejected;
        all.shed += tally.shed;
        all.latencies.extend(tally.latencies);
    }
    all.latencies.sort_unstable();
    Ok(Sample {
        accepted: all.accepted,
        rejected: all.rejected,
        shed: all.shed,
        seconds: load.measured.as_secs_f64(),
        p50_ms: percentile(&all.latencies, 0.5),
        p99_ms: percentile(&all.latencies, 0.99),
        resident_kib,
        ..Sample::default()
    })
}

async fn caller(
    target: Arc<dyn Target>,
    number: u64,
    start: Instant,
    end: Instant,
) -> Result<Tally, Failure> {
    let mut random = fastrand::Rng::with_seed(number);
    let mut tally = Tally::default();
    loop {
        let called = Instant::now();
        if called >= end {
            return Ok(tally);
        }
        let answer = target.call(&mut random).await?;
        let answered = Instant::now();
        if answered >= start && answered < end {
            match answer {
                Answer::Accepted => {
                    tally.accepted += 1;
                    tally.latencies.push((answered - called).as_micros() as u32);
                }
                Answer::Rejected => tally.rejected += 1,
                Answer::Shed => tally.shed += 1,
            }
        }
        if answer == Answer::Shed {
            tokio::time::sleep(AFTER_SHED).await;
        }
    }
}

/// Of sorted microseconds, in milliseconds.
pub fn percentile(sorted: &[u32], part: f64) -> Option<f64> {
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().checked_sub(1)?);
    sorted.get(index).map(|micros| f64::from(*micros) / 1000.0)
}
