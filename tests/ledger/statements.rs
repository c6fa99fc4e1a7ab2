//! What a bid costs in round trips.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use auction_ledger::AuctionLedger;
use sea_orm::DatabaseConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{charge, ledger, open, terms};
use crate::support::{Database, World, on_every_backend};

/// The requests that went over a connection: whatever the client sends before the server answers is one.
type Requests = Arc<Mutex<Vec<Vec<u8>>>>;

/// The URL of a proxy in front of the world's server, and what it sees.
async fn proxy(world: &World) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (user, rest) = world.url().split_once('@').expect("a user in the URL");
    let (server, path) = rest.split_once('/').expect("a database in the URL");
    let server: SocketAddr = server.parse().expect("an address in the URL");
    let url = format!("{user}@127.0.0.1:{port}/{path}");
    let requests = Requests::default();
    let seen = requests.clone();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        carry(client, TcpStream::connect(server).await.unwrap(), &seen).await;
    });
    (url, requests)
}

/// Notes a request, or the rest of one.
fn note(seen: &Requests, bytes: &[u8], rest: bool) {
    let mut seen = seen.lock().unwrap();
    match seen.last_mut() {
        Some(last) if rest => last.extend_from_slice(bytes),
        _ => seen.push(bytes.to_vec()),
    }
}

/// Carries bytes in both directions until one side ends.
async fn carry(mut client: TcpStream, mut server: TcpStream, seen: &Requests) {
    let (mut request, mut reply) = (vec![0; 65_536], vec![0; 65_536]);
    let mut asking = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &request[..length];
                note(seen, bytes, asking);
                asking = true;
                if server.write_all(bytes).await.is_err() { return }
            }
            read = server.read(&mut reply) => {
                let Ok(length @ 1..) = read else { return };
                asking = false;
                if client.write_all(&reply[..length]).await.is_err() { return }
            }
        }
    }
}

/// A pool of one that tells `counter` of each statement it has run.
async fn counted(world: &World, url: &str, counter: &Arc<AtomicUsize>) -> DatabaseConnection {
    let mut db = world.database().connect(url, 1).await;
    let counter = counter.clone();
    db.set_metric_callback(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    db
}

on_every_backend! {
    /// On a server they are counted on the wire, by a proxy that sees all there is: each time the client speaks after the
    /// server has spoken is one round trip, so BEGIN, COMMIT and SET TRANSACTION are in it. Left out are the pings that
    /// sqlx sends when a connection leaves the pool and comes back: one packet of five bytes, on both servers.
    ///
    /// SQLite has no wire. SeaORM's metric callback sees each statement but the BEGIN and the COMMIT of its transaction,
    /// which are added. On the servers the callback is held against the wire: it must see all the rest.
    async fn an_outbidding_bid_takes_few_round_trips(world: &World) {
        let statements = Arc::new(AtomicUsize::new(0));
        let on_a_server = world.database() != Database::Sqlite;
        let (url, requests) = match on_a_server {
            true => proxy(world).await,
            false => (world.url().to_owned(), Requests::default()),
        };
        let (setup, clock) = ledger(world);
        charge(&setup, &["ann", "bob"], 1_000).await?;
        let auction = open(&setup, terms()).await?;
        let db = counted(world, &url, &statements).await;
        let ledger = AuctionLedger::new(db.clone()).clock(clock);
        // A first bid and a first outbid, which prepare the statements.
        ledger.place_bid(auction, "ann", 100.into()).await?;
        ledger.place_bid(auction, "bob", 110.into()).await?;
        requests.lock().unwrap().clear();
        statements.store(0, Ordering::SeqCst);

        let bid = ledger.place_bid(auction, "ann", 120.into()).await?;

        assert!(bid.outbid.is_some());
        // It closes the connection, so that the ping of its way back to the pool is over.
        db.close_by_ref().await?;
        let statements = statements.load(Ordering::SeqCst);
        let (most, begin_and_commit) = match world.database() {
            Database::Sqlite => (8, 2),
            Database::Postgres => (6, 2),
            // SET TRANSACTION ISOLATION LEVEL comes before BEGIN.
            Database::Mariadb => (11, 3),
        };
        let mut trips = statements + begin_and_commit;
        if on_a_server {
            let requests = requests.lock().unwrap();
            // The last one says goodbye.
            let sent = requests.iter().filter(|request| request.len() > 5);
            let texts: Vec<_> = sent.map(|request| String::from_utf8_lossy(request).into_owned()).collect();
            let pings = requests.len() - texts.len();
            println!("{} and {pings} pings or goodbyes: {texts:#?}", texts.len());
            assert_eq!(texts.len(), trips, "the callback has missed something");
            trips = texts.len();
        }
        println!("an outbidding bid on {}: {trips} round trips", world.database().label());
        assert!(trips <= most, "{trips} round trips, and {most} were promised");
    }

    async fn a_refused_bid_writes_nothing_and_takes_fewer(world: &World) {
        let statements = Arc::new(AtomicUsize::new(0));
        let (setup, clock) = ledger(world);
        charge(&setup, &["ann"], 1_000).await?;
        let auction = open(&setup, terms()).await?;
        let db = counted(world, world.url(), &statements).await;
        let ledger = AuctionLedger::new(db.clone()).clock(clock);
        ledger.place_bid(auction, "ann", 100.into()).await?;
        statements.store(0, Ordering::SeqCst);
        super::rejection(ledger.place_bid(auction, "ann", 100.into()).await);
        db.close_by_ref().await?;
        assert_eq!(statements.load(Ordering::SeqCst), 2, "the auction and the wallets");
    }
}
