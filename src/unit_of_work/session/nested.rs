//! How nested blocks are opened, kept and undone.

use sea_orm::DatabaseTransaction;

use super::super::error::{Cause, Error};
use super::super::hooks::Discarded;
use super::super::outcome::RollbackReason;
use super::ending::reason_of;
use super::stack::Condition;
use super::{BlockId, ROOT, Session};

/// What opening a nested block takes.
enum Plan {
    /// Nothing more: it stands.
    Opened(BlockId),
    /// This statement first.
    Savepoint(String),
}

/// How a nested block is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::unit_of_work) enum Nesting {
    /// With a savepoint; in a broken block without one.
    Savepoint,
    /// With a savepoint; refused in a broken block.
    Begin,
    /// Never with a savepoint.
    Merged,
}

impl Session {
    /// Opens a block inside `parent`.
    pub(in crate::unit_of_work) async fn nest(
        &self,
        parent: BlockId,
        nesting: Nesting,
    ) -> Result<BlockId, Error> {
        let _turn = self.turn.lock().await;
        let connection = self.enter(parent).await?;
        match self.plan(parent, nesting)? {
            Plan::Opened(id) => Ok(id),
            Plan::Savepoint(savepoint) => {
                let transaction = connection.as_ref().ok_or(Error::Ended)?;
                self.manage(transaction, parent, &savepoint)
                    .await
                    .map_err(|error| Error::Database { error })?;
                Ok(self.state().push(true, Condition::Sound))
            }
        }
    }

    fn plan(&self, parent: BlockId, nesting: Nesting) -> Result<Plan, Error> {
        let mut state = self.state();
        let condition = state.condition(state.depth(parent)?);
        if nesting == Nesting::Begin {
            condition.refusal()?;
        }
        if nesting == Nesting::Merged || !matches!(condition, Condition::Sound) {
            return Ok(Plan::Opened(state.push(false, condition)));
        }
        Ok(Plan::Savepoint(format!("SAVEPOINT {}", savepoint_name(state.next_block))))
    }

    /// Whether the root could be committed as things stand: a child that was dropped is rolled back first.
    pub(in crate::unit_of_work) async fn ready(&self) -> Result<(), Error> {
        let connection = self.connection.lock().await;
        let transaction = connection.as_ref().ok_or(Error::Ended)?;
        self.verify(transaction, ROOT).await
    }

    /// Ends a nested block whose work is to be kept.
    pub(in crate::unit_of_work) async fn release(&self, id: BlockId) -> Result<(), Error> {
        let connection = self.connection.lock().await;
        let transaction = connection.as_ref().ok_or(Error::Ended)?;
        if let Err(refusal) = self.verify(transaction, id).await {
            let callbacks = self.undo(transaction, id).await;
            drop(connection);
            self.tell(callbacks, reason_of(&refusal)).await;
            return Err(refusal);
        }
        let (depth, parent, savepoint) = self.place(id)?;
        if savepoint {
            let sql = format!("RELEASE SAVEPOINT {}", savepoint_name(id));
            if let Err(error) = self.manage(transaction, parent, &sql).await {
                // The parent is broken now and takes the callbacks with it.
                self.fold(depth);
                return Err(Error::Database { error });
            }
        }
        self.fold(depth);
        Ok(())
    }

    /// Ends a nested block whose work is to be undone.
    pub(in crate::unit_of_work) async fn roll_back(
        &self,
        id: BlockId,
        reason: RollbackReason,
    ) -> Result<(), Error> {
        let connection = self.connection.lock().await;
        let transaction = connection.as_ref().ok_or(Error::Ended)?;
        self.state().depth(id)?;
        let callbacks = self.undo(transaction, id).await;
        drop(connection);
        self.tell(callbacks, reason).await;
        Ok(())
    }

    /// Callbacks run in a task of their own, so that a dropped caller does not stop them halfway.
    async fn tell(&self, callbacks: Discarded, reason: RollbackReason) {
        if callbacks.has_listeners() {
            _ = self.runtime.spawn(callbacks.tell(reason)).await;
        }
    }

    fn place(&self, id: BlockId) -> Result<(usize, BlockId, bool), Error> {
        let state = self.state();
        let depth = state.depth(id)?;
        let parent = state.blocks.get(depth.saturating_sub(1)).map_or(ROOT, |block| block.id);
        Ok((depth, parent, state.blocks.get(depth).is_some_and(|block| block.savepoint)))
    }

    /// Forgets the block at `depth`; its callbacks are its parent's from now on.
    fn fold(&self, depth: usize) {
        let mut state = self.state();
        state.blocks.truncate(depth);
        state.hooks.release(depth);
    }

    /// Whether the block can be kept: no child open, nothing broken.
    pub(super) async fn verify(
        &self,
        transaction: &DatabaseTransaction,
        id: BlockId,
    ) -> Result<(), Error> {
        let abandoned = self.state().abandoned_child(id);
        if let Some(child) = abandoned {
            let callbacks = self.undo(transaction, child).await;
            self.runtime.spawn(callbacks.tell(RollbackReason::Dropped));
        }
        let state = self.state();
        let depth = state.innermost(id)?;
        match state.condition(depth) {
            Condition::Sound => Ok(()),
            Condition::Broken(cause) => Err(Error::RolledBack { cause }),
            Condition::RollbackOnly => Err(Error::RolledBack { cause: Cause::RollbackOnly }),
        }
    }

    /// Undoes the block `id` and every block inside it, and returns the callbacks that are to be told.
    ///
    /// Without a savepoint to go back to, the parent is broken and inherits the callbacks.
    pub(super) async fn undo(&self, transaction: &DatabaseTransaction, id: BlockId) -> Discarded {
        let Ok((depth, parent, savepoint)) = self.place(id) else {
            return Discarded::nothing();
        };
        let fatal = self.state().fatal.is_some();
        if savepoint && !fatal {
            self.absorb(transaction).await;
            let name = savepoint_name(id);
            // Not needed again: released, so that a loop of failures does not pile savepoints up in the server.
            let undone = match self
                .manage(transaction, parent, &format!("ROLLBACK TO SAVEPOINT {name}"))
                .await
            {
                Ok(()) => {
                    self.manage(transaction, parent, &format!("RELEASE SAVEPOINT {name}")).await
                }
                failed => failed,
            };
            if undone.is_ok() {
                let mut state = self.state();
                state.blocks.truncate(depth);
                return state.hooks.discard(depth);
            }
        }
        let mut state = self.state();
        let cause = match state.condition(depth) {
            Condition::Broken(cause) => cause,
            Condition::Sound | Condition::RollbackOnly => Cause::MergedBlock,
        };
        state.break_block(depth.saturating_sub(1), cause);
        drop(state);
        self.fold(depth);
        Discarded::nothing()
    }
}

fn savepoint_name(id: BlockId) -> String {
    format!("al_{id}")
}
