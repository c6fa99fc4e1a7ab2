//! What an audit says: what it read, what it found, and where it would go on.

use serde::{Deserialize, Serialize};

use super::finding::{Conservation, Finding};

/// What an audit has read and found: [`AuctionLedger::audit`](crate::AuctionLedger::audit).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "what is wrong with the books is told here and nowhere else"]
pub struct AuditReport {
    /// What is wrong with the books: wallets first, then auctions, then all money. As many as
    /// [`max_findings`](super::Audit::max_findings) allows.
    pub findings: Vec<Finding>,
    /// How many findings there were beyond these, at least: what is not kept may be told twice.
    pub more_findings: u64,
    /// How many rows were read.
    pub read: AuditedRows,
    /// All money of each currency, in the order of the codes; `None` if it was not judged, because the audit was of some
    /// wallets or auctions only, or has not come to it yet.
    pub conservation: Option<Vec<Conservation>>,
    /// Where to go on, if [`limit`](super::Audit::limit) ended the run before the books did.
    pub resume: Option<AuditPosition>,
}

impl AuditReport {
    /// Whether nothing was found in what was read.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more_findings == 0
    }
}

/// How many rows an audit has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditedRows {
    /// Wallets, with their journals.
    pub wallets: u64,
    /// Entries, wallet by wallet.
    pub entries: u64,
    /// Auctions.
    pub auctions: u64,
    /// Bids.
    pub bids: u64,
    /// Acts.
    pub acts: u64,
    /// Entries, auction by auction: every entry that is for an auction is read a second time.
    pub entries_by_auction: u64,
}

impl AuditedRows {
    pub(super) fn total(&self) -> u64 {
        let counts = [self.entries, self.auctions, self.bids, self.acts, self.entries_by_auction];
        counts.into_iter().fold(self.wallets, u64::saturating_add)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            wallets: self.wallets.saturating_add(other.wallets),
            entries: self.entries.saturating_add(other.entries),
            auctions: self.auctions.saturating_add(other.auctions),
            bids: self.bids.saturating_add(other.bids),
            acts: self.acts.saturating_add(other.acts),
            entries_by_auction: self.entries_by_auction.saturating_add(other.entries_by_auction),
        }
    }
}

/// Where an audit goes on: [`AuditReport::resume`] and [`Audit::resume`](super::Audit::resume). Keep it with serde.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditPosition(pub(super) Part);

/// The parts of an audit, in their order, and the first id that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    Wallets { from: i64 },
    Auctions { from: i64 },
    Conservation,
}

impl Part {
    pub(super) const FIRST: Self = Self::Wallets { from: i64::MIN };
}

/// Findings up to a number, and how many there were beyond it.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    most: usize,
    more: u64,
}

impl Findings {
    pub(super) fn new(most: usize) -> Self {
        Self { kept: Vec::new(), most, more: 0 }
    }

    pub(super) fn push(&mut self, finding: Finding) {
        if self.kept.len() < self.most {
            self.kept.push(finding);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Counts findings that were not kept.
    pub(super) fn overflow(&mut self, more: u64) {
        self.more = self.more.saturating_add(more);
    }
}

/// What one range of the books has shown, in one snapshot.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) findings: Findings,
    pub(super) read: AuditedRows,
    /// The first id after the range; `None` if nothing is left.
    pub(super) next: Option<i64>,
}

impl AuditReport {
    /// Takes in what a range has shown, and hands out the first id after it.
    pub(super) fn add(&mut self, piece: Piece, most: usize) -> Option<i64> {
        self.read = self.read.plus(piece.read);
        self.take(piece.findings, most);
        piece.next
    }

    /// Takes in the sums of all money.
    pub(super) fn judge(&mut self, totals: Vec<Conservation>, most: usize) {
        let mut findings = Findings::new(most);
        for total in totals.iter().filter(|total| !total.holds()) {
            findings.push(Finding::Conservation(total.clone()));
        }
        self.take(findings, most);
        self.conservation = Some(totals);
    }

    fn take(&mut self, found: Findings, most: usize) {
        self.more_findings = self.more_findings.saturating_add(found.more);
        for finding in found.kept {
            if self.findings.len() < most {
                self.findings.push(finding);
            } else {
                self.more_findings = self.more_findings.saturating_add(1);
            }
        }
    }
}
