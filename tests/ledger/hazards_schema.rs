//! Hazards that the database itself defends against, whoever writes to it.
//!
//! H52, the remedy in the error of a migration that may not make triggers, needs a server with a binary log and a user
//! without SUPER: the throwaway servers have neither, so it is not tested here.

use auction_ledger::unit_of_work::ErrorKind;
use auction_ledger::{AuctionId, AuctionLedger, Error, Rejection};
use sea_orm::{ConnectionTrait, DbErr};

use super::{WON, books, charge, ledger, one, open, terms};
use crate::support::{Books, Database, World, on_every_backend};

/// Two users with entries, an auction with a bid and one that is sold.
async fn history(world: &World) -> Result<AuctionId, Error> {
    let (ledger, _) = ledger(world);
    charge(&ledger, &["ann", "bob"], 1_000).await?;
    let auction = open(&ledger, terms().buy_now(500.into())).await?;
    ledger.place_bid(auction, "ann", 100.into()).await?;
    ledger.place_bid(auction, "bob", 110.into()).await?;
    let sold = open(&ledger, terms().buy_now(500.into())).await?;
    ledger.buy_now(sold, "ann").await?;
    Ok(auction)
}

/// The statement fails, and no row is another.
async fn denied(world: &World, statement: &str) -> Result<DbErr, DbErr> {
    let before = Books::read(world.db()).await?;
    let outcome = world.db().execute_unprepared(statement).await;
    assert_eq!(Books::read(world.db()).await?, before, "{statement}");
    Ok(outcome.expect_err(statement))
}

const APPEND_ONLY: [&str; 3] = ["al_bid", "al_act", "al_entry"];

fn key(table: &str) -> &'static str {
    if table == "al_entry" { "wallet_id" } else { "auction_id" }
}

