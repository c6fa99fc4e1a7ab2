//! The settings of a database on which the ledger's promises rest.

use std::collections::BTreeMap;
use std::fmt;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

/// A setting of a database or of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DatabaseSetting {
    /// PostgreSQL: whether what is written reaches the disk.
    Fsync,
    /// PostgreSQL: whether COMMIT is answered before it is on the disk.
    SynchronousCommit,
    /// PostgreSQL: whether a page that was half written can be repaired.
    FullPageWrites,
    /// PostgreSQL: whether triggers fire in this session.
    SessionReplicationRole,
    /// PostgreSQL, MariaDB and MySQL: what a transaction sees that does not say it itself.
    Isolation,
    /// MariaDB and MySQL: whether COMMIT is answered before it is on the disk.
    InnodbFlushLogAtTrxCommit,
    /// MariaDB and MySQL: whether the binary log, if there is one, is on the disk when COMMIT is answered.
    SyncBinlog,
    /// MariaDB and MySQL: whether a value that does not fit is refused.
    SqlMode,
    /// MariaDB: whether CHECKs are looked at in this session. SQLite: whether they are not.
    CheckConstraints,
    /// MariaDB, MySQL and SQLite: whether foreign keys are looked at in this session.
    ForeignKeys,
    /// SQLite: how a transaction that was cut off is undone.
    JournalMode,
    /// SQLite: whether COMMIT is answered before it is on the disk.
    Synchronous,
    /// SQLite: how long a connection waits for another one.
    BusyTimeout,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// The ledger keeps its promises, but is slower or refuses more than it need.
    Warning,
    /// Money can be lost or made, or a commit that was acknowledged can vanish.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What is wrong with the value of a setting, and what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ailment {
    pub(crate) severity: Severity,
    pub(crate) harm: &'static str,
    pub(crate) remedy: &'static str,
}

/// A setting that has a value which it should not have.
#[derive(Clone, Debug)]
pub(crate) struct Deviation {
    pub(crate) setting: DatabaseSetting,
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) ailment: Ailment,
}

/// All settings that were read, by their names in the database.
type Values = BTreeMap<String, String>;

/// What is asked of a setting.
struct Rule {
    setting: DatabaseSetting,
    /// Its name in the database.
    name: &'static str,
    /// What is wrong with a value, `None` if nothing is. The other settings may matter.
    judge: fn(&str, &Values) -> Option<Ailment>,
}

