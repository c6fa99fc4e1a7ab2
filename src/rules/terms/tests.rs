#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]

use rust_decimal::Decimal;

use super::*;
use crate::rules::table::Table;

fn won(minor: i64) -> Amount {
    Amount::from_minor(minor).unwrap()
}

fn ladder() -> Ladder {
    Ladder {
        start_price: won(150),
        increment: Increment::Fixed(won(50)),
        multiple_of: Some(won(50)),
        pricing: Pricing::OwnBid,
    }
}

fn buy_now(price: i64) -> Option<Ask> {
    let until = Availability::UntilPriceReaches;
    Some(Ask { price: AskPrice::Constant(won(price)), until })
}

fn valid() -> Terms {
    Terms {
        currency: Currency::KRW,
        ladder: Some(ladder()),
        ask: buy_now(1900),
        reserve: None,
        acceptance_window: 0,
        soft_close: None,
        premium: Share::NONE,
        fee: Share::NONE,
        starts_at: Micros::new(0),
        ends_at: Micros::new(1),
    }
}

fn with(change: impl FnOnce(&mut Ladder)) -> Terms {
    let mut ladder = ladder();
    change(&mut ladder);
    Terms { ladder: Some(ladder), ..valid() }
}

/// Each row mends one fault of the row before.
#[test]
fn terms_are_refused_in_order() {
    let (zero, now) = (Amount::ZERO, Micros::new(0).datetime());
    let multiple_of = Decimal::from(50);
    let rows = [
        ((zero, zero, 0, zero, 0), TermsError::EndNotAfterStart { starts_at: now, ends_at: now }),
        ((zero, zero, 0, zero, 1), TermsError::ZeroStartPrice),
        ((won(149), zero, 0, zero, 1), TermsError::ZeroIncrement),
        (
            (won(149), won(49), 149, zero, 1),
            TermsError::BuyNowNotAboveStart { start_price: 149.into(), buy_now_price: 149.into() },
        ),
        ((won(149), won(49), 1899, zero, 1), TermsError::ZeroMultiple),
        (
            (won(149), won(49), 1899, won(50), 1),
            TermsError::StartPriceOffGrid { start_price: 149.into(), multiple_of },
        ),
        (
            (won(150), won(49), 1899, won(50), 1),
            TermsError::IncrementOffGrid { increment: 49.into(), multiple_of },
        ),
        (
            (won(150), won(50), 1899, won(50), 1),
            TermsError::BuyNowOffGrid { buy_now_price: 1899.into(), multiple_of },
        ),
    ];
    for ((start_price, increment, buy_now_price, multiple, ends_at), error) in rows {
        let ladder = Ladder {
            start_price,
            increment: Increment::Fixed(increment),
            multiple_of: Some(multiple),
            pricing: Pricing::OwnBid,
        };
        let (ask, ends_at) = (buy_now(buy_now_price), Micros::new(ends_at));
        let terms = Terms { ladder: Some(ladder), ask, ends_at, ..valid() };
        assert_eq!(terms.validated(), Err(error));
    }
    assert_eq!(valid().validated(), Ok(valid()));
}

#[test]
fn increments_that_let_an_equal_bid_win_or_a_price_fall_are_refused() {
    let table = |rows: &[(i64, i64)]| Increment::Table(Table::new(rows.to_vec()).unwrap());
    let percent = |basis_points| Increment::Percent { basis_points, at_least: won(50) };
    let free = |increment| {
        with(|ladder| (ladder.increment, ladder.multiple_of) = (increment, None)).validated()
    };
    assert_eq!(free(table(&[(0, 5), (100, 0)])), Err(TermsError::ZeroIncrement));
    assert_eq!(free(table(&[(1, 5)])), Err(TermsError::NotATable));
    let falls = Err(TermsError::IncrementFalls { price: 100.into() });
    assert_eq!(free(table(&[(0, 5), (100, 3)])), falls);
    for basis_points in [0, 10_001] {
        let error = TermsError::PercentageOutOfRange { basis_points };
        assert_eq!(free(percent(basis_points)), Err(error));
    }
    assert!(free(percent(10_000)).is_ok());
    assert!(free(table(&[(0, 5), (100, 25)])).is_ok());
    let off_grid = with(|ladder| ladder.increment = table(&[(0, 50), (100, 75)]));
    let error = TermsError::IncrementOffGrid { increment: 75.into(), multiple_of: 50.into() };
    assert_eq!(off_grid.validated(), Err(error));
}

