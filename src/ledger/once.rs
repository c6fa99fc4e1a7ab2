//! Once, and only once: idempotency keys.
//!
//! 1. A key is claimed by an INSERT, before anything is locked or judged. Whoever comes with the same key meanwhile waits
//!    there, and then finds the answer. So it is within a unit of work of the host, and wherever a command is not on an auction.
//! 2. A command on an auction, in a unit of work of the ledger's own, has the locks to wait at that it needs anyway. In a first
//!    attempt that can be undone without harm to others it looks for its key only if it would be refused. If it will hand its
//!    auction over, it looks before it waits for the locks; under them once more if whoever had the auction before was just writing the
//!    key, and if it would be refused and somebody else has had the auction meanwhile. Whoever is accepted writes the key with
//!    everything else, and if it stands there already, all is tried again, and looks under the locks. One key for two requests
//!    at once on two auctions may be refused by the rules of one of them instead of as a conflict.
//! 3. It is resolved before the request is validated: a request that was carried out is answered as it was then, whatever
//!    has become of the auction since.
//! 4. The same key with another request is a conflict.
//! 5. A refusal leaves the key free, within a unit of work of the host too.
//! 6. A key belongs to the user who gives the command, and to the house where no user does.
//! 7. No money depends on a key: [`purge_keys`](super::AuctionLedger::purge_keys) may forget it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::sea_query::{ExprTrait, OnConflict, Query, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter};
use serde::{Deserialize, Serialize};

use super::outcome::{CommandRef, Done};
use super::receipt::Outcome;
use crate::backend::Dialect;
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
        let place = Arc::new(Place { scope, key: key.clone().into_bytes() });
        Some(Slot { place, hash: hash().into(), operation: self.operation })
    }
}

/// Which key, and whose: in the order of SQLite's table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    key: Vec<u8>,
    scope: Vec<u8>,
}

impl Place {
    fn is_at(&self) -> SimpleExpr {
        let key = key::Column::IdempotencyKey.eq(self.key.clone());
        key.and(key::Column::Scope.eq(self.scope.clone()))
    }
}

/// A request with a key.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) place: Arc<Place>,
    hash: Arc<[u8]>,
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
        if !(1..=VERSION).contains(&answer.version) {
            let (operation, version) = (row.operation, answer.version);
            return Err(Error::damaged(format!(
                "the answer of operation {operation} is of version {version}"
            )));
        }
        let command = answer.command.or_else(|| answer.outcome.command());
        let command = command.ok_or_else(|| {
            Error::damaged(format!("the answer of operation {} names no command", row.operation))
        })?;
        let done = Done::silent(answer.outcome, command);
        Ok(Self::Answered(Box::new(Answered { hash: row.request_hash, done })))
    }
}

/// A request that was carried out, and what it was answered.
#[derive(Clone, Debug)]
struct Answered {
    hash: Vec<u8>,
    done: Done<Outcome>,
}

/// The version of stored answers that is written. Those before it are read: the first had the command beside each outcome.
const VERSION: u8 = 2;

/// More bytes than the answer of a bid has, mostly.
const USUAL_ANSWER: usize = 512;

/// The answer as it is read.
#[derive(Deserialize)]
struct Answer {
    version: u8,
    /// Missing where the outcome says it.
    #[serde(default)]
    command: Option<CommandRef>,
    outcome: Outcome,
}

/// The answer as it is stored.
#[derive(Serialize)]
struct NewAnswer<'a> {
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a CommandRef>,
    outcome: &'a Outcome,
}

