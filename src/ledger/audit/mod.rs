//! The audit: reads all books and says what the ledger never writes.
//!
//! 1. The books are read in three parts: wallets with their journals, page by page of ids; auctions with their commands and
//!    their entries, range by range of ids; and all money. A range is read in one snapshot, so that every command that is
//!    committed meanwhile is seen with all its rows or with none.
//! 2. What can only be judged over rows of one range is judged in its snapshot, and nothing is carried from one range to
//!    the next: so ranges can be read in any order, at any time, and an audit goes on where another has ended.
//! 3. Every id belongs to a range, whether there is a row of that id or not: so what refers to rows that do not exist is
//!    found.
//! 4. Sums are made here, in 128 bits: no database sums in the same type, and none of them in a way that a damaged row
//!    could not upset.
//! 5. Memory does not grow with the books: rows are looked at one by one, and of each range only its wallets, or its
//!    auctions and their commands, are kept.

mod auctions;
mod commands;
mod conservation;
mod finding;
mod references;
mod report;
mod wallets;

use std::future::IntoFuture;
use std::ops::{Bound, RangeBounds};

use futures::future::BoxFuture;
use sea_orm::sea_query::{ExprTrait, SimpleExpr};
use sea_orm::{AccessMode, ActiveEnum, DbErr, IsolationLevel, QueryResult, TryGetable};

pub use self::finding::{Balance, Conservation, Finding, Record, SettlementMismatch};
pub use self::report::{AuditPosition, AuditReport, AuditedRows};

use self::report::{Findings, Part};
use super::AuctionLedger;
use crate::entity::entry;
use crate::error::Error;
use crate::id::{AuctionId, WalletId};
use crate::unit_of_work::{Committed, UnitOfWork};

impl AuctionLedger {
    /// Audits the books: reads every wallet, auction, bid, act and entry, and reports what the ledger never writes. No money
    /// moves, and nothing is written.
    ///
    /// | [`Finding`] | the law that is broken |
    /// |---|---|
    /// | [`WalletRow`](Finding::WalletRow) | a wallet says what its last entry says |
    /// | [`EntryGap`](Finding::EntryGap), [`RunningBalance`](Finding::RunningBalance), [`Overdrawn`](Finding::Overdrawn) | entries are numbered without gaps, their balances run along, and none is negative |
    /// | [`Misfiled`](Finding::Misfiled), [`UnknownOperation`](Finding::UnknownOperation) | money moves across the border of the system, or for a command that an auction has accepted |
    /// | [`Unbalanced`](Finding::Unbalanced) | the entries of a command sum to zero |
    /// | [`Held`](Finding::Held), [`HeldAfterEnd`](Finding::HeldAfterEnd) | a wallet holds what open auctions promise, and nothing for an auction that is over |
    /// | [`Settlement`](Finding::Settlement) | the winner has paid the price, and the seller has received it |
    /// | [`CommandGap`](Finding::CommandGap), [`AuctionSeq`](Finding::AuctionSeq) | bids and acts of an auction are numbered together, without gaps |
    /// | [`MissingWallet`](Finding::MissingWallet), [`MissingAuction`](Finding::MissingAuction), [`MissingBid`](Finding::MissingBid), [`MissingCollection`](Finding::MissingCollection) | what a row refers to exists |
    /// | [`Conservation`](Finding::Conservation) | all money of a currency is what came in less what went out |
    ///
    /// It may run while bids go on, and finds nothing that is only half-way: each range of wallets, each range of auctions,
    /// and the sum of all money, is read in a snapshot of its own, in a read-only unit of work. It locks nothing.
    ///
    /// # What it costs
    ///
    /// The journal is read once, wallet by wallet, and each entry that is for an auction once more: no index leads from an
    /// auction to its entries, since every bid would have to keep it up. So the whole journal is scanned, in the database,
    /// once for every [`commands`](Audit::commands) bids and acts, 250,000 by default. On large books give it more, at 50
    /// bytes each.
    ///
    /// Memory: [`page_size`](Audit::page_size) wallets, or as many commands as above (of one auction, all), whatever the size of
    /// the books. It needs one connection. A snapshot keeps old versions of rows alive while its range is read: the longest
    /// are the scan of the journal and the sum of all money, each of them one statement for a statement timeout. On SQLite
    /// without WAL a snapshot holds up whoever commits. `docs/reliability.md` says what was measured.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOfWork`], also inside a unit of work on the same pool; [`Error::Database`], [`Error::MigrationsMissing`].
    /// What is wrong with the books is no error: it is in the report.
    ///
    /// # Cancel safety
    ///
    /// What has been found is lost. A scan of the journal that is under way is read to its end in the background, and keeps
    /// its connection as long. To lose less, go in steps: [`limit`](Audit::limit) and [`resume`](Audit::resume).
    ///
    /// # Example: clean books
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.place_bid(auction, "ann", 20.into()).await?;
    ///
    /// let report = ledger.audit().await?;
    /// assert!(report.is_clean(), "{:?}", report.findings);
    /// assert_eq!((report.read.wallets, report.read.entries, report.read.bids), (2, 2, 1));
    /// assert!(report.conservation.unwrap()[0].holds());
    /// # Ok(()) }
    /// ```
    pub fn audit(&self) -> Audit<'_> {
        Audit {
            ledger: self,
            wallets: None,
            auctions: None,
            resume: None,
            limit: u64::MAX,
            scope: Scope { page_size: 1_000, commands: 250_000, most: 1_000 },
        }
    }
}

