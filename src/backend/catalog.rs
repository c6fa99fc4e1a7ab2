//! What the catalogue of a database says of the ledger's tables, and what it should say.
//!
//! A constraint and a trigger are known by their names, which the migrations give them; on SQLite the CHECKs of the types
//! of columns have none, and are known by the column.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use super::Dialect;

/// What a catalogue says of the tables whose names begin with `al_`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    /// The columns of each table.
    pub(crate) tables: BTreeMap<String, BTreeSet<String>>,
    /// CHECKs, unique keys and foreign keys.
    pub(crate) constraints: BTreeSet<String>,
    /// Triggers that fire.
    pub(crate) triggers: BTreeSet<String>,
    /// Columns of which neither the database nor a CHECK says that they keep to their type, each with its table.
    pub(crate) untyped: BTreeSet<(String, String)>,
    /// Tables that are kept by an engine without transactions, with its name.
    pub(crate) engines: BTreeMap<String, String>,
}

/// Constraints that have the same names everywhere.
const CONSTRAINTS: [&str; 45] = [
    "al_wallet_owner_currency",
    "al_wallet_exponent_check",
    "al_wallet_balance_check",
    "al_wallet_seq_check",
    "al_auction_seller",
    "al_auction_exponent_check",
    "al_auction_start_price_check",
    "al_auction_increment_check",
    "al_auction_multiple_of_check",
    "al_auction_buy_now_check",
    "al_auction_time_check",
    "al_auction_state_check",
    "al_auction_standing_check",
    "al_auction_runner_up_check",
    "al_auction_winner_check",
    "al_auction_sold_price_check",
    "al_auction_seq_check",
    "al_bid_seq_check",
    "al_bid_amount_check",
    "al_act_seq_check",
    "al_act_kind_check",
    "al_entry_seq_check",
    "al_entry_kind_check",
    "al_entry_delta_check",
    "al_entry_after_check",
    "al_auction_pricing_check",
    "al_auction_increment_points_check",
    "al_auction_reserve_check",
    "al_auction_ask_until_check",
    "al_auction_ask_floor_check",
    "al_auction_acceptance_window_check",
    "al_auction_soft_close_window_check",
    "al_auction_soft_close_cap_check",
    "al_auction_premium_points_check",
    "al_auction_premium_min_check",
    "al_auction_premium_cap_check",
    "al_auction_fee_points_check",
    "al_auction_fee_min_check",
    "al_auction_fee_cap_check",
    "al_house_amount_check",
    "al_sealed_bid_maximum_check",
    "al_sealed_bid_seq_check",
    "al_relay_seq_check",
    "al_relay_told_check",
    "al_relay_attempts_check",
];

/// Constraints that have a name on the servers. On SQLite they are part of the CHECK of the column's type.
const CONSTRAINTS_OF_SERVERS: [&str; 9] = [
    "al_wallet_owner_check",
    "al_wallet_currency_check",
    "al_auction_title_check",
    "al_auction_currency_check",
    "al_entry_memo_check",
    "al_key_scope_check",
    "al_key_key_check",
    "al_key_request_hash_check",
    "al_relay_relay_check",
];

const TRIGGERS_OF_POSTGRES: [&str; 10] = [
    "al_bid_no_change",
    "al_act_no_change",
    "al_entry_no_change",
    "al_bid_no_truncate",
    "al_act_no_truncate",
    "al_entry_no_truncate",
    "al_wallet_no_delete",
    "al_auction_no_delete",
    "al_wallet_no_truncate",
    "al_auction_no_truncate",
];

const TRIGGERS_OF_MYSQL: [&str; 8] = [
    "al_bid_no_update",
    "al_bid_no_delete",
    "al_act_no_update",
    "al_act_no_delete",
    "al_entry_no_update",
    "al_entry_no_delete",
    "al_wallet_no_delete",
    "al_auction_no_delete",
];

/// Beside those of MySQL.
const TRIGGERS_OF_SQLITE: [&str; 7] = [
    "al_bid_no_replace",
    "al_act_no_replace",
    "al_entry_no_replace",
    "al_wallet_no_replace",
    "al_auction_no_replace",
    "al_wallet_same_owner",
    "al_auction_same_id",
];

impl Dialect {
    /// The names of the constraints that the migrations make.
    pub(crate) fn constraints(self) -> impl Iterator<Item = &'static str> {
        let of_servers: &[_] = match self.backend() {
            DbBackend::Sqlite => &[],
            _ => &CONSTRAINTS_OF_SERVERS,
        };
        CONSTRAINTS.iter().chain(of_servers).copied()
    }

    /// The names of the triggers that the migrations make.
    pub(crate) fn triggers(self) -> impl Iterator<Item = &'static str> {
        let (some, more): (&[_], &[_]) = match self.backend() {
            DbBackend::Postgres => (&TRIGGERS_OF_POSTGRES, &[]),
            DbBackend::Sqlite => (&TRIGGERS_OF_MYSQL, &TRIGGERS_OF_SQLITE),
            _ => (&TRIGGERS_OF_MYSQL, &[]),
        };
        some.iter().chain(more).copied()
    }
}

