//! Opening an auction, and the terms it promises.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, ActiveValue::Set};

use super::AuctionLedger;
use super::canonical::Canonical;
use super::dispatch::Telling;
use super::once::{self, Once, Slot};
use super::outcome::{CommandRef, Done};
use super::query::Auction;
use super::receipt::{self, Outcome};
use super::request::verb;
use super::save::{self, Changes};
use super::store;
use crate::entity::{act, auction};
use crate::error::{self, Error};
use crate::event::EventKind;
use crate::id::UserId;
use crate::money::{Amount, Currency};
use crate::rules::{Increment, Micros, Standing, Terms, TermsError};
use crate::unit_of_work::UnitOfWork;

/// What an auction promises: the currency, the prices and the times.
///
/// An end is required: [`ends_at`](Self::ends_at) or [`ends_in`](Self::ends_in). All amounts are in the currency of the
/// terms, more than zero and at most 10^15 minor units. Terms are checked when the auction is opened, and cannot change
/// afterwards.
///
/// # Example: bids in whole tens, to be bought for 500
///
/// ```
/// use std::time::Duration;
/// use auction_ledger::{AuctionTerms, Currency};
///
/// let terms = AuctionTerms::english(Currency::EUR, 50.into(), 10.into())
///     .multiple_of(10.into())
///     .buy_now(500.into())
///     .ends_in(Duration::from_secs(3 * 24 * 3600));
/// assert_eq!(terms.currency(), Currency::EUR);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuctionTerms {
    currency: Currency,
    start_price: Decimal,
    increment: Decimal,
    multiple_of: Option<Decimal>,
    buy_now: Option<Decimal>,
    starts_at: Option<DateTime<Utc>>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    At(DateTime<Utc>),
    In(Duration),
}

impl AuctionTerms {
    /// An English auction: open ascending bids, each the price to pay, the first at least `start_price` and every further
    /// one at least `increment` above the price, also the leader's own.
    #[must_use]
    pub fn english(currency: Currency, start_price: Decimal, increment: Decimal) -> Self {
        Self {
            currency,
            start_price,
            increment,
            multiple_of: None,
            buy_now: None,
            starts_at: None,
            end: None,
        }
    }

    /// Bids must be multiples of `step`, counted from zero. The start price, the increment and the buy-now price must be
    /// too. Default: any amount of the currency.
    #[must_use]
    pub fn multiple_of(mut self, step: Decimal) -> Self {
        self.multiple_of = Some(step);
        self
    }

    /// The auction can be bought at `price` while its own price is lower. It must be above the start price. Default: it
    /// cannot.
    #[must_use]
    pub fn buy_now(mut self, price: Decimal) -> Self {
        self.buy_now = Some(price);
        self
    }

    /// The first instant at which a bid counts, truncated to microseconds. Default: the opening.
    #[must_use]
    pub fn starts_at(mut self, at: DateTime<Utc>) -> Self {
        self.starts_at = Some(at);
        self
    }

    /// The first instant at which no bid counts any more, truncated to microseconds.
    #[must_use]
    pub fn ends_at(mut self, at: DateTime<Utc>) -> Self {
        self.end = Some(End::At(at));
        self
    }

    /// The end, counted from the start of the auction.
    #[must_use]
    pub fn ends_in(mut self, duration: Duration) -> Self {
        self.end = Some(End::In(duration));
        self
    }

