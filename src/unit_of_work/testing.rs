//! Callbacks in the tests of a host.

use sea_orm::DatabaseConnection;

use super::UnitOfWork;
use super::error::Error;
use super::hooks::{self, Hook};
use super::outcome::HookReport;
use super::root::Atomic;

/// Runs `f` in a unit of work that is always rolled back, and returns the callbacks that a commit would have run.
///
/// Only a body that could have been committed has any: if `f` fails, or leaves a broken block, the error is returned and
/// the callbacks are discarded, as in production. `before_commit` callbacks do not run.
///
/// # Errors
///
/// What `f` returned, or what [`Root::atomic`](super::Root::atomic) refuses.
///
/// # Example: a message is promised, but nothing is stored
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sea_orm::DbErr> {
/// use auction_ledger::unit_of_work::capture_on_commit;
/// use sea_orm::{Database, DbErr};
///
/// let db = Database::connect("sqlite::memory:").await?;
/// let (sent, mut outbox) = tokio::sync::mpsc::unbounded_channel();
/// let captured = capture_on_commit(&db, async |uow| {
///     uow.on_commit(async move || { _ = sent.send("sold"); });
///     Ok::<_, DbErr>(())
/// })
/// .await?;
///
/// assert_eq!(captured.len(), 1);
/// assert!(captured.run().await.is_clean());
/// assert_eq!(outbox.recv().await, Some("sold"));
/// # Ok(()) }
/// ```
pub async fn capture_on_commit<F, T, E>(db: &DatabaseConnection, f: F) -> Result<Captured<T>, E>
where
    F: AsyncFnOnce(&UnitOfWork) -> Result<T, E>,
    E: From<Error>,
{
    let (value, hooks) = db.unit_of_work().capture(f).await?;
    Ok(Captured { value, hooks })
}

/// What a captured unit of work returned, and its callbacks.
pub struct Captured<T> {
    /// What the closure returned.
    pub value: T,
    hooks: Vec<Hook>,
}

impl<T> Captured<T> {
    /// How many callbacks were captured.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hooks.len()
    }

    /// Whether no callback was captured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Runs the callbacks as a commit would have: in order, one that fails stops the later ones, and a callback that is
    /// registered by another one runs at once.
    pub async fn run(self) -> HookReport {
        hooks::run_on_commit(self.hooks).await
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Captured<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Captured")
            .field("value", &self.value)
            .field("hooks", &self.hooks.len())
            .finish()
    }
}
