//! What the page looks like on a phone and on a desktop. `LIVE_AUCTION_SCREENSHOTS` names a folder for pictures of it.

use std::env;
use std::path::Path;

use crate::client::{Server, database};
use crate::driver::{Driver, Screen};
use crate::window::Window;

/// Checks that nothing is to be scrolled sideways, and takes a picture if there is a folder for it.
async fn picture(window: &Window, name: &str) {
    let script = "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth - clientWidth";
    assert_eq!(window.script(script).await, 0, "{name} is wider than its screen");
    let Some(folder) = env::var_os("LIVE_AUCTION_SCREENSHOTS").filter(|folder| !folder.is_empty())
    else {
        return;
    };
    let picture = window.client.screenshot().await.unwrap();
    std::fs::write(Path::new(&folder).join(name), picture).unwrap();
}

#[tokio::test]
#[ignore = "needs chromium: run scripts/test-browser"]
async fn the_page_fits_a_phone_and_a_desktop() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let driver = Driver::start().await;
    let ann = driver.window(&server.origin(), "ann", Screen::Phone).await;
    let bob = driver.window(&server.origin(), "bob", Screen::Desktop).await;
    ann.open("Brass telescope").await;
    bob.open("Brass telescope").await;
    assert_eq!(ann.script("return [innerWidth, innerHeight]").await, serde_json::json!([390, 844]));
    assert_eq!(
        bob.script("return [innerWidth, innerHeight]").await,
        serde_json::json!([1100, 900])
    );

    let cid = server.browser("cid").await;
    let telescope = cid.auction("Brass telescope").await;
    assert_eq!(cid.bid(&telescope, "12").await.status, 200);
    ann.bid("40").await;
    ann.sees("[data-show=standing]", "You lead.").await;
    assert_eq!(cid.bid(&telescope, "25").await.status, 200);
    bob.sees("[data-show=price]", "26.00 EUR").await;
    bob.bid("60").await;
    bob.sees("#status", "Your bid counts: you lead at 41.00 EUR.").await;
    bob.has("940.00", "60.00").await;
    ann.sees("#error", "You have been outbid: the price is 41.00 EUR now.").await;
    ann.sees("[data-show=standing]", "bob leads.").await;

    // Seen from the top, with the focus nowhere.
    for window in [&ann, &bob] {
        window.script("document.activeElement.blur(); scrollTo(0, 0)").await;
    }
    picture(&ann, "live_auction_phone.png").await;
    picture(&bob, "live_auction_desktop.png").await;
}
