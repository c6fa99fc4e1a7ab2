//! What the catalogs of the databases say: what is there, and above all what is not.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use super::all;
use crate::support::{Database, World, on_every_backend};

/// What a bid writes in the rows it updates.
const UPDATED_BY_A_BID: [&str; 12] = [
    "al_wallet.available",
    "al_wallet.held",
    "al_wallet.seq",
    "al_wallet.last_at",
    "al_auction.leader_wallet_id",
    "al_auction.leader_max",
    "al_auction.leader_seq",
    "al_auction.price",
    "al_auction.runner_up_max",
    "al_auction.ends_at",
    "al_auction.seq",
    "al_auction.last_at",
];

/// `table.column` of every index and every key.
async fn indexed(world: &World) -> Result<BTreeSet<String>, DbErr> {
    let indexes = match world.database() {
        Database::Postgres => {
            r"SELECT t.relname || '.' || c.attname FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
              JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum = ANY (i.indkey) WHERE t.relname LIKE 'al\_%'"
        }
        Database::Mariadb => {
            "SELECT CONCAT(table_name, '.', column_name) FROM information_schema.statistics WHERE table_schema = database()"
        }
        Database::Sqlite => {
            "SELECT t.name || '.' || c.name FROM sqlite_master t JOIN pragma_index_list(t.name) i JOIN pragma_index_info(i.name) c
             WHERE t.type = 'table'"
        }
    };
    Ok(all::<String>(world.db(), indexes).await?.into_iter().collect())
}

/// Whether SQLite's program for an update of `table.column` calls a trigger.
async fn fires_a_trigger(world: &World, column: &str) -> Result<bool, DbErr> {
    let (table, column) = column.split_once('.').expect("a table and a column");
    let update = format!("EXPLAIN UPDATE {table} SET {column} = 1 WHERE seq = 1");
    let rows = world.db().query_all_raw(Statement::from_string(DbBackend::Sqlite, update)).await?;
    let opcodes: Result<Vec<String>, _> =
        rows.iter().map(|row| row.try_get("", "opcode")).collect();
    Ok(opcodes?.iter().any(|opcode| opcode == "Program"))
}

on_every_backend! {
    /// H44: a trigger on the hot rows slows every bid down, and balances computed in triggers needed repair after repair.
    async fn no_trigger_fires_when_a_wallet_or_an_auction_is_updated(world: &World) {
        let triggers = match world.database() {
            Database::Postgres => {
                "SELECT CAST(event_object_table AS TEXT) FROM information_schema.triggers WHERE event_manipulation = 'UPDATE'"
            }
            Database::Mariadb => {
                "SELECT event_object_table FROM information_schema.triggers
                 WHERE trigger_schema = database() AND event_manipulation = 'UPDATE'"
            }
            // A trigger may be for some columns only: what a bid updates is asked below.
            Database::Sqlite => "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%UPDATE ON%'",
        };
        let tables: BTreeSet<String> = all::<String>(world.db(), triggers).await?.into_iter().collect();
        assert!(tables.iter().eq(["al_act", "al_bid", "al_entry"]), "{tables:?}");
        if world.database() == Database::Sqlite {
            for column in UPDATED_BY_A_BID {
                assert!(!fires_a_trigger(world, column).await?, "{column}");
            }
            assert!(fires_a_trigger(world, "al_bid.price").await?, "the plan shows triggers");
        }
    }

    async fn no_index_is_on_a_column_that_a_bid_updates(world: &World) {
        let indexed = indexed(world).await?;
        let hot: Vec<_> = UPDATED_BY_A_BID.into_iter().filter(|column| indexed.contains(*column)).collect();
        assert!(hot.is_empty(), "{hot:?}");
        // The catalog was asked rightly: what serves the search for due auctions is there.
        assert!(indexed.contains("al_auction.state") && indexed.contains("al_auction.original_ends_at"), "{indexed:?}");
    }

    /// H36: a foreign key to a row makes its check take a lock of that row, and every pair of bids deadlocks.
    async fn history_has_no_foreign_keys(world: &World) {
        let keys = match world.database() {
            Database::Postgres => {
                "SELECT c.relname || ' to ' || p.relname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
                 JOIN pg_class p ON p.oid = k.confrelid WHERE k.contype = 'f'"
            }
            Database::Mariadb => {
                "SELECT CONCAT(table_name, ' to ', referenced_table_name) FROM information_schema.referential_constraints
                 WHERE constraint_schema = database()"
            }
            Database::Sqlite => {
                r#"SELECT t.name || ' to ' || k."table" FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) k"#
            }
        };
        assert_eq!(all::<String>(world.db(), keys).await?, ["al_auction to al_wallet"]);
    }
}
