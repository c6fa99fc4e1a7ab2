//! Clocks of hosts that are off, and a clock of the database that steps back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auction_ledger::{AuctionId, AuctionLedger, Error, Rejection};
use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::boundaries::{House, VERBS};
use super::child::{self, Process};
use super::load::Dice;
use super::{Answer, Log, Result, Wish, audit, close_the_house, on_servers, terms, until};
use crate::support::{Books, Database, World, on_every_backend, scale};

const MINUTES: i64 = 60_000_000;

/// The clock of this host, in microseconds.
fn host_clock() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970").as_micros() as i64
}

fn bid(auction: AuctionId, user: &str, amount: i64) -> Wish {
    Wish::Bid { auction, user: user.to_owned(), amount: amount.into() }
}

fn deposit(user: &str) -> Wish {
    Wish::Deposit { user: user.to_owned(), amount: 1_000 }
}

fn open(seller: &str, end: Duration) -> Wish {
    Wish::Open { seller: seller.to_owned(), terms: terms().ends_in(end) }
}

async fn opened(
    log: &Log,
    ledger: &AuctionLedger,
    seller: &str,
    end: Duration,
) -> Result<AuctionId> {
    let answer = log.send(ledger, open(seller, end)).await?;
    Ok(answer.auction.expect("the opening says which"))
}

/// What another host does, whose clock is off: it meets an auction that runs and one that has ended.
async fn visit(database: Database, part: &str) -> Result {
    let [host, running, ended, url] = part.splitn(4, ' ').collect::<Vec<_>>()[..] else {
        panic!("{part:?} is no part");
    };
    println!("clock {}", host_clock());
    let db = database.connect(url, 2).await;
    let ledger = AuctionLedger::new(db.clone());
    let log = Log::told(host);
    log.send(&ledger, deposit(host)).await?;
    let running = AuctionId::from(running.parse::<i64>()?);
    let minimum = ledger.auction(running).await?.next_minimum.expect("it is open");
    let user = host.to_owned();
    log.send(&ledger, Wish::Bid { auction: running, user, amount: minimum }).await?;
    let early = log.send(&ledger, Wish::Settle { auction: running }).await;
    assert!(matches!(early, Err(Error::Rejected(Rejection::NotEnded { .. }))), "{early:?}");
    opened(&log, &ledger, &format!("{host}'s seller"), Duration::from_secs(300)).await?;
    if let Ok(ended) = ended.parse::<i64>() {
        let late = log.send(&ledger, bid(ended.into(), host, 500)).await;
        assert!(matches!(late, Err(Error::Rejected(Rejection::Ended { .. }))), "{late:?}");
        log.send(&ledger, Wish::Settle { auction: ended.into() }).await?;
    }
    Ok(db.close().await?)
}

/// Has another process do its part under a clock that is off, and checks that it was.
fn send_host(test: &str, part: &str, minutes: i64, log: &Log) -> Result {
    let off = format!("{minutes:+}m");
    let said = Process::start(test, part, Some(&off))?.end(log)?;
    let clock = said.iter().find_map(|line| line.strip_prefix("clock "));
    let clock: i64 = clock.expect("it says its clock").parse()?;
    let shift = clock - host_clock();
    assert!((shift - minutes * MINUTES).abs() < 5 * MINUTES, "its clock is {shift} µs off");
    Ok(())
}

/// When everything in the books happened, by their own word.
fn instants(books: &Books) -> Vec<i64> {
    let bids = books.bids.iter().map(|row| row.at);
    let acts = books.acts.iter().map(|row| row.at);
    bids.chain(acts).chain(books.entries.iter().map(|row| row.at)).collect()
}

