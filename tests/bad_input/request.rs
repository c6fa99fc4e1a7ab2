//! Every command and every query, with inputs of which most are valid and some are wild.

use std::time::Duration;

use auction_ledger::unit_of_work::UnitOfWork;
use auction_ledger::{AuctionId, AuctionTerms, Currency, Error};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::arena::{Arena, Slot};
use super::wild::Text;

/// What a host does at once.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// One request, in a unit of work of its own.
    Alone(Request),
    /// Several, one after the other, in a unit of work of the host.
    Together(Vec<Request>),
}

/// A request as a host sends it. An idempotency key is a part of it, not of the command: its place is here.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) command: Command,
}

#[derive(Clone, Debug)]
pub(super) enum Command {
    Deposit { user: Text, currency: Currency, amount: Decimal, memo: Option<Text> },
    Withdraw { user: Text, currency: Currency, amount: Decimal, memo: Option<Text> },
    Open { seller: Text, title: Text, terms: Terms },
    Bid { lot: Lot, user: Text, amount: Decimal, memo: Option<Text> },
    Buy { lot: Lot, user: Text, memo: Option<Text> },
    Settle { lot: Lot, memo: Option<Text> },
    CloseEarly { lot: Lot, by: Option<Text>, reason: Option<Text> },
    Cancel { lot: Lot, by: Option<Text>, reason: Option<Text> },
    SettleDue { limit: u64 },
    Auction { lot: Lot },
    Bids { lot: Lot, after: i64, limit: u64 },
    Acts { lot: Lot, after: i64, limit: u64 },
    Wallet { user: Text, currency: Currency },
    Entries { user: Text, currency: Currency, after: i64, limit: u64 },
    BalanceAt { user: Text, currency: Currency, at: DateTime<Utc> },
}

/// An auction of the arena, or any id.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lot {
    In(Slot),
    Id(i64),
}

#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) currency: Currency,
    pub(super) start_price: Decimal,
    pub(super) increment: Decimal,
    pub(super) multiple_of: Option<Decimal>,
    pub(super) buy_now: Option<Decimal>,
    pub(super) starts_at: Option<DateTime<Utc>>,
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    At(DateTime<Utc>),
    In(Duration),
}

impl Terms {
    fn build(&self) -> AuctionTerms {
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

impl Lot {
    pub(super) fn id(self, arena: &Arena) -> AuctionId {
        match self {
            Self::In(slot) => arena.auction(slot),
            Self::Id(id) => id.into(),
        }
    }
}

/// What came of a request that was accepted: how many rows a query has read, and what was asked to be so.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// What a caller can check the answer by, in words; `Ok` if all of it holds.
    pub(super) sound: Result<(), String>,
    /// Whether the auction is another one than before.
    pub(super) over: bool,
}

impl Answer {
    fn of<T: std::fmt::Debug>(answer: &T, sound: bool, over: bool) -> Self {
        let sound = if sound { Ok(()) } else { Err(format!("it answered {answer:?}")) };
        Self { sound, over }
    }
}

macro_rules! send {
    ($request:expr, $uow:expr) => {{
        let request = $request;
        match $uow {
            Some(uow) => request.within(uow).await?,
            None => request.await?,
        }
    }};
}

/// Gives a request one of its optional texts.
macro_rules! with {
    ($request:expr, $setter:ident, $text:expr) => {{
        let request = $request;
        match $text {
            Some(text) => request.$setter(text.0.as_str()),
            None => request,
        }
    }};
}

impl Command {
    pub(super) async fn send(
        &self,
        arena: &Arena,
        uow: Option<&UnitOfWork>,
    ) -> Result<Answer, Error> {
        let ledger = &arena.ledger;
        match self {
            Self::Deposit { user, currency, amount, memo } => {
                let wallet = send!(
                    with!(ledger.deposit(user.0.as_str(), *currency, *amount), memo, memo),
                    uow
                );
                let same = wallet.user.as_str() == user.0 && wallet.currency == *currency;
                Ok(Answer::of(&wallet, same && wallet.available >= *amount, false))
            }
            Self::Withdraw { user, currency, amount, memo } => {
                let wallet = send!(
                    with!(ledger.withdraw(user.0.as_str(), *currency, *amount), memo, memo),
                    uow
                );
                let same = wallet.user.as_str() == user.0 && wallet.currency == *currency;
                Ok(Answer::of(&wallet, same && wallet.available >= Decimal::ZERO, false))
            }
            Self::Open { seller, title, terms } => {
                let auction = send!(
                    ledger.open_auction(seller.0.as_str(), title.0.as_str(), terms.build()),
                    uow
                );
                let same = auction.seller.as_str() == seller.0 && auction.title == title.0;
                let terms = auction.start_price == terms.start_price
                    && auction.increment == Some(terms.increment)
                    && auction.buy_now_price == terms.buy_now
                    && auction.multiple_of == terms.multiple_of
                    && auction.starts_at < auction.ends_at;
                Ok(Answer::of(&auction, same && terms && auction.seq == 1, false))
            }
            Self::Bid { .. } | Self::Buy { .. } | Self::Settle { .. } => {
                self.trade(arena, uow).await
            }
            Self::CloseEarly { .. } | Self::Cancel { .. } | Self::SettleDue { .. } => {
                self.end(arena, uow).await
            }
            _ => self.read(arena, uow).await,
        }
    }