/// An audit to be made: [`AuctionLedger::audit`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Audit<'a> {
    ledger: &'a AuctionLedger,
    wallets: Option<Span>,
    auctions: Option<Span>,
    resume: Option<AuditPosition>,
    limit: u64,
    scope: Scope,
}

impl Audit<'_> {
    /// Only wallets with these ids, and the entries filed under them. Auctions are audited only if
    /// [`auctions`](Self::auctions) asks for some, and all money is not counted.
    ///
    /// # Example: one wallet
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, Currency, WalletId};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.deposit("bob", Currency::EUR, 100.into()).await?;
    ///
    /// let bob = WalletId::from(2);
    /// let report = ledger.audit().wallets(bob..=bob).await?;
    /// assert!(report.is_clean());
    /// assert_eq!((report.read.wallets, report.conservation), (1, None));
    /// # Ok(()) }
    /// ```
    pub fn wallets(mut self, ids: impl RangeBounds<WalletId>) -> Self {
        self.wallets = Some(Span::of(&ids, |id| id.get()));
        self
    }

    /// Only auctions with these ids, and the bids, acts and entries that name them. Wallets are audited only if
    /// [`wallets`](Self::wallets) asks for some, and all money is not counted.
    pub fn auctions(mut self, ids: impl RangeBounds<AuctionId>) -> Self {
        self.auctions = Some(Span::of(&ids, |id| id.get()));
        self
    }

    /// Goes on where another audit of the same books, for the same ids, has ended. Together they find what one would.
    ///
    /// # Example: in steps, with a pause between them
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// let mut report = ledger.audit().limit(100_000).await?;
    /// let mut findings = report.findings;
    /// while let Some(position) = report.resume {
    ///     // A host would keep the position, and sleep.
    ///     report = ledger.audit().limit(100_000).resume(position).await?;
    ///     findings.extend(report.findings);
    /// }
    /// assert!(findings.is_empty());
    /// assert!(report.conservation.is_some(), "the last step has counted all money");
    /// # Ok(()) }
    /// ```
    pub fn resume(mut self, position: AuditPosition) -> Self {
        self.resume = Some(position);
        self
    }

    /// Stops after the range in which this many rows have been read, and says in [`AuditReport::resume`] where to go on.
    /// At least one range is read. Default: none.
    pub fn limit(mut self, rows: u64) -> Self {
        self.limit = rows;
        self
    }

    /// How many wallets are read in one snapshot, and how many auctions with one query; 0 counts as 1. Default: 1,000.
    pub fn page_size(mut self, rows: u64) -> Self {
        self.scope.page_size = rows.clamp(1, i64::MAX.unsigned_abs());
        self
    }

    /// How many bids and acts are kept in memory at a time, 50 bytes each: the journal is scanned once for each of such
    /// lots. A range has one auction at least. Default: 250,000.
    pub fn commands(mut self, commands: u64) -> Self {
        self.scope.commands = commands;
        self
    }

    /// How many findings are kept; what is beyond them is only counted. Default: 1,000.
    pub fn max_findings(mut self, findings: usize) -> Self {
        self.scope.most = findings;
        self
    }

    async fn run(&self) -> Result<AuditReport, Error> {
        let mut report = AuditReport::default();
        let start = self.resume.map_or(Part::FIRST, |position| position.0);
        let mut part = self.at_or_after(start);
        while let Some(next) = part {
            part = self.step(next, &mut report).await?;
            if report.read.total() >= self.limit {
                break;
            }
        }
        report.resume = part.map(AuditPosition);
        Ok(report)
    }

    /// Audits the first range of a part, and says what comes after it.
    async fn step(&self, part: Part, report: &mut AuditReport) -> Result<Option<Part>, Error> {
        let scope = &self.scope;
        let next = match part {
            Part::Wallets { from } => {
                let span = self.wallets.unwrap_or(Span::ALL).starting_at(from);
                let piece = self.in_snapshot(async |uow| wallets::audit(uow, span, scope).await);
                let next = report.add(piece.await?, scope.most);
                next.map_or(Part::Auctions { from: i64::MIN }, |from| Part::Wallets { from })
            }
            Part::Auctions { from } => {
                let span = self.auctions.unwrap_or(Span::ALL).starting_at(from);
                let piece = self.in_snapshot(async |uow| auctions::audit(uow, span, scope).await);
                let next = report.add(piece.await?, scope.most);
                next.map_or(Part::Conservation, |from| Part::Auctions { from })
            }
            Part::Conservation => {
                let totals = self.in_snapshot(conservation::count).await?;
                report.judge(totals, scope.most);
                return Ok(None);
            }
        };
        Ok(self.at_or_after(next))
    }

    /// The first part, at or after this one, that was asked for.
    fn at_or_after(&self, part: Part) -> Option<Part> {
        let everything = self.wallets.is_none() && self.auctions.is_none();
        let asked = |ids: Option<Span>, from: i64| {
            ids.or(everything.then_some(Span::ALL)).filter(|ids| from <= ids.to)
        };
        match part {
            Part::Wallets { from } if asked(self.wallets, from).is_some() => Some(part),
            Part::Wallets { .. } => self.at_or_after(Part::Auctions { from: i64::MIN }),
            Part::Auctions { from } if asked(self.auctions, from).is_some() => Some(part),
            Part::Auctions { .. } => self.at_or_after(Part::Conservation),
            Part::Conservation => everything.then_some(part),
        }
    }

    /// Runs `read` in a read-only unit of work that sees the books as they are at one instant: REPEATABLE READ on PostgreSQL,
    /// MariaDB and MySQL; on SQLite any transaction that only reads.
    async fn in_snapshot<F, T>(&self, read: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, Error> + Clone,
    {
        let root = self.ledger.unit_of_work().name("Audit");
        let root = root.isolation(IsolationLevel::RepeatableRead).access_mode(AccessMode::ReadOnly);
        self.ledger.retry.atomic(root, read).await.map(Committed::into_value)
    }
}

