//! What is measured, and what is said of it: medians with their spread.

/// What one contestant did in one round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub accepted: u64,
    pub rejected: u64,
    pub shed: u64,
    pub seconds: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Memory of this process while the callers were at work.
    pub resident_kib: u64,
    /// By how much the tables grew for each accepted bid.
    pub bytes_per_bid: Option<f64>,
}

impl Sample {
    pub fn per_second(&self) -> f64 {
        self.accepted as f64 / self.seconds
    }

    /// The share of calls that the rules refused.
    pub fn rejected_share(&self) -> f64 {
        let answered = self.accepted + self.rejected;
        if answered == 0 { 0.0 } else { self.rejected as f64 / answered as f64 }
    }
}

/// A median and its spread.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let upper = values[middle];
        let lower = if values.len().is_multiple_of(2) { values[middle - 1] } else { upper };
        Some(Self { median: f64::midpoint(lower, upper), least, most })
    }
}

/// The memory that this process has in use.
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
