//! What a page is told, when, and how often: once.

use std::time::Duration;

use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::client::{Server, database, named};

#[tokio::test]
async fn a_page_that_comes_back_is_told_what_it_has_missed() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let (ann, bob) = (server.browser("ann").await, server.browser("bob").await);
    let lamp = ann.auction("Oil lamp").await;
    assert_eq!(ann.bid(&lamp, "5").await.status, 200);
    let mut socket = ann.watch(&lamp, "since=2").await;
    let (events, _) = socket.until(2).await;
    assert!(events.is_empty(), "the page knows these: {events:?}");
    drop(socket);

    for amount in ["6", "7", "8"] {
        assert_eq!(bob.bid(&lamp, amount).await.status, 200);
    }
    let mut socket = ann.watch(&lamp, "since=2").await;
    let (mut events, _) = socket.until(5).await;
    assert_eq!(bob.bid(&lamp, "9").await.status, 200);
    let (more, _) = socket.until(6).await;
    events.extend(more);
    let told: Vec<_> = events.iter().map(named).map(|(seq, index, _)| (seq, index)).collect();
    assert_eq!(told, [(3, 0), (3, 1), (3, 2), (4, 0), (5, 0), (6, 0)]);

    // A connection that was lost within a command goes on within it.
    let mut socket = ann.watch(&lamp, "since=3&index=0").await;
    let (events, _) = socket.until(6).await;
    let told: Vec<_> = events.iter().map(named).collect();
    let seqs: Vec<_> = told.iter().map(|(seq, index, _)| (*seq, *index)).collect();
    assert_eq!(seqs, [(3, 1), (3, 2), (4, 0), (5, 0), (6, 0)]);
    assert_eq!((&*told[0].2, &*told[1].2), ("outbid", "hold_released"));

    // From the beginning, and from after the end.
    let mut socket = ann.watch(&lamp, "").await;
    assert_eq!(named(&socket.next().await), (1, 0, "opened".to_owned()));
    let mut socket = ann.watch(&lamp, "since=999").await;
    assert!(socket.until(6).await.0.is_empty());
    assert_eq!(bob.bid(&lamp, "10").await.status, 200);
    assert_eq!(named(&socket.next().await), (7, 0, "bid_placed".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn more_than_one_page_of_events_is_told_in_order() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let lamp = ann.auction("Oil lamp").await;
    let id: i64 = lamp.rsplit_once('/').unwrap().1.parse().unwrap();
    let ledger = ledger(&database).await;
    for half_euros in 10..230 {
        let amount = rust_decimal::Decimal::new(half_euros * 50, 2);
        ledger.place_bid(id.into(), "bob", amount).await.unwrap();
    }
    let mut socket = ann.watch(&lamp, "since=0").await;
    let (events, _) = socket.until(221).await;
    let seqs: Vec<_> = events.iter().map(|event| named(event).0).collect();
    assert_eq!(seqs, (1..=221).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_come_while_bids_go_on_are_told_each_event_once() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let (ann, bob) = (server.browser("ann").await, server.browser("bob").await);
    let lamp = ann.auction("Oil lamp").await;
    let bids = tokio::spawn({
        let lamp = lamp.clone();
        async move {
            for euros in 5..45 {
                assert_eq!(bob.bid(&lamp, &euros.to_string()).await.status, 200);
            }
        }
    });
    let pages = (0..20).map(|number| {
        let (ann, lamp) = (ann.clone(), lamp.clone());
        tokio::spawn(async move {
            // Each comes at another of the bids.
            let mut first = ann.watch(&lamp, "since=1").await;
            first.until(2 * number).await;
            drop(first);
            let mut socket = ann.watch(&lamp, "since=1").await;
            let (events, _) = socket.until(41).await;
            events.iter().map(|event| named(event).0).collect::<Vec<_>>()
        })
    });
    let pages: Vec<_> = pages.collect();
    for page in pages {
        assert_eq!(page.await.unwrap(), (2..=41).collect::<Vec<_>>());
    }
    bids.await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_auction_is_settled_when_it_ends() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let terms = AuctionTerms::english(Currency::EUR, 5.into(), 1.into());
    let bell = ledger(&database).await;
    let bell =
        bell.open_auction("sam", "Bell", terms.ends_in(Duration::from_secs(5))).await.unwrap();
    let path = format!("/auctions/{}", bell.id);
    let mut socket = ann.watch(&path, "since=1").await;
    let (_, shown) = socket.until(1).await;
    assert_eq!(shown["phase"], "running");
    assert!(shown["left_ms"].as_u64().unwrap() <= 5_000);
    assert_eq!(ann.bid(&path, "5").await.status, 200);
    let (events, shown) = socket.until(3).await;
    assert_eq!(named(&events[1]).2, "sold");
    assert_eq!(shown["result"], "Sold: you have bought it for 5.00 EUR.");
    assert_eq!((&shown["available"], &shown["held"]), (&"995.00 EUR".into(), &"0.00 EUR".into()));
    server.stop().await;
}

#[tokio::test]
async fn a_bid_on_another_auction_moves_the_wallet_on_this_page() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let (lamp, telescope) = (ann.auction("Oil lamp").await, ann.auction("Brass telescope").await);
    let mut socket = ann.watch(&lamp, "since=1").await;
    assert_eq!(socket.until(1).await.1["held"], "0.00 EUR");
    assert_eq!(ann.bid(&telescope, "40").await.status, 200);
    let (events, shown) = socket.until(1).await;
    assert!(events.is_empty());
    assert_eq!(shown["held"], "40.00 EUR");
    server.stop().await;
}

#[tokio::test]
async fn a_page_that_goes_on_with_events_shows_what_a_new_one_reads() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let (ann, bob) = (server.browser("ann").await, server.browser("bob").await);
    for (title, third) in [("Oil lamp", "36"), ("Brass telescope", "31")] {
        let auction = ann.auction(title).await;
        // Who bids, who watches, and who sells.
        let mut pages = Vec::new();
        for user in ["ann", "cid", "sam"] {
            let browser = server.browser(user).await;
            let mut socket = browser.watch(&auction, "since=1").await;
            socket.until(1).await;
            pages.push((browser, socket));
        }
        // Where bids are maxima the third does not lead, and the fourth is the leader's.
        let bids = [(&ann, "20"), (&bob, "35"), (&ann, third), (&bob, "40"), (&ann, "50")];
        let mut seq = 1;
        for (bidder, amount) in bids {
            assert_eq!(bidder.bid(&auction, amount).await.status, 200);
            seq += 1;
            for (browser, socket) in &mut pages {
                let (_, mut shown) = socket.until(seq).await;
                let since = format!("since={seq}");
                let (_, mut read) = browser.watch(&auction, &since).await.until(seq).await;
                let left = |shown: &mut serde_json::Value| shown["left_ms"].take().as_u64();
                let (left, read_left) = (left(&mut shown).unwrap(), left(&mut read).unwrap());
                assert!(left.abs_diff(read_left) < 5_000, "{left} ms and {read_left} ms");
                assert_eq!(shown, read, "{title}, {amount}, {}", browser.user);
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_says_so_to_its_pages() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let lamp = ann.auction("Oil lamp").await;
    let mut socket = ann.watch(&lamp, "since=1").await;
    socket.until(1).await;
    let stopped = tokio::spawn(server.stop());
    let frame = socket.closed().await.unwrap();
    assert_eq!(frame.code, CloseCode::Away);
    drop(socket);
    stopped.await.unwrap();
}

/// A ledger of another process on the same database, which tells nobody.
async fn ledger(database: &str) -> AuctionLedger {
    AuctionLedger::new(sea_orm::Database::connect(database).await.unwrap())
}
