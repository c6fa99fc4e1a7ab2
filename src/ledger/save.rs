//! Saving what commands changed: every touched row is written once, on PostgreSQL all of them in one statement.

use sea_orm::sea_query::{
    CaseStatement, CommonTableExpression, Expr, ExprTrait, Iden, InsertStatement, OnConflict,
    Query, SimpleExpr, SubQueryStatement, UpdateStatement, WithClause,
};
use sea_orm::{ActiveEnum, ConnectionTrait, EntityTrait, Iterable, Value};

use super::once::Reply;
use super::store::{Account, Lot, padded};
use crate::backend::Dialect;
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
    /// The answers of requests with a key.
    pub(super) replies: Vec<Reply>,
}

/// Writes every changed row once: on PostgreSQL in one statement, elsewhere in one for each table.
pub(super) async fn save(uow: &UnitOfWork, changes: &Changes) -> Result<(), Error> {
    let mut writes: Vec<SubQueryStatement> =
        changes.lots.iter().map(|lot| update_lot(lot).into()).collect();
    if !changes.accounts.is_empty() {
        writes.push(update_accounts(&changes.accounts).into());
    }
    writes.extend(insert::<bid::Entity>(changes.bids.iter().map(bid_values)).map(Into::into));
    writes.extend(insert::<act::Entity>(changes.acts.iter().map(act_values)).map(Into::into));
    writes
        .extend(insert::<entry::Entity>(changes.entries.iter().map(entry_values)).map(Into::into));
    writes.extend(insert::<house::Entity>(changes.shares.iter().map(share_values)).map(Into::into));
    writes.extend(put_sealed_bids(&changes.sealed_bids).map(Into::into));
    writes.extend(changes.replies.iter().map(|reply| update_key(reply).into()));
    let Some(last) = writes.pop() else {
        return Ok(());
    };
    if Dialect::of(uow.get_database_backend()).writes_in_one_statement() {
        return send(uow, last, common_tables(writes)).await;
    }
    for write in writes {
        send(uow, write, None).await?;
    }
    send(uow, last, None).await
}

/// The writes that go along with another one; `None` if there are none.
fn common_tables(writes: Vec<SubQueryStatement>) -> Option<WithClause> {
    let mut with = WithClause::new();
    let any = !writes.is_empty();
    for (index, write) in writes.into_iter().enumerate() {
        let mut expression = CommonTableExpression::new();
        expression.query(write).table_name(format!("write_{index}"));
        with.cte(expression);
    }
    any.then_some(with)
}

async fn send(
    uow: &UnitOfWork,
    write: SubQueryStatement,
    with: Option<WithClause>,
) -> Result<(), Error> {
    match (write, with) {
        (SubQueryStatement::UpdateStatement(update), None) => uow.execute(&update).await?,
        (SubQueryStatement::UpdateStatement(update), Some(with)) => {
            uow.execute(&update.with(with)).await?
        }
        (SubQueryStatement::InsertStatement(insert), None) => uow.execute(&insert).await?,
        (SubQueryStatement::InsertStatement(insert), Some(with)) => {
            uow.execute(&insert.with(with)).await?
        }
        _ => return Err(Error::damaged("a write is neither an update nor an insert")),
    };
    Ok(())
}

fn minor(amount: Option<Amount>) -> Option<i64> {
    amount.map(Amount::minor)
}

fn update_lot(lot: &Lot) -> UpdateStatement {
    let standing = &lot.standing;
    let sold = standing.state == AuctionState::Sold;
    let winner = standing.leader.filter(|_| sold);
    // Whoever takes an auction on which nobody can bid has never led.
    let led = lot.terms.ladder.is_some();
    let leader = standing.leader.filter(|_| led);
    Query::update()
        .table(auction::Entity)
        .value(auction::Column::State, state_row(standing.state).to_value())
        .value(auction::Column::EndsAt, standing.ends_at.get())
        .value(auction::Column::LeaderWalletId, leader.map(|leader| leader.wallet.get()))
        .value(auction::Column::LeaderMax, leader.map(|leader| leader.maximum.minor()))
        .value(auction::Column::LeaderSeq, leader.map(|leader| leader.seq))
        .value(auction::Column::Price, minor(standing.price.filter(|_| led)))
        .value(auction::Column::RunnerUpMax, minor(standing.runner_up_maximum))
        .value(auction::Column::Reserve, minor(standing.reserve))
        .value(auction::Column::WinnerWalletId, winner.map(|winner| winner.wallet.get()))
        .value(auction::Column::SoldPrice, minor(standing.price.filter(|_| sold)))
        .value(auction::Column::Seq, standing.seq)
        .value(auction::Column::LastAt, standing.last_at.get())
        .and_where(Expr::col(auction::Column::Id).eq(lot.id.get()))
        .take()
}

