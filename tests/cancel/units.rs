//! Units of work of a host: the root with all that can be in it, retried, with options, captured, refused; and its callbacks.

use std::time::Duration;

use auction_ledger::unit_of_work::{Atomic, Retry, UnitOfWork, capture_on_commit};
use auction_ledger::{AuctionId, Error, Rejection};
use sea_orm::{
    AccessMode, ConnectionTrait, DbErr, IsolationLevel, TransactionSession, TransactionTrait,
};

use super::bench::{Bench, integer};
use super::sweep::{Stores, sweep};
use super::verb::Verb;
use super::{Log, WON};
use crate::support::{Database, TestResult, on_every_backend};

/// What the closures fail with on purpose.
fn refusal() -> Error {
    Rejection::BuyNowUnavailable.into()
}

/// A unit of work with everything in it: verbs, savepoints that are kept and one that is not, a merged block, a savepoint by
/// hand, and every callback.
async fn everything(
    bench: &Bench<'_>,
    auction: AuctionId,
    uow: &UnitOfWork,
    log: &Log,
) -> Result<(), Error> {
    log.watch(uow);
    let ledger = &bench.ledger;
    let late = ledger.clone();
    uow.before_commit(move |uow| async move {
        late.deposit("sam", WON, 2.into()).within(&uow).await.map(drop)
    });
    ledger.deposit("ann", WON, 1.into()).within(uow).await?;
    uow.atomic(async |kept| {
        ledger.place_bid(auction, "bob", 30.into()).within(kept).await?;
        kept.merged(async |merged| ledger.withdraw("ann", WON, 1.into()).within(merged).await).await
    })
    .await?;
    let undone = uow.atomic(async |undone| {
        ledger.cancel(auction).within(undone).await?;
        Err::<(), _>(refusal())
    });
    assert!(matches!(undone.await, Err(Error::Rejected(_))));
    let by_hand = uow.begin().await?;
    ledger.place_bid(auction, "ann", 40.into()).within(&by_hand).await?;
    by_hand.commit().await?;
    let by_hand = uow.begin().await?;
    ledger.withdraw("ann", WON, 5.into()).within(&by_hand).await?;
    by_hand.rollback().await?;
    assert_eq!(integer(uow, "SELECT count(*) FROM clean WHERE num < 0").await?, 0);
    Ok(())
}

/// A smaller one, for the ways in which it is not stored.
async fn something(
    bench: &Bench<'_>,
    auction: AuctionId,
    uow: &UnitOfWork,
    log: &Log,
) -> Result<(), Error> {
    log.watch(uow);
    uow.atomic(async |kept| bench.ledger.place_bid(auction, "bob", 30.into()).within(kept).await)
        .await?;
    bench.ledger.deposit("ann", WON, 1.into()).within(uow).await.map(drop)
}

async fn led(bench: &Bench<'_>) -> Result<AuctionId, Error> {
    Ok(Verb::Outbid.prepare(bench).await?.auction)
}

/// Makes the first attempt of a retried unit of work fail as the database does when it cannot order it.
async fn fail_once(bench: &Bench<'_>, uow: &UnitOfWork) -> Result<(), DbErr> {
    if uow.attempt() > 1 {
        return Ok(());
    }
    let failing = match bench.world.database() {
        // It waits where it begins; see `busy`.
        Database::Sqlite => return Ok(()),
        Database::Postgres => "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$",
        Database::Mariadb => "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
    };
    uow.execute_unprepared(failing).await.map(drop)
}

/// Holds SQLite's one write lock for some milliseconds, so that a unit of work cannot begin at once.
async fn busy(bench: &Bench<'_>) -> TestResult {
    if bench.world.database() != Database::Sqlite {
        return Ok(());
    }
    let (db, (held, holds)) = (bench.world.db().clone(), tokio::sync::oneshot::channel());
    tokio::spawn(async move {
        db.atomic(async |_| {
            _ = held.send(());
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, DbErr>(())
        })
        .await
        .map(|done| done.into_value())
    });
    Ok(holds.await?)
}

