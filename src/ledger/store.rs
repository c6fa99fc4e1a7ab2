//! Rows in, rows out: lock and load what a command can touch, save what it changed.
//!
//! The lock order is written here and nowhere else: auctions ascending, then wallets ascending, each in one query. The
//! database's clock is read with the wallets, after the auctions' locks. Every touched row is written once.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{
    CaseStatement, CommonTableExpression, Expr, ExprTrait, Iden, InsertStatement, LockType,
    OnConflict, Query, SimpleExpr, SubQueryStatement, UpdateStatement, WithClause,
};
use sea_orm::{
    ActiveEnum, ConnectionTrait, EntityTrait, FromQueryResult, Iterable, Order, QueryFilter, Value,
};
use sea_orm::{ColumnTrait, QueryResult};
use uuid::Uuid;

use crate::backend::Dialect;
use crate::clock::Clock;
use crate::entity::{act, auction, bid, entry, wallet};
use crate::error::Error;
use crate::id::{AuctionId, UserId, WalletId};
use crate::money::{Amount, Currency};
use crate::rules::{AuctionState, Increment, Leader, Micros, Standing, Terms};
use crate::unit_of_work::{LockWait, UnitOfWork};

/// A wallet under lock.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) id: WalletId,
    pub(super) owner: UserId,
    pub(super) currency: Currency,
    pub(super) available: i64,
    pub(super) held: i64,
    pub(super) seq: i64,
}

impl Account {
    pub(super) fn from_row(row: wallet::Model) -> Result<Self, Error> {
        let owner = String::from_utf8(row.owner)
            .map_err(|_| Error::damaged(format!("the owner of wallet {} is no text", row.id)))?;
        Ok(Self {
            id: row.id.into(),
            owner: owner.into(),
            currency: currency(&row.currency, row.exponent)?,
            available: row.available,
            held: row.held,
            seq: row.seq,
        })
    }
}

/// An auction under lock.
#[derive(Clone, Debug)]
pub(super) struct Lot {
    pub(super) id: AuctionId,
    pub(super) terms: Terms,
    pub(super) standing: Standing,
}

/// Reads terms and standing out of a row.
pub(super) fn lot(row: &auction::Model) -> Result<Lot, Error> {
    let amount = |minor: i64| {
        Amount::from_minor(minor)
            .ok_or_else(|| Error::damaged(format!("auction {}: {minor} is no amount", row.id)))
    };
    let optional = |minor: Option<i64>| minor.map(amount).transpose();
    let leader = match (row.leader_wallet_id, row.leader_max, row.leader_seq) {
        (Some(wallet), Some(maximum), Some(seq)) => {
            Some(Leader { wallet: wallet.into(), maximum: amount(maximum)?, seq })
        }
        _ => None,
    };
    Ok(Lot {
        id: row.id.into(),
        terms: Terms {
            currency: currency(&row.currency, row.exponent)?,
            start_price: amount(row.start_price)?,
            increment: Increment::Fixed(amount(row.increment)?),
            multiple_of: optional(row.multiple_of)?,
            buy_now_price: optional(row.buy_now_price)?,
            starts_at: Micros::new(row.starts_at),
            ends_at: Micros::new(row.original_ends_at),
        },
        standing: Standing {
            state: state(row.state),
            seller: row.seller_wallet_id.into(),
            leader,
            price: optional(row.price)?,
            runner_up_maximum: optional(row.runner_up_max)?,
            seq: row.seq,
            ends_at: Micros::new(row.ends_at),
            last_at: Micros::new(row.last_at),
        },
    })
}

fn currency(code: &str, exponent: i16) -> Result<Currency, Error> {
    let exponent =
        u8::try_from(exponent).map_err(|_| Error::damaged(format!("{exponent} decimals")))?;
    Ok(Currency::new(code, exponent)?)
}

fn state(state: auction::State) -> AuctionState {
    match state {
        auction::State::Open => AuctionState::Open,
        auction::State::Sold => AuctionState::Sold,
        auction::State::Unsold => AuctionState::Unsold,
        auction::State::Cancelled => AuctionState::Cancelled,
    }
}

fn state_row(state: AuctionState) -> auction::State {
    match state {
        AuctionState::Open => auction::State::Open,
        AuctionState::Sold => auction::State::Sold,
        AuctionState::Unsold => auction::State::Unsold,
        AuctionState::Cancelled => auction::State::Cancelled,
    }
}

