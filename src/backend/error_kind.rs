//! The classification of driver errors, by code and never by text.

use sea_orm::DbErr;

/// What a database error means, the same on PostgreSQL, MariaDB/MySQL and SQLite.
///
/// The classification reads the SQLSTATE (PostgreSQL), the error number (MariaDB/MySQL) or the extended result code
/// (SQLite), and the text in two cases of SQLite only. An error of a driver whose feature (`postgres`, `mysql`, `sqlite`) is not enabled on this
/// crate is [`ErrorKind::Other`].
///
/// # Example: telling a duplicate from a lost connection
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sea_orm::DbErr> {
/// use auction_ledger::unit_of_work::ErrorKind;
/// use sea_orm::{ConnectionTrait, Database};
///
/// let db = Database::connect("sqlite::memory:").await?;
/// db.execute_unprepared("CREATE TABLE thing (num INTEGER UNIQUE)").await?;
/// db.execute_unprepared("INSERT INTO thing VALUES (1)").await?;
///
/// let error = db.execute_unprepared("INSERT INTO thing VALUES (1)").await.unwrap_err();
/// assert_eq!(ErrorKind::of(&error), ErrorKind::UniqueViolation);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database chose this transaction as the victim of a deadlock. The whole unit of work can be run again.
    Deadlock,
    /// The transaction cannot be ordered among its neighbours (SQLSTATE 40001, MariaDB 1020, SQLite 517). The whole unit
    /// of work can be run again.
    Serialization,
    /// A lock was not to be had: `NOWAIT` found it taken, or the lock timeout ran out. On SQLite: the database is busy.
    LockTimeout,
    /// The statement ran longer than its statement timeout, or was cancelled by an administrator.
    StatementTimeout,
    /// A unique or primary key has this value already.
    UniqueViolation,
    /// A `CHECK` constraint refused the row.
    CheckViolation,
    /// A foreign key refused the change.
    ForeignKeyViolation,
    /// A column that must have a value was given none.
    NotNullViolation,
    /// A trigger refused the change: the append-only tables of the ledger answer this way.
    TriggerRefusal,
    /// The transaction, the server or the file is read-only.
    ReadOnly,
    /// The disk, or the size limit of the database, is exhausted.
    Full,
    /// A table or column does not exist: most often the migrations have not been run.
    UndefinedTable,
    /// No connection could be had from the pool within its acquire timeout.
    PoolTimeout,
    /// The host has closed the pool.
    PoolClosed,
    /// The server has no room for another connection (MariaDB 1040, 1203), or a limit of the account is used up (1226):
    /// of its connections, or of what it may ask in an hour. On PostgreSQL (53300) the pool tries again by itself, and it is a
    /// [`PoolTimeout`](Self::PoolTimeout) in the end.
    TooManyConnections,
    /// The connection is gone, or the server is shutting down. What was under way may or may not have happened.
    ConnectionLost,
    /// Everything else.
    Other,
}

impl ErrorKind {
    /// Classifies an error of SeaORM.
    #[must_use]
    pub fn of(error: &DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(sea_orm::error::ConnAcquireErr::Timeout) => Self::PoolTimeout,
            DbErr::ConnectionAcquire(_) => Self::PoolClosed,
            DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error) => of_runtime(error),
            _ => Self::Other,
        }
    }

    /// Whether the same unit of work, run again from its start, can succeed: a deadlock, a serialization failure, a lock
    /// that was not to be had, a connection that was lost before the commit, or a server without room for another one.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        let lost_order = matches!(self, Self::Deadlock | Self::Serialization | Self::LockTimeout);
        lost_order || matches!(self, Self::ConnectionLost | Self::TooManyConnections)
    }

    /// Whether the error ends the whole transaction and not only the statement or the savepoint.
    ///
    /// A deadlock destroys the savepoints with the transaction on MariaDB/MySQL, SQLite rolls back by itself when the
    /// disk is full, and a lost connection leaves nothing to go back to. One rule for every database: these are fatal
    /// everywhere.
    pub(crate) fn is_fatal(self) -> bool {
        matches!(self, Self::Deadlock | Self::Serialization | Self::Full | Self::ConnectionLost)
    }

    /// Whether `error`, in answer to COMMIT, proves that nothing was committed: the database itself has said so.
    pub(crate) fn proves_not_committed(error: &DbErr) -> bool {
        match error {
            DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error) => is_proof(error),
            _ => false,
        }
    }
}