    async fn trade(&self, arena: &Arena, uow: Option<&UnitOfWork>) -> Result<Answer, Error> {
        let ledger = &arena.ledger;
        match self {
            Self::Bid { lot, user, amount, memo } => {
                let id = lot.id(arena);
                let bid =
                    send!(with!(ledger.place_bid(id, user.0.as_str(), *amount), memo, memo), uow);
                let same = bid.auction == id
                    && bid.user.as_str() == user.0
                    && bid.maximum.reveal() == *amount;
                Ok(Answer::of(&bid, same && bid.price <= *amount, bid.bought))
            }
            Self::Buy { lot, user, memo } => {
                let id = lot.id(arena);
                let purchase = send!(with!(ledger.buy_now(id, user.0.as_str()), memo, memo), uow);
                let same = purchase.auction == id && purchase.buyer.as_str() == user.0;
                Ok(Answer::of(&purchase, same && purchase.seller != purchase.buyer, true))
            }
            Self::Settle { lot, memo } => {
                let id = lot.id(arena);
                let settlement = send!(with!(ledger.settle(id), memo, memo), uow);
                Ok(Answer::of(&settlement, settlement.auction == id, !settlement.repeated))
            }
            other => panic!("{other:?} is no trade"),
        }
    }

    async fn end(&self, arena: &Arena, uow: Option<&UnitOfWork>) -> Result<Answer, Error> {
        let ledger = &arena.ledger;
        match self {
            Self::CloseEarly { lot, by, reason } => {
                let id = lot.id(arena);
                let close = with!(with!(ledger.close_early(id), by, by), reason, reason);
                let settlement = send!(close, uow);
                Ok(Answer::of(&settlement, settlement.auction == id && !settlement.repeated, true))
            }
            Self::Cancel { lot, by, reason } => {
                let id = lot.id(arena);
                let cancel = with!(with!(ledger.cancel(id), by, by), reason, reason);
                let cancellation = send!(cancel, uow);
                Ok(Answer::of(&cancellation, cancellation.auction == id, true))
            }
            Self::SettleDue { limit } => {
                let sweep = ledger.settle_due(*limit).await?;
                let settled = sweep.settled.len() as u64;
                Ok(Answer::of(&sweep, sweep.failed.is_empty() && settled <= *limit, settled > 0))
            }
            other => panic!("{other:?} ends nothing"),
        }
    }

    async fn read(&self, arena: &Arena, uow: Option<&UnitOfWork>) -> Result<Answer, Error> {
        let ledger = &arena.ledger;
        let page = |seqs: Vec<i64>, after: i64, limit: u64| {
            let sound = seqs.len() as u64 <= limit
                && seqs.is_sorted()
                && seqs.iter().all(|seq| *seq > after);
            Answer::of(&seqs, sound, false)
        };
        match self {
            Self::Auction { lot } => {
                let auction = send!(ledger.auction(lot.id(arena)), uow);
                Ok(Answer::of(&auction, auction.id == lot.id(arena), false))
            }
            Self::Bids { lot, after, limit } => {
                let bids = send!(ledger.bids(lot.id(arena)).after(*after).limit(*limit), uow);
                Ok(page(bids.iter().map(|bid| bid.seq).collect(), *after, *limit))
            }
            Self::Acts { lot, after, limit } => {
                let acts = send!(ledger.acts(lot.id(arena)).after(*after).limit(*limit), uow);
                Ok(page(acts.iter().map(|act| act.seq).collect(), *after, *limit))
            }
            Self::Wallet { user, currency } => {
                let wallet = send!(ledger.wallet(user.0.as_str(), *currency), uow);
                Ok(Answer::of(
                    &wallet,
                    wallet.user.as_str() == user.0 && wallet.currency == *currency,
                    false,
                ))
            }
            Self::Entries { user, currency, after, limit } => {
                let entries = send!(
                    ledger.entries(user.0.as_str(), *currency).after(*after).limit(*limit),
                    uow
                );
                Ok(page(entries.iter().map(|entry| entry.seq).collect(), *after, *limit))
            }
            Self::BalanceAt { user, currency, at } => {
                let wallet = send!(ledger.balance_at(user.0.as_str(), *currency, *at), uow);
                let nothing = wallet.available.is_zero() && wallet.held.is_zero();
                Ok(Answer::of(&wallet, nothing || *at >= super::start(), false))
            }
            other => panic!("{other:?} is no query"),
        }
    }

    /// Whether it can change anything at all.
    pub(super) fn is_query(&self) -> bool {
        matches!(
            self,
            Self::Auction { .. }
                | Self::Bids { .. }
                | Self::Acts { .. }
                | Self::Wallet { .. }
                | Self::Entries { .. }
                | Self::BalanceAt { .. }
        )
    }

    pub(super) fn lot(&self) -> Option<Lot> {
        match self {
            Self::Bid { lot, .. }
            | Self::Buy { lot, .. }
            | Self::Settle { lot, .. }
            | Self::CloseEarly { lot, .. }
            | Self::Cancel { lot, .. }
            | Self::Auction { lot }
            | Self::Bids { lot, .. }
            | Self::Acts { lot, .. } => Some(*lot),
            _ => None,
        }
    }
}
