//! The tables, read into names.

use std::collections::{BTreeMap, BTreeSet};

use auction_ledger::entity::{act, auction, bid, entry, key, wallet};
use auction_ledger::{AuctionId, AuctionState, Currency};
use sea_orm::prelude::Uuid;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder,
    TransactionTrait,
};

use super::rows::{ActRow, BidRow, Line, Lot, Owner, Purse, Rows, command_name, entry_name};
use crate::support::Books;

/// What is stored of some users and auctions.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) rows: Rows,
    /// The names of all operations.
    pub(super) names: BTreeMap<Uuid, String>,
}

/// Reads the wallets of these users and these auctions, with all that belongs to them, and checks every law of the books.
pub(super) async fn read(
    db: &DatabaseConnection,
    users: &[String],
    lots: &[AuctionId],
) -> Result<Stored, DbErr> {
    // On one connection: the pool would ask the database before and after each query whether it is still there.
    let transaction = db.begin().await?;
    let books = books(&transaction, users, lots).await?;
    transaction.commit().await?;
    books.check();
    Ok(Names::of(&books, lots).stored(&books))
}

/// The users of these keys, or the house, each with the key.
pub(super) async fn keys(
    db: &DatabaseConnection,
    keys: BTreeSet<String>,
) -> Result<BTreeSet<(Option<String>, String)>, DbErr> {
    let keys = keys.into_iter().map(String::into_bytes);
    let used = key::Entity::find().filter(key::Column::IdempotencyKey.is_in(keys)).all(db).await?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a key is a text");
    let place = |row: key::Model| {
        let user = text(row.scope).strip_prefix("user ").map(str::to_owned);
        (user, text(row.idempotency_key))
    };
    Ok(used.into_iter().map(place).collect())
}

async fn books(
    db: &impl ConnectionTrait,
    users: &[String],
    lots: &[AuctionId],
) -> Result<Books, DbErr> {
    let owners = users.iter().map(|user| user.as_bytes().to_vec());
    let wallets = wallet::Entity::find()
        .filter(wallet::Column::Owner.is_in(owners))
        .order_by_asc(wallet::Column::Id)
        .all(db)
        .await?;
    let ids = wallets.iter().map(|wallet| wallet.id);
    let entries = entry::Entity::find()
        .filter(entry::Column::WalletId.is_in(ids))
        .order_by_asc(entry::Column::WalletId)
        .order_by_asc(entry::Column::Seq)
        .all(db)
        .await?;
    let ids = || lots.iter().map(|id| id.get());
    Ok(Books {
        wallets,
        auctions: auction::Entity::find()
            .filter(auction::Column::Id.is_in(ids()))
            .order_by_asc(auction::Column::Id)
            .all(db)
            .await?,
        bids: bid::Entity::find()
            .filter(bid::Column::AuctionId.is_in(ids()))
            .order_by_asc(bid::Column::AuctionId)
            .order_by_asc(bid::Column::Seq)
            .all(db)
            .await?,
        acts: act::Entity::find()
            .filter(act::Column::AuctionId.is_in(ids()))
            .order_by_asc(act::Column::AuctionId)
            .order_by_asc(act::Column::Seq)
            .all(db)
            .await?,
        entries,
        keys: Vec::new(),
        shares: Vec::new(),
        sealed_bids: Vec::new(),
    })
}

/// From ids to names.
struct Names<'a> {
    owners: BTreeMap<i64, Owner>,
    lots: &'a [AuctionId],
    operations: BTreeMap<Uuid, String>,
}

impl<'a> Names<'a> {
    fn of(books: &Books, lots: &'a [AuctionId]) -> Self {
        let owner = |row: &wallet::Model| {
            let user = String::from_utf8(row.owner.clone()).expect("an owner is a text");
            (row.id, (user, row.currency.clone()))
        };
        let owners = books.wallets.iter().map(owner).collect();
        let mut names = Self { owners, lots, operations: BTreeMap::new() };
        for entry in books.entries.iter().filter(|entry| entry.auction_id.is_none()) {
            let name = entry_name(&names.owners[&entry.wallet_id], entry.seq);
            names.operations.insert(entry.operation, name);
        }
        let bids = books.bids.iter().map(|bid| (bid.operation, bid.auction_id, bid.seq));
        let acts = books.acts.iter().map(|act| (act.operation, act.auction_id, act.seq));
        for (operation, auction, seq) in bids.chain(acts) {
            let name = command_name(names.lot(auction), seq);
            let taken = names.operations.insert(operation, name.clone());
            assert_eq!(taken, None, "{name} has the operation of another command");
        }
        names
    }

