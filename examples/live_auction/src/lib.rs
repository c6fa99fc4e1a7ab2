//! Auctions that run live in the browser: an application on `auction-ledger` and axum, to be read and taken from.
//!
//! See the `README.md` beside it for where what is.

mod app;
mod assets;
mod auctions;
mod bidding;
mod database;
mod demo;
mod failure;
mod live;
mod money;
mod origin;
mod position;
mod redis;
mod session;
mod shown;
mod sign_in;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use auction_ledger::{AuctionLedger, BroadcastSink, Sweep};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::origin::Origins;
use crate::session::Signer;

/// Why the application could not run.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What the application needs to know.
#[derive(Clone)]
pub struct Config {
    /// Of the database: `sqlite://`, `postgres://` or `mysql://`.
    pub database: String,
    /// Of Redis, where several processes share a database.
    pub redis: Option<String>,
    /// What sessions are signed with: at least 32 bytes that nobody can guess, the same in all processes.
    pub secret: Vec<u8>,
    /// Under which addresses browsers find it, as `https://auctions.example`.
    pub origins: Vec<String>,
}

/// Passwords stand in URLs: nothing that is secret is shown.
impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Config").field("origins", &self.origins).finish_non_exhaustive()
    }
}

/// How many WebSockets there are at most.
const WATCHERS: u16 = 1_000;
/// How many events the slowest page may be behind before it reads them from the ledger.
const EVENTS: usize = 1_024;
/// How long requests and pages may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `stop` completes, and then ends in order: no new connections, pages are told, what was begun is finished.
///
/// # Errors
///
/// The database is not to be had, the demo cannot be opened, or the server fails.
pub async fn run(
    config: Config,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failed> {
    let db = database::connect(&config.database).await?;
    let events = BroadcastSink::new(EVENTS);
    let ledger = AuctionLedger::new(db.clone());
    let (ledger, subscriber) = connect_sinks(ledger, &events, config.redis.as_deref())?;
    demo::open(&ledger).await?;

    tracing::info!("open {}", config.origins.first().map_or("no origin", String::as_str));
    let stopping = Arc::new(watch::Sender::new(false));
    let stopped = || {
        let mut stopping = stopping.subscribe();
        async move { _ = stopping.wait_for(|stop| *stop).await }
    };
    let settler = tokio::spawn(ledger.settler().on_sweep(log_failures).run(stopped()));
    let app = App {
        ledger: ledger.clone(),
        events,
        signer: Signer::new(&config.secret),
        origins: Origins::new(config.origins),
        stopping: Arc::clone(&stopping),
        watchers: Arc::new(Semaphore::new(WATCHERS.into())),
    };
    let server = axum::serve(listener, app::routes(app)).with_graceful_shutdown(stopped());
    let told = Arc::clone(&stopping);
    tokio::spawn(async move {
        stop.await;
        told.send_replace(true);
    });

    let overdue = stopped();
    tokio::select! {
        served = server.into_future() => served?,
        () = async { overdue.await; sleep(GRACE).await } => {
            tracing::warn!("some requests did not end in time");
        }
    }
    let settled = settler.await?;
    tracing::info!(settled.settled, "the settler has stopped");
    // Whoever has a receiver is a page that is still open.
    if timeout(GRACE, stopping.closed()).await.is_err() {
        tracing::warn!("some pages did not close in time");
    }
    // Bids that were taken from a line are carried out, whoever still listens.
    ledger.drain().await;
    if let Some(subscriber) = subscriber {
        subscriber.abort();
    }
    db.close().await?;
    Ok(())
}

/// Where events go: straight to the pages of this process, or to those of all processes by way of Redis.
fn connect_sinks(
    ledger: AuctionLedger,
    events: &BroadcastSink,
    redis: Option<&str>,
) -> Result<(AuctionLedger, Option<JoinHandle<()>>), Failed> {
    let Some(url) = redis else {
        return Ok((ledger.sink(events.clone()), None));
    };
    let client = ::redis::Client::open(url)?;
    let subscriber = tokio::spawn(redis::subscribe(client.clone(), events.clone()));
    let publisher = redis::Publisher::new(client, events.clone());
    Ok((ledger.sink(publisher), Some(subscriber)))
}

/// Logs what could not be settled. It is tried again, and stops nothing else.
fn log_failures(sweep: &Sweep) {
    for (auction, error) in &sweep.failed {
        tracing::error!(%auction, %error, "an auction could not be settled");
    }
}
