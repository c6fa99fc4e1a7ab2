//! Several processes on one database: what one of them does is seen at the other.

use crate::client::{Server, database, named};
use crate::redis::{Redis, free_port};

#[tokio::test]
async fn what_nobody_has_told_of_is_read_when_it_is_found_out() {
    let (_folder, database) = database();
    let (here, there) = (Server::start(&database).await, Server::start(&database).await);
    let (ann, bob) = (here.browser("ann").await, here.browser("bob").await);
    let lamp = ann.auction("Oil lamp").await;
    let mut socket = ann.watch(&lamp, "since=1").await;
    socket.until(1).await;

    // They have no Redis, so this is not heard of here.
    assert_eq!(ann.at(&there).bid(&lamp, "6").await.status, 200);
    // The next number tells that one is missing. Both are read then, and what arrives of the second one is known already.
    assert_eq!(bob.bid(&lamp, "7").await.status, 200);
    let (events, _) = socket.until(3).await;
    let told: Vec<_> = events.iter().map(named).map(|(seq, index, _)| (seq, index)).collect();
    assert_eq!(told, [(2, 0), (3, 0), (3, 1), (3, 2)]);

    // Or what is shown tells, whatever for: here a bid of ann's on another auction.
    assert_eq!(bob.at(&there).bid(&lamp, "8").await.status, 200);
    let telescope = ann.auction("Brass telescope").await;
    assert_eq!(ann.bid(&telescope, "10").await.status, 200);
    let (events, shown) = socket.until(4).await;
    assert_eq!(events.iter().map(named).map(|(seq, ..)| seq).collect::<Vec<_>>(), [4]);
    assert_eq!((&shown["price"], &shown["held"]), (&"8.00 EUR".into(), &"10.00 EUR".into()));
    here.stop().await;
    there.stop().await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn events_cross_from_process_to_process() {
    let (_folder, database) = database();
    let port = free_port().await;
    let redis = Redis::start(port).await;
    let url = format!("redis://127.0.0.1:{port}");
    let here = Server::start_with(&database, Some(url.clone())).await;
    let there = Server::start_with(&database, Some(url)).await;
    let (ann, bob) = (here.browser("ann").await, here.browser("bob").await.at(&there));
    let lamp = ann.auction("Oil lamp").await;
    let mut anns = ann.watch(&lamp, "since=1").await;
    let mut bobs = bob.watch(&lamp, "since=1").await;

    assert_eq!(ann.bid(&lamp, "5").await.status, 200);
    assert_eq!(bobs.until(2).await.1["price"], "5.00 EUR");
    anns.until(2).await;
    assert_eq!(bob.bid(&lamp, "6").await.status, 200);
    // They cross one by one, so the page may be shown something in between.
    let events = anns.events(3).await;
    let told: Vec<_> = events.iter().map(named).map(|(_, _, kind)| kind).collect();
    assert_eq!(told, ["bid_placed", "outbid", "hold_released"]);
    bobs.until(3).await;

    // Redis is away: bids count, whoever bid sees it, and everybody does once Redis is back.
    drop(redis);
    assert_eq!(ann.bid(&lamp, "7").await.status, 200);
    assert_eq!(anns.until(4).await.1["price"], "7.00 EUR");
    let redis = Redis::start(port).await;
    let events = bobs.events(3).await;
    let told: Vec<_> = events.iter().map(named).map(|(seq, index, _)| (seq, index)).collect();
    assert_eq!(told, [(4, 0), (4, 1), (4, 2)]);

    assert_eq!(bob.bid(&lamp, "8").await.status, 200);
    let (events, _) = anns.until(5).await;
    assert_eq!(named(&events[0]), (5, 0, "bid_placed".to_owned()));
    assert!(!anns.heard.iter().any(|message| message.contains(r#""user":"bob""#)));
    here.stop().await;
    there.stop().await;
    drop(redis);
}
