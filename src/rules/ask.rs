//! The ask: a price at which somebody can take the auction at once. Constant, it is the buy-now price; falling, it is the
//! clock of a Dutch auction.

use super::table::Table;
use super::{AuctionState, Micros, Standing, Terms};
use crate::money::Amount;

/// A price to take the auction at, and how long it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) price: AskPrice,
    pub(crate) until: Availability,
}

/// What the taker pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "inline, so that a decision allocates nothing")]
pub(crate) enum AskPrice {
    /// The same at every instant.
    Constant(Amount),
    /// From `start` at the start of the auction to `floor` at its end, in a line.
    Linear { start: Amount, floor: Amount },
    /// From each span after the start on, its price; the first span is zero.
    Steps(Table),
}

/// How long a constant price is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Availability {
    /// As long as the auction is open. A bid at or above the price buys, so no bid ever passes it.
    Always,
    /// Until somebody bids.
    UntilFirstBid,
    /// Until the leader's maximum is at or above the reserve.
    UntilReserveMet,
    /// Until the price of the auction reaches it.
    UntilPriceReaches,
}

impl Ask {
    /// The price at the start: no later one is higher.
    pub(crate) fn first(&self) -> Amount {
        match self.price {
            AskPrice::Constant(price) => price,
            AskPrice::Linear { start, .. } => start,
            AskPrice::Steps(table) => Amount::from_minor(table.at(0)).unwrap_or(Amount::ZERO),
        }
    }

    /// The buy-now price, whether it is offered or not.
    pub(crate) fn constant(&self) -> Option<Amount> {
        match self.price {
            AskPrice::Constant(price) => Some(price),
            AskPrice::Linear { .. } | AskPrice::Steps(_) => None,
        }
    }
}

impl AskPrice {
    /// The price on the clock at an instant.
    ///
    /// In a line it is `ceil((start * remaining + floor * elapsed) / duration)` in minor units: it reaches the floor at the
    /// end and not before.
    fn at(&self, starts_at: Micros, ends_at: Micros, now: Micros) -> Amount {
        let span = |from: Micros, to: Micros| {
            i128::from(to.get()).checked_sub(i128::from(from.get())).map_or(0, |span| span.max(0))
        };
        let elapsed = span(starts_at, now);
        match *self {
            Self::Constant(price) => price,
            Self::Steps(table) => {
                let price = table.at(i64::try_from(elapsed).unwrap_or(i64::MAX));
                Amount::from_minor(price).expect("a clock has amounts only: it was checked")
            }
            Self::Linear { start, floor } => {
                let duration = span(starts_at, ends_at).max(1);
                let elapsed = elapsed.min(duration);
                let fall = i128::from(start.minor().saturating_sub(floor.minor()));
                // start - floor(fall * elapsed / duration): the same as the formula, and two factors fit an i128.
                let fallen = fall.checked_mul(elapsed).and_then(|all| all.checked_div(duration));
                let fallen = fallen.and_then(|fallen| i64::try_from(fallen).ok());
                fallen
                    .and_then(|fallen| start.minor().checked_sub(fallen))
                    .and_then(Amount::from_minor)
                    .expect("the clock is between its start and its floor")
            }
        }
    }
}

/// The price at which the auction can be taken at an instant, as things stand; `None` if it is not offered. Whether the
/// auction has begun or ended is not asked.
pub(crate) fn ask_at(terms: &Terms, standing: &Standing, now: Micros) -> Option<Amount> {
    let ask = terms.ask.filter(|_| standing.state == AuctionState::Open)?;
    let price = ask.price.at(terms.starts_at, terms.ends_at, now);
    let offered = match ask.until {
        Availability::Always => true,
        Availability::UntilFirstBid => standing.leader.is_none(),
        Availability::UntilReserveMet => !standing.meets_reserve(),
        // "No bids" is less than any price.
        Availability::UntilPriceReaches => standing.price < Some(price),
    };
    // Never below the current price, whatever the terms say; and nobody can pay nothing.
    let below = standing.price.is_some_and(|current| price < current);
    (offered && !below && !price.is_zero()).then_some(price)
}

/// The buy-now price, while it is offered.
pub(crate) fn buy_now_offer(terms: &Terms, standing: &Standing) -> Option<Amount> {
    let constant = terms.ask.is_some_and(|ask| ask.constant().is_some());
    ask_at(terms, standing, terms.starts_at).filter(|_| constant)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use super::*;

    fn amount(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    fn clock(price: AskPrice, duration: i64, elapsed: i64) -> i64 {
        let start = 1_700_000_000_000_000;
        let (starts_at, ends_at) = (Micros::new(start), Micros::new(start + duration));
        price.at(starts_at, ends_at, Micros::new(start + elapsed)).minor()
    }

    /// 1,000 to 0 over 3,600 seconds, read every 360 seconds: 1000, 900, 800 … 100, 0.
    #[test]
    fn published_dutch_clock() {
        let price = AskPrice::Linear { start: amount(1_000), floor: Amount::ZERO };
        let second = 1_000_000;
        for step in 0..=10 {
            assert_eq!(clock(price, 3_600 * second, step * 360 * second), 1_000 - 100 * step);
        }
        assert_eq!(clock(price, 3_600 * second, 3_600 * second - 1), 1);
    }

    #[test]
    fn a_line_is_the_published_formula_rounded_up() {
        let (start, floor, duration) = (997_i64, 13_i64, 7_919_i64);
        let price = AskPrice::Linear { start: amount(start), floor: amount(floor) };
        for elapsed in 0..=duration {
            let product = start * (duration - elapsed) + floor * elapsed;
            let expected = (product + duration - 1) / duration;
            assert_eq!(clock(price, duration, elapsed), expected, "{elapsed}");
        }
        let largest = AskPrice::Linear { start: Amount::MAX, floor: Amount::ZERO };
        assert_eq!(clock(largest, i64::MAX / 2, i64::MAX / 4), 500_000_000_000_001);
    }

    #[test]
    fn a_clock_of_steps_stands_between_them() {
        let price = AskPrice::Steps(Table::new([(0, 100), (10, 70), (20, 40)]).unwrap());
        for (elapsed, expected) in [(0, 100), (9, 100), (10, 70), (19, 70), (20, 40), (29, 40)] {
            assert_eq!(clock(price, 30, elapsed), expected, "{elapsed}");
        }
    }
}
