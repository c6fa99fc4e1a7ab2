//! Once, and only once: idempotency keys.
//!
//! 1. A key is claimed by an INSERT, before anything is locked or judged. Whoever comes with the same key meanwhile waits
//!    there, and then finds the answer. So it is within a unit of work of the host, and wherever a command is not on an auction.
//! 2. A command on an auction, in a unit of work of the ledger's own, has the locks to wait at that it needs anyway. It looks for
//!    its key under them; or, in a first attempt that can be undone without harm to others, only if it would be refused: whoever
//!    is accepted writes the key with everything else, and if it stands there already, all is tried again, and looks first.
//! 3. It is resolved before the request is validated: a request that was carried out is answered as it was then, whatever
//!    has become of the auction since.
//! 4. The same key with another request is a conflict.
//! 5. A refusal leaves the key free, within a unit of work of the host too.
//! 6. A key belongs to the user who gives the command, and to the house where no user does.
//! 7. No money depends on a key: [`AuctionLedger::purge_keys`] may forget it.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::sea_query::{ExprTrait, OnConflict, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde::{Deserialize, Serialize};

use super::AuctionLedger;
use super::outcome::{CommandRef, Done};
use super::receipt::Outcome;
use crate::backend::{Detached, Dialect};
use crate::clock::Clock;
use crate::entity::key;
use crate::error::{Error, TextError};
use crate::id::{OperationId, UserId};
use crate::rules::Micros;
use crate::unit_of_work::{LockWait, UnitOfWork};

/// What makes a command happen once: its operation, and the caller's key.
#[derive(Clone, Debug)]
pub(super) struct Once {
    pub(super) operation: OperationId,
    pub(super) key: Option<String>,
}

impl Once {
    pub(super) fn new() -> Self {
        Self { operation: OperationId::new(), key: None }
    }

    /// What can be refused without the database: the user, the key, and the rest of the request. With a key the rest is
    /// looked at when the key has been resolved.
    pub(super) fn precheck(
        &self,
        user: Option<&UserId>,
        rest: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(user) = user {
            user.validate()?;
        }
        self.check_key()?;
        if self.key.is_some() { Ok(()) } else { rest() }
    }

    /// Refuses a key that is empty or has more than 200 bytes.
    fn check_key(&self) -> Result<(), Error> {
        let error = match self.key.as_deref() {
            Some("") => TextError::Empty,
            Some(key) if key.len() > 200 => {
                TextError::TooLong { length: key.len(), limit: 200, unit: "bytes" }
            }
            _ => return Ok(()),
        };
        Err(Error::InvalidText { what: "key", error })
    }

    /// Where a request of `user`, of the house if there is none, is kept; `None` without a key.
    pub(super) fn slot(
        &self,
        user: Option<&UserId>,
        hash: impl FnOnce() -> Vec<u8>,
    ) -> Option<Slot> {
        let key = self.key.as_ref()?;
        let scope = match user {
            Some(user) => [b"user ", user.as_bytes()].concat(),
            None => b"house".to_vec(),
        };
        let place = Place { scope, key: key.clone().into_bytes() };
        Some(Slot { place, hash: hash(), operation: self.operation })
    }
}

/// Whose key, and which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    scope: Vec<u8>,
    key: Vec<u8>,
}

impl Place {
    fn is_at(&self) -> SimpleExpr {
        let scope = key::Column::Scope.eq(self.scope.clone());
        scope.and(key::Column::IdempotencyKey.eq(self.key.clone()))
    }
}

/// A request with a key.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) place: Place,
    hash: Vec<u8>,
    operation: OperationId,
}

/// What is known of a key.
#[derive(Debug)]
enum Claim {
    /// It is ours, and nothing has been carried out under it.
    Ours,
    /// A request was carried out under it.
    Answered(Box<Answered>),
}

impl Claim {
    fn read(row: key::Model) -> Result<Self, Error> {
        let Some(answer) = row.answer else {
            // A unit of work carries out one command at a time, and leaves no row without an answer behind; if one stays after
            // all, nothing was carried out under it, and whoever comes next has it under lock.
            return Ok(Self::Ours);
        };
        let answer: Answer = serde_json::from_str(&answer).map_err(|error| {
            Error::damaged(format!("the answer of operation {}: {error}", row.operation))
        })?;
        if answer.version != VERSION {
            let (operation, version) = (row.operation, answer.version);
            return Err(Error::damaged(format!(
                "the answer of operation {operation} is of version {version}"
            )));
        }
        let done = Done::silent(answer.outcome, answer.command);
        Ok(Self::Answered(Box::new(Answered { hash: row.request_hash, done })))
    }
}

