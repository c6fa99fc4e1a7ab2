//! What a maximum, a sealed bid and a reserve are is nobody's business but their owners': it is looked for in everything that
//! others get, and in every line that is logged meanwhile.

use std::error::Error;

use auction_ledger::{
    AuctionLedger, AuctionState, AuctionTerms, EventKind, ManualClock, RecordingSink,
};
use chrono::TimeDelta;
use rust_decimal::Decimal;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};

use super::{WON, automatic, charge, end, start};
use crate::support::{Books, logged, on_every_backend};

/// Numbers that no price can be: they are found wherever they appear.
const MAXIMUM: &str = "8467203";
const RAISED: &str = "9538104";
const RESERVE: &str = "7391528";
const SEALED: &str = "6284917";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn number(text: &str) -> Decimal {
    text.parse().expect("a number")
}

/// A ledger, and all that others than ann got from it.
struct Story {
    ledger: AuctionLedger,
    clock: ManualClock,
    sink: RecordingSink,
    seen: Vec<String>,
}

impl Story {
    fn new(db: &DatabaseConnection) -> Self {
        let (clock, sink) = (ManualClock::new(start()), RecordingSink::new());
        let ledger = AuctionLedger::new(db.clone()).clock(clock.clone()).sink(sink.clone());
        Self { ledger, clock, sink, seen: Vec::new() }
    }

    /// What a request and its answer show.
    async fn ask<R, T>(&mut self, request: R) -> bool
    where
        R: std::fmt::Debug + IntoFuture<Output = std::result::Result<T, auction_ledger::Error>>,
        T: std::fmt::Debug,
    {
        self.seen.push(format!("{request:?}"));
        let answer = request.await;
        if let Err(error) = &answer {
            self.seen.push(error.to_string());
        }
        self.seen.push(format!("{answer:?}"));
        answer.is_ok()
    }

    /// A reserve that is not met, and a maximum that is far above the price once it is.
    async fn automatic_bidding(&mut self) -> Result<()> {
        let ledger = self.ledger.clone();
        let terms = automatic().reserve(number(RESERVE));
        self.seen.push(format!("{terms:?}"));
        let opened = ledger.open_auction("sam", "a thing", terms).await?;
        let auction = opened.id;
        self.seen.push(format!("{opened:?} {}", serde_json::to_string(&opened)?));
        assert!(self.ask(ledger.place_bid(auction, "bob", 500.into())).await);
        assert!(!self.ask(ledger.lower_reserve(auction, number(RESERVE))).await);
        assert!(self.ask(ledger.lower_reserve(auction, 6_000.into()).by("sam")).await);
        for maximum in [MAXIMUM, RAISED] {
            let bid = ledger.place_bid(auction, "ann", number(maximum));
            assert!(self.ask(bid.key(format!("a bid of {}", self.seen.len()))).await);
        }
        assert!(!self.ask(ledger.take(auction, "ann", number(MAXIMUM))).await);
        for (user, amount) in
            [("bob", 10), ("bob", 6_000), ("ann", 20), ("sam", 7_000), ("bob", 100_000_001)]
        {
            assert!(!self.ask(ledger.place_bid(auction, user, amount.into())).await);
        }
        assert!(self.ask(ledger.place_bid(auction, "bob", 7_000.into())).await);
        let now = ledger.auction(auction).await?;
        self.seen.push(format!("{now:?} {}", serde_json::to_string(&now)?));
        for user in ["bob", "sam", "nobody"] {
            self.ask(ledger.auction_for(auction, user)).await;
        }
        self.ask(ledger.auctions(AuctionState::Open)).await;
        self.ask(ledger.bids(auction)).await;
        // Whoever acts on it is told no more.
        self.ask(ledger.extend(auction, end() + TimeDelta::minutes(1)).reason("rain")).await;
        assert!(!self.ask(ledger.cancel(auction).by("sam")).await);
        assert!(!self.ask(ledger.accept_below_reserve(auction).by("sam")).await);
        assert!(self.ask(ledger.void_bid(auction, 6, "a mistake").by("sam")).await);
        self.ask(ledger.acts(auction)).await;
        self.clock.set(end() + TimeDelta::minutes(1));
        let settlement = ledger.settle(auction).await?;
        self.seen.push(format!("{settlement:?} {}", serde_json::to_string(&settlement)?));
        assert!(settlement.sold.is_some());
        self.ask(ledger.events(auction)).await;
        self.ask(ledger.events(auction).for_user("bob")).await;
        Ok(())
    }

