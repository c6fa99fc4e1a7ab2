//! Without a mouse.

use fantoccini::key::Key;
use serde_json::Value;

use crate::client::{Server, database};
use crate::driver::{Driver, Screen};
use crate::window::Window;

/// Presses Tab until the focus is on something, and says what it was on before.
async fn tab_to(window: &Window, is_there: &str) -> Vec<String> {
    let mut passed = Vec::new();
    for _ in 0..20 {
        window.press(&char::from(Key::Tab).to_string()).await;
        let script = format!(
            "const on = document.activeElement; return [on.matches('{is_there}'), on.textContent.trim()]"
        );
        match window.script(&script).await {
            Value::Array(answer) if answer[0] == true => return passed,
            answer => passed.push(answer[1].as_str().unwrap().to_owned()),
        }
    }
    panic!("Tab does not lead to {is_there}, but to {passed:?}");
}

#[tokio::test]
#[ignore = "needs chromium: run scripts/test-browser"]
async fn a_keyboard_is_enough_to_bid_and_to_buy() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let driver = Driver::start().await;
    let ann = driver.window(&server.origin(), "ann", Screen::Desktop).await;
    ann.open("Brass telescope").await;

    let passed = tab_to(&ann, "#amount").await;
    assert_eq!(passed, ["Skip to the content", "All auctions", "Sign out"]);
    let enter = char::from(Key::Enter);
    ann.press(&format!("1{enter}")).await;
    ann.sees("#error", "That is too low: bid at least 10.00 EUR.").await;
    // The focus is where the mistake is.
    let backspace = char::from(Key::Backspace);
    ann.press(&format!("{backspace}12{enter}")).await;
    ann.sees("#status", "Your bid counts: you lead at 10.00 EUR.").await;
    ann.sees("[data-show=standing]", "Your maximum is 12.00 EUR").await;
    ann.has("988.00", "12.00").await;
    assert_eq!(ann.script("return document.activeElement.id").await, "amount");

    tab_to(&ann, "summary").await;
    ann.press(&enter.to_string()).await;
    tab_to(&ann, "details button").await;
    ann.press(&enter.to_string()).await;
    ann.sees("#result", "Sold: you have bought it for 250.00 EUR.").await;
    // The form is gone, and the focus is on what became of it.
    assert_eq!(ann.script("return document.activeElement.id").await, "result");
}
