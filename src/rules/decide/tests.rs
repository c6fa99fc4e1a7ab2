#![allow(clippy::unwrap_used)]

use super::*;
use crate::money::Currency;
use crate::rules::verdict::Move;
use crate::rules::{Ask, AskPrice, Availability, Increment, Share};

/// Open from 10 to 20, from 150 in steps of 50, to be had for 1,900.
const TERMS: Terms = Terms {
    currency: Currency::KRW,
    ladder: Some(LADDER),
    ask: Some(Ask { price: AskPrice::Constant(won(1900)), until: Availability::UntilPriceReaches }),
    reserve: None,
    acceptance_window: 0,
    soft_close: None,
    premium: Share::NONE,
    fee: Share::NONE,
    starts_at: Micros::new(10),
    ends_at: Micros::new(20),
};
const LADDER: Ladder = Ladder {
    start_price: won(150),
    increment: Increment::Fixed(won(50)),
    multiple_of: Some(won(50)),
    pricing: Pricing::OwnBid,
};
const NAMES: [&str; 3] = ["seller", "ann", "bob"];

const fn won(minor: i64) -> Amount {
    Amount::from_minor(minor).expect("a test's amount")
}

/// The wallet of somebody; `stranger` and `nobody` have none.
fn wallet(name: &str) -> Option<WalletId> {
    (0..).zip(NAMES).find(|(_, one)| *one == name).map(|(id, _)| WalletId::from(id))
}

/// An auction with a leader who bid this price, or with `nobody`.
fn led(name: &str, price: i64) -> Standing {
    let opened = Standing::opened(WalletId::from(0), &TERMS, Micros::new(0));
    let bid = |wallet| {
        let leader = Leader { wallet, maximum: won(price), hold: won(price), seq: 2 };
        opened.bid(&LADDER, leader, Micros::new(5))
    };
    wallet(name).map_or(opened, bid)
}

/// What moves, as `wallet kind available held`, or why nothing does.
fn answer(verdict: Result<Verdict, Rejection>) -> String {
    let name = |one: Move| NAMES[usize::try_from(one.wallet.get()).expect("a wallet")];
    let line = |m| {
        let Move { kind, available_delta, held_delta, .. } = m;
        format!("{} {kind:?} {available_delta:+} {held_delta:+}", name(m))
    };
    match verdict {
        Ok(verdict) => verdict.moves().map(line).collect::<Vec<_>>().join(", "),
        Err(rejection) => rejection.to_string(),
    }
}

/// Judges each row of a table:
/// `instant state leader price who verb amount available | answer`.
fn check(terms: &Terms, table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (question, expected) = row.split_once(" | ").expect("a row has an answer");
        let words: Vec<&str> = question.split_whitespace().collect();
        let [now, state, leader, price, who, verb, amount, available] = words[..] else {
            panic!("not a row: {row}");
        };
        let number = |word: &str| word.parse::<i64>().expect("a number");
        let states = [AuctionState::Open, AuctionState::Sold, AuctionState::Cancelled];
        let state = states.into_iter().find(|one| one.to_string() == state);
        let state = state.expect("a state");
        let standing = Standing { state, ..led(leader, number(price)) };
        let command = match verb {
            "bid" => Command::Bid { bidder: wallet(who), maximum: won(number(amount)) },
            _ => Command::Take { taker: wallet(who), limit: None },
        };
        let funds = Funds { available: number(available) };
        let verdict = decide(terms, &standing, &command, funds, Micros::new(number(now)));
        assert_eq!(answer(verdict), expected, "{row}");
    }
}

fn bid(terms: &Terms, standing: &Standing, maximum: Amount) -> Result<Verdict, Rejection> {
    let command = Command::Bid { bidder: wallet("bob"), maximum };
    decide(terms, standing, &command, Funds { available: i64::MAX }, Micros::new(15))
}

/// Each row is one step closer to a valid bid than the row before.
#[test]
fn bids_are_refused_in_order() {
    check(
        &TERMS,
        "
        20 sold   bob 200  seller   bid   1   0 | the auction is over: sold
         9 open   bob 200  seller   bid   1   0 | the auction opens at 1970-01-01 00:00:00.000010 UTC
        20 open   bob 200  seller   bid   1   0 | the auction ended at 1970-01-01 00:00:00.000020 UTC
        10 open   bob 200  seller   bid   1   0 | a seller cannot bid on their own auction
        10 open   bob 200  stranger bid 249   0 | a bid must be at least 250
        10 open   bob 200  stranger bid 251   0 | a bid must be a multiple of 50
        10 open   bob 200  stranger bid 250   0 | 250 is needed and 0 is available
        10 open   bob 200  ann      bid 250 249 | 250 is needed and 249 is available
        10 open   bob 200  ann      bid 250 250 | bob Release +200 -200, ann Hold -250 +250
        19 open   bob 200  ann      bid 250 250 | bob Release +200 -200, ann Hold -250 +250
        ",
    );
}