/// Locks auctions, ascending.
pub(super) async fn lock_auctions(
    uow: &UnitOfWork,
    ids: &BTreeSet<AuctionId>,
) -> Result<BTreeMap<AuctionId, Lot>, Error> {
    let ids = padded(ids.iter().map(|id| id.get()).collect());
    let query = auction::Entity::find().filter(auction::Column::Id.is_in(ids));
    let rows = uow.lock(query, LockWait::Wait).await?;
    rows.iter().map(|row| lot(row).map(|lot| (lot.id, lot))).collect()
}

/// Whose wallet of which currency.
pub(super) type Owner = (UserId, Currency);

/// Wallets under lock, and the time.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) accounts: BTreeMap<WalletId, Account>,
    pub(super) now: Micros,
}

impl Locked {
    /// The wallet of `owner`, if there is one.
    pub(super) fn of(&self, (user, currency): &Owner) -> Result<Option<WalletId>, Error> {
        let same = |account: &&Account| {
            account.owner == *user && account.currency.code() == currency.code()
        };
        match self.accounts.values().find(same) {
            Some(account) if account.currency != *currency => Err(Error::CurrencyMismatch {
                given: *currency,
                stored: account.currency.exponent(),
            }),
            account => Ok(account.map(|account| account.id)),
        }
    }
}

/// Locks wallets, ascending, in one query: those with these ids, and those of these owners. Wallets that do not exist are
/// left out.
pub(super) async fn lock_wallets(
    uow: &UnitOfWork,
    clock: &Clock,
    ids: &BTreeSet<WalletId>,
    owners: &BTreeSet<Owner>,
) -> Result<Locked, Error> {
    let ids = ids.iter().map(|id| SimpleExpr::from(id.get()));
    let owners = owners.iter().map(|(user, currency)| {
        let id = Query::select()
            .column(wallet::Column::Id)
            .from(wallet::Entity)
            .and_where(Expr::col(wallet::Column::Owner).eq(user.as_bytes()))
            .and_where(Expr::col(wallet::Column::Currency).eq(currency.code()))
            .take();
        SimpleExpr::SubQuery(None, Box::new(SubQueryStatement::SelectStatement(id)))
    });
    let query = Query::select()
        .columns(wallet::Column::iter())
        .expr_as(Expr::cust(Dialect::of(uow.get_database_backend()).now()), NOW)
        .from(wallet::Entity)
        .and_where(Expr::col(wallet::Column::Id).is_in(padded(ids.chain(owners).collect())))
        .order_by(wallet::Column::Id, Order::Asc)
        .lock(LockType::Update)
        .take();
    let rows = uow.query_all(&query).await?;
    let now = match rows.first() {
        Some(row) => clock.or(now(row)?),
        None => clock.now(uow).await?,
    };
    let accounts = rows.iter().map(|row| {
        let account = Account::from_row(wallet::Model::from_query_result(row, "")?)?;
        Ok((account.id, account))
    });
    Ok(Locked { accounts: accounts.collect::<Result<_, Error>>()?, now })
}

/// Locks the wallet of `owner`, and makes it first if there is none.
pub(super) async fn lock_or_make_wallet(
    uow: &UnitOfWork,
    clock: &Clock,
    owner: &Owner,
) -> Result<(Account, Micros), Error> {
    let owners = BTreeSet::from([owner.clone()]);
    let mut locked = lock_wallets(uow, clock, &BTreeSet::new(), &owners).await?;
    if locked.accounts.is_empty() {
        make_wallet(uow, owner).await?;
        locked = lock_wallets(uow, clock, &BTreeSet::new(), &owners).await?;
    }
    let id = locked
        .of(owner)?
        .ok_or_else(|| Error::damaged(format!("the wallet of {} has vanished", owner.0)))?;
    let now = locked.now;
    locked
        .accounts
        .remove(&id)
        .map(|account| (account, now))
        .ok_or_else(|| Error::damaged("a wallet has vanished"))
}