/// A request that was carried out, and what it was answered.
#[derive(Clone, Debug)]
struct Answered {
    hash: Vec<u8>,
    done: Done<Outcome>,
}

/// The version of stored answers that is written, and read.
const VERSION: u8 = 1;

/// The answer as it is stored.
#[derive(Serialize, Deserialize)]
struct Answer {
    version: u8,
    command: CommandRef,
    outcome: Outcome,
}

/// An answer that is to be stored under the key of its request.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) place: Place,
    pub(super) hash: Vec<u8>,
    pub(super) operation: OperationId,
    pub(super) answer: String,
    pub(super) at: Micros,
}

impl Slot {
    /// Rule 1. Claims the key, or finds what was answered under it.
    async fn claim(&self, uow: &UnitOfWork, clock: &Clock) -> Result<Claim, Error> {
        // A second round is needed only where the row was purged in between.
        for _ in 0..MOST_CLAIMS {
            if self.insert(uow, clock).await? {
                return Ok(Claim::Ours);
            }
            let row = key::Entity::find_by_id((self.place.scope.clone(), self.place.key.clone()));
            // Under a lock, so that no snapshot hides it. If it is not there, it was purged meanwhile.
            if let Some(row) = uow.lock(row, LockWait::Wait).await?.pop() {
                return Claim::read(row);
            }
        }
        Err(Error::damaged("a key can neither be written nor read"))
    }

    /// Inserts the row of the key, unless it is there: whether it is known that it was inserted.
    async fn insert(&self, uow: &UnitOfWork, clock: &Clock) -> Result<bool, Error> {
        let dialect = Dialect::of(uow.get_database_backend());
        let Place { scope, key } = self.place.clone();
        let mut insert = Query::insert();
        insert.into_table(key::Entity).columns([
            key::Column::Scope,
            key::Column::IdempotencyKey,
            key::Column::RequestHash,
            key::Column::Operation,
            key::Column::At,
        ]);
        insert.values_panic([
            scope.into(),
            key.into(),
            self.hash.clone().into(),
            self.operation.get().into(),
            clock.expression(dialect),
        ]);
        let place = [key::Column::Scope, key::Column::IdempotencyKey];
        let nothing = OnConflict::columns(place).do_nothing_on([key::Column::Scope]).to_owned();
        let done = uow.execute(insert.on_conflict(nothing)).await?;
        Ok(done.rows_affected() == 1 && dialect.tells_what_it_inserted())
    }

    /// Rule 4. The answer, if this is the request that it was given to.
    fn resolve(&self, answered: &Answered) -> Result<Done<Outcome>, Error> {
        if answered.hash != self.hash {
            let operation = answered.done.command.operation();
            return Err(Error::IdempotencyConflict { operation });
        }
        Ok(answered.done.clone())
    }

    /// The answer, ready to be stored, as of a time.
    pub(super) fn reply(
        &self,
        outcome: &Outcome,
        command: &CommandRef,
        at: Micros,
    ) -> Result<Reply, Error> {
        let answer =
            Answer { version: VERSION, command: command.clone(), outcome: outcome.clone() };
        let answer = serde_json::to_string(&answer)
            .map_err(|error| Error::damaged(format!("an answer: {error}")))?;
        Ok(Reply {
            place: self.place.clone(),
            hash: self.hash.clone(),
            operation: self.operation,
            answer,
            at,
        })
    }
}

impl Reply {
    pub(super) fn scope(&self) -> &[u8] {
        &self.place.scope
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.place.key
    }
}

/// What a list knows of its keys before it judges, and what it does about them: rules 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyUse {
    /// They were claimed: there is nothing to look for.
    Claimed,
    /// It looks for them before it judges.
    LookFirst,
    /// It looks for them before it refuses.
    LookIfRefused,
}

/// What is known of the keys of a list of commands: what was carried out under them, in the past or earlier in the list.
#[derive(Debug, Default)]
pub(super) struct Keys(BTreeMap<Place, Answered>);

