//! Who is refused what, in the order of the checks. Each row of a table mends one fault of the row before.
//!
//! Every refusal leaves every table as it was, alone and within a unit of work, which goes on and commits.

use auction_ledger::unit_of_work::UnitOfWork;
use auction_ledger::{
    AmountError, AuctionId, AuctionLedger, AuctionState, AuctionTerms, Currency, Error, Rejection,
    TextError, UserIdError,
};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use sea_orm::ConnectionTrait;

use super::{WON, charge, end, ledger, one, open, start, terms};
use crate::support::{Books, TestResult, World, on_every_backend};

/// A request with everything that can be wrong with it.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Bid { auction: AuctionId, user: String, amount: Decimal, memo: String },
    Buy { auction: AuctionId, user: String, memo: String },
    Deposit { user: String, currency: Currency, amount: Decimal, memo: String },
    Withdraw { user: String, currency: Currency, amount: Decimal, memo: String },
    Open { seller: String, title: String, terms: AuctionTerms },
}

/// Sends a request, alone or within a unit of work, and forgets what a success says.
macro_rules! send {
    ($request:expr, $within:expr) => {
        match $within {
            Some(uow) => $request.within(uow).await.map(drop),
            None => $request.await.map(drop),
        }
    };
}

impl Ask {
    pub(super) async fn send(
        &self,
        ledger: &AuctionLedger,
        within: Option<&UnitOfWork>,
    ) -> Result<(), Error> {
        match self.clone() {
            Self::Bid { auction, user, amount, memo } => {
                send!(ledger.place_bid(auction, user, amount).memo(memo), within)
            }
            Self::Buy { auction, user, memo } => {
                send!(ledger.buy_now(auction, user).memo(memo), within)
            }
            Self::Deposit { user, currency, amount, memo } => {
                send!(ledger.deposit(user, currency, amount).memo(memo), within)
            }
            Self::Withdraw { user, currency, amount, memo } => {
                send!(ledger.withdraw(user, currency, amount).memo(memo), within)
            }
            Self::Open { seller, title, terms } => {
                send!(ledger.open_auction(seller, title, terms), within)
            }
        }
    }
}

/// Checks that a request is refused like this, and that nothing has happened.
pub(super) async fn refused(
    world: &World,
    ledger: &AuctionLedger,
    ask: &Ask,
    expected: &Error,
) -> TestResult {
    let expected = format!("{expected:?}");
    let before = Books::read(world.db()).await?;
    let alone = ask.send(ledger, None).await.expect_err(&expected);
    assert_eq!(format!("{alone:?}"), expected, "{ask:?}");
    assert!(!alone.is_retryable(), "{alone:?}");
    let note = ledger
        .atomic(async |uow| {
            let within = ask.send(ledger, Some(uow)).await.expect_err(&expected);
            assert_eq!(format!("{within:?}"), expected, "within a unit of work: {ask:?}");
            assert!(uow.refusal().is_none(), "a refusal breaks no unit of work: {ask:?}");
            uow.execute_unprepared("INSERT INTO note (num) VALUES (1)").await?;
            one::<i64>(uow, "SELECT COUNT(*) FROM note").await.map_err(Error::from)
        })
        .await?;
    assert_eq!(one::<i64>(world.db(), "SELECT COUNT(*) FROM note").await?, *note, "{ask:?}");
    assert_eq!(Books::read(world.db()).await?, before, "nothing is written: {ask:?}");
    Ok(())
}

pub(super) async fn notes(world: &World) -> Result<(), sea_orm::DbErr> {
    world.db().execute_unprepared("CREATE TABLE note (num INTEGER)").await.map(drop)
}

pub(super) fn user_error(error: UserIdError) -> Error {
    Error::InvalidUser(error)
}

pub(super) fn text(what: &'static str, error: TextError) -> Error {
    Error::InvalidText { what, error }
}

pub(super) fn amount(what: &'static str, error: AmountError) -> Error {
    Error::InvalidAmount { what, error }
}

pub(super) const LONG_MEMO: TextError =
    TextError::TooLong { length: 201, limit: 200, unit: "bytes" };

/// The same code as [`WON`], with two decimals.
pub(super) fn other_won() -> Currency {
    Currency::new("KRW", 2).unwrap()
}

pub(super) fn bad_users() -> [(String, UserIdError); 3] {
    [
        (String::new(), UserIdError::Empty),
        // 65 bytes of 64 characters
        (format!("{}é", "u".repeat(63)), UserIdError::TooLong { bytes: 65 }),
        ("an\0n".to_owned(), UserIdError::ContainsNul),
    ]
}

