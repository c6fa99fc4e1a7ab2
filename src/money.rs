//! Money: currencies, and amounts in their smallest unit.
//!
//! An amount is stored and calculated in minor units (cents for the euro) and spoken as a
//! [`Decimal`].
//! There is no `+` on amounts: overflow and debt are decided, not discovered.
//!
//! Limits: one amount is at most 10^15 minor units, one balance at most 10^18.
//! Both fit an `i64` with room to spare, so the sum of a balance and a few amounts cannot overflow.

use std::{fmt, str};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The largest balance of one wallet, available and held together, in minor units.
pub(crate) const BALANCE_MAX: i64 = 1_000_000_000_000_000_000;

/// A currency: its code, and the number of decimals its amounts have.
///
/// The crate does not look codes up anywhere: points of a game or hours of a time bank are
/// currencies too.
/// Two currencies are equal if both the code and the exponent are.
/// As serde sees it, a currency is `{"code": "EUR", "exponent": 2}`.
///
/// # Example: a currency of whole points
///
/// ```
/// use auction_ledger::Currency;
///
/// let points = Currency::new("POINTS", 0)?;
/// assert_eq!(points.to_string(), "POINTS");
/// assert_eq!(points.exponent(), 0);
/// assert_eq!(Currency::new("EUR", 2)?, Currency::EUR);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub struct Currency {
    /// The code, filled up with zero bytes: inline, so that a currency is `Copy`, and ordered like
    /// its text.
    code: [u8; Self::CODE_MAX],
    exponent: u8,
}

impl Currency {
    const CODE_MIN: usize = 3;
    const CODE_MAX: usize = 10;
    /// With 12 decimals the largest amount is still a thousand whole units; with more it would soon
    /// be less than one.
    const EXPONENT_MAX: u8 = 12;

    /// The euro, with two decimals.
    pub const EUR: Self = Self::known(*b"EUR", 2);
    /// The dollar of the United States, with two decimals.
    pub const USD: Self = Self::known(*b"USD", 2);
    /// The pound sterling, with two decimals.
    pub const GBP: Self = Self::known(*b"GBP", 2);
    /// The yen, which has no decimals.
    pub const JPY: Self = Self::known(*b"JPY", 0);
    /// The won of South Korea, which has no decimals.
    pub const KRW: Self = Self::known(*b"KRW", 0);

    /// Makes a currency from a code of 3 to 10 ASCII upper-case letters or digits, and 0 to 12
    /// decimals.
    ///
    /// An exponent of 2 means that one unit is 10^2 minor units.
    /// One amount is at most 10^15 minor units; that is why there are at most 12 decimals.
    ///
    /// # Errors
    ///
    /// [`CurrencyError::InvalidCode`], then [`CurrencyError::InvalidExponent`].
    ///
    /// # Example: what is not a currency
    ///
    /// ```
    /// use auction_ledger::{Currency, CurrencyError};
    ///
    /// assert_eq!(Currency::new("eur", 2), Err(CurrencyError::InvalidCode));
    /// assert_eq!(Currency::new("ETH", 18), Err(CurrencyError::InvalidExponent { exponent: 18 }));
    /// ```
    pub fn new(code: &str, exponent: u8) -> Result<Self, CurrencyError> {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if code.len() < Self::CODE_MIN || !code.bytes().all(allowed) {
            return Err(CurrencyError::InvalidCode);
        }
        let mut inline = [0; Self::CODE_MAX];
        let place = inline.get_mut(..code.len()).ok_or(CurrencyError::InvalidCode)?;
        place.copy_from_slice(code.as_bytes());
        if exponent > Self::EXPONENT_MAX {
            return Err(CurrencyError::InvalidExponent { exponent });
        }
        Ok(Self { code: inline, exponent })
    }

