//! Audits books: clean ones, the same after somebody has edited the database, and, if asked, a million entries.
//!
//! ```text
//! cargo run --example audit
//! cargo run --example audit -- --entries 1000000
//! cargo run --features postgres,mysql --example audit -- --entries 1000000 --url postgres://…/an_empty_database
//! ```
//!
//! With `--entries` it writes a book of that size and measures how long the audit of it takes, and the memory it takes. A
//! database that has wallets already is audited as it is. `--commands` is the setter of the same name.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]
#![allow(clippy::arithmetic_side_effects, reason = "small sums of an example")]

#[path = "audit/book.rs"]
mod book;
#[path = "audit/measure.rs"]
mod measure;

use std::error::Error;
use std::time::Duration;

use auction_ledger::{
    AuctionLedger, AuctionTerms, AuditReport, Currency, Error as LedgerError, Finding,
};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut measured = measure::Options::default();
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--entries" => measured.entries = value.parse()?,
            "--url" => measured.url = Some(value),
            "--commands" => measured.commands = Some(value.parse()?),
            _ => return Err(format!("{argument} is not known").into()),
        }
    }
    if measured.entries > 0 {
        return measure::run(measured).await;
    }
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let ledger = AuctionLedger::new(db.clone());
    trade(&ledger).await?;

    let report = ledger.audit().await?;
    print(&report);
    assert!(report.is_clean());
    assert_eq!((report.read.wallets, report.read.auctions, report.read.bids), (3, 2, 4));
    let totals = report.conservation.as_deref().unwrap_or_default();
    assert!(totals.iter().all(|total| total.holds()));
    assert_eq!(totals.iter().map(|total| total.money).collect::<Vec<_>>(), [90_000]);

    tamper(&db).await?;
    let report = ledger.audit().await?;
    println!();
    print(&report);
    // The wallet that was edited, the auction that was, and the money that came out of nothing.
    assert!(matches!(
        report.findings.as_slice(),
        [Finding::WalletRow { .. }, Finding::HeldAfterEnd { held: 6_000, .. }, Finding::Conservation(total)]
            if total.money == 100_000
    ));
    Ok(())
}

/// Two auctions: one is sold, and in the other Ann leads.
async fn trade(ledger: &AuctionLedger) -> Result<(), LedgerError> {
    let euro = Currency::EUR;
    let terms =
        || AuctionTerms::english(euro, 10.into(), 5.into()).ends_in(Duration::from_secs(3600));
    ledger.deposit("ann", euro, 500.into()).await?;
    ledger.deposit("bob", euro, 500.into()).await?;
    let sold = ledger.open_auction("sam", "brass telescope", terms()).await?.id;
    ledger.place_bid(sold, "ann", 20.into()).await?;
    ledger.place_bid(sold, "bob", 40.into()).await?;
    ledger.close_early(sold).by("sam").await?;
    ledger.withdraw("bob", euro, 100.into()).await?;
    let open = ledger.open_auction("sam", "brass sextant", terms()).await?.id;
    ledger.place_bid(open, "bob", 50.into()).await?;
    ledger.place_bid(open, "ann", 60.into()).await?;
    Ok(())
}

/// Somebody with access to the database helps a friend, and calls an auction off behind the ledger's back.
async fn tamper(db: &DatabaseConnection) -> Result<(), Box<dyn Error>> {
    db.execute_unprepared("UPDATE al_wallet SET available = available + 10000 WHERE id = 2")
        .await?;
    db.execute_unprepared("UPDATE al_auction SET state = 4 WHERE state = 1").await?;
    Ok(())
}

fn print(report: &AuditReport) {
    let read = report.read;
    println!(
        "read {} wallets, {} entries, {} auctions, {} bids, {} acts",
        read.wallets, read.entries, read.auctions, read.bids, read.acts
    );
    for finding in &report.findings {
        println!("  found: {finding}");
    }
    if report.more_findings > 0 {
        println!("  and {} more", report.more_findings);
    }
    match &report.conservation {
        Some(totals) => totals.iter().for_each(|total| println!("  {total}")),
        None => println!("  all money was not counted"),
    }
}
