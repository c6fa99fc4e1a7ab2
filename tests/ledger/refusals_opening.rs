//! Who is refused what: deposits, withdrawals and openings. See `refusals`.

use auction_ledger::{
    AmountError, AuctionTerms, Availability, Error, Rejection, TermsError, TextError,
};
use chrono::TimeDelta;
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr};

use super::refusals::{
    Ask, LONG_MEMO, amount, bad_amounts, bad_users, notes, other_won, refused, text, user_error,
};
use super::{WON, charge, end, ledger, open, start, terms};
use crate::support::{World, on_every_backend};

/// The most that one wallet can hold.
const FULL: i64 = 1_000_000_000_000_000_000;

/// A wallet with the entry that explains it: nobody deposits a thousand times.
pub(super) async fn rich(world: &World, user: &str, available: i64) -> Result<(), DbErr> {
    use auction_ledger::entity::{entry, wallet};
    let wallet = wallet::ActiveModel {
        owner: Set(user.as_bytes().to_vec()),
        currency: Set("KRW".to_owned()),
        exponent: Set(0),
        available: Set(available),
        held: Set(0),
        seq: Set(1),
        ..Default::default()
    };
    let wallet = wallet.insert(world.db()).await?;
    let entry = entry::ActiveModel {
        wallet_id: Set(wallet.id),
        seq: Set(1),
        operation: Set(uuid::Uuid::now_v7()),
        kind: Set(entry::Kind::Deposit),
        available_delta: Set(available),
        held_delta: Set(0),
        available_after: Set(available),
        held_after: Set(0),
        auction_id: Set(None),
        memo: Set(None),
        at: Set(start().timestamp_micros()),
    };
    entry.insert(world.db()).await.map(drop)
}

