//! History: written once, never changed, never deleted, and neither is what it speaks of.

use sea_orm::{ConnectionTrait, TransactionTrait};

use super::By::{Foreign, Law, Trigger};
use super::{By, accepts, all, auction, entry, in_words_of, refuses, store_one_of_each, wallet};
use crate::support::{Database, TestResult, World, on_every_backend, race};

/// Every way to change or delete a row of a table, with the trigger that must refuse it.
fn changes(database: Database, table: &'static str) -> Vec<(String, By)> {
    let no = Trigger(table, "is append-only");
    let mut rows = vec![
        (format!("UPDATE {table} SET at = 9"), no),
        (format!("UPDATE {table} SET at = at"), no),
        (format!("UPDATE {table} SET seq = seq + 1"), no),
        (format!("DELETE FROM {table}"), no),
    ];
    match database {
        Database::Postgres => rows.extend([
            (format!("TRUNCATE {table}"), no),
            (format!("TRUNCATE al_key, {table} CASCADE"), no),
            (format!("INSERT INTO {table} SELECT * FROM {table} ON CONFLICT ON CONSTRAINT {table}_pkey DO UPDATE SET at = 9"), no),
            (format!("WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone"), no),
        ]),
        // MariaDB cannot catch TRUNCATE: it is a right that the application's user does not need.
        Database::Mariadb => rows.extend([
            (format!("REPLACE INTO {table} SELECT * FROM {table}"), no),
            (format!("INSERT INTO {table} SELECT * FROM {table} ON DUPLICATE KEY UPDATE at = 9"), no),
            (format!("DELETE {table} FROM {table} JOIN al_wallet"), no),
            (format!("UPDATE {table} JOIN al_wallet SET {table}.at = 9"), no),
        ]),
        // H50: REPLACE deletes without firing the triggers of DELETE.
        Database::Sqlite => rows.extend([
            (format!("REPLACE INTO {table} SELECT * FROM {table}"), no),
            (format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}"), no),
            (format!("UPDATE OR REPLACE {table} SET seq = seq + 1"), no),
            (format!("INSERT INTO {table} SELECT * FROM {table} WHERE true ON CONFLICT DO UPDATE SET at = 9"), no),
        ]),
    }
    rows
}

/// Every row that was stored is there, as it was.
async fn assert_all_is_there(world: &World) -> TestResult {
    for (table, rows) in
        [("al_wallet", 2), ("al_auction", 1), ("al_act", 1), ("al_bid", 1), ("al_entry", 1)]
    {
        assert_eq!(
            all::<i64>(world.db(), &format!("SELECT count(*) FROM {table}")).await?,
            [rows],
            "{table}"
        );
    }
    for table in ["al_act", "al_bid", "al_entry"] {
        assert_eq!(
            all::<i64>(world.db(), &format!("SELECT at FROM {table}")).await?,
            [1],
            "{table}"
        );
    }
    Ok(())
}

