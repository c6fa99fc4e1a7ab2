//! Identities. Ids are types, so that an auction and a wallet cannot be swapped.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A user, named by the host's own key: 1 to 64 bytes of text without a NUL.
///
/// Users are compared **as bytes**, on every database: `Ann`, `ann` and `Ann` with a blank behind
/// it are three users.
///
/// Verbs take `impl Into<UserId>`, and a conversion cannot fail.
/// So [`From`] takes any text as it is, and every verb calls [`validate`](Self::validate) before
/// anything else:
/// a text that is no user comes back as a typed error, and nothing is written.
/// To learn it earlier, make the user with [`new`](Self::new).
/// Numbers and UUIDs are always valid; a UUID becomes its 36 lower-case characters.
///
/// # Example: the keys of three hosts
///
/// ```
/// use auction_ledger::{UserId, UserIdError};
/// use uuid::Uuid;
///
/// assert_eq!(UserId::from(42).as_str(), "42");
/// assert_eq!(UserId::from(Uuid::nil()).as_str(), "00000000-0000-0000-0000-000000000000");
/// assert_eq!(UserId::new("ann")?, UserId::from("ann"));
/// assert_ne!(UserId::new("ann")?, UserId::new("Ann")?);
///
/// // A conversion takes the text unchecked; the verbs find out.
/// assert_eq!(UserId::from("").validate(), Err(UserIdError::Empty));
/// # Ok::<(), UserIdError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// The longest key of a user, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 64;

    /// Makes a user from a text, and checks it.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate).
    pub fn new(text: impl Into<String>) -> Result<Self, UserIdError> {
        let user = Self(text.into());
        user.validate()?;
        Ok(user)
    }

    /// Checks a user that came out of a conversion or out of serde.
    ///
    /// # Errors
    ///
    /// [`UserIdError::Empty`], [`UserIdError::TooLong`], [`UserIdError::ContainsNul`], in this
    /// order.
    pub fn validate(&self) -> Result<(), UserIdError> {
        if self.0.is_empty() {
            return Err(UserIdError::Empty);
        }
        if self.0.len() > Self::MAX_BYTES {
            return Err(UserIdError::TooLong { bytes: self.0.len() });
        }
        if self.0.as_bytes().contains(&0) {
            return Err(UserIdError::ContainsNul);
        }
        Ok(())
    }

    /// The host's key, as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host's key as the databases compare it.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Takes the text as it is; see [`UserId`] for when it is checked.
impl From<&str> for UserId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Takes the text as it is; see [`UserId`] for when it is checked.
impl From<String> for UserId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

// The only integer, so that a bare `7` needs no type.
impl From<i64> for UserId {
    fn from(key: i64) -> Self {
        Self(key.to_string())
    }
}

impl From<Uuid> for UserId {
    fn from(key: Uuid) -> Self {
        Self(key.hyphenated().to_string())
    }
}

impl From<&UserId> for UserId {
    fn from(user: &UserId) -> Self {
        user.clone()
    }
}

/// Why a text cannot name a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserIdError {
    /// The text is empty.
    #[error("a user id cannot be empty")]
    Empty,
    /// The text is longer than [`UserId::MAX_BYTES`].
    #[error("a user id has at most 64 bytes, not {bytes}")]
    TooLong {
        /// How many bytes the text has.
        bytes: usize,
    },
    /// The text has a NUL character, which PostgreSQL cannot store.
    #[error("a user id cannot contain a NUL character")]
    ContainsNul,
}

/// An id that the database hands out, as a type of its own.
macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// The number, as the database knows it.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl From<i64> for $name {
            fn from(id: i64) -> Self {
                Self(id)
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id! {
    /// An auction. The host may keep it in tables of its own, as a number.
    ///
    /// ```
    /// use auction_ledger::AuctionId;
    ///
    /// let auction = AuctionId::from(7);
    /// assert_eq!((auction.get(), auction.to_string()), (7, "7".to_owned()));
    /// ```
    AuctionId
}

row_id! {
    /// The wallet of one user in one currency. Wallets are locked in ascending order of their ids.
    WalletId
}

/// One command that moved money. Every journal entry it made carries this id.
///
/// It is a UUID of version 7: ids made later sort later, as far as the clocks of their makers
/// agree.
/// The order that counts is the `seq` of an auction or a wallet, never this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(Uuid);

impl OperationId {
    /// Draws a new id, from the clock and the random numbers of this process.
    ///
    /// It belongs to whoever starts a command; the rules never call it.
    #[expect(
        clippy::new_without_default,
        reason = "a default that differs every time would surprise"
    )]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id as a UUID.
    pub const fn get(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for OperationId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl From<OperationId> for Uuid {
    fn from(id: OperationId) -> Self {
        id.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_refused_in_order() {
        let (longest, long) = ("é".repeat(32), format!("{}\0", "é".repeat(32)));
        for (text, expected) in [
            ("", Err(UserIdError::Empty)),
            (long.as_str(), Err(UserIdError::TooLong { bytes: 65 })),
            ("an\0n", Err(UserIdError::ContainsNul)),
            (longest.as_str(), Ok(())),
            (" ", Ok(())),
        ] {
            assert_eq!(UserId::from(text).validate(), expected, "{text:?}");
            assert_eq!(UserId::new(text).map(|_| ()), expected, "{text:?}");
        }
    }

    #[test]
    fn users_are_compared_as_bytes() {
        let mut users = ["ann", "Ann ", "ánn", "Ann"].map(UserId::from);
        users.sort();
        assert_eq!(users.map(|user| user.to_string()), ["Ann", "Ann ", "ann", "ánn"]);
    }

    #[test]
    fn every_number_and_uuid_is_a_user() {
        for user in [UserId::from(i64::MIN), UserId::from(0), UserId::from(Uuid::max())] {
            assert_eq!(user.validate(), Ok(()), "{user}");
        }
    }

    #[test]
    fn ids_look_in_json_like_what_they_hold() {
        let ids = (UserId::from("ann"), AuctionId::from(7), OperationId::from(Uuid::nil()));
        let json = serde_json::to_string(&ids).unwrap();
        assert_eq!(json, r#"["ann",7,"00000000-0000-0000-0000-000000000000"]"#);
        assert_eq!(serde_json::from_str::<(UserId, AuctionId, OperationId)>(&json).unwrap(), ids);
    }

    #[test]
    fn operations_made_later_sort_later() {
        let first = OperationId::new();
        let second = OperationId::new();
        assert!(first < second);
        assert_eq!(first.get().get_version_num(), 7);
    }
}
