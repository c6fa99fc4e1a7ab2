//! How long keys are kept: until they are purged, and no money depends on them.

use std::time::Duration;

use auction_ledger::entity::key;
use chrono::TimeDelta;
use sea_orm::{EntityTrait, Set};

use super::{WON, ledger, start};
use crate::support::{Books, on_every_backend};

on_every_backend! {
    async fn keys_are_purged_by_age_and_no_money_depends_on_them(world: &World) {
        let (ledger, clock) = ledger(world);
        ledger.deposit("ann", WON, 5.into()).key("old").await?;
        clock.advance(TimeDelta::hours(1));
        ledger.deposit("ann", WON, 5.into()).key("new").await?;

        assert_eq!(ledger.purge_keys(Duration::from_secs(3_601)).await?, 0);
        let hour = Duration::from_secs(3_600);
        assert_eq!(ledger.purge_keys(hour).await?, 0, "an hour old is not older than an hour");
        clock.advance(TimeDelta::microseconds(1));
        assert_eq!(ledger.purge_keys(hour).await?, 1);
        assert_eq!(ledger.purge_keys(hour).await?, 0);

        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!((books.total(), books.keys.len()), (10, 1));
        assert_eq!(ledger.deposit("ann", WON, 5.into()).key("new").await?.available, 10.into());
        assert_eq!(ledger.deposit("ann", WON, 5.into()).key("old").await?.available, 15.into());
        assert_eq!(ledger.purge_keys(Duration::MAX).await?, 0, "nothing is that old");
    }

    async fn a_purge_of_many_keys_works_in_batches(world: &World) {
        let (ledger, _) = ledger(world);
        let day = start().timestamp_micros() - 86_400_000_000;
        // Instants of one, of two, and of a hundred keys.
        for (count, at) in [(1_500_i64, 0), (1_000, 2), (1_100, 11)] {
            let rows = (0..count).map(|n| key::ActiveModel {
                scope: Set(b"user ann".to_vec()),
                idempotency_key: Set(format!("{at}-{n}").into_bytes()),
                request_hash: Set(vec![1]),
                operation: Set(uuid::Uuid::now_v7()),
                answer: Set(Some("{}".to_owned())),
                at: Set(day + if at == 0 { n } else { 10_000 + n / at }),
            });
            for rows in rows.collect::<Vec<_>>().chunks(100) {
                key::Entity::insert_many(rows.to_vec()).exec_without_returning(world.db()).await?;
            }
        }
        ledger.deposit("ann", WON, 5.into()).key("young").await?;
        assert_eq!(ledger.purge_keys(Duration::from_secs(3_600)).await?, 3_600);
        assert_eq!(Books::read(world.db()).await?.keys.len(), 1);
    }
}
