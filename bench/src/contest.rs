//! Contestants, and how they take turns.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auction_ledger::{AuctionLedger, GroupCommit};
use sea_orm::{ConnectionTrait, DatabaseConnection};

use crate::database::{self, Databases, Engine, Pool};
use crate::keys::Keys;
use crate::load::{Load, Target};
use crate::options::Options;
use crate::ours::{Bidding, Market, Pick};
use crate::statistics::{Sample, Spread};
use crate::world::{self, Kind, Shape};
use crate::{Failure, by_hand, django, ends, floor, ours, relayed, within};

/// Who carries out bids, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// pgbench and a function in the server.
    Floor,
    Django,
    /// The ledger as it comes.
    Ours,
    /// The same, beside a relay that delivers all events to a sink that does nothing.
    Relayed,
    /// The ledger with one command a transaction.
    Alone,
    /// SeaORM without the ledger.
    ByHand,
    /// The ledger in a unit of work of a host, which writes a row of its own.
    Within,
    /// SeaORM without the ledger, and a row of the host.
    ByHandWithNote,
    /// Everybody buys one auction at once.
    Storm,
    /// The same, one command a transaction.
    StormAlone,
    /// So many sweepers settle what has ended.
    Settle,
}

/// One contestant: what it runs on, and how many call.
#[derive(Clone, Debug)]
pub struct Contestant {
    pub name: String,
    pub peer: Peer,
    pub engine: Engine,
    pub shape: Shape,
    pub zipf: bool,
    /// Callers, clients, processes or sweepers.
    pub callers: usize,
    pub keys: Keys,
    /// Whether the database is half a millisecond away.
    pub far: bool,
    pub pool: Pool,
    /// The price on its auctions, where something has been bid before.
    pub price: Option<i64>,
}

/// When the books are audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    Whole,
    /// Somebody else does it.
    Later,
}

impl Contestant {
    /// On PostgreSQL, with a key for each bid.
    pub fn new(name: &str, peer: Peer, shape: Shape, callers: usize) -> Self {
        Self {
            name: name.to_owned(),
            peer,
            engine: Engine::Postgres,
            shape,
            zipf: false,
            callers,
            keys: Keys::Random,
            far: false,
            pool: Pool::default(),
            price: None,
        }
    }

    pub fn on(mut self, engine: Engine, connections: u32) -> Self {
        self.engine = engine;
        self.pool.connections = connections;
        self
    }

    pub fn without_key(mut self) -> Self {
        self.keys = Keys::None;
        self
    }

    pub fn keys_by_time(mut self) -> Self {
        self.keys = Keys::ByTime;
        self
    }

    pub fn far(mut self) -> Self {
        self.far = true;
        self
    }

    pub fn zipf(mut self) -> Self {
        self.zipf = true;
        self
    }

    pub fn pool(mut self, pool: Pool) -> Self {
        self.pool = pool;
        self
    }

    fn pick(&self) -> Pick {
        if self.zipf { Pick::zipf(self.shape.auctions) } else { Pick::Uniform }
    }
}

/// What a contestant did in all rounds.
#[derive(Clone, Debug)]
pub struct Line {
    pub contestant: Contestant,
    pub samples: Vec<Sample>,
    pub failure: Option<String>,
}

impl Line {
    pub fn spread(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(of))
    }

    pub fn per_second(&self) -> Option<f64> {
        self.spread(|sample| Some(sample.per_second())).map(|spread| spread.median)
    }

    pub fn p50_ms(&self) -> Option<f64> {
        self.spread(|sample| sample.p50_ms).map(|spread| spread.median)
    }
}

/// All that a run needs.
pub struct Bench {
    pub databases: Databases,
    pub options: Options,
    /// The port of the long way to PostgreSQL.
    pub far_port: u16,
    made: Mutex<HashSet<(Engine, Shape)>>,
    /// What Django says of itself.
    pub django: Mutex<Option<String>>,
}

impl Bench {
    pub fn new(databases: Databases, options: Options, far_port: u16) -> Self {
        let (made, django) = (Mutex::default(), Mutex::default());
        Self { databases, options, far_port, made, django }
    }

    pub fn load(&self, callers: usize) -> Load {
        let measured = Duration::from_secs(self.options.seconds);
        Load { callers, warmup: Duration::from_millis(700), measured }
    }

