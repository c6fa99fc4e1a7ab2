//! The idempotency keys of callers.

use uuid::Uuid;

/// What keys the bids have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    None,
    Random,
    /// UUIDs of version 7, which begin with the time.
    ByTime,
}

impl Keys {
    pub fn next(self) -> Option<Uuid> {
        match self {
            Self::None => None,
            Self::Random => Some(Uuid::from_u128(fastrand::u128(..))),
            Self::ByTime => Some(Uuid::now_v7()),
        }
    }
}