on_every_backend! {
    async fn a_unit_of_work_dropped_anywhere_is_stored_with_its_callbacks_or_not_at_all(world: &World) {
        let bench = Bench::new(world).await?;
        sweep(&bench, "ledger.atomic", Stores::Whole, led, |bench, auction, log| {
            Box::pin(async move {
                let done = bench.ledger.atomic(async |uow| everything(bench, auction, uow, &log).await);
                done.await.map(|done| done.into_value())
            })
        })
        .await?;
        bench.end().await?;
    }

    /// On a plain connection, with every option that is set before and put back after.
    async fn options_are_put_back_wherever_it_is_dropped(world: &World) {
        let bench = Bench::new(world).await?;
        sweep(&bench, "Root::atomic with options", Stores::Whole, led, |bench, auction, log| {
            Box::pin(async move {
                let mut root = bench.pool.unit_of_work().name("swept").lock_timeout(Duration::from_secs(7));
                if bench.world.database() != Database::Sqlite {
                    root = root
                        .isolation(IsolationLevel::Serializable)
                        .statement_timeout(Duration::from_secs(8));
                }
                let done = root.atomic(async |uow| {
                    log.watch(uow);
                    bench.ledger.place_bid(auction, "bob", 30.into()).within(uow).await.map(drop)
                });
                done.await.map(|done| done.into_value())
            })
        })
        .await?;
        sweep(&bench, "read only", Stores::Nothing, async |_| Ok(()), |bench, (), _| {
            Box::pin(async move {
                let root = bench.pool.unit_of_work().access_mode(AccessMode::ReadOnly);
                let read = root.atomic(async |uow| {
                    bench.ledger.wallet("ann", WON).within(uow).await?;
                    bench.ledger.entries("ann", WON).within(uow).await
                });
                read.await.map(|_| ())
            })
        })
        .await?;
        bench.end().await?;
    }

    async fn a_unit_of_work_that_fails_stores_nothing_wherever_it_is_dropped(world: &World) {
        let bench = Bench::new(world).await?;
        sweep(&bench, "returns an error", Stores::Nothing, led, |bench, auction, log| {
            Box::pin(async move {
                let failed = bench.ledger.atomic(async |uow| {
                    something(bench, auction, uow, &log).await?;
                    Err::<(), _>(refusal())
                });
                failed.await.map(|done| done.into_value())
            })
        })
        .await?;
        sweep(&bench, "vetoed", Stores::Nothing, led, |bench, auction, log| {
            Box::pin(async move {
                let failed = bench.ledger.atomic(async |uow| {
                    log.watch(uow);
                    let ledger = bench.ledger.clone();
                    uow.before_commit(move |uow| async move {
                        ledger.place_bid(auction, "bob", 30.into()).within(&uow).await?;
                        Err::<(), _>(refusal())
                    });
                    Ok::<_, Error>(())
                });
                failed.await.map(|done| done.into_value())
            })
        })
        .await?;
        sweep(&bench, "captured", Stores::Nothing, led, |bench, auction, log| {
            Box::pin(async move {
                let captured = capture_on_commit(&bench.pool, async |uow| {
                    something(bench, auction, uow, &log).await
                });
                captured.await.map(|captured| assert_eq!(captured.len(), 1))
            })
        })
        .await?;
        bench.end().await?;
    }

    async fn a_retried_unit_of_work_dropped_in_any_attempt_is_stored_once_or_not_at_all(world: &World) {
        let bench = Bench::new(world).await?;
        let prepare = async |bench: &Bench<'_>| {
            let auction = led(bench).await?;
            busy(bench).await.expect("the lock can be had");
            Ok(auction)
        };
        sweep(&bench, "Retry::atomic", Stores::Whole, prepare, |bench, auction, log| {
            Box::pin(async move {
                let retry = Retry::new().attempts(1_000);
                let root = bench.pool.unit_of_work().lock_timeout(Duration::from_millis(3_000));
                let root = match bench.world.database() {
                    Database::Sqlite => root.lock_timeout(Duration::from_millis(3)),
                    _ => root,
                };
                let done = retry.atomic(root, async |uow| {
                    log.watch(uow);
                    bench.ledger.place_bid(auction, "bob", 30.into()).within(uow).await?;
                    Ok::<_, Error>(fail_once(bench, uow).await?)
                });
                done.await.map(|done| done.into_value())
            })
        })
        .await?;
        bench.end().await?;
    }

    /// What a callback does goes on in its task: once the commit is sent, it is done, whoever waits.
    async fn a_callback_is_seen_through_wherever_its_caller_is_dropped(world: &World) {
        let bench = Bench::new(world).await?;
        sweep(&bench, "on_commit", Stores::Whole, led, |bench, auction, log| {
            Box::pin(async move {
                let done = bench.ledger.atomic(async |uow| {
                    let ledger = bench.ledger.clone();
                    uow.on_commit(move || async move {
                        ledger.deposit("ann", WON, 3.into()).await?;
                        ledger.place_bid(auction, "ann", 50.into()).await.map(drop)
                    });
                    // Behind the other callback: when it is called, the other one is done.
                    log.watch(uow);
                    bench.ledger.place_bid(auction, "bob", 30.into()).within(uow).await.map(drop)
                });
                done.await.map(|done| assert!(done.hooks().is_clean()))
            })
        })
        .await?;
        sweep(&bench, "after_rollback", Stores::Parts, led, |bench, auction, log| {
            Box::pin(async move {
                let failed = bench.ledger.atomic(async |uow| {
                    let ledger = bench.ledger.clone();
                    uow.after_rollback(move |_| async move {
                        ledger.place_bid(auction, "ann", 50.into()).await.map(drop)
                    });
                    // Behind the other callback, as above.
                    log.watch(uow);
                    bench.ledger.place_bid(auction, "bob", 30.into()).within(uow).await?;
                    Err::<(), _>(refusal())
                });
                failed.await.map(|done| done.into_value())
            })
        })
        .await?;
        sweep(&bench, "outside a unit of work", Stores::Whole, led, |bench, auction, _| {
            Box::pin(async move {
                let ledger = bench.ledger.clone();
                let report = bench.pool.on_commit(move || async move {
                    ledger.place_bid(auction, "bob", 30.into()).await.map(drop)
                });
                assert!(report.await.is_clean());
                Ok(())
            })
        })
        .await?;
        bench.end().await?;
    }
}