#[cfg(not(any(feature = "postgres", feature = "mysql", feature = "sqlite")))]
fn of_runtime(_: &sea_orm::RuntimeErr) -> ErrorKind {
    ErrorKind::Other
}

#[cfg(not(any(feature = "postgres", feature = "mysql", feature = "sqlite")))]
fn is_proof(_: &sea_orm::RuntimeErr) -> bool {
    false
}

/// PostgreSQL answers a commit that happened with nothing but success. MariaDB and MySQL have errors that may come after
/// it (1180), so only those whose meaning is known count; and SQLite may fail to sync what it has written.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
fn is_proof(error: &sea_orm::RuntimeErr) -> bool {
    let sea_orm::RuntimeErr::SqlxError(error) = error else {
        return false;
    };
    let sea_orm::sqlx::Error::Database(error) = error.as_ref() else {
        return false;
    };
    let kind = of_database(error.as_ref());
    #[cfg(feature = "postgres")]
    if error.try_downcast_ref::<sea_orm::SqlxPostgresError>().is_some() {
        return kind != ErrorKind::ConnectionLost;
    }
    #[cfg(feature = "sqlite")]
    if error.try_downcast_ref::<sea_orm::SqlxSqliteError>().is_some() {
        let code: Option<u32> = error.code().and_then(|code| code.parse().ok());
        return code.is_some_and(|code| code & 0xff != 10);
    }
    let unsure = [
        ErrorKind::ConnectionLost,
        ErrorKind::TooManyConnections,
        ErrorKind::StatementTimeout,
        ErrorKind::Other,
    ];
    !unsure.contains(&kind)
}

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
fn of_runtime(error: &sea_orm::RuntimeErr) -> ErrorKind {
    use sea_orm::sqlx::Error;

    let sea_orm::RuntimeErr::SqlxError(error) = error else {
        return ErrorKind::Other;
    };
    match error.as_ref() {
        Error::Database(error) => of_database(error.as_ref()),
        Error::PoolTimedOut => ErrorKind::PoolTimeout,
        Error::PoolClosed => ErrorKind::PoolClosed,
        // A protocol error leaves the driver and the server out of step: the connection is as good as lost.
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => {
            ErrorKind::ConnectionLost
        }
        _ => ErrorKind::Other,
    }
}

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
fn of_database(error: &dyn sea_orm::sqlx::error::DatabaseError) -> ErrorKind {
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref::<sea_orm::SqlxPostgresError>() {
        return of_sqlstate(error.code());
    }
    #[cfg(feature = "mysql")]
    if let Some(error) = error.try_downcast_ref::<sea_orm::SqlxMySqlError>() {
        return of_mysql_number(error.number());
    }
    #[cfg(feature = "sqlite")]
    if error.try_downcast_ref::<sea_orm::SqlxSqliteError>().is_some() {
        let code = error.code().and_then(|code| code.parse().ok());
        return code.map_or(ErrorKind::Other, |code| of_sqlite_code(code, error.message()));
    }
    let _ = error;
    ErrorKind::Other
}

/// PostgreSQL, appendix A of its manual.
#[cfg(feature = "postgres")]
fn of_sqlstate(code: &str) -> ErrorKind {
    match code {
        "40P01" => ErrorKind::Deadlock,
        "40001" => ErrorKind::Serialization,
        "55P03" => ErrorKind::LockTimeout,
        "57014" => ErrorKind::StatementTimeout,
        "23505" => ErrorKind::UniqueViolation,
        "23514" => ErrorKind::CheckViolation,
        "23503" | "23001" => ErrorKind::ForeignKeyViolation,
        "23502" => ErrorKind::NotNullViolation,
        "P0001" => ErrorKind::TriggerRefusal,
        "25006" => ErrorKind::ReadOnly,
        "53100" | "53200" => ErrorKind::Full,
        "53300" => ErrorKind::TooManyConnections,
        "42P01" | "42703" => ErrorKind::UndefinedTable,
        // admin shutdown, crash shutdown, cannot connect now, database dropped, idle session or transaction timeout
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" => ErrorKind::ConnectionLost,
        // "statement completion unknown": a node of CockroachDB has lost the one that knows what became of a commit
        "40003" => ErrorKind::ConnectionLost,
        _ if code.starts_with("08") => ErrorKind::ConnectionLost,
        _ => ErrorKind::Other,
    }
}

