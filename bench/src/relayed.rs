//! Bids whose events are delivered by a relay while they are placed.

use std::sync::Arc;

use async_trait::async_trait;
use auction_ledger::{AuctionEvent, AuctionLedger, EventSink, SinkError};
use tokio::sync::oneshot;

use crate::Failure;
use crate::database::{self, Pool};
use crate::keys::Keys;
use crate::load::{self, Load};
use crate::ours::{Bidding, Market};
use crate::statistics::Sample;

/// Does nothing with an event.
struct Nothing;

#[async_trait]
impl EventSink for Nothing {
    async fn deliver(&self, _: &AuctionEvent) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Measures the bids, and says how far the relay is behind when they end.
pub async fn run(
    ledger: AuctionLedger,
    (market, keys): (Market, Keys),
    load: Load,
    url: &str,
) -> Result<Sample, Failure> {
    let db = database::connect(url, Pool { connections: 4, pings: true }).await?;
    let relay = AuctionLedger::new(db.clone()).relay("bench", Nothing)?;
    let ledger = ledger.sink(relay.hint());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = relay.clone();
    let running = tokio::spawn(async move { running.run(async move { _ = stopped.await }).await });
    let sample = load::run(Arc::new(Bidding { ledger, market, keys }), load).await?;
    let lag = relay.lag().await?;
    _ = stop.send(());
    let relayed = running.await?;
    eprintln!("  delivered {} events, {} commands behind", relayed.delivered, lag.commands);
    db.close().await?;
    if relayed.delivered == 0 {
        return Err("the relay has delivered nothing".into());
    }
    Ok(sample)
}
