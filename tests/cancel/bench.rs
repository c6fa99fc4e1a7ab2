//! Where futures are dropped: a pool of one connection, over a slow link where there is a server, and what watches it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use auction_ledger::{AuctionLedger, ManualClock, RecordingSink};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, Statement};

use super::polls::Polls;
use super::{WON, until};
use crate::support::link::{Link, says};
use crate::support::{Books, Database, TestResult, World};

/// Every reply over the link comes this much later.
const LATENCY: Duration = Duration::from_millis(1);

/// Where a future is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// After so many polls, at once.
    AfterPolls(usize),
    /// After so many polls, when what it has spawned has got on without it.
    AfterPause(usize),
    /// Behind this request, counted from 0, while its reply is on its way.
    BehindRequest(usize),
}

/// What the database had seen of a future when it was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its transaction had begun and no COMMIT was sent.
    pub(super) inside: bool,
    /// COMMIT had been sent; `None` where nobody can tell.
    pub(super) commit_sent: Option<bool>,
}

pub(super) struct Bench<'a> {
    pub(super) world: &'a World,
    link: Option<Link>,
    /// The only connection of whoever is dropped, and of whoever comes next.
    pub(super) pool: DatabaseConnection,
    /// Connections of somebody else, who on SQLite never waits for a lock.
    other: DatabaseConnection,
    /// The ledger whose futures are dropped.
    pub(super) ledger: AuctionLedger,
    /// The same one on connections that nobody drops.
    pub(super) host: AuctionLedger,
    pub(super) clock: ManualClock,
    sink: RecordingSink,
    /// The commands whose events must have come.
    told: Mutex<BTreeSet<(i64, i64)>>,
    rounds: AtomicI64,
}

