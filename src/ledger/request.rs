//! What all verbs of the ledger have in common: they are awaited, alone or within a unit of work of the host.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use sea_orm::{DbErr, IsolationLevel};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::AuctionLedger;
use super::outcome::{CommandRef, CommandStatus, Done};
use crate::error::Error;
use crate::unit_of_work::{Attempts, Error as UnitOfWorkError, ErrorKind, UnitOfWork};

/// The span of a verb, with these fields and those that all of them have.
macro_rules! span {
    ($verb:ident, $request:ident, $($field:tt)+) => {
        tracing::info_span!(
            target: "auction_ledger::verb",
            stringify!($verb),
            $($field)+,
            within = $request.within.is_some(),
            outcome = tracing::field::Empty,
            rejection = tracing::field::Empty,
        )
    };
}

pub(super) use span;

/// Makes a verb out of a struct with the fields `ledger` and `within`, and these methods:
///
/// - `once(&mut self)` and `precheck(&self)`: what makes it happen once, and what can be refused without the database;
/// - `operation(&self)`: what its entries will carry;
/// - `run(&self, &UnitOfWork)`: carries it out.
macro_rules! verb {
    ($verb:ident -> $output:ty) => {
        crate::ledger::request::request!($verb -> $output);

        impl $verb<'_> {
            fn span(&self) -> tracing::Span {
                crate::ledger::request::span!($verb, self, operation = %self.operation())
            }

            /// Carries it out in a unit of work of its own.
            async fn alone(&self) -> Result<$output, crate::error::Error> {
                let alone = crate::ledger::request::Alone::new(self.ledger, stringify!($verb));
                let done = alone.carry_out(async |uow| self.run(uow).await).await?;
                Ok(done.value)
            }
        }
    };
}

pub(super) use verb;

/// Makes a verb as [`verb`] does, of a struct that has a `command` too, and a function that takes its outcome: where its
/// auction is busy, or many are, it is carried out together with those that it meets there.
macro_rules! command {
    ($verb:ident -> $output:ty, $answer:expr) => {
        crate::ledger::request::request!($verb -> $output);
        crate::ledger::request::in_line!($verb);

        impl $verb<'_> {
            async fn run(
                &self,
                uow: &crate::unit_of_work::UnitOfWork,
            ) -> Result<crate::ledger::outcome::Done<$output>, crate::error::Error> {
                self.command.claim_and_execute(uow, self.ledger).await?.try_map($answer)
            }

            /// Carries it out without a unit of work of the host.
            async fn alone(&self) -> Result<$output, crate::error::Error> {
                let name = stringify!($verb);
                let answer = self.ledger.group.carry_out(self.ledger, name, &self.command).await;
                answer.and_then($answer)
            }
        }
    };
}

pub(super) use command;

/// What a verb has that is a command, and may wait in line.
macro_rules! in_line {
    ($verb:ident) => {
        impl $verb<'_> {
            /// If it has waited in line for so long, it is answered [`Error::Overloaded`](crate::Error::Overloaded): see
            /// [`GroupCommit::deadline`](crate::GroupCommit::deadline), which it replaces for this one. Once it is being
            /// carried out it is waited for, and where nobody waits in line it means nothing.
            #[must_use = "a request does nothing until it is awaited"]
            pub fn deadline(mut self, deadline: std::time::Duration) -> Self {
                self.command.deadline = Some(deadline);
                self
            }

            fn span(&self) -> tracing::Span {
                let crate::ledger::batch::Command { auction, once, .. } = &self.command;
                crate::ledger::request::span!(
                    $verb, self, auction = auction.get(), operation = %once.operation
                )
            }
        }
    };
}

pub(super) use in_line;

