//! What a unit of work refuses, and why it ended without a commit.

use std::sync::Arc;

use sea_orm::DbErr;

use super::outcome::CallbackError;
use crate::backend::ErrorKind;

/// Why a unit of work refused, or ended without a proven commit.
///
/// Inside SeaORM every error is a [`DbErr`]: a refusal travels through it and comes back by [`Error::of`]. An error type
/// of the host needs `From<unit_of_work::Error>` and, if it uses `?` on statements, `From<DbErr>`.
///
/// # Example: a refusal that came through SeaORM
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sea_orm::DbErr> {
/// use auction_ledger::unit_of_work::{Atomic, Error};
/// use sea_orm::{ConnectionTrait, Database, DbErr};
///
/// let db = Database::connect("sqlite::memory:").await?;
/// let refused = db
///     .atomic(async |uow| uow.execute_unprepared("COMMIT").await.map(drop))
///     .await
///     .unwrap_err();
/// assert!(matches!(Error::of(&refused), Some(Error::TransactionControl { keyword: "COMMIT" })));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The block was broken earlier and has not been rolled back yet. Nothing was sent to the database.
    #[error("the block is broken and must be rolled back first")]
    Broken {
        /// What broke it.
        #[source]
        cause: Cause,
    },
    /// The block was marked rollback-only. Nothing was sent to the database.
    #[error("the block is marked rollback-only")]
    RollbackOnly,
    /// The block returned `Ok`, but was broken or rollback-only: it has been rolled back, and nothing of it is stored.
    #[error("the block returned a value but has been rolled back")]
    RolledBack {
        /// What broke it, or [`Cause::RollbackOnly`].
        #[source]
        cause: Cause,
    },
    /// A nested block is live: until it ends its parent can neither run statements, nor nest, nor commit.
    #[error("a nested block is still open")]
    ChildOpen,
    /// The block, or the whole unit of work, has ended.
    #[error("the unit of work has ended")]
    Ended,
    /// The statement would have ended the transaction behind the back of the unit of work. It was not sent.
    ///
    /// On MariaDB and MySQL a comment that only some servers execute (`/*!`) is refused too, whatever is in it: what the
    /// text says, only the server knows.
    #[error("`{keyword}` controls transactions and is refused inside a unit of work")]
    TransactionControl {
        /// The keyword that was found.
        keyword: &'static str,
    },
    /// A durable block was opened inside another one. It did not run, and the outer block is as it was.
    #[error("a durable block cannot be nested")]
    NotDurable,
    /// A root was opened inside the closure of another one on the same pool, where both can wait for each other.
    #[error(
        "a unit of work on the same pool is open in this task: nest with `uow.atomic`, or join it"
    )]
    NestedRoot,
    /// Somebody wanted to wait on a thread that belongs to a runtime of tokio, where waiting would keep others from running.
    /// Nothing happened. Await the ledger of async code, or wait on a thread of your own: see `blocking`.
    #[error(
        "this thread belongs to a tokio runtime: await `auction_ledger::AuctionLedger` here, or wait on a thread of its own"
    )]
    InsideRuntime,
    /// Isolation level and access mode belong to the root: a nested block cannot change them.
    #[error("options of a transaction can be set on its root only")]
    NestedOptions,
    /// The unit of work was handed out for use, not for ending it.
    #[error("only the owner of a block can commit or roll it back")]
    NotOwner,
    /// This database cannot do what was asked.
    #[error("{database} cannot {what}")]
    Unsupported {
        /// The database.
        database: &'static str,
        /// What it cannot do.
        what: &'static str,
    },
    /// A row is locked by another transaction, and waiting was refused or took too long.
    #[error("a row is locked by another transaction")]
    LockNotAvailable,
    /// A callback of `before_commit` returned an error. Everything has been rolled back.
    #[error("a callback before the commit refused it")]
    Vetoed {
        /// The callback's own error.
        #[source]
        error: Arc<CallbackError>,
    },
    /// The transaction could not be begun. Nothing happened.
    #[error("the transaction could not begin")]
    Begin {
        /// What the database said.
        #[source]
        error: DbErr,
    },
    /// The database refused the commit, or has never got it. Nothing is stored.
    #[error("the commit did not happen")]
    CommitRefused {
        /// What the database said.
        #[source]
        error: DbErr,
    },
    /// The connection was lost while COMMIT was on its way: it may have happened or not. No callback ran.
    ///
    /// Look before doing it again.
    #[error("the connection was lost during the commit: it may or may not have happened")]
    CommitUnknown {
        /// What the driver said.
        #[source]
        error: DbErr,
    },
    /// A statement that manages the transaction (a savepoint, a setting) failed.
    #[error("the transaction could not be managed")]
    Database {
        /// What the database said.
        #[source]
        error: DbErr,
    },
}

impl Error {
    /// The refusal that travels in `error`, if it is one.
    #[must_use]
    pub fn of(error: &DbErr) -> Option<&Self> {
        match error {
            DbErr::TryIntoErr { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// What a locking statement failed with: a lock that was not to be had is typed.
    pub(crate) fn of_lock(error: DbErr) -> DbErr {
        match ErrorKind::of(&error) {
            ErrorKind::LockTimeout => Self::LockNotAvailable.into(),
            _ => error,
        }
    }

    /// What the database said, where it said something.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Broken { cause: Cause::Statement(error) }
            | Self::RolledBack { cause: Cause::Statement(error) } => Some(ErrorKind::of(error)),
            Self::LockNotAvailable => Some(ErrorKind::LockTimeout),
            Self::Begin { error }
            | Self::CommitRefused { error }
            | Self::CommitUnknown { error }
            | Self::Database { error } => Some(ErrorKind::of(error)),
            _ => None,
        }
    }

    /// Whether the same unit of work, run again from its start, can succeed. Never true for [`Error::CommitUnknown`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::CommitUnknown { .. })
            && self.kind().is_some_and(ErrorKind::is_retryable)
    }
}

/// The words SeaORM puts around a refusal: "Error converting `statement` into `unit of work`: …".
impl From<Error> for DbErr {
    fn from(error: Error) -> Self {
        Self::TryIntoErr { from: "statement", into: "unit of work", source: Arc::new(error) }
    }
}

/// What broke a block.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// A statement failed: what the database said.
    #[error(transparent)]
    Statement(DbErr),
    /// The future of a statement was dropped before its answer came.
    #[error("a statement was cancelled before its answer came")]
    StatementDropped,
    /// A command of several statements was cut short: half of it may have been written.
    #[error("a command was cut short between its statements")]
    Interrupted,
    /// A merged block ended in an error: its writes cannot be undone without those of its parent.
    #[error("a merged block failed")]
    MergedBlock,
    /// The block was marked rollback-only.
    #[error("the block was marked rollback-only")]
    RollbackOnly,
}
