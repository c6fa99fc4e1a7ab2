//! The terms of an auction, as a host writes them down.

mod promise;

use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

pub(super) use self::promise::or_zero;
use super::canonical::Canonical;
use super::house_share::HouseShare;
use super::increments::Increments;
use crate::money::Currency;
use crate::rules::Availability;

/// What an auction promises: how it is sold, the currency, the prices and the times.
///
/// An end is required: [`ends_at`](Self::ends_at) or [`ends_in`](Self::ends_in). All amounts are in the currency of the
/// terms, more than zero and at most 10^15 minor units. Terms are checked when the auction is opened, and cannot change
/// afterwards.
///
/// | format | made by |
/// |---|---|
/// | English: open ascending bids, each the price to pay | [`english`](Self::english) |
/// | English with automatic bidding: a bid is a maximum | [`english`](Self::english), [`automatic_bidding`](Self::automatic_bidding) |
/// | sealed, first price: nobody sees a bid before the end, the highest pays itself | [`sealed_first_price`](Self::sealed_first_price) |
/// | sealed, second price: the highest pays the runner-up's | [`sealed_second_price`](Self::sealed_second_price) |
/// | Dutch: a falling price, the first taker wins | [`dutch`](Self::dutch), [`dutch_in_steps`](Self::dutch_in_steps) |
/// | fixed price: the first buyer wins | [`fixed_price`](Self::fixed_price) |
///
/// # Example: bids in whole tens, to be bought for 500
///
/// ```
/// use std::time::Duration;
/// use auction_ledger::{AuctionTerms, Currency};
///
/// let terms = AuctionTerms::english(Currency::EUR, 50.into(), 10.into())
///     .multiple_of(10.into())
///     .buy_now(500.into())
///     .ends_in(Duration::from_secs(3 * 24 * 3600));
/// assert_eq!(terms.currency(), Currency::EUR);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuctionTerms {
    currency: Currency,
    format: Format,
    automatic: bool,
    increments: Option<Increments>,
    multiple_of: Option<Decimal>,
    buy_now: Option<Decimal>,
    buy_now_until: Option<Availability>,
    reserve: Option<crate::Secret>,
    acceptance_window: Option<Duration>,
    soft_close: Option<Duration>,
    soft_close_cap: Option<Duration>,
    premium: Option<HouseShare>,
    fee: Option<HouseShare>,
    starts_at: Option<DateTime<Utc>>,
    end: Option<End>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Format {
    English { start_price: Decimal, increment: Decimal },
    Sealed { start_price: Decimal, pricing: SealedPricing },
    Fixed { price: Decimal },
    Dutch { start: Decimal, floor: Decimal },
    Steps(Vec<(Duration, Decimal)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SealedPricing {
    First,
    Second,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    At(DateTime<Utc>),
    In(Duration),
}

impl AuctionTerms {
    fn new(currency: Currency, format: Format) -> Self {
        Self {
            currency,
            format,
            automatic: false,
            increments: None,
            multiple_of: None,
            buy_now: None,
            buy_now_until: None,
            reserve: None,
            acceptance_window: None,
            soft_close: None,
            soft_close_cap: None,
            premium: None,
            fee: None,
            starts_at: None,
            end: None,
        }
    }

    /// An English auction: open ascending bids, each the price to pay, the first at least `start_price` and every further
    /// one at least `increment` above the price, also the leader's own; another house may let the leader raise by less.
    #[must_use]
    pub fn english(currency: Currency, start_price: Decimal, increment: Decimal) -> Self {
        Self::new(currency, Format::English { start_price, increment })
    }

    /// A sealed auction at the first price: nobody sees a bid before the end, and the highest pays what it is. Of two equal
    /// ones the earlier wins; a raise is as late as itself.
    ///
    /// Each bidder has one bid, of at least `start_price`, which can be raised until the end and never withdrawn; other houses
    /// let it be lowered, too. All bidders' money is held until the end. Then the auction is [settled](crate::AuctionLedger::settle):
    /// the others are released, batch after batch, and the winner pays. It ends when it was to: it has no soft close and no
    /// buy-now price, and cannot be closed early. Whoever won is shown at the price, and the others at what they have bid, once
    /// it is over.
    #[must_use]
    pub fn sealed_first_price(currency: Currency, start_price: Decimal) -> Self {
        Self::new(currency, Format::Sealed { start_price, pricing: SealedPricing::First })
    }

    /// A sealed auction at the second price, as Vickrey described it: as [`sealed_first_price`](Self::sealed_first_price), but
    /// the highest pays the best bid of anybody else: at least the start price, and the reserve that it meets. Other houses
    /// add an increment.
    #[must_use]
    pub fn sealed_second_price(currency: Currency, start_price: Decimal) -> Self {
        Self::new(currency, Format::Sealed { start_price, pricing: SealedPricing::Second })
    }

    /// A sale at a fixed price: nobody bids, and the first who [takes](crate::AuctionLedger::take) it wins. Not taken until
    /// the end, it is unsold; another house may offer it again by itself.
    #[must_use]
    pub fn fixed_price(currency: Currency, price: Decimal) -> Self {
        Self::new(currency, Format::Fixed { price })
    }

    /// A Dutch auction: nobody bids, the price falls in a line from `start` at the start of the auction to `floor` at its end,
    /// and the first who [takes](crate::AuctionLedger::take) it wins. Not taken until the end, it is unsold.
    ///
    /// The price is `ceil((start * remaining + floor * elapsed) / duration)` in minor units, by the database's clock. The floor
    /// may be zero, at which nobody can take it. Another house may round down, or stop its clock at a reserve.
    #[must_use]
    pub fn dutch(currency: Currency, start: Decimal, floor: Decimal) -> Self {
        Self::new(currency, Format::Dutch { start, floor })
    }

    /// A Dutch auction whose price falls in steps: from each span after the start of the auction on, its price. The first span
    /// is zero, there are at most 16, and each price is less than the one before.
    #[must_use]
    pub fn dutch_in_steps(
        currency: Currency,
        steps: impl IntoIterator<Item = (Duration, Decimal)>,
    ) -> Self {
        Self::new(currency, Format::Steps(steps.into_iter().collect()))
    }

    /// A bid is a maximum, and the ledger bids for whoever placed it: the leader pays the runner-up's maximum and an increment
    /// on it, and never more than the own maximum. The whole maximum is held. Default: a bid is the price to pay.
    ///
    /// The earlier of two equal maxima leads, at a price equal to it; a leader can be outbid by less than an increment; a bid
    /// that does not lead raises the price at once, and holds nothing. Whoever leads can raise the own maximum by any amount:
    /// the price moves only where the old maximum had capped it. Another house may hold the price only, ask for a whole
    /// increment to take the lead, or leave the price alone at a raise.
    #[must_use]
    pub fn automatic_bidding(mut self) -> Self {
        self.automatic = true;
        self
    }

    /// The increments by price, instead of the one given to [`english`](Self::english): for the next minimum at the current
    /// price, for the price of automatic bidding at the runner-up's maximum; another house may look both up at the price.
    #[must_use]
    pub fn increments(mut self, increments: Increments) -> Self {
        self.increments = Some(increments);
        self
    }

    /// Bids must be multiples of `step`, counted from zero. The start price, the increments, the reserve and the buy-now price
    /// must be too; another house may count from the start price. Default: any amount of the currency.
    #[must_use]
    pub fn multiple_of(mut self, step: Decimal) -> Self {
        self.multiple_of = Some(step);
        self
    }

    /// The auction can be bought at `price`, which must be above the start price and not below the reserve. A bid at or above
    /// it, while it is offered, buys at it; another house may let bids pass it. Default: it cannot. How long:
    /// [`buy_now_until`](Self::buy_now_until).
    #[must_use]
    pub fn buy_now(mut self, price: Decimal) -> Self {
        self.buy_now = Some(price);
        self
    }

    /// How long the [`buy_now`](Self::buy_now) price, without which it is refused, is offered: houses differ in all four. Default:
    /// until the price reaches it.
    #[must_use]
    pub fn buy_now_until(mut self, until: Availability) -> Self {
        self.buy_now_until = Some(until);
        self
    }

    /// A hidden least price: below it the auction is not sold. Nobody is told how much it is, only whether it is met; a maximum
    /// equal to it meets it, and the first that does makes the price jump to it. It can be
    /// [lowered](crate::AuctionLedger::lower_reserve) and never raised; another house may show it, or bid for the seller up to
    /// it. Default: none.
    #[must_use]
    pub fn reserve(mut self, reserve: Decimal) -> Self {
        self.reserve = Some(crate::Secret::new(reserve));
        self
    }

    /// For how long after the end, at most 30 days, the seller of an auction with a reserve can
    /// [accept](crate::AuctionLedger::accept_below_reserve) a price below the reserve; until then the leader's money stays
    /// held; another house may release it at the end, and let the two agree. Default: an auction below its reserve is unsold at
    /// its end.
    #[must_use]
    pub fn acceptance_window(mut self, window: Duration) -> Self {
        self.acceptance_window = Some(window);
        self
    }

    /// Soft close, in the reset form: a bid that changes the leader or the price leaves at least `window` until the end, which
    /// moves to `max(end, now + window)`. At most a day. A refused bid and a silent raise of the own maximum move nothing.
    /// Another house may add the window to the end, or let every bid move it. Default: the end is fixed.
    #[must_use]
    pub fn soft_close(mut self, window: Duration) -> Self {
        self.soft_close = Some(window);
        self
    }

    /// How far behind the original end a [`soft_close`](Self::soft_close), without which it is refused, can move it: at most 30
    /// days. Default: as far as bids arrive.
    #[must_use]
    pub fn soft_close_at_most(mut self, cap: Duration) -> Self {
        self.soft_close_cap = Some(cap);
        self
    }

    /// The buyer's premium: what the buyer pays to the house on top of the price. A bid holds it too. Another house may have
    /// bands of prices with a premium each. Default: none.
    #[must_use]
    pub fn premium(mut self, premium: HouseShare) -> Self {
        self.premium = Some(premium);
        self
    }

    /// The seller's fee: what the house keeps of the price, at most all of it; another house may charge it for what is unsold,
    /// too. Default: none.
    #[must_use]
    pub fn fee(mut self, fee: HouseShare) -> Self {
        self.fee = Some(fee);
        self
    }

    /// The first instant at which a bid counts, truncated to microseconds. Default: the opening.
    #[must_use]
    pub fn starts_at(mut self, at: DateTime<Utc>) -> Self {
        self.starts_at = Some(at);
        self
    }

    /// The first instant at which no bid counts any more, truncated to microseconds; another house may count a bid at that very
    /// instant.
    #[must_use]
    pub fn ends_at(mut self, at: DateTime<Utc>) -> Self {
        self.end = Some(End::At(at));
        self
    }

    /// The end, counted from the start of the auction.
    #[must_use]
    pub fn ends_in(mut self, duration: Duration) -> Self {
        self.end = Some(End::In(duration));
        self
    }

    /// The currency of the amounts.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The canonical encoding. What came later than the first release is encoded only where it is set, behind its name, so
    /// that a request without it keeps its hash.
    pub(super) fn encode(&self, request: Canonical) -> Canonical {
        let micros = |at: DateTime<Utc>| at.timestamp_micros();
        let (at, within) = match self.end {
            Some(End::At(at)) => (Some(micros(at)), None),
            Some(End::In(duration)) => (None, Some(span(duration))),
            None => (None, None),
        };
        let request = request.text(self.currency.code()).number(self.currency.exponent());
        let request = match &self.format {
            Format::English { start_price, increment } => {
                request.amount(*start_price).amount(*increment)
            }
            Format::Sealed { start_price, pricing } => {
                let name = match pricing {
                    SealedPricing::First => "sealed_first_price",
                    SealedPricing::Second => "sealed_second_price",
                };
                request.text(name).amount(*start_price)
            }
            Format::Fixed { price } => request.text("fixed_price").amount(*price),
            Format::Dutch { start, floor } => request.text("dutch").amount(*start).amount(*floor),
            Format::Steps(steps) => {
                let request = request.text("dutch_in_steps").number(count(steps.len()));
                steps.iter().fold(request, |request, (after, price)| {
                    request.number(span(*after)).amount(*price)
                })
            }
        };
        let request = request
            .optional(self.multiple_of, Canonical::amount)
            .optional(self.buy_now, Canonical::amount)
            .optional(self.starts_at.map(micros), Canonical::number)
            .optional(at, Canonical::number)
            .optional(within, Canonical::number);
        let spans = [
            ("acceptance_window", self.acceptance_window),
            ("soft_close", self.soft_close),
            ("soft_close_at_most", self.soft_close_cap),
        ];
        let until = self.buy_now_until.map(|until| format!("{until:?}"));
        let request = request
            .set("automatic_bidding", self.automatic.then_some(1), Canonical::number)
            .set("increments", self.increments.as_ref(), |request, all| all.encode(request))
            .set("buy_now_until", until.as_deref(), Canonical::text)
            .set("reserve", self.reserve.map(crate::Secret::reveal), Canonical::amount)
            .set("premium", self.premium.as_ref(), |request, share| share.encode(request))
            .set("fee", self.fee.as_ref(), |request, share| share.encode(request));
        spans.into_iter().fold(request, |request, (name, duration)| {
            request.set(name, duration.map(span), Canonical::number)
        })
    }
}

pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn span(duration: Duration) -> i128 {
    i128::try_from(duration.as_micros()).unwrap_or(i128::MAX)
}
