//! Once, and only once: idempotency keys.
//!
//! 1. A key is claimed by an INSERT, before anything is locked or judged. Whoever comes with the same key meanwhile waits
//!    there, and then finds the answer.
//! 2. It is resolved before the request is validated: a request that was carried out is answered as it was then, whatever
//!    has become of the auction since.
//! 3. The same key with another request is a conflict.
//! 4. A refusal gives the key back, within a unit of work of the host too.
//! 5. A key belongs to the user who gives the command, and to the house where no user does.
//! 6. No money depends on a key: [`AuctionLedger::purge_keys`] may forget it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use sea_orm::sea_query::{ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::{Deserialize, Serialize};

use super::AuctionLedger;
use super::outcome::{CommandRef, Done};
use super::receipt::Outcome;
use crate::backend::{Detached, Dialect, Rows, padded};
use crate::clock::Clock;
use crate::entity::key;
use crate::error::{Error, TextError};
use crate::id::{OperationId, UserId};
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

    fn answered(self) -> Option<Answered> {
        match self {
            Self::Ours => None,
            Self::Answered(answered) => Some(*answered),
        }
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
}

impl Slot {
    /// Rule 1. Claims the key, or finds what was answered under it.
    async fn claim(&self, uow: &UnitOfWork, clock: &Clock) -> Result<Claim, Error> {
        // A second round is needed only where the row was purged in between.
        for _ in 0..MOST_CLAIMS {
            if insert(uow, clock, &[self]).await? {
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

    /// Rule 3. The answer, if this is the request that it was given to.
    fn resolve(&self, answered: &Answered) -> Result<Done<Outcome>, Error> {
        if answered.hash != self.hash {
            let operation = answered.done.command.operation();
            return Err(Error::IdempotencyConflict { operation });
        }
        Ok(answered.done.clone())
    }

    /// The answer, ready to be stored.
    pub(super) fn reply(&self, outcome: &Outcome, command: &CommandRef) -> Result<Reply, Error> {
        let answer =
            Answer { version: VERSION, command: command.clone(), outcome: outcome.clone() };
        let answer = serde_json::to_string(&answer)
            .map_err(|error| Error::damaged(format!("an answer: {error}")))?;
        Ok(Reply {
            place: self.place.clone(),
            hash: self.hash.clone(),
            operation: self.operation,
            answer,
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

/// Inserts the rows of keys, unless they are there: whether it is known that all of them were inserted.
async fn insert(uow: &UnitOfWork, clock: &Clock, slots: &[&Slot]) -> Result<bool, Error> {
    let dialect = Dialect::of(uow.get_database_backend());
    let columns = [
        key::Column::Scope,
        key::Column::IdempotencyKey,
        key::Column::RequestHash,
        key::Column::Operation,
    ];
    let values = |slot: &&Slot| {
        let Place { scope, key } = slot.place.clone();
        vec![scope.into(), key.into(), slot.hash.clone().into(), slot.operation.get().into()]
    };
    let rows = Rows::<key::Entity>::new(columns, slots.iter().map(values).collect());
    let mut inserted = 0_u64;
    for mut insert in rows.same(key::Column::At, clock.expression(dialect)).inserts(dialect) {
        let place = [key::Column::Scope, key::Column::IdempotencyKey];
        let nothing = OnConflict::columns(place).do_nothing_on([key::Column::Scope]).to_owned();
        let done = uow.execute(insert.on_conflict(nothing)).await?;
        inserted = inserted.saturating_add(done.rows_affected());
    }
    let all = u64::try_from(slots.len()).unwrap_or(u64::MAX);
    Ok(inserted == all && dialect.tells_what_it_inserted())
}

/// The rows of these places, filled up to a power of two.
fn at_places(places: Vec<&Place>) -> Condition {
    padded(places).into_iter().fold(Condition::any(), |any, place| {
        let scope = key::Column::Scope.eq(place.scope.clone());
        any.add(scope.and(key::Column::IdempotencyKey.eq(place.key.clone())))
    })
}

/// The keys of a list of commands.
#[derive(Debug)]
pub(super) struct Keys(BTreeMap<Place, Option<Answered>>);

impl Keys {
    /// Claims every key once, ascending, so that two lists never wait for each other.
    pub(super) async fn claim<'a>(
        uow: &UnitOfWork,
        clock: &Clock,
        slots: impl Iterator<Item = &'a Slot>,
    ) -> Result<Self, Error> {
        let mut slots: Vec<&Slot> = slots.collect();
        // Stable: of two requests with one key the first in the list is the one that claims it.
        slots.sort_by(|a, b| a.place.cmp(&b.place));
        slots.dedup_by(|later, first| later.place == first.place);
        let mut keys = BTreeMap::new();
        if slots.len() > 1 {
            if insert(uow, clock, &slots).await? {
                return Ok(Self(
                    slots.into_iter().map(|slot| (slot.place.clone(), None)).collect(),
                ));
            }
            // Under a lock, so that no snapshot hides a row. One that is not there was purged meanwhile.
            let rows = key::Entity::find();
            let rows = rows.filter(at_places(slots.iter().map(|slot| &slot.place).collect()));
            for row in uow.lock(rows, LockWait::Wait).await? {
                let place = Place { scope: row.scope.clone(), key: row.idempotency_key.clone() };
                keys.insert(place, Claim::read(row)?.answered());
            }
        }
        for slot in slots {
            if let Entry::Vacant(vacant) = keys.entry(slot.place.clone()) {
                vacant.insert(slot.claim(uow, clock).await?.answered());
            }
        }
        Ok(Self(keys))
    }

    pub(super) fn is_answered(&self, slot: Option<&Slot>) -> bool {
        slot.is_some_and(|slot| self.answered(slot).is_some())
    }

    /// Rules 2 and 3: the answer of a request that was carried out, in the past or earlier in the list.
    pub(super) fn answer(&self, slot: Option<&Slot>) -> Option<Result<Done<Outcome>, Error>> {
        let slot = slot?;
        self.answered(slot).map(|answered| slot.resolve(answered))
    }

    fn answered(&self, slot: &Slot) -> Option<&Answered> {
        self.0.get(&slot.place).and_then(Option::as_ref)
    }

    /// The key has been used now: what is to be stored under it.
    pub(super) fn used(&mut self, slot: &Slot, done: &Done<Outcome>) -> Result<Reply, Error> {
        let reply = slot.reply(&done.value, &done.command)?;
        let done = Done::silent(done.value.clone(), done.command.clone());
        self.0.insert(slot.place.clone(), Some(Answered { hash: slot.hash.clone(), done }));
        Ok(reply)
    }

    /// Rule 4: gives back what no command of the list has used.
    pub(super) async fn free_unused(self, uow: &UnitOfWork) -> Result<(), Error> {
        let unused = self.0.iter().filter(|(_, answered)| answered.is_none());
        let unused: Vec<&Place> = unused.map(|(place, _)| place).collect();
        free(uow, unused).await
    }
}

/// Rule 4. Gives keys back that were claimed and not used.
async fn free(uow: &UnitOfWork, places: Vec<&Place>) -> Result<(), Error> {
    if !places.is_empty() {
        key::Entity::delete_many().filter(at_places(places)).exec(uow).await?;
    }
    Ok(())
}

/// Carries out a request that is not on an auction, once.
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
    // In a broken block the claim is undone with everything else.
    if outcome.is_err() && uow.refusal().is_none() {
        free(uow, vec![&slot.place]).await?;
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
