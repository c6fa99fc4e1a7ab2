//! One database transaction, the stack of blocks inside it, and the connection they share.
//!
//! The savepoints are ours, by name: the driver sees one transaction, so that nothing but this module decides what is
//! released, rolled back and in which order. A block that is not the innermost one is refused before the connection is
//! touched. The connection is taken out under its lock exactly once, by the commit or by the rollback: what was in
//! flight has been waited for, and what comes later finds that the unit of work has ended.

mod ending;
mod nested;
mod stack;
mod step;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement,
    TransactionTrait,
};
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument;

use super::error::{Cause, Error};
use super::hooks::{self, Hooks};
use super::outcome::RollbackReason;
use super::root::Options;
use super::seen_through::SeenThrough;
use crate::backend::Dialect;

pub(super) use self::nested::Nesting;
use self::stack::{Condition, State};

pub(super) type BlockId = u64;

/// The root is always the first block.
pub(super) const ROOT: BlockId = 0;

pub(super) struct Session {
    connection: Arc<tokio::sync::Mutex<Option<DatabaseTransaction>>>,
    // Held for a few instructions and never over an await.
    state: Mutex<State>,
    backend: DbBackend,
    /// Statements that put back what outlives the transaction.
    restore: Vec<String>,
    /// Held by whoever takes a step of several statements, and by whoever opens a nested block.
    turn: tokio::sync::Mutex<()>,
    runtime: Handle,
    pub(super) name: Option<Arc<str>>,
    pub(super) attempt: u32,
}

/// A statement of our own on its way. Dropped without an answer, it breaks its block.
struct Attempt<'a> {
    session: &'a Session,
    block: BlockId,
    answered: bool,
}

impl<'a> Attempt<'a> {
    fn new(session: &'a Session, block: BlockId) -> Self {
        Self { session, block, answered: false }
    }

    fn answer<T>(mut self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        self.answered = true;
        let mut state = self.session.state();
        if let Err(error) = &result {
            state.statement_failed(self.block, error);
        }
        drop(state);
        result
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.session.state().unanswered = true;
            self.session.break_off(self.block, Cause::StatementDropped);
        }
    }
}

/// A statement of the host on its way, together with the connection.
///
/// It is never cut off: the driver of MariaDB and MySQL loses count of the answers when a prepared statement is, and the
/// next user of the connection would read somebody else's. If the host stops waiting, the block is broken at once, and a
/// task sees the statement through before anybody else gets the connection.
struct Sent<'a, T: 'static> {
    session: &'a Session,
    block: BlockId,
    statement: Option<BoxFuture<'static, (HeldConnection, Result<T, DbErr>)>>,
}

impl<T: 'static> Drop for Sent<'_, T> {
    fn drop(&mut self) {
        if let Some(statement) = self.statement.take() {
            self.session.break_off(self.block, Cause::StatementDropped);
            self.session.runtime.spawn(statement.map(drop));
        }
    }
}

/// The connection, held for one statement of the host.
pub(super) struct HeldConnection(OwnedMutexGuard<Option<DatabaseTransaction>>);

impl HeldConnection {
    pub(super) fn get(&self) -> Result<&DatabaseTransaction, Error> {
        self.0.as_ref().ok_or(Error::Ended)
    }
}