/// An auction that ann leads and that has ended, by the clock that counts.
async fn led_and_ended(log: &Log, ledger: &AuctionLedger) -> Result<AuctionId> {
    let is_over = |outcome: &std::result::Result<Answer, Error>| {
        matches!(outcome, Err(Error::Rejected(Rejection::Ended { .. })))
    };
    // A machine may be so slow that it ends before the bid.
    let auction = loop {
        let auction = opened(log, ledger, "sam", Duration::from_secs(1)).await?;
        let led = log.send(ledger, bid(auction, "ann", 10)).await;
        if !is_over(&led) {
            led?;
            break auction;
        }
    };
    until("the auction has ended", async || {
        is_over(&log.send(ledger, bid(auction, "ann", 1)).await)
    })
    .await;
    Ok(auction)
}

/// Two hosts, ten minutes ahead and ten minutes behind, on one server: its clock is the only one that counts.
async fn meet_other_hosts(world: &World, test: &str) -> Result {
    let (log, ledger) = (Log::new("here"), AuctionLedger::new(world.db().clone()));
    log.send(&ledger, deposit("ann")).await?;
    let first = Books::read(world.db()).await?.entries[0].at;
    let running = opened(&log, &ledger, "sam", Duration::from_secs(300)).await?;
    for (host, minutes) in [("ahead", 10), ("behind", -10)] {
        let ended = led_and_ended(&log, &ledger).await?;
        send_host(test, &format!("{host} {running} {ended} {}", world.url()), minutes, &log)?;
    }
    log.send(&ledger, deposit("the last")).await?;
    let books = audit(world.database(), world.db(), &log).await?;
    let last = books.journal("the last")[0].at;
    let instants = instants(&books);
    assert!(instants.iter().all(|at| (first..=last).contains(at)), "{first} {last}: {instants:?}");
    let theirs: Vec<_> =
        books.auctions.iter().filter(|row| !row.title.starts_with("here")).collect();
    assert_eq!(theirs.len(), 2);
    for auction in theirs {
        assert!((first..=last).contains(&auction.starts_at));
        assert_eq!(
            auction.ends_at - auction.starts_at,
            5 * MINUTES,
            "it ends in what was asked for"
        );
    }
    close_the_house(world.database(), world.db(), &ledger, &log).await
}

/// The clock of SQLite is the host's: from ten minutes ahead to here, and to ten minutes behind, it steps back twice.
async fn meet_stepping_hosts(world: &World, test: &str) -> Result {
    let (log, ledger) = (Log::new("here"), AuctionLedger::new(world.db().clone()));
    log.send(&ledger, deposit("ann")).await?;
    let running = opened(&log, &ledger, "sam", Duration::from_secs(3600)).await?;
    let mut amount = 10;
    for (host, minutes) in [("ahead", 10), ("behind", -10)] {
        log.send(&ledger, bid(running, "ann", amount)).await?;
        send_host(test, &format!("{host} {running} - {}", world.url()), minutes, &log)?;
        amount += 10;
    }
    let books = audit(world.database(), world.db(), &log).await?;
    let at: Vec<i64> = books.bids.iter().map(|row| row.at).collect();
    // ann; ahead; ann again, ten minutes earlier; behind, ten minutes before that.
    assert!(at[1] - at[0] > 9 * MINUTES, "{at:?}");
    assert_eq!(
        (at[2], at[3]),
        (at[1], at[1]),
        "the auction's clock stands still until it is caught up with"
    );
    let stepped = books.journal("behind")[0].at;
    assert!(stepped < at[0], "what has seen nothing later goes by the clock as it is: {stepped}");
    close_the_house(world.database(), world.db(), &ledger, &log).await
}

macro_rules! with_a_host {
    ($label:ident $database:ident $parent:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs faketime: run scripts/test"]
        async fn $label() -> $crate::faults::Result {
            use $crate::support::{Database, Schema, run};
            const NAME: &str = concat!(module_path!(), "::", stringify!($label));
            if let Some(part) = super::child::part() {
                return super::visit(Database::$database, &part).await;
            }
            run(Database::$database, Schema::Migrated, NAME, async |world| {
                super::$parent(world, NAME).await
            })
            .await;
            Ok(())
        }
    };
}

mod hosts_whose_clocks_are_ten_minutes_off_agree_with_everybody {
    with_a_host! { postgres Postgres meet_other_hosts }
    with_a_host! { mariadb Mariadb meet_other_hosts }
}

