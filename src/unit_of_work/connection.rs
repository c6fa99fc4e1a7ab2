//! Everything of SeaORM works in a unit of work: its connection and its transaction.

use std::future::Future;
use std::pin::Pin;

use futures::StreamExt;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, IsolationLevel,
    QueryResult, Statement, StreamTrait, TransactionError, TransactionOptions, TransactionSession,
    TransactionTrait,
};

use super::UnitOfWork;
use super::error::Error;
use super::outcome::RollbackReason;
use super::session::Nesting;

/// Statements run in the order in which they got hold of the connection. Each is refused, unsent, while a nested block is
/// open, in a broken or rollback-only block, after the end, and where its text controls transactions or has a NUL character.
///
/// # Cancel safety
///
/// A statement whose future is dropped before its answer came breaks the innermost block: whether it was done is not
/// known until the block has been rolled back.
#[async_trait::async_trait]
impl ConnectionTrait for UnitOfWork {
    fn get_database_backend(&self) -> DbBackend {
        self.session.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let held = self.session.hold(self.block, &statement.sql).await?;
        let sent = async move {
            let result = async { held.get()?.execute_raw(statement).await }.await;
            (held, result)
        };
        self.session.send(self.block, sent).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let held = self.session.hold(self.block, sql).await?;
        let sql = sql.to_owned();
        let sent = async move {
            let result = async { held.get()?.execute_unprepared(&sql).await }.await;
            (held, result)
        };
        self.session.send(self.block, sent).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let held = self.session.hold(self.block, &statement.sql).await?;
        let sent = async move {
            let result = async { held.get()?.query_one_raw(statement).await }.await;
            (held, result)
        };
        self.session.send(self.block, sent).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let held = self.session.hold(self.block, &statement.sql).await?;
        let sent = async move {
            let result = async { held.get()?.query_all_raw(statement).await }.await;
            (held, result)
        };
        self.session.send(self.block, sent).await
    }
}

impl UnitOfWork {
    /// Gives the rows of a query to `step` one by one, in the order in which they come, and hands `state` back: for results
    /// that are too large to be kept.
    ///
    /// The rows are read to the last one, after an error of `step` too: the driver of MariaDB and MySQL loses count of the
    /// answers otherwise. Nothing else can be sent meanwhile, so that no live stream ever stands in the way of a statement.
    ///
    /// # Cancel safety
    ///
    /// As every statement: dropped, it breaks the block, and the rest of the rows is read in the background.
    pub(crate) async fn fold<S: Send + 'static>(
        &self,
        statement: Statement,
        state: S,
        step: fn(&mut S, &QueryResult) -> Result<(), DbErr>,
    ) -> Result<S, DbErr> {
        let held = self.session.hold(self.block, &statement.sql).await?;
        let sent = async move {
            let result = async { fold(held.get()?, statement, state, step).await }.await;
            (held, result)
        };
        self.session.send(self.block, sent).await
    }
}

async fn fold<S>(
    transaction: &DatabaseTransaction,
    statement: Statement,
    mut state: S,
    step: fn(&mut S, &QueryResult) -> Result<(), DbErr>,
) -> Result<S, DbErr> {
    let mut rows = transaction.stream_raw(statement).await?;
    let mut failed = None;
    while let Some(row) = rows.next().await {
        let stepped = row.and_then(|row| match failed {
            None => step(&mut state, &row),
            Some(_) => Ok(()),
        });
        if let Err(error) = stepped {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(state), Err)
}

/// A nested block by hand, as SeaORM's own helpers and `ActiveModelEx` use it: a savepoint that is rolled back when it is
/// dropped without [`commit`](TransactionSession::commit).
///
/// Unlike [`UnitOfWork::atomic`], `begin` is refused in a broken or rollback-only block.
#[async_trait::async_trait]
#[expect(clippy::disallowed_methods, reason = "this is the unit of work")]
impl TransactionTrait for UnitOfWork {
    type Transaction = Self;

    async fn begin(&self) -> Result<Self, DbErr> {
        Ok(self.nest(Nesting::Begin).await?)
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Self, DbErr> {
        self.begin_with_options(TransactionOptions {
            isolation_level,
            access_mode,
            sqlite_transaction_mode: None,
        })
        .await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        if options != TransactionOptions::default() {
            return Err(Error::NestedOptions.into());
        }
        self.begin().await
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let child = self.begin().await.map_err(TransactionError::Connection)?;
        match callback(&child).await {
            Ok(value) => {
                child.commit().await.map_err(TransactionError::Connection)?;
                Ok(value)
            }
            Err(error) => {
                child.rollback().await.map_err(TransactionError::Connection)?;
                Err(TransactionError::Transaction(error))
            }
        }
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        if isolation_level.is_some() || access_mode.is_some() {
            return Err(TransactionError::Connection(Error::NestedOptions.into()));
        }
        self.transaction(callback).await
    }
}

#[async_trait::async_trait]
impl TransactionSession for UnitOfWork {
    /// Releases the savepoint of a block made by `begin`.
    async fn commit(mut self) -> Result<(), DbErr> {
        self.own()?;
        let ended = self.session.release(self.block).await;
        self.owner = false;
        Ok(ended?)
    }

    /// Rolls back to the savepoint of a block made by `begin`.
    async fn rollback(mut self) -> Result<(), DbErr> {
        self.own()?;
        let ended = self.session.roll_back(self.block, RollbackReason::Failed).await;
        self.owner = false;
        Ok(ended?)
    }
}