impl<'a> Bench<'a> {
    /// Ann, Bob and Sam have a million each.
    pub(super) async fn new(
        world: &'a World,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let db = world.db();
        db.execute_unprepared("CREATE TABLE clean (num BIGINT NOT NULL)").await?;
        let (link, pool, other) = match world.database() {
            Database::Sqlite => {
                slow_down(db).await?;
                (None, world.connect(1).await, impatient(world.url()).await?)
            }
            server => {
                let link = Link::to(world).await;
                link.delay(LATENCY);
                let pool = server.connect(link.url(), 1).await;
                (Some(link), pool, db.clone())
            }
        };
        let clock = ManualClock::new(DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000));
        let sink = RecordingSink::new();
        let ledger = AuctionLedger::new(pool.clone()).clock(clock.clone()).sink(sink.clone());
        let host = AuctionLedger::new(db.clone()).clock(clock.clone());
        for user in ["ann", "bob", "sam"] {
            host.deposit(user, WON, 1_000_000.into()).await?;
        }
        Ok(Self {
            world,
            link,
            pool,
            other,
            ledger,
            host,
            clock,
            sink,
            told: Mutex::default(),
            rounds: AtomicI64::new(0),
        })
    }

    /// A number that nobody has had before.
    pub(super) fn number(&self) -> i64 {
        self.rounds.fetch_add(1, Ordering::SeqCst)
    }

    /// The ways to drop a future here.
    pub(super) fn stops(&self) -> Vec<fn(usize) -> Stop> {
        let mut stops: Vec<fn(usize) -> Stop> = vec![Stop::AfterPolls, Stop::AfterPause];
        if self.link.is_some() {
            stops.push(Stop::BehindRequest);
        }
        stops
    }

    /// Runs `future` up to `stop` and drops it. `None` instead of its answer if it had none yet.
    pub(super) async fn drop_at<F: Future>(
        &self,
        stop: Stop,
        future: F,
    ) -> (Option<F::Output>, Seen) {
        match stop {
            Stop::AfterPolls(polls) => {
                let mut polled = Polls::of(future);
                (polled.poll(polls).await, Seen::default())
            }
            Stop::AfterPause(polls) => {
                let mut polled = Polls::of(future);
                let answer = polled.poll(polls).await;
                let seen = if answer.is_none() { self.pause().await } else { Seen::default() };
                (answer, seen)
            }
            Stop::BehindRequest(request) => {
                let link = self.link.as_ref().expect("only a server has requests");
                link.requests();
                link.gate().close_behind(request);
                let mut future = Box::pin(future);
                let answer = tokio::select! {
                    biased;
                    answer = &mut future => Some(answer),
                    () = link.gate().closed() => None,
                };
                let seen = seen(&link.requests());
                drop(future);
                link.gate().open();
                (answer, seen)
            }
        }
    }

    /// Lets spawned tasks get on, and finds out whether a transaction is open.
    async fn pause(&self) -> Seen {
        tokio::time::sleep(LATENCY * 3).await;
        let begun = self.other.execute_unprepared("BEGIN IMMEDIATE; ROLLBACK");
        let inside = self.link.is_none() && begun.await.is_err();
        Seen { inside, commit_sent: None }
    }

    /// Checks that nothing is left of whoever had the connection: no transaction, no lock, no answer, no setting.
    pub(super) async fn assert_clean(&self) -> Result<(), DbErr> {
        let (number, db) = (self.number(), self.world.db());
        assert_eq!(prepared(&self.pool, number).await?, number, "somebody else's answer");
        // Had somebody left a transaction open, nobody else would see this.
        let insert = format!("INSERT INTO clean VALUES ({number})");
        self.pool.execute_unprepared(&insert).await?;
        let seen = format!("SELECT count(*) FROM clean WHERE num = {number}");
        assert_eq!(integer(db, &seen).await?, 1, "it is in a transaction that somebody left open");
        if self.world.database() == Database::Mariadb {
            let left = "SELECT CAST(@@in_transaction \
                + (@@SESSION.innodb_lock_wait_timeout <> @@GLOBAL.innodb_lock_wait_timeout) \
                + (@@SESSION.max_statement_time <> @@GLOBAL.max_statement_time) AS SIGNED)";
            assert_eq!(integer(&self.pool, left).await?, 0, "a transaction, or its settings");
        }
        // A callback may be at work by now. It ends; what somebody left would stay.
        until("no transaction and no lock is left", async || self.is_free().await).await;
        Ok(())
    }

    /// Whether every row can be locked at once, and nobody has a transaction open.
    async fn is_free(&self) -> bool {
        let locks: &[&str] = match self.world.database() {
            Database::Sqlite => &["BEGIN IMMEDIATE; ROLLBACK"],
            Database::Postgres | Database::Mariadb => &[
                "SELECT * FROM al_auction FOR UPDATE NOWAIT",
                "SELECT * FROM al_wallet FOR UPDATE NOWAIT",
                "SELECT * FROM clean FOR UPDATE NOWAIT",
            ],
        };
        for lock in locks {
            if self.other.execute_unprepared(lock).await.is_err() {
                return false;
            }
        }
        let idle = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        self.world.database() != Database::Postgres || integer(&self.other, idle).await == Ok(0)
    }

    /// Waits for the events of every command that `books` has and `before` has not, and for no others.
    pub(super) async fn assert_told(&self, before: &Books, books: &Books) {
        let told = {
            let mut told = self.told.lock().unwrap();
            told.extend(commands(books).difference(&commands(before)));
            told.clone()
        };
        let heard = || -> BTreeSet<_> {
            let events = self.sink.events();
            events.iter().map(|event| (event.auction.get(), event.seq)).collect()
        };
        until("every event has come", async || heard().is_superset(&told)).await;
        assert_eq!(heard(), told, "an event of something that is not stored");
    }

    pub(super) async fn books(&self) -> Result<Books, DbErr> {
        Books::read(self.world.db()).await
    }

    /// InnoDB tells its transactions only to who has not asked for a tenth of a second; it repeats what it said before.
    pub(super) async fn assert_no_transaction(&self) {
        if self.world.database() != Database::Mariadb {
            return;
        }
        let open = "SELECT count(*) FROM information_schema.innodb_trx t \
            JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE p.db = database()";
        until("no transaction is left", async || {
            tokio::time::sleep(Duration::from_millis(110)).await;
            integer(self.world.db(), open).await == Ok(0)
        })
        .await;
    }

    pub(super) async fn end(self) -> TestResult {
        self.assert_no_transaction().await;
        if let Some(link) = &self.link {
            link.delay(Duration::ZERO);
        }
        self.pool.close_by_ref().await?;
        self.other.close_by_ref().await?;
        Ok(())
    }
}

