//! Running the statements of a migration.

use sea_orm_migration::{
    SchemaManagerConnection,
    sea_orm::{ConnectionTrait, DbBackend, DbErr, TransactionTrait},
};

/// Runs the statements in a transaction, or in a savepoint of the migrator's: `SeaORM` opens none of its own on SQLite.
#[expect(
    clippy::disallowed_methods,
    reason = "a migration is no unit of work: it has no hooks, and the host decides where it runs"
)]
pub(crate) async fn all_or_nothing(
    db: &SchemaManagerConnection<'_>,
    statements: &[impl AsRef<str> + Sync],
) -> Result<(), DbErr> {
    let transaction = db.begin().await?;
    each(&transaction, statements).await?;
    transaction.commit().await
}

/// Runs the statements one by one: sent together, MySQL would stop at the first.
pub(crate) async fn each(
    db: &impl ConnectionTrait,
    statements: &[impl AsRef<str> + Sync],
) -> Result<(), DbErr> {
    for statement in statements {
        db.execute_unprepared(statement.as_ref()).await?;
    }
    Ok(())
}

pub(crate) fn unsupported(backend: DbBackend) -> DbErr {
    DbErr::Migration(format!("the ledger has no tables for {backend:?}"))
}
