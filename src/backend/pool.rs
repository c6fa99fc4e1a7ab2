//! Which pool a connection draws from.

use sea_orm::DatabaseConnection;

/// An identity of the pool behind `db`: equal for clones, different for any two live pools.
///
/// `None` for connections without a pool of sqlx (a mock, a proxy).
pub(crate) fn pool_id(db: &DatabaseConnection) -> Option<usize> {
    use sea_orm::DatabaseConnectionType as Connection;

    // The options live inside the pool's shared state, so their address is the pool's.
    match &db.inner {
        #[cfg(feature = "postgres")]
        Connection::SqlxPostgresPoolConnection(_) => {
            Some(address(db.get_postgres_connection_pool().options()))
        }
        #[cfg(feature = "mysql")]
        Connection::SqlxMySqlPoolConnection(_) => {
            Some(address(db.get_mysql_connection_pool().options()))
        }
        #[cfg(feature = "sqlite")]
        Connection::SqlxSqlitePoolConnection(_) => {
            Some(address(db.get_sqlite_connection_pool().options()))
        }
        #[allow(
            unreachable_patterns,
            reason = "which variants exist depends on the features of sea-orm"
        )]
        _ => None,
    }
}

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
fn address<T>(value: &T) -> usize {
    std::ptr::from_ref(value).addr()
}
