//! Which pool a connection draws from.

use sea_orm::{DatabaseConnection, DatabaseConnectionType};

/// An identity of the pool behind `db`: equal for clones, different for any two live pools.
///
/// `None` for connections without a pool of sqlx (a mock, a proxy).
pub(crate) fn pool_id(db: &DatabaseConnection) -> Option<usize> {
    // The options live inside the pool's shared state, so their address is the pool's.
    match &db.inner {
        DatabaseConnectionType::Disconnected => None,
        #[cfg(feature = "postgres")]
        DatabaseConnectionType::SqlxPostgresPoolConnection(_) => {
            Some(address(db.get_postgres_connection_pool().options()))
        }
        #[cfg(feature = "mysql")]
        DatabaseConnectionType::SqlxMySqlPoolConnection(_) => {
            Some(address(db.get_mysql_connection_pool().options()))
        }
        #[cfg(feature = "sqlite")]
        DatabaseConnectionType::SqlxSqlitePoolConnection(_) => {
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