/// Each row is one step closer to a valid purchase than the row before.
#[test]
fn purchases_are_refused_in_order() {
    check(
        &TERMS,
        "
         9 cancelled bob 1900  seller   buy - 0    | the auction is over: cancelled
         9 open      bob 1900  seller   buy - 0    | the auction opens at 1970-01-01 00:00:00.000010 UTC
        20 open      bob 1900  seller   buy - 0    | the auction ended at 1970-01-01 00:00:00.000020 UTC
        10 open      bob 1900  seller   buy - 0    | the auction cannot be bought now
        10 open      bob 1850  seller   buy - 0    | a seller cannot buy their own auction
        10 open      bob 1850  stranger buy - 0    | 1900 is needed and 0 is available
        10 open      bob 1850  ann      buy - 1899 | 1900 is needed and 1899 is available
        19 open      bob 1850  ann      buy - 1900 | bob Release +1850 -1850, ann Capture -1900 +0, seller Proceeds +1900 +0
        10 open      nobody 0  ann      buy - 1900 | ann Capture -1900 +0, seller Proceeds +1900 +0
        ",
    );
}

#[test]
fn the_first_bid_is_at_least_the_start_price() {
    check(
        &TERMS,
        "
        15 open nobody 0  ann bid 100 900 | a bid must be at least 150
        15 open nobody 0  ann bid 150 900 | ann Hold -150 +150
        ",
    );
}

#[test]
fn an_equal_bid_is_refused() {
    check(
        &TERMS,
        "
        15 open ann 200  bob bid 200 900 | a bid must be at least 250
        15 open ann 200  ann bid 200 900 | a bid must be at least 250
        ",
    );
}

#[test]
fn the_own_raise_costs_the_difference_and_needs_a_full_increment() {
    check(
        &TERMS,
        "
        15 open ann 200  ann bid 249 900 | a bid must be at least 250
        15 open ann 200  ann bid 300  99 | 100 is needed and 99 is available
        15 open ann 200  ann bid 300 100 | ann Hold -100 +100
        ",
    );
}

/// It needs no full increment, is no multiple, and costs no more than the price.
#[test]
fn a_bid_that_reaches_the_buy_now_price_buys_at_it() {
    let ladder = Ladder { increment: Increment::Fixed(won(100)), ..LADDER };
    let terms = Terms { ladder: Some(ladder), ..TERMS };
    check(
        &terms,
        "
        15 open bob 1850  ann bid 1899 1900 | a bid must be at least 1900
        15 open bob 1850  ann bid 1900 1899 | 1900 is needed and 1899 is available
        15 open bob 1850  ann bid 1900 1900 | bob Release +1850 -1850, ann Capture -1900 +0, seller Proceeds +1900 +0
        15 open bob 1850  ann bid 2001 1900 | bob Release +1850 -1850, ann Capture -1900 +0, seller Proceeds +1900 +0
        15 open bob 1850  seller bid 2001 0 | a seller cannot bid on their own auction
        ",
    );
}

#[test]
fn a_leader_who_buys_pays_with_the_own_hold_first() {
    check(
        &TERMS,
        "
        15 open ann 1500  ann buy -    399 | 400 is needed and 399 is available
        15 open ann 1500  ann buy -    400 | ann Capture -400 -1500, seller Proceeds +1900 +0
        15 open ann 1500  ann bid 2500 400 | ann Capture -400 -1500, seller Proceeds +1900 +0
        ",
    );
}

#[test]
fn buying_never_sells_below_the_current_price() {
    check(
        &TERMS,
        "
        15 open bob 1900  ann buy -    5000 | the auction cannot be bought now
        15 open bob 1950  ann buy -    5000 | the auction cannot be bought now
        15 open bob 1900  ann bid 1900 5000 | a bid must be at least 1950
        15 open bob 1900  ann bid 2000 5000 | bob Release +1900 -1900, ann Hold -2000 +2000
        ",
    );
}

#[test]
fn a_hold_of_more_than_the_price_gives_its_rest_back() {
    let leader = Leader { maximum: won(2500), hold: won(2500), ..led("ann", 150).leader.unwrap() };
    let proxy = Standing { leader: Some(leader), ..led("ann", 150) };
    let command = Command::Take { taker: wallet("ann"), limit: None };
    let verdict = decide(&TERMS, &proxy, &command, Funds::NONE, Micros::new(15));
    let moves = "ann Release +600 -600, ann Capture +0 -1900, seller Proceeds +1900 +0";
    assert_eq!(answer(verdict), moves);
}

