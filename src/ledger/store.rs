//! Locking and loading what a command can touch.
//!
//! The lock order is written here and nowhere else: auctions ascending, then wallets ascending, each in one query; of one bid
//! in a single query (`lock_bid`), in the same order. There is one exception, which is rare: see [`lock_wallets`]. The
//! database's clock is read with the wallets, after the auctions' locks. Keys come before them where they are claimed, and behind
//! them where they are written with everything else: that two meet on one key is a mistake of whoever gave it to two requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::sea_query::{ExprTrait, OnConflict, Query, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, Select};
use uuid::Uuid;

use super::session::{Session, session_facts};
use super::wallet_ids::Guesses;
use super::{AuctionLedger, terms_row};
use crate::backend::{Dialect, FromArrays, Wanted, padded};
use crate::entity::{auction, entry, wallet};
use crate::error::Error;
use crate::id::{AuctionId, UserId, WalletId};
use crate::money::{Amount, Currency};
use crate::rules::{AuctionState, Leader, Micros, Standing, Terms};
use crate::unit_of_work::{Error as UnitOfWorkError, LockWait, UnitOfWork};

/// A wallet under lock.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) id: WalletId,
    pub(super) owner: UserId,
    pub(super) currency: Currency,
    pub(super) available: i64,
    pub(super) held: i64,
    pub(super) seq: i64,
    pub(super) last_at: Micros,
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
            last_at: Micros::new(row.last_at),
        })
    }
}

impl FromArrays for wallet::Model {
    #[cfg(feature = "postgres")]
    fn from_arrays(arrays: &sea_orm::QueryResult) -> Result<Vec<Self>, sea_orm::DbErr> {
        use crate::backend::ArrayColumn;

        let mut id = ArrayColumn::read(arrays, wallet::Column::Id)?;
        let mut owner = ArrayColumn::read(arrays, wallet::Column::Owner)?;
        let mut currency = ArrayColumn::read(arrays, wallet::Column::Currency)?;
        let mut exponent = ArrayColumn::read(arrays, wallet::Column::Exponent)?;
        let mut available = ArrayColumn::read(arrays, wallet::Column::Available)?;
        let mut held = ArrayColumn::read(arrays, wallet::Column::Held)?;
        let mut seq = ArrayColumn::read(arrays, wallet::Column::Seq)?;
        let mut last_at = ArrayColumn::read(arrays, wallet::Column::LastAt)?;
        let count = id.len();
        let model = |_| {
            Ok(Self {
                id: id.next()?,
                owner: owner.next()?,
                currency: currency.next()?,
                exponent: exponent.next()?,
                available: available.next()?,
                held: held.next()?,
                seq: seq.next()?,
                last_at: last_at.next()?,
            })
        };
        (0..count).map(model).collect()
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
    let terms = terms_row::read(row)?;
    let amount = |minor: i64| {
        Amount::from_minor(minor)
            .ok_or_else(|| Error::damaged(format!("auction {}: {minor} is no amount", row.id)))
    };
    let optional = |minor: Option<i64>| minor.map(amount).transpose();
    let leader = |wallet: i64, maximum: i64, seq: i64| {
        let maximum = amount(maximum)?;
        let hold = terms.with_premium(maximum).ok_or_else(|| {
            Error::damaged(format!("auction {}: its maximum has no premium", row.id))
        })?;
        Ok::<_, Error>(Leader { wallet: wallet.into(), maximum, hold, seq })
    };
    let (leader, price) = match (row.leader_wallet_id, row.leader_max, row.leader_seq) {
        (Some(wallet), Some(maximum), Some(seq)) => {
            (Some(leader(wallet, maximum, seq)?), optional(row.price)?)
        }
        // An auction that was taken without a bid has a winner and never had a leader.
        _ => match row.winner_wallet_id.zip(row.sold_price) {
            Some((wallet, price)) => (Some(leader(wallet, price, row.seq)?), Some(amount(price)?)),
            None => (None, None),
        },
    };
    Ok(Lot {
        id: row.id.into(),
        terms,
        standing: Standing {
            state: state(row.state),
            seller: row.seller_wallet_id.into(),
            leader,
            price,
            runner_up_maximum: optional(row.runner_up_max)?,
            reserve: terms.reserve,
            seq: row.seq,
            ends_at: Micros::new(row.ends_at),
            last_at: Micros::new(row.last_at),
        },
    })
}

pub(super) fn currency(code: &str, exponent: i16) -> Result<Currency, Error> {
    let exponent =
        u8::try_from(exponent).map_err(|_| Error::damaged(format!("{exponent} decimals")))?;
    Currency::new(code, exponent).map_err(|error| Error::damaged(format!("a currency: {error}")))
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

/// Locks auctions, ascending. Those that do not exist are left out.
pub(super) async fn lock_auctions(
    uow: &UnitOfWork,
    ids: &BTreeSet<AuctionId>,
    wait: LockWait,
) -> Result<BTreeMap<AuctionId, Lot>, Error> {
    let dialect = Dialect::of(uow.get_database_backend());
    let is_wanted = dialect.is_one_of(auction::Column::Id, ids.iter().map(|id| id.get()));
    let query = auction::Entity::find().filter(is_wanted);
    let rows = uow.lock(query, wait).await?;
    rows.iter().map(|row| lot(row).map(|lot| (lot.id, lot))).collect()
}

/// Whose wallet of which currency.
pub(super) type Owner<'a> = (&'a UserId, Currency);

/// Wallets under lock, and the time.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) accounts: BTreeMap<WalletId, Account>,
    pub(super) now: Micros,
    /// Whose they are: a user has one of each currency.
    by_owner: HashMap<UserId, Vec<WalletId>>,
}

