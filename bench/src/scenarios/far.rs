//! The database half a millisecond away, and the other databases.

use auction_ledger::unit_of_work::Atomic;
use sea_orm::{ConnectionTrait, DbErr};
use tokio::time::Instant;

use super::peers::{IN_ORDER, in_order};
use super::{HOT, MANY, Section};
use crate::Failure;
use crate::contest::{Bench, Contestant, Peer};
use crate::database::{self, Engine, Pool};
use crate::load::percentile;
use crate::servers::with_port;

pub async fn far(bench: &Bench) -> Result<Section, Failure> {
    let all = vec![
        Contestant::new("ours", Peer::Ours, HOT, 256).far(),
        Contestant::new("alone", Peer::Alone, HOT, 256).far(),
        in_order(Contestant::new("alone, in order", Peer::Alone, HOT, 256).far()),
        Contestant::new("by hand", Peer::ByHand, HOT, 256).far(),
        Contestant::new("ours, 1,000 auctions", Peer::Ours, MANY, 256).far(),
        Contestant::new("by hand, 1,000 auctions", Peer::ByHand, MANY, 256).far(),
        Contestant::new("ours, one caller", Peer::Ours, HOT, 1).far(),
        Contestant::new("by hand, one caller", Peer::ByHand, HOT, 1).far(),
    ];
    let near = &bench.databases.servers.postgres;
    let (near, far) =
        (round_trip(near).await?, round_trip(&with_port(near, bench.far_port)?).await?);
    let note = format!(
        "A proxy of the bench delays each direction by 0.25 ms. `SELECT 1` takes {near:.2} ms without it and {far:.2} ms with \
         it (medians). {IN_ORDER}"
    );
    let lines = bench.rounds(all).await;
    Ok(Section::new("far", "The database half a millisecond away", lines).note(note))
}

/// The median time of an empty question, in milliseconds.
async fn round_trip(url: &str) -> Result<f64, Failure> {
    let db = database::connect(url, Pool { connections: 1, pings: false }).await?;
    // In one unit of work: a pool asks a connection that comes back whether it is still there.
    let all = db.atomic(async |uow| {
        let mut all = Vec::new();
        for _ in 0..300 {
            let asked = Instant::now();
            uow.execute_unprepared("SELECT 1").await?;
            all.push(asked.elapsed().as_micros() as u32);
        }
        Ok::<_, DbErr>(all)
    });
    let mut all = all.await?.into_value();
    db.close().await?;
    all.sort_unstable();
    Ok(percentile(&all, 0.5).unwrap_or(0.0))
}

pub async fn engines(bench: &Bench) -> Vec<Section> {
    let mut sections = Vec::new();
    for (engine, name, connections) in
        [(Engine::Mariadb, "mariadb", 16), (Engine::Sqlite, "sqlite", 4)]
    {
        // SeaORM's `begin` asks SQLite for the write lock too late to be waited for.
        let (few, by_hand) = if engine == Engine::Sqlite { (1, 1) } else { (2, connections) };
        let on = |name: &str, peer, shape, callers, connections| {
            Contestant::new(name, peer, shape, callers).on(engine, connections)
        };
        let all = vec![
            on("ours", Peer::Ours, HOT, 256, connections),
            on("ours, no key", Peer::Ours, HOT, 256, connections).without_key(),
            on("alone", Peer::Alone, HOT, 256, connections),
            on("alone, in order", Peer::Alone, HOT, 256, few),
            on("by hand", Peer::ByHand, HOT, 256, by_hand),
            on("ours, keys by time", Peer::Ours, HOT, 256, connections).keys_by_time(),
            on("alone, in order, keys by time", Peer::Alone, HOT, 256, few).keys_by_time(),
            on("ours, one caller", Peer::Ours, HOT, 1, connections),
            on("ours, 1,000 auctions", Peer::Ours, MANY, 256, connections),
            on("alone, 1,000 auctions", Peer::Alone, MANY, 256, connections),
        ];
        let lines = bench.rounds(all).await;
        sections.push(Section::new(name, engine.name(), lines).note(note(engine)));
    }
    sections
}

/// Why there are two kinds of keys.
const BY_TIME: &str = "Keys are random where it is not said otherwise; \"by time\" they are UUIDs of version 7, which are stored beside \
each other on SQLite.";

fn note(engine: Engine) -> String {
    let own = match engine {
        Engine::Sqlite => {
            " A file with a write-ahead log, `synchronous=FULL` and `wal_autocheckpoint=10000`. The pool has 4 connections, \
             and one where it is in order and by hand."
        }
        _ => "",
    };
    format!("{IN_ORDER}{own} {BY_TIME}")
}
