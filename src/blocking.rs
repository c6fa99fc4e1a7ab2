//! The ledger for code without async.
//!
//! [`AuctionLedger`] has a runtime of its own and lends the verbs of [`crate::AuctionLedger`]: what async code awaits is handed to
//! [`wait`](AuctionLedger::wait), as Django's `async_to_sync` lets synchronous functions call asynchronous ones.

use std::ops::Deref;
use std::sync::Arc;

use sea_orm::{ConnectOptions, Database, DbErr};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::Error;
use crate::unit_of_work;

/// An [`AuctionLedger`](crate::AuctionLedger) for threads that cannot await.
///
/// It dereferences to the other, so every verb and every query is there, with the same options, documentation and errors. A
/// clone is cheap and has the same runtime, and any number of threads may wait at once: where they meet on a busy auction they
/// share transactions.
///
/// Callbacks, sinks and what the ledger begins by itself run on the runtime, which ends with the last clone: what it has not
/// finished then is dropped, as when a process ends. [`close`](Self::close) waits for it.
///
/// # Example: two bidders
///
/// ```
/// use auction_ledger::{AuctionTerms, Currency, Error, blocking};
/// use auction_ledger_migration::{Migrator, MigratorTrait};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
/// options.max_connections(1);
/// let ledger = blocking::AuctionLedger::connect(options)?;
/// ledger.wait(Migrator::up(ledger.connection(), None))?;
///
/// ledger.wait(ledger.deposit("ann", Currency::EUR, 100.into()))?;
/// ledger.wait(ledger.deposit("bob", Currency::EUR, 100.into()))?;
/// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into()).ends_in(Duration::from_secs(3600));
/// let auction = ledger.wait(ledger.open_auction("sam", "brass telescope", terms))?.id;
///
/// ledger.wait(ledger.place_bid(auction, "ann", 20.into()).key("click 1"))?;
/// // Several steps in one unit of work, and a callback after its commit.
/// let done = ledger.wait(ledger.atomic(async |uow| {
///     uow.on_commit(async || println!("bob leads"));
///     ledger.place_bid(auction, "bob", 25.into()).within(uow).await
/// }))?;
/// assert_eq!((done.outbid.as_ref().unwrap().user.as_str(), done.hooks().succeeded), ("ann", 1));
/// ledger.close()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AuctionLedger {
    ledger: crate::AuctionLedger,
    runtime: Arc<Worker>,
}

/// A runtime that may be dropped anywhere, also where nobody may wait for its end.
#[derive(Debug)]
struct Worker(Option<Runtime>);

impl Worker {
    fn start() -> Result<Self, DbErr> {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(WORKERS).thread_name("auction-ledger").enable_all();
        let runtime = runtime.build().map_err(|error| DbErr::Custom(error.to_string()))?;
        Ok(Self(Some(runtime)))
    }

    /// Waits on this thread, unless it is one of a runtime.
    fn wait<F: Future>(&self, future: F) -> Result<F::Output, unit_of_work::Error> {
        let runtime = self.0.as_ref().filter(|_| Handle::try_current().is_err());
        let runtime = runtime.ok_or(unit_of_work::Error::InsideRuntime)?;
        Ok(runtime.block_on(future))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Threads that drive connections, callbacks and sinks. Whoever waits carries out the own verb.
const WORKERS: usize = 2;

impl AuctionLedger {
    /// Starts a runtime and connects to a database.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOfWork`] with [`InsideRuntime`](unit_of_work::Error::InsideRuntime) where this thread belongs to a runtime of
    /// tokio; [`Error::Database`] if there is no connection, or no thread, to be had.
    pub fn connect(options: impl Into<ConnectOptions>) -> Result<Self, Error> {
        let worker = Worker::start()?;
        let db = worker.wait(Database::connect(options))??;
        Ok(Self { ledger: crate::AuctionLedger::new(db), runtime: Arc::new(worker) })
    }

    /// Sets up the ledger: its sinks, how often it retries, and the like.
    ///
    /// # Example: a sink
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use auction_ledger::{BroadcastSink, blocking};
    ///
    /// let sink = BroadcastSink::new(64);
    /// let ledger = blocking::AuctionLedger::connect("sqlite::memory:")?;
    /// let ledger = ledger.set(|ledger| ledger.sink(sink.clone()));
    /// # drop(ledger);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn set(self, set: impl FnOnce(crate::AuctionLedger) -> crate::AuctionLedger) -> Self {
        Self { ledger: set(self.ledger), runtime: self.runtime }
    }

    /// Waits for a verb, a query, a unit of work, or anything else that async code would await and that may fail.
    ///
    /// # Errors
    ///
    /// First [`InsideRuntime`](unit_of_work::Error::InsideRuntime), where this thread belongs to a runtime of tokio, as in an
    /// async function, in a callback, and in `spawn_blocking`: nothing has happened. Await the verb of
    /// [`crate::AuctionLedger`] there, or call from a thread of your own. Then what the verb answers.
    ///
    /// # Cancel safety
    ///
    /// It cannot be cancelled.
    pub fn wait<T, E>(&self, request: impl IntoFuture<Output = Result<T, E>>) -> Result<T, E>
    where
        E: From<unit_of_work::Error>,
    {
        self.runtime.wait(request.into_future())?
    }

    /// Waits until every command that was taken in is answered, and closes the connections: no clone can use them any more.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn close(self) -> Result<(), Error> {
        self.wait(async {
            self.ledger.drain().await;
            Ok::<_, Error>(self.ledger.connection().clone().close().await?)
        })
    }
}

impl Deref for AuctionLedger {
    type Target = crate::AuctionLedger;

    fn deref(&self) -> &crate::AuctionLedger {
        &self.ledger
    }
}
