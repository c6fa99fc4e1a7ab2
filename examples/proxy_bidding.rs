//! Automatic bidding as eBay knows it: three bidders, their hidden maxima, and the history that everybody sees.
//!
//! ```text
//! cargo run --example proxy_bidding
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use auction_ledger::{AuctionLedger, AuctionTerms, Currency, Increments, Rejection};
use auction_ledger_migration::{Migrator, MigratorTrait};
use rust_decimal::Decimal;
use sea_orm::Database;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let ledger = AuctionLedger::new(db);

    let terms = AuctionTerms::english(Currency::USD, Decimal::new(9_99, 2), Decimal::ONE)
        .automatic_bidding()
        .increments(Increments::ebay())
        .reserve(18.into())
        .soft_close(Duration::from_secs(300))
        .ends_in(Duration::from_secs(3600));
    let auction = ledger.open_auction("sam", "a camera", terms).await?.id;
    for bidder in ["ann", "bob", "cid"] {
        ledger.deposit(bidder, Currency::USD, 100.into()).await?;
    }

    // Ann's maximum is 12; she leads at the start price. Bob's 11.75 does not beat it, and raises the price at once.
    ledger.place_bid(auction, "ann", 12.into()).await?;
    let bob = ledger.place_bid(auction, "bob", Decimal::new(11_75, 2)).await?;
    assert!(!bob.leads);
    assert_eq!(bob.price, 12.into());
    assert_eq!(ledger.auction(auction).await?.reserve_met, Some(false));

    // Ann raises her maximum. The old one had capped the price: the raise completes the increment.
    let raised = ledger.place_bid(auction, "ann", 17.into()).await?;
    assert_eq!(raised.price, Decimal::new(12_25, 2));

    // Cid's 40 beats everybody's, and meets the hidden reserve: the price jumps to it.
    let cid = ledger.place_bid(auction, "cid", 40.into()).await?;
    assert_eq!(cid.price, 18.into());
    assert_eq!(ledger.wallet("cid", Currency::USD).await?.held, 40.into());

    let low =
        ledger.place_bid(auction, "bob", 18.into()).await.expect_err("Cid's maximum is higher");
    let minimum = Decimal::new(18_50, 2);
    assert_eq!(low.rejection(), Some(&Rejection::BelowMinimum { minimum }));
    println!("bob bids 18.00: {low}");

    println!("\n  bid  bidder  amount");
    let history = ledger.bids(auction).await?;
    for row in &history {
        let how = if row.automatic { "automatic" } else { "" };
        println!("{:>5}  {:<6} {:>7}  {how}", row.seq, row.user, row.amount);
    }
    assert_eq!(history.len(), 5);
    assert!(history.iter().all(|row| row.amount != 40.into()), "a leader's maximum is never shown");

    let sale = ledger.close_early(auction).await?.sold.ok_or("the reserve was met")?;
    println!("\n{} has won at {}", sale.winner, sale.price);
    assert_eq!(ledger.wallet("cid", Currency::USD).await?.available, 82.into());
    Ok(())
}
