//! A verb that is dropped inside a unit of work that goes on: its block is broken, and a savepoint around it heals.

use std::cell::Cell;

use auction_ledger::Error;
use auction_ledger::unit_of_work::{Cause, Error as UnitOfWorkError, UnitOfWork};
use sea_orm::ConnectionTrait;

use super::bench::{Bench, Stop};
use super::sweep::{callbacks, shape};
use super::verb::{Scene, Verb};
use super::{Log, WON};
use crate::support::{TestResult, on_every_backend, scale};

/// The block in which the verb runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Root,
    Savepoint,
    Merged,
}

/// What became of one verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It was dropped before it was polled.
    Unstarted,
    Dropped,
    Done,
}

/// Runs the verb up to `stop` and drops it.
async fn cut(
    bench: &Bench<'_>,
    stop: Stop,
    (verb, scene): (Verb, &Scene),
    uow: &UnitOfWork,
) -> Result<Cut, Error> {
    let (answer, _) = bench.drop_at(stop, verb.run(&bench.ledger, scene, Some(uow))).await;
    let unstarted = matches!(stop, Stop::AfterPolls(0) | Stop::AfterPause(0));
    Ok(match answer.transpose()? {
        Some(()) => Cut::Done,
        None if unstarted => Cut::Unstarted,
        None => {
            assert!(uow.refusal().is_some(), "{verb:?}, {stop:?}: the block goes on");
            Cut::Dropped
        }
    })
}

/// Whether a block was rolled back because a future in it was dropped.
fn broken<T: std::fmt::Debug>(outcome: &Result<T, Error>) -> bool {
    let Err(Error::UnitOfWork(error)) = outcome else {
        return false;
    };
    let dropped = |cause: &Cause| matches!(cause, Cause::StatementDropped | Cause::Interrupted);
    matches!(error, UnitOfWorkError::RolledBack { cause } if dropped(cause))
}

/// A unit of work with a deposit before and after the block, which goes on whatever becomes of it.
async fn around(
    bench: &Bench<'_>,
    block: Block,
    stop: Stop,
    verb: (Verb, &Scene),
    (log, inner_log): (&Log, &Log),
) -> (Result<(), Error>, Result<Cut, Error>) {
    let seen = Cell::new(None);
    let outcome = bench.ledger.atomic(async |uow| {
        log.watch(uow);
        bench.ledger.deposit("ann", WON, 1.into()).within(uow).await?;
        let work = async |uow: &UnitOfWork| {
            inner_log.watch(uow);
            cut(bench, stop, verb, uow).await
        };
        seen.set(Some(match block {
            Block::Root => work(uow).await,
            Block::Savepoint => uow.atomic(work).await,
            Block::Merged => uow.merged(work).await,
        }));
        // Refused in a broken block, which must not be forgotten because of it.
        _ = bench.ledger.deposit("ann", WON, 1.into()).within(uow).await;
        Ok::<_, Error>(())
    });
    let outcome = outcome.await.map(|done| done.into_value());
    (outcome, seen.into_inner().expect("the closure ran"))
}

/// Drops the verb everywhere in such a unit of work.
///
/// SQLite may answer before it is asked twice, so that there is nothing to drop: then once more.
async fn sweep(bench: &Bench<'_>, block: Block, verb: Verb) -> TestResult {
    let mut counts = [0; 3];
    for _ in 0..100 {
        for stop in bench.stops() {
            for step in 0.. {
                let cut = trial(bench, block, verb, stop(step)).await?;
                counts[cut as usize] += 1;
                if cut == Cut::Done {
                    break;
                }
            }
        }
        if counts.iter().all(|count| *count > 0) {
            println!("{verb:?} in {block:?}: [unstarted, dropped, done] {counts:?}");
            bench.assert_no_transaction().await;
            return Ok(());
        }
    }
    panic!("{verb:?} in {block:?} was not dropped everywhere: {counts:?}");
}