    /// The currency of the amounts.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.currency
    }

    fn encode(&self, request: Canonical) -> Canonical {
        let micros = |at: DateTime<Utc>| at.timestamp_micros();
        let (at, within) = match self.end {
            Some(End::At(at)) => (Some(micros(at)), None),
            Some(End::In(duration)) => {
                (None, Some(i128::try_from(duration.as_micros()).unwrap_or(i128::MAX)))
            }
            None => (None, None),
        };
        request
            .text(self.currency.code())
            .number(self.currency.exponent())
            .amount(self.start_price)
            .amount(self.increment)
            .optional(self.multiple_of, Canonical::amount)
            .optional(self.buy_now, Canonical::amount)
            .optional(self.starts_at.map(micros), Canonical::number)
            .optional(at, Canonical::number)
            .optional(within, Canonical::number)
    }

    /// The terms in minor units and microseconds, checked. `now` is the start if none was given.
    fn promise(&self, now: Micros) -> Result<Terms, Error> {
        let amount = |what, value: Decimal| {
            self.currency.amount(value).map_err(|error| Error::InvalidAmount { what, error })
        };
        let optional =
            |what, value: Option<Decimal>| value.map(|value| amount(what, value)).transpose();
        let starts_at = self.starts_at.map_or(now, Micros::from);
        let ends_at = match self.end.ok_or(TermsError::MissingEnd)? {
            End::At(at) => at.into(),
            End::In(duration) => {
                let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
                Micros::new(starts_at.get().saturating_add(micros))
            }
        };
        let terms = Terms {
            currency: self.currency,
            start_price: amount("start price", self.start_price)?,
            increment: Increment::Fixed(amount("increment", self.increment)?),
            multiple_of: optional("multiple", self.multiple_of)?,
            buy_now_price: optional("buy-now price", self.buy_now)?,
            starts_at,
            ends_at,
        };
        Ok(terms.validated()?)
    }
}

impl AuctionLedger {
    /// Opens an auction of `seller`, and makes the seller's wallet if there is none. No money moves.
    ///
    /// `title` has 1 to 200 characters.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the title), [`Error::InvalidTerms`] without an end, [`Error::InvalidAmount`] of the
    /// start price, the increment, the multiple and the buy-now price, [`Error::InvalidTerms`],
    /// [`Error::CurrencyMismatch`]. Nothing is written. Then [`Error::NotStrict`], [`Error::UnitOfWork`],
    /// [`Error::Database`], [`Error::MigrationsMissing`], [`Error::Damaged`]: nothing is stored. And
    /// [`Error::CommitUnknown`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before COMMIT is sent: nothing happened. Dropped while COMMIT is under way: wholly or not at all; sent again
    /// with the same key, it happens once. Within a unit of work, a drop breaks its innermost block.
    ///
    /// # Locking
    ///
    /// The seller's wallet.
    ///
    /// # Example: open for an hour
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let terms = AuctionTerms::english(Currency::KRW, 10_000.into(), 1_000.into()).ends_in(Duration::from_secs(3600));
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?;
    /// assert_eq!(auction.next_minimum, Some(10_000.into()));
    /// # Ok(()) }
    /// ```
    pub fn open_auction(
        &self,
        seller: impl Into<UserId>,
        title: impl Into<String>,
        terms: AuctionTerms,
    ) -> OpenAuction<'_> {
        OpenAuction {
            ledger: self,
            within: None,
            seller: seller.into(),
            title: title.into(),
            terms,
            once: Once::new(),
        }
    }
}

/// An auction to be opened: [`AuctionLedger::open_auction`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct OpenAuction<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    seller: UserId,
    title: String,
    terms: AuctionTerms,
    once: Once,
}