/// A request is noted before its reply can be waited for, so the last one is the one that has no reply yet.
fn seen(requests: &[String]) -> Seen {
    let begins = ["BEGIN", "START TRANSACTION"];
    let begun = requests.iter().position(|request| begins.iter().any(|begin| says(request, begin)));
    let committing = requests.iter().any(|request| says(request, "COMMIT"));
    Seen {
        inside: begun.is_some_and(|begun| begun + 1 < requests.len()) && !committing,
        // A setting is put back by whoever ends the unit of work: on the way to COMMIT or to ROLLBACK.
        commit_sent: (!puts_back(requests)).then_some(committing),
    }
}

/// Whether the last request puts a session setting back: it is set once and put back once in each attempt.
fn puts_back(requests: &[String]) -> bool {
    let is_setting =
        |setting: &str, request: &String| request.contains(&format!("SET SESSION {setting} ="));
    ["innodb_lock_wait_timeout", "max_statement_time"].iter().any(|setting| {
        let set = requests.iter().filter(|request| is_setting(setting, request));
        set.count() % 2 == 0 && requests.last().is_some_and(|last| is_setting(setting, last))
    })
}

/// The commands on auctions that are stored.
fn commands(books: &Books) -> BTreeSet<(i64, i64)> {
    let bids = books.bids.iter().map(|bid| (bid.auction_id, bid.seq));
    bids.chain(books.acts.iter().map(|act| (act.auction_id, act.seq))).collect()
}

/// Makes every write of the ledger take some milliseconds. SQLite answers before it is asked twice otherwise, and nobody
/// can be dropped in between.
async fn slow_down(db: &DatabaseConnection) -> Result<(), DbErr> {
    let work = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT max(i) FROM n";
    for (table, event) in [
        ("al_auction", "INSERT"),
        ("al_auction", "UPDATE"),
        ("al_wallet", "INSERT"),
        ("al_wallet", "UPDATE"),
        ("al_bid", "INSERT"),
        ("al_act", "INSERT"),
        ("al_entry", "INSERT"),
    ] {
        let trigger = format!(
            "CREATE TRIGGER slow_{table}_{event} BEFORE {event} ON {table} BEGIN {work}; END"
        );
        db.execute_unprepared(&trigger).await?;
    }
    Ok(())
}

/// A pool of one on a SQLite file that is refused where others wait.
async fn impatient(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    options.map_sqlx_sqlite_opts(|options| options.busy_timeout(Duration::ZERO));
    sea_orm::Database::connect(options).await
}

/// The answer to a prepared statement with a parameter, which is its own.
pub(super) async fn prepared(connection: &impl ConnectionTrait, number: i64) -> Result<i64, DbErr> {
    let backend = connection.get_database_backend();
    let (sql, parameter) = match backend {
        sea_orm::DbBackend::Postgres => ("SELECT CAST($1 AS BIGINT)", number),
        sea_orm::DbBackend::MySql => ("SELECT CAST(? AS SIGNED)", number),
        _ => ("SELECT CAST(? AS INTEGER)", number),
    };
    let query = Statement::from_sql_and_values(backend, sql, [parameter.into()]);
    let row = connection.query_one_raw(query).await?;
    row.expect("one row").try_get_by_index(0)
}

/// The one integer that a query returns.
pub(super) async fn integer(connection: &impl ConnectionTrait, sql: &str) -> Result<i64, DbErr> {
    let query = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(query).await?;
    row.expect("one row").try_get_by_index(0)
}
