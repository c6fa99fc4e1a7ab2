//! The outermost block: its options, and how it begins and ends.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sea_orm::{AccessMode, DatabaseConnection, IsolationLevel};
use tracing::Instrument;

use super::UnitOfWork;
use super::error::Error;
use super::hooks::{self, CallbackOutput, Hook};
use super::outcome::{Committed, HookReport, RollbackReason};
use super::session::Session;
use crate::backend::pool_id;

tokio::task_local! {
    /// The pools on which this task has a root open.
    static OPEN_POOLS: Vec<usize>;
}

/// What a root was asked to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) isolation: Option<IsolationLevel>,
    pub(super) access_mode: Option<AccessMode>,
    pub(super) lock_timeout: Option<Duration>,
    pub(super) statement_timeout: Option<Duration>,
    pub(super) name: Option<Arc<str>>,
    nested_root: bool,
}

/// A unit of work that has not begun: where it will run and with which options.
///
/// Made by [`Atomic::unit_of_work`]; run by [`Root::atomic`], or again and again by
/// [`Retry::atomic`](super::Retry::atomic).
///
/// # Example: a serializable transaction that waits for locks at most two seconds
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sea_orm::DbErr> {
/// use std::time::Duration;
/// use auction_ledger::unit_of_work::Atomic;
/// use sea_orm::{ConnectionTrait, Database, DbErr, IsolationLevel};
///
/// let db = Database::connect("sqlite::memory:").await?;
/// let root = db
///     .unit_of_work()
///     .name("nightly report")
///     .isolation(IsolationLevel::Serializable)
///     .lock_timeout(Duration::from_secs(2));
/// let rows = root
///     .atomic(async |uow| uow.execute_unprepared("SELECT 1").await.map(|done| done.rows_affected()))
///     .await?;
/// assert_eq!(*rows, 0);
/// # Ok::<(), DbErr>(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a root does nothing until `atomic` is called and awaited"]
pub struct Root {
    db: DatabaseConnection,
    options: Options,
}

impl Root {
    /// The isolation level. Default: READ COMMITTED on MariaDB/MySQL, the server's default on PostgreSQL. SQLite is
    /// always serializable, which keeps every level asked for.
    pub fn isolation(mut self, level: IsolationLevel) -> Self {
        self.options.isolation = Some(level);
        self
    }

    /// Whether the transaction may write. Default: it may. On SQLite a read-only transaction begins deferred and takes
    /// no lock.
    pub fn access_mode(mut self, mode: AccessMode) -> Self {
        self.options.access_mode = Some(mode);
        self
    }

    /// How long one statement may wait for a row lock. Default: the setting of the connection, which is for ever on
    /// PostgreSQL and 50 s on MariaDB/MySQL.
    ///
    /// Counted in milliseconds on PostgreSQL and in whole seconds, rounded up, on MariaDB/MySQL. On SQLite the only
    /// wait is for the write lock as the unit of work begins, together with the wait for a pooled connection; it is
    /// never longer than the connection's own `busy_timeout`.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.options.lock_timeout = Some(timeout);
        self
    }

    /// How long one statement may run, in milliseconds. Default: the setting of the connection. MySQL limits SELECTs
    /// only; PostgreSQL does not apply it to COMMIT; SQLite cannot, and refuses with [`Error::Unsupported`].
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.options.statement_timeout = Some(timeout);
        self
    }

    /// A name for logs.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// Allows this root inside the closure of another one on the same pool.
    ///
    /// It needs a second connection while the first is held: a pool whose connections are all held this way waits for
    /// itself until its acquire timeout.
    pub fn allow_nested_root(mut self) -> Self {
        self.options.nested_root = true;
        self
    }

    /// Runs `f` in one database transaction: committed if it returns `Ok`, rolled back if it returns `Err` or panics.
    ///
    /// The value comes back as [`Committed`], with the report of the callbacks that ran after the commit. An error out
    /// of a callback is never an `Err` of this function.
    ///
    /// # Errors
    ///
    /// - what `f` returned: everything has been rolled back;
    /// - [`Error::NestedRoot`], [`Error::Unsupported`], [`Error::LockNotAvailable`], [`Error::Begin`]: `f` did not run;
    /// - [`Error::ChildOpen`], [`Error::RolledBack`], [`Error::Vetoed`], [`Error::Database`],
    ///   [`Error::CommitRefused`]: `f` returned `Ok`, but nothing is stored;
    /// - [`Error::CommitUnknown`]: the connection was lost while COMMIT was on its way. The only error after which
    ///   something may be stored.
    ///
    /// # Panics
    ///
    /// If `f` panics: after everything has been rolled back.
    ///
    /// # Cancel safety
    ///
    /// Dropped while `f` or a `before_commit` callback runs, nothing is stored and no `on_commit` callback runs. Dropped
    /// later, the commit and the callbacks go on in a task of their own. The pool never gets a connection back with a
    /// transaction on it.
    pub async fn atomic<F, T, E>(self, f: F) -> Result<Committed<T>, E>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, E>,
        E: From<Error>,
    {
        self.attempt(f, 1).await.map_err(|failure| failure.error)
    }

    /// One attempt, and whether another one can succeed where it failed.
    pub(crate) async fn attempt<F, T, E>(
        self,
        f: F,
        attempt: u32,
    ) -> Result<Committed<T>, Failure<E>>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, E>,
        E: From<Error>,
    {
        let name = self.options.name.as_deref();
        let span =
            tracing::debug_span!("unit_of_work", name, attempt, outcome = tracing::field::Empty);
        let tell = |done: &Result<_, _>| {
            span.record("outcome", if done.is_ok() { "committed" } else { "failed" });
        };
        self.run(f, attempt).inspect(tell).instrument(span.clone()).await
    }

    async fn run<F, T, E>(self, f: F, attempt: u32) -> Result<Committed<T>, Failure<E>>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, E>,
        E: From<Error>,
    {
        let pools = self.claim_pool()?;
        let uow = UnitOfWork::root(Session::begin(self.db, self.options, attempt).await?);
        let outcome = OPEN_POOLS
            .scope(pools, async {
                let outcome = AssertUnwindSafe(f(&uow)).catch_unwind().await;
                let veto = match &outcome {
                    Ok(Ok(_)) => uow.run_before_commit().await,
                    _ => Ok(()),
                };
                (outcome, veto)
            })
            .await;
        let retryable = uow.session.is_retryable();
        match outcome {
            (Ok(Ok(value)), Ok(())) => Ok(Committed::new(value, uow.commit_root().await?)),
            (Ok(Ok(_)), Err((refusal, reason))) => {
                uow.abort_root(reason).await;
                Err(refusal.into())
            }
            (Ok(Err(error)), _) => {
                uow.abort_root(RollbackReason::Failed).await;
                Err(Failure { error, retryable })
            }
            (Err(panic), _) => {
                uow.abort_root(RollbackReason::Panicked).await;
                resume_unwind(panic)
            }
        }
    }

    /// Runs `f` and rolls back whatever it returns; the callbacks of a success are handed out.
    #[cfg(feature = "testing")]
    pub(super) async fn capture<F, T, E>(self, f: F) -> Result<(T, Vec<Hook>), E>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, E>,
        E: From<Error>,
    {
        let pools = self.claim_pool().map_err(E::from)?;
        let uow = UnitOfWork::root(Session::begin(self.db, self.options, 1).await?);
        let outcome = OPEN_POOLS.scope(pools, AssertUnwindSafe(f(&uow)).catch_unwind()).await;
        // A block that could not have been committed has no callbacks to show.
        let refusal = uow.session.ready().await.err();
        let captured = uow.session.take_on_commit();
        uow.abort_root(RollbackReason::Captured).await;
        match (outcome, refusal) {
            (Ok(Ok(_)), Some(refusal)) => Err(refusal.into()),
            (Ok(Ok(value)), None) => Ok((value, captured)),
            (Ok(Err(error)), _) => Err(error),
            (Err(panic), _) => resume_unwind(panic),
        }
    }

    /// Refuses where this root would be refused as nested in another one of its task.
    pub(crate) fn require_outermost(&self) -> Result<(), Error> {
        self.claim_pool().map(drop)
    }

    /// The pools that are claimed inside the closure, if this root may claim its own.
    fn claim_pool(&self) -> Result<Vec<usize>, Error> {
        let mut pools = OPEN_POOLS.try_with(Vec::clone).unwrap_or_default();
        if let Some(pool) = pool_id(&self.db) {
            if pools.contains(&pool) && !self.options.nested_root {
                return Err(Error::NestedRoot);
            }
            pools.push(pool);
        }
        Ok(pools)
    }
}