    /// A database of its own, filled.
    pub async fn fresh(&self, engine: Engine, shape: Shape) -> Result<String, Failure> {
        let name = shape.name();
        if engine == Engine::Mariadb {
            return self.fill(engine, shape, "bench_turn").await;
        }
        let is_new = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.insert((engine, shape))
        };
        if is_new {
            self.fill(engine, shape, &name).await?;
        }
        self.databases.copy(engine, &name, "bench_turn").await
    }

    async fn fill(&self, engine: Engine, shape: Shape, name: &str) -> Result<String, Failure> {
        let url = self.databases.create(engine, name).await?;
        let db = database::connect(&url, Pool { connections: 1, pings: true }).await?;
        world::fill(&db, shape).await?;
        if engine == Engine::Postgres {
            floor::install(&db).await?;
            db.execute_unprepared("VACUUM ANALYZE").await?;
        }
        let note =
            "CREATE TABLE note (id BIGINT PRIMARY KEY AUTO_INCREMENT, auction_id BIGINT NOT NULL)";
        let note = match engine {
            Engine::Mariadb => note.to_owned(),
            Engine::Postgres => note.replace("AUTO_INCREMENT", "GENERATED ALWAYS AS IDENTITY"),
            Engine::Sqlite => {
                note.replace("BIGINT PRIMARY KEY AUTO_INCREMENT", "INTEGER PRIMARY KEY")
            }
        };
        db.execute_unprepared(&note).await?;
        db.close().await?;
        Ok(url)
    }

    fn far_or_near(&self, url: &str, far: bool) -> Result<String, Failure> {
        if far { crate::servers::with_port(url, self.far_port) } else { Ok(url.to_owned()) }
    }

    /// Lets the contestants take turns, round after round, and audits the books of each.
    pub async fn rounds(&self, contestants: Vec<Contestant>) -> Vec<Line> {
        let mut lines: Vec<Line> = contestants
            .into_iter()
            .map(|contestant| Line { contestant, samples: Vec::new(), failure: None })
            .collect();
        let count = lines.len().max(1);
        for round in 0..self.options.rounds {
            // Another one begins each time.
            for turn in 0..count {
                let Some(line) = lines.get_mut((turn + round) % count) else { continue };
                if line.failure.is_some() {
                    continue;
                }
                match self.turn(&line.contestant).await {
                    Ok(sample) => {
                        let (name, rate) = (&line.contestant.name, sample.per_second());
                        eprintln!("  round {}: {name}: {rate:.0} a second", round + 1);
                        line.samples.push(sample);
                    }
                    Err(error) => {
                        eprintln!("  FAILED: {}: {error}", line.contestant.name);
                        line.failure = Some(error.to_string());
                    }
                }
            }
        }
        lines
    }

    /// One turn, on a database of its own.
    pub async fn turn(&self, contestant: &Contestant) -> Result<Sample, Failure> {
        let engine = contestant.engine;
        if contestant.peer == Peer::Django {
            return self.django_turn(contestant).await;
        }
        let url = self.fresh(engine, contestant.shape).await?;
        let sample = self.play(contestant, &url, Audit::Whole).await?;
        self.databases.remove(engine, "bench_turn").await?;
        Ok(sample)
    }

    async fn django_turn(&self, contestant: &Contestant) -> Result<Sample, Failure> {
        let url = self.databases.create(contestant.engine, "bench_django").await?;
        let load = self.load(contestant.callers);
        let warmup = Duration::from_secs(1);
        let run = django::run(&url, contestant.shape, contestant.callers, warmup, load.measured);
        let (sample, versions) = run.await?;
        *self.django.lock().unwrap_or_else(PoisonError::into_inner) = Some(versions);
        self.databases.remove(contestant.engine, "bench_django").await?;
        Ok(sample)
    }

    /// One turn on a database that is there.
    pub async fn play(
        &self,
        contestant: &Contestant,
        url: &str,
        audit: Audit,
    ) -> Result<Sample, Failure> {
        let db =
            database::connect(&self.far_or_near(url, contestant.far)?, contestant.pool).await?;
        let near = database::connect(url, Pool { connections: 2, pings: true }).await?;
        let size = database::size(&near).await?;
        let bids = bids(&near).await?;
        let mut sample = self.run(contestant, &db, url).await?;
        db.close().await?;
        if audit == Audit::Whole {
            ours::audit(&AuctionLedger::new(near.clone())).await?;
        }
        let (grown, more) = (database::size(&near).await? - size, self::bids(&near).await? - bids);
        sample.bytes_per_bid = (more > 0).then(|| grown as f64 / more as f64);
        near.close().await?;
        Ok(sample)
    }

    async fn run(
        &self,
        contestant: &Contestant,
        db: &DatabaseConnection,
        url: &str,
    ) -> Result<Sample, Failure> {
        let load = self.load(contestant.callers);
        let ledger = AuctionLedger::new(db.clone());
        let alone = || ledger.clone().group_commit(GroupCommit::off());
        let market = Market::new(contestant.shape, contestant.pick(), contestant.price);
        let (db, keys) = (db.clone(), contestant.keys);
        let target: Arc<dyn Target> = match contestant.peer {
            Peer::Ours => Arc::new(Bidding { ledger, market, keys }),
            Peer::Relayed => {
                return relayed::run(ledger, (market, keys), load, url).await;
            }
            Peer::Alone => Arc::new(Bidding { ledger: alone(), market, keys }),
            Peer::ByHand => Arc::new(by_hand::ByHand { db, market, keys, note: false }),
            Peer::ByHandWithNote => Arc::new(by_hand::ByHand { db, market, keys, note: true }),
            Peer::Within => Arc::new(within::Within { ledger, market, keys }),
            Peer::Storm => return ends::storms(ledger, load, contestant.shape).await,
            Peer::StormAlone => return ends::storms(alone(), load, contestant.shape).await,
            Peer::Settle => return ends::settle(ledger, load.callers).await,
            Peer::Floor => {
                let (shape, clients, measured) =
                    (contestant.shape, contestant.callers, load.measured);
                let warmup = Duration::from_secs(1);
                let zipf = contestant.zipf;
                let key = keys != Keys::None;
                let run = floor::Run { shape, zipf, clients, key, warmup, measured };
                return floor::run(&self.databases.servers, url, run).await;
            }
            Peer::Django => return Err("Django has books of its own".into()),
        };
        crate::load::run(target, load).await
    }
}

async fn bids(db: &DatabaseConnection) -> Result<i64, Failure> {
    database::number(db, "SELECT count(*) FROM al_bid").await
}

impl Shape {
    /// Auctions that can be bought at once.
    pub const fn to_buy(auctions: i64) -> Self {
        Self { auctions, wallets: 1000, kind: Kind::BuyNow }
    }

    /// Auctions that have ended.
    pub const fn ended(auctions: i64) -> Self {
        Self { auctions, wallets: 1000, kind: Kind::Ended }
    }
}
