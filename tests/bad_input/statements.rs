//! Any text as a statement of the host: whatever it says, it does not end the transaction behind the back of its unit of work.

use auction_ledger::unit_of_work::{Atomic, Error as UnitOfWorkError};
use proptest::prelude::*;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};

use super::source::Source;
use super::wild::{self, Text};
use crate::support::{Database, on_every_backend_bare, scale};

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed on purpose")]
    OnPurpose,
    #[error(transparent)]
    Refused(#[from] UnitOfWorkError),
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Pieces of statements, of what ends transactions, and of what hides both.
const PIECES: &[&str] = &[
    "COMMIT",
    "commit",
    "ROLLBACK",
    "BEGIN",
    "END",
    "ABORT",
    "START TRANSACTION",
    "SAVEPOINT s",
    "RELEASE s",
    "ROLLBACK TO s",
    "COMMIT AND CHAIN",
    "XA START 'x'",
    "SET autocommit = 1",
    "SET TRANSACTION READ ONLY",
    "PREPARE p FROM 'COMMIT'",
    "EXECUTE p",
    "EXECUTE IMMEDIATE 'COMMIT'",
    "CREATE TABLE t (n INTEGER)",
    "DROP TABLE t",
    "CREATE TEMPORARY TABLE u (n INTEGER)",
    "CREATE TRIGGER g AFTER INSERT ON thing",
    "CREATE PROCEDURE q()",
    "CREATE FUNCTION f() RETURNS INTEGER",
    "BEGIN NOT ATOMIC",
    "IF 1 THEN",
    "END IF",
    "WHILE 1 DO",
    "DO",
    "CALL q()",
    "LOCK TABLES thing WRITE",
    "UNLOCK TABLES",
    "TRUNCATE TABLE t",
    "ALTER TABLE t ADD m INTEGER",
    "EXPLAIN",
    "INSERT INTO thing VALUES (2)",
    "INSERT INTO thing VALUES (3)",
    "SELECT 1",
    "SELECT",
    "VALUES (1)",
    "1",
    "s",
    ";",
    ";",
    ";",
    " ",
    " ",
    "\n",
    "\t",
    "\0",
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\'",
    "E'",
    "$$",
    "$t$",
    "$1",
    "--",
    "-- ",
    "#",
    "/*",
    "*/",
    "/*!",
    "/*!50000",
    "/*M!",
    "/*+",
    "(",
    ")",
    "é",
    "🏺",
    "\u{a0}",
    "\u{feff}",
    "\r",
];

/// What a scanner can lose its way in: the ends of comments, strings and names, and blanks that are none elsewhere.
const NOISE: &[&str] = &[
    "SELECT 1 AS a",
    "SELECT 1",
    "SELECT '",
    "SELECT E'",
    "SELECT x'",
    "SELECT $$",
    "SELECT $t$",
    "a$$",
    "a$e'",
    "$$",
    "$t$",
    "'",
    "''",
    "\\'",
    "\\",
    "\"",
    "`",
    "[",
    "]",
    ";",
    ";",
    ";",
    "--",
    "-- ",
    "--\t",
    "#",
    "/*",
    "*/",
    "/*/",
    "/**/",
    "/*!",
    "/*!00000",
    "/*M!",
    "\n",
    "\r",
    "\u{b}",
    "\u{7f}",
    "\u{c}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{3000}",
    "\u{feff}",
    " ",
];

fn text() -> BoxedStrategy<Text> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..9);
    let soup = (pieces, any::<bool>())
        .prop_map(|(pieces, apart)| pieces.join(if apart { " " } else { "" }));
    // One that would be stored, and something around it.
    let stored = (soup.clone(), soup.clone())
        .prop_map(|(before, after)| format!("{before} INSERT INTO thing VALUES (4) {after}"));
    let noise = |most| {
        prop::collection::vec(prop::sample::select(NOISE.to_vec()), 0..most)
            .prop_map(|pieces: Vec<&str>| pieces.concat())
    };
    let control = prop::sample::select(vec!["COMMIT", "END", "ROLLBACK"]);
    let hidden = (noise(6), control, noise(4))
        .prop_map(|(before, control, after)| format!("{before}{control}{after}"));
    prop_oneof![
        3 => soup.prop_map(Text),
        2 => stored.prop_map(Text),
        4 => hidden.prop_map(Text),
        1 => wild::text(),
    ]
    .boxed()
}

async fn numbers(db: &DatabaseConnection) -> Result<Vec<i32>, DbErr> {
    let all =
        Statement::from_string(db.get_database_backend(), "SELECT num FROM thing ORDER BY num");
    db.query_all_raw(all).await?.iter().map(|row| row.try_get("", "num")).collect()
}

/// How often a text was refused, failed, and ran.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    failed: usize,
    ran: usize,
}

on_every_backend_bare! {
    async fn no_text_ends_the_transaction_of_its_unit_of_work(world: &World) {
        let (db, pool) = (world.db(), world.connect(1).await);
        db.execute_unprepared("CREATE TABLE thing (num INTEGER NOT NULL)").await?;
        let (mut source, mut tally) = (Source::new(), Tally::default());
        for number in 0..scale(if world.database() == Database::Sqlite { 3_000 } else { 1_000 }) {
            let keep = number % 2 == 0;
            source.try_next(&text(), async |Text(text)| {
                let done = pool.atomic(async |uow| {
                    uow.execute_unprepared("INSERT INTO thing VALUES (1)").await?;
                    let answer = if number % 3 == 0 {
                        uow.query_all_raw(Statement::from_string(uow.get_database_backend(), text)).await.map(drop)
                    } else {
                        uow.execute_unprepared(&text).await.map(drop)
                    };
                    match answer {
                        Ok(()) => tally.ran += 1,
                        Err(error) if UnitOfWorkError::of(&error).is_some() => tally.refused += 1,
                        Err(_) => tally.failed += 1,
                    }
                    if keep { Ok(()) } else { Err(Failure::OnPurpose) }
                });
                let ended = done.await.map(|done| done.into_value());
                let stored = numbers(db).await.map_err(|error| error.to_string())?;
                let expected = match &ended {
                    Ok(()) => keep && stored.first() == Some(&1),
                    Err(Failure::OnPurpose) => !keep && stored.is_empty(),
                    Err(Failure::Refused(UnitOfWorkError::RolledBack { .. })) => keep && stored.is_empty(),
                    Err(_) => false,
                };
                // The next user of the connection has a transaction of its own, which is none.
                pool.execute_unprepared("DELETE FROM thing").await.map_err(|error| format!("not clean: {error}"))?;
                let left = numbers(db).await.map_err(|error| error.to_string())?;
                let sound = expected && left.is_empty();
                if sound { Ok(()) } else { Err(format!("{ended:?}, stored {stored:?}, left {left:?}")) }
            })
            .await;
        }
        println!("{tally:?}");
        assert!(tally.refused.min(tally.failed).min(tally.ran) * 50 >= number_of(&tally), "{tally:?}");
    }
}

fn number_of(tally: &Tally) -> usize {
    tally.refused + tally.failed + tally.ran
}
