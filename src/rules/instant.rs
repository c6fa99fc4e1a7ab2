//! Instants and spans of time, as the rules count them.

use chrono::{DateTime, Utc};

/// An instant: microseconds since the first second of 1970, UTC. What is finer is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Micros(i64);

impl Micros {
    /// A day, as a span.
    pub(crate) const DAY: i64 = 24 * 60 * 60 * 1_000_000;

    pub(crate) const fn new(micros: i64) -> Self {
        Self(micros)
    }

    pub(crate) const fn get(self) -> i64 {
        self.0
    }

    /// So many microseconds later; the last instant there is if that is too late.
    pub(crate) const fn plus(self, span: i64) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// The instant for people. What the calendar cannot name, 260,000 years from now, is its last
    /// instant.
    pub(crate) fn datetime(self) -> DateTime<Utc> {
        let last = if self.0 < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        DateTime::from_timestamp_micros(self.0).unwrap_or(last)
    }
}

impl From<DateTime<Utc>> for Micros {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_micros())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_cut_to_microseconds_and_never_panic() {
        let fine = DateTime::from_timestamp(1, 1_999).unwrap();
        assert_eq!(Micros::from(fine), Micros::new(1_000_001));
        assert_eq!(Micros::new(i64::MAX).datetime(), DateTime::<Utc>::MAX_UTC);
        assert_eq!(Micros::new(i64::MIN).datetime(), DateTime::<Utc>::MIN_UTC);
        assert_eq!(Micros::new(1).plus(i64::MAX), Micros::new(i64::MAX));
    }
}
