//! The scenarios: who is measured beside whom.

mod far;
mod growth;
mod peers;

use crate::contest::{Bench, Contestant, Line, Peer};
use crate::report::Report;
use crate::world::Shape;
use crate::{Failure, django, floor};

/// One table of the report.
#[derive(Clone, Debug)]
pub struct Section {
    pub name: &'static str,
    pub title: String,
    /// How it was measured, where that is not plain.
    pub note: String,
    /// What is counted.
    pub unit: &'static str,
    pub lines: Vec<Line>,
}

impl Section {
    pub fn new(name: &'static str, title: &str, lines: Vec<Line>) -> Self {
        Self { name, title: title.to_owned(), note: String::new(), unit: "accepted bids", lines }
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub fn counting(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }
}

/// The scenarios, and what each shows.
pub const NAMES: [(&str, &str); 14] = [
    ("hot", "one auction, all peers"),
    ("many", "1,000 auctions, all peers"),
    ("single", "one caller alone, all peers"),
    ("zipf", "10,000 auctions, some of them much busier than others"),
    ("callers", "1 to 1,024 callers"),
    ("pool", "pools of several sizes"),
    ("far", "the database half a millisecond away"),
    ("engines", "MariaDB and SQLite"),
    ("storm", "everybody buys one auction at once"),
    ("settle", "10,000 auctions that have ended"),
    ("within", "bids within a host's unit of work"),
    ("relay", "bids whose events are delivered by a relay"),
    (
        "growth",
        "books of 0, 1 and, with SOAK=1, 10 million bids; 1,000,000 wallets; a long journal",
    ),
    ("overload", "64 times as many callers as give the best throughput"),
];

/// What `--quick` runs.
const QUICK: [&str; 3] = ["hot", "many", "single"];

/// Where the floor or Django run with as many clients as they like best.
const WITH_PEERS: [&str; 4] = ["hot", "many", "single", "zipf"];

/// How many clients are best for the floor, and processes for Django.
#[derive(Clone, Debug, Default)]
pub struct Best {
    pub floor_hot: Vec<usize>,
    pub floor_many: Vec<usize>,
    pub django: Vec<usize>,
}

/// One run each says too little to pick one: so many go on into the rounds, and the best of them counts.
const FINALISTS: usize = 2;

/// The shapes that most scenarios use.
pub const HOT: Shape = Shape::open(1);
pub const MANY: Shape = Shape::open(1000);
pub const ZIPF: Shape = Shape::open(10_000);

/// Runs what was asked for; whether nothing failed.
pub async fn run(bench: &Bench) -> Result<bool, Failure> {
    let options = &bench.options;
    let unknown = |name: &&String| NAMES.iter().all(|(known, _)| known != name);
    if let Some(name) = options.only.iter().find(unknown) {
        return Err(format!("there is no scenario {name}: see --list").into());
    }
    let asked = |name: &str| {
        if options.only.is_empty() {
            !options.quick || QUICK.contains(&name)
        } else {
            options.only.iter().any(|only| only == name)
        }
    };
    let mut report = Report::of(bench).await?;
    let mut best = Best::default();
    if WITH_PEERS.into_iter().any(asked) {
        let (found, section) = sweep(bench).await?;
        best = found;
        report.add(section)?;
    }
    for (name, what) in NAMES.into_iter().filter(|(name, _)| asked(name)) {
        eprintln!("{name}: {what}");
        for section in scenario(bench, name, &best).await? {
            report.add(section)?;
        }
    }
    report.finish()
}

async fn scenario(bench: &Bench, name: &str, best: &Best) -> Result<Vec<Section>, Failure> {
    Ok(match name {
        "hot" => vec![peers::hot(bench, best).await],
        "many" => vec![peers::many(bench, best).await],
        "single" => vec![peers::single(bench, best).await],
        "zipf" => vec![peers::zipf(bench, best).await],
        "callers" => peers::callers(bench).await,
        "pool" => vec![peers::pool(bench).await],
        "far" => vec![far::far(bench).await?],
        "engines" => far::engines(bench).await,
        "storm" => vec![peers::storm(bench).await],
        "settle" => vec![peers::settle(bench).await],
        "within" => vec![peers::within(bench).await],
        "relay" => vec![peers::relay(bench).await],
        "growth" => growth::growth(bench).await?,
        _ => vec![peers::overload(bench).await],
    })
}

/// Looks for the best numbers of clients of the floor and of processes of Django, by one run each.
async fn sweep(bench: &Bench) -> Result<(Best, Section), Failure> {
    let mut lines = Vec::new();
    let mut best_of = async |peer, shape: Shape, counts: &[usize], what: &str| {
        let mut found: Vec<(usize, f64)> = Vec::new();
        for count in counts {
            let contestant = Contestant::new(what, peer, shape, *count);
            let sample = bench.turn(&contestant).await?;
            eprintln!("  sweep: {what}, {count}: {:.0} a second", sample.per_second());
            found.push((*count, sample.per_second()));
            lines.push(Line { contestant, samples: vec![sample], failure: None });
        }
        found.sort_by(|one, other| other.1.total_cmp(&one.1));
        Ok::<_, Failure>(found.into_iter().map(|(count, _)| count).take(FINALISTS).collect())
    };
    let floor_hot = best_of(Peer::Floor, HOT, &floor::SWEEP, "floor, one auction").await?;
    let floor_many = best_of(Peer::Floor, MANY, &floor::SWEEP, "floor, 1,000 auctions").await?;
    let django = if django::is_there() {
        best_of(Peer::Django, HOT, &django::SWEEP, "Django, one auction").await?
    } else {
        println!("skipped: Django, for bench/peers/django/run is not there");
        Vec::new()
    };
    let best = Best { floor_hot, floor_many, django };
    let title = "How many clients the floor, and how many processes Django likes best";
    let note = "One run each. The best two go on into the rounds below, and the better of them is what counts.";
    Ok((best, Section::new("sweep", title, lines).note(note)))
}
