//! Saving what commands changed: every touched row is written once, on PostgreSQL all of them in one statement.

use sea_orm::sea_query::{Iden, InsertStatement, OnConflict};
use sea_orm::{ActiveEnum, ConnectionTrait, EntityTrait, Iterable, Value};

use super::once::Reply;
use super::store::{Account, Lot};
use crate::backend::{Dialect, InsertOrUpdate, Rows, Write};
use crate::entity::{act, auction, bid, entry, house, key, sealed_bid, wallet};
use crate::error::Error;
use crate::money::Amount;
use crate::rules::AuctionState;
use crate::unit_of_work::UnitOfWork;

/// What one or many commands changed, net.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) lots: Vec<Lot>,
    pub(super) accounts: Vec<Account>,
    pub(super) bids: Vec<bid::Model>,
    pub(super) acts: Vec<act::Model>,
    pub(super) entries: Vec<entry::Model>,
    /// The house's shares of sales.
    pub(super) shares: Vec<house::Model>,
    /// Sealed bids, new, raised and released.
    pub(super) sealed_bids: Vec<sealed_bid::Model>,
    /// The answers of requests with a key that nobody has used.
    pub(super) replies: Vec<Reply>,
    /// The answer of a request that has claimed its key.
    pub(super) claimed: Option<Reply>,
}

/// Writes every changed row once: on PostgreSQL in one statement, elsewhere in one for each table.
pub(super) async fn save(uow: &UnitOfWork, changes: Changes) -> Result<(), Error> {
    let dialect = Dialect::of(uow.get_database_backend());
    let lots = Rows::<auction::Entity>::new(LOT, changes.lots.iter().map(lot_values));
    let accounts = changes.accounts.iter().map(account_values);
    let accounts = Rows::<wallet::Entity>::new(ACCOUNT, accounts);
    let updates = lots.updates(dialect).into_iter().chain(accounts.updates(dialect));
    let mut writes: Vec<Write<InsertOrUpdate>> =
        updates.map(|update| update.map(Into::into)).collect();
    let bids = all::<bid::Entity, _>(changes.bids.into_iter().map(bid_values)).inserts(dialect);
    let acts = all::<act::Entity, _>(changes.acts.into_iter().map(act_values)).inserts(dialect);
    let entries =
        all::<entry::Entity, _>(changes.entries.into_iter().map(entry_values)).inserts(dialect);
    let shares =
        all::<house::Entity, _>(changes.shares.into_iter().map(share_values)).inserts(dialect);
    let sealed_bids = changes.sealed_bids.into_iter().map(sealed_bid_values);
    let sealed_bids = put::<sealed_bid::Entity, _>(sealed_bids, &SEALED_BID, dialect);
    let claimed = changes.claimed.into_iter().map(reply_values);
    let claimed = put::<key::Entity, _>(claimed, &REPLY, dialect);
    let replies = all::<key::Entity, _>(changes.replies.into_iter().map(reply_values));
    let replies = replies.complete().inserts(dialect);
    let inserts = [bids, acts, entries, shares, sealed_bids, claimed, replies];
    writes.extend(inserts.into_iter().flatten().map(|insert| insert.map(Into::into)));
    let Some(last) = writes.pop() else {
        return Ok(());
    };
    if dialect.writes_in_one_statement() {
        uow.execute_raw(last.render(writes, dialect)).await?;
        return Ok(());
    }
    for write in writes.into_iter().chain([last]) {
        uow.execute_raw(write.render(Vec::new(), dialect)).await?;
    }
    Ok(())
}

fn minor(amount: Option<Amount>) -> Option<i64> {
    amount.map(Amount::minor)
}

/// What of an auction changes, behind its id.
const LOT: [auction::Column; 13] = [
    auction::Column::Id,
    auction::Column::State,
    auction::Column::EndsAt,
    auction::Column::LeaderWalletId,
    auction::Column::LeaderMax,
    auction::Column::LeaderSeq,
    auction::Column::Price,
    auction::Column::RunnerUpMax,
    auction::Column::Reserve,
    auction::Column::WinnerWalletId,
    auction::Column::SoldPrice,
    auction::Column::Seq,
    auction::Column::LastAt,
];

fn lot_values(lot: &Lot) -> [Value; 13] {
    let standing = &lot.standing;
    let sold = standing.state == AuctionState::Sold;
    let winner = standing.leader.filter(|_| sold);
    // Whoever takes an auction on which nobody can bid has never led.
    let led = lot.terms.ladder.is_some();
    let leader = standing.leader.filter(|_| led);
    [
        lot.id.get().into(),
        state_row(standing.state).to_value().into(),
        standing.ends_at.get().into(),
        leader.map(|leader| leader.wallet.get()).into(),
        leader.map(|leader| leader.maximum.minor()).into(),
        leader.map(|leader| leader.seq).into(),
        minor(standing.price.filter(|_| led)).into(),
        minor(standing.runner_up_maximum).into(),
        minor(standing.reserve).into(),
        winner.map(|winner| winner.wallet.get()).into(),
        minor(standing.price.filter(|_| sold)).into(),
        standing.seq.into(),
        standing.last_at.get().into(),
    ]
}

