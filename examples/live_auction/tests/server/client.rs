//! A server on a free port of this machine, and browsers that are as strict as the tests need them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use live_auction::{Config, Failed};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Nothing takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

/// A server that runs in this process.
pub(crate) struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), Failed>>,
}

/// A folder for a database, and the URL of that.
pub(crate) fn database() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    (folder, url)
}

fn url_in(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("live.db").display())
}

impl Server {
    pub(crate) async fn start(database: &str) -> Self {
        Self::start_with(database, None).await
    }

    pub(crate) async fn start_with(database: &str, redis: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config {
            database: database.to_owned(),
            redis,
            secret: b"the same secret in all processes".to_vec(),
            origins: vec![format!("http://{address}")],
        };
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { _ = stopped.await };
        let running = tokio::spawn(live_auction::run(config, listener, stopped));
        let server = Self { address, stop, running };
        // The port is open already: the first answer comes when the server is there.
        let answer = server.visitor().get("/").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        server
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Somebody who has not signed in.
    pub(crate) fn visitor(&self) -> Browser {
        Browser { address: self.address, user: String::new(), cookie: String::new() }
    }

    /// The browser of a user who has signed in.
    pub(crate) async fn browser(&self, user: &str) -> Browser {
        let visitor = self.visitor();
        let answer = visitor.post("/sign-in", &[("user", user)]).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let cookie = answer.headers["set-cookie"].split(';').next().unwrap().to_owned();
        Browser { user: user.to_owned(), cookie, ..visitor }
    }

    /// Stops it, and waits until it has ended in order.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        soon("the shutdown", self.running).await.unwrap().unwrap();
    }
}

#[derive(Clone)]
pub(crate) struct Browser {
    address: SocketAddr,
    pub(crate) user: String,
    pub(crate) cookie: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// What the page of an auction has in its forms.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) token: String,
    pub(crate) key: String,
}

impl Browser {
    /// The same cookie at another server.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self { address: server.address, ..self.clone() }
    }

    /// Asks for the pages of `user` with this cookie.
    pub(crate) fn with(&self, user: &str, cookie: &str) -> Self {
        Self { user: user.to_owned(), cookie: cookie.to_owned(), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("Cookie", &self.cookie)], "").await
    }

    /// Sends a form, as a browser without a script does.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.address);
        self.post_with(path, fields, &[("Origin", &origin)]).await
    }

    /// The same, with what headers there are besides the cookie.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let encoded =
            |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let fields = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        let body = fields.collect::<Vec<_>>().join("&");
        let mut all = vec![
            ("Cookie", self.cookie.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        all.extend(headers);
        self.send("POST", path, &all, &body).await
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let host = self.address.to_string();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let mut answer = Vec::new();
        soon(path, async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.read_to_end(&mut answer).await.unwrap();
        })
        .await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers =
            headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Answer { status, headers, body: body.to_owned() }
    }

    /// The path of an auction whose title begins so.
    pub(crate) async fn auction(&self, title: &str) -> String {
        let list = self.get(&format!("/as/{}", self.user)).await.body;
        let (before, _) = list.split_once(&format!("\">{title}")).unwrap();
        before.rsplit_once('"').unwrap().1.replace(&format!("/as/{}/", self.user), "/")
    }

    /// The path of a page of this user.
    fn path(&self, auction: &str, verb: &str) -> String {
        format!("/as/{}{auction}{verb}", self.user)
    }

    pub(crate) async fn page(&self, auction: &str) -> Answer {
        self.get(&self.path(auction, "")).await
    }

    pub(crate) async fn form(&self, auction: &str) -> Form {
        let page = self.page(auction).await.body;
        let field = |name: &str| {
            let (_, after) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
            after.split('"').next().unwrap().to_owned()
        };
        Form { token: field("token"), key: field("key") }
    }

    /// Bids as the script of the page does.
    pub(crate) async fn bid(&self, auction: &str, amount: &str) -> Answer {
        let form = self.form(auction).await;
        self.bid_with(auction, &form, amount).await
    }

    pub(crate) async fn bid_with(&self, auction: &str, form: &Form, amount: &str) -> Answer {
        let fields = [("token", &*form.token), ("key", &*form.key), ("amount", amount)];
        self.script(&self.path(auction, "/bid"), &fields).await
    }

    pub(crate) async fn buy(&self, auction: &str) -> Answer {
        let form = self.form(auction).await;
        let fields = [("token", &*form.token), ("key", &*form.key)];
        self.script(&self.path(auction, "/buy"), &fields).await
    }

    async fn script(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.address);
        self.post_with(path, fields, &[("Origin", &origin), ("Accept", "application/json")]).await
    }

    /// Sends a form of an auction's page without a script.
    pub(crate) async fn send_form(
        &self,
        auction: &str,
        verb: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        self.post(&self.path(auction, verb), fields).await
    }

    /// Opens the WebSocket of an auction's page, from a page of the server.
    pub(crate) async fn watch(&self, auction: &str, since: &str) -> Socket {
        let origin = format!("http://{}", self.address);
        self.watch_from(auction, since, Some(&origin)).await.unwrap()
    }

    /// The same, from a page of `origin`: the socket, or the status of a refusal.
    pub(crate) async fn watch_from(
        &self,
        auction: &str,
        since: &str,
        origin: Option<&str>,
    ) -> Result<Socket, u16> {
        let path = self.path(auction, "/live");
        let url = format!("ws://{}{path}?{since}", self.address);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Cookie", HeaderValue::from_str(&self.cookie).unwrap());
        if let Some(origin) = origin {
            headers.insert("Origin", HeaderValue::from_str(origin).unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        match soon(&path, tokio_tungstenite::client_async(request, stream)).await {
            Ok((stream, _)) => Ok(Socket { stream, heard: Vec::new() }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The WebSocket of a page.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// All that was heard, as it was sent.
    pub(crate) heard: Vec<String>,
}

impl Socket {
    async fn message(&mut self) -> Message {
        soon("a message", self.stream.next()).await.expect("the connection ended").unwrap()
    }

    /// The next piece of news.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.message().await {
                self.heard.push(text.to_string());
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Listens until the page shows what stands at the command `seq`, or later: the events until then, and what is shown.
    pub(crate) async fn until(&mut self, seq: i64) -> (Vec<Value>, Value) {
        let mut events = Vec::new();
        loop {
            let mut news = self.next().await;
            if news["kind"] == "event" {
                events.push(news);
            } else if news["shown"]["seq"].as_i64().unwrap() >= seq {
                return (events, news["shown"].take());
            }
        }
    }

    /// Listens until there have been so many events, whatever is shown meanwhile.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            let news = self.next().await;
            if news["kind"] == "event" {
                events.push(news);
            }
        }
        events
    }

    /// Listens until the server closes, and says why.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            if let Message::Close(frame) = self.message().await {
                // The library answers when the stream is asked again.
                _ = self.stream.flush().await;
                return frame;
            }
        }
    }
}

/// The number of an event's command, its own, and its type.
pub(crate) fn named(news: &Value) -> (i64, i64, String) {
    let event = &news["event"];
    let number = |name: &str| event[name].as_i64().unwrap();
    (number("seq"), number("index"), event["type"].as_str().unwrap().to_owned())
}
