//! The registry of callbacks. It knows nothing of databases: only of a stack of blocks and of order.
//!
//! 1. `on_commit` callbacks run in the order of their registration, over all levels.
//! 2. A callback belongs to the block it was registered in. When that block is released, it belongs to the parent.
//! 3. When a block is rolled back, by whatever means, its callbacks are discarded, and those of every block inside it.
//! 4. A callback that fails stops the later ones, unless it was registered as robust.
//! 5. A panic in a callback is caught and counts as its failure.
//! 6. What the crate itself stages for the commit runs before all callbacks, and is not stopped by them.
//! 7. `before_commit` and `after_rollback` callbacks follow rules 1 to 3; `after_rollback` runs where the others are
//!    discarded.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::UnitOfWork;
use super::outcome::{CallbackError, HookFailure, HookReport, RollbackReason};

/// What a callback may return: nothing, or a `Result` whose error can be any error.
pub trait CallbackOutput {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), CallbackError>;
}

impl CallbackOutput for () {
    fn into_result(self) -> Result<(), CallbackError> {
        Ok(())
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> CallbackOutput for Result<(), E> {
    fn into_result(self) -> Result<(), CallbackError> {
        self.map_err(|error| CallbackError::Returned(error.into()))
    }
}

type Staged = Box<dyn FnOnce() + Send>;
type Outcome = Result<(), CallbackError>;
type OnCommit = Box<dyn FnOnce() -> BoxFuture<'static, Outcome> + Send>;
pub(super) type BeforeCommit = Box<dyn FnOnce(UnitOfWork) -> BoxFuture<'static, Outcome> + Send>;
type AfterRollback = Box<dyn FnOnce(RollbackReason) -> BoxFuture<'static, Outcome> + Send>;

/// The callbacks of one unit of work, each with the depth of the block it belongs to.
#[derive(Default)]
pub(super) struct Hooks {
    staged: Vec<(usize, Staged)>,
    on_commit: Vec<(usize, Hook)>,
    before_commit: Vec<(usize, BeforeCommit)>,
    after_rollback: Vec<(usize, AfterRollback)>,
}

/// One `on_commit` callback.
pub(super) struct Hook {
    robust: bool,
    callback: OnCommit,
}

impl Hook {
    pub(super) fn new<F, Fut>(robust: bool, callback: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: CallbackOutput> + Send + 'static,
    {
        let callback = Box::new(move || async move { callback().await.into_result() }.boxed());
        Self { robust, callback }
    }
}

impl Hooks {
    pub(super) fn stage(&mut self, depth: usize, staged: Staged) {
        self.staged.push((depth, staged));
    }

    pub(super) fn take_staged(&mut self) -> Vec<Staged> {
        std::mem::take(&mut self.staged).into_iter().map(|(_, staged)| staged).collect()
    }

    pub(super) fn on_commit(&mut self, depth: usize, hook: Hook) {
        self.on_commit.push((depth, hook));
    }

    pub(super) fn before_commit<F, Fut>(&mut self, depth: usize, callback: F)
    where
        F: FnOnce(UnitOfWork) -> Fut + Send + 'static,
        Fut: Future<Output: CallbackOutput> + Send + 'static,
    {
        let callback =
            Box::new(move |uow| async move { callback(uow).await.into_result() }.boxed());
        self.before_commit.push((depth, callback));
    }

    pub(super) fn after_rollback<F, Fut>(&mut self, depth: usize, callback: F)
    where
        F: FnOnce(RollbackReason) -> Fut + Send + 'static,
        Fut: Future<Output: CallbackOutput> + Send + 'static,
    {
        let callback =
            Box::new(move |reason| async move { callback(reason).await.into_result() }.boxed());
        self.after_rollback.push((depth, callback));
    }

    /// Rule 2: what belongs to the block at `depth` belongs to its parent from now on.
    pub(super) fn release(&mut self, depth: usize) {
        let parent = depth.saturating_sub(1);
        let depths = self.staged.iter_mut().map(|(depth, _)| depth);
        let depths = depths.chain(self.on_commit.iter_mut().map(|(depth, _)| depth));
        let depths = depths.chain(self.before_commit.iter_mut().map(|(depth, _)| depth));
        let depths = depths.chain(self.after_rollback.iter_mut().map(|(depth, _)| depth));
        for owner in depths.filter(|owner| **owner >= depth) {
            *owner = parent;
        }
    }

    /// Rule 3: takes out what belongs to the block at `depth` and inside it.
    pub(super) fn discard(&mut self, depth: usize) -> Discarded {
        Discarded(Self {
            staged: take(&mut self.staged, depth),
            on_commit: take(&mut self.on_commit, depth),
            before_commit: take(&mut self.before_commit, depth),
            after_rollback: take(&mut self.after_rollback, depth),
        })
    }

    pub(super) fn next_before_commit(&mut self) -> Option<BeforeCommit> {
        (!self.before_commit.is_empty()).then(|| self.before_commit.remove(0).1)
    }

    pub(super) fn take_on_commit(&mut self) -> Vec<Hook> {
        std::mem::take(&mut self.on_commit).into_iter().map(|(_, hook)| hook).collect()
    }
}

/// Takes out what belongs to the block at `depth` and inside it.
fn take<T>(list: &mut Vec<(usize, T)>, depth: usize) -> Vec<(usize, T)> {
    list.extract_if(.., |(owner, _)| *owner >= depth).collect()
}

/// Runs one callback and catches its panic, also one thrown before its future exists.
pub(super) async fn run<F>(callback: impl FnOnce() -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let guarded = AssertUnwindSafe(async { callback().await }).catch_unwind();
    guarded.await.unwrap_or_else(|payload| Err(CallbackError::panicked(payload.as_ref())))
}

/// Rules 1, 4 and 5: runs the `on_commit` callbacks of a unit of work that has been committed.
pub(super) async fn run_on_commit(hooks: Vec<Hook>) -> HookReport {
    let mut report = HookReport::default();
    let count = hooks.len();
    for (index, Hook { robust, callback }) in hooks.into_iter().enumerate() {
        match run(callback).await {
            Ok(()) => report.succeeded = report.succeeded.saturating_add(1),
            Err(error) => {
                tracing::warn!(index, robust, %error, "a callback after the commit failed");
                report.failed.push(HookFailure { index, robust, error });
                if !robust {
                    report.skipped = count.saturating_sub(index).saturating_sub(1);
                    break;
                }
            }
        }
    }
    report
}

/// Callbacks taken out of the registry. What they captured is the host's and may come back to the unit of work when it is
/// dropped, so it is dropped here and never under a lock.
#[must_use]
pub(super) struct Discarded(Hooks);

impl Discarded {
    pub(super) fn nothing() -> Self {
        Self(Hooks::default())
    }

    /// Rule 7: tells the `after_rollback` callbacks that their block has been rolled back. A failure is logged and stops
    /// nobody.
    pub(super) async fn tell(self, reason: RollbackReason) {
        // What was staged is void at once, and does not wait for the host's callbacks.
        drop(self.0.staged);
        for (_, callback) in self.0.after_rollback {
            if let Err(error) = run(|| callback(reason)).await {
                tracing::warn!(%error, ?reason, "a callback after the rollback failed");
            }
        }
    }

    pub(super) fn has_listeners(&self) -> bool {
        !self.0.after_rollback.is_empty()
    }
}
