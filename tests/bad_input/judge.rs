//! What an input must be answered with, as far as the input alone decides it: written from the documentation, in its check
//! order.

use auction_ledger::{AmountError, Currency, Error, TextError, UserIdError};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::request::{Command, End, Terms};
use super::wild::Text;

/// The answer that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// This refusal, before any row is read.
    Refusal(String),
    /// This refusal, unless the auction is unknown, or counts another way.
    LateRefusal(String),
    /// What the rows decide.
    Judgement,
}

/// The kind of an answer, for the tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Accepted,
    Rejected,
    UnknownAuction,
    CurrencyMismatch,
    /// The text, the number or the terms are wrong.
    Invalid,
}

/// The refusal that an error is, in the words of this judge; `None` if the rows decided it.
fn refusal(error: &Error) -> Option<String> {
    Some(match error {
        Error::InvalidUser(error) => format!("user: {error:?}"),
        Error::InvalidText { what, error } => format!("{what}: {error:?}"),
        Error::InvalidAmount { what, error } => format!("{what}: {error:?}"),
        Error::InvalidTerms(error) => {
            let variant = format!("{error:?}");
            format!("terms: {}", variant.split_whitespace().next().unwrap_or_default())
        }
        _ => return None,
    })
}

/// Compares an answer with what is due.
pub(super) fn judge<T>(due: &Due, answer: &Result<T, Error>) -> Result<Kind, String> {
    let kind = match answer {
        Ok(_) => Kind::Accepted,
        Err(Error::Rejected(_)) => Kind::Rejected,
        Err(Error::UnknownAuction { .. }) => Kind::UnknownAuction,
        Err(Error::CurrencyMismatch { .. }) => Kind::CurrencyMismatch,
        Err(error) if refusal(error).is_some() => Kind::Invalid,
        Err(error) => return Err(format!("an input is no failure of the database: {error:?}")),
    };
    let given = answer.as_ref().err().and_then(refusal);
    let just = match due {
        Due::Refusal(refusal) => given.as_ref() == Some(refusal),
        Due::LateRefusal(refusal) => {
            given.as_ref() == Some(refusal)
                || matches!(kind, Kind::UnknownAuction | Kind::CurrencyMismatch)
        }
        Due::Judgement => kind != Kind::Invalid,
    };
    let error = answer.as_ref().err();
    if just { Ok(kind) } else { Err(format!("due is {due:?}, and the answer is {error:?}")) }
}

/// What is due to a command at `now`.
pub(super) fn due(command: &Command, now: DateTime<Utc>) -> Due {
    let first = match command {
        Command::Deposit { user, currency, amount, memo }
        | Command::Withdraw { user, currency, amount, memo } => {
            let number = || wrong_amount("amount", *currency, *amount);
            wrong_user(user).or_else(|| wrong_memo(memo)).or_else(number)
        }
        Command::Open { seller, title, terms } => {
            wrong_user(seller).or_else(|| wrong_title(title)).or_else(|| wrong_terms(terms, now))
        }
        Command::Bid { user, memo, .. } | Command::Buy { user, memo, .. } => {
            wrong_user(user).or_else(|| wrong_memo(memo))
        }
        Command::Settle { memo, .. } => wrong_memo(memo),
        Command::CloseEarly { by, reason, .. } | Command::Cancel { by, reason, .. } => {
            by.as_ref().and_then(wrong_user).or_else(|| wrong_reason(reason))
        }
        Command::Wallet { user, .. }
        | Command::Entries { user, .. }
        | Command::BalanceAt { user, .. } => wrong_user(user),
        Command::SettleDue { .. }
        | Command::Auction { .. }
        | Command::Bids { .. }
        | Command::Acts { .. } => None,
    };
    first.map_or(Due::Judgement, Due::Refusal)
}

/// What is due to a bid whose auction counts in `currency`.
pub(super) fn due_of_bid(amount: Decimal, currency: Currency) -> Due {
    wrong_amount("amount", currency, amount).map_or(Due::Judgement, Due::LateRefusal)
}

