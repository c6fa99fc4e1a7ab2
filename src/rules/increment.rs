//! By how much a bid must be higher than the price.

use crate::money::Amount;

/// By how much the next bid must be higher, as a function of the current price.
///
/// Whatever is added here (tables by price, percentages) must keep `price + at(price)` from falling
/// when the price rises, and `at(price)` from being zero: the first keeps prices monotonic, the
/// second keeps an equal bid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Increment {
    /// The same at every price.
    Fixed(Amount),
}

impl Increment {
    /// The increment at a price.
    pub(crate) const fn at(&self, _price: Amount) -> Amount {
        match *self {
            Self::Fixed(step) => step,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_increment_is_the_same_at_every_price() {
        let step = Amount::from_minor(50).unwrap();
        let increment = Increment::Fixed(step);
        for price in [0, 150, 100_000] {
            assert_eq!(increment.at(Amount::from_minor(price).unwrap()), step);
        }
        assert_eq!(increment.after(Amount::from_minor(150).unwrap()), 200);
    }

    #[test]
    fn the_largest_price_has_a_next_one_that_is_no_amount() {
        let after = Increment::Fixed(Amount::MAX).after(Amount::MAX);
        assert_eq!(Amount::from_minor(after), None);
    }
}