fn update_accounts(accounts: &[Account]) -> UpdateStatement {
    let accounts = padded(accounts.iter().collect());
    let by_id = |value: fn(&Account) -> i64| {
        let mut cases = CaseStatement::new();
        for account in &accounts {
            cases = cases.case(Expr::col(wallet::Column::Id).eq(account.id.get()), value(account));
        }
        SimpleExpr::Case(Box::new(cases))
    };
    Query::update()
        .table(wallet::Entity)
        .value(wallet::Column::Available, by_id(|account| account.available))
        .value(wallet::Column::Held, by_id(|account| account.held))
        .value(wallet::Column::Seq, by_id(|account| account.seq))
        .value(wallet::Column::LastAt, by_id(|account| account.last_at.get()))
        .and_where(
            Expr::col(wallet::Column::Id).is_in(accounts.iter().map(|account| account.id.get())),
        )
        .take()
}

fn update_key(reply: &Reply) -> UpdateStatement {
    Query::update()
        .table(key::Entity)
        .value(key::Column::RequestHash, reply.hash.clone())
        .value(key::Column::Operation, reply.operation.get())
        .value(key::Column::Answer, reply.answer.clone())
        .and_where(Expr::col(key::Column::Scope).eq(reply.scope()))
        .and_where(Expr::col(key::Column::IdempotencyKey).eq(reply.key()))
        .take()
}

/// One INSERT of all rows, columns in the order of the entity; `None` without rows.
fn insert<E: EntityTrait>(rows: impl Iterator<Item = Vec<Value>>) -> Option<InsertStatement>
where
    E::Column: Iden,
{
    let mut rows = rows.peekable();
    rows.peek()?;
    let mut insert = Query::insert();
    insert.into_table(E::default()).columns(E::Column::iter());
    for row in rows {
        insert.values_panic(row.into_iter().map(SimpleExpr::from));
    }
    Some(insert)
}

fn bid_values(row: &bid::Model) -> Vec<Value> {
    vec![
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

fn act_values(row: &act::Model) -> Vec<Value> {
    vec![
        row.auction_id.into(),
        row.seq.into(),
        row.operation.into(),
        row.kind.to_value().into(),
        row.wallet_id.into(),
        row.amount.into(),
        row.reason.clone().into(),
        row.at.into(),
        row.bid_seq.into(),
        row.ends_at.into(),
    ]
}

fn entry_values(row: &entry::Model) -> Vec<Value> {
    vec![
        row.wallet_id.into(),
        row.seq.into(),
        row.operation.into(),
        row.kind.to_value().into(),
        row.available_delta.into(),
        row.held_delta.into(),
        row.available_after.into(),
        row.held_after.into(),
        row.auction_id.into(),
        row.memo.clone().into(),
        row.at.into(),
    ]
}

/// One INSERT of all sealed bids, which changes those that are there.
fn put_sealed_bids(rows: &[sealed_bid::Model]) -> Option<InsertStatement> {
    let mut insert = insert::<sealed_bid::Entity>(rows.iter().map(sealed_bid_values))?;
    let place = [sealed_bid::Column::AuctionId, sealed_bid::Column::WalletId];
    insert.on_conflict(
        OnConflict::columns(place)
            .update_columns([
                sealed_bid::Column::Maximum,
                sealed_bid::Column::Seq,
                sealed_bid::Column::At,
                sealed_bid::Column::ReleasedBy,
            ])
            .to_owned(),
    );
    Some(insert)
}

fn sealed_bid_values(row: &sealed_bid::Model) -> Vec<Value> {
    vec![
        row.auction_id.into(),
        row.wallet_id.into(),
        row.maximum.into(),
        row.seq.into(),
        row.at.into(),
        row.released_by.into(),
    ]
}

fn share_values(row: &house::Model) -> Vec<Value> {
    vec![
        row.auction_id.into(),
        row.currency.clone().into(),
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
