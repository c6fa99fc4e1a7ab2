//! How auctions end: everybody buys at once, and the sweep of what has ended.

use std::time::Duration;

use auction_ledger::{AuctionId, AuctionLedger};
use futures::future::join_all;
use tokio::time::Instant;

use crate::Failure;
use crate::load::{Answer, Load, percentile};
use crate::ours::answer;
use crate::statistics::Sample;
use crate::world::{Shape, user};

/// Storms on one auction after the other: all callers buy at once, one of them does, and all are answered. Counts auctions.
pub async fn storms(ledger: AuctionLedger, load: Load, shape: Shape) -> Result<Sample, Failure> {
    let start = Instant::now();
    let mut sample = Sample::default();
    let mut latencies = Vec::new();
    for auction in 1..=shape.auctions {
        if start.elapsed() >= load.measured {
            break;
        }
        let id = AuctionId::from(auction);
        let buyers = (0..load.callers).map(|caller| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let called = Instant::now();
                let bought = answer(ledger.buy_now(id, user(caller as i64 + 3)).await)?;
                Ok::<_, Failure>((bought, called.elapsed().as_micros() as u32))
            })
        });
        let mut winners = 0;
        for answered in join_all(buyers).await {
            let (bought, micros) = answered??;
            latencies.push(micros);
            match bought {
                Answer::Accepted => winners += 1,
                Answer::Rejected => sample.rejected += 1,
                Answer::Shed => sample.shed += 1,
            }
        }
        if winners != 1 {
            return Err(format!("auction {auction} was sold {winners} times").into());
        }
        sample.accepted += 1;
    }
    sample.seconds = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    sample.p50_ms = percentile(&latencies, 0.5);
    sample.p99_ms = percentile(&latencies, 0.99);
    Ok(sample)
}

/// How long the sweepers sweep.
const SWEEP: Duration = Duration::from_secs(10);

/// Settles what has ended, by so many sweepers at once, until nothing is left or their time is up.
pub async fn settle(ledger: AuctionLedger, sweepers: usize) -> Result<Sample, Failure> {
    let start = Instant::now();
    let sweepers: Vec<_> = (0..sweepers)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut settled = 0;
                loop {
                    let sweep = ledger.settle_due(100).await?;
                    if let Some((auction, error)) = sweep.failed.first() {
                        return Err(Failure::from(format!("auction {auction}: {error}")));
                    }
                    settled += sweep.settled.len() as u64;
                    if !sweep.more || start.elapsed() >= SWEEP {
                        return Ok(settled);
                    }
                }
            })
        })
        .collect();
    let mut sample = Sample::default();
    for sweeper in sweepers {
        sample.accepted += sweeper.await??;
    }
    sample.seconds = start.elapsed().as_secs_f64();
    Ok(sample)
}
