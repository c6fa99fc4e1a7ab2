//! Orders the table of idempotency keys by the key first, and by whose it is then, on `SQLite`.
//!
//! There the table lies in the order of its primary key. Ordered by their users, the keys of one moment are all over it, and each is
//! written to a page of its own. Keys that begin with the time are beside each other now, and random ones lie as they did.
//!
//! On the servers it was not seen to be faster, and where keys by time all come to the end of an index, `InnoDB` makes whoever brings
//! one wait for strangers: two who use the same key, the first of whom is rolled back, lock the gap up to the next key. So nothing
//! happens there.

use async_trait::async_trait;
use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    sea_orm::{DbBackend, DbErr},
};

use crate::statements::{all_or_nothing, unsupported};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261201_000004_order_keys"
    }
}

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        order_by(manager, "idempotency_key, scope").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        order_by(manager, "scope, idempotency_key").await
    }
}

async fn order_by(manager: &SchemaManager<'_>, columns: &str) -> Result<(), DbErr> {
    match manager.get_database_backend() {
        DbBackend::Sqlite => all_or_nothing(manager.get_connection(), &made_anew(columns)).await,
        DbBackend::Postgres | DbBackend::MySql => Ok(()),
        other => Err(unsupported(other)),
    }
}

/// A primary key cannot be changed. The rows move twice, for renaming a table fails if the host has a view that is broken.
fn made_anew(columns: &str) -> [String; 6] {
    let table = format!(
        r"CREATE TABLE al_key (
        scope               BLOB NOT NULL CHECK (typeof(scope) = 'blob' AND length(scope) BETWEEN 1 AND 80),
        idempotency_key     BLOB NOT NULL CHECK (typeof(idempotency_key) = 'blob' AND length(idempotency_key) BETWEEN 1 AND 200),
        request_hash        BLOB NOT NULL CHECK (typeof(request_hash) = 'blob' AND length(request_hash) BETWEEN 1 AND 64),
        operation           BLOB NOT NULL CHECK (typeof(operation) = 'blob' AND length(operation) = 16),
        answer              TEXT CHECK (typeof(answer) IN ('text', 'null')),
        at                  BIGINT NOT NULL CHECK (typeof(at) = 'integer'),
        CONSTRAINT al_key_pkey PRIMARY KEY ({columns})
    ) WITHOUT ROWID"
    );
    let all = "scope, idempotency_key, request_hash, operation, answer, at";
    [
        format!("CREATE TABLE al_key_before AS SELECT {all} FROM al_key"),
        "DROP TABLE al_key".to_owned(),
        table,
        format!("INSERT INTO al_key ({all}) SELECT {all} FROM al_key_before ORDER BY {columns}"),
        "DROP TABLE al_key_before".to_owned(),
        "CREATE INDEX al_key_at ON al_key (at)".to_owned(),
    ]
}
