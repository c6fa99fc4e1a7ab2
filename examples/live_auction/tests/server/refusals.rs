//! What is refused before an auction is asked.

use crate::client::{Answer, Browser, Server, database};

/// How many commands an auction has accepted.
async fn seq(browser: &Browser, auction: &str) -> String {
    let page = browser.page(auction).await.body;
    let (_, after) = page.split_once("data-seq=\"").unwrap();
    after.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn only_pages_of_the_server_open_its_websockets() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let lamp = ann.auction("Oil lamp").await;
    let another_port = "http://127.0.0.1:1";
    let https = server.origin().replace("http:", "https:");
    for origin in
        [None, Some("https://evil.example"), Some("null"), Some(another_port), Some(&*https)]
    {
        let refused = ann.watch_from(&lamp, "since=0", origin).await;
        assert_eq!(refused.err(), Some(403), "{origin:?}");
    }
    let origin = server.origin();
    assert!(ann.watch_from(&lamp, "since=0", Some(&origin)).await.is_ok());

    // Nor does anybody without a session of the user whose page it is.
    let mut nobody = ann.clone();
    nobody.cookie = String::new();
    assert_eq!(nobody.watch_from(&lamp, "since=0", Some(&origin)).await.err(), Some(401));
    let mut bob = server.browser("bob").await;
    bob.user = "ann".to_owned();
    assert_eq!(bob.watch_from(&lamp, "since=0", Some(&origin)).await.err(), Some(401));
    let none = ann.watch_from("/auctions/999", "since=0", Some(&origin)).await;
    assert_eq!(none.err(), Some(404));
    server.stop().await;
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_session() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let (ann, bob) = (server.browser("ann").await, server.browser("bob").await);
    let lamp = ann.auction("Oil lamp").await;
    let form = ann.form(&lamp).await;
    let bobs = bob.form(&lamp).await;
    let without = [("key", &*form.key), ("amount", "10")];
    assert_eq!(ann.send_form(&lamp, "/bid", &without).await.status, 422);
    let turned: String = form.token.chars().rev().collect();
    for token in ["", "0", &bobs.token, &turned, &form.token.replace(|_: char| true, "0")] {
        for verb in ["/bid", "/buy"] {
            let fields = [("token", token), ("key", &*form.key), ("amount", "10")];
            let refused = ann.send_form(&lamp, verb, &fields).await;
            assert_eq!(refused.status, 403, "{token}");
            assert!(refused.body.contains("This form is of another session"));
        }
    }
    assert_eq!(seq(&ann, &lamp).await, "1", "nobody has bid");
    server.stop().await;
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let lamp = ann.auction("Oil lamp").await;
    let form = ann.form(&lamp).await;
    let path = format!("/as/ann{lamp}/bid");
    let fields = [("token", &*form.token), ("key", &*form.key), ("amount", "10")];
    for headers in [&[][..], &[("Origin", "https://evil.example")], &[("Origin", "null")]] {
        assert_eq!(ann.post_with(&path, &fields, headers).await.status, 403, "{headers:?}");
        let signed_in = server.visitor().post_with("/sign-in", &[("user", "ann")], headers).await;
        assert_eq!(signed_in.status, 403);
    }
    // A name that somebody has pointed at this machine.
    let rebound = [("Host", "evil.example"), ("Origin", "http://evil.example")];
    assert_eq!(ann.post_with(&path, &fields, &rebound).await.status, 421);
    assert_eq!(seq(&ann, &lamp).await, "1", "nobody has bid");
    assert_eq!(ann.post(&path, &fields).await.status, 303);
    server.stop().await;
}

