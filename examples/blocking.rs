//! Bidders on threads, without async: as a host with synchronous handlers would serve them.
//!
//! ```text
//! cargo run --example blocking
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]
#![allow(clippy::arithmetic_side_effects, reason = "small sums of an example")]

use std::thread;
use std::time::Duration;

use auction_ledger::{AuctionTerms, Currency, Error, Rejection, blocking};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::ConnectOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Each connection to an SQLite in memory is a database of its own.
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1);
    let ledger = blocking::AuctionLedger::connect(options)?;
    ledger.wait(Migrator::up(ledger.connection(), None))?;

    let bidders = ["ann", "bob", "cyd", "dan"];
    for bidder in bidders {
        ledger.wait(ledger.deposit(bidder, Currency::EUR, 500.into()))?;
    }
    let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into())
        .automatic_bidding()
        .ends_in(Duration::from_secs(3600));
    let auction = ledger.wait(ledger.open_auction("sam", "brass telescope", terms))?.id;

    // Each states a maximum, all at once; the ledger bids for them.
    let threads: Vec<_> = bidders
        .into_iter()
        .zip([120, 200, 80, 160])
        .map(|(bidder, maximum)| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let bid = ledger.place_bid(auction, bidder, maximum.into()).key("click 1");
                match ledger.wait(bid) {
                    Ok(bid) if bid.leads => println!("{bidder} leads at {}", bid.price),
                    Ok(bid) => println!("{bidder} is outbid at once: {}", bid.price),
                    Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => {
                        println!("{bidder} comes too late: the least bid is {minimum}");
                    }
                    Err(error) => return Err(error),
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a bidder does not panic")?;
    }

    let sold = ledger.wait(ledger.close_early(auction))?.sold.expect("somebody has bid");
    println!("{} wins for {}", sold.winner, sold.price);
    // One increment above the second highest maximum, whoever came first.
    assert_eq!((sold.winner.as_str(), sold.price), ("bob", 165.into()));
    assert!(ledger.wait(ledger.audit())?.is_clean());
    ledger.close()?;
    Ok(())
}
