//! What the other tests rely on.

use std::sync::atomic::{AtomicUsize, Ordering};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::support::{Database, TestResult, World, on_every_backend, on_every_backend_bare, race};

on_every_backend! {
    async fn every_test_has_its_own_database(world: &World) {
        let expected = match world.db().get_database_backend() {
            DbBackend::Sqlite => Database::Sqlite,
            DbBackend::Postgres => Database::Postgres,
            _ => Database::Mariadb,
        };
        assert_eq!(world.database(), expected);
        assert!(!world.url().is_empty());
        take_the_mark(world).await?;
        // Another pool sees the same database, not one of its own.
        assert_eq!(marks(&world.connect(2).await).await?, 1);
    }
}

on_every_backend_bare! {
    /// It writes what the test above writes too.
    async fn a_bare_database_is_empty(world: &World) -> TestResult {
        let tables = match world.database() {
            Database::Sqlite => "SELECT count(*) AS n FROM sqlite_master",
            Database::Postgres => {
                "SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = 'public'"
            }
            Database::Mariadb => {
                "SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = database()"
            }
        };
        assert_eq!(number(world.db(), tables).await?, 0);
        take_the_mark(world).await?;
        Ok(())
    }

    async fn contenders_write_at_the_same_time(world: &World) {
        take_the_mark(world).await?;
        let results = race(20, |i| {
            let db = world.db().clone();
            async move { db.execute_unprepared("INSERT INTO mark VALUES (1)").await.map(|_| i) }
        });
        let results: Vec<_> = results.await.into_iter().collect::<Result<_, _>>()?;
        assert_eq!(results, (0..20).collect::<Vec<_>>());
        assert_eq!(marks(world.db()).await?, 21);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_starts_when_all_are_there() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let seen = race(8, |i| async move { (i, STARTED.fetch_add(1, Ordering::SeqCst)) }).await;
    assert!(seen.iter().map(|(i, _)| *i).eq(0..8), "results come in order: {seen:?}");
    let mut order: Vec<_> = seen.into_iter().map(|(_, at)| at).collect();
    order.sort_unstable();
    assert!(order.into_iter().eq(0..8));
}

/// Fails if another test had this database before.
async fn take_the_mark(world: &World) -> Result<(), DbErr> {
    world.db().execute_unprepared("CREATE TABLE mark (n BIGINT NOT NULL)").await?;
    world.db().execute_unprepared("INSERT INTO mark VALUES (1)").await?;
    Ok(())
}

async fn marks(db: &DatabaseConnection) -> Result<i64, DbErr> {
    number(db, "SELECT count(*) AS n FROM mark").await
}

async fn number(db: &DatabaseConnection, query: &str) -> Result<i64, DbErr> {
    let query = Statement::from_string(db.get_database_backend(), query);
    let row = db.query_one_raw(query).await?;
    row.expect("a count is one row").try_get("", "n")
}
