//! Random auctions: what an auction knows of its bids is what a recount of all of them says, and no unit of money is made or
//! lost, whatever happens in whichever order.

use std::collections::BTreeMap;

use super::*;
use crate::id::WalletId;
use crate::money::{Amount, Currency};

/// A sequence of numbers that its seed gives again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap() % sides
    }

    fn amount(&mut self, most: i64) -> Amount {
        won(self.roll(most) + 1)
    }

    fn one_in(&mut self, sides: i64) -> bool {
        self.roll(sides) == 0
    }
}

fn won(minor: i64) -> Amount {
    Amount::from_minor(minor).unwrap()
}

const END: i64 = 100;
const SELLER: i64 = 0;

/// What an auction is taken at.
#[derive(Clone, Copy)]
enum Asked {
    /// A fixed price, or a buy-now price where there are bids.
    Fixed,
    Linear,
    Steps,
}

/// Terms that may be opened.
fn terms(pricing: Option<Pricing>, asked: Asked, dice: &mut Dice) -> Terms {
    loop {
        let ladder = pricing.map(|pricing| Ladder {
            start_price: dice.amount(20),
            increment: match dice.roll(3) {
                0 => Increment::Fixed(dice.amount(5)),
                1 => Increment::Table(Table::new([(0, 1), (20, 3), (40, 7)]).unwrap()),
                _ => Increment::Percent { basis_points: 750, at_least: won(1) },
            },
            multiple_of: None,
            pricing,
        });
        let price = match asked {
            Asked::Fixed => AskPrice::Constant(dice.amount(90)),
            Asked::Linear => AskPrice::Linear { start: dice.amount(90), floor: dice.amount(20) },
            Asked::Steps => {
                let (first, second) = (30 + dice.roll(60), 10 + dice.roll(20));
                let rows = [(0, first), (dice.roll(50) + 1, second), (60, 1 + dice.roll(9))];
                AskPrice::Steps(Table::new(rows).unwrap())
            }
        };
        let until = match dice.roll(3) {
            _ if ladder.is_none() => Availability::Always,
            0 => Availability::Always,
            1 => Availability::UntilFirstBid,
            _ => Availability::UntilPriceReaches,
        };
        let share = |dice: &mut Dice| Share {
            basis_points: u32::try_from(dice.roll(3_000)).unwrap(),
            at_least: won(dice.roll(3)),
            at_most: dice.one_in(3).then(|| won(5)),
        };
        let asks = ladder.is_none() || dice.one_in(3);
        let open = ladder.is_some();
        let terms = Terms {
            currency: Currency::KRW,
            ladder,
            ask: asks.then_some(Ask { price, until }),
            reserve: (open && dice.one_in(2)).then(|| dice.amount(60)),
            acceptance_window: if open { 10 * dice.roll(2) } else { 0 },
            soft_close: (open && dice.one_in(2))
                .then_some(SoftClose { window: 10, at_most: Some(30) }),
            premium: share(dice),
            fee: share(dice),
            starts_at: Micros::new(0),
            ends_at: Micros::new(END),
        };
        if let Ok(terms) = terms.validated() {
            return terms;
        }
    }
}

/// The standing by a recount: everybody's best bid, ranked by amount and then by age.
fn recounted(
    terms: &Terms,
    standing: &Standing,
    bids: &[(i64, Amount, i64)],
    before: Option<Amount>,
) {
    let Some(ladder) = &terms.ladder else { return };
    let mut best: BTreeMap<i64, (Amount, i64)> = BTreeMap::new();
    for (wallet, maximum, seq) in bids {
        let one = best.entry(*wallet).or_insert((*maximum, *seq));
        if one.0 < *maximum {
            *one = (*maximum, *seq);
        }
    }
    let mut ranks: Vec<_> = best.into_iter().collect();
    ranks.sort_by_key(|(_, (maximum, seq))| (std::cmp::Reverse(*maximum), *seq));
    let Some((wallet, (top, seq))) = ranks.first().copied() else {
        assert_eq!((standing.leader, standing.price), (None, None));
        return;
    };
    let leader = standing.leader.unwrap();
    assert_eq!((leader.wallet.get(), leader.maximum, leader.seq), (wallet, top, seq));
    let runner_up = ranks.get(1).map(|(_, (maximum, _))| *maximum);
    assert_eq!(standing.runner_up_maximum, runner_up);
    let price = match (ladder.pricing, runner_up) {
        (Pricing::FirstPrice | Pricing::SecondPrice, _) => unreachable!("these ascend"),
        (Pricing::OwnBid, _) => top.minor(),
        (Pricing::Automatic, None) => ladder.start_price.minor(),
        (Pricing::Automatic, Some(beaten)) => {
            ladder.start_price.minor().max(top.minor().min(ladder.increment.after(beaten)))
        }
    };
    let reserve = standing.reserve.filter(|reserve| *reserve <= top).map_or(0, Amount::minor);
    let price = price.max(reserve).max(before.map_or(0, Amount::minor));
    assert_eq!(standing.price, Some(won(price)));
}

