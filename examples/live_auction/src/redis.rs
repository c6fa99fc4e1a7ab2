//! Events between processes, by Redis: one sink that publishes, and one subscriber that hands on what arrives.
//!
//! Redis forgets what nobody listens to, and that is enough: whoever may have missed something is told so, and reads it from the
//! ledger. Private events cross it, too: Redis is as trusted as the database.

use std::time::Duration;

use async_trait::async_trait;
use auction_ledger::{AuctionEvent, BroadcastSink, EventSink, SinkError};
use futures::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

const CHANNEL: &str = "live_auction:events";
/// How long Redis may take for one message.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the subscriber waits before it connects again.
const PAUSE: Duration = Duration::from_secs(1);

/// What crosses Redis.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    Event(AuctionEvent),
    /// So many events were not published.
    Missed(u64),
}

/// Publishes the events of this process.
pub(crate) struct Publisher {
    client: Client,
    /// The readers of this process, who are told at once what Redis cannot tell them.
    readers: BroadcastSink,
    /// The connection, as long as it works, and how many events were lost since.
    state: Mutex<(Option<MultiplexedConnection>, u64)>,
}

impl Publisher {
    pub(crate) fn new(client: Client, readers: BroadcastSink) -> Self {
        Self { client, readers, state: Mutex::new((None, 0)) }
    }

    async fn publish(&self, note: &Note) -> Result<(), SinkError> {
        let mut state = self.state.lock().await;
        let (connection, lost) = &mut *state;
        let published = timeout(PATIENCE, async {
            let mut connected = match connection.take() {
                Some(connected) => connected,
                None => self.client.get_multiplexed_async_connection().await?,
            };
            if *lost > 0 {
                send(&mut connected, &Note::Missed(*lost)).await?;
                *lost = 0;
            }
            send(&mut connected, note).await?;
            // Only a connection that works is kept.
            *connection = Some(connected);
            Ok::<_, SinkError>(())
        });
        let published = published.await.unwrap_or_else(|_| Err("Redis does not answer".into()));
        if published.is_err() {
            let count = if let Note::Missed(count) = note { *count } else { 1 };
            *lost = lost.saturating_add(count);
            self.readers.missed(count).await;
        }
        published
    }
}

async fn send(connection: &mut MultiplexedConnection, note: &Note) -> Result<(), SinkError> {
    let json = serde_json::to_string(note)?;
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(CHANNEL).arg(json).query_async::<()>(connection).await?;
    Ok(())
}

#[async_trait]
impl EventSink for Publisher {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        self.publish(&Note::Event(event.clone())).await
    }

    async fn missed(&self, count: u64) {
        if let Err(error) = self.publish(&Note::Missed(count)).await {
            tracing::warn!(%error, "a gap could not be published");
        }
    }
}

/// Hands what all processes publish, this one included, to the readers of this one, for ever.
pub(crate) async fn subscribe(client: Client, readers: BroadcastSink) {
    loop {
        if let Err(error) = listen(&client, &readers).await {
            tracing::warn!(%error, "Redis cannot be listened to");
        }
        sleep(PAUSE).await;
    }
}

/// Listens until the connection is lost.
async fn listen(client: &Client, readers: &BroadcastSink) -> RedisResult<()> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(CHANNEL).await?;
    // What was published while nobody listened here is lost to us: the readers catch up from the ledger.
    readers.missed(1).await;
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        match serde_json::from_slice(message.get_payload_bytes()) {
            Ok(Note::Event(event)) => _ = readers.deliver(&event).await,
            Ok(Note::Missed(count)) => readers.missed(count).await,
            Err(error) => {
                tracing::warn!(%error, "a message of somebody else");
                readers.missed(1).await;
            }
        }
    }
    Ok(())
}
