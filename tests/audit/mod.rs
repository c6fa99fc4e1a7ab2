//! The audit: it finds what somebody has done to the books behind the ledger's back, and nothing else.

mod auctions;
mod books;
mod houses;
mod live;
mod wallets;

use auction_ledger::entity::{entry, wallet};
use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Balance, Currency, Error, Finding, ManualClock,
    WalletId,
};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};

use crate::support::{Books, Database, World};

const WON: Currency = Currency::KRW;

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn terms(currency: Currency) -> AuctionTerms {
    let terms = AuctionTerms::english(currency, 10.into(), 1.into()).buy_now(500.into());
    terms.ends_at(start() + TimeDelta::hours(1))
}

/// One auction for each way in which one can stand.
struct Story {
    /// Bob, Ann, Bob and Cid have bid; Cid leads with 25, and has raised once.
    open: AuctionId,
    /// Nobody has bid.
    quiet: AuctionId,
    /// Settled: Bob has paid 30.
    sold: AuctionId,
    /// Bought by Ann, who led, for 500.
    bought: AuctionId,
    /// Settled without a bid.
    unsold: AuctionId,
    /// Called off while Ann led.
    cancelled: AuctionId,
    /// Closed early: Cid has paid 12.
    closed: AuctionId,
}

/// Every verb, two currencies, and a user who has done nothing but deposit.
async fn story(world: &World) -> Result<Story, Error> {
    let clock = ManualClock::new(start());
    let ledger = AuctionLedger::new(world.db().clone()).clock(clock.clone());
    for user in ["ann", "bob", "cid"] {
        ledger.deposit(user, WON, 2_000.into()).await?;
        ledger.deposit(user, Currency::EUR, 100.into()).await?;
    }
    ledger.deposit("dan", WON, 100.into()).await?;
    let open = async |currency| {
        Ok::<_, Error>(ledger.open_auction("sam", "a thing", terms(currency)).await?.id)
    };
    let bid = async |auction, user: &str, amount: i64| {
        ledger.place_bid(auction, user, amount.into()).await.map(drop)
    };
    let story = Story {
        open: open(WON).await?,
        quiet: open(Currency::EUR).await?,
        sold: open(WON).await?,
        bought: open(WON).await?,
        unsold: open(WON).await?,
        cancelled: open(Currency::EUR).await?,
        closed: open(WON).await?,
    };
    for (user, amount) in [("bob", 10), ("ann", 13), ("bob", 15), ("cid", 20), ("cid", 25)] {
        bid(story.open, user, amount).await?;
    }
    for (user, amount) in [("ann", 20), ("bob", 30)] {
        bid(story.sold, user, amount).await?;
    }
    bid(story.bought, "ann", 40).await?;
    ledger.buy_now(story.bought, "ann").await?;
    bid(story.cancelled, "ann", 11).await?;
    ledger.cancel(story.cancelled).reason("a mistake").await?;
    bid(story.closed, "cid", 12).await?;
    ledger.close_early(story.closed).by("sam").await?;
    ledger.withdraw("bob", Currency::EUR, 40.into()).await?;
    clock.advance(TimeDelta::hours(2));
    ledger.settle(story.sold).await?;
    ledger.settle(story.unsold).await?;
    ledger.deposit("sam", Currency::EUR, 1.into()).await?;
    let books = Books::read(world.db()).await?;
    books.check();
    Ok(story)
}

/// Somebody who may do anything to the database: the triggers are gone, and no CHECK and no key is looked at.
struct Vandal(DatabaseConnection);

impl Vandal {
    async fn of(world: &World) -> Result<Self, DbErr> {
        let db = world.connect(1).await;
        let (triggers, off) = match world.database() {
            Database::Sqlite => (
                "SELECT 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger'",
                ["PRAGMA ignore_check_constraints = ON", "PRAGMA foreign_keys = OFF"].as_slice(),
            ),
            // The last ones are CHECKs, which no session can switch off.
            Database::Postgres => (
                "SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal \
                 UNION ALL SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint \
                 WHERE contype = 'c' AND connamespace = 'public'::regnamespace",
                ["SET session_replication_role = replica"].as_slice(),
            ),
            Database::Mariadb => (
                "SELECT CONCAT('DROP TRIGGER ', trigger_name) FROM information_schema.triggers WHERE trigger_schema = database()",
                ["SET check_constraint_checks = 0", "SET foreign_key_checks = 0"].as_slice(),
            ),
        };
        let rows = Statement::from_string(db.get_database_backend(), triggers);
        let rows = db.query_all_raw(rows).await?;
        assert!(rows.len() >= 8, "the triggers are found");
        for row in rows {
            db.execute_unprepared(&row.try_get_by_index::<String>(0)?).await?;
        }
        for statement in off {
            db.execute_unprepared(statement).await?;
        }
        Ok(Self(db))
    }

    /// Runs statements, each of which must change exactly one row.
    async fn does(&self, statements: impl IntoIterator<Item = String>) -> Result<(), DbErr> {
        for statement in statements {
            let done = self.0.execute_unprepared(&statement).await?;
            assert_eq!(done.rows_affected(), 1, "{statement}");
        }
        Ok(())
    }
}

/// Fails unless the audit finds exactly this.
async fn finds(
    world: &World,
    expected: impl IntoIterator<Item = Finding>,
) -> Result<Vec<Finding>, Error> {
    let report = AuctionLedger::new(world.db().clone()).audit().await?;
    let (mut found, mut expected) = (report.findings.clone(), Vec::from_iter(expected));
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!((report.more_findings, report.resume), (0, None));
    assert_eq!(report.is_clean(), expected.is_empty());
    Ok(report.findings)
}

fn balance(available: i128, held: i128) -> Balance {
    Balance { available, held }
}

impl Books {
    /// A user's wallet of a currency.
    fn wallet_in(&self, user: &str, currency: Currency) -> &wallet::Model {
        let found = self
            .wallets
            .iter()
            .find(|wallet| wallet.owner == user.as_bytes() && wallet.currency == currency.code());
        found.unwrap_or_else(|| panic!("{user} has no wallet of {currency}"))
    }

    /// A user's wallet of won.
    fn won(&self, user: &str) -> WalletId {
        self.wallet_in(user, WON).id.into()
    }

    /// The entries that are for an auction, in the order in which they were made.
    fn entries_for(&self, auction: AuctionId) -> Vec<&entry::Model> {
        let mut entries: Vec<_> =
            self.entries.iter().filter(|entry| entry.auction_id == Some(auction.get())).collect();
        entries.sort_by_key(|entry| (entry.operation, entry.wallet_id, entry.seq));
        entries
    }
}
