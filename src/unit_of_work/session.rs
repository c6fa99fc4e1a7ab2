//! One database transaction, the stack of blocks inside it, and the connection they share.
//!
//! The savepoints are ours, by name: the driver sees one transaction, so that nothing but this file decides what is
//! released, rolled back and in which order. A block that is not the innermost one is refused before the connection is
//! touched. The connection is taken out under its lock exactly once, by the commit or by the rollback: what was in
//! flight has been waited for, and what comes later finds that the unit of work has ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement,
    TransactionTrait,
};
use tokio::runtime::Handle;
use tokio::sync::MutexGuard as ConnectionGuard;
use tracing::Instrument;

use super::error::{Cause, Error};
use super::hooks::{self, Discarded, Hooks};
use super::outcome::{HookReport, RollbackReason};
use super::root::Options;
use crate::backend::{Dialect, ErrorKind};

pub(super) type BlockId = u64;

/// The root is always the first block.
pub(super) const ROOT: BlockId = 0;

pub(super) struct Session {
    connection: tokio::sync::Mutex<Option<DatabaseTransaction>>,
    // Held for a few instructions and never over an await.
    state: Mutex<State>,
    backend: DbBackend,
    /// Statements that put back what outlives the transaction.
    restore: Vec<String>,
    runtime: Handle,
    pub(super) name: Option<Arc<str>>,
    pub(super) attempt: u32,
}

struct State {
    /// The root first, the innermost last.
    blocks: Vec<Block>,
    next_block: BlockId,
    /// What ended the transaction in the server, savepoints included.
    fatal: Option<Cause>,
    /// A statement was dropped before its answer came: it is still to be read from the connection.
    unanswered: bool,
    /// Whether the last statement failed in a way that a second run can cure.
    retryable: bool,
    hooks: Hooks,
}

struct Block {
    id: BlockId,
    savepoint: bool,
    condition: Condition,
    /// Its owner was dropped: the parent rolls it back before it does anything else.
    abandoned: bool,
}

#[derive(Clone)]
enum Condition {
    Sound,
    Broken(Cause),
    RollbackOnly,
}

impl Condition {
    fn refusal(&self) -> Result<(), Error> {
        match self {
            Self::Sound => Ok(()),
            Self::Broken(cause) => Err(Error::Broken { cause: cause.clone() }),
            Self::RollbackOnly => Err(Error::RollbackOnly),
        }
    }
}

/// What opening a nested block takes.
enum Plan {
    /// Nothing more: it stands.
    Opened(BlockId),
    /// This statement first.
    Savepoint(String),
}

/// How a nested block is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nesting {
    /// With a savepoint; in a broken block without one.
    Savepoint,
    /// With a savepoint; refused in a broken block.
    Begin,
    /// Never with a savepoint.
    Merged,
}

impl State {
    fn depth(&self, id: BlockId) -> Result<usize, Error> {
        self.blocks.iter().position(|block| block.id == id).ok_or(Error::Ended)
    }

    fn condition(&self, depth: usize) -> Condition {
        match &self.fatal {
            Some(cause) => Condition::Broken(cause.clone()),
            None => {
                self.blocks.get(depth).map_or(Condition::Sound, |block| block.condition.clone())
            }
        }
    }

    /// Refuses all but the innermost block. A child that was abandoned does not count: it is about to be rolled back.
    fn innermost(&self, id: BlockId) -> Result<usize, Error> {
        let depth = self.depth(id)?;
        match self.blocks.get(depth.saturating_add(1)) {
            Some(child) if !child.abandoned => Err(Error::ChildOpen),
            _ => Ok(depth),
        }
    }

    fn abandoned_child(&self, id: BlockId) -> Option<BlockId> {
        let depth = self.depth(id).ok()?;
        self.blocks
            .get(depth.saturating_add(1))
            .filter(|child| child.abandoned)
            .map(|child| child.id)
    }

    /// The first cause stands: what came after it was refused, or followed from it.
    fn break_block(&mut self, depth: usize, cause: Cause) {
        if let Some(block) = self.blocks.get_mut(depth)
            && matches!(block.condition, Condition::Sound)
        {
            block.condition = Condition::Broken(cause);
        }
    }

    fn statement_failed(&mut self, id: BlockId, error: &DbErr) {
        let kind = ErrorKind::of(error);
        self.retryable = kind.is_retryable();
        if kind.is_fatal() && self.fatal.is_none() {
            self.fatal = Some(Cause::Statement(error.clone()));
        }
        if let Ok(depth) = self.depth(id) {
            self.break_block(depth, Cause::Statement(error.clone()));
        }
    }

    fn push(&mut self, savepoint: bool, condition: Condition) -> BlockId {
        let id = self.next_block;
        self.next_block = id.saturating_add(1);
        self.blocks.push(Block { id, savepoint, condition, abandoned: false });
        id
    }
}