impl Session {
    /// Begins a transaction: a caller that is dropped leaves no half-begun connection behind.
    pub(super) async fn begin(
        db: DatabaseConnection,
        options: Options,
        attempt: u32,
    ) -> Result<Arc<Self>, Error> {
        let dialect = Dialect::of(db.get_database_backend());
        if options.statement_timeout.is_some() && !dialect.has_statement_timeout() {
            return Err(Error::Unsupported {
                database: dialect.name(),
                what: "limit the time of a statement",
            });
        }
        let limit = options.lock_timeout.filter(|_| dialect.locks_at_begin());
        // Whoever is polled once, to take its place, and not again has sent nothing.
        tokio::task::yield_now().await;
        let open = Self::open(db, options, attempt).in_current_span();
        let open = SeenThrough::new(Handle::current(), open);
        match limit {
            Some(limit) => {
                let opened = tokio::time::timeout(limit, open).await;
                opened.unwrap_or(Err(Error::LockNotAvailable))
            }
            None => open.await,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that begins a transaction"
    )]
    async fn open(
        db: DatabaseConnection,
        options: Options,
        attempt: u32,
    ) -> Result<Arc<Self>, Error> {
        let backend = db.get_database_backend();
        let dialect = Dialect::of(backend);
        let begin = dialect.begin_options(options.isolation, options.access_mode);
        let transaction =
            db.begin_with_options(begin).await.map_err(|error| Error::Begin { error })?;
        let mut session = Self {
            connection: Arc::default(),
            state: Mutex::new(State::new()),
            backend,
            restore: Vec::new(),
            turn: tokio::sync::Mutex::default(),
            runtime: Handle::current(),
            name: options.name.clone(),
            attempt,
        };
        let applied = session.apply(&transaction, &options).await;
        session.connection = Arc::new(tokio::sync::Mutex::new(Some(transaction)));
        // On an error the session is dropped here, which puts back what was applied and rolls back.
        applied.map(|()| Arc::new(session)).map_err(|error| Error::Begin { error })
    }

    async fn apply(
        &mut self,
        transaction: &DatabaseTransaction,
        options: &Options,
    ) -> Result<(), DbErr> {
        let dialect = Dialect::of(self.backend);
        for setting in dialect.local_settings(options.lock_timeout, options.statement_timeout) {
            transaction.execute_unprepared(&setting).await?;
        }
        let mut mariadb = false;
        if options.statement_timeout.is_some()
            && let Some(query) = dialect.version_query()
        {
            mariadb = self.read_text(transaction, query).await?.contains("MariaDB");
        }
        let settings = dialect.session_settings(
            options.access_mode,
            options.lock_timeout,
            options.statement_timeout,
            mariadb,
        );
        for setting in settings {
            let before = self.read_text(transaction, setting.read).await?;
            self.restore.push(format!("{}{before}", setting.assign));
            transaction.execute_unprepared(&format!("{}{}", setting.assign, setting.value)).await?;
        }
        Ok(())
    }

    async fn read_text(
        &self,
        transaction: &DatabaseTransaction,
        query: &str,
    ) -> Result<String, DbErr> {
        let row = transaction.query_one_raw(Statement::from_string(self.backend, query)).await?;
        row.ok_or_else(|| DbErr::RecordNotFound(query.to_owned()))?.try_get_by_index(0)
    }

    pub(super) fn backend(&self) -> DbBackend {
        self.backend
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection for one statement of the block `id`.
    pub(super) async fn hold(&self, id: BlockId, sql: &str) -> Result<HeldConnection, Error> {
        let connection = self.enter(id).await?;
        let state = self.state();
        state.condition(state.depth(id)?).refusal()?;
        drop(state);
        let dialect = Dialect::of(self.backend);
        if sql.contains('\0') {
            // SQLite's driver would prepare what is before it again and again, for ever.
            let what = "run a statement with a NUL character in its text";
            return Err(Error::Unsupported { database: dialect.name(), what });
        }
        if let Some(keyword) = dialect.transaction_control(sql) {
            return Err(Error::TransactionControl { keyword });
        }
        Ok(HeldConnection(connection))
    }

    /// Sends a statement of the host for the block `id`, with the connection that it holds.
    pub(super) async fn send<T: Send + 'static>(
        &self,
        id: BlockId,
        statement: impl Future<Output = (HeldConnection, Result<T, DbErr>)> + Send + 'static,
    ) -> Result<T, DbErr> {
        let mut sent = Sent { session: self, block: id, statement: Some(statement.boxed()) };
        let Some(statement) = sent.statement.as_mut() else {
            return Err(Error::Ended.into());
        };
        let (held, result) = statement.await;
        sent.statement = None;
        let mut state = self.state();
        match &result {
            Ok(_) => state.retryable = false,
            Err(error) => state.statement_failed(id, error),
        }
        drop(state);
        // Only now: whoever gets the connection next must find the block as this answer has left it.
        drop(held);
        result
    }