#[tokio::test]
async fn a_form_has_a_size() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let lamp = ann.auction("Oil lamp").await;
    let form = ann.form(&lamp).await;
    let long = "1".repeat(1_000);
    let fields = [("token", &*form.token), ("key", &*form.key), ("amount", &*long)];
    let refused = ann.send_form(&lamp, "/bid", &fields).await;
    assert_eq!(refused.status, 413);
    assert!(refused.body.contains("more than a form can have"), "{}", refused.body);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_amount_is_refused_in_words() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let lamp = ann.auction("Oil lamp").await;
    let form = ann.form(&lamp).await;
    let digits = "Write the amount with the digits 0 to 9";
    for (amount, text) in [
        ("1e3", digits),
        ("١٢", digits),
        ("0x10", digits),
        ("12 EUR", digits),
        ("NaN", digits),
        ("12.345", "Amounts in EUR have at most 2 decimals."),
        ("1,000", "Amounts in EUR have at most 2 decimals."),
        ("-1", "A bid must be more than zero."),
        ("0", "A bid must be more than zero."),
        ("", "Say how much you bid."),
        ("99999999999999.99", "A bid is at most 10000000000000.00 EUR."),
    ] {
        let refused = ann.bid_with(&lamp, &form, amount).await;
        assert_eq!(refused.status, 422, "{amount}");
        let said = refused.json()["text"].as_str().unwrap().to_owned();
        assert!(said.starts_with(text), "{amount}: {said}");
    }
    assert_eq!(seq(&ann, &lamp).await, "1", "nobody has bid");
    server.stop().await;
}

#[tokio::test]
async fn nobody_sees_the_pages_of_somebody_else() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let (ann, bob) = (server.browser("ann").await, server.browser("bob").await);
    let lamp = ann.auction("Oil lamp").await;
    let forged = |from: &str, to: &str| {
        let hex = |name: &str| name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        bob.cookie.replace(&hex(from), &hex(to))
    };
    assert_ne!(forged("bob", "ann"), bob.cookie);
    for cookie in ["", "live_auction=", "live_auction=..", &bob.cookie, &forged("bob", "ann")] {
        let intruder = bob.with("ann", cookie);
        for path in ["/as/ann".to_owned(), format!("/as/ann{lamp}")] {
            let refused = intruder.get(&path).await;
            assert_eq!(refused.status, 401, "{cookie}");
            assert!(!refused.body.contains("EUR"));
        }
    }
    // With both cookies each page is its own user's.
    let both = bob.with("bob", &format!("{}; {}", ann.cookie, bob.cookie));
    assert_eq!(both.get("/as/ann").await.status, 200);
    assert!(both.get("/as/bob").await.body.contains("You are <strong>bob</strong>"));
    server.stop().await;
}

#[tokio::test]
async fn a_cookie_and_an_answer_have_what_keeps_them() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let signed_in = server.visitor().post("/sign-in", &[("user", "ann")]).await;
    let cookie = &signed_in.headers["set-cookie"];
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/as/ann", "Max-Age="] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    for name in ["eve", "ann/..", "ann\r\nX: y", ""] {
        let refused = server.visitor().post("/sign-in", &[("user", name)]).await;
        assert_eq!(refused.status, 422, "{name}");
    }
    let has_headers = |answer: &Answer| {
        let policy = &answer.headers["content-security-policy"];
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert!(answer.headers.contains_key("cache-control"));
    };
    let visitor = server.visitor();
    for (path, status) in
        [("/", 200), ("/static/live.js", 200), ("/nowhere", 404), ("/as/ann", 401)]
    {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        has_headers(&answer);
    }
    server.stop().await;
}

#[tokio::test]
async fn signing_out_takes_the_cookie_back() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let lamp = ann.auction("Oil lamp").await;
    let token = ann.form(&lamp).await.token;
    assert_eq!(ann.post("/as/ann/sign-out", &[("token", "0")]).await.status, 403);
    let left = ann.post("/as/ann/sign-out", &[("token", &token)]).await;
    assert_eq!((left.status, &*left.headers["location"]), (303, "/"));
    assert!(left.headers["set-cookie"].starts_with("live_auction=; Path=/as/ann; Max-Age=0"));
    server.stop().await;
}