on_every_backend! {
    async fn h43_the_database_refuses_a_negative_balance(world: &World) {
        history(world).await?;
        for statement in [
            "UPDATE al_wallet SET available = -1",
            "UPDATE al_wallet SET held = -1",
            "UPDATE al_wallet SET available = available - 1001, held = held + 1001",
        ] {
            let error = denied(world, statement).await?;
            assert_eq!(ErrorKind::of(&error), ErrorKind::CheckViolation, "{statement}: {error}");
        }
    }

    /// The ledger updates no id and no owner: a trigger on those alone, against `UPDATE OR REPLACE` on SQLite, never fires.
    async fn h44_no_trigger_fires_when_a_wallet_or_an_auction_is_updated(world: &World) {
        let (count, all, after) = match world.database() {
            Database::Sqlite => (
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('al_wallet', 'al_auction') \
                 AND sql LIKE '%TRIGGER%UPDATE%ON al%' AND sql NOT LIKE '%UPDATE OF id%'",
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger'",
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND sql NOT LIKE '%BEFORE%RAISE(ABORT%'",
            ),
            Database::Postgres => (
                "SELECT COUNT(*) FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 16 <> 0 \
                 AND tgrelid IN ('al_wallet'::regclass, 'al_auction'::regclass)",
                "SELECT COUNT(*) FROM pg_trigger WHERE NOT tgisinternal",
                "SELECT COUNT(*) FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 2 = 0",
            ),
            Database::Mariadb => (
                "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE() \
                 AND event_object_table IN ('al_wallet', 'al_auction') AND event_manipulation = 'UPDATE'",
                "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
                "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE() \
                 AND (action_timing <> 'BEFORE' OR action_statement LIKE '%SET NEW%')",
            ),
        };
        assert_eq!(one::<i64>(world.db(), count).await?, 0);
        assert!(one::<i64>(world.db(), all).await? >= 8, "the triggers that refuse are there");
        assert_eq!(one::<i64>(world.db(), after).await?, 0, "triggers only refuse");
    }

    async fn h49_an_overflowing_balance_is_refused(world: &World) {
        history(world).await?;
        for column in ["available", "held", "seq"] {
            let sum = format!("UPDATE al_wallet SET {column} = {column} + 9223372036854775807 WHERE {column} > 0");
            denied(world, &sum).await?;
            denied(world, &format!("UPDATE al_wallet SET {column} = 'lots'")).await?;
            denied(world, &format!("UPDATE al_wallet SET {column} = NULL")).await?;
        }
        denied(world, "UPDATE al_auction SET last_at = last_at + 9223372036854775807 WHERE last_at > 0").await?;
        match world.database() {
            Database::Sqlite => {
                denied(world, "UPDATE al_wallet SET available = 0.5").await?;
                denied(world, "UPDATE al_wallet SET available = available * 1e30 WHERE available > 0").await?;
                denied(world, "UPDATE al_auction SET price = 110.5 WHERE price > 0").await?;
            }
            Database::Mariadb => {
                let mode: String = one(world.db(), "SELECT @@SESSION.sql_mode").await?;
                assert!(mode.contains("STRICT_TRANS_TABLES"), "{mode}");
            }
            Database::Postgres => {}
        }
    }

    /// H49: out of strict mode MariaDB cuts and clamps, and the session can be told so at any time. Every verb that
    /// touches money asks the session it runs in.
    async fn h49_a_session_that_is_not_strict_is_refused(world: &World) {
        if world.database() != Database::Mariadb {
            return Ok(());
        }
        let (strict, clock) = ledger(world);
        let auction = open(&strict, terms()).await?;
        charge(&strict, &["ann"], 1_000).await?;
        let before = Books::read(world.db()).await?;

        let db = world.connect(1).await;
        db.execute_unprepared("SET SESSION sql_mode = 'ANSI_QUOTES'").await?;
        let lax = AuctionLedger::new(db.clone()).clock(clock);
        let refused = [
            lax.deposit("ann", WON, 1.into()).await.unwrap_err(),
            lax.deposit("bob", WON, 1.into()).await.unwrap_err(),
            lax.withdraw("ann", WON, 1.into()).await.unwrap_err(),
            lax.withdraw("bob", WON, 1.into()).await.unwrap_err(),
            lax.place_bid(auction, "ann", 100.into()).await.unwrap_err(),
            lax.cancel(auction).await.unwrap_err(),
            open(&lax, terms()).await.unwrap_err(),
        ];
        for error in refused {
            assert!(matches!(error, Error::NotStrict), "{error:?}");
        }
        assert_eq!(Books::read(world.db()).await?, before);

        for mode in ["STRICT_ALL_TABLES", "STRICT_TRANS_TABLES,ANSI_QUOTES", "TRADITIONAL"] {
            db.execute_unprepared(&format!("SET SESSION sql_mode = '{mode}'")).await?;
            lax.place_bid(auction, "ann", 100.into()).await.map(drop).or_else(|error| {
                let raised = matches!(error, Error::Rejected(Rejection::BelowMinimum { .. }));
                if raised { Ok(()) } else { Err(error) }
            })?;
        }
    }

    async fn h50_bids_acts_and_entries_are_append_only(world: &World) {
        history(world).await?;
        for table in APPEND_ONLY {
            let key = key(table);
            let mut statements = vec![
                format!("UPDATE {table} SET at = at + 1"),
                format!("UPDATE {table} SET at = at"),
                format!("UPDATE {table} SET seq = seq + 100"),
                format!("DELETE FROM {table}"),
                format!("DELETE FROM {table} WHERE seq = 1 OR seq = 2"),
            ];
            match world.database() {
                Database::Sqlite => statements.extend([
                    format!("REPLACE INTO {table} SELECT * FROM {table}"),
                    format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}"),
                    format!("UPDATE OR REPLACE {table} SET seq = 2"),
                    format!("INSERT INTO {table} SELECT * FROM {table} WHERE true ON CONFLICT DO UPDATE SET at = 0"),
                ]),
                Database::Postgres => statements.extend([
                    format!("TRUNCATE {table}"),
                    format!("INSERT INTO {table} SELECT * FROM {table} ON CONFLICT ({key}, seq) DO UPDATE SET at = 0"),
                    format!("MERGE INTO {table} t USING {table} s ON t.{key} = s.{key} AND t.seq = s.seq WHEN MATCHED THEN DELETE"),
                ]),
                Database::Mariadb => statements.extend([
                    format!("REPLACE INTO {table} SELECT * FROM {table}"),
                    format!("INSERT INTO {table} SELECT * FROM {table} s ON DUPLICATE KEY UPDATE at = 0"),
                    format!("UPDATE IGNORE {table} SET at = 0"),
                    format!("DELETE IGNORE FROM {table}"),
                ]),
            }
            for statement in statements {
                denied(world, &statement).await?;
            }
        }
    }

    async fn h50_wallets_and_auctions_with_history_are_not_deleted(world: &World) {
        let auction = history(world).await?;
        let mut statements = vec![
            "DELETE FROM al_wallet".to_owned(),
            "DELETE FROM al_wallet WHERE seq > 0".to_owned(),
            "DELETE FROM al_auction".to_owned(),
            format!("DELETE FROM al_auction WHERE id = {auction}"),
        ];
        let more: &[&str] = match world.database() {
            Database::Sqlite => &[
                "REPLACE INTO al_wallet SELECT * FROM al_wallet",
                "REPLACE INTO al_auction SELECT * FROM al_auction",
                "INSERT OR REPLACE INTO al_wallet (owner, currency, exponent, available, held, seq) \
                 SELECT owner, currency, exponent, available + 1, held, seq FROM al_wallet",
            ],
            Database::Postgres => {
                &["TRUNCATE al_wallet CASCADE", "TRUNCATE al_auction", "TRUNCATE al_wallet, al_auction"]
            }
            Database::Mariadb => &[
                "REPLACE INTO al_wallet SELECT * FROM al_wallet",
                "REPLACE INTO al_auction SELECT * FROM al_auction",
                "DELETE IGNORE FROM al_wallet",
                "TRUNCATE al_wallet",
            ],
        };
        statements.extend(more.iter().map(|statement| (*statement).to_owned()));
        for statement in statements {
            denied(world, &statement).await?;
        }
    }

    /// `UPDATE OR REPLACE` deletes the row in its way, and no trigger of DELETE fires for that.
    async fn h50_a_wallet_with_entries_is_not_replaced_by_an_update(world: &World) {
        if world.database() != Database::Sqlite {
            return Ok(());
        }
        history(world).await?;
        let books = Books::read(world.db()).await?;
        let (ann, bob) = (books.wallet("ann").id, books.wallet("bob").id);
        denied(world, &format!("UPDATE OR REPLACE al_wallet SET id = {bob} WHERE id = {ann}")).await?;
        denied(world, &format!("UPDATE OR REPLACE al_wallet SET owner = (SELECT owner FROM al_wallet WHERE id = {bob}) WHERE id = {ann}")).await?;
        denied(world, "UPDATE OR REPLACE al_auction SET id = 2 WHERE id = 1").await?;
    }

    async fn h50_a_wallet_without_history_may_go(world: &World) {
        let (ledger, _) = ledger(world);
        let auction = open(&ledger, terms()).await?;
        // The seller's has no entry, and an auction refers to it.
        denied(world, "DELETE FROM al_wallet").await?;
        let owner = match world.database() {
            Database::Sqlite => "x'01'",
            Database::Postgres => "'\\x01'",
            Database::Mariadb => "0x01",
        };
        let insert = format!(
            "INSERT INTO al_wallet (owner, currency, exponent, available, held, seq) VALUES ({owner}, 'KRW', 0, 0, 0, 0)"
        );
        world.db().execute_unprepared(&insert).await?;
        let sellers = format!("SELECT seller_wallet_id FROM al_auction WHERE id = {auction}");
        world.db().execute_unprepared(&format!("DELETE FROM al_wallet WHERE id NOT IN ({sellers})")).await?;
        assert_eq!(books(world).await?.wallets.len(), 1);
    }
}