/// MariaDB and MySQL, their error references. Where both use a number, it means the same.
#[cfg(feature = "mysql")]
fn of_mysql_number(number: u16) -> ErrorKind {
    match number {
        1213 => ErrorKind::Deadlock,
        // "record has changed since last read": MariaDB with innodb_snapshot_isolation
        1020 => ErrorKind::Serialization,
        // rolled back as it committed: MySQL's group replication
        3101 => ErrorKind::Serialization,
        // TiDB: conflicting writes (8002, 8005, 9007), a commit that was rolled back, a schema that has just changed
        8002 | 8005 | 8022 | 8028 | 9007 => ErrorKind::Serialization,
        // 3572 is MySQL's NOWAIT; MariaDB answers 1205
        1205 | 3572 => ErrorKind::LockTimeout,
        // query interrupted; max_statement_time of MariaDB; max_execution_time of MySQL
        1317 | 1969 | 3024 => ErrorKind::StatementTimeout,
        1062 | 1586 => ErrorKind::UniqueViolation,
        // 3819 is MySQL's, 4025 MariaDB's
        3819 | 4025 => ErrorKind::CheckViolation,
        1216 | 1217 | 1451 | 1452 => ErrorKind::ForeignKeyViolation,
        1048 | 1364 => ErrorKind::NotNullViolation,
        1644 => ErrorKind::TriggerRefusal,
        1290 | 1792 | 1836 => ErrorKind::ReadOnly,
        1021 | 1041 | 1114 => ErrorKind::Full,
        // of the server; of the account
        1040 | 1203 | 1226 => ErrorKind::TooManyConnections,
        1054 | 1146 => ErrorKind::UndefinedTable,
        // shutdown, aborted connection, killed connection, lost connection
        1053 | 1077 | 1079 | 1152 | 1184 | 1927 | 2006 | 2013 => ErrorKind::ConnectionLost,
        // Galera: the node has lost the others or has not caught up with them, and serves nobody
        1047 => ErrorKind::ConnectionLost,
        _ => ErrorKind::Other,
    }
}

/// SQLite, its page of result codes. The low byte is the primary code, the rest tells the case. Two cases share a code with
/// others, and only the text tells them apart.
#[cfg(feature = "sqlite")]
fn of_sqlite_code(code: u32, message: &str) -> ErrorKind {
    match code {
        // a reader became a writer after another writer: waiting cannot help, starting over can
        517 => ErrorKind::Serialization,
        1555 | 2067 | 2579 => ErrorKind::UniqueViolation,
        275 => ErrorKind::CheckViolation,
        787 | 3091 => ErrorKind::ForeignKeyViolation,
        1299 => ErrorKind::NotNullViolation,
        // ON DELETE RESTRICT is a trigger to SQLite
        1811 if message.starts_with("FOREIGN KEY") => ErrorKind::ForeignKeyViolation,
        1811 => ErrorKind::TriggerRefusal,
        // SQLite has no code of its own for an unknown table.
        1 if message.starts_with("no such table") || message.starts_with("no such column") => {
            ErrorKind::UndefinedTable
        }
        _ => match code & 0xff {
            5 | 6 => ErrorKind::LockTimeout,
            8 => ErrorKind::ReadOnly,
            9 => ErrorKind::StatementTimeout,
            // 7 out of memory, 10 input/output error: SQLite may have rolled back by itself, as when it is full
            7 | 10 | 13 => ErrorKind::Full,
            _ => ErrorKind::Other,
        },
    }
}
