//! A purchase whose notification fails: the auction stays sold, the money stays paid, and the caller knows both.
//!
//! The story every shop with a web socket lives through: "sold out" is sent after the purchase, the message broker is
//! down, and the purchase must not suffer from it.
//!
//! ```text
//! cargo run --example on_commit
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use auction_ledger::{AuctionLedger, AuctionState, AuctionTerms, Currency};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::Database;

/// The host's broker. It is down.
async fn send_sold_out(title: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, format!("no broker for \"{title}\"")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let ledger = AuctionLedger::new(db);
    ledger.deposit("buyer", Currency::KRW, 100_000.into()).await?;
    let terms = AuctionTerms::english(Currency::KRW, 10_000.into(), 1_000.into())
        .buy_now(90_000.into())
        .ends_in(Duration::from_secs(3600));
    let auction = ledger.open_auction("seller", "rice cooker", terms).await?;

    let mails = Arc::new(AtomicUsize::new(0));
    let purchase = ledger
        .atomic(async |uow| {
            let purchase = ledger.buy_now(auction.id, "buyer").within(uow).await?;
            // A robust callback that fails is reported, and the later ones still run.
            let title = auction.title.clone();
            uow.on_commit_robust(async move || send_sold_out(&title).await);
            let mails = Arc::clone(&mails);
            uow.on_commit(async move || _ = mails.fetch_add(1, Ordering::SeqCst));
            // Nothing has been sent: the purchase is not committed yet.
            Ok::<_, auction_ledger::Error>(purchase)
        })
        .await?;

    // The purchase is an `Ok`: an error here would make the caller charge twice.
    println!("bought for {} by {}", purchase.price, purchase.buyer);
    let failure = purchase.hooks().failed.first().ok_or("the broker is down")?;
    println!("the notification failed: {}", failure.error);
    assert_eq!(
        failure.error.downcast_ref::<io::Error>().map(io::Error::kind),
        Some(io::ErrorKind::ConnectionRefused)
    );
    assert_eq!(purchase.hooks().succeeded, 1);
    assert_eq!(mails.load(Ordering::SeqCst), 1);
    println!("the mail after it went out all the same");

    assert_eq!(ledger.auction(auction.id).await?.state, AuctionState::Sold);
    let buyer = ledger.wallet("buyer", Currency::KRW).await?;
    let seller = ledger.wallet("seller", Currency::KRW).await?;
    assert_eq!((buyer.available, buyer.held), (10_000.into(), 0.into()));
    assert_eq!(seller.available, 90_000.into());
    println!("buyer: {} left; seller: {} received", buyer.available, seller.available);
    Ok(())
}