/// An attempt that failed.
pub(crate) struct Failure<E> {
    pub(crate) error: E,
    pub(crate) retryable: bool,
}

impl<E: From<Error>> From<Error> for Failure<E> {
    fn from(error: Error) -> Self {
        let retryable = error.is_retryable();
        Self { error: error.into(), retryable }
    }
}

/// Units of work on a plain [`DatabaseConnection`].
///
/// # Example: both rows or none, and a message only if they are stored
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sea_orm::DbErr> {
/// use auction_ledger::unit_of_work::Atomic;
/// use sea_orm::{ConnectionTrait, Database, DbErr};
///
/// let db = Database::connect("sqlite::memory:").await?;
/// db.execute_unprepared("CREATE TABLE parcel (id INTEGER PRIMARY KEY, town TEXT NOT NULL)").await?;
///
/// let (sent, mut outbox) = tokio::sync::mpsc::unbounded_channel();
/// let done = db
///     .atomic(async |uow| {
///         uow.execute_unprepared("INSERT INTO parcel VALUES (1, 'Bern')").await?;
///         uow.execute_unprepared("INSERT INTO parcel VALUES (2, 'Chur')").await?;
///         uow.on_commit(async move || { _ = sent.send("two parcels"); });
///         Ok::<_, DbErr>("stored")
///     })
///     .await?;
///
/// assert_eq!(*done, "stored");
/// assert_eq!(outbox.recv().await, Some("two parcels"));
/// # Ok(()) }
/// ```
pub trait Atomic {
    /// A unit of work with options, to be run by [`Root::atomic`].
    fn unit_of_work(&self) -> Root;

    /// [`Root::atomic`] with the default options.
    ///
    /// # Errors
    ///
    /// As [`Root::atomic`].
    #[expect(
        async_fn_in_trait,
        reason = "the future is `Send` whenever the closure's is, which no bound can say"
    )]
    async fn atomic<F, T, E>(&self, f: F) -> Result<Committed<T>, E>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, E>,
        E: From<Error>,
    {
        self.unit_of_work().atomic(f).await
    }

    /// Outside a unit of work there is nothing to wait for: runs `callback` at once.
    ///
    /// The report tells whether it failed; a panic in it is caught.
    fn on_commit<F, Fut>(&self, callback: F) -> impl Future<Output = HookReport> + Send
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: CallbackOutput> + Send + 'static,
    {
        hooks::run_on_commit(vec![Hook::new(false, callback)])
    }

    /// As [`Atomic::on_commit`]; the failure is reported as a robust one.
    fn on_commit_robust<F, Fut>(&self, callback: F) -> impl Future<Output = HookReport> + Send
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: CallbackOutput> + Send + 'static,
    {
        hooks::run_on_commit(vec![Hook::new(true, callback)])
    }
}

impl Atomic for DatabaseConnection {
    fn unit_of_work(&self) -> Root {
        Root { db: self.clone(), options: Options::default() }
    }
}
