//! Where the ledger gets the time from.

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::backend::Dialect;
use crate::rules::Micros;

/// The clock that judges bids: the database's own, so that hosts whose clocks differ agree; or, in tests, a manual one.
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    /// The database's clock, read with or after the locks.
    #[default]
    Database,
    /// A clock that stands where the test has set it.
    #[cfg(feature = "testing")]
    Manual(ManualClock),
}

impl Clock {
    /// The time to use for what the database's clock said.
    pub(crate) fn or(&self, database: Micros) -> Micros {
        match self {
            Self::Database => database,
            #[cfg(feature = "testing")]
            Self::Manual(clock) => clock.micros(),
        }
    }

    /// The time as an expression, for a row that is written before anything is read.
    pub(crate) fn expression(&self, dialect: Dialect) -> SimpleExpr {
        match self {
            Self::Database => Expr::cust(dialect.now()),
            #[cfg(feature = "testing")]
            Self::Manual(clock) => clock.micros().get().into(),
        }
    }

    /// Asks, where there is no query to ask along with.
    pub(crate) async fn now<C: ConnectionTrait>(&self, connection: &C) -> Result<Micros, DbErr> {
        match self {
            Self::Database => {
                let backend = connection.get_database_backend();
                let sql = format!("SELECT {} AS now_us", Dialect::of(backend).now());
                let row = connection.query_one_raw(Statement::from_string(backend, sql)).await?;
                let row =
                    row.ok_or_else(|| DbErr::RecordNotFound("the database's clock".to_owned()))?;
                row.try_get("", "now_us").map(Micros::new)
            }
            #[cfg(feature = "testing")]
            Self::Manual(clock) => Ok(clock.micros()),
        }
    }
}

/// A clock for tests: it stands still until it is set.
///
/// Clones show the same time.
///
/// # Example: a minute later
///
/// ```
/// use auction_ledger::ManualClock;
/// use chrono::{DateTime, TimeDelta};
///
/// let clock = ManualClock::new(DateTime::UNIX_EPOCH);
/// clock.advance(TimeDelta::minutes(1));
/// assert_eq!(clock.now(), DateTime::UNIX_EPOCH + TimeDelta::minutes(1));
/// ```
#[cfg(feature = "testing")]
#[derive(Clone, Debug)]
pub struct ManualClock(std::sync::Arc<std::sync::atomic::AtomicI64>);

#[cfg(feature = "testing")]
impl ManualClock {
    /// A clock that shows `now`, truncated to microseconds.
    #[must_use]
    pub fn new(now: chrono::DateTime<chrono::Utc>) -> Self {
        Self(std::sync::Arc::new(now.timestamp_micros().into()))
    }

    /// What the clock shows.
    #[must_use]
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.micros().datetime()
    }

    /// Sets the clock to `now`, truncated to microseconds. It may go back, as clocks of databases do.
    pub fn set(&self, now: chrono::DateTime<chrono::Utc>) {
        self.0.store(now.timestamp_micros(), std::sync::atomic::Ordering::SeqCst);
    }

    /// Moves the clock by `delta`, which may be negative.
    pub fn advance(&self, delta: chrono::TimeDelta) {
        let micros = delta.num_microseconds().unwrap_or(0);
        self.0.fetch_add(micros, std::sync::atomic::Ordering::SeqCst);
    }

    fn micros(&self) -> Micros {
        Micros::new(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}
