//! The doctor: whether the database is what the ledger's promises rest on.

use std::collections::BTreeSet;
use std::future::IntoFuture;

use futures::future::BoxFuture;
use sea_orm::{EntityTrait, IdenStatic, Iterable};

use super::AuctionLedger;
use crate::backend::{Catalog, DatabaseSetting, Detached, Dialect, Severity, deviations};
use crate::entity::{act, auction, bid, entry, house, key, relay, sealed_bid, wallet};
use crate::error::Error;

/// Something about the database on which the ledger's promises do not rest well. Its text says what helps.
///
/// # Example: a connection whose foreign keys are off
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use auction_ledger::{AuctionLedger, DatabaseSetting, Severity, Symptom};
/// use auction_ledger_migration::{Migrator, MigratorTrait};
/// use sea_orm::{ConnectionTrait, Database};
///
/// let db = Database::connect("sqlite::memory:").await?;
/// Migrator::up(&db, None).await?;
/// db.execute_unprepared("PRAGMA foreign_keys = OFF").await?;
///
/// let checkup = AuctionLedger::new(db).doctor().await?;
/// let symptom = checkup.errors().next().unwrap();
/// assert!(matches!(symptom, Symptom::Setting { setting: DatabaseSetting::ForeignKeys, .. }));
/// assert_eq!(
///     symptom.to_string(),
///     "foreign_keys is 0: no foreign key defends the references on this connection; \
///      remedy: PRAGMA foreign_keys = ON on every connection"
/// );
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Symptom {
    /// A table of the ledger is not there.
    #[error("the table {table} is missing: a migration has not been run; remedy: {}", self.remedy())]
    MissingTable {
        /// The table.
        table: String,
    },
    /// A table of the ledger lacks a column.
    #[error("the column {table}.{column} is missing: a migration has not been run; remedy: {}", self.remedy())]
    MissingColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A CHECK, a unique key or a foreign key that the migrations make is not there.
    #[error("the constraint {constraint} is missing: rows that it forbids can be stored; remedy: {}", self.remedy())]
    MissingConstraint {
        /// Its name, which begins with the table's.
        constraint: String,
    },
    /// SQLite: no CHECK sees to it that a column keeps to its type, as the other databases do by themselves.
    #[error("the type of {table}.{column} is not checked: a sum that overflows is stored as a fraction; remedy: {}", self.remedy())]
    UncheckedType {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A trigger that the migrations make is not there, or is disabled.
    #[error("the trigger {trigger} is missing or disabled: what it forbids can be changed or deleted; remedy: {}", self.remedy())]
    MissingTrigger {
        /// Its name, which begins with the table's.
        trigger: String,
    },
    /// MariaDB and MySQL: a table is kept by an engine that has no transactions.
    #[error("the table {table} is kept by {engine}: what is written to it cannot be rolled back; remedy: {}", self.remedy())]
    Engine {
        /// The table.
        table: String,
        /// The engine.
        engine: String,
    },
    /// A setting has a value that it should not have.
    #[error("{name} is {}: {harm}; remedy: {remedy}", or_empty(.value))]
    Setting {
        /// The setting.
        setting: DatabaseSetting,
        /// Its name in the database.
        name: &'static str,
        /// Its value, in lower case.
        value: String,
        /// How bad that is.
        severity: Severity,
        /// What can come of it.
        harm: &'static str,
        /// What helps.
        remedy: &'static str,
    },
}

impl Symptom {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Setting { severity, .. } => *severity,
            _ => Severity::Error,
        }
    }

    /// What helps.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::MissingTable { .. } | Self::MissingColumn { .. } => {
                "run auction_ledger_migration::Migrator::up, or the migrator that has its migrations".to_owned()
            }
            Self::MissingConstraint { .. } => {
                "add it again, as the migration that makes its table has it".to_owned()
            }
            Self::UncheckedType { .. } => {
                "make the table again, as its migration has it, and copy the rows".to_owned()
            }
            Self::MissingTrigger { .. } => {
                "create it again, as the migration that makes its table has it, or enable it, and run an audit".to_owned()
            }
            Self::Engine { table, .. } => format!("ALTER TABLE {table} ENGINE = InnoDB"),
            Self::Setting { remedy, .. } => (*remedy).to_owned(),
        }
    }
}

fn or_empty(value: &str) -> &str {
    if value.is_empty() { "empty" } else { value }
}

/// What the doctor has found: [`AuctionLedger::doctor`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "what is wrong with the database is told here and nowhere else"]
pub struct Checkup {
    /// What was found: tables, columns, constraints, triggers, engines, settings.
    pub symptoms: Vec<Symptom>,
}

impl Checkup {
    /// The symptoms with which money can be lost or made, or an acknowledged commit can vanish.
    pub fn errors(&self) -> impl Iterator<Item = &Symptom> {
        self.symptoms.iter().filter(|symptom| symptom.severity() == Severity::Error)
    }

    /// Whether there is no such symptom.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.errors().next().is_none()
    }
}

