//! Bids as browsers send them, on connections that stay open. They come when they are due, however long the ones before take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use auction_ledger::AuctionId;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::client::soon;
use crate::house::{BIDDERS, bidder, cookie};

/// A bid that is sent so long after it was due is late.
const LATE: Duration = Duration::from_millis(100);
/// No answer is longer.
const LONGEST: usize = 1 << 20;

/// What became of the bids. Each has another price, and that is its name, in cents.
pub(crate) struct Bids {
    start: Instant,
    next: AtomicUsize,
    /// When the bid of a price was sent and when its answer came, in microseconds since the start.
    times: Vec<(AtomicU64, AtomicU64)>,
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
}

impl Bids {
    pub(crate) fn of(start: Instant, count: usize) -> Self {
        let times = (0..=count).map(|_| Default::default()).collect();
        let (next, zero) = (AtomicUsize::new(1), || AtomicU64::new(0));
        let (accepted, refused, failed, late) = (zero(), zero(), zero(), zero());
        Self { start, next, times, accepted, refused, failed, late }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Those that others had overtaken.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Those with another answer.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(crate) fn late(&self) -> u64 {
        self.late.load(Relaxed)
    }

    /// When the bid of a price was sent and when its answer came.
    pub(crate) fn times(&self, price: usize) -> (u64, u64) {
        let (sent, answered) = &self.times[price];
        (sent.load(Relaxed), answered.load(Relaxed))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap()
    }

    /// Sends `rate` bids a second, and waits until all are answered.
    pub(crate) async fn come(
        self: Arc<Self>,
        port: u16,
        auction: AuctionId,
        rate: usize,
        seconds: usize,
    ) {
        let mut bidders = JoinSet::new();
        let mut lines = Vec::new();
        for number in 0..BIDDERS {
            let (line, due) = mpsc::unbounded_channel();
            lines.push(line);
            let bidder = Bidder::at(port, auction, number);
            bidders.spawn(bidder.bid(Arc::clone(&self), due));
        }
        let mut ticks = interval(Duration::from_secs(1) / u32::try_from(rate).unwrap());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0..rate * seconds {
            let due = ticks.tick().await;
            lines[number % BIDDERS].send(due).unwrap();
        }
        drop(lines);
        bidders.join_all().await;
    }
}

/// A page of a bidder, and what its form carries.
struct Bidder {
    client: Client<HttpConnector, Body>,
    origin: String,
    page: String,
    cookie: String,
}

impl Bidder {
    fn at(port: u16, auction: AuctionId, number: usize) -> Self {
        let (origin, user) = (format!("http://127.0.0.1:{port}"), bidder(number));
        let page = format!("{origin}/as/{user}/auctions/{auction}");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, origin, page, cookie: cookie(&user) }
    }

    async fn ask(&self, request: Request<Body>) -> (u16, String) {
        let answer = soon("an answer", self.client.request(request)).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(Body::new(answer.into_body()), LONGEST).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Bids whenever it is due.
    async fn bid(self, bids: Arc<Bids>, mut due: mpsc::UnboundedReceiver<Instant>) {
        let page = Request::get(&self.page).header("Cookie", &self.cookie);
        let (status, page) = self.ask(page.body(Body::empty()).unwrap()).await;
        assert_eq!(status, 200, "{page}");
        let field = |name: &str| {
            let (_, after) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
            after.split('"').next().unwrap().to_owned()
        };
        let (token, mut key) = (field("token"), field("key"));
        while let Some(due) = due.recv().await {
            if due.elapsed() > LATE {
                bids.late.fetch_add(1, Relaxed);
            }
            let price = bids.next.fetch_add(1, Relaxed);
            let (euros, cents) = (price / 100, price % 100);
            let form = format!("token={token}&key={key}&amount={euros}.{cents:02}");
            bids.times[price].0.store(bids.now(), Relaxed);
            let (status, body) = self.ask(self.form(form)).await;
            bids.times[price].1.store(bids.now(), Relaxed);
            match status {
                200 => &bids.accepted,
                422 => &bids.refused,
                status => {
                    println!("{status} to {price}: {body}");
                    bids.failed.fetch_add(1, Relaxed);
                    continue;
                }
            }
            .fetch_add(1, Relaxed);
            let mut answer: Value = serde_json::from_str(&body).unwrap();
            let text = answer["text"].as_str().unwrap();
            assert!(status == 200 || text.starts_with("That is too low"), "{text}");
            let Value::String(next) = answer["key"].take() else { panic!("{body}") };
            key = next;
        }
    }

    fn form(&self, form: String) -> Request<Body> {
        Request::post(format!("{}/bid", self.page))
            .header("Cookie", &self.cookie)
            .header("Origin", &self.origin)
            .header("Accept", "application/json")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap()
    }
}
