//! Two bidders, an outbid, a purchase, and a rolled-back attempt, on an embedded SQLite: no server is needed.
//!
//! ```text
//! cargo run --example quickstart
//! cargo run --example quickstart -- ann bob 500 120 180
//! ```
//!
//! The arguments, all optional: the two bidders, what each deposits, the start price, the buy-now price, in euros.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]
#![allow(clippy::arithmetic_side_effects, reason = "small sums of an example")]

use std::error::Error;
use std::time::Duration;

use auction_ledger::entity::{entry, wallet};
use auction_ledger::{AuctionLedger, AuctionTerms, Currency, Rejection};
use auction_ledger_migration::{Migrator, MigratorTrait};
use rust_decimal::Decimal;
use sea_orm::{Database, DatabaseConnection, EntityTrait, QueryOrder};
use tokio::sync::mpsc;

const SELLER: &str = "sam";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().unwrap_or_else(|| "ann".to_owned());
    let second = arguments.next().unwrap_or_else(|| "bob".to_owned());
    let deposit: Decimal = arguments.next().as_deref().unwrap_or("500").parse()?;
    let start: Decimal = arguments.next().as_deref().unwrap_or("120").parse()?;
    let buy_now: Decimal = arguments.next().as_deref().unwrap_or("180").parse()?;
    let currency = Currency::EUR;

    // A host adds the migrations to its own; here there is nothing else to migrate.
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let ledger = AuctionLedger::new(db.clone());

    for bidder in [&first, &second] {
        let wallet =
            ledger.deposit(bidder.as_str(), currency, deposit).memo("first payment").await?;
        println!("{bidder} deposits {deposit}: {} available", wallet.available);
    }
    let terms = AuctionTerms::english(currency, start, Decimal::ONE)
        .buy_now(buy_now)
        .ends_in(Duration::from_secs(3600));
    let auction = ledger.open_auction(SELLER, "brass telescope", terms).await?;
    println!("{SELLER} opens \"{}\" at {start}, to be bought for {buy_now}", auction.title);

    // Callbacks run after the commit and hand off what happened. The transport is the host's: here, a channel.
    let (notices, mut inbox) = mpsc::unbounded_channel::<String>();

    // The first bid, and a message that goes out only if the bid is stored.
    let bid = ledger
        .atomic(async |uow| {
            let bid = ledger.place_bid(auction.id, first.as_str(), start).within(uow).await?;
            let (notices, text) = (notices.clone(), format!("{first} leads at {}", bid.price));
            uow.on_commit(async move || _ = notices.send(text));
            Ok::<_, auction_ledger::Error>(bid)
        })
        .await?;
    assert!(bid.hooks().is_clean());
    assert_eq!(inbox.recv().await, Some(format!("{first} leads at {}", bid.price)));
    println!("{first} bids {} and leads", bid.maximum.reveal());

    // The second bidder's attempt is rolled back: neither the bid nor its message exists.
    let minimum = ledger.auction(auction.id).await?.next_minimum.ok_or("the auction is open")?;
    let attempt = ledger
        .atomic(async |uow| {
            ledger.place_bid(auction.id, second.as_str(), minimum).within(uow).await?;
            let notices = notices.clone();
            uow.on_commit(async move || _ = notices.send("this is never sent".to_owned()));
            Err::<(), _>(Failure::PaymentDeclined)
        })
        .await;
    assert!(matches!(attempt, Err(Failure::PaymentDeclined)));
    assert!(inbox.try_recv().is_err());
    assert_eq!(ledger.auction(auction.id).await?.price, Some(bid.price));
    println!(
        "{second} bids {minimum}, but the host's payment check fails: rolled back, no message"
    );

    // A refusal carries what the caller needs next.
    let refused = ledger.place_bid(auction.id, second.as_str(), start).await;
    let refused = refused.err().ok_or("an equal bid is refused")?;
    assert_eq!(refused.rejection(), Some(&Rejection::BelowMinimum { minimum }));
    println!("{second} bids {start}: refused, {refused}");

    // Outbid: the first bidder's money is available again, in the same transaction.
    let bid = ledger.place_bid(auction.id, second.as_str(), minimum).await?;
    let outbid = bid.outbid.ok_or("somebody was outbid")?;
    assert_eq!((outbid.user.as_str(), outbid.released.reveal()), (first.as_str(), start));
    println!(
        "{second} bids {minimum} and leads: {} gets {} back",
        outbid.user,
        outbid.released.reveal()
    );

    // The first bidder buys: paid from available money, the second bidder's hold is released, the seller is paid.
    let purchase = ledger
        .atomic(async |uow| {
            let purchase = ledger.buy_now(auction.id, first.as_str()).within(uow).await?;
            let (notices, text) = (notices.clone(), format!("sold out: {}", auction.title));
            uow.on_commit(async move || _ = notices.send(text));
            Ok::<_, auction_ledger::Error>(purchase)
        })
        .await?;
    assert_eq!(inbox.recv().await, Some(format!("sold out: {}", auction.title)));
    println!("{} buys for {}; everybody hears \"sold out\"", purchase.buyer, purchase.price);

    let buyer = ledger.wallet(first.as_str(), currency).await?;
    let loser = ledger.wallet(second.as_str(), currency).await?;
    let seller = ledger.wallet(SELLER, currency).await?;
    assert_eq!((buyer.available, buyer.held), (deposit - buy_now, Decimal::ZERO));
    assert_eq!((loser.available, loser.held), (deposit, Decimal::ZERO));
    assert_eq!((seller.available, seller.held), (buy_now, Decimal::ZERO));
    print_journal(&db).await
}

/// Prints every entry, and asserts that the last one of each wallet is its balance.
async fn print_journal(db: &DatabaseConnection) -> Result<(), Box<dyn Error>> {
    println!(
        "\n{:<12} {:>3} {:<10} {:>10} {:>10} {:>10} {:>10}",
        "wallet", "#", "kind", "available", "held", "", ""
    );
    let wallets = wallet::Entity::find().order_by_asc(wallet::Column::Id);
    for (wallet, entries) in wallets.find_with_related(entry::Entity).all(db).await? {
        let owner = String::from_utf8(wallet.owner)?;
        let euros = |cents: i64| Decimal::new(cents, 2);
        for entry in &entries {
            println!(
                "{owner:<12} {:>3} {:<10} {:>+10} {:>+10} {:>10} {:>10}",
                entry.seq,
                format!("{:?}", entry.kind).to_lowercase(),
                euros(entry.available_delta),
                euros(entry.held_delta),
                euros(entry.available_after),
                euros(entry.held_after),
            );
        }
        let last = entries.iter().max_by_key(|entry| entry.seq);
        let balance = last.map(|entry| (entry.available_after, entry.held_after));
        assert_eq!(balance, Some((wallet.available, wallet.held)));
    }
    Ok(())
}

/// What can go wrong in the host's own unit of work.
#[derive(Debug)]
enum Failure {
    PaymentDeclined,
    Ledger(auction_ledger::Error),
}

impl From<auction_ledger::Error> for Failure {
    fn from(error: auction_ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

impl From<auction_ledger::unit_of_work::Error> for Failure {
    fn from(error: auction_ledger::unit_of_work::Error) -> Self {
        Self::Ledger(error.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PaymentDeclined => f.write_str("the payment was declined"),
            Self::Ledger(error) => error.fmt(f),
        }
    }
}

impl Error for Failure {}
