//! One migrator at a time, on one connection.

use async_trait::async_trait;
use sea_orm_migration::{
    MigrationTrait, MigratorTrait, SchemaManagerConnection,
    sea_orm::{
        ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, DynIden, IsolationLevel,
        SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
    },
};

use crate::Migrator;

/// What is done under the lock.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    Up(Option<u32>),
    Down(Option<u32>),
    Refresh,
    Reset,
}

/// Runs `command` under the lock of the database.
#[expect(
    clippy::disallowed_methods,
    reason = "a migration needs no hooks, and the task it runs in is not dropped"
)]
pub(crate) async fn run(db: SchemaManagerConnection<'_>, command: Command) -> Result<(), DbErr> {
    match db {
        SchemaManagerConnection::Connection(pool) => {
            let pool = pool.clone();
            detached(async move {
                let transaction =
                    pool.begin_with_options(options(pool.get_database_backend())).await?;
                finish(transaction, command).await
            })
            .await
        }
        SchemaManagerConnection::OwnedTransaction(transaction) => {
            detached(finish(transaction, command)).await
        }
        SchemaManagerConnection::Transaction(transaction) => under_lock(transaction, command).await,
    }
}

/// Runs `work` to its end even when the caller stops waiting: a MySQL lock belongs to the session, and would stay with the
/// pooled connection if the work were dropped half-way.
async fn detached(
    work: impl Future<Output = Result<(), DbErr>> + Send + 'static,
) -> Result<(), DbErr> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(join) => {
                Err(DbErr::Migration(format!("the runtime stopped while migrating: {join}")))
            }
        },
    }
}

/// How the transaction begins, so that who waited for the lock sees what its holder did.
fn options(backend: DbBackend) -> TransactionOptions {
    TransactionOptions {
        // A snapshot taken while waiting for the lock would not show the work of the one who held it.
        isolation_level: (backend == DbBackend::Postgres).then_some(IsolationLevel::ReadCommitted),
        // The write lock is the lock. A deferred transaction would fail when it comes to need it.
        sqlite_transaction_mode: (backend == DbBackend::Sqlite)
            .then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

async fn finish(transaction: DatabaseTransaction, command: Command) -> Result<(), DbErr> {
    match under_lock(&transaction, command).await {
        Ok(()) => transaction.commit().await,
        Err(error) => {
            // The first error is the one to tell; a connection that cannot roll back is closed by its pool.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

async fn under_lock(transaction: &DatabaseTransaction, command: Command) -> Result<(), DbErr> {
    match transaction.get_database_backend() {
        DbBackend::Postgres => {
            // The key is "al_migra" in ASCII. The lock ends with the transaction.
            transaction
                .execute_unprepared("SELECT pg_advisory_xact_lock(7020090842688221793)")
                .await?;
            migrate(transaction, command).await
        }
        DbBackend::MySql => {
            get_lock(transaction).await?;
            let result = migrate(transaction, command).await;
            let released = transaction.execute_unprepared(RELEASE_LOCK).await;
            result.and(released.map(drop))
        }
        _ => migrate(transaction, command).await,
    }
}

/// A lock's name spans the server and has at most 64 characters.
const GET_LOCK: &str =
    "SELECT CAST(GET_LOCK(CONCAT('al_migrations.', LEFT(DATABASE(), 48)), 120) AS SIGNED)";
const RELEASE_LOCK: &str = "DO RELEASE_LOCK(CONCAT('al_migrations.', LEFT(DATABASE(), 48)))";

/// Takes MySQL's lock of the session, which outlives the commit that every DDL statement makes.
async fn get_lock(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    let row = transaction.query_one_raw(Statement::from_string(DbBackend::MySql, GET_LOCK)).await?;
    let taken: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    match taken {
        Some(1) => Ok(()),
        _ => Err(DbErr::Migration("the lock `al_migrations` was not given within two minutes: another process is migrating".into())),
    }
}

async fn migrate(transaction: &DatabaseTransaction, command: Command) -> Result<(), DbErr> {
    match command {
        Command::Up(steps) => Unlocked::up(transaction, steps).await,
        Command::Down(steps) => Unlocked::down(transaction, steps).await,
        Command::Refresh => Unlocked::refresh(transaction).await,
        Command::Reset => Unlocked::reset(transaction).await,
    }
}

/// [`Migrator`] with `SeaORM`'s own verbs.
struct Unlocked;

#[async_trait]
impl MigratorTrait for Unlocked {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Migrator::migrations()
    }

    fn migration_table_name() -> DynIden {
        Migrator::migration_table_name()
    }
}
