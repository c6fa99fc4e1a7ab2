//! What the rules say when they say no.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{AuctionState, Eligibility};

/// The rules said no. Nothing was written, and no money moved.
///
/// A rejection carries what the caller needs next, and never what is another's secret.
/// Amounts are in the auction's (or the wallet's) currency.
///
/// The variants are in the order of the checks, so the first that applies is the one that is given:
///
/// - a bid: [`Closed`](Self::Closed), [`NotOpenYet`](Self::NotOpenYet), [`Ended`](Self::Ended),
///   [`TakesNoBids`](Self::TakesNoBids), [`SellerCannotBid`](Self::SellerCannotBid),
///   [`NotEligible`](Self::NotEligible),
///   [`NotAboveOwnMaximum`](Self::NotAboveOwnMaximum) or [`BelowMinimum`](Self::BelowMinimum),
///   [`NotOnIncrement`](Self::NotOnIncrement), [`TooLarge`](Self::TooLarge),
///   [`InsufficientFunds`](Self::InsufficientFunds),
///   and [`BalanceTooLarge`](Self::BalanceTooLarge) if it buys;
/// - a purchase: [`Closed`](Self::Closed), [`NotOpenYet`](Self::NotOpenYet),
///   [`Ended`](Self::Ended), [`BuyNowUnavailable`](Self::BuyNowUnavailable),
///   [`SellerCannotBuy`](Self::SellerCannotBuy), [`NotEligible`](Self::NotEligible), [`AboveLimit`](Self::AboveLimit),
///   [`InsufficientFunds`](Self::InsufficientFunds), [`BalanceTooLarge`](Self::BalanceTooLarge);
/// - a settlement: [`Closed`](Self::Closed) (cancelled), [`NotEnded`](Self::NotEnded),
///   [`AwaitingSeller`](Self::AwaitingSeller), [`BalanceTooLarge`](Self::BalanceTooLarge);
/// - an early close: [`Closed`](Self::Closed), [`NotOpenYet`](Self::NotOpenYet),
///   [`Ended`](Self::Ended), [`NotSeller`](Self::NotSeller), [`Sealed`](Self::Sealed),
///   [`BalanceTooLarge`](Self::BalanceTooLarge);
/// - an acceptance below the reserve: [`Closed`](Self::Closed), [`NotOpenYet`](Self::NotOpenYet),
///   [`Ended`](Self::Ended), [`NotSeller`](Self::NotSeller), [`Sealed`](Self::Sealed),
///   [`NoBids`](Self::NoBids),
///   [`ReserveMet`](Self::ReserveMet), [`BalanceTooLarge`](Self::BalanceTooLarge);
/// - a lower reserve: [`Closed`](Self::Closed), [`Ended`](Self::Ended), [`NotSeller`](Self::NotSeller),
///   [`NoReserve`](Self::NoReserve), [`ReserveMet`](Self::ReserveMet), [`ReserveNotLower`](Self::ReserveNotLower),
///   [`NotOnIncrement`](Self::NotOnIncrement);
/// - a later end: [`Closed`](Self::Closed), [`Ended`](Self::Ended), [`NotSeller`](Self::NotSeller),
///   [`HasBids`](Self::HasBids), [`NotLater`](Self::NotLater);
/// - a bid to be made void: [`Closed`](Self::Closed), [`Ended`](Self::Ended) (for whoever is not the house),
///   [`NotSeller`](Self::NotSeller), [`Sealed`](Self::Sealed) (for the seller), [`NoSuchBid`](Self::NoSuchBid);
/// - a cancellation: [`Closed`](Self::Closed), [`NotSeller`](Self::NotSeller),
///   [`HasBids`](Self::HasBids).
///
/// # Example: a form that offers the next valid bid
///
/// ```
/// use auction_ledger::Rejection;
/// use rust_decimal::Decimal;
///
/// fn suggestion(rejection: &Rejection) -> Option<Decimal> {
///     match rejection {
///         Rejection::BelowMinimum { minimum } => Some(*minimum),
///         Rejection::NotOnIncrement { below, above, .. } => Some(above.unwrap_or(*below)),
///         _ => None,
///     }
/// }
///
/// let low = Rejection::BelowMinimum { minimum: Decimal::new(10_50, 2) };
/// assert_eq!(low.to_string(), "a bid must be at least 10.50");
/// assert_eq!(suggestion(&low), Some(Decimal::new(10_50, 2)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The auction was sold, ended without a winner or was cancelled, or is on the way there: it waits for the seller, or for
    /// sealed bids to be released.
    #[error("the auction is over: {state}")]
    Closed {
        /// What has become of it; never [`AuctionState::Open`].
        state: AuctionState,
    },
    /// The auction is not open yet.
    #[error("the auction opens at {starts_at}")]
    NotOpenYet {
        /// The first instant at which a bid counts.
        starts_at: DateTime<Utc>,
    },
    /// The end has passed; the auction has not been settled yet.
    #[error("the auction ended at {at}")]
    Ended {
        /// The end: the first instant at which no bid counts any more.
        at: DateTime<Utc>,
    },
    /// The end has not come: the auction cannot be settled yet.
    #[error("the auction ends at {ends_at}")]
    NotEnded {
        /// The first instant at which it can be settled.
        ends_at: DateTime<Utc>,
    },
    /// It ended below its reserve, and the seller can still accept the price.
    #[error("the seller can accept the price until {until}")]
    AwaitingSeller {
        /// The first instant at which it can be settled as unsold.
        until: DateTime<Utc>,
    },
    /// It is sold at a price that somebody takes, and takes no bids.
    #[error("the auction takes no bids")]
    TakesNoBids,
    /// Somebody else than the seller wants to close, change or cancel the auction.
    #[error("only the seller can do this to an auction")]
    NotSeller,
    /// A seller cannot cancel or prolong an auction on which somebody leads, or has a sealed bid. It can be closed early instead.
    #[error("a seller cannot do this to an auction with bids")]
    HasBids,
    /// Its bids are sealed until its end, which is when it was promised, and are opened when it is settled. Until then nobody
    /// closes it, and no seller makes one of them void.
    #[error("the bids are sealed until the auction has ended and is settled")]
    Sealed,
    /// The auction has no bid of this number, or it is void already.
    #[error("the auction has no such bid")]
    NoSuchBid,
    /// Nobody has bid, so there is no price to accept.
    #[error("nobody has bid on the auction")]
    NoBids,
    /// The auction has no reserve.
    #[error("the auction has no reserve")]
    NoReserve,
    /// The reserve is met: the auction is sold without anybody's consent.
    #[error("the reserve is met")]
    ReserveMet,
    /// A reserve is only lowered.
    #[error("a reserve can only be lowered")]
    ReserveNotLower,
    /// An end is only moved to later.
    #[error("the auction ends at {ends_at}, and an end can only be moved to later")]
    NotLater {
        /// The end as it is.
        ends_at: DateTime<Utc>,
    },
    /// There is no price to take the auction at, or it is not offered any more: see [`Availability`](crate::Availability).
    #[error("the auction cannot be bought now")]
    BuyNowUnavailable,
    /// The seller never bids on the own auction.
    #[error("a seller cannot bid on their own auction")]
    SellerCannotBid,
    /// The seller never buys the own auction.
    #[error("a seller cannot buy their own auction")]
    SellerCannotBuy,
    /// The host's own data say that the user may not bid on the auction, nor buy it.
    #[error("the user is not eligible: {why}")]
    NotEligible {
        /// What they say.
        why: Eligibility,
    },
    /// What is asked now is more than the buyer's limit.
    #[error("{price} is asked")]
    AboveLimit {
        /// The price now, without the premium.
        price: Decimal,
    },
    /// With automatic bidding, whoever leads can only raise the own maximum.
    #[error("a leader can only raise the own maximum")]
    NotAboveOwnMaximum,
    /// The bid is less than the start price or, after the first bid, than the price and its
    /// increment.
    #[error("a bid must be at least {minimum}")]
    BelowMinimum {
        /// The least that would be accepted as things stand: a valid bid, multiples and the buy-now
        /// price considered.
        /// Where the price has come within an increment of
        /// [`Currency::maximum`](crate::Currency::maximum) it is more than an amount can be, and
        /// nobody can bid it.
        minimum: Decimal,
    },
    /// The bid is high enough, but not one of the multiples the auction asks for.
    #[error("a bid must be a multiple of {multiple_of}")]
    NotOnIncrement {
        /// What bids must be multiples of, counted from zero.
        multiple_of: Decimal,
        /// The next lower valid bid.
        below: Decimal,
        /// The next higher valid bid; `None` if it is more than an amount can be.
        above: Option<Decimal>,
    },
    /// With the buyer's premium it is more than an amount can be.
    #[error("with the premium it is more than {maximum}")]
    TooLarge {
        /// The largest amount in the auction's currency.
        maximum: Decimal,
    },
    /// There is not enough money available. A user without a wallet has nothing available.
    #[error("{needed} is needed and {available} is available")]
    InsufficientFunds {
        /// What has to be available: for whoever leads, only what the own hold does not cover.
        needed: Decimal,
        /// What is available.
        available: Decimal,
    },
    /// A wallet would hold more than the ledger counts to.
    #[error("a wallet holds at most {maximum}")]
    BalanceTooLarge {
        /// The most that one wallet can hold, available and held together: 10^18 minor units.
        maximum: Decimal,
    },
}

