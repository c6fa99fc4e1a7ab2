//! What a maximum and a reserve are is nobody's business but their owners': it is looked for in everything that others get.

use auction_ledger::{EventKind, RecordingSink};

use super::{automatic, charge, end, ledger};
use crate::support::{Books, on_every_backend};

/// Numbers that no price can be: they are found wherever they appear.
const MAXIMUM: &str = "8467203";
const RAISED: &str = "9538104";
const RESERVE: &str = "7391528";

on_every_backend! {
    async fn no_maximum_and_no_reserve_is_seen_by_others(world: &World) {
        let (ledger, clock) = ledger(world);
        let sink = RecordingSink::new();
        let ledger = ledger.sink(sink.clone());
        charge(&ledger, &["ann", "bob"], 100_000_000).await?;
        let number = |text: &str| text.parse::<rust_decimal::Decimal>().expect("a number");
        let mut seen: Vec<String> = Vec::new();
        let terms = automatic().reserve(number(RESERVE));
        seen.push(format!("{terms:?}"));
        seen.push(format!("{:?}", ledger.place_bid(1.into(), "ann", number(MAXIMUM))));
        seen.push(format!("{:?}", ledger.take(1.into(), "ann", number(MAXIMUM))));
        seen.push(format!("{:?}", ledger.lower_reserve(1.into(), number(RESERVE))));
        let opened = ledger.open_auction("sam", "a thing", terms.clone()).await?;
        let auction = opened.id;
        seen.push(format!("{opened:?} {}", serde_json::to_string(&opened)?));
        // A reserve that is not met, and a maximum that is far above the price once it is.
        seen.push(format!("{:?}", ledger.place_bid(auction, "bob", 500.into()).await?));
        seen.push(format!("{:?}", ledger.lower_reserve(auction, 6_000.into()).by("sam").await?));
        for maximum in [MAXIMUM, RAISED] {
            let bid = ledger.place_bid(auction, "ann", number(maximum)).key(format!("a bid of {}", seen.len()));
            seen.push(format!("{:?}", bid.await?));
        }
        for (user, amount) in [("bob", 10), ("bob", 6_000), ("ann", 20), ("sam", 7_000), ("bob", 100_000_001)] {
            let request = ledger.place_bid(auction, user, amount.into());
            seen.push(format!("{request:?}"));
            let error = request.await.expect_err("the rules say no, or the money is not there");
            seen.push(format!("{error:?} {error}"));
        }
        seen.push(format!("{:?}", ledger.place_bid(auction, "bob", 7_000.into()).await?));
        let now = ledger.auction(auction).await?;
        seen.push(format!("{now:?} {}", serde_json::to_string(&now)?));
        seen.push(format!("{:?} {:?}", ledger.bids(auction).await?, ledger.acts(auction).await?));
        let stored = Books::read(world.db()).await?;
        seen.push(format!("{:?} {:?} {:?} {:?}", stored.auctions, stored.bids, stored.acts, stored.keys));
        clock.set(end());
        let settlement = ledger.settle(auction).await?;
        seen.push(format!("{settlement:?} {}", serde_json::to_string(&settlement)?));
        let mut told = 0;
        for event in sink.wait_for(10).await {
            let owner = event.recipient().is_some_and(|user| user.as_str() == "ann");
            if !owner {
                seen.push(format!("{event:?} {}", serde_json::to_string(&event)?));
                told += usize::from(matches!(event.kind, EventKind::BidPlaced { .. } | EventKind::Unchanged));
            }
        }
        assert_eq!(told, 4, "the bids were told");
        for (index, text) in seen.iter().enumerate() {
            for secret in [MAXIMUM, RAISED, RESERVE] {
                assert!(!text.contains(secret), "{secret} is in {index}: {text}");
            }
        }
        // It is looked for rightly: the owner finds it.
        let own = ledger.entries("ann", super::WON).await?;
        assert!(format!("{own:?}").contains(MAXIMUM));
    }
}