impl<'a> IntoFuture for Audit<'a> {
    type Output = Result<AuditReport, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run().await })
    }
}

/// How much is read and kept at a time.
#[derive(Clone, Copy, Debug)]
struct Scope {
    page_size: u64,
    commands: u64,
    /// The most findings.
    most: usize,
}

impl Scope {
    fn findings(&self) -> Findings {
        Findings::new(self.most)
    }

    /// Whether a page may have another one behind it.
    fn is_full<T>(&self, page: &[T]) -> bool {
        count(page) >= self.page_size
    }
}

/// Ids from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: i64,
    to: i64,
}

impl Span {
    const ALL: Self = Self { from: i64::MIN, to: i64::MAX };

    /// An empty range becomes a span that ends before it begins.
    fn of<T>(range: &impl RangeBounds<T>, id: fn(&T) -> i64) -> Self {
        let from = match range.start_bound() {
            Bound::Included(first) => Some(id(first)),
            Bound::Excluded(before) => id(before).checked_add(1),
            Bound::Unbounded => Some(i64::MIN),
        };
        let to = match range.end_bound() {
            Bound::Included(last) => Some(id(last)),
            Bound::Excluded(after) => id(after).checked_sub(1),
            Bound::Unbounded => Some(i64::MAX),
        };
        from.zip(to).map_or(Self { from: 0, to: -1 }, |(from, to)| Self { from, to })
    }

    /// What of it is at or after `from`.
    fn starting_at(self, from: i64) -> Self {
        Self { from: Ord::max(self.from, from), ..self }
    }

    /// The part of it that a page has shown, whose last id is `last`, and the first id after that part: all of it, if the
    /// page was not full.
    fn up_to(self, last: Option<i64>, is_full: bool) -> (Self, Option<i64>) {
        match last.filter(|last| is_full && *last < self.to) {
            Some(last) => (Self { to: last, ..self }, last.checked_add(1)),
            None => (self, None),
        }
    }

    fn holds(self, id: SimpleExpr) -> SimpleExpr {
        id.between(self.from, self.to)
    }
}

fn count<T>(rows: &[T]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

/// Whether entries of this kind bring money into the wallets or take it out, and are for no auction.
fn crosses_the_border(kind: i16) -> bool {
    let border = [entry::Kind::Deposit, entry::Kind::Withdrawal, entry::Kind::HouseShare];
    border.iter().any(|border| border.to_value() == kind)
}

fn read<T: TryGetable>(row: &QueryResult, index: usize) -> Result<T, DbErr> {
    row.try_get_by_index(index)
}