mod a_host_clock_that_steps_back_under_sqlite_turns_no_order_back {
    with_a_host! { sqlite Sqlite meet_stepping_hosts }
}

/// Shifts the clock of the database itself, as far as this pool sees it. PostgreSQL finds another function of the same
/// name first; MariaDB has a setting for it.
async fn shift_database(database: Database, pool: &DatabaseConnection, seconds: i64) -> Result {
    let shift = match database {
        Database::Postgres => format!(
            "CREATE SCHEMA IF NOT EXISTS shifted;
             CREATE OR REPLACE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
                 AS $$ SELECT pg_catalog.clock_timestamp() + interval '{seconds} s' $$;
             SET search_path = shifted, pg_catalog, public"
        ),
        // SYSDATE is the one that the setting does not change.
        _ => format!("SET SESSION timestamp = UNIX_TIMESTAMP(SYSDATE(6)) + {seconds}"),
    };
    pool.execute_unprepared(&shift).await?;
    Ok(())
}

on_servers! {
    async fn a_database_clock_that_steps_back_turns_no_order_back(world: &World) {
        let pool = world.connect(1).await;
        let (log, ledger) = (Log::new("command"), AuctionLedger::new(pool.clone()));
        log.send(&ledger, deposit("ann")).await?;
        log.send(&ledger, deposit("bob")).await?;
        let auction = opened(&log, &ledger, "sam", Duration::from_secs(7200)).await?;
        let mut shifted = Vec::new();
        for (step, seconds) in [0, -600, 600, -3_600, 300, 0].into_iter().enumerate() {
            shift_database(world.database(), &pool, seconds).await?;
            let user = ["ann", "bob"][step % 2];
            log.send(&ledger, bid(auction, user, 10 + step as i64)).await?;
            let withdrawal = Wish::Withdraw { user: "cyd".to_owned(), amount: 1 };
            for border in [deposit("cyd"), withdrawal, deposit(&format!("newcomer {step}"))] {
                log.send(&ledger, border).await?;
            }
            let books = audit(world.database(), world.db(), &log).await?;
            shifted.push(books.journal(&format!("newcomer {step}"))[0].at);
        }
        // Whoever has seen nothing later shows what the clock did.
        for (step, pair) in shifted.windows(2).enumerate() {
            let back = [true, false, true, false, true][step];
            assert_eq!(pair[1] < pair[0], back, "step {step}: {shifted:?}");
        }
        let books = audit(world.database(), world.db(), &log).await?;
        let at: Vec<i64> = books.bids.iter().map(|row| row.at).collect();
        // Ten minutes back it stands still, ten minutes on it follows, and there it stays.
        assert!(at[1] == at[0] && at[2] > at[1] + 9 * MINUTES && at[3..] == [at[2]; 3], "{at:?}");
        log.send(&ledger, Wish::Cancel { auction }).await?;
        audit(world.database(), world.db(), &log).await?;
    }
}

on_every_backend! {
    /// All verbs in random order, and a clock that jumps between them, backwards as often as forwards.
    async fn a_clock_that_jumps_between_verbs_turns_no_order_back(world: &World) {
        let mut dice = Dice::new();
        let house = House::new(world).await?;
        let mut latest = house.clock.now();
        for _ in 0..scale(60) {
            let verb = VERBS[dice.roll(VERBS.len() as u64) as usize];
            let wish = house.wish(verb).await?;
            latest = latest.max(house.clock.now());
            // Up to 45 minutes back: within the hour that an auction is open.
            house.clock.set(latest + TimeDelta::seconds(dice.roll(4_200) as i64 - 2_700));
            // Ahead of the end, or behind it: the rules may say no, and then nothing is stored.
            if let Err(error) = house.log.send(&house.ledger, wish).await {
                assert!(error.rejection().is_some(), "{verb:?}: {error:?}");
            }
            house.audit().await?;
        }
        house.close().await?;
    }
}