impl Catalog {
    /// Reads the catalogue of the database and schema that the connection is in.
    pub(crate) async fn read<C: ConnectionTrait>(connection: &C) -> Result<Self, DbErr> {
        match connection.get_database_backend() {
            DbBackend::Postgres => Self::of_postgres(connection).await,
            DbBackend::Sqlite => Self::of_sqlite(connection).await,
            _ => Self::of_mysql(connection).await,
        }
    }

    async fn of_postgres<C: ConnectionTrait>(connection: &C) -> Result<Self, DbErr> {
        let columns = r"SELECT CAST(t.relname AS TEXT), CAST(a.attname AS TEXT) FROM pg_class t
            JOIN pg_attribute a ON a.attrelid = t.oid
            WHERE t.relname LIKE 'al\_%' AND t.relkind IN ('r', 'p') AND pg_table_is_visible(t.oid)
            AND a.attnum > 0 AND NOT a.attisdropped";
        let constraints = r"SELECT CAST(t.relname AS TEXT), CAST(k.conname AS TEXT) FROM pg_class t
            JOIN pg_constraint k ON k.conrelid = t.oid
            WHERE t.relname LIKE 'al\_%' AND pg_table_is_visible(t.oid) AND k.contype IN ('c', 'u', 'f')";
        // Not those that are disabled, and not those that fire on a replica only.
        let triggers = r"SELECT CAST(t.relname AS TEXT), CAST(g.tgname AS TEXT) FROM pg_class t
            JOIN pg_trigger g ON g.tgrelid = t.oid
            WHERE t.relname LIKE 'al\_%' AND pg_table_is_visible(t.oid) AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')";
        Ok(Self {
            tables: grouped(pairs(connection, columns).await?),
            constraints: names(pairs(connection, constraints).await?),
            triggers: names(pairs(connection, triggers).await?),
            ..Self::default()
        })
    }

    async fn of_mysql<C: ConnectionTrait>(connection: &C) -> Result<Self, DbErr> {
        let columns = r"SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR) FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name LIKE 'al\_%'";
        let constraints = r"SELECT CAST(table_name AS CHAR), CAST(constraint_name AS CHAR)
            FROM information_schema.table_constraints
            WHERE constraint_schema = DATABASE() AND table_name LIKE 'al\_%' AND constraint_type <> 'PRIMARY KEY'";
        let triggers = r"SELECT CAST(event_object_table AS CHAR), CAST(trigger_name AS CHAR)
            FROM information_schema.triggers
            WHERE trigger_schema = DATABASE() AND event_object_table LIKE 'al\_%'";
        let engines = r"SELECT CAST(table_name AS CHAR), CAST(engine AS CHAR) FROM information_schema.tables
            WHERE table_schema = DATABASE() AND table_name LIKE 'al\_%' AND engine <> 'InnoDB'";
        Ok(Self {
            tables: grouped(pairs(connection, columns).await?),
            constraints: names(pairs(connection, constraints).await?),
            triggers: names(pairs(connection, triggers).await?),
            engines: pairs(connection, engines).await?.into_iter().collect(),
            ..Self::default()
        })
    }

    async fn of_sqlite<C: ConnectionTrait>(connection: &C) -> Result<Self, DbErr> {
        let columns = "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c \
            WHERE t.type = 'table' AND t.name GLOB 'al_*'";
        let texts = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name GLOB 'al_*'";
        let triggers = "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger' AND tbl_name GLOB 'al_*'";
        let texts = pairs(connection, texts).await?;
        let columns = pairs(connection, columns).await?;
        let untyped = columns.iter().filter(|(table, column)| {
            let check = format!("typeof({column})");
            // The database itself sees to the type of an integer primary key.
            column != "id"
                && !texts.iter().any(|(name, text)| name == table && text.contains(&check))
        });
        Ok(Self {
            untyped: untyped.cloned().collect(),
            constraints: texts.iter().flat_map(|(_, text)| constraints_in(text)).collect(),
            tables: grouped(columns),
            triggers: names(pairs(connection, triggers).await?),
            ..Self::default()
        })
    }
}

/// The names of the constraints in the text of a table, but for its primary key.
fn constraints_in(text: &str) -> impl Iterator<Item = String> + '_ {
    let words: Vec<_> = text.split_whitespace().collect();
    (0..words.len()).filter_map(move |at| {
        let [word, name, kind] = words.get(at..)?.first_chunk()?;
        (*word == "CONSTRAINT" && *kind != "PRIMARY").then(|| (*name).to_owned())
    })
}

async fn pairs<C: ConnectionTrait>(
    connection: &C,
    sql: &str,
) -> Result<Vec<(String, String)>, DbErr> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

fn names(pairs: Vec<(String, String)>) -> BTreeSet<String> {
    pairs.into_iter().map(|(_, name)| name).collect()
}

fn grouped(pairs: Vec<(String, String)>) -> BTreeMap<String, BTreeSet<String>> {
    let mut groups: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (table, column) in pairs {
        groups.entry(table).or_default().insert(column);
    }
    groups
}
