//! What an auction promised when it opened.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::Increment;
use crate::money::{Amount, Currency};

/// An instant: microseconds since the first second of 1970, UTC. What is finer is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Micros(i64);

impl Micros {
    pub(crate) const fn new(micros: i64) -> Self {
        Self(micros)
    }

    pub(crate) const fn get(self) -> i64 {
        self.0
    }

    /// The instant for people. What the calendar cannot name, 260,000 years from now, is its last
    /// instant.
    pub(crate) fn datetime(self) -> DateTime<Utc> {
        let last = if self.0 < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        DateTime::from_timestamp_micros(self.0).unwrap_or(last)
    }
}

impl From<DateTime<Utc>> for Micros {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_micros())
    }
}

/// What an auction promised when it opened; frozen once a bid exists.
///
/// Built as a literal. New terms go through [`Terms::validated`]; terms read from a row were
/// validated when they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The currency of every amount of the auction.
    pub(crate) currency: Currency,
    /// The least that the first bid can be.
    pub(crate) start_price: Amount,
    /// By how much every later bid must be higher.
    pub(crate) increment: Increment,
    /// Bids must be multiples of it, counted from zero.
    pub(crate) multiple_of: Option<Amount>,
    /// What ends the auction at once, as long as the price has not reached it.
    pub(crate) buy_now_price: Option<Amount>,
    /// From this instant on the auction is open.
    pub(crate) starts_at: Micros,
    /// From this instant on it has ended, unless late bids moved the end: see `Standing::ends_at`.
    pub(crate) ends_at: Micros,
}

impl Terms {
    /// Checks terms before an auction is opened with them.
    ///
    /// Multiples are counted from zero, so the start price, the increment and the buy-now price
    /// must be multiples too. Then every price is one, and so is every minimum that a bidder is
    /// told.
    ///
    /// # Errors
    ///
    /// The variants of [`TermsError`], in their order.
    pub(crate) fn validated(self) -> Result<Self, TermsError> {
        let decimal = |amount| self.currency.decimal(amount);
        if self.ends_at <= self.starts_at {
            let (starts_at, ends_at) = (self.starts_at.datetime(), self.ends_at.datetime());
            return Err(TermsError::EndNotAfterStart { starts_at, ends_at });
        }
        if self.start_price.is_zero() {
            return Err(TermsError::ZeroStartPrice);
        }
        let Increment::Fixed(increment) = self.increment;
        if increment.is_zero() {
            return Err(TermsError::ZeroIncrement);
        }
        if let Some(buy_now) = self.buy_now_price.filter(|buy_now| *buy_now <= self.start_price) {
            let (start_price, buy_now_price) = (decimal(self.start_price), decimal(buy_now));
            return Err(TermsError::BuyNowNotAboveStart { start_price, buy_now_price });
        }
        let Some(multiple_of) = self.multiple_of else {
            return Ok(self);
        };
        if multiple_of.is_zero() {
            return Err(TermsError::ZeroMultiple);
        }
        let off_grid = |amount: Amount| self.excess(amount.minor()) != 0;
        let multiple_of = decimal(multiple_of);
        if off_grid(self.start_price) {
            return Err(TermsError::StartPriceOffGrid {
                start_price: decimal(self.start_price),
                multiple_of,
            });
        }
        if off_grid(increment) {
            return Err(TermsError::IncrementOffGrid {
                increment: decimal(increment),
                multiple_of,
            });
        }
        if let Some(buy_now) = self.buy_now_price.filter(|buy_now| off_grid(*buy_now)) {
            return Err(TermsError::BuyNowOffGrid { buy_now_price: decimal(buy_now), multiple_of });
        }
        Ok(self)
    }

    /// The multiples just below and just above an amount, in minor units; `None` if the amount
    /// needs none or is one.
    pub(crate) fn neighbours(&self, minor: i64) -> Option<(i64, i64)> {
        let step = self.multiple_of?.minor();
        let excess = self.excess(minor);
        let below = minor.checked_sub(excess)?;
        (excess != 0).then_some((below, below.checked_add(step)?))
    }

    /// The amount itself if it may be bid, else the next higher one that may, in minor units.
    pub(crate) fn round_up(&self, minor: i64) -> i64 {
        self.neighbours(minor).map_or(minor, |(_, above)| above)
    }

    /// By how much an amount is more than a multiple.
    fn excess(&self, minor: i64) -> i64 {
        self.multiple_of.and_then(|step| minor.checked_rem(step.minor())).unwrap_or(0)
    }
}

