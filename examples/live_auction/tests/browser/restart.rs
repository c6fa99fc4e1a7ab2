//! A page outlives its server.

use tokio::time::Instant;

use crate::client::{Server, database};
use crate::driver::{Driver, Screen};
use crate::program::Program;
use crate::redis::free_port;

#[tokio::test]
#[ignore = "needs chromium: run scripts/test-browser"]
async fn a_page_catches_up_when_a_killed_server_comes_back() {
    let (_folder, database) = database();
    let port = free_port().await;
    let server = Program::start(port, &database, None).await;
    let driver = Driver::start().await;
    let ann = driver.window(&server.origin(), "ann", Screen::Desktop).await;
    ann.open("Oil lamp").await;
    ann.bid("6").await;
    ann.sees("[data-show=standing]", "You lead.").await;
    ann.sees("#history", "You bid, and lead at 6.00 EUR.").await;
    ann.script("window.isStillThere = true").await;

    server.kill();
    ann.sees("#connection", "The connection is lost.").await;
    ann.bid("6.50").await;
    ann.sees("#error", "The connection was lost, and nobody knows whether this counts.").await;

    // Bob bids where the page cannot hear of it.
    let elsewhere = Server::start(&database).await;
    let bob = elsewhere.browser("bob").await;
    let lamp = bob.auction("Oil lamp").await;
    assert_eq!(bob.bid(&lamp, "7").await.status, 200);
    elsewhere.stop().await;

    let server = Program::start(port, &database, None).await;
    let back = Instant::now();
    ann.sees("#history", "bob bids, and leads at 7.00 EUR.").await;
    println!("the page had caught up {} ms after the restart", back.elapsed().as_millis());
    ann.sees("#history", "You have been outbid: the price is 7.00 EUR now.").await;
    ann.sees("[data-show=price]", "7.00 EUR").await;
    ann.sees("[data-show=standing]", "bob leads.").await;
    ann.sees_nothing_of("#connection").await;
    ann.has("1000.00", "0.00").await;

    // The same page, the same session.
    assert_eq!(ann.script("return window.isStillThere").await, true);
    let told = ann.script("return document.querySelectorAll('#history li').length").await;
    assert_eq!(told, 5, "opened, ann's bid, bob's, outbid and the money that is back, each once");
    ann.bid("8").await;
    ann.sees("#status", "Your bid counts: you lead at 8.00 EUR.").await;
    server.kill();
}