on_every_backend! {
    async fn entries_are_append_only(world: &World) {
        store_one_of_each(world).await;
        refuses(world, changes(world.database(), "al_entry")).await;
        assert_all_is_there(world).await?;
    }

    async fn bids_are_append_only(world: &World) {
        store_one_of_each(world).await;
        refuses(world, changes(world.database(), "al_bid")).await;
        assert_all_is_there(world).await?;
    }

    async fn acts_are_append_only(world: &World) {
        store_one_of_each(world).await;
        refuses(world, changes(world.database(), "al_act")).await;
        assert_all_is_there(world).await?;
    }

    async fn a_wallet_with_entries_cannot_be_deleted(world: &World) {
        store_one_of_each(world).await;
        let (deleted, existing) = (Trigger("al_wallet", "cannot be deleted"), Trigger("al_wallet", "the key exists"));
        let moved = Trigger("al_wallet", "cannot be changed");
        refuses(world, [("DELETE FROM al_wallet WHERE id = 1", deleted)]).await;
        match world.database() {
            Database::Postgres => {
                let truncated = Trigger("al_wallet", "cannot be truncated");
                refuses(world, [("TRUNCATE al_wallet CASCADE", truncated), ("TRUNCATE al_wallet, al_auction", truncated)]).await;
            }
            Database::Mariadb => refuses(world, [
                ("REPLACE INTO al_wallet SELECT * FROM al_wallet WHERE id = 1", deleted),
                ("TRUNCATE al_wallet", Law("foreign key")),
            ]).await,
            Database::Sqlite => refuses(world, [
                ("REPLACE INTO al_wallet SELECT * FROM al_wallet WHERE id = 1", existing),
                ("REPLACE INTO al_wallet (owner, currency, exponent, available, held, seq) VALUES (X'616e6e', 'EUR', 2, 0, 0, 0)", existing),
                ("UPDATE OR REPLACE al_wallet SET id = 1 WHERE id = 2", moved),
                ("UPDATE OR REPLACE al_wallet SET owner = X'616e6e' WHERE id = 2", moved),
                ("INSERT INTO al_wallet SELECT * FROM al_wallet WHERE id = 1 ON CONFLICT (id) DO UPDATE SET owner = X'62'", existing),
            ]).await,
        }
        assert_all_is_there(world).await?;
    }

    async fn an_auction_with_acts_or_bids_cannot_be_deleted(world: &World) {
        store_one_of_each(world).await;
        let by_sam = || auction().with("seller_wallet_id", 2);
        accepts(world, [by_sam(), super::act().with("auction_id", 2), by_sam(), super::bid().with("auction_id", 3)]).await;
        let deleted = Trigger("al_auction", "cannot be deleted");
        refuses(world, [
            ("DELETE FROM al_auction WHERE id = 1", deleted),
            ("DELETE FROM al_auction WHERE id = 2", deleted),
            ("DELETE FROM al_auction WHERE id = 3", deleted),
        ]).await;
        let replace = "REPLACE INTO al_auction SELECT * FROM al_auction WHERE id = 1";
        match world.database() {
            Database::Postgres => refuses(world, [("TRUNCATE al_auction", Trigger("al_auction", "cannot be truncated"))]).await,
            Database::Mariadb => refuses(world, [(replace, deleted)]).await,
            Database::Sqlite => refuses(world, [
                (replace, Trigger("al_auction", "the key exists")),
                ("UPDATE OR REPLACE al_auction SET id = 1 WHERE id = 2", Trigger("al_auction", "cannot be changed")),
            ]).await,
        }
        assert_eq!(all::<i64>(world.db(), "SELECT id FROM al_auction ORDER BY id").await?, [1, 2, 3]);
    }

    async fn a_seller_cannot_be_deleted(world: &World) {
        store_one_of_each(world).await;
        refuses(world, [("DELETE FROM al_wallet WHERE id = 2", Foreign("al_auction_seller"))]).await;
        assert_all_is_there(world).await?;
    }

    async fn what_has_no_history_can_be_deleted(world: &World) {
        store_one_of_each(world).await;
        accepts(world, [wallet().with("owner", "X'62'"), auction().with("seller_wallet_id", 3)]).await;
        accepts(world, ["DELETE FROM al_auction WHERE id = 2", "DELETE FROM al_wallet WHERE id = 3"]).await;
        assert_all_is_there(world).await?;
    }

    /// The one who deletes waits for the wallet, and must see the entry that was written meanwhile.
    async fn a_wallet_is_not_deleted_under_its_first_entry(world: &World) {
        for id in 1..=crate::support::scale(10) as i64 {
            accepts(world, [wallet().with("owner", format!("X'{id:04}'"))]).await;
            let writer = world.db().begin().await?;
            writer.execute_unprepared(&format!("UPDATE al_wallet SET seq = 2 WHERE id = {id}")).await?;
            let writer = std::sync::Arc::new(tokio::sync::Mutex::new(Some(writer)));
            let results = race(2, |contender| {
                let (db, writer) = (world.db().clone(), writer.clone());
                let insert = in_words_of(world.database(), &entry().with("wallet_id", id).to_string());
                async move {
                    if contender == 0 {
                        return db.execute_unprepared(&format!("DELETE FROM al_wallet WHERE id = {id}")).await.map(drop);
                    }
                    let writer = writer.lock().await.take().expect("one writer");
                    writer.execute_unprepared(&insert).await?;
                    writer.commit().await
                }
            });
            let [deleted, written] = <[_; 2]>::try_from(results.await).expect("two contenders");
            written?;
            let error = deleted.expect_err("a wallet with an entry was deleted");
            assert!(Trigger("al_wallet", "cannot be deleted").refused(world.database(), &error), "{error}");
        }
    }

    /// A caller's `search_path` may name another schema, or none.
    async fn triggers_find_their_tables_from_another_schema(world: &World) {
        store_one_of_each(world).await;
        if world.database() != Database::Postgres {
            return Ok(()); // the others have no search path
        }
        for (table, says) in [("al_wallet", "has entries"), ("al_auction", "has acts or bids"), ("al_entry", "is append-only")] {
            let elsewhere = world.db().begin().await?;
            elsewhere.execute_unprepared("SET LOCAL search_path = pg_catalog").await?;
            let row = if table == "al_entry" { "seq = 1" } else { "id = 1" };
            let error = elsewhere.execute_unprepared(&format!("DELETE FROM public.{table} WHERE {row}")).await.expect_err(table);
            assert!(Trigger(table, says).refused(Database::Postgres, &error), "{error}");
            elsewhere.rollback().await?;
        }
    }
}