on_every_backend! {
    async fn a_deposit_is_refused_in_the_order_of_the_checks(world: &World) {
        let (ledger, _) = ledger(world);
        notes(world).await?;
        ledger.deposit("eve", other_won(), 5.into()).await?;
        rich(world, "max", FULL - 1).await?;
        let deposit = |user: &str, amount: Decimal, memo: &str| Ask::Deposit {
            user: user.to_owned(), currency: WON, amount, memo: memo.to_owned(),
        };
        let mut rows: Vec<(Ask, Error)> = Vec::new();
        for (user, error) in bad_users() {
            rows.push((deposit(&user, 0.into(), "\0"), user_error(error)));
        }
        rows.push((deposit("eve", 0.into(), &"m".repeat(201)), text("memo", LONG_MEMO)));
        rows.push((deposit("eve", 0.into(), "a\0b"), text("memo", TextError::ContainsNul)));
        for (wrong, error) in bad_amounts() {
            rows.push((deposit("eve", wrong, ""), amount("amount", error)));
        }
        rows.push((deposit("eve", 2.into(), ""), Error::CurrencyMismatch { given: WON, stored: 2 }));
        rows.push((deposit("max", 2.into(), ""), Rejection::BalanceTooLarge { maximum: FULL.into() }.into()));
        for (ask, expected) in &rows {
            refused(world, &ledger, ask, expected).await?;
        }
        assert_eq!(ledger.deposit("max", WON, 1.into()).await?.available, FULL.into());
        refused(world, &ledger, &deposit("max", 1.into(), ""), &rows.last().unwrap().1).await?;
        super::books(world).await?;
    }

    async fn a_withdrawal_is_refused_in_the_order_of_the_checks(world: &World) {
        let (ledger, _) = ledger(world);
        notes(world).await?;
        ledger.deposit("eve", other_won(), 5.into()).await?;
        charge(&ledger, &["ann"], 1_000).await?;
        let auction = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "ann", 900.into()).await?;
        let withdraw = |user: &str, amount: Decimal, memo: &str| Ask::Withdraw {
            user: user.to_owned(), currency: WON, amount, memo: memo.to_owned(),
        };
        let mut rows: Vec<(Ask, Error)> = Vec::new();
        for (user, error) in bad_users() {
            rows.push((withdraw(&user, 0.into(), "\0"), user_error(error)));
        }
        rows.push((withdraw("eve", 0.into(), &"m".repeat(201)), text("memo", LONG_MEMO)));
        rows.push((withdraw("eve", 0.into(), "a\0b"), text("memo", TextError::ContainsNul)));
        for (wrong, error) in bad_amounts() {
            rows.push((withdraw("eve", wrong, ""), amount("amount", error)));
        }
        rows.push((withdraw("eve", 2.into(), ""), Error::CurrencyMismatch { given: WON, stored: 2 }));
        let poor = |available: i64| Rejection::InsufficientFunds { needed: 101.into(), available: available.into() };
        rows.push((withdraw("pip", 101.into(), ""), poor(0).into()));
        // What is held is not available.
        rows.push((withdraw("ann", 101.into(), ""), poor(100).into()));
        for (ask, expected) in &rows {
            refused(world, &ledger, ask, expected).await?;
        }
        assert!(ledger.withdraw("ann", WON, 100.into()).await?.available.is_zero());
        super::books(world).await?;
    }

    async fn an_opening_is_refused_in_the_order_of_the_checks(world: &World) {
        let (ledger, _) = ledger(world);
        notes(world).await?;
        ledger.deposit("eve", other_won(), 5.into()).await?;
        let english = |start: Decimal, step: Decimal| AuctionTerms::english(WON, start, step);
        let ask = |seller: &str, title: &str, terms: &AuctionTerms| Ask::Open {
            seller: seller.to_owned(), title: title.to_owned(), terms: terms.clone(),
        };
        let (zero, off) = (Decimal::ZERO, Decimal::from(149));
        let nothing = english(zero, zero).multiple_of(zero).buy_now(zero);
        let mut rows: Vec<(Ask, Error)> = Vec::new();
        for (user, error) in bad_users() {
            rows.push((ask(&user, "", &nothing), user_error(error)));
        }
        let long = TextError::TooLong { length: 201, limit: 200, unit: "characters" };
        rows.extend([
            (ask("eve", "", &nothing), text("title", TextError::Empty)),
            (ask("eve", &format!("\0{}", "é".repeat(200)), &nothing), text("title", long)),
            (ask("eve", "a\0", &nothing), text("title", TextError::ContainsNul)),
            (ask("eve", "a", &nothing), TermsError::MissingEnd.into()),
            (
                ask("eve", "a", &AuctionTerms::fixed_price(WON, zero).buy_now_until(Availability::Always).ends_at(start())),
                TermsError::NeedsBids { what: "a buy-now price" }.into(),
            ),
            (
                ask("eve", "a", &english(zero, zero).buy_now_until(Availability::Always).ends_at(start())),
                TermsError::NeedsSetting { what: "an availability of the buy-now price", needs: "a buy-now price" }.into(),
            ),
        ]);
        let past = |terms: AuctionTerms| terms.ends_at(start());
        for (wrong, error) in bad_amounts() {
            let terms = past(english(wrong, zero).multiple_of(zero).buy_now(zero));
            rows.push((ask("eve", "a", &terms), amount("start price", error)));
        }
        for (wrong, error) in bad_amounts() {
            let terms = past(english(off, wrong).multiple_of(zero).buy_now(zero));
            rows.push((ask("eve", "a", &terms), amount("increment", error)));
        }
        for (wrong, error) in bad_amounts() {
            let terms = past(english(off, 49.into()).multiple_of(wrong).buy_now(zero));
            rows.push((ask("eve", "a", &terms), amount("multiple", error)));
        }
        for (wrong, error) in bad_amounts() {
            let terms = past(english(off, 49.into()).multiple_of(50.into()).buy_now(wrong));
            rows.push((ask("eve", "a", &terms), amount("buy-now price", error)));
        }
        let grid = |first: i64, step: i64, buy_now: i64| {
            english(first.into(), step.into()).multiple_of(50.into()).buy_now(buy_now.into())
        };
        let ended = TermsError::EndNotAfterStart { starts_at: start(), ends_at: start() };
        let multiple_of = Decimal::from(50);
        let tick = start() + TimeDelta::microseconds(1);
        let eve = |terms: AuctionTerms| ask("eve", "a", &terms);
        let not_above = TermsError::BuyNowNotAboveStart { start_price: off, buy_now_price: off };
        rows.extend([
            (eve(past(grid(149, 49, 149))), ended.clone().into()),
            // A nanosecond later is the same microsecond.
            (eve(grid(149, 49, 149).ends_at(start() + TimeDelta::nanoseconds(999))), ended.into()),
            (eve(grid(149, 49, 149).ends_at(tick)), not_above.into()),
            (eve(grid(149, 49, 1_899).ends_at(tick)), TermsError::StartPriceOffGrid { start_price: off, multiple_of }.into()),
            (eve(grid(150, 49, 1_899).ends_at(tick)), TermsError::IncrementOffGrid { increment: 49.into(), multiple_of }.into()),
            (eve(grid(150, 50, 1_899).ends_at(tick)), TermsError::BuyNowOffGrid { buy_now_price: 1_899.into(), multiple_of }.into()),
            (eve(grid(150, 50, 1_900).ends_at(tick)), Error::CurrencyMismatch { given: WON, stored: 2 }),
        ]);
        for (ask, expected) in &rows {
            refused(world, &ledger, ask, expected).await?;
        }
        let title = "🔭".repeat(200);
        let opened = ledger.open_auction("pip", title.as_str(), grid(150, 50, 1_900).ends_at(tick)).await?;
        assert_eq!(ledger.auction(opened.id).await?.title, title);
        super::books(world).await?;
    }

    async fn a_sellers_full_wallet_refuses_the_price_and_the_auction_stays_open(world: &World) {
        let (ledger, _) = ledger(world);
        notes(world).await?;
        rich(world, "sam", FULL - 499).await?;
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, terms().buy_now(500.into())).await?;
        ledger.place_bid(auction, "ann", 200.into()).await?;
        let full: Error = Rejection::BalanceTooLarge { maximum: FULL.into() }.into();
        for user in ["ann", "bob"] {
            let user = user.to_owned();
            let buy = Ask::Buy { auction, user: user.clone(), memo: String::new() };
            refused(world, &ledger, &buy, &full).await?;
            let bid = Ask::Bid { auction, user, amount: 500.into(), memo: String::new() };
            refused(world, &ledger, &bid, &full).await?;
        }
        ledger.withdraw("sam", WON, 1.into()).await?;
        ledger.buy_now(auction, "ann").await?;
        assert_eq!(ledger.wallet("sam", WON).await?.available, FULL.into());
        super::books(world).await?;
    }

    async fn the_largest_amounts_are_amounts(world: &World) {
        let (ledger, _) = ledger(world);
        let most = WON.maximum();
        charge(&ledger, &["ann"], 1).await?;
        assert_eq!(ledger.deposit("bob", WON, most).await?.available, most);
        let terms = AuctionTerms::english(WON, most, most).ends_at(end());
        let auction = open(&ledger, terms.clone()).await?;
        ledger.place_bid(auction, "bob", most).await?;
        // The next minimum is more than an amount can be: nobody can bid it, and nobody panics.
        assert_eq!(ledger.auction(auction).await?.next_minimum, None);
        let next = most.checked_add(most).unwrap();
        let low = ledger.place_bid(auction, "ann", most).await;
        assert_eq!(super::rejection(low), Rejection::BelowMinimum { minimum: next });
        let large = ledger.place_bid(auction, "ann", next).await.unwrap_err();
        assert!(matches!(large, Error::InvalidAmount { error: AmountError::TooLarge { .. }, .. }));
        let never = AuctionTerms::english(WON, most, most).ends_in(std::time::Duration::MAX);
        let last = open(&ledger, never).await?;
        assert_eq!(ledger.auction(last).await?.ends_at, chrono::DateTime::<chrono::Utc>::MAX_UTC);
        super::books(world).await?;
    }
}
