//! A worker that settles auctions as they end, and goes on when one of them cannot be settled.
//!
//! ```text
//! cargo run --example settle_worker
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]
#![allow(clippy::arithmetic_side_effects, reason = "small sums of an example")]

use std::error::Error;
use std::time::Duration;

use auction_ledger::{AuctionLedger, AuctionState, AuctionTerms, Currency, Sweep};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::Database;
use tokio::sync::oneshot;

/// Says what a sweep has settled.
fn tell(sweep: &Sweep) {
    for settlement in &sweep.settled {
        match &settlement.sold {
            Some(sale) => {
                println!("auction {}: {} wins for {}", settlement.auction, sale.winner, sale.price)
            }
            None => println!("auction {}: unsold", settlement.auction),
        }
    }
    // Reported, and tried again by the next sweep.
    for (auction, error) in &sweep.failed {
        println!("auction {auction} could not be settled: {error}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let ledger = AuctionLedger::new(db);
    ledger.deposit("ann", Currency::EUR, 100.into()).await?;

    let (stop, stopped) = oneshot::channel::<()>();
    // Any number of processes may run one.
    let settler = ledger.settler().on_sweep(tell);
    let worker = tokio::spawn(settler.run(async move { _ = stopped.await }));

    let short = AuctionTerms::english(Currency::EUR, 10.into(), 1.into())
        .ends_in(Duration::from_millis(700));
    let telescope = ledger.open_auction("sam", "brass telescope", short.clone()).await?.id;
    let lamp = ledger.open_auction("sam", "oil lamp", short).await?.id;
    ledger.place_bid(telescope, "ann", 25.into()).await?;

    // Give the auctions time to end, and the worker time to find them.
    let mut states = (AuctionState::Open, AuctionState::Open);
    while states.0 == AuctionState::Open || states.1 == AuctionState::Open {
        tokio::time::sleep(Duration::from_millis(100)).await;
        states = (ledger.auction(telescope).await?.state, ledger.auction(lamp).await?.state);
    }
    _ = stop.send(());
    assert_eq!(worker.await?.settled, 2);
    assert_eq!(states, (AuctionState::Sold, AuctionState::Unsold));
    assert_eq!(ledger.wallet("sam", Currency::EUR).await?.available, 25.into());
    println!(
        "both have ended, and sam has {}",
        ledger.wallet("sam", Currency::EUR).await?.available
    );
    Ok(())
}
