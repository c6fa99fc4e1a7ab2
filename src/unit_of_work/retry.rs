//! Running a whole unit of work again.

use std::time::Duration;

use tokio::time::Instant;

use super::UnitOfWork;
use super::error::Error;
use super::outcome::Committed;
use super::root::Root;

/// Runs a unit of work again when the database could not order it among its neighbours.
///
/// A deadlock, a serialization failure, a lock timeout, a connection lost before the commit and a server without room for
/// another one are repeated, COMMIT included: the whole closure, with a fresh transaction and fresh callbacks. Everything else, a refusal of the host's own
/// above all, is returned at once, and [`Error::CommitUnknown`] is never repeated.
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
    ///
    /// It is also until when a verb of the ledger looks up a commit that got no answer: at least for a second, and without
    /// a deadline for five.
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
        let mut attempts = Attempts::of(self);
        loop {
            match root.clone().attempt(f.clone(), attempts.number()).await {
                Ok(committed) => return Ok(committed),
                Err(failure) if attempts.again(failure.retryable).await => {}
                Err(failure) => return Err(failure.error),
            }
        }
    }
}

/// The attempts of one unit of work: how many there were, and whether there is another one.
pub(crate) struct Attempts {
    retry: Retry,
    start: Instant,
    number: u32,
}

/// How long a commit without an answer is looked up where no deadline says otherwise.
const LOOK_UP: Duration = Duration::from_secs(5);

/// How long it is looked up at least, however early the deadline.
const SHORTEST_LOOK_UP: Duration = Duration::from_secs(1);

impl Attempts {
    pub(crate) fn of(retry: &Retry) -> Self {
        Self { retry: retry.clone(), start: Instant::now(), number: 1 }
    }

    /// Which attempt this is, from 1.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Waits for the next attempt, if there is one after a failure of this kind.
    pub(crate) async fn again(&mut self, retryable: bool) -> bool {
        let pause = pause(self.number);
        let deadline = self.retry.deadline;
        let late = deadline.is_some_and(|limit| self.start.elapsed().saturating_add(pause) > limit);
        if !retryable || self.number >= self.retry.attempts || late {
            return false;
        }
        tracing::debug!(attempt = self.number, ?pause, "the unit of work is run again");
        tokio::time::sleep(pause).await;
        self.number = self.number.saturating_add(1);
        true
    }

    /// Waits as long as before another attempt, without counting how often.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(pause(self.number)).await;
        self.number = self.number.saturating_add(1);
    }

    /// Until when what became of an attempt is looked up.
    pub(crate) fn look_up_until(&self, now: Instant) -> Instant {
        let after = |start: Instant, pause| start.checked_add(pause);
        let limit = match self.retry.deadline {
            Some(limit) => after(self.start, limit).or_else(|| after(now, LOOK_UP)),
            None => after(now, LOOK_UP),
        };
        // What took so long may have been the commit itself: the database is asked all the same.
        limit.max(after(now, SHORTEST_LOOK_UP)).unwrap_or(now)
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
