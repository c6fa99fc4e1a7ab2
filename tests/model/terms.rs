//! What a seller may promise.

use auction_ledger::{AuctionState, Currency, Error, TermsError};
use chrono::{DateTime, Utc};

use super::answer::number;
use super::command::{End, Promise};
use super::rows::Lot;
use super::text::amount;

/// The auction that a promise makes, before anything has happened on it; `now` is its start if none is given.
pub(super) fn promised(
    seller: &str,
    title: &str,
    promise: &Promise,
    now: i64,
) -> Result<Lot, Error> {
    let currency = promise.currency;
    let starts_at = promise.starts_at.map_or(now, |at| at.timestamp_micros());
    let ends_at = match &promise.end {
        None => return Err(TermsError::MissingEnd.into()),
        Some(End::At(at)) => at.timestamp_micros(),
        Some(End::In(duration)) => starts_at + duration.as_micros() as i64,
    };
    let step = |step| amount("multiple", step, currency);
    let price = |price| amount("buy-now price", price, currency);
    let lot = Lot {
        title: title.to_owned(),
        seller: seller.to_owned(),
        currency,
        start_price: amount("start price", promise.start_price, currency)?,
        increment: amount("increment", promise.increment, currency)?,
        multiple_of: promise.multiple_of.map(step).transpose()?,
        buy_now_price: promise.buy_now.map(price).transpose()?,
        starts_at,
        original_ends_at: ends_at,
        ends_at,
        state: AuctionState::Open,
        leader: None,
        leader_max: None,
        leader_seq: None,
        price: None,
        runner_up_max: None,
        winner: None,
        sold_price: None,
        seq: 0,
        last_at: now,
        bids: Vec::new(),
        acts: Vec::new(),
    };
    sensible(&lot, currency)?;
    Ok(lot)
}

/// It ends after its start, buying costs more than bidding first, and all prices are multiples where bids must be.
fn sensible(lot: &Lot, currency: Currency) -> Result<(), TermsError> {
    let say = |minor| number(minor, currency);
    if lot.ends_at <= lot.starts_at {
        let (starts_at, ends_at) = (calendar(lot.starts_at), calendar(lot.ends_at));
        return Err(TermsError::EndNotAfterStart { starts_at, ends_at });
    }
    let start_price = say(lot.start_price);
    if let Some(price) = lot.buy_now_price
        && price <= lot.start_price
    {
        return Err(TermsError::BuyNowNotAboveStart { start_price, buy_now_price: say(price) });
    }
    let Some(step) = lot.multiple_of else {
        return Ok(());
    };
    let multiple_of = say(step);
    if lot.start_price % step != 0 {
        return Err(TermsError::StartPriceOffGrid { start_price, multiple_of });
    }
    if lot.increment % step != 0 {
        let increment = say(lot.increment);
        return Err(TermsError::IncrementOffGrid { increment, multiple_of });
    }
    match lot.buy_now_price {
        Some(price) if price % step != 0 => {
            Err(TermsError::BuyNowOffGrid { buy_now_price: say(price), multiple_of })
        }
        _ => Ok(()),
    }
}

pub(super) fn calendar(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).expect("the tests stay within the calendar")
}
