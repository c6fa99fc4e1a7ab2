//! Two browsers at one auction.

use crate::client::{Server, database};
use crate::driver::{Driver, Screen};
use crate::window::Window;

/// Notes when the bid is sent, and when it is to be read that it counts.
const NOTE_BID: &str = r#"
    const status = document.getElementById("status");
    const note = () => { if (status.textContent.includes("counts")) window.countsAt ??= Date.now(); };
    const begin = () => { window.sentAt = Date.now(); new MutationObserver(note).observe(status, { childList: true }); };
    document.getElementById("amount").form.addEventListener("submit", begin);"#;
/// Notes when it is to be read that somebody was outbid.
const NOTE_OUTBID: &str = r#"
    const error = document.getElementById("error");
    const note = () => { if (error.textContent.includes("outbid")) window.outbidAt ??= Date.now(); };
    new MutationObserver(note).observe(error, { childList: true });"#;

/// Bob bids, and ann waits until she sees `text`: how long that took, by the clock of this machine.
pub(crate) async fn outbid(ann: &Window, bob: &Window, amount: &str, text: &str) -> String {
    ann.script(NOTE_OUTBID).await;
    bob.script(NOTE_BID).await;
    bob.bid(amount).await;
    ann.sees("#error", text).await;
    bob.sees("#status", "Your bid counts").await;
    let sent = bob.script("return window.sentAt").await.as_i64().unwrap();
    let counts = bob.script("return window.countsAt").await.as_i64().unwrap() - sent;
    let seen = ann.script("return window.outbidAt").await.as_i64().unwrap() - sent;
    format!(
        "outbid was to be seen {seen} ms after the bid was sent, and its answer after {counts} ms"
    )
}

#[tokio::test]
#[ignore = "needs chromium: run scripts/test-browser"]
async fn whoever_is_outbid_sees_it_and_both_see_who_buys() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let driver = Driver::start().await;
    let ann = driver.window(&server.origin(), "ann", Screen::Desktop).await;
    let bob = driver.window(&server.origin(), "bob", Screen::Phone).await;
    ann.open("Brass telescope").await;
    bob.open("Brass telescope").await;

    ann.bid("20").await;
    ann.sees("#status", "Your bid counts: you lead at 10.00 EUR.").await;
    ann.has("980.00", "20.00").await;
    bob.sees("[data-show=standing]", "ann leads.").await;
    bob.has("1000.00", "0.00").await;

    let text = "You have been outbid: the price is 21.00 EUR now.";
    let took = outbid(&ann, &bob, "30", text).await;
    println!("one process: {took}");
    ann.has("1000.00", "0.00").await;
    ann.sees("[data-show=price]", "21.00 EUR").await;
    ann.sees("[data-show=standing]", "bob leads.").await;
    ann.sees("#history .private", "Only you see this.").await;
    bob.sees("[data-show=standing]", "You lead. Your maximum is 30.00 EUR").await;
    bob.has("970.00", "30.00").await;

    ann.buy().await;
    ann.sees("#result", "Sold: you have bought it for 250.00 EUR.").await;
    bob.sees("#result", "Sold to ann for 250.00 EUR.").await;
    ann.has("750.00", "0.00").await;
    bob.has("1000.00", "0.00").await;
    for window in [&ann, &bob] {
        window.sees_nothing_of(".forms").await;
        window.sees_nothing_of("#connection").await;
    }
}
