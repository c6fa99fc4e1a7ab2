//! Steps: work of several statements that belongs together.
//!
//! 1. One step is taken at a time. Row locks keep other transactions away, and nobody within the same one.
//! 2. A nested block does not open in the middle of a step.
//! 3. A step that does not come to its end breaks its block: half of it may have been written.

use std::future::Future;

use super::super::error::{Cause, Error};
use super::{BlockId, Session};

/// A step that is being taken. Dropped before its end, it breaks its block.
struct Step<'a> {
    session: &'a Session,
    block: BlockId,
    whole: bool,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.session.break_off(self.block, Cause::Interrupted);
        }
    }
}

impl Session {
    /// Takes a step in the block `id`. `harmless` says of an error whether it came before anything was written.
    pub(in crate::unit_of_work) async fn step<T, E>(
        &self,
        id: BlockId,
        work: impl Future<Output = Result<T, E>>,
        harmless: impl FnOnce(&E) -> bool,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let _turn = self.turn.lock().await;
        // Refused before it begins, and so nothing is broken: from here on no nested block can open.
        self.state().innermost(id)?;
        let mut step = Step { session: self, block: id, whole: false };
        let outcome = work.await;
        step.whole = outcome.as_ref().err().is_none_or(harmless);
        outcome
    }
}
