//! `al_key`: idempotency keys. Rows may be purged: no money depends on them.

use sea_orm::entity::prelude::*;

/// One key that has been used.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "al_key")]
pub struct Model {
    /// Whose key it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope: Vec<u8>,
    /// The key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub idempotency_key: Vec<u8>,
    /// A hash of the request it stands for.
    pub request_hash: Vec<u8>,
    /// What the request did.
    pub operation: Uuid,
    /// What it was answered, as JSON, for whoever asks again. `None` only while a request that has claimed its key is being
    /// carried out.
    #[sea_orm(column_type = "Text", nullable)]
    pub answer: Option<String>,
    /// When it was used.
    pub at: i64,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The answer, which may have a maximum, stays out of logs.
        formatter
            .debug_struct("Model")
            .field("operation", &self.operation)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// A key refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
