//! Two browsers at two processes.

use tokio::time::Instant;

use crate::bids::outbid;
use crate::client::database;
use crate::driver::{Driver, Screen};
use crate::program::Program;
use crate::redis::{Redis, free_port};

/// A page finds out so often by itself what it has missed.
const HEARTBEAT: u64 = 20;

#[tokio::test]
#[ignore = "needs chromium and redis-server: run scripts/test-browser"]
async fn outbid_crosses_from_process_to_process() {
    let (_folder, database) = database();
    let port = free_port().await;
    let _redis = Redis::start(port).await;
    let url = format!("redis://127.0.0.1:{port}");
    let here = Program::start(free_port().await, &database, Some(&url)).await;
    let there = Program::start(free_port().await, &database, Some(&url)).await;
    let driver = Driver::start().await;
    let ann = driver.window(&here.origin(), "ann", Screen::Desktop).await;
    let bob = driver.window(&there.origin(), "bob", Screen::Desktop).await;
    bob.open("Oil lamp").await;
    ann.open("Oil lamp").await;
    let opened = Instant::now();
    ann.bid("5").await;
    bob.sees("[data-show=standing]", "ann leads.").await;
    bob.sees("[data-show=price]", "5.00 EUR").await;

    let text = "You have been outbid: the price is 6.00 EUR now.";
    let took = outbid(&ann, &bob, "6", text).await;
    assert!(opened.elapsed().as_secs() < HEARTBEAT, "it may not have come by way of Redis");
    println!("two processes: {took}");
    ann.has("1000.00", "0.00").await;
    ann.sees("[data-show=standing]", "bob leads.").await;
    bob.has("994.00", "6.00").await;
}
