//! How long an audit takes, and how much memory.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use auction_ledger::AuctionLedger;
use auction_ledger::entity::wallet;
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, Database, EntityTrait, PaginatorTrait};

use super::{book, print};

#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) entries: i64,
    pub(crate) url: Option<String>,
    pub(crate) commands: Option<u64>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "what is measured is measured by this machine's clock"
)]
pub(crate) async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = format!("sqlite://{}?mode=rwc", folder.path().join("book.db").display());
    let mut connect = ConnectOptions::new(options.url.unwrap_or(file));
    connect.max_connections(2).sqlx_logging(false);
    connect.map_sqlx_sqlite_opts(|options| options.pragma("journal_mode", "WAL"));
    let db = Database::connect(connect).await?;
    Migrator::up(&db, None).await?;
    if wallet::Entity::find().count(&db).await? == 0 {
        let start = Instant::now();
        book::write(&db, options.entries).await?;
        println!("wrote the book in {:.1?}", start.elapsed());
    }

    let ledger = AuctionLedger::new(db);
    let memory = Memory::watch();
    let before = Memory::resident();
    let start = Instant::now();
    let mut audit = ledger.audit();
    if let Some(commands) = options.commands {
        audit = audit.commands(commands);
    }
    let report = audit.await?;
    let took = start.elapsed();
    print(&report);
    assert!(report.is_clean());
    let a_minute = report.read.entries * 60_000 / u64::try_from(took.as_millis())?.max(1);
    println!("audited in {took:.1?}: {a_minute} entries a minute");
    match before.zip(memory.peak()) {
        Some((before, peak)) => println!("memory: {before} KiB before, {peak} KiB at most"),
        None => println!("memory: not known on this system"),
    }
    Ok(())
}

/// The memory of this process, looked at again and again.
struct Memory(Arc<AtomicU64>);

impl Memory {
    fn watch() -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&peak);
        std::thread::spawn(move || {
            while let Some(peak) = watched.upgrade() {
                peak.fetch_max(Self::resident().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self(peak)
    }

    /// What Linux says in `/proc`.
    fn resident() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    fn peak(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|peak| *peak > 0)
    }
}