fn command(dice: &mut Dice, now: Micros) -> (i64, Command) {
    let wallet = dice.roll(5);
    let user = Some(WalletId::from(wallet));
    let by = if dice.one_in(2) { Actor::House } else { Actor::User(user) };
    let command = match dice.roll(24) {
        0 => Command::Take { taker: user, limit: None },
        1 | 2 => Command::Take { taker: user, limit: Some(dice.amount(90)) },
        3 => Command::LowerReserve { by, reserve: dice.amount(60) },
        4 => Command::Extend { by, ends_at: now.plus(dice.roll(150)) },
        5 => Command::AcceptBelowReserve { by },
        6 if dice.one_in(3) => Command::Cancel { by },
        7 if dice.one_in(3) => Command::CloseEarly { by },
        8 => Command::Settle,
        _ => Command::Bid { bidder: user, maximum: dice.amount(90) },
    };
    (wallet, command)
}

/// Everybody's money: available and held.
type Purses = BTreeMap<i64, (i64, i64)>;

fn move_money(purses: &mut Purses, verdict: &Verdict) {
    for one in verdict.moves() {
        let purse = purses.get_mut(&one.wallet.get()).unwrap();
        purse.0 += one.available_delta;
        purse.1 += one.held_delta;
        assert!(purse.0 >= 0 && purse.1 >= 0, "{verdict:?}");
    }
}

fn play(pricing: Option<Pricing>, asked: Asked, seed: u64) {
    let mut dice = Dice(seed);
    let terms = terms(pricing, asked, &mut dice);
    let mut standing = Standing::opened(SELLER.into(), &terms, Micros::new(0));
    let mut purses: Purses = (0..5).map(|wallet| (wallet, (150, 0))).collect();
    let (mut bids, mut house, mut now) = (Vec::new(), 0, 0);
    for _ in 0..12 {
        now += dice.roll(20);
        let at = Micros::new(now);
        let (wallet, command) = command(&mut dice, at);
        let funds = Funds { available: purses[&wallet].0 };
        let Ok(verdict) = decide(&terms, &standing, &command, funds, at) else { continue };
        move_money(&mut purses, &verdict);
        let before = standing.price;
        standing = *verdict.standing();
        if let Some((_, sale)) = verdict.sale() {
            let share = sale.premium.minor() + sale.fee.minor();
            assert_eq!(sale.total().minor(), sale.proceeds().minor() + share);
            house += share;
        }
        if let (Verdict::Bid { .. }, Command::Bid { maximum, .. }) = (&verdict, command) {
            bids.push((wallet, maximum, standing.seq));
        }
        if standing.state == AuctionState::Open {
            recounted(&terms, &standing, &bids, before);
        }
    }
    // Whatever is left is settled, after any end and any window.
    let late = Micros::new(10_000);
    if let Ok(verdict) = decide(&terms, &standing, &Command::Settle, Funds::NONE, late) {
        move_money(&mut purses, &verdict);
        house += verdict.sale().map_or(0, |(_, sale)| sale.house_share().minor());
        standing = *verdict.standing();
    }
    assert_eq!(standing.hold(), None);
    assert!(purses.values().all(|purse| purse.1 == 0), "{purses:?}");
    assert_eq!(purses.values().map(|purse| purse.0).sum::<i64>() + house, 5 * 150);
}

