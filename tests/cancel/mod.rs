//! Cancel safety: every public future is dropped wherever it can be, and leaves everything or nothing.
//!
//! A [`sweep`](sweep::sweep) runs one future again and again, each time a little further than before, and drops it: after
//! 0, 1, 2, … polls; after as many polls, and when what it has spawned has got on by itself; on the servers also behind
//! each of its requests, while the reply is on its way over a slow link. Whoever comes next gets the only connection of its
//! pool. After each drop:
//!
//! - the next user of the connection gets the answers to its own questions, in a transaction of its own, and nobody holds a
//!   lock;
//! - the books obey every law, and what is stored is all that the future stores when it is not dropped, or nothing;
//! - callbacks and events came if and only if it is stored, and `after_rollback` if and only if it is not.

mod alone;
mod bench;
mod polls;
mod reads;
mod sweep;
mod units;
mod verb;
mod within;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use auction_ledger::Currency;
use auction_ledger::unit_of_work::UnitOfWork;

const WON: Currency = Currency::KRW;

/// What happened to units of work, in order.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

const BEGAN: &str = "began";
const COMMITTED: &str = "committed";
const ROLLED_BACK: &str = "rolled back";

impl Log {
    fn add(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|seen| **seen == what).count()
    }

    /// Notes that this unit of work has begun, and how it ends.
    fn watch(&self, uow: &UnitOfWork) {
        self.add(BEGAN);
        let (committed, rolled_back) = (self.clone(), self.clone());
        uow.on_commit(move || async move { committed.add(COMMITTED) });
        uow.after_rollback(move |_| async move { rolled_back.add(ROLLED_BACK) });
    }
}

/// Waits for something that other tasks bring about, half a minute at most.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let limit = Duration::from_secs(30);
    let came = tokio::time::timeout(limit, waiting).await;
    came.unwrap_or_else(|_| panic!("it did not come to pass: {what}"));
}