/// What of a wallet changes, behind its id.
const ACCOUNT: [wallet::Column; 5] = [
    wallet::Column::Id,
    wallet::Column::Available,
    wallet::Column::Held,
    wallet::Column::Seq,
    wallet::Column::LastAt,
];

fn account_values(account: &Account) -> [Value; 5] {
    [
        account.id.get().into(),
        account.available.into(),
        account.held.into(),
        account.seq.into(),
        account.last_at.get().into(),
    ]
}

/// Rows with all columns, in the order of the entity.
fn all<E: EntityTrait, const COLUMNS: usize>(
    rows: impl Iterator<Item = [Value; COLUMNS]>,
) -> Rows<E>
where
    E::Column: Iden,
{
    Rows::new(E::Column::iter(), rows)
}

/// Inserts rows, and changes those that are there: an INSERT of several rows that are all there is the UPDATE that every
/// database can do at once.
fn put<E: EntityTrait, const COLUMNS: usize>(
    rows: impl Iterator<Item = [Value; COLUMNS]>,
    (key, changed): &([E::Column; 2], &[E::Column]),
    dialect: Dialect,
) -> Vec<Write<InsertStatement>>
where
    E::Column: Iden,
{
    let mut inserts = all::<E, _>(rows).inserts(dialect);
    for insert in &mut inserts {
        let update = OnConflict::columns(*key).update_columns(changed.iter().copied()).to_owned();
        insert.statement.on_conflict(update);
    }
    inserts
}

/// The key of the row of an answer, and what changes once its key was claimed.
const REPLY: ([key::Column; 2], &[key::Column]) = (
    [key::Column::Scope, key::Column::IdempotencyKey],
    &[key::Column::RequestHash, key::Column::Operation, key::Column::Answer],
);

fn reply_values(reply: Reply) -> [Value; 6] {
    [
        reply.scope().into(),
        reply.key().into(),
        reply.hash().into(),
        reply.operation().get().into(),
        Some(reply.answer).into(),
        reply.at.get().into(),
    ]
}

fn bid_values(row: bid::Model) -> [Value; 9] {
    [
        row.auction_id.into(),
        row.seq.into(),
        row.operation.into(),
        row.wallet_id.into(),
        row.amount.into(),
        row.price.into(),
        row.leader_wallet_id.into(),
        row.ends_at.into(),
        row.at.into(),
    ]
}

fn act_values(row: act::Model) -> [Value; 10] {
    [
        row.auction_id.into(),
        row.seq.into(),
        row.operation.into(),
        row.kind.to_value().into(),
        row.wallet_id.into(),
        row.amount.into(),
        row.reason.into(),
        row.at.into(),
        row.bid_seq.into(),
        row.ends_at.into(),
    ]
}

fn entry_values(row: entry::Model) -> [Value; 11] {
    [
        row.wallet_id.into(),
        row.seq.into(),
        row.operation.into(),
        row.kind.to_value().into(),
        row.available_delta.into(),
        row.held_delta.into(),
        row.available_after.into(),
        row.held_after.into(),
        row.auction_id.into(),
        row.memo.into(),
        row.at.into(),
    ]
}

/// The key of a sealed bid, and what changes of one that is there.
const SEALED_BID: ([sealed_bid::Column; 2], &[sealed_bid::Column]) = (
    [sealed_bid::Column::AuctionId, sealed_bid::Column::WalletId],
    &[
        sealed_bid::Column::Maximum,
        sealed_bid::Column::Seq,
        sealed_bid::Column::At,
        sealed_bid::Column::ReleasedBy,
    ],
);

fn sealed_bid_values(row: sealed_bid::Model) -> [Value; 6] {
    [
        row.auction_id.into(),
        row.wallet_id.into(),
        row.maximum.into(),
        row.seq.into(),
        row.at.into(),
        row.released_by.into(),
    ]
}

fn share_values(row: house::Model) -> [Value; 7] {
    [
        row.auction_id.into(),
        row.currency.into(),
        row.exponent.into(),
        row.amount.into(),
        row.operation.into(),
        row.at.into(),
        row.collected_by.into(),
    ]
}

pub(super) fn state_row(state: AuctionState) -> auction::State {
    match state {
        AuctionState::Open => auction::State::Open,
        AuctionState::Sold => auction::State::Sold,
        AuctionState::Unsold => auction::State::Unsold,
        AuctionState::Cancelled => auction::State::Cancelled,
        AuctionState::AwaitingSeller => auction::State::AwaitingSeller,
        AuctionState::Settling => auction::State::Settling,
        AuctionState::Cancelling => auction::State::Cancelling,
    }
}
