//! The connection is lost, or the runtime: in the middle, before COMMIT, in COMMIT (H14, H51, and the shape of H16).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Cause, Error, ErrorKind, Retry};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use tokio::sync::Notify;

use super::{
    Failure, Log, NOTHING, assert_clean, backend_id, insert, kill, numbers, on_servers, pool, stay,
    things,
};
use crate::support::World;
use crate::support::link::{Cut, Link};

/// A pool of one over a link, and a unit of work on it whose link is cut at `text`.
async fn cut_at(
    world: &World,
    text: &'static str,
    cut: Cut,
    log: &Log,
) -> (DatabaseConnection, Link, Failure) {
    let link = Link::to(world).await;
    let pool = pool(link.url(), 1, |_| {}).await;
    link.cut_at(text, cut);
    let failed = pool.atomic(async |uow| {
        uow.on_commit(log.hook("on_commit"));
        uow.after_rollback(log.rolled_back("after_rollback"));
        insert(uow, 1).await?;
        Ok::<_, Failure>(())
    });
    let failed = failed.await.expect_err("the link was cut");
    (pool, link, failed)
}

on_servers! {
    /// H14, H51: a failed ROLLBACK returned the dead connection to the pool.
    async fn a_killed_connection_is_not_given_to_the_next_user(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        for num in 0..3 {
            let failed = pool.atomic(async |uow| {
                insert(uow, 100).await?;
                kill(world, backend_id(world, uow).await?).await?;
                let lost = insert(uow, 101).await.unwrap_err();
                assert_eq!(ErrorKind::of(&lost), ErrorKind::ConnectionLost, "{lost:?}");
                assert!(matches!(
                    Error::of(&insert(uow, 102).await.unwrap_err()),
                    Some(Error::Broken { .. })
                ));
                Ok::<_, Failure>(())
            });
            let failed = failed.await.unwrap_err();
            assert!(matches!(failed.refusal(), Error::RolledBack { cause: Cause::Statement(_) }));
            assert_eq!(failed.kind(), Some(ErrorKind::ConnectionLost));
            assert!(failed.refusal().is_retryable(), "nothing is stored: it can be run again");
            assert_clean(world, &pool, num).await?;
        }
        assert_eq!(numbers(db).await?, [0, 1, 2]);
    }

    /// A lost connection has lost its savepoints too: no block heals from it.
    async fn a_lost_connection_is_fatal_for_the_root(world: &World) {
        let db = things(world).await?;
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let inner: Result<(), Failure> = uow
                .atomic(async |uow| {
                    kill(world, backend_id(world, uow).await?).await?;
                    Ok(insert(uow, 2).await?)
                })
                .await;
            assert_eq!(inner.unwrap_err().kind(), Some(ErrorKind::ConnectionLost));
            assert!(matches!(
                Error::of(&insert(uow, 3).await.unwrap_err()),
                Some(Error::Broken { .. })
            ));
            Ok::<_, Failure>(())
        });
        assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::ConnectionLost));
        assert_eq!(numbers(db).await?, NOTHING);
    }

    /// Killed behind our back after the last statement: COMMIT finds it out. Nobody can know more than that it is unknown.
    async fn a_connection_killed_just_before_commit_is_commit_unknown(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let pool = world.connect(1).await;
        let failed = pool.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.on_commit(log.hook("on_commit"));
            uow.on_commit_robust(log.hook("robust"));
            uow.after_rollback(log.rolled_back("after_rollback"));
            let (id, admin) = (backend_id(world, uow).await?, db.clone());
            let postgres = world.database() == crate::support::Database::Postgres;
            uow.before_commit(move |_| async move {
                let kill = if postgres {
                    format!("SELECT pg_terminate_backend({id})")
                } else {
                    format!("KILL CONNECTION {id}")
                };
                admin.execute_unprepared(&kill).await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok::<_, DbErr>(())
            });
            Ok::<_, Failure>(())
        });
        let failed = failed.await.unwrap_err();
        assert!(matches!(failed.refusal(), Error::CommitUnknown { .. }), "{failed:?}");
        assert_eq!(failed.kind(), Some(ErrorKind::ConnectionLost));
        assert!(!failed.refusal().is_retryable());
        assert_eq!(log.entries(), [""; 0], "no callback of either kind");
        assert_eq!(numbers(db).await?, NOTHING);
        assert_clean(world, &pool, 2).await?;
    }

    /// The request was lost: nothing is stored. The client cannot tell it from the next one.
    async fn a_commit_whose_request_was_lost_is_commit_unknown(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let (pool, link, failed) = cut_at(world, "COMMIT", Cut::BeforeRequest, &log).await;
        assert!(matches!(failed.refusal(), Error::CommitUnknown { .. }), "{failed:?}");
        assert_eq!(log.entries(), [""; 0]);
        assert_clean(world, &pool, 2).await?;
        assert_eq!(numbers(db).await?, [2]);
        pool.close().await?;
        drop(link);
    }

    /// The reply was lost: everything is stored, and no callback ran.
    async fn a_commit_whose_reply_was_lost_is_commit_unknown(world: &World) {
        let (db, log) = (things(world).await?, Log::default());
        let (pool, link, failed) = cut_at(world, "COMMIT", Cut::BeforeReply, &log).await;
        assert!(matches!(failed.refusal(), Error::CommitUnknown { .. }), "{failed:?}");
        assert_eq!(log.entries(), [""; 0]);
        assert_clean(world, &pool, 2).await?;
        assert_eq!(numbers(db).await?, [1, 2]);
        pool.close().await?;
        drop(link);
    }

    /// Lost anywhere else it is not unknown: nothing is stored.
    async fn a_link_cut_before_commit_stores_nothing_and_says_so(world: &World) {
        let db = things(world).await?;
        for (num, (text, cut)) in [
            ("BEGIN", Cut::BeforeRequest),
            ("BEGIN", Cut::BeforeReply),
            ("INSERT", Cut::BeforeRequest),
            ("INSERT", Cut::BeforeReply),
        ]
        .into_iter()
        .enumerate()
        {
            let log = Log::default();
            let (pool, link, failed) = cut_at(world, text, cut, &log).await;
            assert_eq!(
                failed.kind(),
                Some(ErrorKind::ConnectionLost),
                "{text} {cut:?}: {failed:?}"
            );
            assert!(
                !matches!(&failed, Failure::Refused(Error::CommitUnknown { .. })),
                "{text} {cut:?}"
            );
            assert!(!log.entries().contains(&"on_commit".to_owned()));
            assert_clean(world, &pool, 100 + num as i32).await?;
            assert!(!numbers(db).await?.contains(&1), "{text} {cut:?}");
            pool.close().await?;
            drop(link);
        }
    }

    /// A savepoint whose release or rollback is lost: the root ends, and nothing is stored.
    async fn a_link_cut_at_a_savepoint_stores_nothing(world: &World) {
        let db = things(world).await?;
        for text in ["SAVEPOINT al_1", "RELEASE SAVEPOINT", "ROLLBACK TO"] {
            let link = Link::to(world).await;
            let pool = pool(link.url(), 1, |_| {}).await;
            link.cut_at(text, Cut::BeforeReply);
            let failed = pool.atomic(async |uow| {
                insert(uow, 1).await?;
                let inner = uow.atomic(async |uow| {
                    insert(uow, 2).await?;
                    if text == "ROLLBACK TO" { Err(Failure::Failed) } else { Ok(()) }
                });
                assert!(inner.await.is_err(), "{text}");
                assert!(insert(uow, 3).await.is_err(), "{text}");
                Ok::<_, Failure>(())
            });
            let failed = failed.await.unwrap_err();
            assert!(matches!(failed.refusal(), Error::RolledBack { .. }), "{text}: {failed:?}");
            assert_eq!(numbers(db).await?, NOTHING, "{text}");
            pool.close().await?;
        }
    }

    /// H16: running it again could do it twice.
    async fn commit_unknown_is_never_retried(world: &World) {
        let db = things(world).await?;
        for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
            let link = Link::to(world).await;
            let pool = pool(link.url(), 1, |_| {}).await;
            link.cut_at("COMMIT", cut);
            let runs = Arc::new(AtomicU32::new(0));
            let retry = Retry::new();
            let failed = retry.atomic(pool.unit_of_work(), async |uow| {
                runs.fetch_add(1, Ordering::SeqCst);
                super::empty(uow).await?;
                Ok::<_, Failure>(insert(uow, 1).await?)
            });
            assert!(matches!(failed.await.unwrap_err().refusal(), Error::CommitUnknown { .. }));
            assert_eq!(runs.load(Ordering::SeqCst), 1);
            assert_eq!(numbers(db).await?, if cut == Cut::BeforeReply { vec![1] } else { vec![] });
            pool.close().await?;
        }
    }
}

/// The runtime goes with a unit of work in it: no panic, and SQLite's write lock is let go of.
#[test]
fn a_runtime_that_shuts_down_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
    for num in 1..4 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let inside = url.clone();
        runtime.block_on(async move {
            let db = sea_orm::Database::connect(&inside).await.unwrap();
            let create = "CREATE TABLE IF NOT EXISTS thing (num INTEGER UNIQUE)";
            db.execute_unprepared(create).await.unwrap();
            insert(&db, num).await.unwrap();
            let there = Arc::new(Notify::new());
            let signal = there.clone();
            tokio::spawn(async move {
                let work = db.atomic(async |uow| {
                    insert(uow, 1_000).await?;
                    stay::<Result<(), Failure>>(&signal).await
                });
                work.await.map(|done| done.into_value())
            });
            there.notified().await;
        });
        drop(runtime);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stored = runtime.block_on(async {
        let db = sea_orm::Database::connect(&url).await?;
        numbers(&db).await
    });
    assert_eq!(stored.unwrap(), [1, 2, 3]);
}
