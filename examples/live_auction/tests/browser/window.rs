//! A browser with one page, and what its user does and sees.

use std::cell::RefCell;
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// Nothing takes that long, not even on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(10);

pub(crate) struct Window {
    pub(crate) client: Client,
    origin: String,
    user: String,
}

impl Window {
    pub(crate) async fn sign_in(client: Client, origin: &str, user: &str) -> Self {
        let window = Self { client, origin: origin.to_owned(), user: user.to_owned() };
        window.client.goto(&window.origin).await.unwrap();
        window.click(&format!("button[value='{user}']")).await;
        window.sees("header", &format!("You are {user}")).await;
        window
    }

    /// Goes to the auction whose title begins so, as its user does: by the link.
    pub(crate) async fn open(&self, title: &str) {
        self.client.goto(&format!("{}/as/{}", self.origin, self.user)).await.unwrap();
        let links = self.client.find_all(Locator::Css(".auctions a")).await.unwrap();
        for link in links {
            if link.text().await.unwrap().starts_with(title) {
                link.click().await.unwrap();
                return self.sees("h1", title).await;
            }
        }
        panic!("there is no auction {title}");
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.client.find(Locator::Css(selector)).await.unwrap();
        element.click().await.unwrap();
    }

    /// Writes an amount, over what stands there, and presses Enter.
    pub(crate) async fn bid(&self, amount: &str) {
        let field = self.client.find(Locator::Css("#amount")).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(&format!("{amount}{}", char::from(Key::Enter))).await.unwrap();
    }

    pub(crate) async fn buy(&self) {
        self.click("summary").await;
        self.click("details button").await;
    }

    /// Presses keys one after another, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in keys.chars() {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        self.client.perform_actions(actions).await.unwrap();
    }

    /// The texts at `selector` that are to be seen, as they are displayed.
    async fn text(&self, selector: &str) -> String {
        // An element may go while it is asked for.
        match self.client.find(Locator::Css(selector)).await {
            Ok(element) => element.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until the text is to be seen there.
    pub(crate) async fn sees(&self, selector: &str, text: &str) {
        self.waits(selector, text, |seen| seen.contains(text)).await;
    }

    /// Waits until nothing is to be seen there.
    pub(crate) async fn sees_nothing_of(&self, selector: &str) {
        self.waits(selector, "nothing", str::is_empty).await;
    }

    async fn waits(&self, selector: &str, what: &str, is_so: impl Fn(&str) -> bool) {
        let last = RefCell::new(String::new());
        let waiting = timeout(PATIENCE, async {
            loop {
                let seen = self.text(selector).await;
                if is_so(&seen) {
                    return;
                }
                last.replace(seen);
                sleep(TICK).await;
            }
        });
        let in_time = waiting.await.is_ok();
        let (user, last) = (&self.user, last.borrow());
        assert!(in_time, "{user} waits for {what:?} at {selector}, and sees {last:?}");
    }

    /// Waits until the wallet shows this.
    pub(crate) async fn has(&self, available: &str, held: &str) {
        self.sees("[data-show=available]", &format!("{available} EUR")).await;
        self.sees("[data-show=held]", &format!("{held} EUR")).await;
    }

    /// What a script in the page answers.
    pub(crate) async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }
}
