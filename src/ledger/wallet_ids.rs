//! Whose wallet has which id, as this process has seen it: a guess that spares the database a look-up.
//!
//! It is never an answer. A wallet keeps its owner, but one that was made can be rolled back, and one without entries deleted. So
//! whoever locks a wallet by a guess compares its owner, and looks it up if it is another one, or if nothing is there.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::Owner;
use crate::id::WalletId;

/// How many are remembered before all are forgotten.
const MOST: usize = 100_000;

/// Whose wallet may have which id.
pub(super) type Guesses<'a> = BTreeMap<Owner<'a>, WalletId>;

/// The ids that have been seen.
#[derive(Clone, Default)]
pub(super) struct WalletIds(Arc<Seen>);

#[derive(Default)]
struct Seen {
    hasher: RandomState,
    /// By the hash of the owner: two with the same one are a wrong guess like any other.
    ids: Mutex<HashMap<u64, WalletId>>,
}

impl fmt::Debug for WalletIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WalletIds").field(&self.ids().len()).finish()
    }
}

impl WalletIds {
    /// The ids of those of whom one was seen.
    pub(super) fn guess<'a>(&self, owners: impl Iterator<Item = Owner<'a>>) -> Guesses<'a> {
        let ids = self.ids();
        owners.filter_map(|owner| Some((owner, *ids.get(&self.hash(owner))?))).collect()
    }

    /// Remembers whose they are.
    pub(super) fn remember<'a>(&self, seen: impl Iterator<Item = (Owner<'a>, WalletId)>) {
        let mut ids = self.ids();
        for (owner, id) in seen {
            let hash = self.hash(owner);
            if ids.len() >= MOST && !ids.contains_key(&hash) {
                ids.clear();
            }
            ids.insert(hash, id);
        }
    }

    /// Forgets what was guessed of them.
    pub(super) fn forget(&self, guesses: &Guesses<'_>) {
        let mut ids = self.ids();
        for owner in guesses.keys() {
            ids.remove(&self.hash(*owner));
        }
    }

    fn hash(&self, (user, currency): Owner<'_>) -> u64 {
        self.0.hasher.hash_one((user, currency.code()))
    }

    fn ids(&self) -> MutexGuard<'_, HashMap<u64, WalletId>> {
        self.0.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;
    use crate::money::Currency;

    fn remember(ids: &WalletIds, user: &str, currency: Currency, id: i64) {
        ids.remember([((&user.into(), currency), id.into())].into_iter());
    }

    fn guess(ids: &WalletIds, user: &str, currency: Currency) -> Option<WalletId> {
        let user = UserId::from(user);
        ids.guess([(&user, currency)].into_iter()).into_values().next()
    }

    #[test]
    fn the_last_one_seen_is_guessed_by_user_and_currency() {
        let ids = WalletIds::default();
        assert_eq!(guess(&ids, "ann", Currency::EUR), None);
        remember(&ids, "ann", Currency::EUR, 1);
        remember(&ids, "bob", Currency::EUR, 2);
        assert_eq!(guess(&ids, "ann", Currency::EUR), Some(1.into()));
        assert_eq!(guess(&ids, "bob", Currency::EUR), Some(2.into()));
        assert_eq!(guess(&ids, "ann", Currency::USD), None);
        remember(&ids, "ann", Currency::EUR, 3);
        assert_eq!(guess(&ids, "ann", Currency::EUR), Some(3.into()));
        ids.forget(&Guesses::from([((&"ann".into(), Currency::EUR), 3.into())]));
        assert_eq!(guess(&ids, "ann", Currency::EUR), None);
        assert_eq!(guess(&ids, "bob", Currency::EUR), Some(2.into()));
        assert_eq!(format!("{ids:?}"), "WalletIds(1)");
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let ids = WalletIds::default();
        for user in 0..MOST {
            remember(&ids, &user.to_string(), Currency::EUR, 1);
        }
        remember(&ids, "7", Currency::EUR, 2);
        assert_eq!(ids.ids().len(), MOST);
        remember(&ids, "one more", Currency::EUR, 3);
        assert_eq!(ids.ids().len(), 1);
        assert_eq!(guess(&ids, "7", Currency::EUR), None);
        assert_eq!(guess(&ids, "one more", Currency::EUR), Some(3.into()));
    }
}
