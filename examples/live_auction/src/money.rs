//! Amounts as a bidder types and reads them: decimals, never floats, and nothing is rounded.

use auction_ledger::Currency;
use rust_decimal::Decimal;

/// An amount of the ledger has 16 digits at most.
const LONGEST: usize = 24;

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAmount {
    Empty,
    Negative,
    NotDigits,
    /// It has more decimals than the currency.
    TooPrecise,
}

/// Reads digits, and decimals behind a point or a comma: the keyboard of a phone has the one or the other.
///
/// `1,000` is a thousand to some and one to others. Where a currency has three decimals or more the comma is refused, and
/// where it has fewer three digits behind a comma are too many: nobody bids what they did not mean.
pub(crate) fn parse(text: &str, currency: Currency) -> Result<Decimal, NoAmount> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NoAmount::Empty);
    }
    if text.len() > LONGEST {
        return Err(NoAmount::NotDigits);
    }
    if text.starts_with('-') {
        return Err(NoAmount::Negative);
    }
    let text = match currency.exponent() {
        0..=2 => text.replace(',', "."),
        _ => text.to_owned(),
    };
    let (whole, decimals) = match text.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (text.as_str(), None),
    };
    // Not `char::is_numeric`: other scripts have digits, too, and `1e3` is a number to many parsers.
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !decimals.is_none_or(digits) {
        return Err(NoAmount::NotDigits);
    }
    if decimals.is_some_and(|decimals| decimals.len() > usize::from(currency.exponent())) {
        return Err(NoAmount::TooPrecise);
    }
    text.parse().map_err(|_| NoAmount::NotDigits)
}

/// An amount with its currency. The ledger gives it as many decimals as the currency has.
pub(crate) fn spoken(amount: Decimal, currency: Currency) -> String {
    format!("{amount} {currency}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_amounts() {
        for (text, amount) in
            [("12", "12"), (" 12.5 ", "12.5"), ("12,50", "12.50"), ("0.01", "0.01"), ("007", "7")]
        {
            assert_eq!(parse(text, Currency::EUR), Ok(amount.parse().unwrap()), "{text}");
        }
        assert_eq!(parse("5000", Currency::JPY), Ok(5000.into()));
    }

    #[test]
    fn everything_else_is_not() {
        for (text, problem) in [
            ("", NoAmount::Empty),
            ("  ", NoAmount::Empty),
            ("-1", NoAmount::Negative),
            ("1e3", NoAmount::NotDigits),
            ("+1", NoAmount::NotDigits),
            ("0x10", NoAmount::NotDigits),
            ("1_000", NoAmount::NotDigits),
            ("1 000", NoAmount::NotDigits),
            ("1.2.3", NoAmount::NotDigits),
            ("1.", NoAmount::NotDigits),
            (".5", NoAmount::NotDigits),
            ("NaN", NoAmount::NotDigits),
            ("inf", NoAmount::NotDigits),
            ("١٢", NoAmount::NotDigits),
            ("１２", NoAmount::NotDigits),
            ("12\0", NoAmount::NotDigits),
            ("9999999999999999999999999", NoAmount::NotDigits),
            ("12.345", NoAmount::TooPrecise),
            ("1,000", NoAmount::TooPrecise),
        ] {
            assert_eq!(parse(text, Currency::EUR), Err(problem), "{text:?}");
        }
        let dinar = Currency::new("KWD", 3).unwrap();
        assert_eq!(parse("1,000", dinar), Err(NoAmount::NotDigits));
        assert_eq!(parse("1.000", dinar), Ok(Decimal::new(1_000, 3)));
    }
}
