//! Mails that are sent, whatever happens: each at least once and in order, though the mail server is away for a while, does not
//! like one of them at all, and the process ends in between.
//!
//! ```text
//! cargo run --example relay
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use auction_ledger::{
    AuctionEvent, AuctionLedger, AuctionTerms, Currency, EventKind, EventSink, SinkError,
};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::Database;

/// A mail server that is away for the first few mails, and takes none for bob.
#[derive(Clone, Default)]
struct MailServer {
    asked: Arc<AtomicU32>,
}

impl MailServer {
    fn send(&self, to: &str, text: &str) -> Result<(), SinkError> {
        if self.asked.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err("the mail server is away".into());
        }
        if to == "bob" {
            return Err("bob has no address".into());
        }
        println!("  to {to}: {text}");
        Ok(())
    }
}

#[async_trait]
impl EventSink for MailServer {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        match &event.kind {
            EventKind::Outbid { user, price } => {
                self.send(user.as_str(), &format!("you are outbid, the price is {price}"))
            }
            EventKind::HoldReleased { user, amount } => {
                self.send(user.as_str(), &format!("{amount} is available to you again"))
            }
            // Not everything is worth a mail.
            _ => Ok(()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let ledger = AuctionLedger::new(db.clone());
    for user in ["ann", "bob"] {
        ledger.deposit(user, Currency::EUR, 100.into()).await?;
    }
    let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into());
    let auction =
        ledger.open_auction("sam", "brass telescope", terms.ends_in(Duration::from_secs(3_600)));
    let auction = auction.await?.id;
    for (user, amount) in [("ann", 10), ("bob", 12), ("ann", 15)] {
        ledger.place_bid(auction, user, amount.into()).await?;
    }

    // Only now somebody looks: what was bid is in the books, and so are the events. A host calls `run`, which waits by itself.
    let server = MailServer::default();
    let relay = || {
        let relay = AuctionLedger::new(db.clone()).relay("mail", server.clone())?;
        Ok::<_, auction_ledger::Error>(relay.backoff(Duration::ZERO, Duration::ZERO).attempts(3))
    };
    let first = relay()?.deliver().await?;
    println!("delivered {}, refused {}", first.delivered, first.refused);

    // Another process goes on where the first one was.
    let mut parked = Vec::new();
    while parked.is_empty() {
        relay()?.deliver().await?;
        parked = relay()?.parked().await?;
    }
    for parked in &parked {
        println!("auction {} waits at {}: {}", parked.auction, parked.seq, parked.reason);
    }
    assert_eq!(parked.len(), 1);

    // Nobody can mend that: bob goes without his two mails.
    while relay()?.skip(auction).await? {
        while relay()?.parked().await?.is_empty() && relay()?.lag().await?.commands > 0 {
            relay()?.deliver().await?;
        }
    }
    assert_eq!(relay()?.lag().await?.commands, 0);
    println!("everything else has arrived");
    Ok(())
}
