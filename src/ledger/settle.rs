//! How auctions end: settled after their end.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::EntityTrait;
use serde::{Deserialize, Serialize};

use super::AuctionLedger;
use super::batch::{Command, Wish};
use super::history::vanished;
use super::once::Once;
use super::outcome::Done;
use super::receipt::Outcome;
use super::request::{Alone, in_line, request};
use super::store::{self, Lot};
use crate::entity::{act, auction};
use crate::error::Error;
use crate::id::{AuctionId, OperationId, UserId, WalletId};
use crate::money::{Amount, Currency};
use crate::rules::{self, AuctionState, Micros, Rejection, Standing};
use crate::unit_of_work::{LockWait, UnitOfWork};

/// What has become of an auction at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settlement {
    /// The auction.
    pub auction: AuctionId,
    /// The number of the command on its auction.
    pub seq: i64,
    /// The operation that the entries of the journal carry.
    pub operation: OperationId,
    /// The auction's currency.
    pub currency: Currency,
    /// The sale; `None` if nobody had bid, or the reserve was not met.
    pub sold: Option<Sale>,
    /// Below its reserve: until when the seller can [accept](AuctionLedger::accept_below_reserve) the price. Until then the
    /// auction is not over, and the leader's money is held.
    #[serde(default)]
    pub awaiting_seller_until: Option<DateTime<Utc>>,
    /// Of a sealed auction: bids are still to be released, so it is not over. Settle it again, as
    /// [`settle_due`](AuctionLedger::settle_due) does.
    #[serde(default)]
    pub releasing: bool,
    /// When it was settled, by the database's clock.
    pub at: DateTime<Utc>,
    /// Whether it had been settled, closed or bought before, and this only says so again.
    pub repeated: bool,
}

impl Settlement {
    /// A batch of sealed bids was released, and the hammer has not fallen.
    pub(super) fn of_release(
        lot: &Lot,
        standing: &Standing,
        operation: OperationId,
        more: bool,
    ) -> Self {
        Self {
            auction: lot.id,
            seq: standing.seq,
            operation,
            currency: lot.terms.currency,
            sold: None,
            awaiting_seller_until: None,
            releasing: more,
            at: standing.last_at.datetime(),
            repeated: false,
        }
    }
}

/// A sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sale {
    /// Who has paid.
    pub winner: UserId,
    /// Who was paid.
    pub seller: UserId,
    /// The price.
    #[serde(with = "rust_decimal::serde::str")]
    pub price: Decimal,
    /// What the winner has paid to the house on top of it.
    #[serde(default, with = "rust_decimal::serde::str")]
    pub premium: Decimal,
    /// What the house has kept of the price: the seller got the rest.
    #[serde(default, with = "rust_decimal::serde::str")]
    pub fee: Decimal,
}

impl Sale {
    pub(super) fn of(
        winner: UserId,
        seller: UserId,
        currency: Currency,
        sale: rules::Sale,
    ) -> Self {
        Self {
            winner,
            seller,
            price: currency.decimal(sale.price),
            premium: currency.decimal(sale.premium),
            fee: currency.decimal(sale.fee),
        }
    }
}

impl AuctionLedger {
    /// Settles an auction whose end has passed: sold to the leader at the price, or unsold.
    ///
    /// The leader's hold pays the price and the buyer's premium, and what is left of it is available again; the seller gets
    /// the price, less the seller's fee, as available money; premium and fee wait for the house to
    /// [collect](Self::collect_house) them. Nothing else moves. Below its reserve it is unsold; if the terms give the seller a
    /// window to accept the price, it waits for that first: see [`Settlement::awaiting_seller_until`].
    ///
    /// A sealed auction releases those who have lost first, 200 at a time: as long as it is
    /// [`releasing`](Settlement::releasing), settle it again. Each time is a command of its own, with a key of its own if it
    /// has one. What was released stays released, whoever goes on with it. An auction that was called off with more sealed
    /// bids than that is settled in the same way, until it is cancelled.
    ///
    /// It is idempotent: an auction that is sold or unsold already is answered with what has become of it,
    /// [`repeated`](Settlement::repeated), and nothing moves.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`], [`Error::InvalidText`] (the
    /// memo), [`Error::UnknownAuction`]; then the rules' [`Rejection`]: cancelled, not ended, the seller can still accept, the
    /// seller's wallet full.
    /// Nothing is written, and a unit of work around it goes on. Then [`Error::NotStrict`], [`Error::UnitOfWork`],
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
    /// The auction; then, ascending and in one query, the wallets of the leader and of the seller, and those of the sealed bids
    /// that are released.
    ///
    /// # Example: won
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// use std::time::Duration;
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_millis(500));
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.place_bid(auction, "ann", 20.into()).await?;
    /// tokio::time::sleep(Duration::from_millis(600)).await;
    ///
    /// let settlement = ledger.settle(auction).await?;
    /// assert_eq!(settlement.sold.unwrap().winner.as_str(), "ann");
    /// assert_eq!(ledger.wallet("sam", Currency::EUR).await?.available, 20.into());
    /// assert!(ledger.settle(auction).await?.repeated);
    /// # Ok(()) }
    /// ```
    pub fn settle(&self, auction: AuctionId) -> Settle<'_> {
        Settle { ledger: self, within: None, command: Command::new(auction, None, Wish::Settle) }
    }
}

