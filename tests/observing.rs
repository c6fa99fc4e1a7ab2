//! What a host sees of the ledger at work: a span for every verb, with what became of it.

use std::time::Duration;

use auction_ledger::unit_of_work::Atomic;
use auction_ledger::{AuctionLedger, AuctionTerms, Currency, Error, ManualClock};
use chrono::{DateTime, TimeDelta};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DbErr};

use crate::support::{logged, on_every_backend};

const WON: Currency = Currency::KRW;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Every verb once, and some that are refused.
async fn tell(url: String) -> Result<()> {
    let db = Database::connect(ConnectOptions::new(url)).await?;
    let clock = ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
    let ledger = AuctionLedger::new(db.clone()).clock(clock.clone());
    let terms = || {
        let terms = AuctionTerms::english(WON, 10.into(), 1.into()).buy_now(90.into());
        let hour = Duration::from_secs(3_600);
        terms.reserve(50.into()).acceptance_window(hour).ends_in(hour)
    };
    let open =
        || async { Ok::<_, Error>(ledger.open_auction("sam", "a thing", terms()).await?.id) };
    ledger.deposit("ann", WON, 1_000.into()).await?;
    ledger.withdraw("ann", WON, 1.into()).await?;
    let auction = open().await?;
    ledger.place_bid(auction, "ann", 10.into()).await?;
    ledger.place_bid(auction, "bob", 5.into()).await.expect_err("it is too low");
    ledger.place_bid(auction, "\0", 5.into()).await.expect_err("nobody");
    let later = clock.now() + TimeDelta::hours(2);
    let extended = ledger.atomic(async |uow| ledger.extend(auction, later).within(uow).await);
    _ = extended.await?;
    ledger.lower_reserve(auction, 40.into()).by("sam").await?;
    ledger.void_bid(auction, 2, "a mistake").await?;
    ledger.buy_now(auction, "ann").await?;
    ledger.take(open().await?, "ann", 95.into()).await?;
    ledger.close_early(open().await?).await?;
    ledger.cancel(open().await?).await?;
    let below = open().await?;
    ledger.place_bid(below, "ann", 10.into()).await?;
    ledger.accept_below_reserve(below).by("sam").await?;
    let last = open().await?;
    clock.advance(TimeDelta::hours(3));
    ledger.settle(last).await?;
    let nested = db.atomic(async |uow| {
        let nested = uow.atomic(async |uow| uow.execute_unprepared("no statement").await.map(drop));
        nested.await.expect_err("it is none");
        Ok::<_, DbErr>(())
    });
    _ = nested.await?;
    Ok(())
}

on_every_backend! {
    async fn every_verb_has_a_span_that_says_what_became_of_it(world: &World) {
        let url = world.url().to_owned();
        let ((), lines) = logged(move || tell(url)).await?;
        // Not "close": SQLite's own thread may be the last to let go of a span, and nobody listens there.
        let ended = |what: &str| lines.lines().any(|line| line.contains(what) && line.contains("exit"));
        let verbs = [
            "Deposit", "Withdraw", "OpenAuction", "PlaceBid", "BuyNow", "Take", "Settle", "CloseEarly", "Cancel",
            "AcceptBelowReserve", "LowerReserve", "Extend", "VoidBid",
        ];
        for verb in verbs {
            let span = format!("{verb}{{");
            let accepted = lines.lines().any(|line| {
                line.contains(&span) && line.contains("operation=") && line.contains("outcome=\"accepted\"")
            });
            assert!(accepted, "{verb} was not seen: {lines}");
        }
        assert!(ended("outcome=\"rejected\" rejection=\"below_minimum\""), "{lines}");
        let has = |parts: [&str; 2]| lines.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        // Refused before there is a unit of work around it.
        assert!(has(["PlaceBid{auction=1 operation=", "within=false outcome=\"failed\"}: "]), "{lines}");
        assert!(has(["Extend{auction=1 operation=", "within=true outcome=\"accepted\"}"]), "{lines}");
        // A bid of ann: her wallet, and nobody leads.
        assert!(ended("name=\"PlaceBid\" attempt=1"), "{lines}");
        assert!(ended("batch{commands=1 auctions=1 wallets=1 lock_wait_us="), "{lines}");
        assert!(ended("unit_of_work{attempt=1 outcome=\"committed\"}"), "{lines}");
        assert!(ended("savepoint"), "{lines}");
    }
}
