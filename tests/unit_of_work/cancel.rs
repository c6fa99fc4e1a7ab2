//! Whatever future is dropped, and whenever: everything or nothing is stored, its callbacks go with it, and the pool gets
//! a clean connection back (H5, H6, H7).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Error, UnitOfWork};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, TransactionTrait};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::{Failure, Log, Stored, insert, number, numbers, on_servers, pool, slow, things, until};
use crate::support::link::{Link, says};
use crate::support::{Database, World, on_every_backend_bare, scale};

/// Polls `future` this often and then drops it, unless it is done before.
pub(super) async fn polled<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The last poll was the last: dropped with whatever is on its way.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A unit of work with everything in it: statements, a savepoint that is kept and one that is not, and each callback.
async fn everything(uow: &UnitOfWork, num: i32, log: &Log) -> Result<(), Failure> {
    uow.on_commit(log.hook(&format!("{num}")));
    insert(uow, num).await?;
    // SQLite may answer before it is asked twice: here it can always be cut off.
    yield_now().await;
    assert_eq!(prepared(uow, num).await?, num);
    yield_now().await;
    uow.atomic(async |uow| insert(uow, num + 1).await).await?;
    let undone = uow.atomic(async |uow| {
        insert(uow, num + 2).await?;
        Err::<(), _>(Failure::Failed)
    });
    assert!(undone.await.is_err());
    uow.before_commit(move |uow| async move { insert(&uow, num + 3).await });
    Ok(())
}

/// A prepared statement with a parameter, whose text nobody has prepared before: two round trips.
async fn prepared(connection: &impl ConnectionTrait, num: i32) -> Result<i32, DbErr> {
    let backend = connection.get_database_backend();
    let parameter = if backend == DbBackend::Postgres { "CAST($1 AS INTEGER)" } else { "?" };
    let text = format!("SELECT {parameter} + num - num AS num FROM (SELECT {num} AS num) one");
    let query = Statement::from_sql_and_values(backend, text, [num.into()]);
    let row = connection.query_one_raw(query).await?.expect("one row");
    // MariaDB makes it a BIGINT.
    row.try_get::<i64>("", "num").map_or_else(|_| row.try_get("", "num"), |num| Ok(num as i32))
}

/// Drops it after 1, 2, 3, … polls until it is done once, and looks after each.
async fn drop_everywhere(world: &World, commits: bool) -> Result<(), DbErr> {
    let db = things(world).await?;
    db.execute_unprepared("CREATE TABLE clean (num INTEGER)").await?;
    let (pool, log) = (world.connect(1).await, Log::default());
    for polls in 1..2_000 {
        let num = 10 * polls;
        let work = pool.atomic(async |uow| {
            everything(uow, num, &log).await?;
            if commits { Ok(()) } else { Err(Failure::Failed) }
        });
        let done = polled(polls as usize, work).await;
        // The next user of the only connection: what it writes is seen from elsewhere, so no transaction is open on it.
        pool.execute_unprepared(&format!("INSERT INTO clean VALUES ({num})")).await?;
        assert_eq!(
            number(db, "SELECT count(*) FROM clean").await?,
            i64::from(polls),
            "after {polls} polls"
        );
        let stored: Vec<_> =
            numbers(db).await?.into_iter().filter(|stored| *stored >= num).collect();
        if stored.is_empty() {
            assert!(
                !log.entries().contains(&num.to_string()),
                "a callback without its row, after {polls} polls"
            );
        } else {
            assert!(commits);
            assert_eq!(stored, [num, num + 1, num + 3], "after {polls} polls");
            until("the callback has run", async || log.entries().contains(&num.to_string())).await;
        }
        if let Some(done) = done {
            match done {
                Ok(_) => assert!(commits),
                Err(error) => assert!(
                    !commits && matches!(error, Failure::Failed),
                    "after {polls} polls: {error:?}"
                ),
            }
            // At least where it yields: everything else may be answered before it is asked twice.
            assert!(polls > 2, "it was to be cut off in between");
            return Ok(());
        }
    }
    panic!("it never ended");
}

