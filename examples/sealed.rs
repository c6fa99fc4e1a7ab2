//! A sealed auction at the second price: nobody sees a bid before the end, and the highest pays the best of the others.
//!
//! ```text
//! cargo run --example sealed
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::Database;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let ledger = AuctionLedger::new(db);

    // A reserve of 100. The end is near, by the database's clock.
    let terms = AuctionTerms::sealed_second_price(Currency::EUR, 50.into())
        .reserve(100.into())
        .ends_in(Duration::from_secs(2));
    let auction = ledger.open_auction("sam", "the mill by the river", terms).await?.id;

    let bids = [("ann", 110), ("ann", 130), ("cid", 125), ("dan", 115), ("eve", 132), ("eve", 140)];
    for (user, amount) in bids {
        if ledger.wallet(user, Currency::EUR).await?.held.is_zero() {
            ledger.deposit(user, Currency::EUR, 200.into()).await?;
        }
        ledger.place_bid(auction, user, amount.into()).await?;
    }

    // Everybody's money is held, and nobody sees more than the own bid.
    let page = ledger.auction_for(auction, "cid").await?;
    assert_eq!(page.own_maximum.map(|own| own.reveal()), Some(125.into()));
    assert_eq!((page.auction.price, page.auction.leader), (None, None));
    assert!(ledger.bids(auction).await?.is_empty());
    for user in ["ann", "cid", "dan", "eve"] {
        let wallet = ledger.wallet(user, Currency::EUR).await?;
        println!("{user}: {} available, {} held", wallet.available, wallet.held);
    }

    while ledger.auction_for(auction, "cid").await?.is_running {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sweep = ledger.settle_due(100).await?;
    let sale = sweep.settled[0].sold.as_ref().ok_or("the reserve was met")?;
    println!("\n{} has won, and pays {}", sale.winner, sale.price);
    assert_eq!((sale.winner.as_str(), sale.price), ("eve", 130.into()));
    assert_eq!(ledger.wallet("eve", Currency::EUR).await?.available, 70.into());
    assert_eq!(ledger.wallet("ann", Currency::EUR).await?.available, 200.into());

    println!("\n  bid  bidder  amount");
    for row in ledger.bids(auction).await? {
        println!("{:>5}  {:<6} {:>7}", row.seq, row.user, row.amount);
    }
    Ok(())
}
