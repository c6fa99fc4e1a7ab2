//! The WebSocket of an auction's page: what was missed, and then what happens, without a gap and without a repetition.
//!
//! A connection listens first and then reads what it has missed from the ledger, so nothing can fall in between. What comes twice
//! is told once, for events have positions. Whatever makes a gap is closed in one way, by reading from the ledger: a connection
//! that was lost, a reader that was too slow, a process elsewhere whose events did not arrive.

use std::time::Duration;

use auction_ledger::{AuctionEvent, AuctionId, EventKind, EventReader, EventReaderError};
use axum::extract::ws::{CloseCode, CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures::{FutureExt, SinkExt};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use crate::WATCHERS;
use crate::app::App;
use crate::failure::Failure;
use crate::position::Position;
use crate::session::Session;
use crate::shown::Shown;
use crate::words;

/// So often the page is told anew what it shows. It sets the clock of the browser right, shows it that the connection lives, and
/// finds out whether anything was missed that nobody has told of.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// What happens so soon after something was told waits, and is told together: nobody reads faster, and to write to many pages takes
/// time. What happens after a pause is told at once.
const PACE: Duration = Duration::from_millis(100);
/// A browser that takes longer for one message is gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to answer a farewell.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many events are told before the page is told what it shows.
const BURST: usize = 64;
/// How many commands are read at a time.
const PAGE: u64 = 100;
/// A browser has nothing to say but that it goes.
const LARGEST_MESSAGE: usize = 1_024;
/// What is fed is sent at the latest when it is so many bytes. A buffer keeps the size of the largest burst there ever was, and there
/// is one for each page.
const WRITE_BUFFER: usize = 8 << 10;

/// `?since=SEQ&index=INDEX` is the last event that the page knows; without an index, all events of that command.
pub(crate) async fn live(
    State(app): State<App>,
    session: Session,
    Path((_, id)): Path<(String, i64)>,
    since: Query<Position>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Failure> {
    // A browser lets any page open a WebSocket to anywhere, and sends our cookie along.
    if !app.origins.is_our_page(&headers) {
        return Err(Failure::ForeignPage);
    }
    let permit = app.watchers.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Failure::TooManyWatchers)?;
    let place = u32::try_from(app.watchers.available_permits()).unwrap_or(0);
    let beat = HEARTBEAT.checked_div(WATCHERS.into()).unwrap_or(HEARTBEAT);
    let auction = AuctionId::from(id);
    let last = app.ledger.auction(auction).await?.seq;
    let upgrade = upgrade.max_message_size(LARGEST_MESSAGE).max_frame_size(LARGEST_MESSAGE);
    let upgrade = upgrade.read_buffer_size(LARGEST_MESSAGE).write_buffer_size(WRITE_BUFFER);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let watcher = Watcher {
            // Before anything is read: what happens meanwhile waits in the reader.
            reader: app.events.subscribe_for(session.user()),
            stopping: app.stopping.subscribe(),
            // A page from before the database was replaced has seen more than there is.
            told: since.0.min(Position::whole(last)),
            shown: None,
            first_heartbeat: beat.saturating_mul(place),
            app,
            session,
            auction,
            socket,
            _permit: permit,
        };
        watcher.run().await;
    }))
}

/// One page that is open.
struct Watcher {
    app: App,
    session: Session,
    auction: AuctionId,
    socket: WebSocket,
    reader: EventReader,
    stopping: watch::Receiver<bool>,
    /// The last event that was told.
    told: Position,
    /// What the page shows, unless that has to be read.
    shown: Option<Shown>,
    /// Each has its own, for all pages may have come at once: after the server was away.
    first_heartbeat: Duration,
    _permit: OwnedSemaphorePermit,
}

/// What a page is told.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum News<'a> {
    /// Something has happened.
    Event {
        event: &'a AuctionEvent,
        /// As a sentence, if there is anything to be seen.
        text: Option<String>,
        /// Whether nobody else is told.
        is_private: bool,
    },
    /// What is to be seen now.
    Shown { shown: &'a Shown },
}

/// Why a connection ends.
enum End {
    /// The browser has gone, or takes nothing any more.
    Gone,
    /// It is told why.
    Told(CloseCode, &'static str),
}

impl From<auction_ledger::Error> for End {
    fn from(error: auction_ledger::Error) -> Self {
        tracing::error!(?error, "a page could not be told what happens");
        Self::Told(close_code::ERROR, "come back")
    }
}

impl Watcher {
    async fn run(mut self) {
        let Err(end) = self.watch().await;
        if let End::Told(code, reason) = end {
            let frame = CloseFrame { code, reason: reason.into() };
            // Then the browser answers, and that is all.
            let goodbye = async {
                self.socket.send(Message::Close(Some(frame))).await?;
                while let Some(Ok(_)) = self.socket.recv().await {}
                Ok::<_, axum::Error>(())
            };
            _ = timeout(FAREWELL, goodbye).await;
        }
    }

    async fn watch(&mut self) -> Result<std::convert::Infallible, End> {
        self.catch_up(i64::MAX).await?;
        self.show().await?;
        let mut pace = interval(PACE);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset_after(self.first_heartbeat);
        let mut session_ends = std::pin::pin!(sleep(self.session.time_left()));
        loop {
            tokio::select! {
                read = next(&mut self.reader, &mut pace) => {
                    self.tell_all(read).await?;
                    pace.reset();
                }
                message = self.socket.recv() => match message {
                    None | Some(Err(_) | Ok(Message::Close(_))) => return Err(End::Gone),
                    Some(Ok(_)) => {}
                },
                _ = heartbeat.tick() => {
                    self.shown = None;
                    self.show().await?;
                }
                () = stopped(&mut self.stopping) => {
                    return Err(End::Told(close_code::AWAY, "the server stops"));
                }
                () = &mut session_ends => {
                    return Err(End::Told(close_code::POLICY, "sign in again"));
                }
            }
        }
    }

