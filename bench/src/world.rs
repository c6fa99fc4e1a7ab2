//! The auctions and wallets that a contestant finds: the first of each kind is made by the ledger, the others are its copies.

use std::collections::BTreeMap;
use std::time::Duration;

use auction_ledger::entity::{act, auction, bid, entry, wallet};
use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, DatabaseConnection, EntityTrait, IntoActiveModel,
};
use uuid::Uuid;

use crate::Failure;

/// What the auctions are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// They take bids for a day.
    Open,
    /// They can be bought at once, too.
    BuyNow,
    /// They have ended, with one bid each, and wait to be settled.
    Ended,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub auctions: i64,
    pub wallets: i64,
    pub kind: Kind,
}

impl Shape {
    pub const fn open(auctions: i64) -> Self {
        Self { auctions, wallets: 1000, kind: Kind::Open }
    }

    /// A name for a database.
    pub fn name(self) -> String {
        format!("bench_{}_{}_{:?}", self.auctions, self.wallets, self.kind).to_lowercase()
    }
}

pub const START_PRICE: i64 = 100;
pub const BUY_NOW_PRICE: i64 = 10_000;
/// What each wallet has: no bid of a run is refused for want of money.
pub const FUNDS: i64 = 1_000_000_000_000_000;
const HOUR: i64 = 3_600_000_000;

pub fn user(wallet: i64) -> String {
    format!("user-{wallet:08}")
}

/// Makes the tables and fills them.
pub async fn fill(db: &DatabaseConnection, shape: Shape) -> Result<(), Failure> {
    Migrator::up(db, None).await?;
    let ledger = AuctionLedger::new(db.clone());
    let funds = Currency::EUR.decimal_of(FUNDS);
    ledger.deposit(user(1), Currency::EUR, funds).await?;
    let mut terms = AuctionTerms::english(
        Currency::EUR,
        Currency::EUR.decimal_of(START_PRICE),
        Currency::EUR.decimal_of(1),
    )
    .ends_in(Duration::from_secs(86_400));
    if shape.kind == Kind::BuyNow {
        terms = terms.buy_now(Currency::EUR.decimal_of(BUY_NOW_PRICE));
    }
    ledger.open_auction("seller", "brass telescope", terms).await?;
    let rows = Rows::copies(db, shape).await?;
    rows.store(db).await
}

/// Minor units as the verbs take them.
pub trait DecimalOf {
    fn decimal_of(self, minor: i64) -> rust_decimal::Decimal;
}

impl DecimalOf for Currency {
    fn decimal_of(self, minor: i64) -> rust_decimal::Decimal {
        rust_decimal::Decimal::new(minor, self.exponent().into())
    }
}

#[derive(Default)]
struct Rows {
    wallets: Vec<wallet::Model>,
    entries: Vec<entry::Model>,
    auctions: Vec<auction::Model>,
    acts: Vec<act::Model>,
    bids: Vec<bid::Model>,
}

impl Rows {
    async fn copies(db: &DatabaseConnection, shape: Shape) -> Result<Self, Failure> {
        let wallet = wallet::Entity::find_by_id(1).one(db).await?.ok_or("no wallet")?;
        let deposit = entry::Entity::find_by_id((1, 1)).one(db).await?.ok_or("no entry")?;
        let auction = auction::Entity::find().one(db).await?.ok_or("no auction")?;
        let act = act::Entity::find().one(db).await?.ok_or("no act")?;
        let mut rows = Self::default();
        // The seller has the second wallet.
        for id in 3..=shape.wallets + 1 {
            rows.wallets.push(wallet::Model { id, owner: user(id).into_bytes(), ..wallet.clone() });
            let operation = Uuid::now_v7();
            rows.entries.push(entry::Model { wallet_id: id, operation, ..deposit.clone() });
        }
        for id in auction.id + 1..auction.id + shape.auctions {
            rows.auctions.push(auction::Model { id, ..auction.clone() });
            let operation = Uuid::now_v7();
            rows.acts.push(act::Model { auction_id: id, operation, ..act.clone() });
        }
        if shape.kind == Kind::Ended {
            rows.end();
        }
        Ok(rows)
    }

    /// Puts a bid on each auction, and its end into the past.
    fn end(&mut self) {
        let mut wallets: BTreeMap<i64, wallet::Model> =
            self.wallets.drain(..).map(|wallet| (wallet.id, wallet)).collect();
        let ids: Vec<i64> = wallets.keys().copied().collect();
        for entry in &mut self.entries {
            entry.at -= 4 * HOUR;
        }
        for act in &mut self.acts {
            act.at -= 3 * HOUR;
        }
        for (auction, id) in self.auctions.iter_mut().zip(ids.into_iter().cycle()) {
            let Some(wallet) = wallets.get_mut(&id) else { continue };
            let (operation, at) = (Uuid::now_v7(), auction.starts_at - 2 * HOUR);
            wallet.available -= START_PRICE;
            wallet.held += START_PRICE;
            wallet.seq += 1;
            wallet.last_at = at;
            auction.starts_at -= 3 * HOUR;
            auction.ends_at = auction.starts_at + 2 * HOUR;
            auction.original_ends_at = auction.ends_at;
            auction.leader_wallet_id = Some(id);
            auction.leader_max = Some(START_PRICE);
            auction.leader_seq = Some(2);
            auction.price = Some(START_PRICE);
            auction.seq = 2;
            auction.last_at = at;
            self.bids.push(bid::Model {
                auction_id: auction.id,
                seq: 2,
                operation,
                wallet_id: id,
                amount: START_PRICE,
                price: START_PRICE,
                leader_wallet_id: id,
                ends_at: auction.ends_at,
                at,
            });
            self.entries.push(entry::Model {
                wallet_id: id,
                seq: wallet.seq,
                operation,
                kind: entry::Kind::Hold,
                available_delta: -START_PRICE,
                held_delta: START_PRICE,
                available_after: wallet.available,
                held_after: wallet.held,
                auction_id: Some(auction.id),
                memo: None,
                at,
            });
        }
        self.wallets = wallets.into_values().collect();
    }

    async fn store(self, db: &DatabaseConnection) -> Result<(), Failure> {
        insert::<wallet::Entity, _>(db, self.wallets).await?;
        insert::<entry::Entity, _>(db, self.entries).await?;
        insert::<auction::Entity, _>(db, self.auctions).await?;
        insert::<act::Entity, _>(db, self.acts).await?;
        insert::<bid::Entity, _>(db, self.bids).await
    }
}

async fn insert<E, A>(db: &DatabaseConnection, rows: Vec<E::Model>) -> Result<(), Failure>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<A>,
    A: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
{
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        // SQLite binds 32,766 values in one statement, and an auction has 39.
        let chunk = rows.by_ref().take(800).map(|row| row.into_active_model().reset_all());
        let chunk: Vec<A> = chunk.collect();
        E::insert_many(chunk).exec_without_returning(db).await?;
    }
    Ok(())
}
