//! How a unit of work ended, and what became of its callbacks.

use std::fmt;
use std::ops::Deref;

/// A value whose transaction has been committed, and the report of the callbacks that ran afterwards.
///
/// It exists only after a proven commit and dereferences to the value. A callback that failed is told in
/// [`Committed::hooks`] and never as an `Err`: whoever sees an error from a committed purchase charges twice.
#[derive(Debug)]
#[must_use = "a failed callback is told here and nowhere else"]
pub struct Committed<T> {
    value: T,
    hooks: HookReport,
}

impl<T> Committed<T> {
    pub(crate) fn new(value: T, hooks: HookReport) -> Self {
        Self { value, hooks }
    }

    /// What the closure returned.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    /// What became of the callbacks registered with `on_commit`.
    #[must_use]
    pub fn hooks(&self) -> &HookReport {
        &self.hooks
    }

    /// The value and the report.
    #[must_use]
    pub fn into_parts(self) -> (T, HookReport) {
        (self.value, self.hooks)
    }
}

impl<T> Deref for Committed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Which callbacks ran, failed and were skipped.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct HookReport {
    /// How many callbacks ran and succeeded.
    pub succeeded: usize,
    /// The callbacks that failed, in the order in which they ran.
    pub failed: Vec<HookFailure>,
    /// How many callbacks did not run because one before them, not registered as robust, failed; or, all of them, because their
    /// runtime has ended.
    pub skipped: usize,
}

impl HookReport {
    /// Whether every callback ran and succeeded.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.skipped == 0
    }

    /// The failure that stopped the callbacks after it, if one did.
    #[must_use]
    pub fn stopped_by(&self) -> Option<&HookFailure> {
        self.failed.iter().find(|failure| !failure.robust)
    }
}

/// A callback that failed after the commit.
#[derive(Debug)]
#[non_exhaustive]
pub struct HookFailure {
    /// The callback's place in the order of registration, from 0.
    pub index: usize,
    /// Whether it was registered with `on_commit_robust`, so that the callbacks after it still ran.
    pub robust: bool,
    /// The callback's own error.
    pub error: CallbackError,
}

/// The error of a callback.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallbackError {
    /// What the callback returned.
    Returned(Box<dyn std::error::Error + Send + Sync>),
    /// The callback panicked: its message, if it was a text.
    Panicked(String),
}

impl CallbackError {
    /// The callback's own error as the type it had, if it returned one of that type.
    #[must_use]
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Returned(error) => error.downcast_ref(),
            Self::Panicked(_) => None,
        }
    }

    pub(super) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self::Panicked(message.unwrap_or_else(|| "a panic without a text".to_owned()))
    }
}

impl fmt::Display for CallbackError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(error) => error.fmt(formatter),
            Self::Panicked(message) => write!(formatter, "the callback panicked: {message}"),
        }
    }
}

impl std::error::Error for CallbackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Returned(error) => error.source(),
            Self::Panicked(_) => None,
        }
    }
}

/// Why a block was rolled back, as told to the callbacks of `after_rollback`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RollbackReason {
    /// The closure returned an error, or the host called `rollback`.
    Failed,
    /// The closure panicked.
    Panicked,
    /// The future of the block was dropped before it ended.
    Dropped,
    /// The block returned `Ok` but was broken by a statement that had failed or was dropped.
    Broken,
    /// The block was marked rollback-only.
    RollbackOnly,
    /// A callback of `before_commit` refused the commit.
    Vetoed,
    /// The database refused the commit.
    CommitRefused,
    /// The block returned `Ok` while a block nested in it was still open.
    ChildOpen,
    /// The block was captured by a test and always rolls back.
    Captured,
}
