//! Who may bid: data of the host, not of the auction.

use std::fmt;

use rust_decimal::Decimal;

/// Whether a user may bid on an auction and buy it, as the host knows: bans, lists of the invited, deposits.
///
/// It is looked at under the auction's lock and before anything about prices, so that whoever may not bid learns nothing of
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Eligibility {
    /// The user may bid.
    #[default]
    Eligible,
    /// The user is banned.
    Banned,
    /// Only users on a list may bid, and this one is not on it.
    NotOnList,
    /// Bidding needs a deposit, in the host's own books: the user may bid if as much is held as is required.
    Deposit {
        /// How much must be deposited.
        required: Decimal,
        /// How much is.
        held: Decimal,
    },
}

impl Eligibility {
    /// Whether the user may bid.
    #[must_use]
    pub fn is_eligible(&self) -> bool {
        match self {
            Self::Eligible => true,
            Self::Banned | Self::NotOnList => false,
            Self::Deposit { required, held } => required <= held,
        }
    }
}

impl fmt::Display for Eligibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eligible => f.write_str("eligible"),
            Self::Banned => f.write_str("banned"),
            Self::NotOnList => f.write_str("not on the list"),
            Self::Deposit { required, held } => {
                write!(f, "a deposit of {required} is required and {held} is held")
            }
        }
    }
}
