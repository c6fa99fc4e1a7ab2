//! What a bid costs in round trips.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auction_ledger::AuctionLedger;
use sea_orm::DatabaseConnection;

use super::{charge, ledger, open, terms};
use crate::support::link::Link;
use crate::support::{Database, World, on_every_backend};

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
        let link = match world.database() {
            Database::Sqlite => None,
            Database::Postgres | Database::Mariadb => Some(Link::to(world).await),
        };
        let url = link.as_ref().map_or(world.url(), Link::url);
        let (setup, clock) = ledger(world);
        charge(&setup, &["ann", "bob"], 1_000).await?;
        let auction = open(&setup, terms()).await?;
        let db = counted(world, url, &statements).await;
        let ledger = AuctionLedger::new(db.clone()).clock(clock);
        // They prepare the statements: a first bid, a first outbid, and one of a user whose wallet is known.
        ledger.place_bid(auction, "ann", 100.into()).await?;
        ledger.place_bid(auction, "bob", 110.into()).await?;
        ledger.place_bid(auction, "ann", 120.into()).await?;
        drop(link.as_ref().map(Link::requests));
        statements.store(0, Ordering::SeqCst);

        let bid = ledger.place_bid(auction, "bob", 130.into()).await?;

        assert!(bid.outbid.is_some());
        // It closes the connection, so that the ping of its way back to the pool is over.
        db.close_by_ref().await?;
        let statements = statements.load(Ordering::SeqCst);
        let (most, begin_and_commit) = match world.database() {
            Database::Sqlite => (8, 2),
            Database::Postgres => (4, 2),
            // SET TRANSACTION ISOLATION LEVEL comes before BEGIN.
            Database::Mariadb => (11, 3),
        };
        let mut trips = statements + begin_and_commit;
        if let Some(link) = link {
            let requests = link.requests();
            println!("{requests:#?}");
            assert_eq!(requests.len(), trips, "the callback has missed something");
            trips = requests.len();
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
        let one_lock = world.database() == Database::Postgres;
        let locks = if one_lock { 1 } else { 2 };
        assert_eq!(statements.load(Ordering::SeqCst), locks, "the auction and the wallets");
    }
}
