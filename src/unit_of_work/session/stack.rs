//! The stack of blocks, and what is known of the transaction they stand on. It sends nothing.

use sea_orm::DbErr;

use super::super::error::{Cause, Error};
use super::super::hooks::Hooks;
use super::{BlockId, ROOT};
use crate::backend::ErrorKind;

pub(super) struct State {
    /// The root first, the innermost last.
    pub(super) blocks: Vec<Block>,
    pub(super) next_block: BlockId,
    /// What ended the transaction in the server, savepoints included.
    pub(super) fatal: Option<Cause>,
    /// A statement was dropped before its answer came: it is still to be read from the connection.
    pub(super) unanswered: bool,
    /// Whether the last statement failed in a way that a second run can cure.
    pub(super) retryable: bool,
    pub(super) hooks: Hooks,
}

pub(super) struct Block {
    pub(super) id: BlockId,
    pub(super) savepoint: bool,
    pub(super) condition: Condition,
    /// Its owner was dropped: the parent rolls it back before it does anything else.
    pub(super) abandoned: bool,
}

#[derive(Clone)]
pub(super) enum Condition {
    Sound,
    Broken(Cause),
    RollbackOnly,
}

impl Condition {
    pub(super) fn refusal(&self) -> Result<(), Error> {
        match self {
            Self::Sound => Ok(()),
            Self::Broken(cause) => Err(Error::Broken { cause: cause.clone() }),
            Self::RollbackOnly => Err(Error::RollbackOnly),
        }
    }
}

impl State {
    pub(super) fn new() -> Self {
        let root =
            Block { id: ROOT, savepoint: false, condition: Condition::Sound, abandoned: false };
        Self {
            blocks: vec![root],
            next_block: ROOT.saturating_add(1),
            fatal: None,
            unanswered: false,
            retryable: false,
            hooks: Hooks::default(),
        }
    }

    pub(super) fn depth(&self, id: BlockId) -> Result<usize, Error> {
        self.blocks.iter().position(|block| block.id == id).ok_or(Error::Ended)
    }

    pub(super) fn condition(&self, depth: usize) -> Condition {
        match &self.fatal {
            Some(cause) => Condition::Broken(cause.clone()),
            None => {
                self.blocks.get(depth).map_or(Condition::Sound, |block| block.condition.clone())
            }
        }
    }

    /// Refuses all but the innermost block. A child that was abandoned does not count: it is about to be rolled back.
    pub(super) fn innermost(&self, id: BlockId) -> Result<usize, Error> {
        let depth = self.depth(id)?;
        match self.blocks.get(depth.saturating_add(1)) {
            Some(child) if !child.abandoned => Err(Error::ChildOpen),
            _ => Ok(depth),
        }
    }

    pub(super) fn abandoned_child(&self, id: BlockId) -> Option<BlockId> {
        let depth = self.depth(id).ok()?;
        self.blocks
            .get(depth.saturating_add(1))
            .filter(|child| child.abandoned)
            .map(|child| child.id)
    }

    /// The first cause stands: what came after it was refused, or followed from it.
    pub(super) fn break_block(&mut self, depth: usize, cause: Cause) {
        if let Some(block) = self.blocks.get_mut(depth)
            && matches!(block.condition, Condition::Sound)
        {
            block.condition = Condition::Broken(cause);
        }
    }

    pub(super) fn statement_failed(&mut self, id: BlockId, error: &DbErr) {
        let kind = ErrorKind::of(error);
        self.retryable = kind.is_retryable();
        if kind.is_fatal() && self.fatal.is_none() {
            self.fatal = Some(Cause::Statement(error.clone()));
        }
        if let Ok(depth) = self.depth(id) {
            self.break_block(depth, Cause::Statement(error.clone()));
        }
    }

    pub(super) fn push(&mut self, savepoint: bool, condition: Condition) -> BlockId {
        let id = self.next_block;
        self.next_block = id.saturating_add(1);
        self.blocks.push(Block { id, savepoint, condition, abandoned: false });
        id
    }
}
