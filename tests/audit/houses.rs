//! What the rules of a house add to the books: sealed bids, and what sales set aside for the house.

use auction_ledger::{
    AuctionLedger, AuctionTerms, Error, Finding, HouseShare, ManualClock, Record,
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
        let auction = auction_ledger::AuctionId::from(999);
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
}