impl OpenAuction<'_> {
    fn once(&mut self) -> &mut Once {
        &mut self.once
    }

    fn precheck(&self) -> Result<(), Error> {
        self.seller.validate()?;
        self.once.check()?;
        if self.once.key.is_some() { Ok(()) } else { error::title(&self.title) }
    }

    fn slot(&self) -> Option<Slot> {
        self.once.slot(Some(&self.seller), || {
            let request = Canonical::of("open_auction").text(&self.title);
            self.terms.encode(request).hash()
        })
    }

    async fn run(&self, uow: &UnitOfWork) -> Result<Done<Auction>, Error> {
        let (clock, slot) = (&self.ledger.clock, self.slot());
        let carried_out = once::carry_out(uow, clock, slot, async || self.carry_out(uow).await);
        carried_out.await?.try_map(|outcome| match outcome {
            Outcome::Opened(auction) => Ok(auction),
            _ => Err(Error::damaged("an opening was answered with something else")),
        })
    }

    async fn carry_out(&self, uow: &UnitOfWork) -> Result<Done<Outcome>, Error> {
        error::title(&self.title)?;
        let terms = self.terms.promise(self.ledger.clock.now(uow).await?)?;
        let owner = (self.seller.clone(), self.terms.currency);
        let (seller, now) = store::lock_or_make_wallet(uow, &self.ledger.clock, &owner).await?;
        // From here the opening must succeed: every refusal has been given above.
        let standing = Standing::opened(seller.id, terms.ends_at, now);
        let row = insert(uow, &self.title, &terms, &standing).await?;
        let opened = act::Model {
            auction_id: row.id,
            seq: standing.seq,
            operation: self.once.operation.get(),
            kind: act::Kind::Opened,
            wallet_id: Some(seller.id.get()),
            amount: None,
            reason: None,
            at: now.get(),
        };
        let outcome = Outcome::Opened(Auction::of(&row, self.seller.clone(), None)?);
        let (seller, currency) = (self.seller.clone(), self.terms.currency);
        let command = CommandRef::opening(self.once.operation, row.id.into(), seller, currency);
        let reply = self.slot().map(|slot| slot.reply(&outcome, &command)).transpose()?;
        let (acts, replies) = (vec![opened], reply.into_iter().collect());
        save::save(uow, &Changes { acts, replies, ..Changes::default() }).await?;
        let telling = self.tell(uow, &row, &terms, &standing)?;
        Ok(Done { value: outcome, command, telling })
    }

    fn tell(
        &self,
        uow: &UnitOfWork,
        row: &auction::Model,
        terms: &Terms,
        standing: &Standing,
    ) -> Result<Option<Telling>, Error> {
        let opened = EventKind::Opened {
            title: self.title.clone(),
            seller: self.seller.clone(),
            start_price: terms.currency.decimal(terms.start_price),
            buy_now_price: terms.buy_now_price.map(|price| terms.currency.decimal(price)),
            starts_at: terms.starts_at.datetime(),
            ends_at: terms.ends_at.datetime(),
        };
        let lot = store::lot(row)?;
        let events = receipt::numbered(&lot, standing, std::iter::once(opened));
        Ok(self.ledger.dispatch.stage(uow, lot.id, events))
    }
}

verb!(OpenAuction -> Auction);

async fn insert(
    uow: &UnitOfWork,
    title: &str,
    terms: &Terms,
    standing: &Standing,
) -> Result<auction::Model, Error> {
    let Increment::Fixed(increment) = terms.increment;
    let row = auction::ActiveModel {
        title: Set(title.to_owned()),
        seller_wallet_id: Set(standing.seller.get()),
        currency: Set(terms.currency.code().to_owned()),
        exponent: Set(terms.currency.exponent().into()),
        start_price: Set(terms.start_price.minor()),
        increment: Set(increment.minor()),
        multiple_of: Set(terms.multiple_of.map(Amount::minor)),
        buy_now_price: Set(terms.buy_now_price.map(Amount::minor)),
        starts_at: Set(terms.starts_at.get()),
        original_ends_at: Set(terms.ends_at.get()),
        ends_at: Set(standing.ends_at.get()),
        state: Set(auction::State::Open),
        seq: Set(standing.seq),
        last_at: Set(standing.last_at.get()),
        leader_wallet_id: Set(None),
        leader_max: Set(None),
        leader_seq: Set(None),
        price: Set(None),
        runner_up_max: Set(None),
        winner_wallet_id: Set(None),
        sold_price: Set(None),
        ..Default::default()
    };
    Ok(row.insert(uow).await?)
}
