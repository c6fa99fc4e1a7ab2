//! What happened to an auction, told after the commit.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::id::{AuctionId, UserId};
use crate::money::Currency;

/// Something that happened to an auction, and is committed.
///
/// All events of one command carry its `seq`, the number of the command on its auction, and an `index` from 0. Public
/// events come first, so that whoever sees only those sees no gap in the index. Amounts are in the auction's currency, and
/// texts in JSON.
///
/// # Example: as JSON
///
/// ```
/// use auction_ledger::{AuctionEvent, EventKind};
///
/// let json = r#"{"version":1,"auction":7,"seq":4,"index":0,"at":"2026-11-23T12:00:00Z",
///     "currency":{"code":"KRW","exponent":0},"type":"unsold"}"#;
/// let event: AuctionEvent = serde_json::from_str(json)?;
/// assert_eq!((event.auction, event.seq, &event.kind), (7.into(), 4, &EventKind::Unsold));
/// assert_eq!(serde_json::from_str::<AuctionEvent>(&serde_json::to_string(&event)?)?, event);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuctionEvent {
    /// The version of this form: [`AuctionEvent::VERSION`]. New kinds and fields do not raise it: an older reader takes a
    /// kind that it does not know for [`EventKind::Unknown`].
    pub version: u32,
    /// The auction.
    pub auction: AuctionId,
    /// The number of the command on its auction, the opening being 1. Every number occurs, so a gap is a missed event.
    pub seq: i64,
    /// The number of the event within the command, from 0.
    pub index: u32,
    /// The instant at which the command was judged, under the auction's lock.
    pub at: DateTime<Utc>,
    /// The auction's currency.
    pub currency: Currency,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl AuctionEvent {
    /// The version that this release writes.
    pub const VERSION: u32 = 1;

    /// Whom the event is for; `None` if it is for everybody. An event with a recipient must be shown to nobody else.
    #[must_use]
    pub fn recipient(&self) -> Option<&UserId> {
        match &self.kind {
            EventKind::Outbid { user, .. }
            | EventKind::HoldReleased { user, .. }
            | EventKind::BidLost { user, .. }
            | EventKind::HeldAgain { user, .. } => Some(user),
            _ => None,
        }
    }
}

/// What happened to an auction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// It was opened.
    Opened {
        /// What is sold.
        title: String,
        /// Who sells it.
        seller: UserId,
        /// The least first bid.
        #[serde(with = "rust_decimal::serde::str")]
        start_price: Decimal,
        /// The price at which it can be bought.
        #[serde(default, with = "optional_amount")]
        buy_now_price: Option<Decimal>,
        /// The first instant at which a bid counts.
        starts_at: DateTime<Utc>,
        /// The first instant at which no bid counts any more.
        ends_at: DateTime<Utc>,
    },
    /// Somebody bid.
    BidPlaced {
        /// Who.
        bidder: UserId,
        /// Who leads now. With automatic bidding it may be somebody else, whose maximum has answered.
        leader: UserId,
        /// The price of the auction now.
        #[serde(with = "rust_decimal::serde::str")]
        price: Decimal,
        /// The least next bid; `None` if nobody can bid more.
        #[serde(default, with = "optional_amount")]
        next_minimum: Option<Decimal>,
        /// The end of the auction now.
        ends_at: DateTime<Utc>,
        /// Whether the reserve is met; `None` if there is none.
        #[serde(default)]
        reserve_met: Option<bool>,
    },
    /// Somebody has placed a sealed bid, or raised it. Who and how much is nobody's business before the end.
    SealedBid,
    /// The leader has raised the own maximum, or sealed bids that have lost were released: nothing that is public has
    /// changed.
    Unchanged,
    /// Its end was moved to later, not by a bid.
    Extended {
        /// The first instant at which no bid counts any more.
        ends_at: DateTime<Utc>,
    },
    /// The reserve was lowered.
    ReserveLowered {
        /// The price of the auction now; `None` before the first bid.
        #[serde(default, with = "optional_amount")]
        price: Option<Decimal>,
        /// Whether the reserve is met now; `None` where bids are sealed.
        #[serde(default)]
        reserve_met: Option<bool>,
    },
    /// A bid was made void, and the auction stands as if it had never been.
    BidVoided {
        /// The number of the bid.
        bid: i64,
        /// Who leads now.
        #[serde(default)]
        leader: Option<UserId>,
        /// The price of the auction now; `None` if nobody leads, or bids are sealed.
        #[serde(default, with = "optional_amount")]
        price: Option<Decimal>,
        /// Why, in the words of whoever did it.
        reason: Option<String>,
    },
    /// A bid was next in rank when another one was made void, and nobody could pay it any more: it is void, too.
    BidSkipped {
        /// The number of the bid.
        bid: i64,
    },
    /// It has ended below its reserve, and the seller can accept the price.
    AwaitingSeller {
        /// The first instant at which that is too late.
        until: DateTime<Utc>,
    },
    /// For one user: they lead no longer, or their bid was outbid at once.
    Outbid {
        /// Who.
        user: UserId,
        /// The price of the auction now.
        #[serde(with = "rust_decimal::serde::str")]
        price: Decimal,
    },
    /// For one user: their bid is void.
    BidLost {
        /// Who.
        user: UserId,
        /// The number of the bid.
        bid: i64,
        /// Whether it was skipped, because they could not pay it any more.
        cannot_pay: bool,
    },
    /// For one user: they lead again, for a better bid is void, and what that takes is held again.
    HeldAgain {
        /// Who.
        user: UserId,
    },
    /// For one user: money that was held for the auction is available again.
    HoldReleased {
        /// Who.
        user: UserId,
        /// How much.
        #[serde(with = "rust_decimal::serde::str")]
        amount: Decimal,
    },
    /// It is sold out.
    Sold {
        /// Who has bought it.
        buyer: UserId,
        /// Who was paid.
        seller: UserId,
        /// The price, without the buyer's premium.
        #[serde(with = "rust_decimal::serde::str")]
        price: Decimal,
        /// How it was sold.
        how: SaleKind,
    },
    /// It ended without a winner.
    Unsold,
    /// It was called off.
    Cancelled {
        /// Why, in the words of whoever did it.
        reason: Option<String>,
    },
    /// A kind of a later release. It is never sent.
    #[serde(other)]
    Unknown,
}

/// How an auction was sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SaleKind {
    /// At its buy-now price.
    Bought,
    /// To the leader, after its end.
    Settled,
    /// To the leader, before its end.
    ClosedEarly,
    /// To the leader, below the reserve, which the seller has accepted.
    AcceptedBelowReserve,
}

/// An amount as text, or nothing. That of `rust_decimal` does not read a null in an event, whose fields are flattened.
mod optional_amount {
    use rust_decimal::Decimal;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        amount: &Option<Decimal>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        rust_decimal::serde::str_option::serialize(amount, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Decimal>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}
