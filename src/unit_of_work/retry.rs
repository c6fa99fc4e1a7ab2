//! Running a whole unit of work again.

use std::time::Duration;

use tokio::time::Instant;

use super::UnitOfWork;
use super::error::Error;
use super::outcome::Committed;
use super::root::Root;

/// Runs a unit of work again when the database could not order it among its neighbours.
///
/// A deadlock, a serialization failure or a lock timeout is repeated, COMMIT included: the whole closure, with a fresh
/// transaction and fresh callbacks. Everything else, a refusal of the host's own above all, is returned at once, and
/// [`Error::CommitUnknown`] is never repeated.
///
/// Between two attempts it waits a random time between zero and a limit that doubles from 5 ms up to 500 ms, so that
/// the rivals do not meet again.
///
/// # Example: at most five attempts within two seconds
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sea_orm::DbErr> {
/// use std::time::Duration;
/// use auction_ledger::unit_of_work::{Atomic, Retry};
/// use sea_orm::{Database, DbErr};
///
/// let db = Database::connect("sqlite::memory:").await?;
/// let retry = Retry::new().attempts(5).deadline(Duration::from_secs(2));
/// let attempt = retry.atomic(db.unit_of_work(), async |uow| Ok::<_, DbErr>(uow.attempt())).await?;
/// assert_eq!(*attempt, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    attempts: u32,
    deadline: Option<Duration>,
}

const FIRST_PAUSE_US: u64 = 5_000;
const LONGEST_PAUSE_US: u64 = 500_000;

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 10, deadline: None }
    }
}

impl Retry {
    /// Ten attempts without a deadline.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many attempts there are in all, the first included; 0 counts as 1. Default: 10.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// No new attempt begins later than this after the first one began. An attempt that is under way is not cut off.
    /// Default: none.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// [`Root::atomic`], repeated. The closure is cloned for each attempt: what it captures must be `Clone`.
    ///
    /// # Errors
    ///
    /// As [`Root::atomic`], of the last attempt.
    ///
    /// # Panics
    ///
    /// If `f` panics: after everything has been rolled back. A panic is not repeated.
    ///
    /// # Cancel safety
    ///
    /// As [`Root::atomic`]: each attempt is stored wholly or not at all.
    pub async fn atomic<F, T, E>(&self, root: Root, f: F) -> Result<Committed<T>, E>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, E> + Clone,
        E: From<Error>,
    {
        let start = Instant::now();
        let mut attempt = 1;
        loop {
            let failure = match root.clone().attempt(f.clone(), attempt).await {
                Ok(committed) => return Ok(committed),
                Err(failure) => failure,
            };
            let pause = pause(attempt);
            let late = self
                .deadline
                .is_some_and(|deadline| start.elapsed().saturating_add(pause) > deadline);
            if !failure.retryable || attempt >= self.attempts || late {
                return Err(failure.error);
            }
            tracing::debug!(attempt, ?pause, "the unit of work is run again");
            tokio::time::sleep(pause).await;
            attempt = attempt.saturating_add(1);
        }
    }
}

/// Full jitter. The random bits are those of a fresh uuid, so that no further dependency is needed for them.
fn pause(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let limit = FIRST_PAUSE_US.saturating_mul(1 << doublings).min(LONGEST_PAUSE_US);
    let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
    Duration::from_micros((random & 0xffff_ffff).checked_rem(limit).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_stays_below_its_doubling_limit() {
        for attempt in 1..40 {
            let limit = (5_000_u64 << (attempt - 1).min(16)).min(500_000);
            for _ in 0..100 {
                assert!(pause(attempt) < Duration::from_micros(limit));
            }
        }
    }
}
