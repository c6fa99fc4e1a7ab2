//! What a name, a note and an amount must be.

use auction_ledger::{AmountError, Currency, Error, TextError, UserIdError};
use rust_decimal::Decimal;

use super::AMOUNT_MAX;
use super::answer::number;

/// A user: 1 to 64 bytes without NUL.
pub(super) fn user(text: &str) -> Result<(), Error> {
    match text.len() {
        0 => Err(UserIdError::Empty.into()),
        bytes @ 65.. => Err(UserIdError::TooLong { bytes }.into()),
        _ if text.contains('\0') => Err(UserIdError::ContainsNul.into()),
        _ => Ok(()),
    }
}

/// A title: 1 to 200 characters without NUL.
pub(super) fn title(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::InvalidText { what: "title", error: TextError::Empty });
    }
    note("title", text, text.chars().count(), "characters")
}

/// A memo: at most 200 bytes without NUL.
pub(super) fn memo(text: Option<&str>) -> Result<(), Error> {
    text.map_or(Ok(()), |text| note("memo", text, text.len(), "bytes"))
}

/// A reason: at most 200 characters without NUL.
pub(super) fn reason(text: Option<&str>) -> Result<(), Error> {
    text.map_or(Ok(()), |text| note("reason", text, text.chars().count(), "characters"))
}

fn note(what: &'static str, text: &str, length: usize, unit: &'static str) -> Result<(), Error> {
    if length > 200 {
        let error = TextError::TooLong { length, limit: 200, unit };
        return Err(Error::InvalidText { what, error });
    }
    if text.contains('\0') {
        return Err(Error::InvalidText { what, error: TextError::ContainsNul });
    }
    Ok(())
}

/// An amount in minor units: more than zero, with no more decimals than the currency has, and at most 10^15 minor units.
/// Read digit by digit.
pub(super) fn amount(what: &'static str, value: Decimal, currency: Currency) -> Result<i64, Error> {
    let text = value.to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let decimals = decimals.trim_end_matches('0');
    let refuse = |error| Err(Error::InvalidAmount { what, error });
    let nothing = |text: &str| text.chars().all(|digit| digit == '0');
    if text.starts_with('-') || nothing(whole) && nothing(decimals) {
        return refuse(AmountError::NotPositive);
    }
    let exponent = currency.exponent();
    let width = usize::from(exponent);
    if decimals.len() > width {
        return refuse(AmountError::TooPrecise { decimals: decimals.len() as u32, exponent });
    }
    match format!("{whole}{decimals:0<width$}").parse::<i64>() {
        Ok(minor) if minor <= AMOUNT_MAX => Ok(minor),
        _ => refuse(AmountError::TooLarge { maximum: number(AMOUNT_MAX, currency) }),
    }
}
