//! Why an auction cannot be opened with given terms.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

/// Why an auction cannot be opened with these terms. The variants are in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// No end was given.
    #[error("an auction needs an end")]
    MissingEnd,
    /// A setting was given to an auction whose bids cannot have it: it takes none, or they are sealed.
    #[error("{what} needs bids, and most settings need them open and ascending")]
    NeedsBids {
        /// The setting.
        what: &'static str,
    },
    /// A setting was given that says nothing without another one, which was not.
    #[error("{what} needs {needs}")]
    NeedsSetting {
        /// The setting that was given.
        what: &'static str,
        /// The setting that is missing.
        needs: &'static str,
    },
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
    /// A percentage of the price is not between 0.01 % and 100 %.
    #[error("an increment of {basis_points} basis points is not between 1 and 10000")]
    PercentageOutOfRange {
        /// The percentage, in hundredths of a percent.
        basis_points: u32,
    },
    /// A table of increments or of clock prices has no row, more than 16, or thresholds that do not ascend from zero.
    #[error("a table needs 1 to 16 rows, with thresholds ascending from zero")]
    NotATable,
    /// At a threshold of the table the next bid would be lower than just below it.
    #[error("at {price} the increment falls by more than the price has risen")]
    IncrementFalls {
        /// The threshold.
        price: Decimal,
    },
    /// The clock of a Dutch auction does not fall from its start to its floor.
    #[error("the price of the clock does not fall")]
    ClockDoesNotFall,
    /// The reserve is zero, which every bid would meet.
    #[error("the reserve must be more than zero")]
    ZeroReserve,
    /// The buy-now price is not higher than the start price, so that the first bid would buy.
    #[error("the buy-now price {buy_now_price} is not above the start price {start_price}")]
    BuyNowNotAboveStart {
        /// The start price.
        start_price: Decimal,
        /// The buy-now price.
        buy_now_price: Decimal,
    },
    /// The buy-now price is below the reserve, so that buying would undo the seller's own condition. The reserve is not
    /// told: whoever may know it has given it.
    #[error("the buy-now price {buy_now_price} is below the reserve")]
    BuyNowBelowReserve {
        /// The buy-now price.
        buy_now_price: Decimal,
    },
    /// The buy-now price is offered until the reserve is met, and there is no reserve.
    #[error("an offer until the reserve is met needs a reserve")]
    NoReserveToMeet,
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
    /// An increment is not a multiple, so that the least legal bid could not be bid.
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
    /// The reserve is not a multiple, so that the price would jump to what cannot be bid.
    #[error("the reserve is not a multiple of {multiple_of}")]
    ReserveOffGrid {
        /// What bids must be multiples of.
        multiple_of: Decimal,
    },
    /// A window is zero, or longer than it can be.
    #[error("the {what} must be more than zero and at most {most_days} days")]
    WindowOutOfRange {
        /// Which window.
        what: &'static str,
        /// The longest it can be.
        most_days: u8,
    },
    /// The buyer's premium or the seller's fee is more than the whole, its minimum is above its cap, or the highest price
    /// and its premium are more than an amount can be.
    #[error("the {what} is out of range")]
    ShareOutOfRange {
        /// Which share.
        what: &'static str,
    },
}
