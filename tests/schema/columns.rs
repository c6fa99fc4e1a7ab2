//! Columns: their types, and that no value is bent to fit them.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;

use super::By::{NotNull, Range};
use super::{
    accepts, act, all, auction, bid, entry, house, in_words_of, key, refuses, sealed_bid,
    store_one_of_each, wallet,
};
use crate::support::{Database, on_every_backend, on_sqlite};

on_every_backend! {
    async fn what_must_be_there_is_never_null(world: &World) {
        accepts(world, [wallet().with("owner", "X'62'")]).await;
        for row in [wallet(), auction(), bid(), act(), entry(), key(), house(), sealed_bid()] {
            // Where the valid row has a NULL, the column may have one.
            let columns = row.cells.iter().filter(|(_, value)| value != "NULL").map(|(column, _)| *column);
            refuses(world, columns.map(|column| (row.clone().with(column, "NULL"), NotNull(column)))).await;
        }
    }

    /// H49: SQLite makes a REAL of a sum that overflows, and the row can no longer be read; MariaDB may clamp it.
    async fn a_number_too_large_is_refused(world: &World) {
        accepts(world, [wallet().with("available", i64::MAX).with("held", 1)]).await;
        refuses(world, [
            ("UPDATE al_wallet SET available = available + 1", Range("al_wallet_available_check")),
            ("UPDATE al_wallet SET held = held + available", Range("al_wallet_held_check")),
            ("UPDATE al_wallet SET seq = 9223372036854775808", Range("al_wallet_seq_check")),
        ]).await;
        accepts(world, [auction(), auction().with("start_price", i64::MAX - 1).with("buy_now_price", i64::MAX)]).await;
        refuses(world, [
            ("UPDATE al_auction SET buy_now_price = buy_now_price + 1 WHERE id = 2", Range("al_auction_buy_now_price_check")),
            ("UPDATE al_auction SET ends_at = 9223372036854775808", Range("al_auction_ends_at_check")),
        ]).await;
        let stored = "SELECT available FROM al_wallet UNION SELECT start_price + 1 FROM al_auction WHERE id = 2";
        assert_eq!(all::<i64>(world.db(), stored).await?, [i64::MAX]);
    }

    /// H38, H40: money and instants are whole numbers on every database.
    async fn no_column_is_a_decimal_a_float_or_a_date(world: &World) {
        let types = match world.database() {
            Database::Postgres => "SELECT CAST(data_type AS TEXT) FROM information_schema.columns WHERE table_name IN ",
            Database::Mariadb => "SELECT data_type FROM information_schema.columns WHERE table_schema = database() AND table_name IN ",
            Database::Sqlite => "SELECT c.type FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.name IN ",
        };
        let types = format!("{types} ('al_wallet', 'al_auction', 'al_bid', 'al_act', 'al_entry', 'al_key', 'al_house', 'al_sealed_bid')");
        let types: BTreeSet<String> = all::<String>(world.db(), &types).await?.into_iter().collect();
        let expected = match world.database() {
            Database::Postgres => vec!["bigint", "bytea", "character varying", "smallint", "text", "uuid"],
            Database::Mariadb => vec!["bigint", "binary", "smallint", "text", "varbinary", "varchar"],
            Database::Sqlite => vec!["BIGINT", "BLOB", "INTEGER", "SMALLINT", "TEXT", "VARCHAR(10)", "VARCHAR(200)"],
        };
        assert!(types.iter().eq(expected), "{types:?}");
    }
}

on_sqlite! {
    /// SQLite stores what it is given, whatever the type of the column.
    async fn a_column_keeps_its_type(world: &World) {
        store_one_of_each(world).await;
        let mut wrong = Vec::new();
        for row in [wallet(), auction(), bid(), act(), entry(), key(), house(), sealed_bid()] {
            // Neither the number nor the key of the row that is there.
            let row = match row.table {
                "al_wallet" => row.with("owner", "X'62'"),
                "al_key" => row.with("scope", "X'62'"),
                "al_auction" => row.with("start_price", 11),
                "al_house" => row.with("auction_id", 99),
                "al_sealed_bid" => row.with("wallet_id", 99),
                _ => row.with("seq", 99),
            };
            for (column, _) in row.cells.clone() {
                let declared = format!(
                    "SELECT type FROM pragma_table_info('{}') WHERE name = '{column}'",
                    row.table
                );
                let values: &[&str] = match all::<String>(world.db(), &declared).await?[0].as_str() {
                    "BLOB" => &["'0123456789abcdef'", "1", "1.5"],
                    "BIGINT" | "SMALLINT" => &["1.5", "'word'", "X'41'", "1e30"],
                    _ => &["X'41'"],
                };
                for value in values {
                    let sql =
                        in_words_of(Database::Sqlite, &row.clone().with(column, value).to_string());
                    match world.db().execute_unprepared(&sql).await {
                        Err(error) if error.to_string().contains(&format!("typeof({column})")) => {}
                        other => wrong.push(format!("{sql}\n    {other:?}")),
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }
}
