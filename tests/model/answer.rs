//! What a ledger answers, in names. Amounts are in words, as a decimal's text: two that are equal and written differently
//! are different answers.

use auction_ledger::{AuctionState, Currency, Error};
use rust_decimal::Decimal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Wallet {
        user: String,
        currency: Currency,
        available: String,
        held: String,
    },
    Opened(View),
    Bid {
        lot: usize,
        seq: i64,
        user: String,
        amount: String,
        price: String,
        currency: Currency,
        bought: bool,
        outbid: Option<(String, String)>,
        ends_at: i64,
        at: i64,
    },
    Purchase {
        lot: usize,
        seq: i64,
        buyer: String,
        seller: String,
        price: String,
        currency: Currency,
        outbid: Option<(String, String)>,
        at: i64,
    },
    Settlement {
        lot: usize,
        seq: i64,
        currency: Currency,
        /// Winner, seller and price.
        sold: Option<(String, String, String)>,
        at: i64,
        repeated: bool,
    },
    Cancellation {
        lot: usize,
        seq: i64,
        currency: Currency,
        released: Option<(String, String)>,
        at: i64,
    },
    /// The whole error, as its `Debug` says it.
    Refused(String),
    Together(Vec<Answer>),
}

/// An auction as everybody may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) lot: usize,
    pub(super) title: String,
    pub(super) seller: String,
    pub(super) currency: Currency,
    pub(super) start_price: String,
    pub(super) increment: String,
    pub(super) multiple_of: Option<String>,
    pub(super) buy_now_price: Option<String>,
    pub(super) starts_at: i64,
    pub(super) ends_at: i64,
    pub(super) state: AuctionState,
    pub(super) leader: Option<String>,
    pub(super) price: Option<String>,
    pub(super) next_minimum: Option<String>,
    pub(super) buy_now_offer: Option<String>,
    pub(super) seq: i64,
}

impl Answer {
    pub(super) fn refused(error: &Error) -> Self {
        Self::Refused(format!("{error:?}"))
    }

    /// The key was used for something else.
    pub(super) fn conflict() -> Self {
        Self::Refused("IdempotencyConflict".to_owned())
    }

    /// What kinds of answer it contains, for the count of what was seen: `Bid`, or `Rejected(BelowMinimum`.
    pub(super) fn kinds(&self) -> Vec<String> {
        match self {
            Self::Together(answers) => answers.iter().flat_map(Self::kinds).collect(),
            Self::Refused(error) => {
                let end = error.find(['{', ')']).unwrap_or(error.len());
                vec![error[..end].trim().to_owned()]
            }
            Self::Bid { bought: true, .. } => vec!["Bid that bought".to_owned()],
            Self::Settlement { sold, repeated, .. } => {
                let sold = if sold.is_some() { "sold" } else { "unsold" };
                let again = if *repeated { " again" } else { "" };
                vec![format!("Settlement {sold}{again}")]
            }
            other => {
                let text = format!("{other:?}");
                vec![text.split([' ', '(']).next().unwrap_or_default().to_owned()]
            }
        }
    }
}

/// Minor units in words: with exactly as many decimals as the currency has.
pub(super) fn words(minor: i64, currency: Currency) -> String {
    let decimals = usize::from(currency.exponent());
    let digits = format!("{:0width$}", minor.unsigned_abs(), width = decimals + 1);
    let (whole, part) = digits.split_at(digits.len() - decimals);
    let sign = if minor < 0 { "-" } else { "" };
    let point = if decimals == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{part}")
}

/// The same as a number, for what is said in numbers.
pub(super) fn number(minor: i64, currency: Currency) -> Decimal {
    words(minor, currency).parse().expect("minor units in words are a number")
}
