//! What a screen reader is told: the names, roles and texts that the browser gives it.

use std::collections::BTreeMap;

use axum::http::Method;
use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::client::{Server, database};
use crate::driver::{Driver, Screen};
use crate::window::Window;

/// Asks for the tree that is made for assistive technology.
#[derive(Debug)]
struct AskForTree;

impl WebDriverCompatibleCommand for AskForTree {
    fn endpoint(&self, base_url: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.expect("the browser has been started");
        base_url.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = json!({ "cmd": "Accessibility.getFullAXTree", "params": {} });
        (Method::POST, Some(body.to_string()))
    }
}

/// Something that is told.
#[derive(Debug)]
struct Node {
    role: String,
    name: String,
    description: String,
    /// Such as `live` and `invalid`.
    properties: BTreeMap<String, Value>,
}

/// Everything that is not left out.
async fn tree(window: &Window) -> Vec<Node> {
    let mut answer = window.client.issue_cmd(AskForTree).await.unwrap();
    let Value::Array(nodes) = answer["nodes"].take() else { panic!("{answer} is no tree") };
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    let properties = |node: &Value| {
        let properties = node["properties"].as_array().into_iter().flatten();
        let named = |property: &Value| {
            let name = property["name"].as_str().expect("a property has a name");
            (name.to_owned(), property["value"]["value"].clone())
        };
        properties.map(named).collect()
    };
    let nodes = nodes.iter().filter(|node| node["ignored"] == false);
    let node = |node: &Value| Node {
        role: text(&node["role"]),
        name: text(&node["name"]),
        description: text(&node["description"]),
        properties: properties(node),
    };
    nodes.map(node).collect()
}

fn one<'a>(tree: &'a [Node], role: &str, name: &str) -> &'a Node {
    let is_it = |node: &&Node| node.role == role && node.name == name;
    tree.iter().find(is_it).unwrap_or_else(|| panic!("there is no {role} {name:?} in {tree:#?}"))
}

/// What is used, or gone to, without seeing it.
const NAMED: [&str; 8] =
    ["link", "button", "textbox", "DisclosureTriangle", "heading", "region", "navigation", "timer"];

#[tokio::test]
#[ignore = "needs chromium: run scripts/test-browser"]
async fn everything_has_a_name_and_what_happens_is_said() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let driver = Driver::start().await;
    let ann = driver.window(&server.origin(), "ann", Screen::Phone).await;
    ann.open("Brass telescope").await;

    let tree_at_first = tree(&ann).await;
    for role in NAMED {
        let nodes = tree_at_first.iter().filter(|node| node.role == role);
        let names: Vec<_> = nodes.map(|node| node.name.as_str()).collect();
        assert!(!names.is_empty() && !names.contains(&""), "{role}: {names:?}");
    }
    assert_eq!(
        one(&tree_at_first, "textbox", "Your maximum in EUR").description,
        "At least 10.00 EUR"
    );
    for (role, name) in [
        ("form", "Bid"),
        ("button", "Bid up to this"),
        ("form", "Buy now"),
        ("region", "Your wallet"),
    ] {
        one(&tree_at_first, role, name);
    }
    // What is said by itself: a mistake and being outbid at once, everything else in its turn, and the clock never.
    for (role, name, live) in
        [("alert", "", "assertive"), ("status", "", "polite"), ("timer", "Time left", "off")]
    {
        let said = one(&tree_at_first, role, name).properties.get("live").cloned();
        assert_eq!(said.unwrap_or_else(|| "off".into()), live, "{role}");
    }

    ann.bid("1").await;
    let mistake = "That is too low: bid at least 10.00 EUR.";
    ann.sees("#error", mistake).await;
    let tree_then = tree(&ann).await;
    let field = one(&tree_then, "textbox", "Your maximum in EUR");
    assert_eq!(field.description, format!("At least 10.00 EUR {mistake}"));
    assert_eq!(field.properties["invalid"], "true");
    one(&tree_then, "StaticText", mistake);

    ann.bid("12").await;
    ann.sees("#status", "Your bid counts: you lead at 10.00 EUR.").await;
    let cid = server.browser("cid").await;
    let telescope = cid.auction("Brass telescope").await;
    assert_eq!(cid.bid(&telescope, "25").await.status, 200);
    let outbid = "You have been outbid: the price is 13.00 EUR now.";
    ann.sees("#error", outbid).await;
    one(&tree(&ann).await, "StaticText", outbid);
}