#[test]
fn a_bid_off_the_grid_is_told_its_neighbours() {
    let (multiple_of, below, above) = (50.into(), 250.into(), Some(300.into()));
    let rejection = Rejection::NotOnIncrement { multiple_of, below, above };
    assert_eq!(bid(&TERMS, &led("ann", 200), won(299)), Err(rejection));
    let ladder = Ladder { multiple_of: Some(won(7)), ..LADDER };
    let sevens = Terms { ladder: Some(ladder), ask: None, ..TERMS };
    let top = bid(&sevens, &led("nobody", 0), Amount::MAX);
    assert!(matches!(top, Err(Rejection::NotOnIncrement { above: None, .. })));
}

#[test]
fn a_sold_auction_has_a_winner_and_holds_nothing() {
    let verdict = bid(&TERMS, &led("ann", 200), won(1900)).expect("a purchase");
    let sold = verdict.standing();
    let leader = Leader { wallet: WalletId::from(2), maximum: won(1900), hold: won(1900), seq: 3 };
    assert_eq!((sold.state, sold.leader), (AuctionState::Sold, Some(leader)));
    assert_eq!((sold.price, sold.hold()), (Some(won(1900)), None));
    assert_eq!((next_minimum(&TERMS, sold), buy_now_offer(&TERMS, sold)), (None, None));
}

#[test]
fn the_minimum_is_accepted_and_anything_less_is_not() {
    let first = led("nobody", 0);
    for (standing, least) in [(first, 150), (led("ann", 150), 200), (led("ann", 1850), 1900)] {
        assert_eq!(next_minimum(&TERMS, &standing), Some(won(least)));
        assert!(bid(&TERMS, &standing, won(least)).is_ok());
        for less in 1..least {
            let rejection = Rejection::BelowMinimum { minimum: least.into() };
            assert_eq!(bid(&TERMS, &standing, won(less)), Err(rejection));
        }
    }
}

#[test]
fn at_the_largest_amount_nobody_can_be_outbid() {
    let terms = Terms { ask: None, ..TERMS };
    let top = led("ann", Amount::MAX.minor());
    let rejection = Rejection::BelowMinimum { minimum: 1_000_000_000_000_050_i64.into() };
    assert_eq!(next_minimum(&terms, &top), None);
    assert_eq!(bid(&terms, &top, Amount::MAX), Err(rejection));
}

#[test]
fn the_end_that_counts_is_the_one_of_the_standing() {
    let shortened = Standing { ends_at: Micros::new(15), ..led("nobody", 0) };
    let at = shortened.ends_at.datetime();
    assert_eq!(bid(&TERMS, &shortened, won(150)), Err(Rejection::Ended { at }));
    let terms = Terms { ends_at: Micros::new(15), ..TERMS };
    assert!(bid(&terms, &led("nobody", 0), won(150)).is_ok());
}

/// Whoever may not bid is told so before anything about prices, and after everything about the auction.
#[test]
fn eligibility_comes_before_the_price() {
    let deposit = |held: i64| Eligibility::Deposit { required: 10.into(), held: held.into() };
    let told = |who: &str, eligibility, now| {
        let command = Command::Bid { bidder: wallet(who), maximum: won(1) };
        let party = Party { eligibility, ..Party::from(Funds::NONE) };
        decide(&TERMS, &led("bob", 200), &command, party, Micros::new(now)).expect_err("too low")
    };
    let why = Eligibility::Banned;
    assert!(matches!(told("ann", why, 20), Rejection::Ended { .. }));
    assert_eq!(told("seller", why, 15), Rejection::SellerCannotBid);
    for why in [Eligibility::Banned, Eligibility::NotOnList, deposit(9)] {
        assert_eq!(told("ann", why, 15), Rejection::NotEligible { why });
        let command = Command::Take { taker: wallet("ann"), limit: Some(won(1)) };
        let party = Party { eligibility: why, ..Party::from(Funds::NONE) };
        let taken = decide(&TERMS, &led("bob", 200), &command, party, Micros::new(15));
        assert_eq!(taken, Err(Rejection::NotEligible { why }));
    }
    for eligibility in [Eligibility::Eligible, deposit(10)] {
        assert_eq!(told("ann", eligibility, 15), Rejection::BelowMinimum { minimum: 250.into() });
    }
    assert_eq!(deposit(9).to_string(), "a deposit of 10 is required and 9 is held");
}