/// A sealed auction: whoever wins and the price are what a sort of all bids says, and everybody else has the money back.
fn play_sealed(pricing: Pricing, seed: u64) {
    let mut dice = Dice(seed);
    let ladder = Ladder {
        start_price: dice.amount(20),
        increment: Increment::NONE,
        multiple_of: None,
        pricing,
    };
    let share = |dice: &mut Dice| Share {
        basis_points: u32::try_from(dice.roll(3_000)).unwrap(),
        at_least: won(dice.roll(3)),
        at_most: dice.one_in(3).then(|| won(5)),
    };
    let terms = Terms {
        currency: Currency::KRW,
        ladder: Some(ladder),
        ask: None,
        reserve: dice.one_in(2).then(|| dice.amount(60)),
        acceptance_window: 10 * dice.roll(2),
        soft_close: None,
        premium: share(&mut dice),
        fee: share(&mut dice),
        starts_at: Micros::new(0),
        ends_at: Micros::new(END),
    };
    let terms = terms.validated().unwrap();
    let mut standing = Standing::opened(SELLER.into(), &terms, Micros::new(0));
    let mut purses: Purses = (0..5).map(|wallet| (wallet, (150, 0))).collect();
    let mut sealed: BTreeMap<i64, (Amount, i64)> = BTreeMap::new();
    let (mut house, mut now) = (0, 0);
    let mut called_off = false;
    for _ in 0..12 {
        now += dice.roll(12);
        let (wallet, at) = (dice.roll(5), Micros::new(now));
        let party = Party {
            sealed_bid: sealed.get(&wallet).map(|own| own.0),
            sealed_bids: !sealed.is_empty(),
            ..Party::from(Funds { available: purses[&wallet].0 })
        };
        let user = Some(WalletId::from(wallet));
        let command = match dice.roll(40) {
            0 => Command::Cancel { by: Actor::House },
            1 => Command::CloseEarly { by: Actor::House },
            2 => Command::Take { taker: user, limit: None },
            3 => Command::LowerReserve { by: Actor::House, reserve: dice.amount(60) },
            _ => Command::Bid { bidder: user, maximum: dice.amount(90) },
        };
        let Ok(verdict) = decide(&terms, &standing, &command, party, at) else { continue };
        move_money(&mut purses, &verdict);
        standing = *verdict.standing();
        assert_eq!((standing.leader, standing.price), (None, None), "nobody sees a bid");
        if let (Verdict::Sealed { .. }, Command::Bid { maximum, .. }) = (&verdict, command) {
            sealed.insert(wallet, (maximum, standing.seq));
        }
        called_off |= matches!(command, Command::Cancel { .. });
    }
    let hold = |maximum: Amount| terms.with_premium(maximum).unwrap();
    let mut ranks: Vec<_> = sealed.into_iter().collect();
    ranks.sort_by_key(|(_, (maximum, seq))| (std::cmp::Reverse(*maximum), *seq));
    let late = Micros::new(10_000);
    let losers = match ranks.first() {
        Some((wallet, (maximum, seq))) if !called_off => {
            let (wallet, maximum, seq) = (WalletId::from(*wallet), *maximum, *seq);
            let leader = Leader { wallet, maximum, hold: hold(maximum), seq };
            let runner_up = ranks.get(1).map(|(_, (maximum, _))| *maximum);
            standing = standing.opened_bids(&ladder, leader, runner_up);
            &ranks[1..]
        }
        _ => &ranks[..],
    };
    for (index, (wallet, (maximum, _))) in losers.iter().enumerate() {
        let purse = purses.get_mut(wallet).unwrap();
        *purse = (purse.0 + hold(*maximum).minor(), purse.1 - hold(*maximum).minor());
        standing = standing.released(index + 1 < losers.len(), late);
    }
    if let Ok(verdict) = decide(&terms, &standing, &Command::Settle, Funds::NONE, late) {
        move_money(&mut purses, &verdict);
        let sale = verdict.sale().map(|(buyer, sale)| (buyer.get(), sale.price));
        house += verdict.sale().map_or(0, |(_, sale)| sale.house_share().minor());
        let best = ranks.first().copied();
        let best = best.filter(|(_, (top, _))| standing.reserve.is_none_or(|least| least <= *top));
        let expected = best.map(|(wallet, (top, _))| {
            let second = ranks.get(1).map_or(Amount::ZERO, |(_, (second, _))| *second);
            let least = standing.reserve.unwrap_or(Amount::ZERO).max(ladder.start_price);
            (wallet, if pricing == Pricing::FirstPrice { top } else { second.max(least) })
        });
        assert_eq!(sale, expected);
        standing = *verdict.standing();
    }
    assert_eq!(standing.hold(), None);
    assert!(purses.values().all(|purse| purse.1 == 0), "{purses:?}");
    assert_eq!(purses.values().map(|purse| purse.0).sum::<i64>() + house, 5 * 150);
}

