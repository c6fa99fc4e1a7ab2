//! Bids and purchases, and who is told of them.

use crate::client::{Server, database, named};

#[tokio::test]
async fn whoever_is_outbid_is_told_and_nobody_else() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let (ann, bob) = (server.browser("ann").await, server.browser("bob").await);
    let lamp = ann.auction("Oil lamp").await;
    let mut anns = ann.watch(&lamp, "since=1").await;
    let mut bobs = bob.watch(&lamp, "since=1").await;

    let answer = ann.bid(&lamp, "7.77").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["text"], "Your bid counts: you lead at 7.77 EUR.");
    let (_, shown) = anns.until(2).await;
    assert_eq!((&shown["available"], &shown["held"]), (&"992.23 EUR".into(), &"7.77 EUR".into()));
    assert_eq!(shown["standing"], "You lead.");

    assert_eq!(bob.bid(&lamp, "9,50").await.status, 200);
    let (events, shown) = anns.until(3).await;
    let kinds: Vec<_> = events.iter().map(named).collect();
    let expected = [(3, 0, "bid_placed"), (3, 1, "outbid"), (3, 2, "hold_released")];
    assert_eq!(kinds, expected.map(|(seq, index, kind)| (seq, index, kind.to_owned())));
    assert_eq!(events[1]["text"], "You have been outbid: the price is 9.50 EUR now.");
    assert_eq!(events[1]["is_private"], true);
    assert_eq!((&shown["available"], &shown["held"]), (&"1000.00 EUR".into(), &"0.00 EUR".into()));
    assert_eq!((&shown["price"], &shown["standing"]), (&"9.50 EUR".into(), &"bob leads.".into()));

    // One more command, so that whatever belongs to the one before has come.
    assert_eq!(ann.bid(&lamp, "10").await.status, 200);
    bobs.until(4).await;
    for message in &bobs.heard {
        let is_anns = message.contains("992.23") || message.contains(r#""user":"ann""#);
        assert!(!is_anns, "bob was told: {message}");
    }
    let told = bobs.heard.iter().filter(|message| message.contains(r#""is_private":true"#));
    assert_eq!(told.count(), 2, "that bob is outbid, and has his money back");
    server.stop().await;
}

#[tokio::test]
async fn a_maximum_is_its_bidders_alone() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let (ann, bob) = (server.browser("ann").await, server.browser("bob").await);
    let telescope = ann.auction("Brass telescope").await;
    let mut bobs = bob.watch(&telescope, "since=1").await;

    assert_eq!(ann.bid(&telescope, "77.77").await.status, 200);
    assert!(ann.page(&telescope).await.body.contains("Your maximum is 77.77 EUR"));
    let (_, shown) = bobs.until(2).await;
    assert_eq!((&shown["price"], &shown["minimum"]), (&"10.00 EUR".into(), &"11.00 EUR".into()));
    // Bob's bid is answered at once; he holds nothing.
    let answer = bob.bid(&telescope, "20").await;
    assert!(answer.json()["text"].as_str().unwrap().contains("the price is 21.00 EUR now"));
    assert_eq!(answer.json()["shown"]["held"], "0.00 EUR");
    bobs.until(3).await;
    bobs.heard.push(bob.page(&telescope).await.body);
    bobs.heard.push(bob.get("/as/bob").await.body);
    assert!(bobs.heard.iter().all(|text| !text.contains("77.77") && !text.contains("922.23")));
    server.stop().await;
}

#[tokio::test]
async fn a_form_that_is_sent_twice_bids_once() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let lamp = ann.auction("Oil lamp").await;
    let form = ann.form(&lamp).await;
    let (first, second) =
        tokio::join!(ann.bid_with(&lamp, &form, "8"), ann.bid_with(&lamp, &form, "8"));
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.json()["text"], second.json()["text"]);
    let third = ann.bid_with(&lamp, &form, "8.00").await.json();
    let shown = &third["shown"];
    assert_eq!((&shown["seq"], &shown["held"]), (&2.into(), &"8.00 EUR".into()));

    // With the same key something else is refused, and the form gets another key.
    let other = ann.bid_with(&lamp, &form, "9").await;
    assert_eq!(other.status, 409);
    assert_ne!(other.json()["key"], form.key);
    // A refusal leaves the key to the form.
    let form = ann.form(&lamp).await;
    let low = ann.bid_with(&lamp, &form, "1").await;
    assert_eq!((low.status, &low.json()["key"]), (422, &form.key.clone().into()));
    assert_eq!(low.json()["text"], "That is too low: bid at least 8.50 EUR.");
    assert_eq!(ann.bid_with(&lamp, &form, "8.50").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn what_is_bought_shows_as_sold() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let (ann, bob) = (server.browser("ann").await, server.browser("bob").await);
    let telescope = ann.auction("Brass telescope").await;
    assert_eq!(ann.bid(&telescope, "30").await.status, 200);
    let mut anns = ann.watch(&telescope, "since=2").await;
    let (_, shown) = anns.until(2).await;
    assert_eq!(shown["buy_now"], "250.00 EUR");

    let answer = bob.buy(&telescope).await;
    assert_eq!(
        (answer.status, &answer.json()["text"]),
        (200, &"You have bought it for 250.00 EUR.".into())
    );
    let (events, shown) = anns.until(3).await;
    assert_eq!(named(&events[0]), (3, 0, "sold".to_owned()));
    assert_eq!(shown["result"], "Sold to bob for 250.00 EUR.");
    assert_eq!((&shown["buy_now"], &shown["minimum"]), (&().into(), &().into()));
    assert_eq!(shown["available"], "1000.00 EUR");
    assert!(bob.page(&telescope).await.body.contains("Sold: you have bought it for 250.00 EUR."));

    let late = ann.bid(&telescope, "300").await;
    assert_eq!((late.status, &late.json()["text"]), (422, &"The auction is over: sold.".into()));
    server.stop().await;
}

#[tokio::test]
async fn forms_work_without_a_script() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let ann = server.browser("ann").await;
    let lamp = ann.auction("Oil lamp").await;
    let form = ann.form(&lamp).await;
    let send = async |amount: &str| {
        let fields = [("token", &*form.token), ("key", &*form.key), ("amount", amount)];
        ann.send_form(&lamp, "/bid", &fields).await
    };
    let refused = send("<b>\"5'").await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("Write the amount with the digits 0 to 9"), "{}", refused.body);
    assert!(!refused.body.contains("<b>"), "what was typed is text, not HTML");
    assert!(refused.body.contains(&format!("value=\"{}\"", form.key)));

    let done = send("6").await;
    assert_eq!(done.status, 303);
    let page = ann.get(&done.headers["location"]).await;
    assert!(page.body.contains("You lead.") && page.body.contains("6.00 EUR"));
    server.stop().await;
}

#[tokio::test]
async fn a_sellers_bid_and_money_that_is_not_there_are_refused_in_words() {
    let (_folder, database) = database();
    let server = Server::start(&database).await;
    let (ann, sam) = (server.browser("ann").await, server.browser("sam").await);
    let lamp = ann.auction("Oil lamp").await;
    let text = |answer: crate::client::Answer| answer.json()["text"].as_str().unwrap().to_owned();
    assert_eq!(
        text(ann.bid(&lamp, "1000.01").await),
        "That needs 1000.01 EUR, and you have 1000.00 EUR available."
    );
    assert_eq!(text(sam.bid(&lamp, "10").await), "You sell this yourself, and cannot bid on it.");
    server.stop().await;
}
