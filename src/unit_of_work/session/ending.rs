//! How the root ends: the commit and its callbacks, or the rollback. A caller that is dropped stops neither. The host's callbacks
//! run in tasks of their own.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use tracing::Instrument;

use super::super::error::{Cause, Error};
use super::super::hooks::{self, Discarded, Hook};
use super::super::outcome::{HookReport, RollbackReason};
use super::super::seen_through::SeenThrough;
use super::{BlockId, ROOT, Session};
use crate::backend::{Dialect, ErrorKind};

impl Session {
    /// Commits and runs the callbacks: a dropped caller leaves everything or nothing.
    pub(in crate::unit_of_work) fn commit(
        self: &Arc<Self>,
    ) -> impl Future<Output = Result<HookReport, Error>> + Send + 'static {
        let session = Arc::clone(self);
        let commit = async move { session.commit_now().await }.in_current_span();
        SeenThrough::new(self.runtime.clone(), commit)
    }

    async fn commit_now(&self) -> Result<HookReport, Error> {
        let mut connection = self.connection.lock().await;
        let transaction = connection.as_ref().ok_or(Error::Ended)?;
        let verified = match self.verify(transaction, ROOT).await {
            Ok(()) => self.put_back(transaction).await.map_err(|error| Error::Database { error }),
            refused => refused,
        };
        let transaction = connection.take().ok_or(Error::Ended)?;
        drop(connection);
        if let Err(refusal) = verified {
            self.end(transaction, reason_of(&refusal)).await;
            return Err(refusal);
        }
        // From here the outcome is the database's: a block without a failed or dropped statement commits, or COMMIT
        // itself is answered with an error.
        match transaction.commit().await {
            Ok(()) => {
                let staged = self.state().hooks.take_staged();
                let on_commit = self.state().hooks.take_on_commit();
                drop(self.forget());
                staged.into_iter().for_each(|staged| staged());
                Ok(self.run_on_commit(on_commit).await)
            }
            Err(error) if ErrorKind::proves_not_committed(&error) => {
                // The driver rolls back when it drops the transaction.
                let callbacks = self.forget();
                if callbacks.has_listeners() {
                    let told = callbacks.tell(RollbackReason::CommitRefused).in_current_span();
                    _ = self.runtime.spawn(told).await;
                }
                Err(Error::CommitRefused { error })
            }
            Err(error) => {
                drop(self.forget());
                Err(Error::CommitUnknown { error })
            }
        }
    }

    /// Runs the callbacks of what has been committed. Those of a runtime that ends are skipped.
    async fn run_on_commit(&self, callbacks: Vec<Hook>) -> HookReport {
        if callbacks.is_empty() {
            return HookReport::default();
        }
        let skipped = callbacks.len();
        let task = self.runtime.spawn(hooks::run_on_commit(callbacks).in_current_span());
        task.await.unwrap_or_else(|_| HookReport { skipped, ..HookReport::default() })
    }

    /// Rolls the whole transaction back in a task of its own.
    pub(in crate::unit_of_work) async fn abort(self: &Arc<Self>, reason: RollbackReason) {
        _ = self.spawn_abort(reason).await;
    }

    fn spawn_abort(self: &Arc<Self>, reason: RollbackReason) -> tokio::task::JoinHandle<()> {
        let session = Arc::clone(self);
        let abort = async move {
            let transaction = session.connection.lock().await.take();
            if let Some(transaction) = transaction {
                session.end(transaction, reason).await;
            }
        };
        self.runtime.spawn(abort.in_current_span())
    }

    async fn put_back(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        for statement in &self.restore {
            transaction.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    /// Sends ROLLBACK and tells the callbacks.
    async fn end(&self, transaction: DatabaseTransaction, reason: RollbackReason) {
        self.absorb(&transaction).await;
        if let Err(error) = self.put_back(&transaction).await {
            tracing::debug!(%error, "a setting could not be put back");
        }
        if let Some(statement) = Dialect::of(self.backend).before_rollback()
            && let Err(error) = transaction.execute_unprepared(statement).await
        {
            tracing::debug!(%error, "no transaction could be opened to roll back");
        }
        if let Err(error) = transaction.rollback().await {
            // The pool pings the connection before anybody else gets it, and drops a dead one.
            tracing::warn!(%error, ?reason, "the rollback failed; the server rolls back when the connection closes");
        }
        self.forget().tell(reason).await;
    }

    /// Clears the stack and the registry.
    fn forget(&self) -> Discarded {
        let mut state = self.state();
        state.blocks.clear();
        state.hooks.discard(0)
    }

    /// Marks a block whose owner was dropped. The root is rolled back at once, a nested one by whoever comes next.
    pub(in crate::unit_of_work) fn abandon(self: &Arc<Self>, id: BlockId) {
        if id == ROOT {
            drop(self.spawn_abort(RollbackReason::Dropped));
        } else if let Some(block) = self.state().blocks.iter_mut().find(|block| block.id == id) {
            block.abandoned = true;
        }
    }
}

pub(super) fn reason_of(refusal: &Error) -> RollbackReason {
    match refusal {
        Error::RolledBack { cause: Cause::RollbackOnly } => RollbackReason::RollbackOnly,
        Error::ChildOpen => RollbackReason::ChildOpen,
        Error::RolledBack { .. } => RollbackReason::Broken,
        _ => RollbackReason::Failed,
    }
}
