//! A Dutch auction: the price falls in steps until somebody takes it, and the house gets its share.
//!
//! ```text
//! cargo run --example dutch
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use auction_ledger::{AuctionLedger, AuctionTerms, Currency, HouseShare, Rejection};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::Database;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let ledger = AuctionLedger::new(db);
    ledger.deposit("ann", Currency::EUR, 200.into()).await?;

    // 120 at once, 100 after half a second; by the database's clock.
    let steps = [(Duration::ZERO, 120.into()), (Duration::from_millis(500), 100.into())];
    let terms = AuctionTerms::dutch_in_steps(Currency::EUR, steps)
        .premium(HouseShare::basis_points(10_00))
        .fee(HouseShare::basis_points(5_00))
        .ends_in(Duration::from_secs(3600));
    let auction = ledger.open_auction("sam", "200 tulips", terms).await?.id;

    // Ann names a limit, and pays what the clock says: never more than it.
    let purchase = loop {
        match ledger.take(auction, "ann", 110.into()).await {
            Ok(purchase) => break purchase,
            Err(error) => match error.rejection() {
                Some(Rejection::AboveLimit { price }) => println!("{price} is asked: ann waits"),
                _ => return Err(error.into()),
            },
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    println!("ann takes it at {}, and pays {} to the house", purchase.price, purchase.premium);
    assert_eq!((purchase.price, purchase.premium), (100.into(), 10.into()));
    assert_eq!(ledger.wallet("ann", Currency::EUR).await?.available, 90.into());
    assert_eq!(ledger.wallet("sam", Currency::EUR).await?.available, 95.into());

    let collected = ledger.collect_house("the house", Currency::EUR).await?;
    println!("the house collects {collected}");
    assert_eq!(collected, 15.into());
    Ok(())
}
