//! `transaction.atomic` and `transaction.on_commit` for SeaORM.
//!
//! A *unit of work* is one database transaction, or a savepoint inside one. [`Atomic::atomic`] opens the root on a
//! [`DatabaseConnection`](sea_orm::DatabaseConnection); [`UnitOfWork::atomic`] nests. What the closure gets implements
//! SeaORM's [`ConnectionTrait`] and [`TransactionTrait`], so entities, queries and raw statements run in it as they run
//! on a connection.
//!
//! # What it promises
//!
//! 1. A block commits if its closure returns `Ok` and rolls back if it returns `Err` or panics.
//! 2. A statement that failed, or was dropped before its answer came, breaks the innermost block: nothing more is sent
//!    until that block has been rolled back, on every database alike.
//! 3. A block that is broken or rollback-only and still returns `Ok` ends in [`Error::RolledBack`], never in silence.
//! 4. While a nested block is open, its parent refuses statements, nesting and the commit.
//! 5. Callbacks of [`UnitOfWork::on_commit`] run after a proven commit of the root, in order, and never otherwise.
//! 6. `Err` means: not committed; or [`Error::CommitUnknown`]. An error is never a committed unit of work.
//! 7. Dropping any future of this module leaves everything or nothing, and a clean connection in the pool.
//!
//! # Where it differs from Django
//!
//! | Django | here |
//! |---|---|
//! | A swallowed error can end a block without an exception, everything rolled back | [`Error::RolledBack`] |
//! | A failed raw statement leaves the block committable, and its hooks run | the block is broken |
//! | A failing `on_commit` callback raises out of a committed block | [`Committed`] with a report |
//! | A manual savepoint's rollback keeps its callbacks | discarded with the savepoint |
//! | `set_rollback(False)` revives a broken block | only the rollback of a savepoint heals |
//! | no callback before the commit or after a rollback | [`UnitOfWork::before_commit`], [`UnitOfWork::after_rollback`] |
//! | `using=` picks one of several databases | a unit of work is on one connection: nothing spans two databases |
//!
//! # Example: a savepoint that fails and harms nothing
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sea_orm::DbErr> {
//! use auction_ledger::unit_of_work::Atomic;
//! use sea_orm::{ConnectionTrait, Database, DbErr};
//!
//! let db = Database::connect("sqlite::memory:").await?;
//! db.execute_unprepared("CREATE TABLE thing (num INTEGER UNIQUE)").await?;
//!
//! let duplicate = db
//!     .atomic(async |uow| {
//!         uow.execute_unprepared("INSERT INTO thing VALUES (1)").await?;
//!         let inner: Result<(), DbErr> =
//!             uow.atomic(async |uow| uow.execute_unprepared("INSERT INTO thing VALUES (1)").await.map(drop)).await;
//!         uow.execute_unprepared("INSERT INTO thing VALUES (2)").await?;
//!         Ok::<_, DbErr>(inner.is_err())
//!     })
//!     .await?;
//!
//! assert!(*duplicate);
//! let stored = db.query_all_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "SELECT num FROM thing"));
//! assert_eq!(stored.await?.len(), 2);
//! # Ok(()) }
//! ```

mod connection;
mod error;
mod hooks;
mod lock;
mod outcome;
mod retry;
mod root;
mod seen_through;
mod session;
#[cfg(feature = "testing")]
mod testing;

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures::FutureExt;
#[allow(unused_imports, reason = "named in the documentation")]
use sea_orm::{ConnectionTrait, TransactionTrait};
use tracing::Instrument;

pub use self::error::{Cause, Error};
pub use self::hooks::CallbackOutput;
pub use self::lock::LockWait;
pub use self::outcome::{CallbackError, Committed, HookFailure, HookReport, RollbackReason};
pub(crate) use self::retry::Attempts;
pub use self::retry::Retry;
pub use self::root::{Atomic, Root};
#[cfg(feature = "testing")]
pub use self::testing::{Captured, capture_on_commit};
pub use crate::backend::ErrorKind;

use self::hooks::Hook;
use self::session::{BlockId, Nesting, ROOT, Session};

/// A handle on one block of a database transaction: the root, or a savepoint inside it.
///
/// The closures of [`Atomic::atomic`] and [`UnitOfWork::atomic`] get one. It runs statements as a
/// [`DatabaseConnection`](sea_orm::DatabaseConnection) does. It has no `StreamTrait`: while a stream is live every other
/// statement on its connection waits for ever.
pub struct UnitOfWork {
    session: Arc<Session>,
    block: BlockId,
    /// Whether this handle ends the block: the one that opened it does, the one lent to a callback does not.
    owner: bool,
}

impl UnitOfWork {
    fn root(session: Arc<Session>) -> Self {
        Self { session, block: ROOT, owner: true }
    }

    /// Runs `f` in a savepoint: released if it returns `Ok`, rolled back if it returns `Err` or panics, which heals a
    /// block that a failed statement has broken.
    ///
    /// In a block that is broken or rollback-only already no savepoint is taken, but `f` still runs; its statements are
    /// refused.
    ///
    /// # Errors
    ///
    /// - [`Error::Ended`], [`Error::ChildOpen`], [`Error::Database`]: `f` did not run;
    /// - what `f` returned: the block has been rolled back;
    /// - [`Error::ChildOpen`], [`Error::RolledBack`], [`Error::Database`]: `f` returned `Ok`, but the block has been
    ///   rolled back.
    ///
    /// # Panics
    ///
    /// If `f` panics: after the block has been rolled back.
    ///
    /// # Cancel safety
    ///
    /// Dropped while `f` runs, the block is rolled back before the parent does anything else. Dropped while the savepoint
    /// itself is taken, released or rolled back, the parent is broken.
    pub async fn atomic<F, T, E>(&self, f: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Self) -> Result<T, E>,
        E: From<Error>,
    {
        let savepoint = async {
            let child = self.nest(Nesting::Savepoint).await?;
            child.run(f).await
        };
        savepoint.instrument(tracing::debug_span!("savepoint")).await
    }

    /// Runs `f` as a part of this block, without a savepoint: Django's `atomic(savepoint=False)`.
    ///
    /// What `f` wrote cannot be undone alone, so an error out of it breaks this block. It costs no statement.
    ///
    /// # Errors
    ///
    /// As [`UnitOfWork::atomic`]; every error but those before `f` ran breaks this block.
    ///
    /// # Panics
    ///
    /// If `f` panics: after this block has been broken.
    ///
    /// # Cancel safety
    ///
    /// Dropped while `f` runs, this block is broken.
    pub async fn merged<F, T, E>(&self, f: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Self) -> Result<T, E>,
        E: From<Error>,
    {
        let child = self.nest(Nesting::Merged).await?;
        child.run(f).await
    }

    /// Refuses: a durable block must be the outermost one, and this handle is a block already.
    ///
    /// It exists so that code which must not run inside somebody else's transaction says so, and learns it when it is
    /// moved into one. `f` does not run, and this block is as it was.
    ///
    /// # Errors
    ///
    /// [`Error::NotDurable`], always, and before anything else is checked.
    pub async fn durable<F, T, E>(&self, f: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Self) -> Result<T, E>,
        E: From<Error>,
    {
        drop(f);
        Err(Error::NotDurable.into())
    }

    /// Registers a callback that runs once the root has been committed, after its connection is back in the pool.
    ///
    /// Callbacks run in the order of their registration, over all levels. A callback that fails or panics stops the later
    /// ones, which are reported as skipped in [`Committed::hooks`]; it never undoes the commit. If this block, or one
    /// around it, is rolled back, the callback is discarded. A callback may query and open units of work of its own.
    ///
    /// Give it ids and let it hand them off: rows that it carries may be old by then, and the caller of the unit of work
    /// waits for it.
    ///
    /// # Cancel safety
    ///
    /// Once COMMIT is on its way the callbacks run in a task of their own, whoever stops waiting for them.
    pub fn on_commit<F, Fut>(&self, callback: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: CallbackOutput> + Send + 'static,
    {
        self.session.register(self.block, |hooks, depth| {
            hooks.on_commit(depth, Hook::new(false, callback))
        });
    }

    /// As [`UnitOfWork::on_commit`], but a failure of this callback is only reported: the later ones still run.
    pub fn on_commit_robust<F, Fut>(&self, callback: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: CallbackOutput> + Send + 'static,
    {
        self.session
            .register(self.block, |hooks, depth| hooks.on_commit(depth, Hook::new(true, callback)));
    }

    /// Registers a callback that runs at the root, inside the transaction, just before COMMIT.
    ///
    /// Callbacks run in the order of their registration and may register further ones. An error, or a panic, refuses the
    /// commit: everything is rolled back and the root returns [`Error::Vetoed`]. Discarded with its block, as
    /// [`UnitOfWork::on_commit`].
    pub fn before_commit<F, Fut>(&self, callback: F)
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output: CallbackOutput> + Send + 'static,
    {
        self.session.register(self.block, |hooks, depth| hooks.before_commit(depth, callback));
    }

    /// Registers a callback that runs after the ROLLBACK of the savepoint or root it was registered in, or of the block
    /// that inherited it when its own was released.
    ///
    /// It does not run after [`Error::CommitUnknown`]. A savepoint's callbacks run while the transaction around it is
    /// still open: they must not wait for a connection of the same pool. Failures are logged.
    pub fn after_rollback<F, Fut>(&self, callback: F)
    where
        F: FnOnce(RollbackReason) -> Fut + Send + 'static,
        Fut: Future<Output: CallbackOutput> + Send + 'static,
    {
        self.session.register(self.block, |hooks, depth| hooks.after_rollback(depth, callback));
    }

    /// Marks this block rollback-only: it refuses further statements and ends in a rollback, whatever its closure
    /// returns. There is no way back.
    pub fn set_rollback_only(&self) {
        self.session.set_rollback_only(self.block);
    }

    /// Why this block refuses statements: [`Error::Broken`], [`Error::RollbackOnly`] or [`Error::Ended`]; `None` while it
    /// accepts them.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        self.session.refusal(self.block)
    }

    /// The name given to the root.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.session.name.as_deref()
    }

    /// Which attempt of a [`Retry`] this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.session.attempt
    }

    /// Stages work of the crate itself: it runs right after the commit and before every callback, must not fail, and is
    /// dropped unrun if the commit does not happen or is unknown.
    pub(crate) fn stage(&self, staged: impl FnOnce() + Send + 'static) {
        self.session.register(self.block, |hooks, depth| hooks.stage(depth, Box::new(staged)));
    }

    /// Takes a step of several statements: no other step and no nested block comes in between, and if it is cut short, by a
    /// drop or by an error that is not `harmless`, this block is broken.
    pub(crate) async fn step<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        harmless: impl FnOnce(&E) -> bool,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.session.step(self.block, work, harmless).await
    }

    async fn nest(&self, nesting: Nesting) -> Result<Self, Error> {
        let block = self.session.nest(self.block, nesting).await?;
        Ok(Self { session: Arc::clone(&self.session), block, owner: true })
    }

    /// Runs `f` in this block and ends it.
    async fn run<F, T, E>(mut self, f: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Self) -> Result<T, E>,
        E: From<Error>,
    {
        let outcome = AssertUnwindSafe(f(&self)).catch_unwind().await;
        let ended = match &outcome {
            Ok(Ok(_)) => self.session.release(self.block).await,
            Ok(Err(_)) => self.session.roll_back(self.block, RollbackReason::Failed).await,
            Err(_) => self.session.roll_back(self.block, RollbackReason::Panicked).await,
        };
        self.owner = false;
        match outcome {
            Ok(Ok(value)) => {
                ended?;
                Ok(value)
            }
            Ok(Err(error)) => Err(error),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Runs the callbacks of `before_commit` in a handle that cannot end the root.
    async fn run_before_commit(&self) -> Result<(), (Error, RollbackReason)> {
        while self.session.ready().await.is_ok()
            && let Some(callback) = self.session.next_before_commit()
        {
            let lent = Self { session: Arc::clone(&self.session), block: self.block, owner: false };
            if let Err(error) = hooks::run(|| callback(lent)).await {
                return Err((Error::Vetoed { error: Arc::new(error) }, RollbackReason::Vetoed));
            }
        }
        Ok(())
    }

    async fn commit_root(mut self) -> Result<HookReport, Error> {
        self.owner = false;
        self.session.commit().await
    }

    async fn abort_root(mut self, reason: RollbackReason) {
        self.owner = false;
        self.session.abort(reason).await;
    }

    fn own(&self) -> Result<(), Error> {
        if self.owner && self.block != ROOT { Ok(()) } else { Err(Error::NotOwner) }
    }
}

impl Drop for UnitOfWork {
    fn drop(&mut self) {
        if self.owner {
            self.session.abandon(self.block);
        }
    }
}

impl std::fmt::Debug for UnitOfWork {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("UnitOfWork")
            .field("name", &self.session.name)
            .field("block", &self.block)
            .field("attempt", &self.session.attempt)
            .finish_non_exhaustive()
    }
}
