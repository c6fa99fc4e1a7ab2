//! A link to a server that counts what is sent over it, slows it down, and cuts it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::World;
use super::gate::Gate;

/// Where to cut the link when a request with a certain text comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never gets the request.
    BeforeRequest,
    /// The server has answered, and the client never learns it.
    BeforeReply,
}

/// A proxy on the loopback address.
pub(crate) struct Link {
    url: String,
    wire: Arc<Wire>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Wire {
    /// What the client sent, one entry for each round trip.
    requests: Mutex<Vec<String>>,
    cut: Mutex<Option<(&'static str, Cut)>>,
    delay: Mutex<Duration>,
    gate: Gate,
}

impl Link {
    pub(crate) async fn to(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (before, after) = world.url().split_once('@').expect("a user in the URL");
        let (server, path) = after.split_once('/').expect("a database in the URL");
        let url = format!("{before}@127.0.0.1:{port}/{path}");
        let server: SocketAddr = server.parse().expect("an address in the URL");
        let wire = Arc::new(Wire::default());
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&wire)));
        Self { url, wire, accepting }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What the client has sent since the last call, one entry for each round trip, without pings.
    pub(crate) fn requests(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.wire.requests.lock().unwrap());
        let sent = requests.into_iter();
        // A ping is one packet of five bytes, whose only letter is its type.
        sent.filter(|request| request.len() > 5).collect()
    }

    /// Cuts the link once, at the next request that contains `text`.
    pub(crate) fn cut_at(&self, text: &'static str, cut: Cut) {
        *self.wire.cut.lock().unwrap() = Some((text, cut));
    }

    /// The gate that every reply passes.
    pub(crate) fn gate(&self) -> &Gate {
        &self.wire.gate
    }

    /// Every reply comes this much later from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.wire.delay.lock().unwrap() = delay;
    }
}

/// Whether a request is this statement: READ COMMITTED is no COMMIT.
pub(crate) fn says(request: &str, statement: &str) -> bool {
    let at = request.find(statement);
    at.is_some_and(|at| {
        !request[at + statement.len()..].starts_with(|next: char| next.is_ascii_alphanumeric())
    })
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Wire {
    /// One round trip can take several packets.
    fn note(&self, text: String, goes_on: bool) {
        let mut requests = self.requests.lock().unwrap();
        match requests.last_mut() {
            Some(last) if goes_on => last.push_str(&text),
            _ => requests.push(text),
        }
    }

    fn cut_for(&self, request: &str) -> Option<Cut> {
        let mut planned = self.cut.lock().unwrap();
        let (text, cut) = (*planned)?;
        if !says(request, text) {
            return None;
        }
        *planned = None;
        Some(cut)
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, wire: Arc<Wire>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(server).await else {
            continue;
        };
        tokio::spawn(carry(client, server, Arc::clone(&wire)));
    }
}

/// Carries requests and replies until one side ends, or the plan says so.
async fn carry(client: TcpStream, server: TcpStream, wire: Arc<Wire>) {
    _ = client.set_nodelay(true);
    _ = server.set_nodelay(true);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut request, mut reply) = (vec![0; 65_536], vec![0; 65_536]);
    let mut asking = false;
    let mut cut_the_reply = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let text = String::from_utf8_lossy(&request[..length]);
                let cut = wire.cut_for(&text);
                wire.note(text.into_owned(), asking);
                if !asking {
                    wire.gate.request();
                }
                asking = true;
                match cut {
                    Some(Cut::BeforeRequest) => return,
                    Some(Cut::BeforeReply) => cut_the_reply = true,
                    None => {}
                }
                if to_server.write_all(&request[..length]).await.is_err() {
                    return;
                }
            }
            read = from_server.read(&mut reply) => {
                let Ok(length @ 1..) = read else { return };
                if cut_the_reply {
                    return;
                }
                asking = false;
                let delay = *wire.delay.lock().unwrap();
                tokio::time::sleep(delay).await;
                wire.gate.reply().await;
                if to_client.write_all(&reply[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