    /// Tells what has come, and what else is there already; then what the page shows, once for all of it.
    async fn tell_all(&mut self, first: Result<AuctionEvent, EventReaderError>) -> Result<(), End> {
        let (mut read, mut shows) = (first, false);
        for _ in 0..BURST {
            shows |= self.tell(read).await?;
            match self.reader.recv().now_or_never() {
                Some(next) => read = next,
                None => return if shows { self.show().await } else { Ok(()) },
            }
        }
        self.tell(read).await?;
        self.show().await
    }

    /// Tells an event, and whether the page shows something else now.
    async fn tell(&mut self, read: Result<AuctionEvent, EventReaderError>) -> Result<bool, End> {
        let event = match read {
            Ok(event) => event,
            Err(EventReaderError::Closed) => return Err(End::Told(close_code::AWAY, "come back")),
            Err(error) => {
                tracing::info!(%error, "a page was too slow, and reads what it has missed");
                self.catch_up(i64::MAX).await?;
                return Ok(true);
            }
        };
        let user = self.session.user();
        if event.auction != self.auction {
            let moves = moves_money_of(user, &event);
            if moves {
                self.shown = None;
            }
            return Ok(moves);
        }
        let position = Position::of(&event);
        if position <= self.told {
            return Ok(false);
        }
        if self.told.reaches(&event) {
            self.shown.take_if(|shown| !shown.follow(&event, user));
            self.feed_event(&event).await?;
            self.told = position;
        } else {
            self.catch_up(i64::MAX).await?;
        }
        Ok(true)
    }

    /// Tells everything up to the command `last` that is committed and was not told, page by page.
    async fn catch_up(&mut self, last: i64) -> Result<(), End> {
        let (ledger, user) = (self.app.ledger.clone(), self.session.user().to_owned());
        self.shown = None;
        loop {
            let (told, since) = (self.told, self.told.complete());
            // Every number occurs, so these are commands up to `last`.
            let limit = PAGE.min(last.saturating_sub(since).max(0).unsigned_abs());
            let page = ledger.events(self.auction).since(since).limit(limit).for_user(&*user);
            let page = page.await?;
            // A command of which a part was told is read again as a whole.
            for event in page.iter().filter(|event| Position::of(event) > told) {
                self.feed_event(event).await?;
            }
            let read = page.last().map_or(since, |event| event.seq);
            self.told = self.told.max(Position::whole(read));
            if read.saturating_sub(since).unsigned_abs() < PAGE {
                return Ok(());
            }
        }
    }

    /// Tells what the page shows now: what has followed from events, or else what is read. With it everything is sent.
    async fn show(&mut self) -> Result<(), End> {
        let shown = match self.shown.take() {
            Some(shown) => shown,
            None => {
                let user = self.session.user();
                let (_, shown) = Shown::read(&self.app.ledger, self.auction, user).await?;
                // It has gone further than what was told: its events are there, and may never arrive by themselves. What came
                // after it is told, and shown, when it arrives.
                if shown.seq > self.told.seq() {
                    self.catch_up(shown.seq).await?;
                }
                shown
            }
        };
        self.feed(&News::Shown { shown: &shown }).await?;
        self.shown = Some(shown);
        in_time(self.socket.flush()).await
    }

    async fn feed_event(&mut self, event: &AuctionEvent) -> Result<(), End> {
        let text = words::of_event(event, self.session.user());
        self.feed(&News::Event { event, text, is_private: event.recipient().is_some() }).await
    }

    /// Writes news that are sent together with what comes after them.
    async fn feed(&mut self, news: &News<'_>) -> Result<(), End> {
        let json = serde_json::to_string(news).map_err(|error| {
            tracing::error!(%error, "an event could not be written as JSON");
            End::Told(close_code::ERROR, "come back")
        })?;
        in_time(self.socket.feed(Message::text(json))).await
    }
}

/// Waits for the browser, but not long.
async fn in_time(sending: impl Future<Output = Result<(), axum::Error>>) -> Result<(), End> {
    match timeout(PATIENCE, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

/// What comes next, and not before it is time.
async fn next(
    reader: &mut EventReader,
    pace: &mut Interval,
) -> Result<AuctionEvent, EventReaderError> {
    pace.tick().await;
    reader.recv().await
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    _ = stopping.wait_for(|stop| *stop).await;
}

/// Whether an event of another auction changes what a user has available or held.
fn moves_money_of(user: &str, event: &AuctionEvent) -> bool {
    let is_recipient = event.recipient().is_some_and(|recipient| recipient.as_str() == user);
    is_recipient
        || match &event.kind {
            EventKind::BidPlaced { bidder, .. } => bidder.as_str() == user,
            EventKind::Sold { buyer, seller, .. } => {
                buyer.as_str() == user || seller.as_str() == user
            }
            // Whoever has raised a maximum, or placed a sealed bid, is not told.
            EventKind::Unchanged | EventKind::SealedBid => true,
            _ => false,
        }
}
