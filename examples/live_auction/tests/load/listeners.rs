//! Pages that listen, and look at every event: none is left out, none comes twice, none comes too early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use auction_ledger::AuctionId;
use futures::StreamExt;
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::house::cookie;

/// One of so many is looked at more closely.
const SAMPLE: usize = 50;
/// The server says something every 20 seconds; a connection that is silent for longer is dead, as to the page's script.
const SILENCE: Duration = Duration::from_secs(45);
/// The page's script waits before it comes back, too.
const PAUSE: Duration = Duration::from_millis(500);
/// How much a listener takes at once.
const BUFFER: usize = 16 << 10;

/// What a listener does besides listening, once a minute.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Stays,
    /// Takes nothing for half a minute, as a phone that sleeps.
    Dozes,
    /// Loses the connection, and comes back after five seconds.
    Goes,
}

impl Habit {
    const EVERY: Duration = Duration::from_secs(60);

    fn of(number: usize) -> Self {
        match number % 100 {
            25 => Self::Dozes,
            75 => Self::Goes,
            _ => Self::Stays,
        }
    }

    fn lasts(self) -> Duration {
        match self {
            Self::Stays | Self::Dozes => Duration::from_secs(30),
            Self::Goes => Duration::from_secs(5),
        }
    }
}

/// What all listeners do together.
#[derive(Default)]
pub(crate) struct Counts {
    connected: AtomicUsize,
    /// How often one has come back: after going, and after it was sent away.
    pub(crate) gone: AtomicU64,
    pub(crate) sent_away: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) shown: AtomicU64,
}

impl Counts {
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Relaxed)
    }
}

/// What a listener has at the end.
pub(crate) struct Heard {
    pub(crate) user: String,
    /// What its page shows.
    pub(crate) shown: Value,
    /// Of some listeners: prices, and when they came, in microseconds since the start.
    pub(crate) arrivals: Vec<(usize, u64)>,
}

pub(crate) struct Listener {
    user: String,
    port: u16,
    path: String,
    start: Instant,
    habit: Habit,
    is_sampled: bool,
    /// The last event that was told: the number of its command, and its own. It knows of the opening.
    told: (i64, i64),
    /// The last that was shown, as it was sent.
    shown: String,
    arrivals: Vec<(usize, u64)>,
}

type Socket = WebSocketStream<TcpStream>;

impl Listener {
    pub(crate) fn new(
        number: usize,
        user: String,
        port: u16,
        auction: AuctionId,
        start: Instant,
    ) -> Self {
        let path = format!("/as/{user}/auctions/{auction}/live");
        let (habit, is_sampled) = (Habit::of(number), number.is_multiple_of(SAMPLE));
        let (shown, arrivals) = (String::new(), Vec::new());
        Self { user, port, path, start, habit, is_sampled, told: (1, 0), shown, arrivals }
    }

    /// Listens until it has everything up to the last command, which is known at the end.
    pub(crate) async fn listen(
        mut self,
        mut ended: watch::Receiver<Option<i64>>,
        counts: Arc<Counts>,
    ) -> Heard {
        let mut connected = false;
        let mut next = Instant::now() + Habit::EVERY / 4;
        loop {
            let Some(mut socket) = self.connect().await else {
                sleep(PAUSE).await;
                continue;
            };
            if !connected {
                counts.connected.fetch_add(1, Relaxed);
                connected = true;
            }
            let lost = loop {
                let last = *ended.borrow_and_update();
                if last.is_some_and(|last| self.has_all(last)) {
                    let shown: Value = serde_json::from_str(&self.shown).unwrap();
                    let shown = shown["shown"].clone();
                    return Heard { user: self.user, shown, arrivals: self.arrivals };
                }
                tokio::select! {
                    message = timeout(SILENCE, socket.next()) => match message {
                        Ok(Some(Ok(Message::Text(text)))) => self.hear(&text, &counts),
                        Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => break true,
                        Ok(Some(Ok(_))) => {}
                        Err(_) => panic!("{} hears nothing any more", self.user),
                    },
                    _ = ended.changed() => {}
                    () = tokio::time::sleep_until(next), if self.habit != Habit::Stays => {
                        next += Habit::EVERY;
                        if self.habit == Habit::Goes {
                            break false;
                        }
                        sleep(self.habit.lasts()).await;
                    }
                }
            };
            drop(socket);
            if lost {
                counts.sent_away.fetch_add(1, Relaxed);
                sleep(PAUSE).await;
            } else {
                counts.gone.fetch_add(1, Relaxed);
                sleep(self.habit.lasts()).await;
            }
        }
    }

    fn has_all(&self, last: i64) -> bool {
        self.told.0 == last && !self.shown.is_empty() && number(&self.shown, "\"seq\":") == last
    }

    /// Opens the WebSocket as the script of the page does, and says what it knows. There is none if too many are open.
    async fn connect(&self) -> Option<Socket> {
        let (seq, index) = self.told;
        let origin = format!("127.0.0.1:{}", self.port);
        let url = format!("ws://{origin}{}?since={seq}&index={index}", self.path);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Cookie", HeaderValue::from_str(&cookie(&self.user)).unwrap());
        headers.insert("Origin", HeaderValue::from_str(&format!("http://{origin}")).unwrap());
        let socket = TcpSocket::new_v4().unwrap();
        if self.habit == Habit::Dozes {
            // So that the server finds out.
            socket.set_recv_buffer_size(4 << 10).unwrap();
        }
        let stream = socket.connect(origin.parse().unwrap()).await.ok()?;
        let config = WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(0);
        match timeout(SILENCE, client_async_with_config(request, stream, Some(config))).await {
            Ok(Ok((stream, _))) => Some(stream),
            Ok(Err(Error::Http(answer))) => {
                assert_eq!(answer.status(), 503, "{} is refused", self.user);
                None
            }
            Ok(Err(_)) => None,
            Err(_) => panic!("{} is not answered", self.user),
        }
    }

    fn hear(&mut self, text: &str, counts: &Counts) {
        let seq = number(text, "\"seq\":");
        let (told, index) = self.told;
        if text.starts_with(r#"{"kind":"shown""#) {
            counts.shown.fetch_add(1, Relaxed);
            assert!(seq <= told, "{} is shown {seq} and was told up to {told}", self.user);
            let before = if self.shown.is_empty() { 0 } else { number(&self.shown, "\"seq\":") };
            assert!(seq >= before, "{} is shown {seq} after {before}", self.user);
            text.clone_into(&mut self.shown);
            return;
        }
        assert!(text.starts_with(r#"{"kind":"event""#), "{text}");
        counts.events.fetch_add(1, Relaxed);
        let (last, own) = (self.told, number(text, "\"index\":"));
        self.told = (seq, own);
        if text.ends_with(r#""is_private":true}"#) {
            assert!(
                seq == told && own > index,
                "{}: after {last:?} comes {:?}",
                self.user,
                self.told
            );
            return;
        }
        let is_next = (seq == told + 1 && own == 0) || (seq == told && own == index + 1);
        assert!(is_next, "{}: after {last:?} comes {:?}", self.user, self.told);
        if self.is_sampled {
            let (_, price) = text.split_once("\"price\":\"").unwrap();
            let price = price.split('"').next().unwrap().replace('.', "").parse().unwrap();
            let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap();
            self.arrivals.push((price, micros));
        }
    }
}

/// The number behind a name.
fn number(text: &str, name: &str) -> i64 {
    let (_, after) = text.split_once(name).unwrap();
    after.split(|other: char| !other.is_ascii_digit()).next().unwrap().parse().unwrap()
}