    /// The code, for example `EUR`.
    #[expect(
        clippy::missing_panics_doc,
        reason = "only `new` and `known` fill the code, with ASCII"
    )]
    pub fn code(&self) -> &str {
        let end = self.code.iter().position(|byte| *byte == 0).unwrap_or(Self::CODE_MAX);
        str::from_utf8(&self.code[..end]).expect("a code is made of ASCII letters and digits")
    }

    /// The number of decimals: 2 for the euro, 0 for the yen.
    pub const fn exponent(&self) -> u8 {
        self.exponent
    }

    /// The largest single amount in this currency: 10^15 minor units.
    ///
    /// ```
    /// use auction_ledger::Currency;
    ///
    /// assert_eq!(Currency::EUR.maximum().to_string(), "10000000000000.00");
    /// assert_eq!(Currency::JPY.maximum().to_string(), "1000000000000000");
    /// ```
    pub fn maximum(&self) -> Decimal {
        self.decimal(Amount::MAX)
    }

    /// Reads an amount of money that somebody asks to move or to bid: more than zero, and exact.
    ///
    /// Zeros at the end are not precision: `10.500` is ten euros and fifty cents.
    ///
    /// # Errors
    ///
    /// [`AmountError::NotPositive`], [`AmountError::TooPrecise`], [`AmountError::TooLarge`], in
    /// this order.
    pub(crate) fn amount(&self, value: Decimal) -> Result<Amount, AmountError> {
        if value <= Decimal::ZERO {
            return Err(AmountError::NotPositive);
        }
        let value = value.normalize();
        let Some(missing) = u32::from(self.exponent).checked_sub(value.scale()) else {
            return Err(AmountError::TooPrecise {
                decimals: value.scale(),
                exponent: self.exponent,
            });
        };
        10_i128
            .checked_pow(missing)
            .and_then(|factor| value.mantissa().checked_mul(factor))
            .and_then(|minor| i64::try_from(minor).ok())
            .and_then(Amount::from_minor)
            .ok_or_else(|| AmountError::TooLarge { maximum: self.maximum() })
    }

    /// Speaks an amount, with exactly as many decimals as the currency has.
    pub(crate) fn decimal(&self, amount: Amount) -> Decimal {
        self.decimal_of_minor(amount.minor())
    }

    /// Speaks a balance or a change of one, which may be negative, with exactly as many decimals as
    /// the currency has.
    pub(crate) fn decimal_of_minor(&self, minor: i64) -> Decimal {
        Decimal::new(minor, u32::from(self.exponent))
    }

    const fn known(code: [u8; 3], exponent: u8) -> Self {
        let [a, b, c] = code;
        Self { code: [a, b, c, 0, 0, 0, 0, 0, 0, 0], exponent }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Currency")
            .field("code", &self.code())
            .field("exponent", &self.exponent)
            .finish()
    }
}

/// What serde reads and writes for a [`Currency`].
#[derive(Serialize, Deserialize)]
struct Plain {
    code: String,
    exponent: u8,
}

impl TryFrom<Plain> for Currency {
    type Error = CurrencyError;

    fn try_from(plain: Plain) -> Result<Self, CurrencyError> {
        Self::new(&plain.code, plain.exponent)
    }
}

impl From<Currency> for Plain {
    fn from(currency: Currency) -> Self {
        Self { code: currency.code().to_owned(), exponent: currency.exponent }
    }
}

/// Why a [`Currency`] could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CurrencyError {
    /// The code is shorter or longer than allowed, or has other characters than ASCII upper-case
    /// letters and digits.
    #[error("a currency code is 3 to 10 upper-case letters or digits")]
    InvalidCode,
    /// There are more decimals than the ledger can count with.
    #[error("a currency has at most 12 decimals, not {exponent}")]
    InvalidExponent {
        /// The exponent that was asked for.
        exponent: u8,
    },
}

/// Money in minor units, from zero to [`Amount::MAX`]. Which currency it is, its surroundings know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Amount(i64);

impl Amount {
    pub(crate) const ZERO: Self = Self(0);
    pub(crate) const ONE: Self = Self(1);
    pub(crate) const MAX: Self = Self(1_000_000_000_000_000);

    /// `None` if `minor` is negative or more than [`Amount::MAX`].
    pub(crate) const fn from_minor(minor: i64) -> Option<Self> {
        if 0 <= minor && minor <= Self::MAX.0 { Some(Self(minor)) } else { None }
    }

    pub(crate) const fn minor(self) -> i64 {
        self.0
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `None` if `other` is more than `self`.
    pub(crate) fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).and_then(Self::from_minor)
    }

    /// `None` if the sum is more than [`Amount::MAX`].
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::from_minor)
    }

    /// A part of it in hundredths of a percent; `None` if that is more than [`Amount::MAX`].
    pub(crate) fn part(self, basis_points: u32, rounding: Rounding) -> Option<Self> {
        let product = i128::from(self.0).checked_mul(i128::from(basis_points))?;
        let product = match rounding {
            Rounding::Down => product,
            Rounding::Up => product.checked_add(9_999)?,
        };
        i64::try_from(product.checked_div(10_000)?).ok().and_then(Self::from_minor)
    }

    /// The change of a balance that gains this amount.
    pub(crate) const fn gain(self) -> i64 {
        self.0
    }

    /// The change of a balance that loses this amount.
    pub(crate) const fn loss(self) -> i64 {
        self.0.checked_neg().expect("an amount is not negative, so its negation fits")
    }
}

/// Where a part of an amount goes that is not a whole minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    Down,
    Up,
}

