//! The buyer's premium and the seller's fee: the house's share of a sale.

use crate::money::{Amount, Rounding};

/// A part of the hammer price in hundredths of a percent, rounded **down**, between an optional minimum and an optional
/// cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) basis_points: u32,
    pub(crate) at_least: Amount,
    pub(crate) at_most: Option<Amount>,
}

impl Share {
    /// Nothing.
    pub(crate) const NONE: Self = Self { basis_points: 0, at_least: Amount::ZERO, at_most: None };

    /// The largest part: all of it.
    pub(crate) const WHOLE: u32 = 10_000;

    /// What it is of a hammer price. It never falls when the price rises.
    pub(crate) fn of(&self, hammer: Amount) -> Amount {
        let part = hammer
            .part(self.basis_points, Rounding::Down)
            .expect("at most the whole of an amount is an amount");
        let part = part.max(self.at_least);
        self.at_most.map_or(part, |most| part.min(most))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use super::*;

    fn amount(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    /// Premium 10 % on 100 makes 110; 25 % on 10,000 makes 12,500; 15 % capped at 500.
    #[test]
    fn published_premiums() {
        let percent = |percent: u32, at_most| Share {
            basis_points: percent * 100,
            at_least: Amount::ZERO,
            at_most,
        };
        assert_eq!(percent(10, None).of(amount(100)), amount(10));
        assert_eq!(percent(25, None).of(amount(10_000)), amount(2_500));
        let capped = percent(15, Some(amount(500)));
        assert_eq!(capped.of(amount(3_000)), amount(450));
        assert_eq!(capped.of(amount(10_000)), amount(500));
    }

    #[test]
    fn a_share_is_rounded_down_and_never_falls() {
        let share = Share { basis_points: 1_250, at_least: amount(3), at_most: Some(amount(40)) };
        let mut last = Amount::ZERO;
        for hammer in 1..1_000 {
            let part = share.of(amount(hammer));
            assert_eq!(part.minor(), (hammer * 1_250 / 10_000).clamp(3, 40));
            assert!(last <= part);
            last = part;
        }
    }
}