impl Rejection {
    /// The name of its variant in lower case, without what it carries: for logs, metrics, and clients that tell rejections
    /// apart by a code. It stays the same in later releases.
    ///
    /// ```
    /// use auction_ledger::Rejection;
    ///
    /// assert_eq!(Rejection::BelowMinimum { minimum: 10.into() }.code(), "below_minimum");
    /// ```
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::NotOpenYet { .. } => "not_open_yet",
            Self::Ended { .. } => "ended",
            Self::NotEnded { .. } => "not_ended",
            Self::AwaitingSeller { .. } => "awaiting_seller",
            Self::TakesNoBids => "takes_no_bids",
            Self::NotSeller => "not_seller",
            Self::HasBids => "has_bids",
            Self::Sealed => "sealed",
            Self::NoSuchBid => "no_such_bid",
            Self::NoBids => "no_bids",
            Self::NoReserve => "no_reserve",
            Self::ReserveMet => "reserve_met",
            Self::ReserveNotLower => "reserve_not_lower",
            Self::NotLater { .. } => "not_later",
            Self::BuyNowUnavailable => "buy_now_unavailable",
            Self::SellerCannotBid => "seller_cannot_bid",
            Self::SellerCannotBuy => "seller_cannot_buy",
            Self::NotEligible { .. } => "not_eligible",
            Self::AboveLimit { .. } => "above_limit",
            Self::NotAboveOwnMaximum => "not_above_own_maximum",
            Self::BelowMinimum { .. } => "below_minimum",
            Self::NotOnIncrement { .. } => "not_on_increment",
            Self::TooLarge { .. } => "too_large",
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::BalanceTooLarge { .. } => "balance_too_large",
        }
    }

    /// Whether the auction does not take bids because of its state: it is not open yet, or it is
    /// over.
    ///
    /// An auction past its end that nobody has settled is [`Ended`](Self::Ended), which is not
    /// meant here.
    ///
    /// ```
    /// use auction_ledger::{AuctionState, Rejection};
    ///
    /// assert!(Rejection::Closed { state: AuctionState::Sold }.is_not_active());
    /// assert!(!Rejection::BuyNowUnavailable.is_not_active());
    /// ```
    pub const fn is_not_active(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::NotOpenYet { .. })
    }
}