/// Drops the verb once, and looks at what is left.
async fn trial(
    bench: &Bench<'_>,
    block: Block,
    verb: Verb,
    stop: Stop,
) -> Result<Cut, Box<dyn std::error::Error + Send + Sync>> {
    let scene = verb.prepare(bench).await?;
    let (before, log, inner_log) = (bench.books().await?, Log::default(), Log::default());
    let (outcome, inner) = around(bench, block, stop, (verb, &scene), (&log, &inner_log)).await;
    let what = format!("{verb:?} in {block:?}, {stop:?}: {outcome:?}, {inner:?}");
    bench.assert_clean().await.map_err(|error| format!("{what}: {error:?}"))?;
    let books = bench.books().await?;
    books.check();
    bench.assert_told(&before, &books).await;
    let cut = inner.as_ref().map_or(Cut::Dropped, |cut| *cut);
    let lost = block != Block::Savepoint && cut == Cut::Dropped;
    assert_eq!(broken(&outcome), lost, "{what}");
    assert_eq!(outcome.is_ok(), !lost, "{what}");
    assert_eq!(broken(&inner), block != Block::Root && cut == Cut::Dropped, "{what}");
    let mut rows = shape(&before, &books);
    let deposits = if lost { 0 } else { 2 };
    assert!(rows[4] >= deposits, "{what}: the deposits around it are lost");
    rows[4] -= deposits;
    assert_eq!(rows != [0; 7], cut == Cut::Done, "{what}: {rows:?}");
    callbacks(&log, !lost).await;
    callbacks(&inner_log, cut != Cut::Dropped).await;
    Ok(cut)
}

on_every_backend! {
    async fn a_verb_dropped_in_a_unit_of_work_breaks_it(world: &World) {
        let bench = Bench::new(world).await?;
        for verb in Verb::ALL {
            sweep(&bench, Block::Root, verb).await?;
        }
        bench.end().await?;
    }

    async fn a_savepoint_around_a_dropped_verb_heals(world: &World) {
        let bench = Bench::new(world).await?;
        for verb in [Verb::FirstDeposit, Verb::FirstOpening, Verb::Outbid, Verb::Buy, Verb::Settle] {
            sweep(&bench, Block::Savepoint, verb).await?;
        }
        bench.end().await?;
    }

    async fn a_merged_block_around_a_dropped_verb_breaks_its_parent(world: &World) {
        let bench = Bench::new(world).await?;
        for verb in [Verb::FirstDeposit, Verb::Outbid] {
            sweep(&bench, Block::Merged, verb).await?;
        }
        bench.end().await?;
    }

    /// Dropped between two of its statements, while another one has the connection: no statement of the verb is on its
    /// way then, and half of what it writes is written.
    async fn a_verb_dropped_while_it_waits_for_the_connection_breaks_the_block(world: &World) {
        let bench = Bench::new(world).await?;
        for verb in [Verb::FirstDeposit, Verb::FirstOpening, Verb::Outbid, Verb::Buy, Verb::Settle] {
            let (mut dropped, mut polls) = (0, 1);
            while dropped < scale(25) {
                let cut = among_others(&bench, verb, polls).await?;
                (dropped, polls) = match cut {
                    Cut::Dropped => (dropped + 1, polls + 1),
                    _ => (dropped, 1),
                };
            }
        }
        bench.end().await?;
    }
}

/// Drops the verb after so many polls, while other statements of its unit of work are always waiting for the connection.
async fn among_others(
    bench: &Bench<'_>,
    verb: Verb,
    polls: usize,
) -> Result<Cut, Box<dyn std::error::Error + Send + Sync>> {
    let scene = verb.prepare(bench).await?;
    let before = bench.books().await?;
    let (end, over) = (Cell::new(None), Cell::new(false));
    let outcome = bench.ledger.atomic(async |uow| {
        let work = async {
            end.set(Some(cut(bench, Stop::AfterPolls(polls), (verb, &scene), uow).await));
            over.set(true);
        };
        let others = async {
            // Each is seen through: none of them may break the block.
            while !over.get() && uow.refusal().is_none() {
                uow.execute_unprepared("SELECT 1").await?;
            }
            Ok::<_, Error>(())
        };
        let ((), others) = futures::future::join(work, others).await;
        // Refused where the verb has broken the block, which is how it ends.
        others.or_else(|error| uow.refusal().map(drop).ok_or(error))
    });
    let outcome = outcome.await.map(|done| done.into_value());
    let cut = end.into_inner().expect("the closure ran")?;
    let what = format!("{verb:?} after {polls} polls: {cut:?}, {outcome:?}");
    bench.assert_clean().await.map_err(|error| format!("{what}: {error:?}"))?;
    let books = bench.books().await?;
    books.check();
    assert_eq!(books != before, cut == Cut::Done, "{what}");
    assert_eq!(broken(&outcome), cut == Cut::Dropped, "{what}");
    assert_eq!(outcome.is_ok(), cut == Cut::Done, "{what}");
    Ok(cut)
}
