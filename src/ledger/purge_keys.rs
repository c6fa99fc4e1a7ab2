//! Forgetting idempotency keys.

use std::time::Duration;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::AuctionLedger;
use crate::backend::Detached;
use crate::entity::key;
use crate::error::Error;
use crate::unit_of_work::UnitOfWork;

/// Keys that are forgotten in one unit of work.
const BATCH: u64 = 1_000;

impl AuctionLedger {
    /// Forgets the idempotency keys of commands that were carried out longer than `older_than` ago, and says how many.
    ///
    /// A command whose key is forgotten is carried out again if it is sent again, so keep keys for longer than any client
    /// retries: a day is usual. No money moves, and none depends on keys. It works in batches of a thousand, and those made in
    /// the same microsecond as the last of them, each in a unit of work of its own; several processes may call it.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`]: the batches before it are done, and the one
    /// that failed can be done again.
    ///
    /// # Cancel safety
    ///
    /// What has been forgotten stays forgotten.
    ///
    /// # Locking
    ///
    /// The keys of one batch at a time.
    ///
    /// # Example: nothing is that old
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// ledger.deposit("ann", Currency::EUR, 50.into()).key("payment 4711").await?;
    /// assert_eq!(ledger.purge_keys(Duration::from_secs(24 * 3600)).await?, 0);
    /// # Ok(()) }
    /// ```
    pub async fn purge_keys(&self, older_than: Duration) -> Result<u64, Error> {
        let age = i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX);
        let before = self.clock.now(&Detached(&self.db)).await?.get().saturating_sub(age);
        let mut purged = 0_u64;
        loop {
            let batch = self.retry.atomic(self.unit_of_work().name("PurgeKeys"), async |uow| {
                purge_batch(uow, before).await
            });
            match batch.await?.into_value() {
                0 => return Ok(purged),
                batch => purged = purged.saturating_add(batch),
            }
        }
    }
}

/// Deletes the oldest keys made before an instant: a batch, and those made in the same instant as its last.
async fn purge_batch(uow: &UnitOfWork, before: i64) -> Result<u64, Error> {
    let old = key::Entity::find().select_only().column(key::Column::At);
    let old = old.filter(key::Column::At.lt(before)).order_by_asc(key::Column::At);
    let rows: Vec<i64> = old.limit(BATCH).into_tuple().all(uow).await?;
    let Some(last) = rows.last() else {
        return Ok(0);
    };
    let deleted = key::Entity::delete_many().filter(key::Column::At.lte(*last)).exec(uow).await?;
    Ok(deleted.rows_affected)
}
