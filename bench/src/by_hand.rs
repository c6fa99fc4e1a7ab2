//! What a user of SeaORM writes without the crate: ten statements in a transaction, on the same tables.

#![allow(
    clippy::disallowed_methods,
    reason = "it is what the crate replaces: a transaction of SeaORM, and the clock of the host"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use auction_ledger::entity::{auction, bid, entry, key, wallet};
use futures::FutureExt;
use futures::future::BoxFuture;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    EntityTrait, IntoActiveModel, QuerySelect, TransactionTrait,
};
use uuid::Uuid;

use crate::Failure;
use crate::keys::Keys;
use crate::load::{Answer, Target};
use crate::ours::Market;

/// Bids by hand.
pub struct ByHand {
    pub db: DatabaseConnection,
    pub market: Market,
    pub keys: Keys,
    /// A row of the host's own in the same transaction.
    pub note: bool,
}

impl Target for ByHand {
    fn call<'a>(&'a self, random: &'a mut fastrand::Rng) -> BoxFuture<'a, Result<Answer, Failure>> {
        async move {
            let auction = self.market.auction(random) as i64 + 1;
            let bidder = self.market.bidder(random);
            let key = self.keys.next();
            let transaction = self.db.begin().await?;
            if self.note {
                let insert = format!("INSERT INTO note (auction_id) VALUES ({auction})");
                transaction.execute_unprepared(&insert).await?;
            }
            bid(&transaction, auction, bidder, key).await?;
            transaction.commit().await?;
            Ok(Answer::Accepted)
        }
        .boxed()
    }
}

/// Bids the next minimum, under the lock of the auction.
async fn bid(
    transaction: &DatabaseTransaction,
    auction: i64,
    bidder: i64,
    key: Option<Uuid>,
) -> Result<(), Failure> {
    let lot = auction::Entity::find_by_id(auction).lock_exclusive().one(transaction).await?;
    let lot = lot.ok_or("no auction")?;
    // Nobody outbids themselves here: their neighbour bids instead.
    let bidder = match (lot.leader_wallet_id == Some(bidder), bidder) {
        (false, bidder) => bidder,
        (true, 1) => 3,
        (true, _) => 1,
    };
    // Ascending, so that two never deadlock.
    let mut wallets = [None, None];
    let mut ids = [lot.leader_wallet_id, Some(bidder)];
    ids.sort_unstable();
    for (id, place) in ids.into_iter().flatten().zip(&mut wallets) {
        *place = wallet::Entity::find_by_id(id).lock_exclusive().one(transaction).await?;
    }
    let (mine, theirs): (Vec<_>, Vec<_>) =
        wallets.into_iter().flatten().partition(|wallet| wallet.id == bidder);
    let mine = mine.into_iter().next().ok_or("no wallet")?;
    let leader = theirs.into_iter().next();
    let amount = lot.price.map_or(lot.start_price, |price| price + lot.increment);
    if lot.state != auction::State::Open || mine.available < amount {
        return Err("refused".into());
    }
    let last =
        lot.last_at.max(mine.last_at).max(leader.as_ref().map_or(0, |leader| leader.last_at));
    let at = now().max(last);
    let done = Done { operation: Uuid::now_v7(), auction, amount, at };
    insert_bid(transaction, &lot, &mine, done).await?;
    if let Some(key) = key {
        insert_key(transaction, &mine, key, done).await?;
    }
    move_money(transaction, mine, done, entry::Kind::Hold, amount).await?;
    if let Some(leader) = leader {
        let released = -lot.leader_max.unwrap_or(0);
        move_money(transaction, leader, done, entry::Kind::Release, released).await?;
    }
    let (seq, runner_up_max) = (lot.seq + 1, lot.leader_max);
    let mut lot = lot.into_active_model();
    lot.leader_wallet_id = Set(Some(bidder));
    lot.leader_max = Set(Some(amount));
    lot.leader_seq = Set(Some(seq));
    lot.price = Set(Some(amount));
    lot.runner_up_max = Set(runner_up_max);
    lot.seq = Set(seq);
    lot.last_at = Set(at);
    lot.update(transaction).await?;
    Ok(())
}

#[derive(Clone, Copy)]
struct Done {
    operation: Uuid,
    auction: i64,
    amount: i64,
    at: i64,
}

async fn insert_bid(
    transaction: &DatabaseTransaction,
    lot: &auction::Model,
    bidder: &wallet::Model,
    done: Done,
) -> Result<(), Failure> {
    let row = bid::ActiveModel {
        auction_id: Set(lot.id),
        seq: Set(lot.seq + 1),
        operation: Set(done.operation),
        wallet_id: Set(bidder.id),
        amount: Set(done.amount),
        price: Set(done.amount),
        leader_wallet_id: Set(bidder.id),
        ends_at: Set(lot.ends_at),
        at: Set(done.at),
    };
    row.insert(transaction).await?;
    Ok(())
}

async fn insert_key(
    transaction: &DatabaseTransaction,
    bidder: &wallet::Model,
    key: Uuid,
    done: Done,
) -> Result<(), Failure> {
    let answer = serde_json::json!({
        "auction": done.auction, "operation": done.operation, "amount": done.amount.to_string(),
        "price": done.amount.to_string(), "currency": bidder.currency, "at": done.at,
        "user": String::from_utf8_lossy(&bidder.owner),
    });
    let row = key::ActiveModel {
        scope: Set([b"user ", bidder.owner.as_slice()].concat()),
        idempotency_key: Set(key.to_string().into_bytes()),
        request_hash: Set(key.as_bytes().repeat(2)),
        operation: Set(done.operation),
        answer: Set(Some(answer.to_string())),
        at: Set(done.at),
    };
    row.insert(transaction).await?;
    Ok(())
}

/// Moves money into the hold of a wallet, or out of it.
async fn move_money(
    transaction: &DatabaseTransaction,
    wallet: wallet::Model,
    done: Done,
    kind: entry::Kind,
    held: i64,
) -> Result<(), Failure> {
    let entry = entry::ActiveModel {
        wallet_id: Set(wallet.id),
        seq: Set(wallet.seq + 1),
        operation: Set(done.operation),
        kind: Set(kind),
        available_delta: Set(-held),
        held_delta: Set(held),
        available_after: Set(wallet.available - held),
        held_after: Set(wallet.held + held),
        auction_id: Set(Some(done.auction)),
        memo: Set(None),
        at: Set(done.at),
    };
    let (available, all_held, seq) = (wallet.available - held, wallet.held + held, wallet.seq + 1);
    let mut wallet = wallet.into_active_model();
    wallet.available = Set(available);
    wallet.held = Set(all_held);
    wallet.seq = Set(seq);
    wallet.last_at = Set(done.at);
    wallet.update(transaction).await?;
    entry.insert(transaction).await?;
    Ok(())
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
