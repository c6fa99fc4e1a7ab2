//! What the database itself defends, whatever the program does.
//!
//! The tests try to break each rule with SQL. A test is a table of statements, each with the rule that must refuse it,
//! and each wrong in one way only. The numbers H33 to H52 name hazards that were observed in the drivers and the databases.

mod append_only;
mod auctions;
mod binary_log;
mod catalog;
mod columns;
mod host;
mod journal;
mod keys;
mod one_migrator;
mod partitions;
mod up_and_down;
mod wallets;

use std::fmt::{self, Display};

use auction_ledger::unit_of_work::ErrorKind;
use sea_orm::{ConnectionTrait, DbErr, Statement, TryGetable};

use crate::support::{Database, World};

/// The rule that must refuse a statement.
#[derive(Debug, Clone, Copy)]
enum By {
    /// The CHECK of this name. SQLite has it on the column, where it has no name: it is known by the column it checks.
    Check(&'static str),
    /// The length of the column's type, or else the CHECK of this name.
    Length(&'static str),
    /// The range of the column's type; on SQLite the CHECK of this name.
    Range(&'static str),
    /// The unique or primary key of this name. On SQLite a trigger may be faster.
    Key(&'static str),
    /// The foreign key of this name.
    Foreign(&'static str),
    /// NOT NULL of this column.
    NotNull(&'static str),
    /// A trigger of this table that says this.
    Trigger(&'static str, &'static str),
    /// The database's own law, in these words.
    Law(&'static str),
}

impl By {
    fn refused(self, database: Database, error: &DbErr) -> bool {
        let (kind, text) = (ErrorKind::of(error), error.to_string());
        let is = |expected, says: &str| kind == expected && text.contains(says);
        match (self, database) {
            (Self::Check(name), Database::Sqlite) if !text.contains(name) => {
                is(ErrorKind::CheckViolation, "typeof(")
                    && text.contains(&format!("{})", column(name)))
            }
            (Self::Check(name), _) => is(ErrorKind::CheckViolation, name),
            (Self::Length(name), Database::Mariadb) => {
                is(ErrorKind::Other, "too long for column")
                    && text.contains(&format!("{}'", column(name)))
            }
            (Self::Length(name), Database::Postgres) => {
                is(ErrorKind::Other, "too long for type") || is(ErrorKind::CheckViolation, name)
            }
            (Self::Length(name) | Self::Range(name), Database::Sqlite) => {
                Self::Check(name).refused(database, error)
            }
            (Self::Range(_), _) => {
                is(ErrorKind::Other, "out of range") || is(ErrorKind::Other, "Out of range")
            }
            (Self::Key(name), Database::Sqlite) => {
                let key = is(ErrorKind::UniqueViolation, &format!("{}.", table(name)));
                key || is(ErrorKind::TriggerRefusal, "the key exists") && text.contains(table(name))
            }
            (Self::Key(name), Database::Mariadb) if name.ends_with("_pkey") => {
                is(ErrorKind::UniqueViolation, "PRIMARY")
            }
            (Self::Key(name), _) => is(ErrorKind::UniqueViolation, name),
            (Self::Foreign(_), Database::Sqlite) => {
                // RESTRICT is a trigger there, and answers with a trigger's code.
                kind == ErrorKind::ForeignKeyViolation
                    || is(ErrorKind::TriggerRefusal, "FOREIGN KEY")
            }
            (Self::Foreign(name), _) => is(ErrorKind::ForeignKeyViolation, name),
            (Self::NotNull(name), _) => is(ErrorKind::NotNullViolation, name),
            (Self::Trigger(table, says), _) => {
                is(ErrorKind::TriggerRefusal, says) && text.contains(table)
            }
            (Self::Law(says), _) => text.contains(says),
        }
    }
}

/// `al_auction_start_price_check`: `start_price`.
fn column(constraint: &str) -> &str {
    let name = constraint.strip_suffix("_check").unwrap_or(constraint);
    name.strip_prefix(table(constraint)).unwrap_or(name).trim_start_matches('_')
}

/// `al_auction_start_price_check`: `al_auction`.
fn table(constraint: &str) -> &str {
    let end = constraint.match_indices('_').nth(1).map_or(constraint.len(), |(at, _)| at);
    &constraint[..end]
}

/// Fails unless each statement is refused, by the rule that stands next to it. Bytes are written `X'616e6e'`.
async fn refuses(world: &World, rows: impl IntoIterator<Item = (impl Display, By)>) {
    let mut wrong = Vec::new();
    for (sql, by) in rows {
        let sql = in_words_of(world.database(), &sql.to_string());
        match world.db().execute_unprepared(&sql).await {
            Ok(_) => wrong.push(format!("{sql}\n    was accepted, against {by:?}")),
            Err(error) if by.refused(world.database(), &error) => {}
            Err(error) => wrong.push(format!(
                "{sql}\n    was not refused by {by:?} but {:?}: {error}",
                ErrorKind::of(&error)
            )),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Fails unless each statement is accepted.
async fn accepts(world: &World, rows: impl IntoIterator<Item = impl Display>) {
    let mut wrong = Vec::new();
    for sql in rows {
        let sql = in_words_of(world.database(), &sql.to_string());
        if let Err(error) = world.db().execute_unprepared(&sql).await {
            wrong.push(format!("{sql}\n    was refused, {:?}: {error}", ErrorKind::of(&error)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn in_words_of(database: Database, sql: &str) -> String {
    match database {
        Database::Postgres => {
            sql.replace(OPERATION, "'00000000-0000-0000-0000-0000000000aa'").replace("X'", r"'\x")
        }
        Database::Sqlite | Database::Mariadb => sql.to_owned(),
    }
}

/// The first column of every row.
async fn all<T: TryGetable>(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<T>, DbErr> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// A valid row, to be made invalid.
#[derive(Debug, Clone)]
struct Insert {
    table: &'static str,
    cells: Vec<(&'static str, String)>,
}

impl Insert {
    fn into(table: &'static str, cells: &[(&'static str, &str)]) -> Self {
        Self {
            table,
            cells: cells.iter().map(|(column, value)| (*column, (*value).to_owned())).collect(),
        }
    }

    /// The same row but for one cell.
    fn with(mut self, column: &str, value: impl Display) -> Self {
        let cell = self.cells.iter_mut().find(|(name, _)| *name == column);
        let (_, cell) = cell.unwrap_or_else(|| panic!("{} has no column {column}", self.table));
        *cell = value.to_string();
        self
    }
}

impl Display for Insert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (columns, values): (Vec<_>, Vec<_>) =
            self.cells.iter().map(|(column, value)| (*column, value.as_str())).unzip();
        write!(
            f,
            "INSERT INTO {} ({}) VALUES ({})",
            self.table,
            columns.join(", "),
            values.join(", ")
        )
    }
}

/// An operation's id, written as no other bytes are.
const OPERATION: &str = "X'000000000000000000000000000000aa'";

/// Ann's, in a fresh database number 1.
fn wallet() -> Insert {
    Insert::into(
        "al_wallet",
        &[
            ("owner", "X'616e6e'"),
            ("currency", "'EUR'"),
            ("exponent", "2"),
            ("available", "100"),
            ("held", "0"),
            ("seq", "1"),
            ("last_at", "1"),
        ],
    )
}

/// Of wallet 1, open and without a bid.
#[rustfmt::skip]
fn auction() -> Insert {
    Insert::into("al_auction", &[
        ("title", "'a telescope'"), ("seller_wallet_id", "1"), ("currency", "'EUR'"), ("exponent", "2"),
        ("start_price", "10"), ("increment", "1"), ("multiple_of", "NULL"), ("buy_now_price", "NULL"),
        ("starts_at", "1"), ("original_ends_at", "2"), ("ends_at", "2"), ("state", "1"),
        ("leader_wallet_id", "NULL"), ("leader_max", "NULL"), ("leader_seq", "NULL"), ("price", "NULL"), ("runner_up_max", "NULL"),
        ("winner_wallet_id", "NULL"), ("sold_price", "NULL"), ("seq", "1"), ("last_at", "1"),
        ("pricing", "1"), ("increments", "NULL"), ("increment_points", "NULL"), ("reserve", "NULL"), ("ask_until", "NULL"),
        ("ask_floor", "NULL"), ("ask_steps", "NULL"), ("acceptance_window", "0"), ("soft_close_window", "NULL"),
        ("soft_close_cap", "NULL"), ("premium_points", "0"), ("premium_min", "0"), ("premium_cap", "NULL"), ("fee_points", "0"),
        ("fee_min", "0"), ("fee_cap", "NULL"),
    ])
}

#[rustfmt::skip]
fn bid() -> Insert {
    Insert::into("al_bid", &[
        ("auction_id", "1"), ("seq", "2"), ("operation", OPERATION), ("wallet_id", "1"), ("amount", "20"), ("price", "10"),
        ("leader_wallet_id", "1"), ("ends_at", "2"), ("at", "1"),
    ])
}

#[rustfmt::skip]
fn act() -> Insert {
    Insert::into("al_act", &[
        ("auction_id", "1"), ("seq", "1"), ("operation", OPERATION), ("kind", "1"), ("wallet_id", "NULL"), ("amount", "NULL"),
        ("reason", "NULL"), ("at", "1"),
    ])
}

#[rustfmt::skip]
fn entry() -> Insert {
    Insert::into("al_entry", &[
        ("wallet_id", "1"), ("seq", "1"), ("operation", OPERATION), ("kind", "1"), ("available_delta", "100"), ("held_delta", "0"),
        ("available_after", "100"), ("held_after", "0"), ("auction_id", "NULL"), ("memo", "NULL"), ("at", "1"),
    ])
}

#[rustfmt::skip]
fn house() -> Insert {
    Insert::into("al_house", &[
        ("auction_id", "1"), ("currency", "'EUR'"), ("exponent", "2"), ("amount", "5"), ("operation", OPERATION),
        ("at", "1"), ("collected_by", "NULL"),
    ])
}

#[rustfmt::skip]
fn sealed_bid() -> Insert {
    Insert::into("al_sealed_bid", &[
        ("auction_id", "1"), ("wallet_id", "1"), ("maximum", "5"), ("seq", "2"), ("at", "1"), ("released_by", "NULL"),
    ])
}

fn key() -> Insert {
    Insert::into(
        "al_key",
        &[
            ("scope", "X'61'"),
            ("idempotency_key", "X'61'"),
            ("request_hash", "X'61'"),
            ("operation", OPERATION),
            ("answer", "NULL"),
            ("at", "1"),
        ],
    )
}

/// Stores a row of each table: Ann (1) with an entry, Sam (2) with an auction (1) that has an act and a bid, and a key.
async fn store_one_of_each(world: &World) {
    let sam = wallet().with("owner", "X'73616d'");
    accepts(
        world,
        [
            wallet(),
            sam,
            auction().with("seller_wallet_id", 2),
            act(),
            bid(),
            entry(),
            key(),
            house(),
            sealed_bid(),
        ],
    )
    .await;
}

/// A text of `length` times `letter`.
fn text(letter: &str, length: usize) -> String {
    format!("'{}'", letter.repeat(length))
}

/// Bytes, all alike.
fn bytes(length: usize) -> String {
    format!("X'{}'", "62".repeat(length))
}
