//! Databases: one made anew for each contestant in each round.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement,
};

use crate::Failure;
use crate::servers::{Servers, with_database};

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    Postgres,
    Mariadb,
    Sqlite,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Sqlite => "SQLite",
        }
    }
}

/// How a pool is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub connections: u32,
    /// Whether each connection is asked whether it is still there before it is used: SeaORM's default.
    pub pings: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Self { connections: 16, pings: true }
    }
}

/// Connects as the README asks for, and as durable as the servers: SQLite syncs at every commit.
pub async fn connect(url: &str, pool: Pool) -> Result<DatabaseConnection, Failure> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(pool.connections)
        .acquire_timeout(Duration::from_secs(60))
        .test_before_acquire(pool.pings)
        .sqlx_logging(false);
    options.map_sqlx_sqlite_opts(|options| {
        options
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(60))
            .pragma("journal_mode", "WAL")
            .pragma("synchronous", "FULL")
            .pragma("wal_autocheckpoint", "10000")
    });
    Ok(Database::connect(options).await?)
}

/// Where databases are made.
#[derive(Debug)]
pub struct Databases {
    pub servers: Servers,
    folder: tempfile::TempDir,
}

impl Databases {
    pub fn new(servers: Servers) -> Result<Self, Failure> {
        Ok(Self { servers, folder: tempfile::tempdir()? })
    }

    /// A folder on the disk of the servers.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("db")
    }

    fn server(&self, engine: Engine) -> Result<&str, Failure> {
        match engine {
            Engine::Postgres => Ok(&self.servers.postgres),
            Engine::Mariadb => Ok(self.servers.mariadb.as_deref().ok_or("MariaDB is not there")?),
            Engine::Sqlite => Err("SQLite has no server".into()),
        }
    }

    pub fn url(&self, engine: Engine, name: &str) -> Result<String, Failure> {
        match engine {
            Engine::Sqlite => Ok(format!("sqlite://{}", self.file(name).display())),
            _ => Ok(with_database(self.server(engine)?, name)),
        }
    }

    /// Makes an empty database.
    pub async fn create(&self, engine: Engine, name: &str) -> Result<String, Failure> {
        self.remove(engine, name).await?;
        match engine {
            Engine::Postgres => {
                self.administrate(engine, &format!("CREATE DATABASE {name}")).await?
            }
            Engine::Mariadb => {
                let create = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4");
                self.administrate(engine, &create).await?;
            }
            Engine::Sqlite => {}
        }
        self.url(engine, name)
    }

    /// Makes a copy of a database that nobody is connected to. MariaDB cannot.
    pub async fn copy(&self, engine: Engine, from: &str, to: &str) -> Result<String, Failure> {
        self.remove(engine, to).await?;
        match engine {
            Engine::Postgres => {
                self.administrate(engine, &format!("CREATE DATABASE {to} TEMPLATE {from}")).await?;
                self.checkpoint().await?;
            }
            Engine::Mariadb => return Err("MariaDB copies no databases".into()),
            Engine::Sqlite => drop(std::fs::copy(self.file(from), self.file(to))?),
        }
        self.url(engine, to)
    }

    /// So that a turn on PostgreSQL begins right after a checkpoint: a page is logged whole when it is first written after one.
    pub async fn checkpoint(&self) -> Result<(), Failure> {
        self.administrate(Engine::Postgres, "CHECKPOINT").await
    }

    /// Removes a database, whoever is connected to it.
    pub async fn remove(&self, engine: Engine, name: &str) -> Result<(), Failure> {
        match engine {
            Engine::Postgres => {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                self.administrate(engine, &drop).await
            }
            Engine::Mariadb => {
                self.administrate(engine, &format!("DROP DATABASE IF EXISTS {name}")).await
            }
            Engine::Sqlite => {
                for suffix in ["", "-wal", "-shm"] {
                    let mut file = self.file(name).into_os_string();
                    file.push(suffix);
                    _ = std::fs::remove_file(file);
                }
                Ok(())
            }
        }
    }

    async fn administrate(&self, engine: Engine, sql: &str) -> Result<(), Failure> {
        let pool = Pool { connections: 1, ..Pool::default() };
        let admin = connect(self.server(engine)?, pool).await?;
        admin.execute_unprepared(sql).await?;
        admin.close().await?;
        Ok(())
    }
}

/// The bytes of all tables and indexes of the ledger.
pub async fn size(db: &DatabaseConnection) -> Result<i64, Failure> {
    number(
        db,
        match db.get_database_backend() {
            DbBackend::Postgres => {
                "SELECT CAST(sum(pg_total_relation_size(oid)) AS BIGINT) FROM pg_class
                 WHERE relkind = 'r' AND relname LIKE 'al\\_%'"
            }
            DbBackend::MySql => {
                "SELECT CAST(sum(FILE_SIZE) AS SIGNED) FROM information_schema.INNODB_SYS_TABLESPACES
                 WHERE NAME LIKE CONCAT(DATABASE(), '/al\\_%')"
            }
            _ => "SELECT COALESCE(SUM(pgsize), 0) FROM dbstat",
        },
    )
    .await
}

pub async fn number(db: &DatabaseConnection, sql: &str) -> Result<i64, Failure> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.ok_or("no number")?.try_get_by_index(0)?)
}

pub async fn text(db: &DatabaseConnection, sql: &str) -> Result<String, Failure> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.ok_or("no text")?.try_get_by_index(0)?)
}