/// A failure is told with its seed.
fn many(pricing: Option<Pricing>, asked: Asked) {
    for seed in 0..100_000 {
        let played = std::panic::catch_unwind(|| match pricing {
            Some(pricing) if pricing.is_sealed() => play_sealed(pricing, seed),
            pricing => play(pricing, asked, seed),
        });
        assert!(played.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_hundred_thousand_plain_auctions() {
    many(Some(Pricing::OwnBid), Asked::Fixed);
}

#[test]
fn a_hundred_thousand_auctions_with_automatic_bidding() {
    many(Some(Pricing::Automatic), Asked::Fixed);
}

#[test]
fn a_hundred_thousand_sealed_auctions_at_the_first_price() {
    many(Some(Pricing::FirstPrice), Asked::Fixed);
}

#[test]
fn a_hundred_thousand_sealed_auctions_at_the_second_price() {
    many(Some(Pricing::SecondPrice), Asked::Fixed);
}

#[test]
fn a_hundred_thousand_fixed_prices() {
    many(None, Asked::Fixed);
}

#[test]
fn a_hundred_thousand_dutch_auctions() {
    many(None, Asked::Linear);
}

#[test]
fn a_hundred_thousand_dutch_auctions_in_steps() {
    many(None, Asked::Steps);
}

/// The published examples, without a database.
#[test]
fn published_examples_of_automatic_bidding() {
    let folder = std::env::var("AUCTION_LEDGER_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors").to_owned());
    let text = std::fs::read_to_string(format!("{folder}/proxy_bidding.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    for case in &cases {
        replay(case);
    }
}

fn minor(value: &serde_json::Value) -> i64 {
    let amount: rust_decimal::Decimal = value.as_str().unwrap().parse().unwrap();
    i64::try_from((amount * rust_decimal::Decimal::ONE_HUNDRED).normalize()).unwrap()
}

fn replay(case: &serde_json::Value) {
    let rows = case["increments"].as_array().unwrap();
    let rows = rows.iter().map(|row| (minor(&row[0]), minor(&row[1])));
    let ladder = Ladder {
        start_price: won(minor(&case["start_price"])),
        increment: Increment::Table(Table::new(rows).unwrap()),
        multiple_of: None,
        pricing: Pricing::Automatic,
    };
    let terms = Terms {
        currency: Currency::USD,
        ladder: Some(ladder),
        ask: None,
        reserve: (!case["reserve"].is_null()).then(|| won(minor(&case["reserve"]))),
        acceptance_window: 0,
        soft_close: None,
        premium: Share::NONE,
        fee: Share::NONE,
        starts_at: Micros::new(0),
        ends_at: Micros::new(END),
    };
    let terms = terms.validated().unwrap();
    let mut standing = Standing::opened(SELLER.into(), &terms, Micros::new(0));
    let mut names: Vec<&str> = Vec::new();
    let bids = case["bids"].as_array().unwrap();
    for (bid, expected) in bids.iter().zip(case["expect"].as_array().unwrap()) {
        let name = bid[0].as_str().unwrap();
        let known = names.iter().position(|known| *known == name);
        let wallet = known.unwrap_or(names.len());
        if known.is_none() {
            names.push(name);
        }
        let bidder = Some(WalletId::from(i64::try_from(wallet).unwrap() + 1));
        let command = Command::Bid { bidder, maximum: won(minor(&bid[1])) };
        let funds = Funds { available: i64::MAX };
        let said = match decide(&terms, &standing, &command, funds, Micros::new(1)) {
            Ok(verdict) => {
                standing = *verdict.standing();
                let leader = usize::try_from(standing.leader.unwrap().wallet.get() - 1).unwrap();
                (names[leader].to_owned(), standing.price.unwrap().minor())
            }
            Err(Rejection::BelowMinimum { minimum }) => {
                ("BelowMinimum".to_owned(), minor(&minimum.to_string().into()))
            }
            Err(Rejection::NotAboveOwnMaximum) => ("NotAboveOwnMaximum".to_owned(), 0),
            Err(other) => (other.to_string(), 0),
        };
        let text = |name: &str| expected[name].as_str().unwrap_or_default().to_owned();
        let amount = |name: &str| if expected[name].is_null() { 0 } else { minor(&expected[name]) };
        let wanted = match expected["rejected"].as_str() {
            None => (text("leader"), amount("price")),
            Some(why) => (why.to_owned(), amount("minimum")),
        };
        assert_eq!(said, wanted, "{}: {bid}", case["name"]);
    }
}
