//! The session that a command runs in: its clock, and whether it may be trusted with money.

use sea_orm::QueryResult;
use sea_orm::sea_query::{Expr, Query, SelectStatement};

use crate::backend::Dialect;
use crate::error::Error;
use crate::rules::Micros;

const NOW: &str = "now_us";
const STRICT: &str = "is_strict";
const SNAPSHOT: &str = "is_snapshot";

/// What every lock of wallets reads along of the session it runs in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) now: Micros,
    /// Whether it reads from a snapshot, so that a locking read too can miss rows that are committed.
    pub(super) snapshot: bool,
}

/// A query that reads them; columns and tables can be added.
pub(super) fn session_facts(dialect: Dialect) -> SelectStatement {
    let mut facts = Query::select();
    facts.expr_as(Expr::cust(dialect.now()), NOW);
    if let Some(strict) = dialect.strict() {
        facts.expr_as(Expr::cust(strict), STRICT);
    }
    if let Some(snapshot) = dialect.snapshot() {
        facts.expr_as(Expr::cust(snapshot), SNAPSHOT);
    }
    facts
}

impl Session {
    /// Refuses a session that would cut and clamp what does not fit.
    pub(super) fn read(row: &QueryResult, dialect: Dialect) -> Result<Self, Error> {
        if dialect.strict().is_some() && row.try_get::<i64>("", STRICT)? == 0 {
            return Err(Error::NotStrict);
        }
        let snapshot = dialect.snapshot().is_some() && row.try_get::<i64>("", SNAPSHOT)? != 0;
        Ok(Self { now: Micros::new(row.try_get("", NOW)?), snapshot })
    }
}
