//! Whose wallet has which id, as this process has seen it: a guess that spares the database a look-up.
//!
//! It is never an answer. A wallet keeps its owner, but one that was made can be rolled back, and one without entries deleted. So
//! whoever locks a wallet by a guess compares its owner, and looks it up if it is another one, or if nothing is there.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::{Account, Owner};
use crate::id::WalletId;

/// How many are remembered before all are forgotten.
const MOST: usize = 100_000;

/// The ids that have been seen.
#[derive(Clone, Debug, Default)]
pub(super) struct WalletIds(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    hasher: RandomState,
    /// By the hash of the owner: two with the same one are a wrong guess like any other.
    ids: Mutex<HashMap<u64, WalletId>>,
}

impl WalletIds {
    /// The ids of those of whom one was seen, in their order.
    pub(super) fn guess<'a>(
        &self,
        owners: impl Iterator<Item = Owner<'a>>,
    ) -> Vec<(Owner<'a>, WalletId)> {
        let ids = self.ids();
        owners.filter_map(|owner| Some((owner, *ids.get(&self.hash(owner))?))).collect()
    }

    /// Remembers whose they are.
    pub(super) fn remember<'a>(&self, accounts: impl Iterator<Item = &'a Account>) {
        let mut ids = self.ids();
        for account in accounts {
            if ids.len() >= MOST {
                ids.clear();
            }
            ids.insert(self.hash((&account.owner, account.currency)), account.id);
        }
    }

    /// Forgets what was guessed of them.
    pub(super) fn forget(&self, guesses: &[(Owner<'_>, WalletId)]) {
        let mut ids = self.ids();
        for (owner, _) in guesses {
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
    use crate::rules::Micros;

    fn account(id: i64, owner: &str, currency: Currency) -> Account {
        let (available, held, seq, last_at) = (0, 0, 0, Micros::new(0));
        let owner = owner.into();
        Account { id: id.into(), owner, currency, available, held, seq, last_at }
    }

    fn guess(ids: &WalletIds, owner: &str, currency: Currency) -> Option<WalletId> {
        let user = UserId::from(owner);
        ids.guess([(&user, currency)].into_iter()).first().map(|(_, id)| *id)
    }

    #[test]
    fn the_last_one_seen_is_guessed_by_user_and_currency() {
        let ids = WalletIds::default();
        assert_eq!(guess(&ids, "ann", Currency::EUR), None);
        ids.remember([account(1, "ann", Currency::EUR), account(2, "bob", Currency::EUR)].iter());
        assert_eq!(guess(&ids, "ann", Currency::EUR), Some(1.into()));
        assert_eq!(guess(&ids, "bob", Currency::EUR), Some(2.into()));
        assert_eq!(guess(&ids, "ann", Currency::USD), None);
        ids.remember([account(3, "ann", Currency::EUR)].iter());
        assert_eq!(guess(&ids, "ann", Currency::EUR), Some(3.into()));
        ids.forget(&[((&"ann".into(), Currency::EUR), 3.into())]);
        assert_eq!(guess(&ids, "ann", Currency::EUR), None);
        assert_eq!(guess(&ids, "bob", Currency::EUR), Some(2.into()));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let ids = WalletIds::default();
        let accounts: Vec<_> = (0..=i64::try_from(MOST).unwrap_or(i64::MAX))
            .map(|id| account(id, &id.to_string(), Currency::EUR))
            .collect();
        ids.remember(accounts.iter());
        assert_eq!(ids.ids().len(), 1);
        assert_eq!(guess(&ids, "0", Currency::EUR), None);
        assert_eq!(
            guess(&ids, &MOST.to_string(), Currency::EUR),
            accounts.last().map(|last| last.id)
        );
    }
}
