//! What the rules of a house add to the books: sealed bids, and what sales set aside for the house.

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Error, Finding, HouseShare, ManualClock, OperationId,
    Record,
};
use chrono::TimeDelta;

use super::{Vandal, WON, finds, start};
use crate::support::{Books, Database, World, on_every_backend};

async fn ledger(world: &World) -> Result<AuctionLedger, Error> {
    let clock = ManualClock::new(start());
    let ledger = AuctionLedger::new(world.db().clone()).clock(clock);
    for user in ["ann", "bob"] {
        ledger.deposit(user, WON, 1_000.into()).await?;
    }
    Ok(ledger)
}

on_every_backend! {
    async fn sealed_bids_that_are_not_what_is_held(world: &World) {
        let ledger = ledger(world).await?;
        let terms = AuctionTerms::sealed_first_price(WON, 10.into());
        let terms = terms.premium(HouseShare::basis_points(10_00)).ends_at(start() + TimeDelta::hours(1));
        let auction = ledger.open_auction("sam", "a thing", terms).await?.id;
        for user in ["ann", "bob"] {
            ledger.place_bid(auction, user, 100.into()).await?;
        }
        finds(world, []).await?;
        let books = Books::read(world.db()).await?;
        let (ann, bob) = (books.won("ann"), books.won("bob"));
        let vandal = Vandal::of(world).await?;
        let of = |wallet| format!("WHERE auction_id = {auction} AND wallet_id = {wallet}");
        vandal.does([format!("UPDATE al_sealed_bid SET maximum = 200 {}", of(ann))]).await?;
        finds(world, [Finding::Held { auction, wallet: ann, held: 110, promised: 220 }]).await?;
        vandal.does([format!("UPDATE al_sealed_bid SET maximum = 100 {}", of(ann))]).await?;
        vandal.does([format!("DELETE FROM al_sealed_bid {}", of(bob))]).await?;
        finds(world, [Finding::Held { auction, wallet: bob, held: 110, promised: 0 }]).await?;
        vandal.does([format!("UPDATE al_auction SET state = 3 WHERE id = {auction}")]).await?;
        finds(world, [
            Finding::HeldAfterEnd { auction, wallet: ann, held: 110 },
            Finding::HeldAfterEnd { auction, wallet: bob, held: 110 },
        ])
        .await?;
    }

    async fn a_share_of_an_auction_that_is_not_there(world: &World) {
        ledger(world).await?;
        finds(world, []).await?;
        let vandal = Vandal::of(world).await?;
        let operation = match world.database() {
            Database::Postgres => "'01890000-0000-7000-8000-000000000000'",
            _ => "x'01890000000070008000000000000000'",
        };
        vandal.does([format!("INSERT INTO al_house VALUES (999, 'KRW', 0, 5, {operation}, 1, NULL)")]).await?;
        let report = AuctionLedger::new(world.db().clone()).audit().await?;
        let [missing, conservation] = report.findings.as_slice() else { panic!("{report:?}") };
        let auction = AuctionId::from(999);
        assert_eq!(*missing, Finding::MissingAuction { referrer: Record::HouseShare(auction), auction });
        assert!(matches!(conservation, Finding::Conservation(_)), "the money is nobody's: {conservation:?}");
    }

    async fn a_share_that_is_not_what_was_paid(world: &World) {
        let ledger = ledger(world).await?;
        let terms = AuctionTerms::fixed_price(WON, 100.into()).premium(HouseShare::basis_points(10_00));
        let terms = terms.fee(HouseShare::basis_points(5_00)).ends_at(start() + TimeDelta::hours(1));
        let auction = ledger.open_auction("sam", "a thing", terms).await?.id;
        let bought = ledger.buy_now(auction, "ann").await?;
        finds(world, []).await?;
        let vandal = Vandal::of(world).await?;
        for (sql, house) in [
            (format!("UPDATE al_house SET amount = 16 WHERE auction_id = {auction}"), 16),
            (format!("DELETE FROM al_house WHERE auction_id = {auction}"), 0),
        ] {
            vandal.does([sql]).await?;
            let report = AuctionLedger::new(world.db().clone()).audit().await?;
            let [unbalanced, settlement, conservation] = report.findings.as_slice() else {
                panic!("{report:?}");
            };
            let sum = house - 15;
            let operation = bought.operation;
            assert_eq!(*unbalanced, Finding::Unbalanced { auction, operation, sum });
            assert!(
                matches!(settlement, Finding::Settlement(found) if (found.paid, found.received, found.house) == (110, 95, house)),
                "{settlement:?}"
            );
            assert!(matches!(conservation, Finding::Conservation(_)), "{conservation:?}");
        }
    }

    async fn a_void_of_a_bid_that_is_not_there(world: &World) {
        let ledger = ledger(world).await?;
        let ends_at = start() + TimeDelta::hours(1);
        let english = AuctionTerms::english(WON, 10.into(), 1.into()).ends_at(ends_at);
        let sealed = AuctionTerms::sealed_first_price(WON, 10.into()).ends_at(ends_at);
        let mut auctions = Vec::new();
        for terms in [english, sealed] {
            let auction = ledger.open_auction("sam", "a thing", terms).await?.id;
            ledger.place_bid(auction, "bob", 90.into()).await?;
            let wrong = ledger.place_bid(auction, "ann", 100.into()).await?.seq;
            ledger.void_bid(auction, wrong, "a typing error").await?;
            // A sealed bid after a void one takes its row.
            ledger.place_bid(auction, "ann", 110.into()).await?;
            auctions.push(auction);
        }
        finds(world, []).await?;
        let vandal = Vandal::of(world).await?;
        // The number of an act that is no bid, and of nothing at all.
        for bid in [1, 77] {
            let of = |auction| format!("WHERE auction_id = {auction} AND bid_seq IS NOT NULL");
            let spoil = |auction: &AuctionId| format!("UPDATE al_act SET bid_seq = {bid} {}", of(*auction));
            vandal.does(auctions.iter().map(spoil)).await?;
            finds(world, auctions.iter().map(|auction| Finding::MissingBid { auction: *auction, seq: 4, bid })).await?;
        }
    }

    async fn a_share_that_no_entry_has_collected(world: &World) {
        let ledger = ledger(world).await?;
        let mut auctions = Vec::new();
        for _ in 0..3 {
            let terms = AuctionTerms::fixed_price(WON, 100.into()).fee(HouseShare::basis_points(5_00));
            let terms = terms.ends_at(start() + TimeDelta::hours(1));
            let auction = ledger.open_auction("sam", "a thing", terms).await?.id;
            ledger.buy_now(auction, "ann").await?;
            auctions.push(auction);
        }
        finds(world, []).await?;
        ledger.collect_house("the house", WON).await?;
        finds(world, []).await?;
        let vandal = Vandal::of(world).await?;
        let operation = OperationId::from(uuid::Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0000));
        let written = match world.database() {
            Database::Postgres => format!("'{operation}'"),
            _ => format!("x'{}'", operation.get().simple()),
        };
        let [_, second, third] = auctions.as_slice() else { panic!("{auctions:?}") };
        vandal.does([second, third].map(|auction| {
            format!("UPDATE al_house SET collected_by = {written} WHERE auction_id = {auction}")
        }))
        .await?;
        finds(world, [Finding::MissingCollection { auction: *second, operation }]).await?;
        // In whatever ranges the auctions are read.
        let report = AuctionLedger::new(world.db().clone()).audit().page_size(1).commands(1).await?;
        let missing = [*second, *third].map(|auction| Finding::MissingCollection { auction, operation });
        assert_eq!(report.findings, missing);
    }
}