/// Why an auction cannot be opened with these terms. The variants are in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// No end was given.
    #[error("an auction needs an end")]
    MissingEnd,
    /// The end is not later than the start, so no bid could ever count.
    #[error("the end {ends_at} is not after the start {starts_at}")]
    EndNotAfterStart {
        /// When the auction would open.
        starts_at: DateTime<Utc>,
        /// When it would end.
        ends_at: DateTime<Utc>,
    },
    /// The start price is zero, and a bid is always more than zero.
    #[error("the start price must be more than zero")]
    ZeroStartPrice,
    /// The increment is zero, so that an equal bid would win.
    #[error("the increment must be more than zero")]
    ZeroIncrement,
    /// The buy-now price is not higher than the start price, so that the first bid would buy.
    #[error("the buy-now price {buy_now_price} is not above the start price {start_price}")]
    BuyNowNotAboveStart {
        /// The start price.
        start_price: Decimal,
        /// The buy-now price.
        buy_now_price: Decimal,
    },
    /// Bids would have to be multiples of zero.
    #[error("the multiple that bids must be of must be more than zero")]
    ZeroMultiple,
    /// The start price is not a multiple itself, so that it could not be bid.
    #[error("the start price {start_price} is not a multiple of {multiple_of}")]
    StartPriceOffGrid {
        /// The start price.
        start_price: Decimal,
        /// What bids must be multiples of.
        multiple_of: Decimal,
    },
    /// The increment is not a multiple, so that the least legal bid could not be bid.
    #[error("the increment {increment} is not a multiple of {multiple_of}")]
    IncrementOffGrid {
        /// The increment.
        increment: Decimal,
        /// What bids must be multiples of.
        multiple_of: Decimal,
    },
    /// The buy-now price is not a multiple, so that it could not be bid.
    #[error("the buy-now price {buy_now_price} is not a multiple of {multiple_of}")]
    BuyNowOffGrid {
        /// The buy-now price.
        buy_now_price: Decimal,
        /// What bids must be multiples of.
        multiple_of: Decimal,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn won(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    fn valid() -> Terms {
        Terms {
            currency: Currency::KRW,
            start_price: won(150),
            increment: Increment::Fixed(won(50)),
            multiple_of: Some(won(50)),
            buy_now_price: Some(won(1900)),
            starts_at: Micros::new(0),
            ends_at: Micros::new(1),
        }
    }

    /// Each row mends one fault of the row before.
    #[test]
    fn terms_are_refused_in_order() {
        let (zero, now) = (Amount::ZERO, Micros::new(0).datetime());
        let multiple_of = Decimal::from(50);
        let rows = [
            (
                (zero, zero, 0, zero, 0),
                TermsError::EndNotAfterStart { starts_at: now, ends_at: now },
            ),
            ((zero, zero, 0, zero, 1), TermsError::ZeroStartPrice),
            ((won(149), zero, 0, zero, 1), TermsError::ZeroIncrement),
            (
                (won(149), won(49), 149, zero, 1),
                TermsError::BuyNowNotAboveStart {
                    start_price: 149.into(),
                    buy_now_price: 149.into(),
                },
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
        for ((start_price, increment, buy_now, multiple, ends_at), error) in rows {
            let terms = Terms {
                start_price,
                increment: Increment::Fixed(increment),
                multiple_of: Some(multiple),
                buy_now_price: Some(won(buy_now)),
                ends_at: Micros::new(ends_at),
                ..valid()
            };
            assert_eq!(terms.validated(), Err(error));
        }
        assert_eq!(valid().validated(), Ok(valid()));
    }

    #[test]
    fn multiples_are_counted_from_zero_and_only_where_asked() {
        assert_eq!(valid().neighbours(120), Some((100, 150)));
        assert_eq!(valid().neighbours(150), None);
        assert_eq!(valid().round_up(151), 200);
        let free = Terms { multiple_of: None, start_price: won(149), ..valid() };
        assert_eq!((free.neighbours(120), free.round_up(151)), (None, 151));
        assert_eq!(free.validated(), Ok(free));
    }

    #[test]
    fn instants_are_cut_to_microseconds_and_never_panic() {
        let fine = DateTime::from_timestamp(1, 1_999).unwrap();
        assert_eq!(Micros::from(fine), Micros::new(1_000_001));
        assert_eq!(Micros::new(i64::MAX).datetime(), DateTime::<Utc>::MAX_UTC);
        assert_eq!(Micros::new(i64::MIN).datetime(), DateTime::<Utc>::MIN_UTC);
    }
}
