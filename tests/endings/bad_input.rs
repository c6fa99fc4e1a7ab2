//! Bad input: a typed error that says what to do, nothing written, no panic.

use std::fmt::Debug;
use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Error as UnitOfWorkError, ErrorKind};
use auction_ledger::{
    AmountError, AuctionId, AuctionLedger, AuctionState, AuctionTerms, Currency, Error,
    ManualClock, Rejection, TermsError, TextError, UserIdError,
};
use auction_ledger_migration::{Migrator, MigratorTrait};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use sea_orm::{AccessMode, ConnectionTrait};

use super::{WON, balance, books, charge, end, just_before_the_end, ledger, open, start, terms};
use crate::support::{Books, Database, on_every_backend, on_every_backend_bare};

const EUR: Currency = Currency::EUR;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn error<T: Debug>(result: Result<T, Error>) -> Error {
    match result {
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(inner) = source {
                text += &format!(": {inner}");
                source = inner.source();
            }
            println!("{text}");
            error
        }
        Ok(value) => panic!("it should have been refused: {value:?}"),
    }
}

/// Errors have no `PartialEq`, for those of the database have none: their parts are compared.
fn same(error: &Error, expected: &Error) {
    assert_eq!(format!("{error:?}"), format!("{expected:?}"));
}

/// Every user verb and query with this user.
async fn all_of_user(
    ledger: &AuctionLedger,
    auction: AuctionId,
    user: &str,
) -> Vec<(&'static str, Error)> {
    let one = Decimal::ONE;
    vec![
        ("deposit", error(ledger.deposit(user, WON, one).await)),
        ("withdraw", error(ledger.withdraw(user, WON, one).await)),
        (
            "open",
            error(
                ledger
                    .open_auction(user, "a thing", terms().ends_in(Duration::from_secs(60)))
                    .await,
            ),
        ),
        ("bid", error(ledger.place_bid(auction, user, one).await)),
        ("buy", error(ledger.buy_now(auction, user).await)),
        ("close", error(ledger.close_early(auction).by(user).await)),
        ("cancel", error(ledger.cancel(auction).by(user).await)),
        ("wallet", error(ledger.wallet(user, WON).await)),
        ("entries", error(ledger.entries(user, WON).await)),
        ("balance", error(ledger.balance_at(user, WON, start()).await)),
    ]
}

async fn all_of_auction(ledger: &AuctionLedger, auction: AuctionId) -> Vec<(&'static str, Error)> {
    vec![
        ("bid", error(ledger.place_bid(auction, "ann", 10.into()).await)),
        ("buy", error(ledger.buy_now(auction, "ann").await)),
        ("settle", error(ledger.settle(auction).await)),
        ("close", error(ledger.close_early(auction).await)),
        ("close by", error(ledger.close_early(auction).by("sam").await)),
        ("cancel", error(ledger.cancel(auction).await)),
        ("auction", error(ledger.auction(auction).await)),
        ("bids", error(ledger.bids(auction).await)),
        ("acts", error(ledger.acts(auction).await)),
    ]
}

/// Every verb and every query, on a database that cannot.
async fn all_of_database(ledger: &AuctionLedger) -> Vec<(&'static str, Error)> {
    let auction = AuctionId::from(1);
    let mut all = all_of_user(ledger, auction, "ann").await;
    all.extend(all_of_auction(ledger, auction).await);
    all.push(("settle_due", error(ledger.settle_due(10).await)));
    all
}

