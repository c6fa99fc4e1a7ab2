//! Databases: how one is made, connected to and removed. An error here is a panic that names the database.

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, Statement};

/// The databases that every test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
    Mariadb,
}

impl Database {
    /// The name in test names and reports.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
        }
    }

    /// Connects to the database at a URL, with what the crate's documentation asks for.
    pub(crate) async fn connect(self, url: &str, max_connections: u32) -> DatabaseConnection {
        self.connect_with(url, max_connections, |_| {}).await
    }

    /// The same, with options of one's own.
    pub(crate) async fn connect_with(
        self,
        url: &str,
        max_connections: u32,
        set: impl FnOnce(&mut ConnectOptions),
    ) -> DatabaseConnection {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(max_connections)
            .connect_timeout(Duration::from_secs(10))
            .acquire_timeout(Duration::from_secs(10))
            .sqlx_logging(false);
        if self == Self::Sqlite {
            options.map_sqlx_sqlite_opts(|options| {
                options
                    .create_if_missing(true)
                    .foreign_keys(true)
                    .busy_timeout(Duration::from_secs(10))
                    .pragma("journal_mode", "WAL")
            });
        }
        set(&mut options);
        let connected = sea_orm::Database::connect(options).await;
        connected.unwrap_or_else(|error| refused("connect to", name_in(url), error))
    }

    /// Makes an empty database and returns its URL. A left-over of an earlier run is dropped before.
    pub(crate) async fn create(self, test: &str, folder: &Path) -> String {
        let name = database_name(test);
        let Some(server) = self.server() else {
            return format!("sqlite://{}", folder.join(name).with_extension("db").display());
        };
        self.remove(&with_name(&server, &name)).await;
        let options = match self {
            // template0 is the one template that nobody can be connected to.
            Self::Postgres => "TEMPLATE template0",
            Self::Sqlite | Self::Mariadb => "CHARACTER SET utf8mb4",
        };
        let admin = self.connect(&server, 1).await;
        let created = admin.execute_unprepared(&format!("CREATE DATABASE {name} {options}")).await;
        created.unwrap_or_else(|error| refused("create", &name, error));
        close(&admin, &server).await;
        with_name(&server, &name)
    }

    /// Drops a database of a server, whoever is still connected to it.
    pub(crate) async fn remove(self, url: &str) {
        let Some(server) = self.server() else {
            return; // the file goes with its folder
        };
        let name = name_in(url);
        let admin = self.connect(&server, 1).await;
        let dropped = match self {
            Self::Postgres => {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                admin.execute_unprepared(&drop).await.map(|_| ())
            }
            Self::Sqlite | Self::Mariadb => drop_mariadb(&admin, name).await,
        };
        dropped.unwrap_or_else(|error| refused("drop", name, error));
        close(&admin, &server).await;
    }

    /// The URL of the server to test on; SQLite has none.
    fn server(self) -> Option<String> {
        let variable = match self {
            Self::Sqlite => return None,
            Self::Postgres => "TEST_POSTGRES_URL",
            Self::Mariadb => "TEST_MYSQL_URL",
        };
        let url = std::env::var(variable);
        Some(url.unwrap_or_else(|_| {
            panic!("{variable} is not set: run scripts/test, which starts a server, or name one")
        }))
    }
}

/// Ends a pool. A connection that somebody still holds would keep it open for ever: that is a failure of the test.
pub(crate) async fn close(pool: &DatabaseConnection, url: &str) {
    let closed = tokio::time::timeout(Duration::from_secs(10), pool.close_by_ref()).await;
    match closed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => refused("close the pool of", name_in(url), error),
        Err(_) => {
            refused("close the pool of", name_in(url), "a connection was not given back to it")
        }
    }
}

/// MariaDB has no `WITH (FORCE)`: DROP DATABASE waits for every open transaction on its tables.
async fn drop_mariadb(admin: &DatabaseConnection, name: &str) -> Result<(), DbErr> {
    let backend = admin.get_database_backend();
    let clients =
        "SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist WHERE db = ?";
    let clients = Statement::from_sql_and_values(backend, clients, [name.into()]);
    for client in admin.query_all_raw(clients).await? {
        let id: i64 = client.try_get("", "id")?;
        match admin.execute_unprepared(&format!("KILL CONNECTION {id}")).await {
            // 1094: it has just ended by itself.
            Err(error) if !error.to_string().contains("1094") => return Err(error),
            _ => {}
        }
    }
    admin.execute_unprepared("SET SESSION lock_wait_timeout = 30").await?;
    admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name}")).await?;
    Ok(())
}

/// Unique for each test and each running process, and at most 63 bytes, PostgreSQL's limit.
fn database_name(test: &str) -> String {
    let mut hasher = DefaultHasher::new();
    test.hash(&mut hasher);
    format!("al_test_{:016x}_{}", hasher.finish(), std::process::id())
}

/// `postgres://user:password@host:port/name?options`: the name.
fn name_in(url: &str) -> &str {
    let path = url.split('?').next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

fn with_name(server: &str, name: &str) -> String {
    let (path, options) = server.split_once('?').map_or((server, None), |(p, o)| (p, Some(o)));
    let host = path.find("://").map_or(0, |at| at + 3);
    let end = path[host..].find('/').map_or(path.len(), |at| host + at);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{}/{name}{options}", &path[..end])
}

/// The password in the URL stays out of the message: the name of the database says enough.
fn refused(what: &str, name: &str, error: impl Display) -> ! {
    panic!("cannot {what} the test database {name}: {error}")
}

#[test]
fn a_url_keeps_its_host_and_options_when_its_database_changes() {
    let with_all = with_name("postgres://a:b@127.0.0.1:5432/postgres?sslmode=disable", "x");
    assert_eq!(with_all, "postgres://a:b@127.0.0.1:5432/x?sslmode=disable");
    assert_eq!(with_name("mysql://a:b@127.0.0.1:3306", "x"), "mysql://a:b@127.0.0.1:3306/x");
    assert_eq!(name_in(&with_all), "x");
}
