//! What became of a command whose COMMIT got no answer.

use std::time::Duration;

use sea_orm::{
    AccessMode, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, IsolationLevel,
    QueryFilter, Statement,
};
use serde::{Deserialize, Serialize};

use super::dispatch::Telling;
use super::store;
use super::{AuctionLedger, Bid, Cancellation, Change, Purchase, Settlement, VoidedBid};
use crate::backend::Dialect;
use crate::entity::{act, auction, bid, entry, wallet};
use crate::error::Error;
use crate::id::{AuctionId, OperationId, UserId};
use crate::money::Currency;
use crate::unit_of_work::{self, ErrorKind, LockWait, UnitOfWork};

/// Where a command is written down if it was carried out: what [`AuctionLedger::outcome`] looks up.
///
/// It can be stored and sent, and says nothing about money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRef {
    operation: OperationId,
    place: Place,
}

/// The row that only this command can have written, and whose lock it held while it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    /// A bid or an act, under the lock of its auction. The first act is written by whoever makes the auction.
    Auction { auction: AuctionId, seq: i64 },
    /// An entry, under the lock of its wallet.
    Wallet { user: UserId, currency: Currency, seq: i64 },
}

impl CommandRef {
    pub(super) fn on_auction(operation: OperationId, auction: AuctionId, seq: i64) -> Self {
        Self { operation, place: Place::Auction { auction, seq } }
    }

    pub(super) fn on_wallet(
        operation: OperationId,
        user: UserId,
        currency: Currency,
        seq: i64,
    ) -> Self {
        Self { operation, place: Place::Wallet { user, currency, seq } }
    }

    /// The operation that the entries of the journal carry, if it was carried out.
    #[must_use]
    pub fn operation(&self) -> OperationId {
        self.operation
    }
}

macro_rules! command {
    ($($receipt:ident)*) => { $(
        impl $receipt {
            /// Where this command is written down: for [`AuctionLedger::outcome`], if the commit of the unit of work
            /// around it got no answer.
            #[must_use]
            pub fn command(&self) -> CommandRef {
                CommandRef::on_auction(self.operation, self.auction, self.seq)
            }
        }
    )* };
}

command!(Bid Purchase Settlement Cancellation Change VoidedBid);

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommandStatus {
    /// It is stored.
    Committed,
    /// It is not stored and never will be: it can be sent again.
    NotCommitted,
    /// The transaction that carries it out may not have ended in the database, or somebody else holds its auction or its
    /// wallet: ask again.
    Running,
}

/// A command that was carried out, in a transaction that may not have ended.
#[derive(Clone, Debug)]
pub(super) struct Done<T> {
    pub(super) value: T,
    pub(super) command: CommandRef,
    /// The events that are told once it is committed.
    pub(super) telling: Option<Telling>,
}

impl<T> Done<T> {
    pub(super) fn silent(value: T, command: CommandRef) -> Self {
        Self { value, command, telling: None }
    }

    pub(super) fn try_map<U>(
        self,
        map: impl FnOnce(T) -> Result<U, Error>,
    ) -> Result<Done<U>, Error> {
        Ok(Done { value: map(self.value)?, command: self.command, telling: self.telling })
    }
}

/// How long the lock of a place is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

impl AuctionLedger {
    /// Looks up what became of a command whose commit got no answer: [`Error::CommitUnknown`].
    ///
    /// Verbs ask by themselves, for as long as their [`Retry`](unit_of_work::Retry) allows, before they give up with that error. Within a unit of
    /// work of the host, whose commit is [`unit_of_work::Error::CommitUnknown`], take the receipt's
    /// [`command`](Bid::command) out of the closure and ask here; give a deposit, a withdrawal and an opening a key, and send
    /// them again.
    ///
    /// The answer is that of the database the ledger speaks to. Where a fail-over can lose commits, ask the new primary. On
    /// Galera a lock is one node's only, so what is not stored is never known not to be: the answer is then
    /// [`CommandStatus::Running`], and a command that has a key can be sent again.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`]; then [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`],
    /// [`Error::Damaged`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Locking
    ///
    /// If the row is not there: what the command would hold while it runs, for at most a second, the auction or the
    /// wallet. Nothing is written.
    ///
    /// # Example: a bid that was stored
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, CommandStatus, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// # ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// let bid = ledger.place_bid(auction, "ann", 20.into()).await?;
    /// assert_eq!(ledger.outcome(&bid.command()).await?, CommandStatus::Committed);
    /// # Ok(()) }
    /// ```
    pub async fn outcome(&self, command: &CommandRef) -> Result<CommandStatus, Error> {
        if let Place::Wallet { user, .. } = &command.place {
            user.validate()?;
        }
        let root = self.unit_of_work().name("Outcome").isolation(IsolationLevel::ReadCommitted);
        let read = root.clone().access_mode(AccessMode::ReadOnly);
        let found = read.atomic::<_, _, Error>(async |uow| written(uow, command).await);
        if let Some(status) = found.await?.into_value() {
            return Ok(status);
        }
        // Not there yet. Whoever carries it out holds the lock of its place: once we have that, it has ended.
        let found = root.lock_timeout(PATIENCE).atomic(async |uow| {
            lock_place(uow, command).await?;
            let status = match written(uow, command).await? {
                Some(status) => status,
                None if locks_are_local(uow).await? => CommandStatus::Running,
                None => CommandStatus::NotCommitted,
            };
            // Whatever the lock had to make is not to stay.
            Err::<(), _>(Found::Status(status))
        });
        match found.await {
            Err(Found::Status(status)) => Ok(status),
            Err(Found::Error(error)) if error.kind() == Some(ErrorKind::LockTimeout) => {
                Ok(CommandStatus::Running)
            }
            Err(Found::Error(error)) => Err(error),
            Ok(_) => Err(Error::damaged("an outcome was looked up and not found")),
        }
    }
}