on_every_backend! {
    async fn amounts_are_more_than_zero_exact_and_not_too_large(world: &World) {
        let (ledger, _) = ledger(world);
        ledger.deposit("ann", EUR, 100.into()).await?;
        let euro_terms = || AuctionTerms::english(EUR, 1.into(), 1.into()).ends_at(end());
        let auction = open(&ledger, euro_terms().buy_now(90.into())).await?;
        let before = Books::read(world.db()).await?;
        let maximum = EUR.maximum();
        let rows = [
            ("0", AmountError::NotPositive),
            ("0.00", AmountError::NotPositive),
            ("-0.01", AmountError::NotPositive),
            ("-79228162514264337593543950335", AmountError::NotPositive),
            ("1.001", AmountError::TooPrecise { decimals: 3, exponent: 2 }),
            ("0.0000000000000000000000000001", AmountError::TooPrecise { decimals: 28, exponent: 2 }),
            ("10000000000000.01", AmountError::TooLarge { maximum }),
            ("79228162514264337593543950335", AmountError::TooLarge { maximum }),
        ];
        for (text, wrong) in rows {
            let amount = decimal(text);
            let expected = |what| Error::InvalidAmount { what, error: wrong.clone() };
            same(&error(ledger.deposit("ann", EUR, amount).await), &expected("amount"));
            same(&error(ledger.deposit("new", EUR, amount).await), &expected("amount"));
            same(&error(ledger.withdraw("ann", EUR, amount).await), &expected("amount"));
            same(&error(ledger.place_bid(auction, "ann", amount).await), &expected("amount"));
            same(&error(ledger.place_bid(auction, "nobody", amount).await), &expected("amount"));
            let terms = AuctionTerms::english(EUR, amount, 1.into()).ends_at(end());
            same(&error(open(&ledger, terms).await), &expected("start price"));
            let terms = AuctionTerms::english(EUR, 1.into(), amount).ends_at(end());
            same(&error(open(&ledger, terms).await), &expected("increment"));
            same(&error(open(&ledger, euro_terms().multiple_of(amount)).await), &expected("multiple"));
            same(&error(open(&ledger, euro_terms().buy_now(amount)).await), &expected("buy-now price"));
            assert_eq!(Books::read(world.db()).await?, before, "{text}");
        }
        // Zeros at the end are no precision, and the largest amount is one.
        ledger.place_bid(auction, "ann", decimal("1.5000")).await?;
        ledger.deposit("rich", EUR, maximum).await?;
        let refused = error(ledger.withdraw("ann", EUR, maximum).await);
        assert!(matches!(refused, Error::Rejected(Rejection::InsufficientFunds { .. })));
    }

    async fn an_unknown_auction_is_unknown_to_every_verb(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        open(&ledger, terms()).await?;
        let before = Books::read(world.db()).await?;
        for id in [2, 0, -1, i64::MAX, i64::MIN] {
            let auction = AuctionId::from(id);
            for (verb, error) in all_of_auction(&ledger, auction).await {
                assert!(matches!(error, Error::UnknownAuction { auction: named } if named == auction), "{verb}: {error:?}");
            }
        }
        assert_eq!(Books::read(world.db()).await?, before);
    }

    async fn a_wallet_counts_its_currency_in_one_way(world: &World) {
        let (ledger, clock) = ledger(world);
        let fine = Currency::new("EUR", 3)?;
        ledger.deposit("ann", fine, 100.into()).await?;
        ledger.deposit("sam", EUR, 100.into()).await?;
        let euro_terms = AuctionTerms::english(EUR, 1.into(), 1.into()).ends_at(end()).buy_now(50.into());
        let auction = open(&ledger, euro_terms.clone()).await?;
        let before = Books::read(world.db()).await?;
        let expected = Error::CurrencyMismatch { given: EUR, stored: 3 };
        same(&error(ledger.deposit("ann", EUR, 1.into()).await), &expected);
        same(&error(ledger.withdraw("ann", EUR, 1.into()).await), &expected);
        same(&error(ledger.open_auction("ann", "a thing", euro_terms).await), &expected);
        same(&error(ledger.place_bid(auction, "ann", 1.into()).await), &expected);
        same(&error(ledger.place_bid(auction, "ann", 60.into()).await), &expected);
        same(&error(ledger.buy_now(auction, "ann").await), &expected);
        same(&error(ledger.close_early(auction).by("ann").await), &expected);
        same(&error(ledger.cancel(auction).by("ann").await), &expected);
        same(&error(ledger.wallet("ann", EUR).await), &expected);
        same(&error(ledger.entries("ann", EUR).await), &expected);
        same(&error(ledger.balance_at("ann", EUR, clock.now()).await), &expected);
        // Money of another currency is no money here.
        ledger.deposit("bob", WON, 1_000.into()).await?;
        let refused = error(ledger.place_bid(auction, "bob", 5.into()).await);
        same(&refused, &Rejection::InsufficientFunds { needed: decimal("5.00"), available: decimal("0.00") }.into());
        let after = Books::read(world.db()).await?;
        assert_eq!((after.auctions, after.acts, after.bids), (before.auctions, before.acts, before.bids));
        assert_eq!(after.wallets.len(), before.wallets.len() + 1);
    }

    async fn terms_that_cannot_be_promised_are_refused(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["sam"], 100).await?;
        let before = Books::read(world.db()).await?;
        let english = || AuctionTerms::english(WON, 100.into(), 10.into());
        let won = |minor: i64| Decimal::from(minor);
        let not_after = |starts_at, ends_at| TermsError::EndNotAfterStart { starts_at, ends_at };
        let before_start = start() - TimeDelta::microseconds(1);
        let rows = [
            (english(), TermsError::MissingEnd),
            (english().starts_at(start()), TermsError::MissingEnd),
            (english().ends_at(before_start), not_after(start(), before_start)),
            (english().ends_at(start()), not_after(start(), start())),
            (english().ends_in(Duration::ZERO), not_after(start(), start())),
            (english().ends_in(Duration::from_nanos(999)), not_after(start(), start())),
            (english().starts_at(end()).ends_at(just_before_the_end()), not_after(end(), just_before_the_end())),
            (english().ends_at(end()).buy_now(100.into()), TermsError::BuyNowNotAboveStart { start_price: won(100), buy_now_price: won(100) }),
            (english().ends_at(end()).buy_now(99.into()), TermsError::BuyNowNotAboveStart { start_price: won(100), buy_now_price: won(99) }),
            (english().ends_at(end()).multiple_of(30.into()), TermsError::StartPriceOffGrid { start_price: won(100), multiple_of: won(30) }),
            (english().ends_at(end()).multiple_of(20.into()), TermsError::IncrementOffGrid { increment: won(10), multiple_of: won(20) }),
            (english().ends_at(end()).multiple_of(10.into()).buy_now(115.into()), TermsError::BuyNowOffGrid { buy_now_price: won(115), multiple_of: won(10) }),
        ];
        for (terms, wrong) in rows {
            for seller in ["sam", "new"] {
                let refused = error(ledger.open_auction(seller, "a thing", terms.clone()).await);
                same(&refused, &Error::InvalidTerms(wrong.clone()));
            }
            assert_eq!(Books::read(world.db()).await?, before, "{wrong:?}");
        }
        for zero in [AuctionTerms::english(WON, 0.into(), 1.into()), AuctionTerms::english(WON, 1.into(), 0.into())] {
            assert!(matches!(error(open(&ledger, zero.ends_at(end())).await), Error::InvalidAmount { .. }));
        }
        assert_eq!(Books::read(world.db()).await?, before);
    }

    async fn the_ends_of_time_are_no_panic(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        for terms in [
            terms().ends_in(Duration::MAX),
            terms().ends_at(DateTime::<Utc>::MAX_UTC),
            terms().starts_at(DateTime::<Utc>::MIN_UTC),
            terms().starts_at(DateTime::<Utc>::MIN_UTC).ends_at(DateTime::<Utc>::MAX_UTC),
        ] {
            let auction = open(&ledger, terms).await?;
            ledger.place_bid(auction, "ann", 10.into()).await?;
            assert_eq!(ledger.auction(auction).await?.price, Some(10.into()));
            ledger.cancel(auction).await?;
        }
        let late = AuctionTerms::english(WON, 1.into(), 1.into()).starts_at(DateTime::<Utc>::MAX_UTC);
        assert!(matches!(error(open(&ledger, late.clone().ends_at(DateTime::<Utc>::MAX_UTC)).await), Error::InvalidTerms(_)));
        let auction = open(&ledger, late.ends_in(Duration::MAX)).await?;
        assert!(matches!(error(ledger.place_bid(auction, "ann", 1.into()).await), Error::Rejected(Rejection::NotOpenYet { .. })));
        for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            ledger.balance_at("ann", WON, at).await?;
        }
        clock.set(end());
        books(world, 100).await?;
    }

    async fn a_user_id_has_1_to_64_bytes_without_nul(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        let auction = open(&ledger, terms()).await?;
        let before = Books::read(world.db()).await?;
        let long = "x".repeat(65);
        let long_in_bytes = "é".repeat(33);
        let rows = [
            ("", UserIdError::Empty),
            (long.as_str(), UserIdError::TooLong { bytes: 65 }),
            (long_in_bytes.as_str(), UserIdError::TooLong { bytes: 66 }),
            ("a\0b", UserIdError::ContainsNul),
        ];
        for (user, wrong) in rows {
            for (verb, error) in all_of_user(&ledger, auction, user).await {
                assert!(matches!(&error, Error::InvalidUser(said) if *said == wrong), "{verb}: {error:?}");
            }
            assert_eq!(Books::read(world.db()).await?, before);
        }
        for user in ["x".repeat(64), "é".repeat(32), " ".into(), "\u{10ffff}".repeat(16)] {
            ledger.deposit(user.as_str(), WON, 7.into()).await?;
            assert_eq!(balance(&ledger, &user).await?, (7, 0));
            assert_eq!(ledger.wallet(user.as_str(), WON).await?.user.as_str(), user);
        }
    }

    async fn users_are_told_apart_by_every_byte(world: &World) {
        let (ledger, _) = ledger(world);
        let users = ["Ann", "ann", "Ann ", " Ann", "Änn", "A\u{308}nn", "ANN", "ann\t", "Ａnn"];
        for (index, user) in users.iter().enumerate() {
            ledger.deposit(*user, WON, (index as i64 + 1).into()).await?;
        }
        for (index, user) in users.iter().enumerate() {
            assert_eq!(balance(&ledger, user).await?, (index as i64 + 1, 0), "{user:?}");
        }
        assert_eq!(Books::read(world.db()).await?.wallets.len(), users.len());
        // The seller is one of them, and only that one may not bid.
        let auction = ledger.open_auction("Ann", "a thing", AuctionTerms::english(WON, 1.into(), 1.into()).ends_at(end())).await?.id;
        for (index, user) in users.iter().enumerate().skip(1) {
            let bid = ledger.place_bid(auction, *user, (index as i64).into()).await?;
            assert_eq!(bid.user.as_str(), *user);
        }
        same(&error(ledger.place_bid(auction, "Ann", 100.into()).await), &Rejection::SellerCannotBid.into());
    }

    async fn texts_have_their_limits(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        let auction = open(&ledger, terms().buy_now(500.into())).await?;
        ledger.place_bid(auction, "ann", 10.into()).await?;
        clock.set(end());
        let ended = open(&ledger, terms().ends_at(end() + TimeDelta::microseconds(1))).await?;
        clock.set(end() + TimeDelta::microseconds(1));
        let before = Books::read(world.db()).await?;
        let too_long = |length, unit| TextError::TooLong { length, limit: 200, unit };
        let text = |what, error| Error::InvalidText { what, error };
        let (x201, e101, e201) = ("x".repeat(201), "é".repeat(101), "é".repeat(201));

        for (title, wrong) in [
            ("", TextError::Empty),
            (x201.as_str(), too_long(201, "characters")),
            (e201.as_str(), too_long(201, "characters")),
            ("a\0b", TextError::ContainsNul),
        ] {
            same(&error(ledger.open_auction("sam", title, terms()).await), &text("title", wrong));
        }
        for (reason, wrong) in [
            (x201.as_str(), too_long(201, "characters")),
            (e201.as_str(), too_long(201, "characters")),
            ("a\0b", TextError::ContainsNul),
        ] {
            let expected = text("reason", wrong);
            same(&error(ledger.cancel(auction).reason(reason).await), &expected);
            same(&error(ledger.close_early(auction).by("sam").reason(reason).await), &expected);
        }
        for (memo, wrong) in [
            (x201.as_str(), too_long(201, "bytes")),
            (e101.as_str(), too_long(202, "bytes")),
            ("a\0b", TextError::ContainsNul),
        ] {
            let expected = text("memo", wrong);
            same(&error(ledger.deposit("ann", WON, 1.into()).memo(memo).await), &expected);
            same(&error(ledger.withdraw("ann", WON, 1.into()).memo(memo).await), &expected);
            same(&error(ledger.place_bid(auction, "ann", 20.into()).memo(memo).await), &expected);
            same(&error(ledger.buy_now(auction, "ann").memo(memo).await), &expected);
            same(&error(ledger.settle(ended).memo(memo).await), &expected);
        }
        assert_eq!(Books::read(world.db()).await?, before);

        clock.set(start());
        let widest = "\u{1f3fa}".repeat(200);
        let opened = ledger.open_auction("sam", widest.as_str(), terms()).await?;
        assert_eq!(ledger.auction(opened.id).await?.title, widest);
        ledger.cancel(opened.id).reason(widest.as_str()).await?;
        assert_eq!(ledger.acts(opened.id).await?[1].reason.as_deref(), Some(widest.as_str()));
        let memo = "\u{1f3fa}".repeat(50);
        ledger.deposit("bob", WON, 1.into()).memo(memo.as_str()).await?;
        ledger.deposit("bob", WON, 1.into()).memo("").await?;
        let memos: Vec<_> = ledger.entries("bob", WON).await?.into_iter().map(|entry| entry.memo).collect();
        assert_eq!(memos, [Some(memo), Some(String::new())]);
    }

    async fn a_bid_that_the_rules_refuse_writes_nothing(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob", "sam"], 1_000).await?;
        let starts_at = start() + TimeDelta::minutes(1);
        let make = || terms().starts_at(starts_at);
        let plain = open(&ledger, make()).await?;
        let offered = open(&ledger, make().buy_now(500.into())).await?;
        let grid = open(&ledger, AuctionTerms::english(WON, 20.into(), 20.into()).multiple_of(10.into()).ends_at(end())).await?;
        let closed = open(&ledger, terms()).await?;
        let unsold = open(&ledger, terms()).await?;
        let cancelled = open(&ledger, terms()).await?;
        ledger.place_bid(closed, "ann", 10.into()).await?;
        ledger.close_early(closed).await?;
        ledger.close_early(unsold).await?;
        ledger.cancel(cancelled).await?;
        ledger.place_bid(grid, "ann", 20.into()).await?;

        let mut before = Books::read(world.db()).await?;
        let not_open = Rejection::NotOpenYet { starts_at };
        clock.set(starts_at - TimeDelta::microseconds(1));
        for auction in [plain, offered] {
            same(&error(ledger.place_bid(auction, "ann", 10.into()).await), &not_open.clone().into());
            same(&error(ledger.buy_now(auction, "ann").await), &not_open.clone().into());
        }
        for (auction, state) in [(closed, AuctionState::Sold), (unsold, AuctionState::Unsold), (cancelled, AuctionState::Cancelled)] {
            let over: Error = Rejection::Closed { state }.into();
            same(&error(ledger.place_bid(auction, "bob", 100.into()).await), &over);
            same(&error(ledger.place_bid(auction, "sam", 100.into()).await), &over);
            same(&error(ledger.buy_now(auction, "bob").await), &over);
            same(&error(ledger.close_early(auction).await), &over);
            same(&error(ledger.cancel(auction).await), &over);
        }
        assert_eq!(Books::read(world.db()).await?, before);

        clock.set(starts_at);
        ledger.place_bid(plain, "ann", 10.into()).await?;
        ledger.place_bid(offered, "ann", 499.into()).await?;
        before = Books::read(world.db()).await?;
        let below = |minimum: i64| Error::from(Rejection::BelowMinimum { minimum: minimum.into() });
        for user in ["ann", "bob", "nobody"] {
            same(&error(ledger.place_bid(plain, user, 10.into()).await), &below(11));
            same(&error(ledger.place_bid(plain, user, 1.into()).await), &below(11));
        }
        same(&error(ledger.place_bid(grid, "bob", 39.into()).await), &below(40));
        let off = Rejection::NotOnIncrement { multiple_of: 10.into(), below: 40.into(), above: Some(50.into()) };
        same(&error(ledger.place_bid(grid, "bob", 45.into()).await), &off.into());
        same(&error(ledger.buy_now(plain, "bob").await), &Rejection::BuyNowUnavailable.into());
        same(&error(ledger.buy_now(plain, "sam").await), &Rejection::BuyNowUnavailable.into());
        same(&error(ledger.buy_now(offered, "sam").await), &Rejection::SellerCannotBuy.into());
        same(&error(ledger.place_bid(plain, "sam", 100.into()).await), &Rejection::SellerCannotBid.into());
        same(&error(ledger.place_bid(offered, "sam", 500.into()).await), &Rejection::SellerCannotBid.into());
        let broke = |needed: i64, available: i64| Error::from(Rejection::InsufficientFunds { needed: needed.into(), available: available.into() });
        same(&error(ledger.place_bid(plain, "bob", 1_001.into()).await), &broke(1_001, 1_000));
        same(&error(ledger.place_bid(plain, "nobody", 11.into()).await), &broke(11, 0));
        same(&error(ledger.buy_now(offered, "nobody").await), &broke(500, 0));
        same(&error(ledger.withdraw("nobody", WON, 1.into()).await), &broke(1, 0));
        // Ann holds 10 + 20 + 499 and has paid 10: 461 are available, and the own hold counts.
        same(&error(ledger.place_bid(plain, "ann", 472.into()).await), &broke(462, 461));
        same(&error(ledger.withdraw("ann", WON, 462.into()).await), &broke(462, 461));
        assert_eq!(Books::read(world.db()).await?, before);

        clock.set(end());
        for at in [end(), end() + TimeDelta::days(1)] {
            clock.set(at);
            for auction in [plain, offered, grid] {
                let ended: Error = Rejection::Ended { at: end() }.into();
                same(&error(ledger.place_bid(auction, "bob", 600.into()).await), &ended);
                same(&error(ledger.place_bid(auction, "sam", 600.into()).await), &ended);
                same(&error(ledger.buy_now(auction, "bob").await), &ended);
            }
        }
        assert_eq!(Books::read(world.db()).await?, before);
        books(world, 3_000).await?;
    }

    /// While the price has not reached it, a bid at the buy-now price buys; so the price never gets there by bidding.
    async fn buying_is_refused_where_the_price_has_reached_it(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, terms().buy_now(500.into())).await?;
        ledger.place_bid(auction, "ann", 499.into()).await?;
        // Only somebody else than the ledger can bring it there.
        world.db().execute_unprepared("UPDATE al_auction SET buy_now_price = 499").await?;
        let before = Books::read(world.db()).await?;
        same(&error(ledger.buy_now(auction, "bob").await), &Rejection::BuyNowUnavailable.into());
        assert_eq!(ledger.auction(auction).await?.buy_now_offer, None);
        assert_eq!(Books::read(world.db()).await?, before);
        assert!(!ledger.place_bid(auction, "bob", 600.into()).await?.bought);
        books(world, 2_000).await?;
    }

    async fn a_refusal_breaks_no_unit_of_work(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        let auction = open(&ledger, terms()).await?;
        let done = ledger
            .atomic(async |uow| {
                let one = Decimal::ONE;
                error(ledger.place_bid(auction, "ann", one).within(uow).await);
                error(ledger.place_bid(auction, "ann", decimal("1.5")).within(uow).await);
                error(ledger.place_bid(auction, "", one).within(uow).await);
                error(ledger.place_bid(77.into(), "ann", one).within(uow).await);
                error(ledger.buy_now(auction, "ann").within(uow).await);
                error(ledger.settle(auction).within(uow).await);
                error(ledger.cancel(auction).by("ann").within(uow).await);
                error(ledger.close_early(auction).by("ann").within(uow).await);
                error(ledger.withdraw("ann", WON, 101.into()).within(uow).await);
                error(ledger.deposit("ann", WON, 0.into()).within(uow).await);
                error(ledger.open_auction("sam", "", terms()).within(uow).await);
                error(ledger.open_auction("sam", "a thing", terms().ends_at(clock.now())).within(uow).await);
                error(ledger.wallet("", WON).within(uow).await);
                error(ledger.bids(77.into()).within(uow).await);
                assert!(uow.refusal().is_none());
                ledger.place_bid(auction, "ann", 10.into()).within(uow).await
            })
            .await?;
        assert_eq!(done.seq, 2);
        books(world, 100).await?;
    }

    async fn a_database_that_is_down_is_a_database_error(world: &World) {
        let pool = world.connect(2).await;
        let ledger = AuctionLedger::new(pool.clone()).clock(ManualClock::new(start()));
        pool.close_by_ref().await?;
        for (verb, error) in all_of_database(&ledger).await {
            let kind = kind(&error);
            assert_eq!(kind, Some(ErrorKind::PoolClosed), "{verb}: {error:?}");
            assert!(!error.is_retryable());
        }
    }

    async fn a_server_that_cannot_be_reached_is_a_database_error(world: &World) -> crate::support::TestResult {
        let url = match world.database() {
            // SQLite has no server, and SeaORM opens the file at once.
            Database::Sqlite => return Ok(()),
            // Nobody listens on the first port.
            Database::Postgres => "postgres://somebody:secret4711@127.0.0.1:1/nothing".to_owned(),
            Database::Mariadb => "mysql://somebody:secret4711@127.0.0.1:1/nothing".to_owned(),
        };
        let mut options = sea_orm::ConnectOptions::new(url);
        options.connect_lazy(true).acquire_timeout(Duration::from_millis(300)).sqlx_logging(false);
        let ledger = AuctionLedger::new(sea_orm::Database::connect(options).await?);
        let auction = AuctionId::from(1);
        for error in [
            error(ledger.deposit("ann", WON, 1.into()).await),
            error(ledger.place_bid(auction, "ann", 1.into()).await),
            error(ledger.settle(auction).await),
            error(ledger.wallet("ann", WON).await),
            error(ledger.settle_due(1).await),
        ] {
            let kind = kind(&error);
            assert!(matches!(kind, Some(ErrorKind::ConnectionLost | ErrorKind::PoolTimeout)), "{kind:?} {error:?}");
            assert!(!format!("{error:?}").contains("secret4711"));
        }
        Ok(())
    }

    async fn a_read_only_database_says_so_and_can_be_read(world: &World) {
        let (writer, _) = ledger(world);
        charge(&writer, &["ann", "sam"], 100).await?;
        let auction = open(&writer, terms().buy_now(50.into())).await?;
        writer.place_bid(auction, "ann", 10.into()).await?;
        let before = Books::read(world.db()).await?;
        let clock = ManualClock::new(start());
        let reader = match world.database() {
            Database::Sqlite => {
                let pool = sea_orm::Database::connect(format!("{}?mode=ro", world.url())).await?;
                AuctionLedger::new(pool)
            }
            Database::Postgres => {
                let separator = if world.url().contains('?') { '&' } else { '?' };
                let url = format!("{}{separator}options=-c%20default_transaction_read_only%3Don", world.url());
                AuctionLedger::new(sea_orm::Database::connect(url).await?)
            }
            Database::Mariadb => AuctionLedger::new(world.connect(3).await),
        };
        let reader = reader.clock(clock.clone());
        assert_eq!(balance(&reader, "ann").await?, (90, 10));
        assert_eq!(reader.bids(auction).await?.len(), 1);
        if world.database() == Database::Mariadb {
            // Each verb in a transaction of its own that may only read.
            macro_rules! within {
                ($verb:expr) => {{
                    let root = reader.connection().unit_of_work().access_mode(AccessMode::ReadOnly);
                    root.atomic(async |uow| $verb.within(uow).await.map(drop)).await.map(drop)
                }};
            }
            let refused: Vec<Result<(), Error>> = vec![
                within!(reader.deposit("ann", WON, 1.into())),
                within!(reader.withdraw("ann", WON, 1.into())),
                within!(reader.deposit("new", WON, 1.into())),
                within!(reader.open_auction("sam", "a thing", terms())),
                within!(reader.place_bid(auction, "ann", 20.into())),
                within!(reader.buy_now(auction, "ann")),
                within!(reader.close_early(auction)),
                within!(reader.cancel(auction)),
            ];
            for refused in refused {
                let error = error(refused);
                assert_eq!(kind(&error), Some(ErrorKind::ReadOnly), "{error:?}");
            }
        } else {
            let mut refused = vec![
                error(reader.deposit("ann", WON, 1.into()).await),
                error(reader.withdraw("ann", WON, 1.into()).await),
                error(reader.deposit("new", WON, 1.into()).await),
                error(reader.open_auction("sam", "a thing", terms()).await),
                error(reader.place_bid(auction, "ann", 20.into()).await),
                error(reader.buy_now(auction, "ann").await),
                error(reader.close_early(auction).await),
                error(reader.cancel(auction).await),
            ];
            clock.set(end());
            let sweep = reader.settle_due(10).await?;
            assert_eq!((sweep.settled.len(), sweep.failed.len()), (0, 1));
            refused.extend(sweep.failed.into_iter().map(|(_, error)| error));
            for error in refused {
                assert_eq!(kind(&error), Some(ErrorKind::ReadOnly), "{error:?}");
            }
        }
        reader.connection().clone().close().await?;
        assert_eq!(Books::read(world.db()).await?, before);
    }

    async fn migrations_that_were_undone_are_missing(world: &World) {
        Migrator::down(world.db(), None).await?;
        let (ledger, _) = ledger(world);
        missing(&ledger).await;
    }
}

on_every_backend_bare! {
    async fn missing_migrations_are_named(world: &World) {
        let (manual, _) = ledger(world);
        missing(&manual).await;
        missing(&AuctionLedger::new(world.db().clone())).await;
        let within: Result<_, Error> = manual
            .atomic(async |uow| manual.deposit("ann", WON, 1.into()).within(uow).await)
            .await;
        assert!(matches!(error(within), Error::MigrationsMissing(_)));
        Migrator::up(world.db(), None).await?;
        manual.deposit("ann", WON, 1.into()).await?;
    }
}

async fn missing(ledger: &AuctionLedger) {
    for (verb, error) in all_of_database(ledger).await {
        assert!(matches!(error, Error::MigrationsMissing(_)), "{verb}: {error:?}");
        assert!(error.to_string().contains("auction_ledger_migration::Migrator::up"));
    }
}

/// What the database said, wherever it said it.
fn kind(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::UnitOfWork(error) => UnitOfWorkError::kind(error),
        Error::Database(error) => Some(ErrorKind::of(error)),
        _ => None,
    }
}
