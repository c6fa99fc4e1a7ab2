//! Terms as columns of an auction's row, and back.

use sea_orm::ActiveValue::Set;

use super::store::currency;
use crate::entity::auction;
use crate::error::Error;
use crate::money::Amount;
use crate::rules::{
    Ask, AskPrice, Availability, Increment, Ladder, Micros, Pricing, Share, SoftClose, Table, Terms,
};

/// Reads terms out of a row.
pub(super) fn read(row: &auction::Model) -> Result<Terms, Error> {
    let row = Columns(row);
    Ok(Terms {
        currency: currency(&row.0.currency, row.0.exponent)?,
        ladder: row.ladder()?,
        ask: row.ask()?,
        reserve: row.optional(row.0.reserve)?,
        acceptance_window: row.0.acceptance_window,
        soft_close: row
            .0
            .soft_close_window
            .map(|window| SoftClose { window, at_most: row.0.soft_close_cap }),
        premium: row.share(row.0.premium_points, row.0.premium_min, row.0.premium_cap)?,
        fee: row.share(row.0.fee_points, row.0.fee_min, row.0.fee_cap)?,
        starts_at: Micros::new(row.0.starts_at),
        ends_at: Micros::new(row.0.original_ends_at),
    })
}

struct Columns<'a>(&'a auction::Model);

impl Columns<'_> {
    fn damaged(&self, what: &str) -> Error {
        Error::damaged(format!("auction {}: {what}", self.0.id))
    }

    fn amount(&self, minor: i64) -> Result<Amount, Error> {
        Amount::from_minor(minor).ok_or_else(|| self.damaged(&format!("{minor} is no amount")))
    }

    fn optional(&self, minor: Option<i64>) -> Result<Option<Amount>, Error> {
        minor.map(|minor| self.amount(minor)).transpose()
    }

    fn table(&self, text: &str) -> Result<Table, Error> {
        let table: Option<Table> = text.parse().ok();
        let amounts =
            |table: &Table| table.values().all(|value| Amount::from_minor(value).is_some());
        table.filter(amounts).ok_or_else(|| self.damaged("a table cannot be read"))
    }

    fn ladder(&self) -> Result<Option<Ladder>, Error> {
        let pricing = match self.0.pricing {
            auction::Pricing::Asked => return Ok(None),
            auction::Pricing::OwnBid => Pricing::OwnBid,
            auction::Pricing::Automatic => Pricing::Automatic,
            auction::Pricing::FirstPrice => Pricing::FirstPrice,
            auction::Pricing::SecondPrice => Pricing::SecondPrice,
        };
        let step = self.amount(self.0.increment)?;
        let increment = match (self.0.increments.as_deref(), self.0.increment_points) {
            (Some(table), _) => Increment::Table(self.table(table)?),
            (None, Some(points)) => {
                Increment::Percent { basis_points: self.points(points)?, at_least: step }
            }
            (None, None) => Increment::Fixed(step),
        };
        let (start_price, multiple_of) =
            (self.amount(self.0.start_price)?, self.optional(self.0.multiple_of)?);
        Ok(Some(Ladder { start_price, increment, multiple_of, pricing }))
    }

    fn ask(&self) -> Result<Option<Ask>, Error> {
        let until = match self.0.ask_until {
            // As it was before there was a choice.
            None => Availability::UntilPriceReaches,
            Some(until) => availability(until),
        };
        if self.0.pricing != auction::Pricing::Asked {
            let price = self.optional(self.0.buy_now_price)?;
            return Ok(price.map(|price| Ask { price: AskPrice::Constant(price), until }));
        }
        let start = self.amount(self.0.start_price)?;
        let price = match (self.0.ask_floor, self.0.ask_steps.as_deref()) {
            (Some(floor), _) => AskPrice::Linear { start, floor: self.amount(floor)? },
            (None, Some(steps)) => AskPrice::Steps(self.table(steps)?),
            (None, None) => AskPrice::Constant(start),
        };
        Ok(Some(Ask { price, until }))
    }

    fn share(&self, points: i16, min: i64, cap: Option<i64>) -> Result<Share, Error> {
        let (basis_points, at_least) = (self.points(points)?, self.amount(min)?);
        Ok(Share { basis_points, at_least, at_most: self.optional(cap)? })
    }

    fn points(&self, points: i16) -> Result<u32, Error> {
        let points = u32::try_from(points).ok().filter(|points| *points <= Share::WHOLE);
        points.ok_or_else(|| self.damaged("a part is more than the whole"))
    }
}