fn wrong_user(Text(user): &Text) -> Option<String> {
    let error = match user.len() {
        0 => UserIdError::Empty,
        bytes @ 65.. => UserIdError::TooLong { bytes },
        _ if user.contains('\0') => UserIdError::ContainsNul,
        _ => return None,
    };
    Some(format!("user: {error:?}"))
}

fn wrong_title(title: &Text) -> Option<String> {
    if title.0.is_empty() {
        return Some(format!("title: {:?}", TextError::Empty));
    }
    wrong_text("title", &title.0, title.0.chars().count(), "characters")
}

fn wrong_memo(memo: &Option<Text>) -> Option<String> {
    let memo = memo.as_ref()?;
    wrong_text("memo", &memo.0, memo.0.len(), "bytes")
}

fn wrong_reason(reason: &Option<Text>) -> Option<String> {
    let reason = reason.as_ref()?;
    wrong_text("reason", &reason.0, reason.0.chars().count(), "characters")
}

fn wrong_text(what: &str, text: &str, length: usize, unit: &'static str) -> Option<String> {
    let error = match length {
        201.. => TextError::TooLong { length, limit: 200, unit },
        _ if text.contains('\0') => TextError::ContainsNul,
        _ => return None,
    };
    Some(format!("{what}: {error:?}"))
}

/// The number in minor units, or what is wrong with it. Digits are counted as a text would be read.
fn minor(currency: Currency, amount: Decimal) -> Result<i128, AmountError> {
    let (mut mantissa, mut scale) = (amount.mantissa(), amount.scale());
    if mantissa <= 0 {
        return Err(AmountError::NotPositive);
    }
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    let exponent = u32::from(currency.exponent());
    if scale > exponent {
        return Err(AmountError::TooPrecise { decimals: scale, exponent: currency.exponent() });
    }
    let minor = mantissa.checked_mul(10_i128.pow(exponent - scale));
    let minor = minor.filter(|minor| *minor <= 10_i128.pow(15));
    minor.ok_or(AmountError::TooLarge { maximum: currency.maximum() })
}

fn wrong_amount(what: &str, currency: Currency, amount: Decimal) -> Option<String> {
    minor(currency, amount).err().map(|error| format!("{what}: {error:?}"))
}

fn wrong_terms(terms: &Terms, now: DateTime<Utc>) -> Option<String> {
    let Some(end) = terms.end else {
        return Some("terms: MissingEnd".to_owned());
    };
    let wrong = |what, amount| wrong_amount(what, terms.currency, amount);
    let of = |amount| minor(terms.currency, amount).unwrap_or(0);
    let optional = |what, amount: Option<Decimal>| amount.and_then(|amount| wrong(what, amount));
    let number = wrong("start price", terms.start_price)
        .or_else(|| wrong("increment", terms.increment))
        .or_else(|| optional("multiple", terms.multiple_of))
        .or_else(|| optional("buy-now price", terms.buy_now));
    if number.is_some() {
        return number;
    }
    let starts_at = micros(terms.starts_at.unwrap_or(now));
    let ends_at = match end {
        End::At(at) => micros(at),
        // What is later than the last microsecond that a database can count is at that one.
        End::In(duration) => {
            let micros = i128::try_from(duration.as_micros()).unwrap_or(i128::MAX);
            starts_at.saturating_add(micros).min(i128::from(i64::MAX))
        }
    };
    let (start_price, increment) = (of(terms.start_price), of(terms.increment));
    let off = |amount: i128| terms.multiple_of.is_some_and(|step| amount % of(step) != 0);
    let error = if ends_at <= starts_at {
        "EndNotAfterStart"
    } else if terms.buy_now.is_some_and(|price| of(price) <= start_price) {
        "BuyNowNotAboveStart"
    } else if off(start_price) {
        "StartPriceOffGrid"
    } else if off(increment) {
        "IncrementOffGrid"
    } else if terms.buy_now.is_some_and(|price| off(of(price))) {
        "BuyNowOffGrid"
    } else {
        return None;
    };
    Some(format!("terms: {error}"))
}

fn micros(at: DateTime<Utc>) -> i128 {
    i128::from(at.timestamp()) * 1_000_000 + i128::from(at.timestamp_subsec_nanos() / 1_000)
}
