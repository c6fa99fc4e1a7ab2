//! Row locks: `select_for_update` for entities, with refusals that can be told apart.

use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Iterable, ModelTrait, Order,
    PrimaryKeyToColumn, PrimaryKeyTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::UnitOfWork;
use super::error::Error;
use crate::backend::Dialect;

/// What to do about a row that another transaction has locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockWait {
    /// Wait, as long as the lock timeout allows.
    #[default]
    Wait,
    /// Refuse at once with [`Error::LockNotAvailable`] (`NOWAIT`). The refusal is a failed statement: it breaks the
    /// innermost block.
    NoWait,
    /// Leave the row out (`SKIP LOCKED`).
    SkipLocked,
}

/// # Locking rows
///
/// A lock is held until the root ends, or until the savepoint it was taken in is rolled back. On SQLite, where a unit of
/// work holds the one write lock from its start, these read the rows; waiting is over already, and [`LockWait::NoWait`]
/// and [`LockWait::SkipLocked`] are refused with [`Error::Unsupported`].
///
/// The methods exist on a unit of work only, because outside a transaction a lock ends with its statement:
///
/// ```compile_fail
/// # async fn f(db: sea_orm::DatabaseConnection) {
/// use auction_ledger::entity::wallet;
/// db.lock_one::<wallet::Entity>(1_i64).await; // no such method on a connection
/// # }
/// ```
impl UnitOfWork {
    /// Locks the row with this primary key and reads it as it is under the lock: `lock_exclusive`, `FOR UPDATE`.
    ///
    /// # Errors
    ///
    /// What the database said, as [`DbErr`]; [`Error::LockNotAvailable`] after the lock timeout.
    ///
    /// # Cancel safety
    ///
    /// As every statement: dropped before its answer came, it breaks the block.
    pub async fn lock_one<E>(
        &self,
        id: impl Into<<E::PrimaryKey as PrimaryKeyTrait>::ValueType>,
    ) -> Result<Option<E::Model>, DbErr>
    where
        E: EntityTrait,
    {
        Ok(self.lock(E::find_by_id(id), LockWait::Wait).await?.pop())
    }

    /// Locks the rows with these primary keys in one query, in ascending order of their key, and reads them in that
    /// order. Keys without a row are left out, and a key given twice counts once.
    ///
    /// Two units of work that lock the same rows this way never deadlock.
    ///
    /// # Errors
    ///
    /// As [`UnitOfWork::lock_one`].
    ///
    /// # Panics
    ///
    /// Never for an entity with one primary key column; others have no single key to give, and the first column is used.
    ///
    /// # Cancel safety
    ///
    /// As every statement: dropped before its answer came, it breaks the block.
    pub async fn lock_many<E>(
        &self,
        ids: impl IntoIterator<Item = <E::PrimaryKey as PrimaryKeyTrait>::ValueType>,
        wait: LockWait,
    ) -> Result<Vec<E::Model>, DbErr>
    where
        E: EntityTrait,
        <E::PrimaryKey as PrimaryKeyTrait>::ValueType: Into<sea_orm::Value>,
    {
        let mut keys = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column);
        let key = keys.next().expect("every entity has a primary key");
        self.lock(E::find().filter(key.is_in(ids)), wait).await
    }

    /// Locks the rows that `query` selects, in ascending order of their primary key unless the query is ordered, and
    /// reads them as they are under the lock.
    ///
    /// Query one table: what is joined is read from the statement's snapshot, which may be older than the lock.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for [`LockWait::NoWait`] and [`LockWait::SkipLocked`] on SQLite, before anything is sent;
    /// then as [`UnitOfWork::lock_one`].
    ///
    /// # Cancel safety
    ///
    /// As every statement: dropped before its answer came, it breaks the block.
    pub async fn lock<E>(&self, query: Select<E>, wait: LockWait) -> Result<Vec<E::Model>, DbErr>
    where
        E: EntityTrait,
    {
        let dialect = Dialect::of(self.get_database_backend());
        if wait != LockWait::Wait && !dialect.has_row_locks() {
            let what =
                if wait == LockWait::NoWait { "lock with NOWAIT" } else { "lock with SKIP LOCKED" };
            return Err(Error::Unsupported { database: dialect.name(), what }.into());
        }
        let mut query = match wait {
            LockWait::Wait => query.lock_exclusive(),
            LockWait::NoWait => query.lock_with_behavior(LockType::Update, LockBehavior::Nowait),
            LockWait::SkipLocked => {
                query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            }
        };
        for key in E::PrimaryKey::iter() {
            query = query.order_by(key.into_column(), Order::Asc);
        }
        query.all(self).await.map_err(Error::of_lock)
    }

    /// Reads `model` again under a lock: Django's `refresh_from_db(from_queryset=….select_for_update())`. `None` if the
    /// row is gone.
    ///
    /// # Errors
    ///
    /// As [`UnitOfWork::lock_one`].
    ///
    /// # Cancel safety
    ///
    /// As every statement: dropped before its answer came, it breaks the block.
    pub async fn refresh<M>(&self, model: &M) -> Result<Option<M>, DbErr>
    where
        M: ModelTrait,
        M::Entity: EntityTrait<Model = M>,
    {
        let mut query = M::Entity::find();
        for key in <M::Entity as EntityTrait>::PrimaryKey::iter() {
            let column = key.into_column();
            query = query.filter(column.eq(model.get(column)));
        }
        Ok(self.lock(query, LockWait::Wait).await?.pop())
    }
}