/// An answer that is to be stored under the key of its request.
#[derive(Debug)]
pub(super) struct Reply {
    slot: Slot,
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
        let Place { scope, key } = Place::clone(&self.place);
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
            self.hash.to_vec().into(),
            self.operation.get().into(),
            clock.expression(dialect),
        ]);
        let place = [key::Column::IdempotencyKey, key::Column::Scope];
        let nothing = OnConflict::columns(place).do_nothing_on([key::Column::Scope]).to_owned();
        let done = uow.execute(insert.on_conflict(nothing)).await?;
        Ok(done.rows_affected() == 1 && dialect.tells_what_it_inserted())
    }

    /// Rule 4. The answer, if this is the request that it was given to.
    fn resolve(&self, hash: &[u8], done: &Done<Outcome>) -> Result<Done<Outcome>, Error> {
        if *hash != *self.hash {
            return Err(Error::IdempotencyConflict { operation: done.command.operation() });
        }
        Ok(done.clone())
    }

    /// The answer, ready to be stored, as of a time.
    pub(super) fn reply(
        &self,
        outcome: &Outcome,
        command: &CommandRef,
        at: Micros,
    ) -> Result<Reply, Error> {
        let is_said = outcome.command().is_some_and(|said| said == *command);
        let command = Some(command).filter(|_| !is_said);
        let mut answer = Vec::with_capacity(USUAL_ANSWER);
        serde_json::to_writer(&mut answer, &NewAnswer { version: VERSION, command, outcome })
            .map_err(|error| Error::damaged(format!("an answer: {error}")))?;
        let answer = String::from_utf8(answer)
            .map_err(|error| Error::damaged(format!("an answer: {error}")))?;
        Ok(Reply { slot: self.clone(), answer, at })
    }
}

impl Reply {
    pub(super) fn place(&self) -> &Place {
        &self.slot.place
    }

    pub(super) fn scope(&self) -> &[u8] {
        &self.slot.place.scope
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.slot.place.key
    }

    pub(super) fn hash(&self) -> &[u8] {
        &self.slot.hash
    }

    pub(super) fn operation(&self) -> OperationId {
        self.slot.operation
    }
}

/// What a list knows of its keys before it judges, and what it does about them: rules 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyUse {
    /// They were claimed: there is nothing to look for.
    Claimed,
    /// It looks for them before it waits for the auction; under its lock for those that whoever had it before was writing; and
    /// before it refuses, if somebody else has had it meanwhile.
    LookEarly,
    /// It looks for them under the lock of the auction, before it judges.
    LookUnderLock,
    /// It looks for them before it refuses.
    LookIfRefused,
}

/// What is known of the keys of a list of commands: what was carried out under them, in the past or earlier in the list.
#[derive(Debug, Default)]
pub(super) struct Keys(BTreeMap<Arc<Place>, Known>);

#[derive(Debug)]
enum Known {
    Stored(Box<Answered>),
    /// The command in this place of the list has used it for the request with this hash.
    Used {
        hash: Arc<[u8]>,
        command: usize,
    },
}

impl Keys {
    /// Looks for the keys. What commands on their auctions have written is surely seen only under the locks of these.
    pub(super) async fn look_up<'a>(
        uow: &UnitOfWork,
        slots: impl Iterator<Item = &'a Slot>,
    ) -> Result<Self, Error> {
        let mut places: Vec<&Place> = slots.map(|slot| &*slot.place).collect();
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return Ok(Self::default());
        }
        let pair = |place: &Place| [place.key.clone().into(), place.scope.clone().into()];
        let query = Dialect::of(uow.get_database_backend()).rows_at::<key::Entity>(
            [key::Column::IdempotencyKey, key::Column::Scope],
            places.into_iter().map(pair).collect(),
        );
        let mut keys = BTreeMap::new();
        for row in uow.query_all(&query).await? {
            let row = key::Model::from_query_result(&row, "")?;
            let place = Place { scope: row.scope.clone(), key: row.idempotency_key.clone() };
            if let Claim::Answered(answered) = Claim::read(row)? {
                keys.insert(Arc::new(place), Known::Stored(answered));
            }
        }
        Ok(Self(keys))
    }

    pub(super) fn add(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Rules 3 and 4: the answer of a request that was carried out, in the past or by one of these commands of the list.
    pub(super) fn answer(
        &self,
        slot: Option<&Slot>,
        list: &[Result<Done<Outcome>, Error>],
    ) -> Option<Result<Done<Outcome>, Error>> {
        let slot = slot?;
        match self.0.get(&slot.place)? {
            Known::Stored(answered) => Some(slot.resolve(&answered.hash, &answered.done)),
            Known::Used { hash, command } => {
                let done = list.get(*command)?.as_ref().ok()?;
                Some(slot.resolve(hash, done))
            }
        }
    }

    /// The key is used by the command in this place of the list.
    pub(super) fn used(&mut self, slot: &Slot, command: usize) {
        let known = Known::Used { hash: slot.hash.clone(), command };
        self.0.insert(slot.place.clone(), known);
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
        return slot.resolve(&answered.hash, &answered.done);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
