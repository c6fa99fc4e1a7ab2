//! Processes that relay are killed with SIGKILL while they deliver, under load: nothing is missing, of each auction all comes
//! in order, and what comes again is what a relay promises, no more.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use auction_ledger::{AuctionEvent, AuctionId, AuctionLedger, Error, EventSink, Relay, SinkError};

use super::{all_of, bids, charge, open, until};
use crate::faults::child::{self, Process};
use crate::support::{Database, Schema, TestResult, World, run, scale};

/// A test for each database; the process that is killed runs it again, and plays its part.
macro_rules! on {
    ($database:ident $name:ident $(#[$attribute:meta])*) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[$attribute])*
        async fn $name() -> TestResult {
            const NAME: &str = concat!(module_path!(), "::", stringify!($name));
            match child::part() {
                Some(part) => relay_until_killed(Database::$database, &part).await,
                None => {
                    let body = async |world: &World| kill_and_look(world, NAME).await;
                    run(Database::$database, Schema::Migrated, NAME, body).await;
                    Ok(())
                }
            }
        }
    };
}

on!(Sqlite sqlite);
on!(Postgres postgres #[ignore = "needs a server: run scripts/test"]);
on!(Mariadb mariadb #[ignore = "needs a server: run scripts/test"]);

/// Long enough for one page of events, and short enough to be waited for.
const LEASE: Duration = Duration::from_millis(600);

/// Commands whose events may come again: those of one page.
const PAGE: i64 = 100;

fn relay(ledger: &AuctionLedger, file: &Path) -> Result<Relay, Error> {
    let relay = ledger.relay("file", File(file.to_owned()))?;
    Ok(relay.poll(Duration::from_millis(10)).lease(LEASE).at_once(4))
}

/// Writes a line for each event. A line that was written is there, whoever is killed then.
struct File(PathBuf);

#[async_trait]
impl EventSink for File {
    async fn deliver(&self, event: &AuctionEvent) -> Result<(), SinkError> {
        let line = format!("{} {} {}\n", event.auction, event.seq, event.index);
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&self.0)?;
        file.write_all(line.as_bytes())?;
        // So that a kill comes in the middle of a page, as a rule.
        tokio::time::sleep(Duration::from_micros(300)).await;
        Ok(())
    }
}

/// The part of the process that is killed: the file, and the database.
async fn relay_until_killed(database: Database, part: &str) -> TestResult {
    let (file, url) = part.split_once(' ').expect("a file and a database");
    let ledger = AuctionLedger::new(database.connect(url, 4).await);
    relay(&ledger, Path::new(file))?.run(std::future::pending()).await;
    Ok(())
}

fn lines(file: &Path) -> usize {
    std::fs::read(file).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
}

/// Two bidders outbid each other on auctions that are opened and called off, until it is told to stop.
async fn load(ledger: AuctionLedger, stop: Arc<AtomicBool>) -> Result<Vec<AuctionId>, Error> {
    let mut auctions = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let auction = open(&ledger).await?;
        auctions.push(auction);
        for _ in 0..30 {
            bids(&ledger, auction, 5).await?;
            if stop.load(Ordering::SeqCst) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ledger.cancel(auction).await?;
    }
    Ok(auctions)
}

async fn kill_and_look(world: &World, test: &str) -> TestResult {
    let ledger = AuctionLedger::new(world.db().clone());
    charge(&ledger, &["ann", "bob"]).await?;
    let folder = tempfile::Builder::new().prefix("auction-ledger-test.").tempdir()?;
    let file = folder.path().join("delivered");
    let stop = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> =
        (0..3).map(|_| tokio::spawn(load(ledger.clone(), Arc::clone(&stop)))).collect();
    let part = format!("{} {}", file.display(), world.url());
    let kills = scale(50);
    let mut older = Process::start(test, &part, None)?;
    for kill in 0..kills {
        // The next one is there before the last one is killed, so that there are two as a rule.
        let newer = Process::start(test, &part, None)?;
        let enough = lines(&file) + 20 + kill * 7 % 60;
        until("the file has grown", async || lines(&file) >= enough).await;
        // It is killed when it is dropped.
        drop(std::mem::replace(&mut older, newer));
    }
    drop(older);
    stop.store(true, Ordering::SeqCst);
    let mut auctions = Vec::new();
    for load in loads {
        auctions.extend(load.await??);
    }
    let last = relay(&ledger, &file)?;
    until("everything is delivered", async || {
        last.deliver().await.unwrap();
        last.lag().await.unwrap().commands == 0
    })
    .await;

    let all = all_of(&ledger, &auctions).await?;
    let again = check(&std::fs::read_to_string(&file)?, &all);
    let count: usize = all.values().map(Vec::len).sum();
    println!("{kills} kills, {} auctions, {count} events, {again} of them again", all.len());
    Ok(folder.close()?)
}

/// Every auction's lines go through its events in their order. They step back at most a page, to the beginning of a command or
/// to an event that was delivered last. How many came again.
fn check(text: &str, all: &BTreeMap<AuctionId, Vec<(i64, u32)>>) -> usize {
    let mut next: BTreeMap<AuctionId, usize> = BTreeMap::new();
    let mut again = 0;
    for line in text.lines() {
        let numbers: Vec<i64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let [auction, seq, index] = numbers[..] else { panic!("{line:?} is no event") };
        let auction = AuctionId::from(auction);
        let events = &all[&auction];
        let place = events.iter().position(|event| *event == (seq, index as u32));
        let place = place.unwrap_or_else(|| panic!("{line:?} never happened"));
        let next = next.entry(auction).or_default();
        assert!(place <= *next, "{line:?} came before what is before it");
        if place < *next {
            let (furthest, _) = events[*next - 1];
            assert!(furthest - seq <= PAGE, "{line:?} came again after {furthest}");
            again += *next - place;
        }
        *next = place + 1;
    }
    for (auction, events) in all {
        assert_eq!(next.get(auction), Some(&events.len()), "auction {auction}: events are missing");
    }
    again
}