/// What both kinds of verbs have: `within`, `key`, and that they are awaited.
macro_rules! request {
    ($verb:ident -> $output:ty) => {
        impl<'a> $verb<'a> {
            /// Joins `uow`: what the verb writes commits or rolls back with it, and nothing is run again by itself.
            ///
            /// `uow` must be on the ledger's database. At REPEATABLE READ or SERIALIZABLE it sees no auction that was opened
            /// after its first statement.
            #[must_use = "a request does nothing until it is awaited"]
            pub fn within(mut self, uow: &'a crate::unit_of_work::UnitOfWork) -> Self {
                self.within = Some(uow);
                self
            }

            /// Carries it out once for this key, however often it is sent: a request that was carried out is answered as it
            /// was then, before anything is checked, whatever has happened since.
            ///
            /// `key` has 1 to 200 bytes, and belongs to the user who gives the command, or to the house. The same key with
            /// another request is [`Error::IdempotencyConflict`](crate::Error::IdempotencyConflict). A refusal leaves the key
            /// free, and a settlement that only says again what has become of the auction uses none. See
            /// [`AuctionLedger::purge_keys`](crate::AuctionLedger::purge_keys) for how long keys are kept.
            ///
            /// Keys that begin with the time, as UUIDs of version 7 do, are stored beside each other, which on SQLite costs less than
            /// random ones.
            #[must_use = "a request does nothing until it is awaited"]
            pub fn key(mut self, key: impl Into<String>) -> Self {
                self.once().key = Some(key.into());
                self
            }
        }

        impl<'a> std::future::IntoFuture for $verb<'a> {
            type Output = Result<$output, crate::error::Error>;
            type IntoFuture = futures::future::BoxFuture<'a, Self::Output>;

            fn into_future(self) -> Self::IntoFuture {
                let span = self.span();
                let carry_out = async move {
                    self.precheck()?;
                    match self.within {
                        Some(uow) => {
                            let run = futures::FutureExt::boxed(self.run(uow));
                            let step = uow.step(run, crate::error::Error::is_harmless);
                            step.await.map(|done| done.value)
                        }
                        None => self.alone().await,
                    }
                };
                Box::pin(crate::ledger::request::observed(span, carry_out))
            }
        }
    };
}

pub(super) use request;

/// Carries out a verb in its span, which is told what became of it. No amount is.
pub(super) fn observed<T>(
    span: Span,
    verb: impl Future<Output = Result<T, Error>>,
) -> impl Future<Output = Result<T, Error>> {
    let tell = span.clone();
    // Not by awaiting it: each of those would be a copy of what is awaited.
    verb.inspect(move |answer| tell_outcome(&tell, answer)).instrument(span)
}

fn tell_outcome<T>(span: &Span, answer: &Result<T, Error>) {
    if span.is_disabled() {
        return;
    }
    let outcome = match answer {
        Ok(_) => "accepted",
        Err(error) if error.is_rejection() => "rejected",
        Err(Error::CommitUnknown { .. }) => "unknown",
        Err(Error::Overloaded { .. }) => "overloaded",
        Err(_) => "failed",
    };
    span.record("outcome", outcome);
    if let Err(Error::Rejected(rejection)) = answer {
        span.record("rejection", rejection.code());
    }
}

/// What was carried out in a unit of work, one command or many, and is told when that has ended.
pub(super) trait CarriedOut: Sized {
    /// What it wrote, where it wrote something: it is stored wholly or not at all.
    fn written(&self) -> Option<&CommandRef>;

    /// Tells the sinks, if they have not been told.
    fn tell(&self);

    /// What is known when nobody can say whether it is stored.
    fn unknown(self, error: DbErr) -> Result<Self, Error>;
}

impl<T> CarriedOut for Done<T> {
    fn written(&self) -> Option<&CommandRef> {
        Some(&self.command)
    }

    fn tell(&self) {
        if let Some(telling) = &self.telling {
            telling.tell();
        }
    }

    fn unknown(self, error: DbErr) -> Result<Self, Error> {
        Err(Error::CommitUnknown { command: Box::new(self.command), error })
    }
}

/// A verb in a unit of work of its own, which is run again when the database could not order it among its neighbours.
///
/// A commit that got no answer is looked up: the verb answers with what has become of it. Where that cannot be found out it
/// says so, and nothing is sent again, with a key neither: the answer of another attempt would hide that nobody knows.
pub(super) struct Alone<'a> {
    ledger: &'a AuctionLedger,
    name: &'static str,
    lock_timeout: Option<Duration>,
    /// Whether it writes keys that may stand there already.
    writes_keys: bool,
}

