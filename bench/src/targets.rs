//! What was hoped for, beside what was measured.

use crate::contest::Line;
use crate::scenarios::Section;

/// A ratio that has a target.
#[derive(Clone, Debug)]
pub struct Target {
    pub what: String,
    pub measured: Option<f64>,
    pub goal: f64,
    pub at_least: bool,
}

impl Target {
    pub fn is_met(&self) -> Option<bool> {
        let measured = self.measured?;
        Some(if self.at_least { measured >= self.goal } else { measured <= self.goal })
    }
}

/// All sections of a run, to look lines up in.
pub struct Measured<'a>(pub &'a [Section]);

impl Measured<'_> {
    fn line(&self, section: &str, name: &str) -> Option<&Line> {
        let section = self.0.iter().find(|other| other.name == section)?;
        // Of those with one name, which differ in their callers, the best.
        let lines = section.lines.iter().filter(|line| line.contestant.name == name);
        lines.max_by(|one, other| {
            let [one, other] = [one, other].map(|line| line.per_second().unwrap_or(0.0));
            one.total_cmp(&other)
        })
    }

    fn rate(&self, section: &str, name: &str) -> Option<f64> {
        self.line(section, name)?.per_second()
    }

    /// How many times the throughput of the second the first has.
    pub fn throughput(&self, section: &str, first: &str, second: &str) -> Option<f64> {
        Some(self.rate(section, first)? / self.rate(section, second)?)
    }

    /// The same, against the best of one bid a transaction with many connections and with few.
    fn against_alone(&self, section: &str, ours: &str) -> Option<f64> {
        let all = ["alone", "alone, in order", "alone, in order, keys by time"];
        let alone = all.into_iter().filter_map(|name| self.rate(section, name)).reduce(f64::max)?;
        Some(self.rate(section, ours)? / alone)
    }

    /// The median latency of the first in that of the second.
    pub fn latency(&self, section: &str, first: &str, second: &str) -> Option<f64> {
        Some(self.line(section, first)?.p50_ms()? / self.line(section, second)?.p50_ms()?)
    }

    fn overload(&self) -> Option<f64> {
        let best = self.rate("overload", "ours, 256")?.max(self.rate("overload", "ours, 1024")?);
        Some(self.rate("overload", "ours, 16384")? / best)
    }

    /// The lines that `--quick` promises, and further ones that only inform.
    pub fn quick(&self) -> Vec<(&'static str, &'static str, Option<f64>)> {
        let [ours, floor, django] = ["ours", "floor", "Django"];
        let (bare, bare_floor, no_pings) = ("ours, no key", "floor, no key", "ours, no pings");
        vec![
            ("ratio", "hot256_vs_floor", self.throughput("hot", ours, floor)),
            ("ratio", "hot256_vs_django", self.throughput("hot", ours, django)),
            ("ratio", "many256_vs_floor", self.throughput("many", ours, floor)),
            ("ratio", "single_p50_vs_floor", self.latency("single", ours, floor)),
            ("info", "hot256_no_key_vs_floor_no_key", self.throughput("hot", bare, bare_floor)),
            ("info", "many256_no_key_vs_floor_no_key", self.throughput("many", bare, bare_floor)),
            ("info", "single_no_pings_p50_vs_floor", self.latency("single", no_pings, floor)),
            ("info", "single_vs_by_hand", self.throughput("single", ours, "by hand")),
        ]
    }

    pub fn targets(&self) -> Vec<Target> {
        let mut all: Vec<Target> = self.beside_others().into();
        all.extend(self.beside_ourselves());
        all
    }

    fn beside_others(&self) -> [Target; 5] {
        let [ours, floor] = ["ours", "floor"];
        let beside = |what: &str| format!("{what}: throughput, times the best of ");
        let hot = beside("one auction, 256 callers");
        let many = beside("1,000 auctions, 256 callers");
        [
            at_least(hot.clone() + "the floor", self.throughput("hot", ours, floor), 10.0),
            at_least(hot + "Django", self.throughput("hot", ours, "Django"), 150.0),
            at_least(many + "the floor", self.throughput("many", ours, floor), 3.0),
            at_most(
                "one caller alone: median latency, times that of one client of the floor",
                self.latency("single", ours, floor),
                2.0,
            ),
            at_least(
                "one caller alone: throughput, times that by hand",
                self.throughput("single", ours, "by hand"),
                2.0,
            ),
        ]
    }

    fn beside_ourselves(&self) -> Vec<Target> {
        let (ours, by_time) = ("ours", "ours, keys by time");
        let alone = [
            ("far", ours, "0.5 ms away", 50.0),
            ("mariadb", ours, "MariaDB", 10.0),
            ("mariadb", by_time, "MariaDB, keys by time", 10.0),
            ("sqlite", ours, "SQLite", 10.0),
            ("sqlite", by_time, "SQLite, keys by time", 10.0),
        ];
        let alone = alone.map(|(section, ours, place, goal)| {
            let what = format!(
                "one auction, 256 callers, {place}: throughput, times one bid a transaction (the best of its ways)"
            );
            at_least(what, self.against_alone(section, ours), goal)
        });
        let mut all: Vec<Target> = alone.into();
        all.push(at_most(
            "one auction, 64 callers: median latency, times that of one bid a transaction",
            self.latency("callers_hot", "ours, 64", "alone, 64"),
            1.0,
        ));
        all.push(at_least(
            "64 times as many callers: throughput, in that of the best",
            self.overload(),
            0.9,
        ));
        all.push(at_least(
            "10,000,000 bids in the book: throughput, in that of an empty one",
            self.throughput("growth", "10,000,000 bids, 256", "empty, 256"),
            0.9,
        ));
        all
    }
}

fn at_least(what: impl Into<String>, measured: Option<f64>, goal: f64) -> Target {
    Target { what: what.into(), measured, goal, at_least: true }
}

fn at_most(what: impl Into<String>, measured: Option<f64>, goal: f64) -> Target {
    Target { what: what.into(), measured, goal, at_least: false }
}