/// Amounts of a currency without decimals that are none.
pub(super) fn bad_amounts() -> [(Decimal, AmountError); 5] {
    let maximum = WON.maximum();
    [
        (Decimal::MIN, AmountError::NotPositive),
        ((-1).into(), AmountError::NotPositive),
        (Decimal::ZERO, AmountError::NotPositive),
        (Decimal::new(1005, 1), AmountError::TooPrecise { decimals: 1, exponent: 0 }),
        (maximum.checked_add(1.into()).unwrap(), AmountError::TooLarge { maximum }),
    ]
}

/// A later start, so that an auction can be too early.
fn opening() -> DateTime<Utc> {
    start() + TimeDelta::minutes(10)
}

on_every_backend! {
    async fn a_bid_is_refused_in_the_order_of_the_checks(world: &World) {
        let (ledger, clock) = ledger(world);
        notes(world).await?;
        charge(&ledger, &["ann"], 149).await?;
        charge(&ledger, &["dan"], 1_000).await?;
        ledger.deposit("eve", other_won(), 5.into()).await?;
        let sold = open(&ledger, terms().buy_now(1_000.into())).await?;
        ledger.buy_now(sold, "dan").await?;
        let grid = AuctionTerms::english(WON, 100.into(), 50.into()).multiple_of(50.into());
        let auction = open(&ledger, grid.buy_now(1_000.into()).starts_at(opening()).ends_at(end())).await?;

        let unknown = AuctionId::from(4711);
        let bid = |auction, user: &str, amount, memo: &str| Ask::Bid {
            auction, user: user.to_owned(), amount, memo: memo.to_owned(),
        };
        let minus = Decimal::from(-1);
        let mut rows: Vec<(DateTime<Utc>, Ask, Error)> = Vec::new();
        for (user, error) in bad_users() {
            rows.push((start(), bid(unknown, &user, minus, "\0"), user_error(error)));
        }
        rows.push((start(), bid(unknown, "eve", minus, &format!("{}\0", "é".repeat(100))), text("memo", LONG_MEMO)));
        rows.push((start(), bid(unknown, "eve", minus, "a\0"), text("memo", TextError::ContainsNul)));
        for id in [unknown, 0.into(), (-1).into(), i64::MAX.into(), i64::MIN.into()] {
            rows.push((start(), bid(id, "eve", minus, "memo"), Error::UnknownAuction { auction: id }));
        }
        rows.push((start(), bid(sold, "eve", minus, ""), Error::CurrencyMismatch { given: WON, stored: 2 }));
        for (wrong, error) in bad_amounts() {
            rows.push((start(), bid(sold, "sam", wrong, ""), amount("amount", error)));
        }
        let now = opening();
        let one = Decimal::ONE;
        let rules = [
            (start(), bid(sold, "sam", one, ""), Rejection::Closed { state: AuctionState::Sold }),
            (now - TimeDelta::microseconds(1), bid(auction, "sam", one, ""), Rejection::NotOpenYet { starts_at: now }),
            (end(), bid(auction, "sam", one, ""), Rejection::Ended { at: end() }),
            (now, bid(auction, "sam", one, ""), Rejection::SellerCannotBid),
            // The buy-now price does not let the seller in either.
            (now, bid(auction, "sam", 1_000.into(), ""), Rejection::SellerCannotBid),
            (now, bid(auction, "pip", one, ""), Rejection::BelowMinimum { minimum: 100.into() }),
            (now, bid(auction, "pip", 99.into(), ""), Rejection::BelowMinimum { minimum: 100.into() }),
            (now, bid(auction, "pip", 120.into(), ""), Rejection::NotOnIncrement {
                multiple_of: 50.into(), below: 100.into(), above: Some(150.into()),
            }),
            (now, bid(auction, "pip", 150.into(), ""), Rejection::InsufficientFunds { needed: 150.into(), available: 0.into() }),
            (now, bid(auction, "ann", 150.into(), ""), Rejection::InsufficientFunds { needed: 150.into(), available: 149.into() }),
            (now, bid(auction, "ann", 5_001.into(), ""), Rejection::InsufficientFunds { needed: 1_000.into(), available: 149.into() }),
        ];
        rows.extend(rules.map(|(now, ask, rejection)| (now, ask, rejection.into())));
        for (now, ask, expected) in &rows {
            clock.set(*now);
            refused(world, &ledger, ask, expected).await?;
        }
        clock.set(now);
        charge(&ledger, &["ann"], 1).await?;
        ledger.place_bid(auction, "ann", 150.into()).memo("é".repeat(100)).await?;
        super::books(world).await?;
    }

    async fn a_purchase_is_refused_in_the_order_of_the_checks(world: &World) {
        let (ledger, clock) = ledger(world);
        notes(world).await?;
        charge(&ledger, &["ann", "dan"], 1_000).await?;
        ledger.deposit("eve", other_won(), 5.into()).await?;
        let sold = open(&ledger, terms().buy_now(1_000.into())).await?;
        ledger.place_bid(sold, "dan", 1_000.into()).await?;
        let plain = open(&ledger, terms().starts_at(opening())).await?;
        let auction = open(&ledger, terms().starts_at(opening()).buy_now(1_100.into())).await?;

        let unknown = AuctionId::from(4711);
        let buy = |auction, user: &str, memo: &str| Ask::Buy { auction, user: user.to_owned(), memo: memo.to_owned() };
        let mut rows: Vec<(DateTime<Utc>, Ask, Error)> = Vec::new();
        for (user, error) in bad_users() {
            rows.push((start(), buy(unknown, &user, "\0"), user_error(error)));
        }
        let now = opening();
        rows.extend([
            (start(), buy(unknown, "eve", &"m".repeat(201)), text("memo", LONG_MEMO)),
            (start(), buy(unknown, "eve", "\0"), text("memo", TextError::ContainsNul)),
            (start(), buy(unknown, "eve", ""), Error::UnknownAuction { auction: unknown }),
            (start(), buy(sold, "eve", ""), Error::CurrencyMismatch { given: WON, stored: 2 }),
        ]);
        let poor = |needed: i64, available: i64| Rejection::InsufficientFunds { needed: needed.into(), available: available.into() };
        let rules = [
            (start(), buy(sold, "sam", ""), Rejection::Closed { state: AuctionState::Sold }),
            (now - TimeDelta::microseconds(1), buy(plain, "sam", ""), Rejection::NotOpenYet { starts_at: now }),
            (end(), buy(plain, "sam", ""), Rejection::Ended { at: end() }),
            (now, buy(plain, "sam", ""), Rejection::BuyNowUnavailable),
            (now, buy(auction, "sam", ""), Rejection::SellerCannotBuy),
            (now, buy(auction, "pip", ""), poor(1_100, 0)),
            (now, buy(auction, "ann", ""), poor(1_100, 1_000)),
        ];
        rows.extend(rules.map(|(now, ask, rejection)| (now, ask, rejection.into())));
        for (now, ask, expected) in &rows {
            clock.set(*now);
            refused(world, &ledger, ask, expected).await?;
        }
        // Whoever leads needs only what the own hold does not pay.
        clock.set(now);
        ledger.place_bid(auction, "ann", 1_000.into()).await?;
        refused(world, &ledger, &buy(auction, "ann", ""), &poor(100, 0).into()).await?;
        charge(&ledger, &["ann"], 100).await?;
        ledger.buy_now(auction, "ann").await?;
        super::books(world).await?;
    }

    async fn no_instant_belongs_to_before_and_after(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 100_000).await?;
        let tick = TimeDelta::microseconds(1);
        let both = [open(&ledger, terms().starts_at(opening()).buy_now(9_000.into())).await?,
            open(&ledger, terms().starts_at(opening()).buy_now(9_000.into())).await?];
        clock.set(opening() - tick);
        let early = Rejection::NotOpenYet { starts_at: opening() };
        assert_eq!(super::rejection(ledger.place_bid(both[0], "ann", 100.into()).await), early);
        assert_eq!(super::rejection(ledger.buy_now(both[0], "ann").await), early);
        assert!(early.is_not_active());
        clock.set(opening());
        assert_eq!(ledger.place_bid(both[0], "ann", 100.into()).await?.at, opening());
        clock.set(end() - tick);
        assert_eq!(ledger.place_bid(both[0], "bob", 110.into()).await?.at, end() - tick);
        assert_eq!(ledger.buy_now(both[1], "bob").await?.at, end() - tick);
        for late in [end(), end() + tick, end() + TimeDelta::days(40_000)] {
            clock.set(late);
            let over = Rejection::Ended { at: end() };
            assert_eq!(super::rejection(ledger.place_bid(both[0], "ann", 9_000.into()).await), over);
            assert_eq!(super::rejection(ledger.buy_now(both[0], "ann").await), over);
        }
        super::books(world).await?;
    }
}