/// Why a number is not an amount of money in a currency.
///
/// Nothing is rounded: what the ledger would have to guess, it refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// The amount is zero or negative.
    #[error("an amount must be more than zero")]
    NotPositive,
    /// The amount has more decimals than the currency.
    #[error("{decimals} decimals are given and the currency has {exponent}")]
    TooPrecise {
        /// How many decimals the amount has, zeros at its end not counted.
        decimals: u32,
        /// How many decimals the currency has.
        exponent: u8,
    },
    /// The amount is more than 10^15 minor units.
    #[error("an amount is at most {maximum}")]
    TooLarge {
        /// The largest amount in this currency.
        maximum: Decimal,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn zeros_at_the_end_are_not_precision() {
        for (text, minor) in [("10.500", 1050), ("0.01", 1), ("7", 700), ("1e3", 100_000)] {
            let value = Decimal::from_scientific(text).unwrap_or_else(|_| decimal(text));
            assert_eq!(Currency::EUR.amount(value), Ok(Amount(minor)), "{text}");
        }
        assert_eq!(Currency::JPY.amount(decimal("7.000")), Ok(Amount(7)));
    }

    #[test]
    fn amounts_are_refused_in_order() {
        let maximum = decimal("10000000000000.00");
        for (text, error) in [
            ("-0.001", AmountError::NotPositive),
            ("0.000", AmountError::NotPositive),
            ("99999999999999.001", AmountError::TooPrecise { decimals: 3, exponent: 2 }),
            ("10000000000000.01", AmountError::TooLarge { maximum }),
        ] {
            assert_eq!(Currency::EUR.amount(decimal(text)), Err(error), "{text}");
        }
        assert_eq!(Currency::EUR.amount(maximum), Ok(Amount::MAX));
    }

    #[test]
    fn no_decimal_panics() {
        let finest = Decimal::from_i128_with_scale(1, 28);
        let minus_zero = -Decimal::ZERO;
        for exponent in 0..=12 {
            let currency = Currency::new("XTS", exponent).unwrap();
            let too_large = AmountError::TooLarge { maximum: currency.maximum() };
            assert_eq!(currency.amount(Decimal::MAX), Err(too_large));
            assert_eq!(currency.amount(Decimal::MIN), Err(AmountError::NotPositive));
            assert_eq!(currency.amount(minus_zero), Err(AmountError::NotPositive));
            assert_eq!(
                currency.amount(finest),
                Err(AmountError::TooPrecise { decimals: 28, exponent })
            );
            for minor in [i64::MIN, -1, 0, 1, BALANCE_MAX, i64::MAX] {
                let spoken = currency.decimal_of_minor(minor);
                assert_eq!(
                    (spoken.mantissa(), spoken.scale()),
                    (i128::from(minor), u32::from(exponent))
                );
            }
        }
    }

    #[test]
    fn amounts_neither_overflow_nor_fall_below_zero() {
        assert_eq!(Amount::from_minor(-1), None);
        assert_eq!(Amount::from_minor(Amount::MAX.minor() + 1), None);
        assert_eq!(Amount(1).checked_sub(Amount(2)), None);
        assert_eq!(Amount(2).checked_sub(Amount(2)), Some(Amount::ZERO));
        assert_eq!(Amount(3).gain().checked_add(Amount(3).loss()), Some(0));
    }

    #[test]
    fn a_part_is_rounded_as_asked() {
        for (minor, basis_points, down, up) in
            [(10, 500, 0, 1), (20, 500, 1, 1), (999, 1, 0, 1), (7, 10_000, 7, 7), (0, 500, 0, 0)]
        {
            let part = |rounding| Amount(minor).part(basis_points, rounding);
            assert_eq!(part(Rounding::Down), Some(Amount(down)), "{minor} * {basis_points}");
            assert_eq!(part(Rounding::Up), Some(Amount(up)), "{minor} * {basis_points}");
        }
        assert_eq!(Amount::MAX.part(10_000, Rounding::Up), Some(Amount::MAX));
        assert_eq!(Amount::MAX.part(u32::MAX, Rounding::Up), None);
        assert_eq!(Amount::MAX.checked_add(Amount(1)), None);
    }

    #[test]
    fn a_currency_survives_serde_and_orders_by_code() {
        let json = serde_json::to_string(&Currency::EUR).unwrap();
        assert_eq!(json, r#"{"code":"EUR","exponent":2}"#);
        assert_eq!(serde_json::from_str::<Currency>(&json).unwrap(), Currency::EUR);
        assert!(serde_json::from_str::<Currency>(r#"{"code":"euro","exponent":2}"#).is_err());
        let long = Currency::new("EURO567890", 12).unwrap();
        assert_eq!(long.code(), "EURO567890");
        assert!(Currency::EUR < long && long < Currency::GBP);
        for code in ["", "EU", "EURO5678901", "EU€", "EU R", "EU\0R"] {
            assert_eq!(Currency::new(code, 2), Err(CurrencyError::InvalidCode), "{code:?}");
        }
    }
}