impl Locked {
    pub(super) fn of_accounts(accounts: BTreeMap<WalletId, Account>, now: Micros) -> Self {
        let mut by_owner = HashMap::<UserId, Vec<WalletId>>::new();
        for account in accounts.values() {
            by_owner.entry(account.owner.clone()).or_default().push(account.id);
        }
        Self { accounts, now, by_owner }
    }

    /// The time of a command that touches all these wallets and whatever last changed at `last_at`. The database's clock may
    /// step back, and stands still while a statement waits for its locks; the times of an auction and of a wallet never
    /// go back.
    pub(super) fn now_after(&self, last_at: Micros) -> Micros {
        self.latest(last_at, self.accounts.values())
    }

    /// As [`now_after`](Self::now_after), for a command that touches some of these wallets.
    pub(super) fn now_among(
        &self,
        last_at: Micros,
        wallets: impl Iterator<Item = WalletId>,
    ) -> Micros {
        self.latest(last_at, wallets.filter_map(|wallet| self.accounts.get(&wallet)))
    }

    fn latest<'a>(&self, last_at: Micros, touched: impl Iterator<Item = &'a Account>) -> Micros {
        touched.map(|account| account.last_at).fold(self.now.max(last_at), Micros::max)
    }

    fn find(&self, (user, currency): Owner<'_>) -> Option<&Account> {
        let wallets = self.by_owner.get(user)?.iter();
        let mut accounts = wallets.filter_map(|wallet| self.accounts.get(wallet));
        accounts.find(|account| account.currency.code() == currency.code())
    }

    /// Whether all these are among them.
    pub(super) fn covers(&self, ids: &BTreeSet<WalletId>, owners: &BTreeSet<Owner<'_>>) -> bool {
        let mut wallets = ids.iter().map(|id| self.accounts.contains_key(id));
        wallets.all(|is_locked| is_locked) && owners.iter().all(|owner| self.has(*owner))
    }

    fn has(&self, owner: Owner<'_>) -> bool {
        self.find(owner).is_some()
    }

    fn add(&mut self, account: Account) {
        self.by_owner.entry(account.owner.clone()).or_default().push(account.id);
        self.accounts.insert(account.id, account);
    }

    /// The wallet of `owner`, if there is one.
    pub(super) fn of(&self, owner: Owner<'_>) -> Result<Option<WalletId>, Error> {
        match self.find(owner) {
            Some(account) if account.currency != owner.1 => {
                Err(Error::CurrencyMismatch { given: owner.1, stored: account.currency.exponent() })
            }
            account => Ok(account.map(|account| account.id)),
        }
    }
}

