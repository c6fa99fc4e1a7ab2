//! Statements outside a unit of work.

use std::future::Future;
use std::panic::resume_unwind;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};
use tracing::Instrument;

/// A pool on which every statement runs in a task of its own, and is seen through, whoever stops waiting for it.
///
/// The driver of MariaDB and MySQL loses count of the answers when a statement is cut off while it is being prepared. The
/// pool would then wait for an answer that has come already, and its connection would be lost for hours.
#[derive(Debug)]
pub(crate) struct Detached<'a>(pub(crate) &'a DatabaseConnection);

#[async_trait::async_trait]
impl ConnectionTrait for Detached<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let db = self.0.clone();
        detach(async move { db.execute_raw(statement).await }).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let (db, sql) = (self.0.clone(), sql.to_owned());
        detach(async move { db.execute_unprepared(&sql).await }).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let db = self.0.clone();
        detach(async move { db.query_one_raw(statement).await }).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let db = self.0.clone();
        detach(async move { db.query_all_raw(statement).await }).await
    }
}

async fn detach<T: Send + 'static>(
    statement: impl Future<Output = Result<T, DbErr>> + Send + 'static,
) -> Result<T, DbErr> {
    match tokio::spawn(statement.in_current_span()).await {
        Ok(result) => result,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(DbErr::Custom("the runtime shut down".to_owned())),
        },
    }
}
