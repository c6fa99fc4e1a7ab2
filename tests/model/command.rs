//! What is asked of a ledger, in names.

use std::time::Duration;

use auction_ledger::{AuctionTerms, Currency};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Deposit(Transfer),
    Withdraw(Transfer),
    Open {
        seller: String,
        title: String,
        terms: Promise,
    },
    On {
        /// The auction, by the order of the openings; beyond the last, there is none.
        lot: usize,
        wish: Wish,
        /// Who wants it; `None` is the house.
        user: Option<String>,
        /// The memo of a bid, a purchase and a settlement; the reason of an early close and a cancellation.
        note: Option<String>,
    },
    /// With an idempotency key.
    Keyed {
        key: String,
        command: Box<Command>,
    },
    /// In one unit of work of the host, which is committed or, if not to `keep`, rolled back.
    Together {
        commands: Vec<Command>,
        keep: bool,
    },
}

impl Command {
    /// Who gives it; `None` is the house.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::Deposit(transfer) | Self::Withdraw(transfer) => Some(&transfer.user),
            Self::Open { seller, .. } => Some(seller),
            Self::On { user, .. } => user.as_deref(),
            Self::Keyed { command, .. } => command.user(),
            Self::Together { .. } => None,
        }
    }

    /// The same without its key.
    pub(super) fn bare(&self) -> &Self {
        match self {
            Self::Keyed { command, .. } => command,
            other => other,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) user: String,
    pub(super) currency: Currency,
    pub(super) amount: Decimal,
    pub(super) memo: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Bid(Decimal),
    Buy,
    Settle,
    CloseEarly,
    Cancel,
}

/// What a seller promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) currency: Currency,
    pub(super) start_price: Decimal,
    pub(super) increment: Decimal,
    pub(super) multiple_of: Option<Decimal>,
    pub(super) buy_now: Option<Decimal>,
    pub(super) starts_at: Option<DateTime<Utc>>,
    pub(super) end: Option<End>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    At(DateTime<Utc>),
    In(Duration),
}

impl Promise {
    pub(super) fn terms(&self) -> AuctionTerms {
        let mut terms = AuctionTerms::english(self.currency, self.start_price, self.increment);
        if let Some(step) = self.multiple_of {
            terms = terms.multiple_of(step);
        }
        if let Some(price) = self.buy_now {
            terms = terms.buy_now(price);
        }
        if let Some(at) = self.starts_at {
            terms = terms.starts_at(at);
        }
        match self.end {
            Some(End::At(at)) => terms.ends_at(at),
            Some(End::In(duration)) => terms.ends_in(duration),
            None => terms,
        }
    }
}
