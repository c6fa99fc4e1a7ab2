//! Orders the table of idempotency keys by the key first, and by whose it is then.
//!
//! Ordered by their users, the keys of one moment are all over the table, and where a table lies in the order of its primary key,
//! on `SQLite` and `MariaDB`, each is written to a page of its own. Keys that begin with the time are beside each other now, and
//! random ones lie as they did.
//!
//! The table is written anew, on PostgreSQL its index, and whoever has a key waits meanwhile; on `SQLite` whoever writes. So forget
//! old keys first where there are many. On `SQLite` a view or trigger of the host that names `al_key` must be dropped before.

use async_trait::async_trait;
use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    sea_orm::{DbBackend, DbErr},
};

use crate::statements::{all_or_nothing, each, unsupported};

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
    let db = manager.get_connection();
    match manager.get_database_backend() {
        DbBackend::Postgres => {
            let drop = "DROP CONSTRAINT al_key_pkey";
            let add = format!("ADD CONSTRAINT al_key_pkey PRIMARY KEY ({columns})");
            each(db, &[format!("ALTER TABLE al_key {drop}, {add}")]).await
        }
        // One statement: DDL commits itself here.
        DbBackend::MySql => {
            let add = format!("ADD PRIMARY KEY ({columns})");
            each(db, &[format!("ALTER TABLE al_key DROP PRIMARY KEY, {add}")]).await
        }
        DbBackend::Sqlite => all_or_nothing(db, &in_another_table(columns)).await,
        other => Err(unsupported(other)),
    }
}

/// `SQLite` cannot change the primary key of a table.
fn in_another_table(columns: &str) -> [String; 5] {
    let table = format!(
        r"CREATE TABLE al_key_ordered (
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
        table,
        format!("INSERT INTO al_key_ordered ({all}) SELECT {all} FROM al_key ORDER BY {columns}"),
        "DROP TABLE al_key".to_owned(),
        "ALTER TABLE al_key_ordered RENAME TO al_key".to_owned(),
        "CREATE INDEX al_key_at ON al_key (at)".to_owned(),
    ]
}