/// The columns of terms.
pub(super) fn write(terms: &Terms) -> auction::ActiveModel {
    let minor = |amount: Option<Amount>| Set(amount.map(Amount::minor));
    let ladder = terms.ladder.as_ref();
    let increment = ladder.map(|ladder| ladder.increment);
    let (increments, increment_points) = match increment {
        Some(Increment::Table(table)) => (Some(table.to_string()), None),
        Some(Increment::Percent { basis_points, .. }) => (None, Some(points(basis_points))),
        Some(Increment::Fixed(_)) | None => (None, None),
    };
    let (ask_floor, ask_steps) = match terms.ask.map(|ask| ask.price) {
        Some(AskPrice::Linear { floor, .. }) => (Some(floor.minor()), None),
        Some(AskPrice::Steps(table)) => (None, Some(table.to_string())),
        Some(AskPrice::Constant(_)) | None => (None, None),
    };
    auction::ActiveModel {
        currency: Set(terms.currency.code().to_owned()),
        exponent: Set(terms.currency.exponent().into()),
        pricing: Set(match ladder.map(|ladder| ladder.pricing) {
            None => auction::Pricing::Asked,
            Some(Pricing::OwnBid) => auction::Pricing::OwnBid,
            Some(Pricing::Automatic) => auction::Pricing::Automatic,
            Some(Pricing::FirstPrice) => auction::Pricing::FirstPrice,
            Some(Pricing::SecondPrice) => auction::Pricing::SecondPrice,
        }),
        start_price: Set(terms.start_price().minor()),
        // Where nothing ascends it says nothing, and is 1.
        increment: Set(increment.and_then(|increment| increment.steps().next()).unwrap_or(1)),
        increments: Set(increments),
        increment_points: Set(increment_points),
        multiple_of: minor(ladder.and_then(|ladder| ladder.multiple_of)),
        buy_now_price: minor(terms.buy_now_price()),
        ask_until: Set(terms.ask.map(|ask| column(ask.until))),
        ask_floor: Set(ask_floor),
        ask_steps: Set(ask_steps),
        reserve: minor(terms.reserve),
        acceptance_window: Set(terms.acceptance_window),
        soft_close_window: Set(terms.soft_close.map(|soft| soft.window)),
        soft_close_cap: Set(terms.soft_close.and_then(|soft| soft.at_most)),
        premium_points: Set(points(terms.premium.basis_points)),
        premium_min: Set(terms.premium.at_least.minor()),
        premium_cap: minor(terms.premium.at_most),
        fee_points: Set(points(terms.fee.basis_points)),
        fee_min: Set(terms.fee.at_least.minor()),
        fee_cap: minor(terms.fee.at_most),
        starts_at: Set(terms.starts_at.get()),
        original_ends_at: Set(terms.ends_at.get()),
        ..Default::default()
    }
}

fn points(points: u32) -> i16 {
    i16::try_from(points).expect("a part is at most the whole: it was checked")
}

fn availability(until: auction::AskUntil) -> Availability {
    match until {
        auction::AskUntil::Always => Availability::Always,
        auction::AskUntil::FirstBid => Availability::UntilFirstBid,
        auction::AskUntil::ReserveMet => Availability::UntilReserveMet,
        auction::AskUntil::PriceReaches => Availability::UntilPriceReaches,
    }
}

fn column(until: Availability) -> auction::AskUntil {
    match until {
        Availability::Always => auction::AskUntil::Always,
        Availability::UntilFirstBid => auction::AskUntil::FirstBid,
        Availability::UntilReserveMet => auction::AskUntil::ReserveMet,
        Availability::UntilPriceReaches => auction::AskUntil::PriceReaches,
    }
}