/// Locks wallets, ascending, in one query: those with these ids, and those of these owners. Wallets that do not exist are
/// left out.
///
/// Where a guess was wrong, because a wallet was rolled back or deleted, it takes a second query, without guesses. That is the one
/// exception to the order of locks: two that meet there can deadlock.
pub(super) async fn lock_wallets(
    uow: &UnitOfWork,
    ledger: &AuctionLedger,
    ids: &BTreeSet<WalletId>,
    owners: &BTreeSet<Owner<'_>>,
) -> Result<Locked, Error> {
    let known = &ledger.wallet_ids;
    let mut guesses = known.guess(owners.iter().copied());
    let as_guessed = lock_as_guessed(uow, ledger, ids, owners, &guesses).await;
    let is_right = |locked: &Locked| guesses.keys().all(|owner| locked.has(*owner));
    let (mut locked, session) = match as_guessed {
        Ok((locked, session)) if is_right(&locked) => (locked, session),
        wrong => {
            known.forget(&guesses);
            wrong?;
            guesses.clear();
            lock_as_guessed(uow, ledger, ids, owners, &guesses).await?
        }
    };
    let missing: Vec<Owner<'_>> =
        owners.iter().copied().filter(|owner| !locked.has(*owner)).collect();
    for account in find_hidden(uow, &session, missing).await? {
        locked.add(account);
    }
    let unknown = owners.iter().copied().filter(|owner| !guesses.contains_key(owner));
    known.remember(unknown.filter_map(|owner| Some((owner, locked.find(owner)?.id))));
    Ok(locked)
}

/// Locks wallets: by their ids, by those that are guessed of their owners, and by their owners where none is guessed.
///
/// A guess that is wrong locks a stranger's wallet, or nothing; on `InnoDB`, in a host's unit of work at REPEATABLE READ, the gap where
/// it would be.
async fn lock_as_guessed(
    uow: &UnitOfWork,
    ledger: &AuctionLedger,
    ids: &BTreeSet<WalletId>,
    owners: &BTreeSet<Owner<'_>>,
    guesses: &Guesses<'_>,
) -> Result<(Locked, Session), Error> {
    let dialect = Dialect::of(uow.get_database_backend());
    let ids: BTreeSet<_> = ids.iter().chain(guesses.values()).collect();
    let pair = |(user, currency): &Owner<'_>| [user.as_bytes().into(), currency.code().into()];
    let wanted = Wanted::<wallet::Entity> {
        id: wallet::Column::Id,
        ids: ids.iter().map(|id| id.get().into()).collect(),
        key: [wallet::Column::Owner, wallet::Column::Currency],
        pairs: owners.iter().filter(|owner| !guesses.contains_key(owner)).map(pair).collect(),
    };
    let locking = wanted.lock(dialect, session_facts(dialect));
    let rows = uow.query_all(&locking.query).await.map_err(UnitOfWorkError::of_lock)?;
    let session = match rows.first() {
        Some(row) => Session::read(row, dialect)?,
        // Nothing to lock, so nothing came along.
        None => {
            let row = uow.query_one(&session_facts(dialect)).await?;
            Session::read(
                &row.ok_or_else(|| Error::damaged("the database has no clock"))?,
                dialect,
            )?
        }
    };
    let wallets: Vec<wallet::Model> = locking.read(&rows)?;
    let accounts = wallets.into_iter().map(|row| {
        let account = Account::from_row(row)?;
        Ok((account.id, account))
    });
    let accounts = accounts.collect::<Result<_, Error>>()?;
    Ok((Locked::of_accounts(accounts, ledger.clock.or(session.now)), session))
}

