//! "You have been outbid": a sink hands the events that are for one user to that user, and the others to everybody.
//!
//! The transport is the host's. Here it is a mailbox for each user; a web socket or a mail queue takes as many lines.
//!
//! ```text
//! cargo run --example outbid_notice
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use auction_ledger::{
    AuctionEvent, AuctionLedger, AuctionTerms, Currency, EventKind, EventSink, SinkError, UserId,
};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::Database;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One mailbox a user, and one that everybody reads.
struct Mailboxes {
    private: HashMap<UserId, UnboundedSender<String>>,
    public: UnboundedSender<String>,
}

#[async_trait::async_trait]
impl EventSink for Mailboxes {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        let currency = event.currency;
        let text = match &event.kind {
            EventKind::BidPlaced { bidder, price, .. } => {
                format!("{bidder} leads at {price} {currency}")
            }
            EventKind::Outbid { price, .. } => {
                format!("you have been outbid at {price} {currency}")
            }
            EventKind::HoldReleased { amount, .. } => {
                format!("{amount} {currency} are yours again")
            }
            _ => return Ok(()),
        };
        match event.recipient() {
            Some(user) => match self.private.get(user) {
                Some(mailbox) => mailbox.send(text)?,
                None => return Err(format!("{user} has no mailbox").into()),
            },
            None => self.public.send(text)?,
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let (public, mut board) = unbounded_channel();
    let (sender, mut anns) = unbounded_channel();
    let sink = Mailboxes { private: HashMap::from([("ann".into(), sender)]), public };
    let ledger = AuctionLedger::new(db).sink(sink);

    for bidder in ["ann", "bob"] {
        ledger.deposit(bidder, Currency::EUR, 100.into()).await?;
    }
    let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into())
        .ends_in(Duration::from_secs(3600));
    let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    ledger.place_bid(auction, "ann", 20.into()).await?;
    ledger.place_bid(auction, "bob", 30.into()).await?;

    assert_eq!(read(&mut board, 2).await, ["ann leads at 20.00 EUR", "bob leads at 30.00 EUR"]);
    assert_eq!(
        read(&mut anns, 2).await,
        ["you have been outbid at 30.00 EUR", "20.00 EUR are yours again"]
    );
    Ok(())
}

/// Reads and prints the next messages.
async fn read(mailbox: &mut UnboundedReceiver<String>, count: usize) -> Vec<String> {
    let mut messages = Vec::new();
    for _ in 0..count {
        let message = mailbox.recv().await.unwrap_or_default();
        println!("{message}");
        messages.push(message);
    }
    messages
}