#[test]
fn a_reserve_must_be_reachable() {
    let reserve = |reserve| Terms { reserve: Some(won(reserve)), ..valid() };
    assert_eq!(reserve(0).validated(), Err(TermsError::ZeroReserve));
    let below = TermsError::BuyNowBelowReserve { buy_now_price: 1900.into() };
    assert_eq!(reserve(1950).validated(), Err(below));
    let off_grid = TermsError::ReserveOffGrid { multiple_of: 50.into() };
    assert_eq!(reserve(1899).validated(), Err(off_grid));
    assert!(reserve(1900).validated().is_ok());
    let ask = Some(Ask { until: Availability::UntilReserveMet, ..buy_now(1900).unwrap() });
    assert_eq!(Terms { ask, ..valid() }.validated(), Err(TermsError::NoReserveToMeet));
    assert!(Terms { ask, ..reserve(200) }.validated().is_ok());
}

#[test]
fn windows_have_limits() {
    let soft =
        |window, at_most| Terms { soft_close: Some(SoftClose { window, at_most }), ..valid() };
    let refused = |terms: Terms| {
        assert!(matches!(terms.validated(), Err(TermsError::WindowOutOfRange { .. })), "{terms:?}");
    };
    refused(soft(0, None));
    refused(soft(Micros::DAY + 1, None));
    refused(soft(1, Some(0)));
    refused(Terms { acceptance_window: -1, ..valid() });
    refused(Terms { acceptance_window: 30 * Micros::DAY + 1, ..valid() });
    assert!(soft(Micros::DAY, Some(30 * Micros::DAY)).validated().is_ok());
    assert!(Terms { acceptance_window: 30 * Micros::DAY, ..valid() }.validated().is_ok());
}

#[test]
fn shares_have_limits() {
    let share = |basis_points, at_least, at_most| Share { basis_points, at_least, at_most };
    let premium = TermsError::ShareOutOfRange { what: "buyer's premium" };
    let fee = TermsError::ShareOutOfRange { what: "seller's fee" };
    let more = share(10_001, Amount::ZERO, None);
    assert_eq!(Terms { premium: more, ..valid() }.validated(), Err(premium.clone()));
    let crossed = share(500, won(2), Some(won(1)));
    assert_eq!(Terms { fee: crossed, ..valid() }.validated(), Err(fee));
    // What cannot be paid for cannot be asked.
    let ask = buy_now(1_000_000_000_000_000);
    let dear = Terms { premium: share(1, Amount::ZERO, None), ask, ..valid() };
    assert_eq!(dear.validated(), Err(premium));
    let all = share(10_000, Amount::ZERO, Some(won(7)));
    assert!(Terms { premium: all, fee: all, ..valid() }.validated().is_ok());
}

#[test]
fn a_clock_falls_and_knows_no_bids() {
    let clock = |price| {
        let ask = Some(Ask { price, until: Availability::Always });
        Terms { ladder: None, ask, ..valid() }
    };
    let linear = |start, floor| clock(AskPrice::Linear { start: won(start), floor: won(floor) });
    let steps = |rows: &[(i64, i64)]| clock(AskPrice::Steps(Table::new(rows.to_vec()).unwrap()));
    assert_eq!(linear(0, 0).validated(), Err(TermsError::ZeroStartPrice));
    for flat in [linear(10, 10), steps(&[(0, 10), (5, 10)]), steps(&[(0, 10), (5, 0)])] {
        assert_eq!(flat.validated(), Err(TermsError::ClockDoesNotFall), "{flat:?}");
    }
    assert_eq!(steps(&[(1, 10)]).validated(), Err(TermsError::NotATable));
    let fixed = clock(AskPrice::Constant(won(10)));
    for terms in [linear(10, 0), steps(&[(0, 10), (5, 9)]), fixed] {
        assert!(terms.validated().is_ok());
        let reserved = Terms { reserve: Some(won(5)), ..terms };
        assert_eq!(reserved.validated(), Err(TermsError::NeedsBids { what: "a reserve" }));
        let soft_close = Some(SoftClose { window: 1, at_most: None });
        let soft = Terms { soft_close, ..terms };
        assert_eq!(soft.validated(), Err(TermsError::NeedsBids { what: "a soft close" }));
    }
}

#[test]
fn multiples_are_counted_from_zero_and_only_where_asked() {
    assert_eq!(ladder().neighbours(120), Some((100, 150)));
    assert_eq!(ladder().neighbours(150), None);
    assert_eq!(ladder().round_up(151), 200);
    let free = Ladder { multiple_of: None, start_price: won(149), ..ladder() };
    assert_eq!((free.neighbours(120), free.round_up(151)), (None, 151));
    let free = Terms { ladder: Some(free), ..valid() };
    assert_eq!(free.validated(), Ok(free));
}

/// Seller's fee 5 %, minimum 50, at most the hammer.
#[test]
fn published_fees() {
    let fee = Share { basis_points: 500, at_least: won(50), at_most: None };
    let terms = Terms { fee, ..valid() };
    let rows = [(1, 1), (25, 25), (49, 49), (50, 50), (500, 50), (1_000, 50), (10_000, 500)];
    for (hammer, expected) in rows {
        assert_eq!(terms.fee_of(won(hammer)), won(expected), "{hammer}");
    }
}