/// Looks again for wallets that were not found, where a snapshot may have hidden them: a user who has money is never told
/// that they have none.
///
/// Where even a locking read sees the snapshot only, an INSERT tells: it fails with a serialization failure if the wallet
/// is there. If it is not, what was made is removed again.
async fn find_hidden(
    uow: &UnitOfWork,
    session: &Session,
    missing: Vec<Owner<'_>>,
) -> Result<Vec<Account>, Error> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = Dialect::of(uow.get_database_backend());
    if dialect.snapshot_in_subqueries() {
        let theirs = padded(missing).into_iter().map(is_of);
        let theirs = wallet::Entity::find().filter(theirs.fold(Condition::any(), Condition::add));
        let rows = uow.lock(theirs, LockWait::Wait).await?;
        return rows.into_iter().map(Account::from_row).collect();
    }
    if session.snapshot {
        for owner in missing {
            make_wallet(uow, owner).await?;
            wallet::Entity::delete_many().filter(is_of(owner)).exec(uow).await?;
        }
    }
    Ok(Vec::new())
}

fn is_of((user, currency): Owner<'_>) -> SimpleExpr {
    let is_theirs = wallet::Column::Owner.eq(user.as_bytes());
    is_theirs.and(wallet::Column::Currency.eq(currency.code()))
}

/// Locks the wallet of `owner`, and makes it first if there is none.
pub(super) async fn lock_or_make_wallet(
    uow: &UnitOfWork,
    ledger: &AuctionLedger,
    owner: Owner<'_>,
) -> Result<(Account, Micros), Error> {
    let owners = BTreeSet::from([owner]);
    let mut locked = lock_wallets(uow, ledger, &BTreeSet::new(), &owners).await?;
    if !locked.has(owner) {
        make_wallet(uow, owner).await?;
        locked = lock_wallets(uow, ledger, &BTreeSet::new(), &owners).await?;
    }
    let id = locked
        .of(owner)?
        .ok_or_else(|| Error::damaged(format!("the wallet of {} has vanished", owner.0)))?;
    let now = locked.now_after(locked.now);
    locked
        .accounts
        .remove(&id)
        .map(|account| (account, now))
        .ok_or_else(|| Error::damaged("a wallet has vanished"))
}

/// The wallet of a user in a currency, whatever its exponent.
pub(super) fn owned_by(user: &UserId, currency: Currency) -> Select<wallet::Entity> {
    wallet::Entity::find()
        .filter(wallet::Column::Owner.eq(user.as_bytes()))
        .filter(wallet::Column::Currency.eq(currency.code()))
}

/// Reads the wallet of a user, without a lock.
pub(super) async fn find_wallet<C: ConnectionTrait>(
    connection: &C,
    user: &UserId,
    currency: Currency,
) -> Result<Option<Account>, Error> {
    user.validate()?;
    let row = owned_by(user, currency).one(connection).await?;
    let account = row.map(Account::from_row).transpose()?;
    match account {
        Some(account) if account.currency != currency => {
            Err(Error::CurrencyMismatch { given: currency, stored: account.currency.exponent() })
        }
        account => Ok(account),
    }
}

/// Makes an empty wallet, unless another transaction has just done so.
pub(super) async fn make_wallet(
    uow: &UnitOfWork,
    (user, currency): Owner<'_>,
) -> Result<(), Error> {
    let insert = Query::insert()
        .into_table(wallet::Entity)
        .columns([
            wallet::Column::Owner,
            wallet::Column::Currency,
            wallet::Column::Exponent,
            wallet::Column::Available,
            wallet::Column::Held,
            wallet::Column::Seq,
            wallet::Column::LastAt,
        ])
        .values_panic([
            user.as_bytes().into(),
            currency.code().into(),
            i16::from(currency.exponent()).into(),
            0_i64.into(),
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
    account.last_at = change.at;
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