/// Reads the settings that one connection has, and judges them.
pub(crate) async fn deviations<C: ConnectionTrait>(
    connection: &C,
) -> Result<Vec<Deviation>, DbErr> {
    let backend = connection.get_database_backend();
    let (query, rules): (_, &[Rule]) = match backend {
        DbBackend::Postgres => (OF_POSTGRES, &POSTGRES),
        DbBackend::Sqlite => (OF_SQLITE, &SQLITE),
        _ => (OF_MYSQL, &MYSQL),
    };
    let rows = connection.query_all_raw(Statement::from_string(backend, query)).await?;
    let values = rows.iter().map(|row| {
        let (name, value): (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok((name, value.to_lowercase()))
    });
    let values: Values = values.collect::<Result<_, DbErr>>()?;
    // A setting that this version of the database does not have cannot be wrong.
    let found = rules.iter().filter_map(|rule| {
        let value = values.get(rule.name)?;
        let ailment = (rule.judge)(value, &values)?;
        let (setting, name) = (rule.setting, rule.name);
        Some(Deviation { setting, name, value: value.clone(), ailment })
    });
    Ok(found.collect())
}

const LOSES_COMMITS: &str = "a crash can lose commits that were acknowledged";
const DAMAGES: &str = "a crash of the machine can damage the database";
const NO_CHECKS: &str = "no CHECK defends the balances on this connection";
const NO_KEYS: &str = "no foreign key defends the references on this connection";

fn error(harm: &'static str, remedy: &'static str) -> Option<Ailment> {
    Some(Ailment { severity: Severity::Error, harm, remedy })
}

fn warning(harm: &'static str, remedy: &'static str) -> Option<Ailment> {
    Some(Ailment { severity: Severity::Warning, harm, remedy })
}

const OF_POSTGRES: &str = "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', \
    'full_page_writes', 'session_replication_role', 'default_transaction_isolation')";

const POSTGRES: [Rule; 5] = [
    Rule {
        setting: DatabaseSetting::Fsync,
        name: "fsync",
        judge: |value, _| match value {
            "on" => None,
            _ => error(DAMAGES, "ALTER SYSTEM SET fsync = on, and SELECT pg_reload_conf()"),
        },
    },
    Rule {
        setting: DatabaseSetting::SynchronousCommit,
        name: "synchronous_commit",
        judge: |value, _| match value {
            "off" => error(
                LOSES_COMMITS,
                "ALTER SYSTEM SET synchronous_commit = on, SELECT pg_reload_conf(), and RESET it where the role, the \
                 database or the connection sets it",
            ),
            _ => None,
        },
    },
    Rule {
        setting: DatabaseSetting::FullPageWrites,
        name: "full_page_writes",
        judge: |value, _| match value {
            "on" => None,
            _ => error(
                DAMAGES,
                "ALTER SYSTEM SET full_page_writes = on, and SELECT pg_reload_conf()",
            ),
        },
    },
    Rule {
        setting: DatabaseSetting::SessionReplicationRole,
        name: "session_replication_role",
        judge: |value, _| match value {
            "replica" => error(
                "no trigger defends bids, acts and entries on this connection",
                "RESET session_replication_role where the role, the database or the connection sets it",
            ),
            _ => None,
        },
    },
    Rule {
        setting: DatabaseSetting::Isolation,
        name: "default_transaction_isolation",
        judge: |value, _| match value {
            "read committed" | "read uncommitted" => None,
            _ => warning(
                "where commands meet on a row, the database refuses all but one, and they are run again",
                "RESET default_transaction_isolation where the server, the role, the database or the connection sets it",
            ),
        },
    },
];

// It knows the settings of MariaDB and of MySQL, and both names of the isolation.
const OF_MYSQL: &str = "SHOW SESSION VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'sync_binlog', \
    'log_bin', 'sql_mode', 'tx_isolation', 'transaction_isolation', 'check_constraint_checks', 'foreign_key_checks')";

const MYSQL: [Rule; 7] = [
    Rule {
        setting: DatabaseSetting::InnodbFlushLogAtTrxCommit,
        name: "innodb_flush_log_at_trx_commit",
        judge: |value, _| match value {
            "1" => None,
            _ => error(
                LOSES_COMMITS,
                "SET GLOBAL innodb_flush_log_at_trx_commit = 1, and the same in the server's configuration",
            ),
        },
    },
    Rule {
        setting: DatabaseSetting::SyncBinlog,
        name: "sync_binlog",
        // What the log lacks after a crash, InnoDB rolls back: the log decides what was committed.
        judge: |value, all| match value {
            "1" => None,
            _ if all.get("log_bin").is_none_or(|log| log == "off") => None,
            _ => error(
                LOSES_COMMITS,
                "SET GLOBAL sync_binlog = 1, and the same in the server's configuration",
            ),
        },
    },
    Rule {
        setting: DatabaseSetting::SqlMode,
        name: "sql_mode",
        judge: |value, _| match value {
            strict
                if strict.contains("strict_trans_tables")
                    || strict.contains("strict_all_tables") =>
            {
                None
            }
            _ => error(
                "values that do not fit are cut or clamped without an error",
                "add STRICT_TRANS_TABLES to sql_mode in the server's configuration, and where the connection sets it",
            ),
        },
    },
    Rule { setting: DatabaseSetting::Isolation, name: "transaction_isolation", judge: isolation },
    Rule {
        setting: DatabaseSetting::Isolation,
        name: "tx_isolation",
        judge: |value, all| match all.get("transaction_isolation") {
            None => isolation(value, all),
            Some(_) => None,
        },
    },
    Rule {
        setting: DatabaseSetting::CheckConstraints,
        name: "check_constraint_checks",
        judge: |value, _| match value {
            "off" => error(
                NO_CHECKS,
                "SET check_constraint_checks = ON where the server or the connection sets it",
            ),
            _ => None,
        },
    },
    Rule {
        setting: DatabaseSetting::ForeignKeys,
        name: "foreign_key_checks",
        judge: |value, _| match value {
            "off" => error(
                NO_KEYS,
                "SET foreign_key_checks = ON where the server or the connection sets it",
            ),
            _ => None,
        },
    },
];

/// A unit of work says its isolation itself. What is read outside of one has the connection's.
fn isolation(value: &str, _: &Values) -> Option<Ailment> {
    let remedy = "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED, and the same in the server's configuration";
    match value {
        "read-uncommitted" => {
            warning("what is read outside a unit of work may never be committed", remedy)
        }
        "serializable" => warning("what is read outside a unit of work is locked", remedy),
        _ => None,
    }
}

const OF_SQLITE: &str = "SELECT 'journal_mode', CAST(journal_mode AS TEXT) FROM pragma_journal_mode \
    UNION ALL SELECT 'synchronous', CAST(synchronous AS TEXT) FROM pragma_synchronous \
    UNION ALL SELECT 'foreign_keys', CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys \
    UNION ALL SELECT 'busy_timeout', CAST(timeout AS TEXT) FROM pragma_busy_timeout \
    UNION ALL SELECT 'ignore_check_constraints', CAST(ignore_check_constraints AS TEXT) FROM pragma_ignore_check_constraints \
    UNION ALL SELECT 'file', file FROM pragma_database_list WHERE name = 'main'";

const SQLITE: [Rule; 5] = [
    Rule {
        setting: DatabaseSetting::JournalMode,
        name: "journal_mode",
        judge: |value, all| {
            let in_memory = all.get("file").is_none_or(String::is_empty);
            let remedy = "PRAGMA journal_mode = WAL, which the file remembers";
            match value {
                "wal" => None,
                "off" => error("what was begun cannot be rolled back", remedy),
                _ if in_memory => warning(
                    "the database is in memory, and ends with its connection",
                    "open a file for what is to be kept",
                ),
                "memory" => error(DAMAGES, remedy),
                _ => warning("a reader holds up whoever commits, and is held up", remedy),
            }
        },
    },
    Rule {
        setting: DatabaseSetting::Synchronous,
        name: "synchronous",
        judge: |value, _| {
            let remedy = "PRAGMA synchronous = FULL on every connection, which is the default";
            match value {
                "0" => error(DAMAGES, remedy),
                "1" => error(LOSES_COMMITS, remedy),
                _ => None,
            }
        },
    },
    Rule {
        setting: DatabaseSetting::ForeignKeys,
        name: "foreign_keys",
        judge: |value, _| match value {
            "0" => error(NO_KEYS, "PRAGMA foreign_keys = ON on every connection"),
            _ => None,
        },
    },
    Rule {
        setting: DatabaseSetting::BusyTimeout,
        name: "busy_timeout",
        judge: |value, _| match value {
            "0" => warning(
                "a connection that finds the database busy is refused at once",
                "PRAGMA busy_timeout = 5000 on every connection",
            ),
            _ => None,
        },
    },
    Rule {
        setting: DatabaseSetting::CheckConstraints,
        name: "ignore_check_constraints",
        judge: |value, _| match value {
            "0" => None,
            _ => error(NO_CHECKS, "PRAGMA ignore_check_constraints = OFF on every connection"),
        },
    },
];
