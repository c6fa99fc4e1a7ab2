//! One future, dropped everywhere.

use auction_ledger::Error;
use futures::future::LocalBoxFuture;

use super::bench::{Bench, Seen, Stop};
use super::{BEGAN, COMMITTED, Log, ROLLED_BACK, until};
use crate::support::{Books, TestResult};

/// What a future stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stores {
    /// All of it or nothing.
    Whole,
    /// Nothing, ever.
    Nothing,
    /// Several units of work, one after the other.
    Parts,
}

pub(super) type Act<'b> = LocalBoxFuture<'b, Result<(), Error>>;

/// How often the future was dropped in which state.
#[derive(Debug, Default)]
struct Tally {
    /// Dropped, and nothing was stored.
    nothing: usize,
    /// Dropped, and stored all the same: its COMMIT was on its way.
    stored: usize,
    /// Dropped in the middle of its transaction.
    inside: usize,
    /// It came to its end.
    done: usize,
    /// How many rows of each table it stores.
    shape: Option<[usize; 7]>,
}

impl Tally {
    /// Whether every state in which this future can be dropped has been seen.
    fn is_complete(&self, stores: Stores) -> bool {
        let dropped = self.nothing > 0 && self.done > 0;
        match stores {
            Stores::Whole | Stores::Parts => dropped && self.stored > 0 && self.inside > 1,
            Stores::Nothing => dropped,
        }
    }
}

/// Prepares a scene and drops the future that `act` makes of it, again and again, until it has been dropped everywhere.
///
/// A task that has been spawned may be done before anybody waits for it, above all with SQLite's COMMIT: then there was
/// nothing to drop, and the end is done once more.
pub(super) async fn sweep<S>(
    bench: &Bench<'_>,
    name: &str,
    stores: Stores,
    prepare: impl AsyncFn(&Bench<'_>) -> Result<S, Error>,
    act: impl for<'b> Fn(&'b Bench<'_>, S, Log) -> Act<'b>,
) -> TestResult {
    let mut tally = Tally::default();
    let mut first = 0;
    for _ in 0..100 {
        let mut last = usize::MAX;
        for stop in bench.stops() {
            let mut step = first;
            while !trial(bench, name, stores, stop(step), &prepare, &act, &mut tally).await? {
                step += 1;
                assert!(step < 2_000, "{name} never ends");
            }
            last = last.min(step);
        }
        if tally.is_complete(stores) {
            bench.assert_no_transaction().await;
            println!("{name}: {tally:?}");
            return Ok(());
        }
        first = if tally.inside > 1 { last.saturating_sub(4) } else { 0 };
    }
    panic!("{name} was not dropped everywhere: {tally:?}");
}

/// Drops the future once; whether it came to its end before.
async fn trial<S>(
    bench: &Bench<'_>,
    name: &str,
    stores: Stores,
    stop: Stop,
    prepare: &impl AsyncFn(&Bench<'_>) -> Result<S, Error>,
    act: &impl for<'b> Fn(&'b Bench<'_>, S, Log) -> Act<'b>,
    tally: &mut Tally,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let what = format!("{name}, {stop:?}");
    let scene = prepare(bench).await?;
    let (before, log) = (bench.books().await?, Log::default());
    let (answer, seen) = bench.drop_at(stop, act(bench, scene, log.clone())).await;
    bench.assert_clean().await.map_err(|error| format!("{what}: not clean: {error:?}"))?;
    let stored = bench.books().await? != before;
    if stores == Stores::Parts {
        ended(&log).await;
    } else {
        callbacks(&log, stored).await;
    }
    // A callback may have stored something of its own.
    let books = bench.books().await?;
    books.check();
    bench.assert_told(&before, &books).await;
    judge(&what, stores, answer.as_ref(), seen, stored);
    if stored && stores == Stores::Whole {
        let shape = shape(&before, &books);
        assert_eq!(*tally.shape.get_or_insert(shape), shape, "{what}: it is stored by halves");
    }
    tally.inside += usize::from(answer.is_none() && seen.inside);
    match (&answer, stored) {
        (Some(_), _) => tally.done += 1,
        (None, true) => tally.stored += 1,
        (None, false) => tally.nothing += 1,
    }
    Ok(answer.is_some())
}

/// Waits until every unit of work that has begun has ended, and its callbacks have.
async fn ended(log: &Log) {
    until("every unit of work has ended", async || {
        log.count(COMMITTED) + log.count(ROLLED_BACK) == log.count(BEGAN)
    })
    .await;
}

/// Committed if and only if the callbacks ran; rolled back if and only if the others did.
pub(super) async fn callbacks(log: &Log, stored: bool) {
    let committed = usize::from(stored).min(log.count(BEGAN));
    let rolled_back = log.count(BEGAN) - committed;
    until("the callbacks of a unit of work that has ended have run", async || {
        log.count(COMMITTED) >= committed && log.count(ROLLED_BACK) >= rolled_back
    })
    .await;
    assert_eq!((log.count(COMMITTED), log.count(ROLLED_BACK)), (committed, rolled_back), "{log:?}");
}

/// Whether what is stored is what the answer, or the place of the drop, says.
fn judge(what: &str, stores: Stores, answer: Option<&Result<(), Error>>, seen: Seen, stored: bool) {
    let expected = match (stores, answer) {
        (Stores::Parts, _) => None,
        (Stores::Nothing, _) | (Stores::Whole, Some(Err(_))) => Some(false),
        (Stores::Whole, Some(Ok(()))) => Some(true),
        // Behind a COMMIT that was sent everything is stored, and before it nothing.
        (Stores::Whole, None) => seen.commit_sent,
    };
    assert!(
        expected.is_none_or(|expected| expected == stored),
        "{what}: stored {stored} after {answer:?}, {seen:?}"
    );
}

/// How many rows have come to each table.
pub(super) fn shape(before: &Books, after: &Books) -> [usize; 7] {
    [
        after.wallets.len() - before.wallets.len(),
        after.auctions.len() - before.auctions.len(),
        after.bids.len() - before.bids.len(),
        after.acts.len() - before.acts.len(),
        after.entries.len() - before.entries.len(),
        after.keys.len() - before.keys.len(),
        after.sealed_bids.len() - before.sealed_bids.len(),
    ]
}