/// A settlement to be made: [`AuctionLedger::settle`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Settle<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl Settle<'_> {
    /// A note for the entries of the winner and of the seller: at most 200 bytes, without NUL.
    pub fn memo(mut self, memo: impl Into<String>) -> Self {
        self.command.memo = Some(memo.into());
        self
    }

    fn once(&mut self) -> &mut Once {
        &mut self.command.once
    }

    fn precheck(&self) -> Result<(), Error> {
        self.command.precheck()
    }

    async fn run(&self, uow: &UnitOfWork) -> Result<Done<Settlement>, Error> {
        match self.command.claim_and_execute(uow, self.ledger).await {
            Err(error) if is_over(&error) => {
                let settlement = self.repeat(uow).await?;
                let command = settlement.command();
                Ok(Done::silent(settlement, command))
            }
            outcome => outcome?.try_map(settlement),
        }
    }

    /// Carries it out without a unit of work of the host.
    async fn alone(&self) -> Result<Settlement, Error> {
        let name = "Settle";
        match self.ledger.group.carry_out(self.ledger, name, &self.command).await {
            Err(error) if is_over(&error) => {
                let alone = Alone::new(self.ledger, name);
                let done = alone.carry_out(async |uow| self.run(uow).await).await?;
                Ok(done.value)
            }
            outcome => settlement(outcome?),
        }
    }

    /// Reads how the auction ended: under lock, so that no snapshot of the host's shows how it stood before. Its last act is
    /// the one that ended it.
    async fn repeat(&self, uow: &UnitOfWork) -> Result<Settlement, Error> {
        let id = self.command.auction;
        let row = uow.lock(auction::Entity::find_by_id(id.get()), LockWait::Wait).await?.pop();
        let row = row.ok_or(Error::UnknownAuction { auction: id })?;
        let ended = act::Entity::find_by_id((row.id, row.seq));
        let ended = uow.lock(ended, LockWait::Wait).await?.pop();
        let ended = ended.ok_or_else(|| Error::damaged(format!("auction {id} has no last act")))?;
        let lot = store::lot(&row)?;
        let sold = row.winner_wallet_id.zip(row.sold_price);
        let sold = match sold {
            Some((winner, price)) => Some(self.sale(uow, &lot, winner, price).await?),
            None => None,
        };
        Ok(Settlement {
            auction: id,
            seq: row.seq,
            operation: ended.operation.into(),
            currency: lot.terms.currency,
            sold,
            awaiting_seller_until: None,
            releasing: false,
            at: Micros::new(ended.at).datetime(),
            repeated: true,
        })
    }

    async fn sale(
        &self,
        uow: &UnitOfWork,
        lot: &Lot,
        winner: i64,
        price: i64,
    ) -> Result<Sale, Error> {
        let wallets = BTreeSet::from([lot.standing.seller, winner.into()]);
        let locked = store::lock_wallets(uow, self.ledger, &wallets, &BTreeSet::new()).await?;
        let user = |wallet: WalletId| {
            let account = locked.accounts.get(&wallet);
            account.map(|account| account.owner.clone()).ok_or_else(|| vanished(wallet.get()))
        };
        let sale = Amount::from_minor(price).and_then(|price| rules::Sale::of(&lot.terms, price));
        let sale =
            sale.ok_or_else(|| Error::damaged(format!("auction {} was sold for {price}", lot.id)))?;
        Ok(Sale::of(user(winner.into())?, user(lot.standing.seller)?, lot.terms.currency, sale))
    }
}

/// Whether it has been settled, closed or bought before.
fn is_over(error: &Error) -> bool {
    matches!(
        error,
        Error::Rejected(Rejection::Closed { state: AuctionState::Sold | AuctionState::Unsold })
    )
}

pub(super) fn settlement(outcome: Outcome) -> Result<Settlement, Error> {
    match outcome {
        Outcome::Settlement(settlement) => Ok(settlement),
        _ => Err(Error::damaged("a settlement was answered with something else")),
    }
}

request!(Settle -> Settlement);
in_line!(Settle);