impl<'a> Alone<'a> {
    pub(super) fn new(ledger: &'a AuctionLedger, name: &'static str) -> Self {
        Self { ledger, name, lock_timeout: None, writes_keys: false }
    }

    /// Writes keys that may stand there already, which another attempt looks for.
    pub(super) fn writing_keys(self, writes_keys: bool) -> Self {
        Self { writes_keys, ..self }
    }

    /// Whether a key may have stood there already.
    fn meets_key(&self, error: &Error) -> bool {
        self.writes_keys && error.kind() == Some(ErrorKind::UniqueViolation)
    }

    /// Gives up when a lock is not to be had for so long.
    pub(super) fn lock_timeout(self, timeout: Option<Duration>) -> Self {
        Self { lock_timeout: timeout, ..self }
    }

    pub(super) async fn carry_out<F, T>(&self, run: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, Error> + Clone,
        T: CarriedOut,
    {
        let mut attempts = Attempts::of(&self.ledger.retry);
        let mut root = self.ledger.unit_of_work().name(self.name);
        if let Some(timeout) = self.lock_timeout {
            root = root.lock_timeout(timeout);
        }
        if self.ledger.group.snapshots.load(Ordering::Relaxed) {
            root = root.isolation(IsolationLevel::ReadCommitted);
        }
        let mut again = 0_u32;
        loop {
            let number = attempts.number().saturating_add(again);
            let carried_out = Mutex::new(None);
            let run = run.clone();
            let attempt = root.clone().attempt(
                async |uow| {
                    let done = run(uow).await?;
                    *carried_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                    Ok::<_, Error>(())
                },
                number,
            );
            let committed = attempt.await;
            let done = carried_out.into_inner().unwrap_or_else(PoisonError::into_inner);
            let failure = match committed {
                Ok(_) => return Ok(done.expect("what was committed was carried out")),
                Err(failure) => failure,
            };
            let (error, retryable) = match (failure.error, done) {
                (Error::UnitOfWork(UnitOfWorkError::CommitUnknown { error }), Some(done)) => {
                    // Where nothing was written, nothing can be lost.
                    let Some(command) = done.written() else { return Ok(done) };
                    match self.look_up(&attempts, command).await {
                        CommandStatus::Committed => {
                            done.tell();
                            return Ok(done);
                        }
                        CommandStatus::NotCommitted => {
                            (UnitOfWorkError::CommitRefused { error }.into(), true)
                        }
                        CommandStatus::Running => return done.unknown(error),
                    }
                }
                // A key that stands there already: another attempt, which does not count, looks for it first.
                (error, _) if number == 1 && self.meets_key(&error) => {
                    again = 1;
                    continue;
                }
                (error, _) => (error, failure.retryable),
            };
            let given_up =
                self.lock_timeout.is_some() && error.kind() == Some(ErrorKind::LockTimeout);
            if given_up || !attempts.again(retryable).await {
                return Err(error);
            }
            // A server whose default is a snapshot refuses rows that changed after the first statement: not twice, and not to
            // those who come later.
            if error.kind() == Some(ErrorKind::Serialization) {
                self.ledger.group.snapshots.store(true, Ordering::Relaxed);
            }
            root = root.isolation(IsolationLevel::ReadCommitted);
        }
    }

    /// What became of a commit that got no answer; `Running` if that cannot be found out in time.
    async fn look_up(&self, attempts: &Attempts, command: &CommandRef) -> CommandStatus {
        let give_up = attempts.look_up_until(Instant::now());
        let mut pause = Attempts::of(&self.ledger.retry);
        loop {
            let asked = self.ledger.outcome(command);
            match tokio::time::timeout_at(give_up, asked).await {
                Ok(Ok(CommandStatus::Running)) => {}
                Ok(Ok(status)) => return status,
                Ok(Err(error)) => {
                    tracing::warn!(?error, "a commit without an answer could not be looked up");
                }
                Err(_) => return CommandStatus::Running,
            }
            pause.wait().await;
        }
    }
}