    /// Waits for the connection as the innermost block, and rolls back a child that was dropped.
    async fn enter(
        &self,
        id: BlockId,
    ) -> Result<OwnedMutexGuard<Option<DatabaseTransaction>>, Error> {
        self.state().innermost(id)?;
        let connection = Arc::clone(&self.connection).lock_owned().await;
        let transaction = connection.as_ref().ok_or(Error::Ended)?;
        let abandoned = self.state().abandoned_child(id);
        if let Some(child) = abandoned {
            let callbacks = self.undo(transaction, child).await;
            self.runtime.spawn(callbacks.tell(RollbackReason::Dropped));
        }
        // Whoever held the connection before us may have changed everything.
        self.state().innermost(id)?;
        Ok(connection)
    }

    /// Sends a statement of our own on behalf of the block `id`.
    async fn manage(
        &self,
        transaction: &DatabaseTransaction,
        id: BlockId,
        sql: &str,
    ) -> Result<(), DbErr> {
        let attempt = Attempt::new(self, id);
        let result = transaction.execute_unprepared(sql).await;
        attempt.answer(result).map(drop)
    }

    /// Reads the answer of a statement that was dropped, so that its error is not taken for that of the next one.
    async fn absorb(&self, transaction: &DatabaseTransaction) {
        let unanswered = std::mem::take(&mut self.state().unanswered);
        if unanswered && let Err(error) = transaction.execute_unprepared("SELECT 1").await {
            tracing::debug!(%error, "the answer of a cancelled statement");
        }
    }

    /// Breaks the block `id`, in which something did not come to its end.
    fn break_off(&self, id: BlockId, cause: Cause) {
        let mut state = self.state();
        if let Ok(depth) = state.depth(id) {
            state.break_block(depth, cause);
        }
    }

    pub(super) fn set_rollback_only(&self, id: BlockId) {
        let mut state = self.state();
        if let Some(block) = state.blocks.iter_mut().find(|block| block.id == id)
            && matches!(block.condition, Condition::Sound)
        {
            block.condition = Condition::RollbackOnly;
        }
    }

    /// Why the block refuses statements, if it does.
    pub(super) fn refusal(&self, id: BlockId) -> Option<Error> {
        let state = self.state();
        match state.depth(id) {
            Ok(depth) => state.condition(depth).refusal().err(),
            Err(ended) => Some(ended),
        }
    }

    /// Whether the last statement failed in a way that a second run of the whole unit of work can cure.
    pub(super) fn is_retryable(&self) -> bool {
        self.state().retryable
    }

    /// Changes the registry on behalf of the block `id`. After its end the registration has nowhere to go.
    pub(super) fn register(&self, id: BlockId, change: impl FnOnce(&mut Hooks, usize)) {
        let mut state = self.state();
        match state.depth(id) {
            Ok(depth) => change(&mut state.hooks, depth),
            Err(_) => tracing::warn!(
                "a callback was registered in a block that has ended: it is discarded"
            ),
        }
    }

    pub(super) fn next_before_commit(&self) -> Option<hooks::BeforeCommit> {
        self.state().hooks.next_before_commit()
    }

    #[cfg(feature = "testing")]
    pub(super) fn take_on_commit(&self) -> Vec<hooks::Hook> {
        self.state().hooks.take_on_commit()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Only a session that nobody owned gets here with its connection: one that was begun for a caller who has gone.
        let unowned =
            Arc::get_mut(&mut self.connection).and_then(|connection| connection.get_mut().take());
        if let Some(transaction) = unowned {
            let restore = std::mem::take(&mut self.restore);
            self.runtime.spawn(async move {
                for statement in &restore {
                    _ = transaction.execute_unprepared(statement).await;
                }
                _ = transaction.rollback().await;
            });
        }
    }
}