    fn lot(&self, id: i64) -> usize {
        let place = self.lots.iter().position(|lot| lot.get() == id);
        place.unwrap_or_else(|| panic!("a row of auction {id}, which is not of this test"))
    }

    fn user(&self, id: i64) -> String {
        self.owners[&id].0.clone()
    }

    fn operation(&self, operation: Uuid) -> String {
        self.operations.get(&operation).cloned().unwrap_or_else(|| format!("unknown {operation}"))
    }

    fn stored(self, books: &Books) -> Stored {
        let purses = books.wallets.iter().map(|row| {
            let lines = books.entries.iter().filter(|entry| entry.wallet_id == row.id);
            let purse = Purse {
                currency: currency(&row.currency, row.exponent),
                available: row.available,
                held: row.held,
                seq: row.seq,
                last_at: row.last_at,
                lines: lines.map(|entry| self.line(entry)).collect(),
            };
            (self.owners[&row.id].clone(), purse)
        });
        let purses = purses.collect();
        let mut lots: Vec<_> =
            books.auctions.iter().map(|row| (self.lot(row.id), self.auction(row, books))).collect();
        lots.sort_by_key(|(place, _)| *place);
        let lots = lots.into_iter().map(|(_, lot)| lot).collect();
        Stored { rows: Rows { purses, lots }, names: self.operations }
    }

    fn line(&self, row: &entry::Model) -> Line {
        Line {
            operation: self.operation(row.operation),
            kind: row.kind,
            available_delta: row.available_delta,
            held_delta: row.held_delta,
            available_after: row.available_after,
            held_after: row.held_after,
            lot: row.auction_id.map(|id| self.lot(id)),
            memo: row.memo.clone(),
            at: row.at,
        }
    }

    fn auction(&self, row: &auction::Model, books: &Books) -> Lot {
        let bids = books.bids.iter().filter(|bid| bid.auction_id == row.id);
        let acts = books.acts.iter().filter(|act| act.auction_id == row.id);
        Lot {
            title: row.title.clone(),
            seller: self.user(row.seller_wallet_id),
            currency: currency(&row.currency, row.exponent),
            start_price: row.start_price,
            increment: row.increment,
            multiple_of: row.multiple_of,
            buy_now_price: row.buy_now_price,
            starts_at: row.starts_at,
            original_ends_at: row.original_ends_at,
            ends_at: row.ends_at,
            state: state(row.state),
            leader: row.leader_wallet_id.map(|id| self.user(id)),
            leader_max: row.leader_max,
            leader_seq: row.leader_seq,
            price: row.price,
            runner_up_max: row.runner_up_max,
            winner: row.winner_wallet_id.map(|id| self.user(id)),
            sold_price: row.sold_price,
            seq: row.seq,
            last_at: row.last_at,
            bids: bids.map(|bid| self.bid(bid)).collect(),
            acts: acts.map(|act| self.act(act)).collect(),
        }
    }

    fn bid(&self, row: &bid::Model) -> BidRow {
        BidRow {
            seq: row.seq,
            operation: self.operation(row.operation),
            user: self.user(row.wallet_id),
            amount: row.amount,
            price: row.price,
            leader: self.user(row.leader_wallet_id),
            ends_at: row.ends_at,
            at: row.at,
        }
    }

    fn act(&self, row: &act::Model) -> ActRow {
        ActRow {
            seq: row.seq,
            operation: self.operation(row.operation),
            kind: row.kind,
            user: row.wallet_id.map(|id| self.user(id)),
            amount: row.amount,
            reason: row.reason.clone(),
            at: row.at,
        }
    }
}

fn currency(code: &str, exponent: i16) -> Currency {
    let exponent = u8::try_from(exponent).expect("an exponent is small");
    Currency::new(code, exponent).expect("a stored currency is one")
}

fn state(state: auction::State) -> AuctionState {
    match state {
        auction::State::Open => AuctionState::Open,
        auction::State::Sold => AuctionState::Sold,
        auction::State::Unsold => AuctionState::Unsold,
        auction::State::Cancelled => AuctionState::Cancelled,
        auction::State::AwaitingSeller => AuctionState::AwaitingSeller,
        auction::State::Settling => AuctionState::Settling,
        auction::State::Cancelling => AuctionState::Cancelling,
    }
}