enum Found {
    Status(CommandStatus),
    Error(Error),
}

impl From<unit_of_work::Error> for Found {
    fn from(error: unit_of_work::Error) -> Self {
        Self::Error(error.into())
    }
}

impl From<Error> for Found {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Waits until nobody holds the lock under which the command would be written. What is missing is made, to wait for
/// whoever is making it: on PostgreSQL a lock does not wait for a row that is not committed.
async fn lock_place(uow: &UnitOfWork, command: &CommandRef) -> Result<(), Error> {
    match &command.place {
        Place::Auction { auction, .. } => {
            let row = auction::Entity::find_by_id(auction.get());
            if uow.lock(row, LockWait::Wait).await?.is_empty() {
                let act = act::Model {
                    auction_id: auction.get(),
                    seq: 1,
                    operation: uuid::Uuid::nil(),
                    kind: act::Kind::Opened,
                    wallet_id: None,
                    amount: None,
                    reason: None,
                    at: 0,
                    bid_seq: None,
                    ends_at: None,
                };
                act::Entity::insert(act.into_active_model())
                    .on_conflict_do_nothing()
                    .exec_without_returning(uow)
                    .await?;
            }
        }
        Place::Wallet { user, currency, .. } => {
            let row = store::owned_by(user, *currency);
            if uow.lock(row.clone(), LockWait::Wait).await?.is_empty() {
                store::make_wallet(uow, (user, *currency)).await?;
                uow.lock(row, LockWait::Wait).await?;
            }
        }
    }
    Ok(())
}

/// Whether a lock is one node's only, as on Galera: then an empty place proves nothing, since the command may still come
/// from another node.
async fn locks_are_local(uow: &UnitOfWork) -> Result<bool, Error> {
    let backend = uow.get_database_backend();
    let Some(question) = Dialect::of(backend).local_locks() else {
        return Ok(false);
    };
    let row = uow.query_one_raw(Statement::from_string(backend, question)).await?;
    Ok(row.is_some_and(|row| row.try_get_by_index(1).is_ok_and(|on: String| on == "ON")))
}

/// What the rows say: `None` if the place is empty.
async fn written<C: ConnectionTrait>(
    connection: &C,
    command: &CommandRef,
) -> Result<Option<CommandStatus>, Error> {
    let operation = match &command.place {
        Place::Auction { auction, seq } => on_auction(connection, *auction, *seq).await?,
        Place::Wallet { user, currency, seq } => {
            let wallet = store::owned_by(user, *currency).one(connection).await?;
            match wallet {
                Some(wallet::Model { id, .. }) => {
                    let entry = entry::Entity::find_by_id((id, *seq)).one(connection).await?;
                    entry.map(|entry| entry.operation)
                }
                None => None,
            }
        }
    };
    Ok(operation.map(|operation| {
        let same = operation == command.operation.get();
        if same { CommandStatus::Committed } else { CommandStatus::NotCommitted }
    }))
}

async fn on_auction<C: ConnectionTrait>(
    connection: &C,
    auction: AuctionId,
    seq: i64,
) -> Result<Option<uuid::Uuid>, Error> {
    let bid = bid::Entity::find()
        .filter(bid::Column::AuctionId.eq(auction.get()))
        .filter(bid::Column::Seq.eq(seq))
        .one(connection)
        .await?;
    if let Some(bid) = bid {
        return Ok(Some(bid.operation));
    }
    let act = act::Entity::find_by_id((auction.get(), seq)).one(connection).await?;
    Ok(act.map(|act| act.operation))
}
