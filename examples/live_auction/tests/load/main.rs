//! Many pages of one auction, while bids come in: `scripts/test-load` runs it, for ten minutes.

// What the lints defend in an application does not hold here: a panic is how a test fails, and nobody reads the documentation.
#![allow(clippy::arithmetic_side_effects, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod bidders;
#[path = "../server/client.rs"]
#[allow(dead_code, reason = "it can do more than this test needs")]
mod client;
mod house;
mod listeners;
mod minutes;
mod process;
#[path = "../server/redis.rs"]
#[allow(dead_code, reason = "there is one process")]
mod redis;
mod report;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::bidders::Bids;
use crate::house::House;
use crate::listeners::{Counts, Heard, Listener};
use crate::minutes::Minutes;
use crate::process::Server;

/// How many of the listeners are the bidders' own pages.
const OWN_PAGES: usize = 20;
/// In this time the slowest listener has what there is, once the bids have ended.
const CATCHING_UP: Duration = Duration::from_secs(90);

/// What is asked for by the environment.
fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: run scripts/test-load"]
async fn every_listener_is_told_everything() {
    let seconds = number("LOAD_SECONDS", 600);
    let (listeners, rate) = (number("LOAD_LISTENERS", 1_000), number("LOAD_BIDS", 200));
    println!("{listeners} listeners, {rate} bids a second for {seconds} s");
    let (folder, database) = client::database();
    let house = House::furnish(&database).await;
    let server = Server::start(folder.path(), &database).await;
    let start = Instant::now();
    let mut minutes = Minutes::begin(start, &server);

    let bids = Arc::new(Bids::of(start, rate * seconds));
    let counts = Arc::new(Counts::default());
    let (end, ended) = watch::channel(None);
    let mut pages = JoinSet::new();
    for number in 0..listeners {
        let user = match number.checked_sub(listeners.saturating_sub(OWN_PAGES)) {
            Some(bidder) => house::bidder(bidder),
            None => format!("listener-{number}"),
        };
        let listener = Listener::new(number, user, server.port(), house.auction, start);
        pages.spawn(listener.listen(ended.clone(), Arc::clone(&counts)));
    }
    let connected = async {
        while counts.connected() < listeners {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(CATCHING_UP, connected).await.expect("all listeners are there");
    minutes.bids_begin(&server);

    let bidding = tokio::spawn(Arc::clone(&bids).come(server.port(), house.auction, rate, seconds));
    while !bidding.is_finished() {
        minutes.next_second(&server, &bids, &counts).await;
        if let Some(page) = pages.try_join_next() {
            panic!("a listener has given up: {:?}", page.map(|heard| heard.user));
        }
    }
    bidding.await.unwrap();
    minutes.end(&server);

    // Whatever was not answered in order may count or not; everything else is known.
    let last = house.last().await;
    let counted = u64::try_from(last - 1).unwrap();
    let (accepted, failed) = (bids.accepted(), bids.failed());
    assert!((accepted..=accepted + failed).contains(&counted), "{accepted} of {counted} bids");
    end.send_replace(Some(last));
    let heard: Vec<Heard> = timeout(CATCHING_UP, pages.join_all()).await.expect("all are told");
    for page in &heard {
        house.agrees(page).await;
    }
    let lagged = server.logged("a page was too slow");
    report::print(&minutes, &bids, &counts, &heard, lagged);
    assert_eq!(failed, 0, "every bid is answered, accepted or refused");
    house.is_balanced().await;
    minutes.assert_flat(seconds);
}