/// Reads the wallet of a user, without a lock.
pub(super) async fn find_wallet<C: ConnectionTrait>(
    connection: &C,
    user: &UserId,
    currency: Currency,
) -> Result<Option<Account>, Error> {
    user.validate()?;
    let row = wallet::Entity::find()
        .filter(wallet::Column::Owner.eq(user.as_bytes()))
        .filter(wallet::Column::Currency.eq(currency.code()))
        .one(connection)
        .await?;
    let account = row.map(Account::from_row).transpose()?;
    match account {
        Some(account) if account.currency != currency => {
            Err(Error::CurrencyMismatch { given: currency, stored: account.currency.exponent() })
        }
        account => Ok(account),
    }
}

/// Makes an empty wallet, unless another transaction has just done so.
async fn make_wallet(uow: &UnitOfWork, (user, currency): &Owner) -> Result<(), Error> {
    let insert = Query::insert()
        .into_table(wallet::Entity)
        .columns([
            wallet::Column::Owner,
            wallet::Column::Currency,
            wallet::Column::Exponent,
            wallet::Column::Available,
            wallet::Column::Held,
            wallet::Column::Seq,
        ])
        .values_panic([
            user.as_bytes().into(),
            currency.code().into(),
            i16::from(currency.exponent()).into(),
            0_i64.into(),
            0_i64.into(),
            0_i64.into(),
        ])
        .on_conflict(
            OnConflict::columns([wallet::Column::Owner, wallet::Column::Currency])
                .do_nothing_on([wallet::Column::Id])
                .to_owned(),
        )
        .take();
    uow.execute(&insert).await?;
    Ok(())
}

const NOW: &str = "now_us";

fn now(row: &QueryResult) -> Result<Micros, Error> {
    Ok(Micros::new(row.try_get("", NOW)?))
}

/// Fills a list up to a power of two with its last element, so that lists of many lengths share few prepared statements.
fn padded<T: Clone>(mut list: Vec<T>) -> Vec<T> {
    if let Some(last) = list.last().cloned() {
        list.resize(list.len().next_power_of_two(), last);
    }
    list
}

/// What one or many commands changed, net.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) lots: Vec<Lot>,
    pub(super) accounts: Vec<Account>,
    pub(super) bids: Vec<bid::Model>,
    pub(super) acts: Vec<act::Model>,
    pub(super) entries: Vec<entry::Model>,
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
    let leader = standing.leader;
    Query::update()
        .table(auction::Entity)
        .value(auction::Column::State, state_row(standing.state).to_value())
        .value(auction::Column::EndsAt, standing.ends_at.get())
        .value(auction::Column::LeaderWalletId, leader.map(|leader| leader.wallet.get()))
        .value(auction::Column::LeaderMax, leader.map(|leader| leader.maximum.minor()))
        .value(auction::Column::LeaderSeq, leader.map(|leader| leader.seq))
        .value(auction::Column::Price, minor(standing.price))
        .value(auction::Column::RunnerUpMax, minor(standing.runner_up_maximum))
        .value(
            auction::Column::WinnerWalletId,
            leader.filter(|_| sold).map(|leader| leader.wallet.get()),
        )
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
        .and_where(
            Expr::col(wallet::Column::Id).is_in(accounts.iter().map(|account| account.id.get())),
        )
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

/// Changes one wallet and writes the entry that says so.
///
/// Both balances stay between zero and the limit: whoever calls has refused before.
pub(super) fn enter(account: &mut Account, change: &Change<'_>) -> entry::Model {
    let after = |before: i64, delta: i64| {
        before
            .checked_add(delta)
            .filter(|after| *after >= 0)
            .expect("a balance is never negative and at most 10^18: the rules have refused before")
    };
    account.available = after(account.available, change.available_delta);
    account.held = after(account.held, change.held_delta);
    account.seq = after(account.seq, 1);
    entry::Model {
        wallet_id: account.id.get(),
        seq: account.seq,
        operation: change.operation,
        kind: change.kind,
        available_delta: change.available_delta,
        held_delta: change.held_delta,
        available_after: account.available,
        held_after: account.held,
        auction_id: change.auction.map(AuctionId::get),
        memo: change.memo.map(str::to_owned),
        at: change.at.get(),
    }
}

/// A change of one wallet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub(super) operation: Uuid,
    pub(super) kind: entry::Kind,
    pub(super) available_delta: i64,
    pub(super) held_delta: i64,
    pub(super) auction: Option<AuctionId>,
    pub(super) memo: Option<&'a str>,
    pub(super) at: Micros,
}
