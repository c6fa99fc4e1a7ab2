//! What differs between the databases in words.

use std::time::Duration;

use sea_orm::{AccessMode, DbBackend, IsolationLevel, SqliteTransactionMode, TransactionOptions};

/// The dialect of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect(DbBackend);

/// A session setting of MariaDB/MySQL or SQLite that a unit of work changes and puts back before it ends.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Reads the present value in its first column, as text.
    pub(crate) read: &'static str,
    /// The assignment up to the value.
    pub(crate) assign: &'static str,
    /// The value for this unit of work.
    pub(crate) value: String,
}

impl Dialect {
    pub(crate) fn of(backend: DbBackend) -> Self {
        Self(backend)
    }

    pub(super) fn backend(self) -> DbBackend {
        self.0
    }

    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            DbBackend::Postgres => "postgres",
            DbBackend::MySql => "mysql",
            DbBackend::Sqlite => "sqlite",
            _ => "this database",
        }
    }

    /// How a transaction begins.
    ///
    /// MariaDB/MySQL: READ COMMITTED unless asked otherwise, since under their default a plain SELECT after a lock wait
    /// reads an old snapshot. SQLite: IMMEDIATE, since a reader that turns writer fails without waiting; its isolation
    /// is always serializable, so every level asked for is kept.
    pub(crate) fn begin_options(
        self,
        isolation: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> TransactionOptions {
        match self.0 {
            DbBackend::Sqlite => TransactionOptions {
                isolation_level: None,
                access_mode: None,
                sqlite_transaction_mode: Some(if access_mode == Some(AccessMode::ReadOnly) {
                    SqliteTransactionMode::Deferred
                } else {
                    SqliteTransactionMode::Immediate
                }),
            },
            DbBackend::MySql => TransactionOptions {
                isolation_level: Some(isolation.unwrap_or(IsolationLevel::ReadCommitted)),
                access_mode,
                sqlite_transaction_mode: None,
            },
            _ => TransactionOptions {
                isolation_level: isolation,
                access_mode,
                sqlite_transaction_mode: None,
            },
        }
    }

    /// Settings that end with the transaction by themselves (`SET LOCAL`).
    pub(crate) fn local_settings(
        self,
        lock: Option<Duration>,
        statement: Option<Duration>,
    ) -> Vec<String> {
        let set = |name: &str, timeout: Option<Duration>| {
            timeout.map(|timeout| format!("SET LOCAL {name} = {}", millis(timeout)))
        };
        match self.0 {
            DbBackend::Postgres => set("lock_timeout", lock)
                .into_iter()
                .chain(set("statement_timeout", statement))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Settings that outlive the transaction and must be put back.
    ///
    /// A lock timeout of MariaDB/MySQL counts whole seconds: it is rounded up.
    pub(crate) fn session_settings(
        self,
        access_mode: Option<AccessMode>,
        lock: Option<Duration>,
        statement: Option<Duration>,
        mariadb: bool,
    ) -> Vec<Setting> {
        match self.0 {
            DbBackend::MySql => {
                let lock = lock.map(|timeout| Setting {
                    read: "SELECT CAST(@@SESSION.innodb_lock_wait_timeout AS CHAR)",
                    assign: "SET SESSION innodb_lock_wait_timeout = ",
                    value: millis(timeout).div_ceil(1000).to_string(),
                });
                let statement = statement.map(|timeout| {
                    let millis = millis(timeout);
                    if mariadb {
                        Setting {
                            read: "SELECT CAST(@@SESSION.max_statement_time AS CHAR)",
                            assign: "SET SESSION max_statement_time = ",
                            value: format!(
                                "{}.{:03}",
                                millis.div_euclid(1000),
                                millis.rem_euclid(1000)
                            ),
                        }
                    } else {
                        Setting {
                            read: "SELECT CAST(@@SESSION.max_execution_time AS CHAR)",
                            assign: "SET SESSION max_execution_time = ",
                            value: millis.to_string(),
                        }
                    }
                });
                lock.into_iter().chain(statement).collect()
            }
            DbBackend::Sqlite if access_mode == Some(AccessMode::ReadOnly) => {
                vec![Setting {
                    read: "SELECT CAST(query_only AS TEXT) FROM pragma_query_only",
                    assign: "PRAGMA query_only = ",
                    value: "1".to_owned(),
                }]
            }
            _ => Vec::new(),
        }
    }

    /// Tells MariaDB from MySQL, which name their statement timeout differently.
    pub(crate) fn version_query(self) -> Option<&'static str> {
        (self.0 == DbBackend::MySql).then_some("SELECT VERSION()")
    }

    pub(crate) fn has_statement_timeout(self) -> bool {
        self.0 != DbBackend::Sqlite
    }

    /// Whether every wait for a lock is the wait in BEGIN, as on SQLite.
    pub(crate) fn locks_at_begin(self) -> bool {
        self.0 == DbBackend::Sqlite
    }

    /// Whether rows can be locked one by one, and so waited for, skipped or refused.
    pub(crate) fn has_row_locks(self) -> bool {
        self.0 != DbBackend::Sqlite
    }

    /// Whether several tables can be written in one statement (a writing CTE). It comes after the locks were taken by
    /// earlier statements, never with them: its CHECKs would be judged on rows from before the lock.
    pub(crate) fn writes_in_one_statement(self) -> bool {
        self.0 == DbBackend::Postgres
    }

    /// Whether a statement can lock rows of one table, and then rows of another that it finds by the first.
    pub(crate) fn locks_in_order(self) -> bool {
        self.0 == DbBackend::Postgres
    }

    /// Whether one value can be an array, and be taken apart into rows.
    #[cfg(feature = "postgres")]
    pub(crate) fn has_arrays(self) -> bool {
        self.0 == DbBackend::Postgres
    }

    /// Opens a transaction where the database has ended ours by itself, so that the ROLLBACK that the driver counts on
    /// finds one. Within a transaction it changes nothing.
    ///
    /// SQLite rolls back by itself when the disk is full; the driver's counter would otherwise stay off by one and
    /// poison the pooled connection.
    pub(crate) fn before_rollback(self) -> Option<&'static str> {
        (self.0 == DbBackend::Sqlite).then_some("SAVEPOINT al_rescue")
    }

    /// The database's clock in microseconds since 1970 UTC, as an SQL expression, read when its statement runs and not
    /// when its transaction began.
    pub(crate) fn now(self) -> &'static str {
        match self.0 {
            DbBackend::Postgres => {
                "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"
            }
            DbBackend::MySql => {
                "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))"
            }
            _ => {
                "CAST(strftime('%s', 'now') AS INTEGER) * 1000000 \
                 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000"
            }
        }
    }

    /// The type of 64 bits that a sum is cast to.
    pub(crate) fn integer(self) -> &'static str {
        if self.0 == DbBackend::MySql { "SIGNED" } else { "BIGINT" }
    }

    /// Whether the session refuses what does not fit a column, as an SQL expression: 0 or 1. `None` where every session
    /// does.
    pub(crate) fn strict(self) -> Option<&'static str> {
        (self.0 == DbBackend::MySql)
            .then_some("CAST(@@SESSION.sql_mode LIKE '%STRICT_%' AS SIGNED)")
    }

    /// Whether the transaction reads from a snapshot, so that a locking read too can miss rows that are committed, as an
    /// SQL expression: 0 or 1. `None` where a locking read finds every committed row.
    pub(crate) fn snapshot(self) -> Option<&'static str> {
        (self.0 == DbBackend::Postgres).then_some(
            "CASE current_setting('transaction_isolation') \
             WHEN 'read committed' THEN CAST(0 AS BIGINT) ELSE 1 END",
        )
    }

    /// Whether a subquery of a locking read can be read from a snapshot, and miss rows that are committed.
    pub(crate) fn snapshot_in_subqueries(self) -> bool {
        self.0 == DbBackend::MySql
    }

    /// Asks whether a row lock is one node's only, as on Galera: no row, or one whose second column is `ON` or `OFF`.
    pub(crate) fn local_locks(self) -> Option<&'static str> {
        (self.0 == DbBackend::MySql).then_some("SHOW VARIABLES LIKE 'wsrep_on'")
    }

    /// Whether the answer to an INSERT that does nothing on a conflict tells what it did. MariaDB/MySQL count a row that
    /// stood there already as one that was written.
    pub(crate) fn tells_what_it_inserted(self) -> bool {
        self.0 != DbBackend::MySql
    }

    /// `transaction_control` of this database.
    pub(crate) fn transaction_control(self, sql: &str) -> Option<&'static str> {
        super::transaction_control::transaction_control(self.0, sql)
    }
}

/// A timeout in milliseconds: at least one, since zero means none to the databases, and at most what a 32-bit integer
/// holds (24 days), which is all that PostgreSQL takes.
fn millis(timeout: Duration) -> u32 {
    let most = i32::MAX.unsigned_abs();
    u32::try_from(timeout.as_millis()).map_or(most, |millis| millis.clamp(1, most))
}
