//! By how much a bid must be higher than the price.

use super::table::Table;
use crate::money::{Amount, Rounding};

/// By how much the next bid must be higher, as a function of the current price.
///
/// Two laws, checked when an auction is opened: an increment is never zero, which keeps an equal bid out, and `price +
/// at(price)` never falls when the price rises, which keeps prices monotonic.
#[allow(clippy::large_enum_variant, reason = "inline, so that a decision allocates nothing")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Increment {
    /// The same at every price.
    Fixed(Amount),
    /// By price: from each threshold on, its increment. The first threshold is zero.
    Table(Table),
    /// A part of the price in hundredths of a percent, rounded **up**, and at least this much. Rounded down it would be
    /// nothing at small prices, and an equal bid would win.
    Percent { basis_points: u32, at_least: Amount },
}

impl Increment {
    /// That of bids that do not ascend: it says nothing.
    pub(crate) const NONE: Self = Self::Fixed(Amount::ONE);

    /// The increment at a price.
    pub(crate) fn at(&self, price: Amount) -> Amount {
        match *self {
            Self::Fixed(step) => step,
            Self::Table(table) => Amount::from_minor(table.at(price.minor()))
                .expect("a table of increments has amounts only: it was checked when it was made"),
            Self::Percent { basis_points, at_least } => price
                .part(basis_points, Rounding::Up)
                .expect("at most the whole of an amount is an amount")
                .max(at_least),
        }
    }

    /// The price and its increment, in minor units: it may be more than an [`Amount`] can be, and
    /// then nobody can bid it.
    pub(crate) fn after(&self, price: Amount) -> i64 {
        price
            .minor()
            .checked_add(self.at(price).minor())
            .expect("two amounts of at most 10^15 fit an i64 together")
    }

    /// Every increment there is, the least part of a percentage for all of it.
    pub(crate) fn steps(&self) -> impl Iterator<Item = i64> + use<> {
        let table = match *self {
            Self::Fixed(step) => Table::new([(0, step.minor())]),
            Self::Percent { at_least, .. } => Table::new([(0, at_least.minor())]),
            Self::Table(table) => Some(table),
        };
        let table = table.expect("one row is a table");
        (0..table.rows().len()).filter_map(move |row| table.rows().get(row).map(|row| row.1))
    }

    /// The first price at which `price + at(price)` would be less than just below it.
    pub(crate) fn falls_at(&self) -> Option<i64> {
        let Self::Table(table) = self else {
            return None;
        };
        let pairs = table.rows().iter().zip(table.rows().iter().skip(1));
        // Just below the threshold: threshold - 1 + before.
        let falls = pairs
            .map(|(before, at)| (before.1, at))
            .find(|(before, at)| before.checked_sub(1).is_some_and(|before| before > at.1));
        falls.map(|(_, at)| at.0)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use super::*;

    fn amount(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    #[test]
    fn a_fixed_increment_is_the_same_at_every_price() {
        let step = amount(50);
        let increment = Increment::Fixed(step);
        for price in [0, 150, 100_000] {
            assert_eq!(increment.at(amount(price)), step);
        }
        assert_eq!(increment.after(amount(150)), 200);
    }

    #[test]
    fn the_largest_price_has_a_next_one_that_is_no_amount() {
        let after = Increment::Fixed(Amount::MAX).after(Amount::MAX);
        assert_eq!(Amount::from_minor(after), None);
        let all = Increment::Percent { basis_points: 10_000, at_least: amount(1) };
        assert_eq!(all.after(Amount::MAX), 2 * Amount::MAX.minor());
    }

    /// A percentage of 5 with a floor of one unit: at 100 the next bid is 105, at 10 it is 11, in whole units.
    #[test]
    fn a_percentage_is_rounded_up() {
        let five = Increment::Percent { basis_points: 500, at_least: amount(1) };
        for (price, next) in [(0, 1), (1, 2), (10, 11), (20, 21), (21, 23), (100, 105)] {
            assert_eq!(five.after(amount(price)), next, "{price}");
        }
    }

    #[test]
    fn a_table_that_falls_is_found() {
        let table = |rows: &[(i64, i64)]| Increment::Table(Table::new(rows.to_vec()).unwrap());
        assert_eq!(table(&[(0, 5), (100, 25)]).falls_at(), None);
        // 99 + 5 and 100 + 4 are the same: it does not fall.
        assert_eq!(table(&[(0, 5), (100, 4)]).falls_at(), None);
        assert_eq!(table(&[(0, 5), (100, 3)]).falls_at(), Some(100));
    }
}