on_every_backend_bare! {
    async fn dropped_at_any_await_it_is_stored_wholly_with_its_callback_or_not_at_all(world: &World) {
        drop_everywhere(world, true).await?;
    }

    async fn dropped_at_any_await_of_a_failing_unit_of_work_nothing_is_stored(world: &World) {
        drop_everywhere(world, false).await?;
    }

    /// Nested blocks too: the parent goes on, unless a statement that manages the savepoint was cut off.
    async fn dropped_at_any_await_a_nested_block_is_undone_or_breaks_its_parent(world: &World) {
        let db = things(world).await?;
        let pool = world.connect(1).await;
        for polls in 1..200 {
            let mut inner_done = None;
            let mut went_on = false;
            let done = pool.atomic(async |uow| {
                insert(uow, 1).await?;
                let nested = uow.atomic(async |uow| {
                    insert(uow, 2).await?;
                    uow.atomic(async |uow| insert(uow, 3).await).await?;
                    Ok::<_, Failure>(())
                });
                inner_done = polled(polls, nested).await.map(|inner| inner.is_ok());
                went_on = insert(uow, 4).await.is_ok();
                Ok::<_, Failure>(())
            });
            let stored = match done.await {
                Ok(done) => {
                    done.stored();
                    assert!(went_on);
                    if inner_done.is_some() { vec![1, 2, 3, 4] } else { vec![1, 4] }
                }
                Err(error) => {
                    assert!(matches!(error.refusal(), Error::RolledBack { .. }), "{error:?}");
                    assert!(!went_on && inner_done.is_none());
                    Vec::new()
                }
            };
            assert_eq!(numbers(db).await?, stored, "after {polls} polls");
            super::empty(db).await?;
            if inner_done == Some(true) {
                return Ok(());
            }
        }
        panic!("it never ended");
    }

    /// A statement that waits for the connection and goes away before its turn has sent nothing, and breaks nothing.
    async fn a_statement_dropped_before_its_turn_breaks_nothing(world: &World) {
        let db = things(world).await?;
        let done = db.atomic(async |uow| {
            let text = slow(world, 1);
            let (first, second) = tokio::join!(uow.execute_unprepared(&text), async {
                tokio::task::yield_now().await;
                timeout(Duration::from_millis(20), insert(uow, 1)).await
            });
            first?;
            assert!(second.is_err(), "it was to wait");
            assert!(uow.refusal().is_none());
            insert(uow, 2).await
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [2]);
    }

    /// Many at once, on a small pool: no connection is lost, and each counts wholly or not at all.
    async fn many_callers_that_give_up_leave_a_sound_pool(world: &World) {
        let db = things(world).await?;
        let (pool, log) = (world.connect(2).await, Log::default());
        let tasks: Vec<_> = (0..scale(60) as i32)
            .map(|task| {
                let (pool, log) = (pool.clone(), log.clone());
                tokio::spawn(async move {
                    let work = pool.atomic(async |uow| everything(uow, task * 10, &log).await);
                    _ = timeout(Duration::from_micros(500 * task as u64), work).await;
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        super::assert_clean(world, &pool, -1).await?;
        let (first, second) = tokio::join!(pool.begin(), pool.begin());
        first?.rollback().await?;
        second?.rollback().await?;
        let stored: Vec<i32> = numbers(db).await?.into_iter().filter(|num| *num >= 0).collect();
        let whole: Vec<i32> = stored.iter().copied().filter(|num| num % 10 == 0).collect();
        assert_eq!(
            stored,
            whole.iter().flat_map(|num| [*num, num + 1, num + 3]).collect::<Vec<_>>()
        );
        until("each callback has run", async || log.entries().len() >= whole.len()).await;
        let mut ran: Vec<i32> = log.entries().iter().map(|entry| entry.parse().unwrap()).collect();
        ran.sort_unstable();
        assert_eq!(ran, whole);
    }

    /// The task is aborted, not merely its future dropped.
    async fn an_aborted_task_leaves_a_clean_connection(world: &World) {
        let db = things(world).await?;
        let (pool, entered) = (world.connect(1).await, Arc::new(Notify::new()));
        let (inside, signal) = (pool.clone(), entered.clone());
        let task = tokio::spawn(async move {
            inside
                .atomic(async |uow| {
                    insert(uow, 1).await?;
                    signal.notify_one();
                    std::future::pending::<Result<(), Failure>>().await
                })
                .await
                .map(|done| done.into_value())
        });
        entered.notified().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        super::assert_clean(world, &pool, 2).await?;
        assert_eq!(numbers(db).await?, [2]);
    }
}

on_servers! {
    /// H6: `begin` cancelled over a slow link left an open transaction in the pool in 5 of 15 runs.
    async fn begin_cancelled_over_a_slow_link_leaves_a_clean_connection(world: &World) {
        let db = things(world).await?;
        let link = Link::to(world).await;
        let pool = pool(link.url(), 1, |_| {}).await;
        link.delay(Duration::from_millis(40));
        for run in 0..scale(15) as i32 {
            let work = pool.atomic(async |uow| insert(uow, 1_000).await);
            // Within the acquire's ping, BEGIN, or MariaDB's SET TRANSACTION, as the runs go on.
            let cut = timeout(Duration::from_millis(6 * run as u64), work).await;
            assert!(cut.is_err(), "the link is not slow");
            super::assert_clean(world, &pool, run).await?;
        }
        assert!(!numbers(db).await?.contains(&1_000));
        link.delay(Duration::ZERO);
        pool.close().await?;
    }

    /// H39: whichever of its round trips it was dropped in, the next answer is the next question's.
    async fn a_prepared_statement_dropped_over_a_slow_link_leaves_the_wire_in_step(world: &World) {
        let db = things(world).await?;
        let link = Link::to(world).await;
        let pool = pool(link.url(), 1, |_| {}).await;
        pool.atomic(async |uow| insert(uow, -1).await).await?.stored();
        link.delay(Duration::from_millis(20));
        let mut cuts = 0;
        for run in 0..16 {
            let log = Log::default();
            let failed = pool.atomic(async |uow| {
                uow.after_rollback(log.rolled_back("after_rollback"));
                // Within PREPARE, between the two, and within EXECUTE, as the runs go on.
                let cut =
                    timeout(Duration::from_millis(3 * run as u64), prepared(uow, 5_000 + run))
                        .await;
                let cut = cut.is_err();
                if run % 2 == 0 {
                    let healed: Result<_, Failure> = uow
                        .atomic(async |uow| Ok(number(uow, "SELECT count(*) FROM thing").await?))
                        .await;
                    assert_eq!(healed.is_err(), cut);
                }
                Err::<(), _>(if cut {
                    Failure::Failed
                } else {
                    DbErr::Custom("not cut".to_owned()).into()
                })
            });
            let cut = matches!(failed.await, Err(Failure::Failed));
            cuts += usize::from(cut);
            assert_eq!(log.entries(), ["after_rollback Failed"], "after run {run}");
            // The next user, in every kind of statement.
            let seen = number(
                &pool,
                &format!(
                    "SELECT CAST({run} + 1000 AS {})",
                    if world.database() == Database::Postgres { "BIGINT" } else { "SIGNED" }
                ),
            )
            .await;
            assert_eq!(
                seen.unwrap_or_else(|error| panic!("after run {run}: {error:?}")),
                i64::from(run) + 1_000
            );
            assert_eq!(prepared(&pool, 9_000 + run).await?, 9_000 + run);
            super::assert_clean(world, &pool, run).await?;
        }
        assert!(cuts > 4, "the link is not slow: {cuts}");
        link.delay(Duration::ZERO);
        pool.close().await?;
        assert_eq!(numbers(db).await?.len(), 17);
    }

    /// The same inside a savepoint, which heals.
    async fn a_prepared_statement_dropped_in_a_savepoint_leaves_the_wire_in_step(world: &World) {
        let db = things(world).await?;
        let link = Link::to(world).await;
        let pool = pool(link.url(), 1, |_| {}).await;
        pool.atomic(async |uow| insert(uow, -1).await).await?.stored();
        link.delay(Duration::from_millis(20));
        let mut cuts = 0;
        let done = pool.atomic(async |uow| {
            for run in 0..13 {
                let inner = uow.atomic(async |uow| {
                    insert(uow, 1_000).await?;
                    let cut =
                        timeout(Duration::from_millis(3 * run as u64), prepared(uow, 5_000 + run))
                            .await;
                    // On a busy machine the last ones may be answered before the time is up.
                    cuts += usize::from(cut.is_err());
                    Err::<(), _>(Failure::Failed)
                });
                assert!(matches!(inner.await, Err(Failure::Failed)));
                assert_eq!(
                    prepared(uow, 9_000 + run)
                        .await
                        .unwrap_or_else(|error| panic!("after run {run}: {error:?}")),
                    9_000 + run
                );
                insert(uow, run).await?;
            }
            Ok::<_, Failure>(())
        });
        done.await?.stored();
        assert!(cuts > 4, "the link is not slow: {cuts}");
        link.delay(Duration::ZERO);
        pool.close().await?;
        assert_eq!(numbers(db).await?, (-1..13).collect::<Vec<_>>());
    }

    /// H7 over a slow link: COMMIT is on its way when the caller goes.
    async fn a_caller_that_goes_while_commit_is_on_its_way_gets_row_and_callback(world: &World) {
        let db = things(world).await?;
        let (link, log) = (Link::to(world).await, Log::default());
        let pool = pool(link.url(), 1, |_| {}).await;
        pool.atomic(async |uow| insert(uow, 1).await).await?.stored();
        link.requests();
        let mut work = Box::pin(pool.atomic(async |uow| {
            insert(uow, 2).await?;
            uow.on_commit(log.hook("on_commit"));
            link.delay(Duration::from_millis(300));
            Ok::<_, DbErr>(())
        }));
        let sent = until("COMMIT is sent", async || {
            link.requests().iter().any(|request| says(request, "COMMIT"))
        });
        tokio::select! {
            biased;
            _ = &mut work => panic!("COMMIT is slow"),
            () = sent => {}
        }
        drop(work);
        assert_eq!(log.entries(), [""; 0]);
        until("the callback has run", async || log.entries() == ["on_commit"]).await;
        assert_eq!(numbers(db).await?, [1, 2]);
        link.delay(Duration::ZERO);
        pool.close().await?;
    }
}