    /// The winner of the second price pays less, and nobody learns how much less.
    async fn sealed_bids(&mut self) -> Result<()> {
        let (ledger, later) = (self.ledger.clone(), end() + TimeDelta::hours(1));
        let terms = AuctionTerms::sealed_second_price(WON, 10.into()).ends_at(later);
        let auction = ledger.open_auction("sam", "a thing", terms).await?.id;
        assert!(self.ask(ledger.place_bid(auction, "ann", 20.into())).await);
        assert!(self.ask(ledger.place_bid(auction, "ann", number(SEALED))).await);
        assert!(!self.ask(ledger.place_bid(auction, "ann", 30.into())).await);
        assert!(self.ask(ledger.place_bid(auction, "bob", 40.into())).await);
        self.ask(ledger.auction_for(auction, "bob")).await;
        self.ask(ledger.acts(auction)).await;
        self.clock.set(later);
        assert!(self.ask(ledger.settle(auction)).await);
        for user in ["bob", "sam"] {
            self.ask(ledger.auction_for(auction, user)).await;
            self.ask(ledger.entries(user, WON)).await;
            self.ask(ledger.wallet(user, WON)).await;
            self.ask(ledger.holds(user, WON)).await;
            self.ask(ledger.balance_at(user, WON, later)).await;
        }
        self.ask(ledger.auctions(AuctionState::Sold)).await;
        self.ask(ledger.audit()).await;
        self.ask(ledger.bids(auction)).await;
        self.ask(ledger.acts(auction)).await;
        self.ask(ledger.events(auction)).await;
        self.ask(ledger.events(auction).for_user("bob")).await;
        Ok(())
    }

    /// The events for everybody, and for others than ann.
    async fn told(&mut self) -> Result<()> {
        let mut bids = 0;
        for event in self.sink.wait_for(22).await {
            if event.recipient().is_none_or(|user| user.as_str() != "ann") {
                self.seen.push(format!("{event:?} {}", serde_json::to_string(&event)?));
                let kinds =
                    matches!(event.kind, EventKind::BidPlaced { .. } | EventKind::Unchanged);
                bids += usize::from(kinds || matches!(event.kind, EventKind::SealedBid));
            }
        }
        assert!(bids >= 4 + 3, "the bids were told: {bids}");
        Ok(())
    }
}

/// Tells the story on a connection of its own.
async fn tell(url: String) -> Result<Vec<String>> {
    let db = Database::connect(ConnectOptions::new(url)).await?;
    let mut story = Story::new(&db);
    charge(&story.ledger, &["ann", "bob"], 100_000_000).await?;
    story.automatic_bidding().await?;
    story.sealed_bids().await?;
    story.told().await?;
    // What a host prints of the rows it reads itself.
    let stored = Books::read(&db).await?;
    let rows = format!("{:?} {:?} {:?}", stored.auctions, stored.bids, stored.acts);
    story.seen.push(format!("{rows} {:?} {:?}", stored.sealed_bids, stored.keys));
    // It is looked for rightly: the owner finds it.
    let own = format!("{:?}", story.ledger.entries("ann", WON).await?);
    assert!(own.contains(MAXIMUM) && own.contains(SEALED));
    Ok(story.seen)
}

on_every_backend! {
    async fn no_maximum_no_sealed_bid_and_no_reserve_is_seen_by_others(world: &World) {
        let url = world.url().to_owned();
        let (seen, lines) = logged(move || tell(url)).await?;
        assert!(lines.contains("unit_of_work"), "nothing is logged: {lines}");
        for (index, text) in seen.iter().map(String::as_str).chain(lines.lines()).enumerate() {
            for secret in [MAXIMUM, RAISED, RESERVE, SEALED] {
                assert!(!text.contains(secret), "{secret} is in {index}: {text}");
            }
        }
    }
}
