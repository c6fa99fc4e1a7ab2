//! What a host writes down becomes what an auction promises: in minor units and microseconds, and checked.

use std::time::Duration;

use rust_decimal::Decimal;

use super::{AuctionTerms, End, Format, SealedPricing};
use crate::error::Error;
use crate::ledger::house_share::HouseShare;
use crate::ledger::increments::Increments;
use crate::money::Amount;
use crate::rules::{
    Ask, AskPrice, Availability, Increment, Ladder, Micros, Pricing, Share, SoftClose, Table,
    Terms, TermsError,
};

impl AuctionTerms {
    /// The terms in minor units and microseconds, checked. `now` is the start if none was given.
    pub(in crate::ledger) fn promise(&self, now: Micros) -> Result<Terms, Error> {
        let starts_at = self.starts_at.map_or(now, Micros::from);
        let end = self.end.ok_or(TermsError::MissingEnd)?;
        self.require_bids()?;
        self.require_whole_settings()?;
        let ends_at = match end {
            End::At(at) => at.into(),
            End::In(duration) => starts_at.plus(micros(duration)),
        };
        let soft_close = self.soft_close.map(|window| SoftClose {
            window: micros(window),
            at_most: self.soft_close_cap.map(micros),
        });
        let share = |what, share: Option<&HouseShare>| {
            share.map(|share| share.share(what, self.currency)).transpose()
        };
        let terms = Terms {
            currency: self.currency,
            ladder: self.ladder()?,
            ask: self.ask()?,
            reserve: self
                .reserve
                .map(|reserve| self.amount("reserve", reserve.reveal()))
                .transpose()?,
            acceptance_window: self.acceptance_window.map_or(0, micros),
            soft_close,
            premium: share("buyer's premium", self.premium.as_ref())?.unwrap_or(Share::NONE),
            fee: share("seller's fee", self.fee.as_ref())?.unwrap_or(Share::NONE),
            starts_at,
            ends_at,
        };
        Ok(terms.validated()?)
    }

    fn amount(&self, what: &'static str, value: Decimal) -> Result<Amount, Error> {
        self.currency.amount(value).map_err(|error| Error::InvalidAmount { what, error })
    }

    fn ladder(&self) -> Result<Option<Ladder>, Error> {
        let multiple_of = || self.multiple_of.map(|step| self.amount("multiple", step)).transpose();
        match self.format {
            Format::English { start_price, increment } => Ok(Some(Ladder {
                start_price: self.amount("start price", start_price)?,
                increment: match &self.increments {
                    Some(increments) => increments.increment(self.currency)?,
                    None => Increments::fixed(increment).increment(self.currency)?,
                },
                multiple_of: multiple_of()?,
                pricing: if self.automatic { Pricing::Automatic } else { Pricing::OwnBid },
            })),
            Format::Sealed { start_price, pricing } => Ok(Some(Ladder {
                start_price: self.amount("start price", start_price)?,
                increment: Increment::NONE,
                multiple_of: multiple_of()?,
                pricing: match pricing {
                    SealedPricing::First => Pricing::FirstPrice,
                    SealedPricing::Second => Pricing::SecondPrice,
                },
            })),
            Format::Fixed { .. } | Format::Dutch { .. } | Format::Steps(_) => Ok(None),
        }
    }

    fn ask(&self) -> Result<Option<Ask>, Error> {
        let price = match &self.format {
            Format::English { .. } => {
                let price = self.buy_now.map(|price| self.amount("buy-now price", price));
                let until = self.buy_now_until.unwrap_or(Availability::UntilPriceReaches);
                let price = price.transpose()?.map(AskPrice::Constant);
                return Ok(price.map(|price| Ask { price, until }));
            }
            Format::Sealed { .. } => return Ok(None),
            Format::Fixed { price } => AskPrice::Constant(self.amount("price", *price)?),
            Format::Dutch { start, floor } => {
                let start = self.amount("start price", *start)?;
                AskPrice::Linear {
                    start,
                    floor: or_zero(*floor, |floor| self.amount("floor", floor))?,
                }
            }
            Format::Steps(steps) => {
                let rows = steps.iter().map(|(after, price)| {
                    Ok((micros(*after), self.amount("price of a step", *price)?.minor()))
                });
                let rows = rows.collect::<Result<Vec<_>, Error>>()?;
                AskPrice::Steps(Table::new(rows).ok_or(TermsError::NotATable)?)
            }
        };
        Ok(Some(Ask { price, until: Availability::Always }))
    }

    /// What only says more of another setting was not given without it.
    fn require_whole_settings(&self) -> Result<(), TermsError> {
        let price = self.buy_now.is_none().then_some("a buy-now price");
        let soft_close = self.soft_close.is_none().then_some("a soft close");
        let reserve = self.reserve.is_none().then_some("a reserve");
        let settings = [
            ("an availability of the buy-now price", self.buy_now_until.is_some(), price),
            ("a cap of the soft close", self.soft_close_cap.is_some(), soft_close),
            ("an acceptance window", self.acceptance_window.is_some(), reserve),
        ];
        let mut missing = settings.into_iter().filter(|(_, is_set, _)| *is_set);
        let missing = missing.find_map(|(what, _, needs)| Some((what, needs?)));
        missing.map_or(Ok(()), |(what, needs)| Err(TermsError::NeedsSetting { what, needs }))
    }

    /// What only bids can have, or open ascending ones, was not asked for without them.
    fn require_bids(&self) -> Result<(), TermsError> {
        let takes_bids = matches!(self.format, Format::English { .. } | Format::Sealed { .. });
        let ascends = matches!(self.format, Format::English { .. });
        let soft_close = self.soft_close.is_some() || self.soft_close_cap.is_some();
        let settings = [
            ("automatic bidding", self.automatic && !ascends),
            ("an increment", self.increments.is_some() && !ascends),
            ("a multiple", self.multiple_of.is_some() && !takes_bids),
            (
                "a buy-now price",
                (self.buy_now.is_some() || self.buy_now_until.is_some()) && !ascends,
            ),
            ("a reserve", self.reserve.is_some() && !takes_bids),
            ("an acceptance window", self.acceptance_window.is_some() && !takes_bids),
            ("a soft close", soft_close && !ascends),
        ];
        let what = settings.into_iter().find(|(_, refused)| *refused).map(|(what, _)| what);
        what.map_or(Ok(()), |what| Err(TermsError::NeedsBids { what }))
    }
}

/// An amount, or nothing of it.
pub(in crate::ledger) fn or_zero(
    value: Decimal,
    amount: impl FnOnce(Decimal) -> Result<Amount, Error>,
) -> Result<Amount, Error> {
    if value.is_zero() { Ok(Amount::ZERO) } else { amount(value) }
}

/// A duration in microseconds, as long as there are.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
