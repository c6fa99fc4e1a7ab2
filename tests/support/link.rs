//! A link to a server that counts what is sent over it, slows it down, and cuts it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::World;
use super::gate::Gate;

/// Where to cut the link when a certain request comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never gets the request.
    BeforeRequest,
    /// The server has got the request, and the client has left before it could answer.
    AfterRequest,
    /// The server has answered, and the client never learns it.
    BeforeReply,
    /// The client has left at once, and the server gets the request a second and a half later.
    Late,
}

/// Asked once for each request, with its text: whether to cut the link there, and how.
type Plan = Box<dyn FnMut(&str) -> Option<Cut> + Send>;

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
    plan: Mutex<Option<Plan>>,
    cuts: AtomicUsize,
    /// Whether nothing gets through any more, on no connection.
    down: watch::Sender<bool>,
    delay: Mutex<Duration>,
    gate: Gate,
}

impl Link {
    pub(crate) async fn to(world: &World) -> Self {
        Self::to_url(world.url()).await
    }

    /// A link to the server of a URL, whose host is an address.
    pub(crate) async fn to_url(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (before, after) = url.split_once('@').expect("a user in the URL");
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
        let mut planned = Some(cut);
        self.cut_when(move |request| planned.take_if(|_| says(request, text)));
    }

    /// Cuts the link once, at the `n`-th request from now, counted from 0 over all connections. A ping is a request too.
    pub(crate) fn cut_nth(&self, n: usize, cut: Cut) {
        let mut requests = 0..=n;
        self.cut_when(move |_| (requests.next() == Some(n)).then_some(cut));
    }

    /// Cuts the connection of a request as often as `plan` says so.
    pub(crate) fn cut_when(&self, plan: impl FnMut(&str) -> Option<Cut> + Send + 'static) {
        *self.wire.plan.lock().unwrap() = Some(Box::new(plan));
    }

    /// How often the link has been cut.
    pub(crate) fn cuts(&self) -> usize {
        self.wire.cuts.load(Ordering::SeqCst)
    }

    /// As soon as it is cut, nothing gets through any more: every connection ends, and each new one at once.
    pub(crate) fn stay_down_when_cut(&self) {
        let plan = self.wire.plan.lock().unwrap().take();
        let mut plan = plan.expect("a cut was planned");
        let wire = Arc::downgrade(&self.wire);
        self.cut_when(move |request| {
            let cut = plan(request)?;
            if let Some(wire) = wire.upgrade() {
                wire.down.send_replace(true);
            }
            Some(cut)
        });
    }

    /// Lets everything through again.
    pub(crate) fn mend(&self) {
        *self.wire.plan.lock().unwrap() = None;
        self.wire.down.send_replace(false);
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
        let cut = self.plan.lock().unwrap().as_mut()?(request)?;
        self.cuts.fetch_add(1, Ordering::SeqCst);
        Some(cut)
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, wire: Arc<Wire>) {
    while let Ok((client, _)) = listener.accept().await {
        if *wire.down.borrow() {
            continue;
        }
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
    let mut down = wire.down.subscribe();
    let mut asking = false;
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
                if cut == Some(Cut::BeforeRequest) {
                    return;
                }
                if cut == Some(Cut::Late) {
                    drop((from_client, to_client));
                    tokio::time::sleep(Duration::from_millis(1_500)).await;
                    _ = to_server.write_all(&request[..length]).await;
                    _ = from_server.read(&mut reply).await;
                    return;
                }
                if to_server.write_all(&request[..length]).await.is_err() {
                    return;
                }
                // A long request comes in pieces, and is not answered before its last one.
                while cut == Some(Cut::BeforeReply) {
                    tokio::select! {
                        _ = from_server.read(&mut reply) => return,
                        read = from_client.read(&mut request) => {
                            let Ok(length @ 1..) = read else { return };
                            _ = to_server.write_all(&request[..length]).await;
                        }
                    }
                }
                if cut.is_some() {
                    return;
                }
            }
            read = from_server.read(&mut reply) => {
                let Ok(length @ 1..) = read else { return };
                asking = false;
                let delay = *wire.delay.lock().unwrap();
                tokio::time::sleep(delay).await;
                wire.gate.reply().await;
                if to_client.write_all(&reply[..length]).await.is_err() {
                    return;
                }
            }
            () = ended(&mut down) => return,
        }
    }
}

async fn ended(down: &mut watch::Receiver<bool>) {
    _ = down.wait_for(|down| *down).await;
}