impl AuctionLedger {
    /// Looks at the database that the ledger is on: whether the tables and columns are there, whether the CHECKs, the keys and the
    /// triggers are there, and whether the settings keep what a commit promises. No money moves, and nothing is written.
    ///
    /// Run it when the host starts, and do not serve while [`is_healthy`](Checkup::is_healthy) is false.
    ///
    /// | what is looked at | PostgreSQL | MariaDB, MySQL | SQLite |
    /// |---|---|---|---|
    /// | migrations | tables, columns | tables, columns | tables, columns |
    /// | defences | CHECKs, keys, triggers, `session_replication_role` | CHECKs, keys, triggers, `check_constraint_checks`, `foreign_key_checks`, InnoDB | CHECKs, keys, triggers, `ignore_check_constraints`, `foreign_keys` |
    /// | durability | `fsync`, `synchronous_commit`, `full_page_writes` | `innodb_flush_log_at_trx_commit`, `sync_binlog` with a binary log | `synchronous`, `journal_mode` |
    /// | values | | strict `sql_mode` | the type of every column |
    /// | waiting | `default_transaction_isolation` | `transaction_isolation` | `journal_mode`, `busy_timeout` |
    ///
    /// Constraints and triggers are known by their names: what they say is not read. Settings are those of one connection of
    /// the pool. A disk that lies about what it has written is not found. MySQL, and some releases of MariaDB (10.11.14 is
    /// one), show triggers only to a user who has the `TRIGGER` privilege.
    ///
    /// # Errors
    ///
    /// [`Error::Database`]. What is wrong is no error: it is in the answer.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Example: at the start of a host
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// # use auction_ledger::AuctionLedger;
    /// let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// Migrator::up(&db, None).await?;
    /// let checkup = AuctionLedger::new(db).doctor().await?;
    /// for symptom in &checkup.symptoms {
    ///     eprintln!("{}: {symptom}", symptom.severity());
    /// }
    /// assert!(checkup.is_healthy());
    /// assert_eq!(checkup.symptoms.len(), 1, "a warning: this database is in memory");
    /// # Ok(()) }
    /// ```
    pub fn doctor(&self) -> Doctor<'_> {
        Doctor { ledger: self }
    }
}

/// A checkup to be made: [`AuctionLedger::doctor`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Doctor<'a> {
    ledger: &'a AuctionLedger,
}

impl<'a> IntoFuture for Doctor<'a> {
    type Output = Result<Checkup, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run().await })
    }
}

impl Doctor<'_> {
    async fn run(&self) -> Result<Checkup, Error> {
        let db = &Detached(&self.ledger.db);
        let catalog = Catalog::read(db).await?;
        let mut symptoms = tables(&catalog);
        symptoms.extend(defences(&catalog, Dialect::of(self.ledger.db.get_database_backend())));
        let settings = deviations(db).await?.into_iter().map(|deviation| Symptom::Setting {
            setting: deviation.setting,
            name: deviation.name,
            value: deviation.value,
            severity: deviation.ailment.severity,
            harm: deviation.ailment.harm,
            remedy: deviation.ailment.remedy,
        });
        symptoms.extend(settings);
        Ok(Checkup { symptoms })
    }
}

/// The tables that say what money there is and why, and their columns, as the entities have them.
fn of_money() -> [(String, BTreeSet<String>); 7] {
    [
        columns::<wallet::Entity>(),
        columns::<auction::Entity>(),
        columns::<bid::Entity>(),
        columns::<act::Entity>(),
        columns::<entry::Entity>(),
        columns::<house::Entity>(),
        columns::<sealed_bid::Entity>(),
    ]
}

/// Tables and columns that the entities have and the database has not.
fn tables(catalog: &Catalog) -> Vec<Symptom> {
    let expected =
        of_money().into_iter().chain([columns::<key::Entity>(), columns::<relay::Entity>()]);
    let missing = expected.flat_map(|(table, columns)| {
        let Some(found) = catalog.tables.get(&table) else {
            return vec![Symptom::MissingTable { table }];
        };
        let missing = columns.difference(found).cloned();
        missing.map(|column| Symptom::MissingColumn { table: table.clone(), column }).collect()
    });
    missing.collect()
}

/// The table of an entity, and its columns.
fn columns<E: EntityTrait>() -> (String, BTreeSet<String>) {
    let columns = E::Column::iter().map(|column| column.as_str().to_owned());
    (E::default().table_name().to_owned(), columns.collect())
}

/// Constraints, types, triggers and engines. What belongs to a table that is missing is not told again.
fn defences(catalog: &Catalog, dialect: Dialect) -> Vec<Symptom> {
    let has_table =
        |name: &&str| catalog.tables.keys().any(|table| name.starts_with(&format!("{table}_")));
    let constraints = dialect.constraints().filter(has_table);
    let constraints = constraints
        .filter(|name| !catalog.constraints.contains(*name))
        .map(|name| Symptom::MissingConstraint { constraint: name.to_owned() });
    let triggers = dialect.triggers().filter(has_table);
    let triggers = triggers
        .filter(|name| !catalog.triggers.contains(*name))
        .map(|name| Symptom::MissingTrigger { trigger: name.to_owned() });
    constraints.chain(types(catalog)).chain(triggers).chain(engines(catalog)).collect()
}

/// Columns of money, and of what explains it, that may hold anything.
fn types(catalog: &Catalog) -> impl Iterator<Item = Symptom> {
    let columns = of_money().into_iter().flat_map(|(table, columns)| {
        columns.into_iter().map(move |column| (table.clone(), column))
    });
    columns
        .filter(|column| catalog.untyped.contains(column))
        .map(|(table, column)| Symptom::UncheckedType { table, column })
}

fn engines(catalog: &Catalog) -> impl Iterator<Item = Symptom> {
    let tables =
        of_money().into_iter().chain([columns::<key::Entity>(), columns::<relay::Entity>()]);
    tables.filter_map(|(table, _)| {
        let engine = catalog.engines.get(&table)?.clone();
        Some(Symptom::Engine { table, engine })
    })
}