impl Keys {
    /// Looks for the keys. What commands on their auctions have written is seen under the locks of these.
    pub(super) async fn look_up<'a>(
        uow: &UnitOfWork,
        slots: impl Iterator<Item = &'a Slot>,
    ) -> Result<Self, Error> {
        let mut places: Vec<&Place> = slots.map(|slot| &slot.place).collect();
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return Ok(Self::default());
        }
        let pair = |place: &Place| [place.scope.clone().into(), place.key.clone().into()];
        let query = Dialect::of(uow.get_database_backend()).rows_at::<key::Entity>(
            [key::Column::Scope, key::Column::IdempotencyKey],
            places.into_iter().map(pair).collect(),
        );
        let mut keys = BTreeMap::new();
        for row in uow.query_all(&query).await? {
            let row = key::Model::from_query_result(&row, "")?;
            let place = Place { scope: row.scope.clone(), key: row.idempotency_key.clone() };
            if let Claim::Answered(answered) = Claim::read(row)? {
                keys.insert(place, *answered);
            }
        }
        Ok(Self(keys))
    }

    /// Rules 3 and 4: the answer of a request that was carried out.
    pub(super) fn answer(&self, slot: Option<&Slot>) -> Option<Result<Done<Outcome>, Error>> {
        let slot = slot?;
        self.0.get(&slot.place).map(|answered| slot.resolve(answered))
    }

    /// The key has been used now: what is to be stored under it.
    pub(super) fn used(
        &mut self,
        slot: &Slot,
        done: &Done<Outcome>,
        at: Micros,
    ) -> Result<Reply, Error> {
        let reply = slot.reply(&done.value, &done.command, at)?;
        let done = Done::silent(done.value.clone(), done.command.clone());
        self.0.insert(slot.place.clone(), Answered { hash: slot.hash.clone(), done });
        Ok(reply)
    }
}

/// Claims the key of a request, and carries it out, once.
pub(super) async fn carry_out<F>(
    uow: &UnitOfWork,
    clock: &Clock,
    slot: Option<Slot>,
    run: F,
) -> Result<Done<Outcome>, Error>
where
    F: AsyncFnOnce() -> Result<Done<Outcome>, Error>,
{
    let Some(slot) = slot else {
        return run().await;
    };
    if let Claim::Answered(answered) = slot.claim(uow, clock).await? {
        return slot.resolve(&answered);
    }
    let outcome = run().await;
    // Rule 5. In a broken block the claim is undone with everything else.
    if outcome.is_err() && uow.refusal().is_none() {
        key::Entity::delete_many().filter(slot.place.is_at()).exec(uow).await?;
    }
    outcome
}

/// How often a key is claimed that is neither ours nor anybody's.
const MOST_CLAIMS: usize = 10;

/// Keys that are forgotten in one unit of work.
const BATCH: u64 = 1_000;

impl AuctionLedger {
    /// Forgets the idempotency keys of commands that were carried out longer than `older_than` ago, and says how many.
    ///
    /// A command whose key is forgotten is carried out again if it is sent again, so keep keys for longer than any client
    /// retries: a day is usual. No money moves, and none depends on keys. It works in batches of a thousand, and those made in
    /// the same microsecond as the last of them, each in a unit of work of its own; several processes may call it.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`]: the batches before it are done, and the one
    /// that failed can be done again.
    ///
    /// # Cancel safety
    ///
    /// What has been forgotten stays forgotten.
    ///
    /// # Locking
    ///
    /// The keys of one batch at a time.
    ///
    /// # Example: nothing is that old
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// ledger.deposit("ann", Currency::EUR, 50.into()).key("payment 4711").await?;
    /// assert_eq!(ledger.purge_keys(Duration::from_secs(24 * 3600)).await?, 0);
    /// # Ok(()) }
    /// ```
    pub async fn purge_keys(&self, older_than: Duration) -> Result<u64, Error> {
        let age = i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX);
        let before = self.clock.now(&Detached(&self.db)).await?.get().saturating_sub(age);
        let mut purged = 0_u64;
        loop {
            let batch = self.retry.atomic(self.unit_of_work().name("PurgeKeys"), async |uow| {
                purge_batch(uow, before).await
            });
            match batch.await?.into_value() {
                0 => return Ok(purged),
                batch => purged = purged.saturating_add(batch),
            }
        }
    }
}

/// Deletes the oldest keys made before an instant: a batch, and those made in the same instant as its last.
async fn purge_batch(uow: &UnitOfWork, before: i64) -> Result<u64, Error> {
    let old = key::Entity::find().select_only().column(key::Column::At);
    let old = old.filter(key::Column::At.lt(before)).order_by_asc(key::Column::At);
    let rows: Vec<i64> = old.limit(BATCH).into_tuple().all(uow).await?;
    let Some(last) = rows.last() else {
        return Ok(0);
    };
    let deleted = key::Entity::delete_many().filter(key::Column::At.lte(*last)).exec(uow).await?;
    Ok(deleted.rows_affected)
}
