//! Opening an auction.

use sea_orm::{ActiveModelTrait, ActiveValue::Set};

use super::AuctionLedger;
use super::auction_terms::AuctionTerms;
use super::canonical::Canonical;
use super::dispatch::Telling;
use super::once::{self, Once, Slot};
use super::outcome::{CommandRef, Done};
use super::query::Auction;
use super::receipt::{self, Outcome};
use super::request::verb;
use super::save::{self, Changes};
use super::{store, terms_row};
use crate::entity::{act, auction};
use crate::error::{self, Error};
use crate::id::{OperationId, UserId};
use crate::money::Amount;
use crate::rules::{Standing, Terms};
use crate::unit_of_work::UnitOfWork;

impl AuctionLedger {
    /// Opens an auction of `seller`, and makes the seller's wallet if there is none. No money moves.
    ///
    /// `title` has 1 to 200 characters.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the title), [`Error::InvalidTerms`] without an end and of a setting that needs bids or another
    /// setting, [`Error::InvalidAmount`] of the start price, the increments, the multiple, the buy-now price, the reserve, the premium and the fee,
    /// [`Error::InvalidTerms`],
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

    fn operation(&self) -> OperationId {
        self.once.operation
    }

    fn precheck(&self) -> Result<(), Error> {
        self.once.precheck(Some(&self.seller), || error::title(&self.title))
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
        let owner = (&self.seller, self.terms.currency());
        let (seller, now) = store::lock_or_make_wallet(uow, self.ledger, owner).await?;
        // From here the opening must succeed: every refusal has been given above.
        let standing = Standing::opened(seller.id, &terms, now);
        let row = insert(uow, &self.title, &terms, &standing).await?;
        let opened = act::Model {
            auction_id: row.id,
            seq: standing.seq,
            operation: self.once.operation.get(),
            kind: act::Kind::Opened,
            wallet_id: Some(seller.id.get()),
            amount: terms.reserve.map(Amount::minor),
            reason: None,
            at: now.get(),
            bid_seq: None,
            ends_at: None,
        };
        let outcome = Outcome::Opened(Auction::of(&row, self.seller.clone(), None)?);
        let command = CommandRef::on_auction(self.once.operation, row.id.into(), standing.seq);
        let claimed = self.slot().map(|slot| slot.reply(&outcome, &command, now)).transpose()?;
        save::save(uow, Changes { acts: vec![opened], claimed, ..Changes::default() }).await?;
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
        let opened = receipt::opened(&self.title, &self.seller, terms);
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
    let row = auction::ActiveModel {
        title: Set(title.to_owned()),
        seller_wallet_id: Set(standing.seller.get()),
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
        ..terms_row::write(terms)
    };
    Ok(row.insert(uow).await?)
}