/// A statement on its way. Dropped without an answer, it breaks its block.
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
        match &result {
            Ok(_) => state.retryable = false,
            Err(error) => state.statement_failed(self.block, error),
        }
        drop(state);
        result
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let mut state = self.session.state();
            state.unanswered = true;
            if let Ok(depth) = state.depth(self.block) {
                state.break_block(depth, Cause::StatementDropped);
            }
        }
    }
}

/// The connection, held for one statement of the host.
pub(super) struct HeldConnection<'a> {
    connection: ConnectionGuard<'a, Option<DatabaseTransaction>>,
    attempt: Attempt<'a>,
}

impl HeldConnection<'_> {
    pub(super) fn get(&self) -> Result<&DatabaseTransaction, Error> {
        self.connection.as_ref().ok_or(Error::Ended)
    }

    pub(super) fn answer<T>(self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        self.attempt.answer(result)
    }
}

impl Session {
    /// Begins a transaction in a task of its own: a caller that is dropped leaves no half-begun connection behind.
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
        let task = tokio::spawn(Self::open(db, options, attempt).in_current_span());
        let opened = match limit {
            Some(limit) => {
                tokio::time::timeout(limit, task).await.map_err(|_| Error::LockNotAvailable)?
            }
            None => task.await,
        };
        opened.unwrap_or_else(|_| Err(Error::Ended))
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
            connection: tokio::sync::Mutex::new(None),
            state: Mutex::new(State {
                blocks: vec![Block {
                    id: ROOT,
                    savepoint: false,
                    condition: Condition::Sound,
                    abandoned: false,
                }],
                next_block: ROOT.saturating_add(1),
                fatal: None,
                unanswered: false,
                retryable: false,
                hooks: Hooks::default(),
            }),
            backend,
            restore: Vec::new(),
            runtime: Handle::current(),
            name: options.name.clone(),
            attempt,
        };
        let applied = session.apply(&transaction, &options).await;
        session.connection = tokio::sync::Mutex::new(Some(transaction));
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
            let before = match setting.read {
                Some(query) => self.read_text(transaction, query).await?,
                None => setting.default.to_owned(),
            };
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
    pub(super) async fn hold(&self, id: BlockId, sql: &str) -> Result<HeldConnection<'_>, Error> {
        let connection = self.enter(id).await?;
        let state = self.state();
        state.condition(state.depth(id)?).refusal()?;
        drop(state);
        if let Some(keyword) = Dialect::of(self.backend).transaction_control(sql) {
            return Err(Error::TransactionControl { keyword });
        }
        Ok(HeldConnection { connection, attempt: Attempt::new(self, id) })
    }

    /// Waits for the connection as the innermost block, and rolls back a child that was dropped.
    async fn enter(
        &self,
        id: BlockId,
    ) -> Result<ConnectionGuard<'_, Option<DatabaseTransaction>>, Error> {
        self.state().innermost(id)?;
        let connection = self.connection.lock().await;
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

    /// Opens a block inside `parent`.
    pub(super) async fn nest(&self, parent: BlockId, nesting: Nesting) -> Result<BlockId, Error> {
        let connection = self.enter(parent).await?;
        match self.plan(parent, nesting)? {
            Plan::Opened(id) => Ok(id),
            Plan::Savepoint(savepoint) => {
                let transaction = connection.as_ref().ok_or(Error::Ended)?;
                self.manage(transaction, parent, &savepoint)
                    .await
                    .map_err(|error| Error::Database { error })?;
                Ok(self.state().push(true, Condition::Sound))
            }
        }
    }

    fn plan(&self, parent: BlockId, nesting: Nesting) -> Result<Plan, Error> {
        let mut state = self.state();
        let condition = state.condition(state.depth(parent)?);
        if nesting == Nesting::Begin {
            condition.refusal()?;
        }
        if nesting == Nesting::Merged || !matches!(condition, Condition::Sound) {
            return Ok(Plan::Opened(state.push(false, condition)));
        }
        Ok(Plan::Savepoint(format!("SAVEPOINT {}", savepoint_name(state.next_block))))
    }

    /// Sends a statement of our own on behalf of the block `id`.
    async fn manage(
        &self,
        transaction: &DatabaseTransaction,
        id: BlockId,
        sql: &str,
    ) -> Result<(), DbErr> {
        let retryable = self.state().retryable;
        let attempt = Attempt::new(self, id);
        let result = transaction.execute_unprepared(sql).await;
        let answer = attempt.answer(result);
        // The rollback of a savepoint says nothing of whether the error that led to it can be cured by a second run.
        self.state().retryable |= retryable;
        answer.map(drop)
    }

    /// Whether the root could be committed as things stand: a child that was dropped is rolled back first.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        let connection = self.connection.lock().await;
        let transaction = connection.as_ref().ok_or(Error::Ended)?;
        self.verify(transaction, ROOT).await
    }

    /// Ends a nested block whose work is to be kept.
    pub(super) async fn release(&self, id: BlockId) -> Result<(), Error> {
        let connection = self.connection.lock().await;
        let transaction = connection.as_ref().ok_or(Error::Ended)?;
        if let Err(refusal) = self.verify(transaction, id).await {
            let callbacks = self.undo(transaction, id).await;
            drop(connection);
            self.tell(callbacks, reason_of(&refusal)).await;
            return Err(refusal);
        }
        let (depth, parent, savepoint) = self.place(id)?;
        if savepoint {
            let sql = format!("RELEASE SAVEPOINT {}", savepoint_name(id));
            if let Err(error) = self.manage(transaction, parent, &sql).await {
                // The parent is broken now and takes the callbacks with it.
                self.fold(depth);
                return Err(Error::Database { error });
            }
        }
        self.fold(depth);
        Ok(())
    }

    /// Ends a nested block whose work is to be undone.
    pub(super) async fn roll_back(&self, id: BlockId, reason: RollbackReason) -> Result<(), Error> {
        let connection = self.connection.lock().await;
        let transaction = connection.as_ref().ok_or(Error::Ended)?;
        self.state().depth(id)?;
        let callbacks = self.undo(transaction, id).await;
        drop(connection);
        self.tell(callbacks, reason).await;
        Ok(())
    }

    /// Callbacks run in a task of their own, so that a dropped caller does not stop them halfway.
    async fn tell(&self, callbacks: Discarded, reason: RollbackReason) {
        if callbacks.has_listeners() {
            _ = self.runtime.spawn(callbacks.tell(reason)).await;
        }
    }

    fn place(&self, id: BlockId) -> Result<(usize, BlockId, bool), Error> {
        let state = self.state();
        let depth = state.depth(id)?;
        let parent = state.blocks.get(depth.saturating_sub(1)).map_or(ROOT, |block| block.id);
        Ok((depth, parent, state.blocks.get(depth).is_some_and(|block| block.savepoint)))
    }

    /// Forgets the block at `depth`; its callbacks are its parent's from now on.
    fn fold(&self, depth: usize) {
        let mut state = self.state();
        state.blocks.truncate(depth);
        state.hooks.release(depth);
    }

    /// Whether the block can be kept: no child open, nothing broken.
    async fn verify(&self, transaction: &DatabaseTransaction, id: BlockId) -> Result<(), Error> {
        let abandoned = self.state().abandoned_child(id);
        if let Some(child) = abandoned {
            let callbacks = self.undo(transaction, child).await;
            self.runtime.spawn(callbacks.tell(RollbackReason::Dropped));
        }
        let state = self.state();
        let depth = state.innermost(id)?;
        match state.condition(depth) {
            Condition::Sound => Ok(()),
            Condition::Broken(cause) => Err(Error::RolledBack { cause }),
            Condition::RollbackOnly => Err(Error::RolledBack { cause: Cause::RollbackOnly }),
        }
    }

    /// Undoes the block `id` and every block inside it, and returns the callbacks that are to be told.
    ///
    /// Without a savepoint to go back to, the parent is broken and inherits the callbacks.
    async fn undo(&self, transaction: &DatabaseTransaction, id: BlockId) -> Discarded {
        let Ok((depth, parent, savepoint)) = self.place(id) else {
            return Discarded::nothing();
        };
        let fatal = self.state().fatal.is_some();
        if savepoint && !fatal {
            self.absorb(transaction).await;
            let name = savepoint_name(id);
            // Not needed again: released, so that a loop of failures does not pile savepoints up in the server.
            let undone = match self
                .manage(transaction, parent, &format!("ROLLBACK TO SAVEPOINT {name}"))
                .await
            {
                Ok(()) => {
                    self.manage(transaction, parent, &format!("RELEASE SAVEPOINT {name}")).await
                }
                failed => failed,
            };
            if undone.is_ok() {
                let mut state = self.state();
                state.blocks.truncate(depth);
                return state.hooks.discard(depth);
            }
        }
        let mut state = self.state();
        let cause = match state.condition(depth) {
            Condition::Broken(cause) => cause,
            Condition::Sound | Condition::RollbackOnly => Cause::MergedBlock,
        };
        state.break_block(depth.saturating_sub(1), cause);
        drop(state);
        self.fold(depth);
        Discarded::nothing()
    }

    /// Reads the answer of a statement that was dropped, so that its error is not taken for that of the next one.
    async fn absorb(&self, transaction: &DatabaseTransaction) {
        let unanswered = std::mem::take(&mut self.state().unanswered);
        if unanswered && let Err(error) = transaction.execute_unprepared("SELECT 1").await {
            tracing::debug!(%error, "the answer of a cancelled statement");
        }
    }

    /// Commits in a task of its own and runs the callbacks there: a dropped caller leaves everything or nothing.
    pub(super) async fn commit(self: &Arc<Self>) -> Result<HookReport, Error> {
        let session = Arc::clone(self);
        let task = self.runtime.spawn(async move { session.commit_now().await }.in_current_span());
        match task.await {
            Ok(result) => result,
            // The runtime is shutting down: what became of COMMIT nobody here can know.
            Err(_) => Err(Error::CommitUnknown {
                error: DbErr::Custom("the runtime shut down".to_owned()),
            }),
        }
    }

    async fn commit_now(&self) -> Result<HookReport, Error> {
        let mut connection = self.connection.lock().await;
        let transaction = connection.as_ref().ok_or(Error::Ended)?;
        let verified = match self.verify(transaction, ROOT).await {
            Ok(()) => self.put_back(transaction).await.map_err(|error| Error::Database { error }),
            refused => refused,
        };
        let transaction = connection.take().ok_or(Error::Ended)?;
        drop(connection);
        if let Err(refusal) = verified {
            self.end(transaction, reason_of(&refusal)).await;
            return Err(refusal);
        }
        // From here the outcome is the database's: a block without a failed or dropped statement commits, or COMMIT
        // itself is answered with an error.
        match transaction.commit().await {
            Ok(()) => {
                let staged = self.state().hooks.take_staged();
                let on_commit = self.state().hooks.take_on_commit();
                drop(self.forget());
                staged.into_iter().for_each(|staged| staged());
                Ok(hooks::run_on_commit(on_commit).await)
            }
            Err(error) if ErrorKind::proves_not_committed(&error) => {
                // The driver rolls back when it drops the transaction.
                let callbacks = self.forget();
                callbacks.tell(RollbackReason::CommitRefused).await;
                Err(Error::CommitRefused { error })
            }
            Err(error) => {
                drop(self.forget());
                Err(Error::CommitUnknown { error })
            }
        }
    }

    /// Rolls the whole transaction back in a task of its own.
    pub(super) async fn abort(self: &Arc<Self>, reason: RollbackReason) {
        _ = self.spawn_abort(reason).await;
    }

    pub(super) fn spawn_abort(
        self: &Arc<Self>,
        reason: RollbackReason,
    ) -> tokio::task::JoinHandle<()> {
        let session = Arc::clone(self);
        let abort = async move {
            let transaction = session.connection.lock().await.take();
            if let Some(transaction) = transaction {
                session.end(transaction, reason).await;
            }
        };
        self.runtime.spawn(abort.in_current_span())
    }

    async fn put_back(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        for statement in &self.restore {
            transaction.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    /// Sends ROLLBACK and tells the callbacks.
    async fn end(&self, transaction: DatabaseTransaction, reason: RollbackReason) {
        self.absorb(&transaction).await;
        if let Err(error) = self.put_back(&transaction).await {
            tracing::debug!(%error, "a setting could not be put back");
        }
        if let Some(statement) = Dialect::of(self.backend).before_rollback()
            && let Err(error) = transaction.execute_unprepared(statement).await
        {
            tracing::debug!(%error, "no transaction could be opened to roll back");
        }
        if let Err(error) = transaction.rollback().await {
            // The pool pings the connection before anybody else gets it, and drops a dead one.
            tracing::warn!(%error, ?reason, "the rollback failed; the server rolls back when the connection closes");
        }
        self.forget().tell(reason).await;
    }

    /// Clears the stack and the registry.
    fn forget(&self) -> Discarded {
        let mut state = self.state();
        state.blocks.clear();
        state.hooks.discard(0)
    }

    /// Marks a block whose owner was dropped. The root is rolled back at once, a nested one by whoever comes next.
    pub(super) fn abandon(self: &Arc<Self>, id: BlockId) {
        if id == ROOT {
            drop(self.spawn_abort(RollbackReason::Dropped));
        } else if let Some(block) = self.state().blocks.iter_mut().find(|block| block.id == id) {
            block.abandoned = true;
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
        if let Some(transaction) = self.connection.get_mut().take() {
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

fn savepoint_name(id: BlockId) -> String {
    format!("al_{id}")
}

fn reason_of(refusal: &Error) -> RollbackReason {
    match refusal {
        Error::RolledBack { cause: Cause::RollbackOnly } => RollbackReason::RollbackOnly,
        Error::ChildOpen => RollbackReason::ChildOpen,
        Error::RolledBack { .. } => RollbackReason::Broken,
        _ => RollbackReason::Failed,
    }
}
