//! Money into and out of wallets.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::AuctionLedger;
use super::canonical::Canonical;
use super::once::{self, Once, Slot};
use super::outcome::{CommandRef, Done};
use super::receipt::Outcome;
use super::request::verb;
use super::save::{self, Changes};
use super::store::{self, Account, Change};
use crate::entity::entry;
use crate::error::{self, Error};
use crate::id::{OperationId, UserId};
use crate::money::{Amount, BALANCE_MAX, Currency};
use crate::rules::{Micros, Rejection};
use crate::unit_of_work::UnitOfWork;

/// The money of one user in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Wallet {
    /// Whose it is.
    pub user: UserId,
    /// The currency of the amounts.
    pub currency: Currency,
    /// What the user can spend.
    #[serde(with = "rust_decimal::serde::str")]
    pub available: Decimal,
    /// What is promised to open auctions.
    #[serde(with = "rust_decimal::serde::str")]
    pub held: Decimal,
}

impl Wallet {
    pub(super) fn of(account: &Account) -> Self {
        let currency = account.currency;
        Self {
            user: account.owner.clone(),
            currency,
            available: currency.decimal_of_minor(account.available),
            held: currency.decimal_of_minor(account.held),
        }
    }

    /// What a user who has never had a wallet has.
    pub(super) fn empty(user: UserId, currency: Currency) -> Self {
        let zero = currency.decimal(Amount::ZERO);
        Self { user, currency, available: zero, held: zero }
    }
}

impl AuctionLedger {
    /// Adds `amount` to the available money of a user, and makes the wallet if there is none.
    ///
    /// Money comes into the system here and nowhere else. Call it in the unit of work in which the host records the
    /// payment.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the memo), [`Error::InvalidAmount`], [`Error::CurrencyMismatch`],
    /// [`Rejection::BalanceTooLarge`]. Nothing is written. Then [`Error::NotStrict`], [`Error::UnitOfWork`],
    /// [`Error::Database`], [`Error::MigrationsMissing`], [`Error::Damaged`]: nothing is stored. And
    /// [`Error::CommitUnknown`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before COMMIT is sent: nothing happened. Dropped while COMMIT is under way: wholly or not at all; sent again
    /// with the same key, it happens once. Within a unit of work, a drop breaks its innermost block.
    ///
    /// # Locking
    ///
    /// The user's wallet.
    ///
    /// # Example: fifty euros
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let wallet = ledger.deposit("ann", Currency::EUR, 50.into()).memo("card payment 4711").await?;
    /// assert_eq!((wallet.available, wallet.held), (50.into(), 0.into()));
    /// # Ok(()) }
    /// ```
    pub fn deposit(
        &self,
        user: impl Into<UserId>,
        currency: Currency,
        amount: Decimal,
    ) -> Deposit<'_> {
        Deposit {
            ledger: self,
            within: None,
            transfer: Transfer::new(Direction::In, user.into(), currency, amount),
        }
    }

    /// Takes `amount` from the available money of a user. Held money cannot be withdrawn.
    ///
    /// Money leaves the system here and nowhere else.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the memo), [`Error::InvalidAmount`], [`Error::CurrencyMismatch`],
    /// [`Rejection::InsufficientFunds`], also for a user without a wallet. Nothing is written. Then
    /// [`Error::NotStrict`], [`Error::UnitOfWork`], [`Error::Database`], [`Error::MigrationsMissing`],
    /// [`Error::Damaged`]: nothing is stored. And [`Error::CommitUnknown`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before COMMIT is sent: nothing happened. Dropped while COMMIT is under way: wholly or not at all; sent again
    /// with the same key, it happens once. Within a unit of work, a drop breaks its innermost block.
    ///
    /// # Locking
    ///
    /// The user's wallet.
    ///
    /// # Example: more than there is
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, Currency, Rejection};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// ledger.deposit("ann", Currency::EUR, 50.into()).await?;
    /// let refused = ledger.withdraw("ann", Currency::EUR, 80.into()).await.unwrap_err();
    /// let expected = Rejection::InsufficientFunds { needed: 80.into(), available: 50.into() };
    /// assert_eq!(refused.rejection(), Some(&expected));
    /// # Ok(()) }
    /// ```
    pub fn withdraw(
        &self,
        user: impl Into<UserId>,
        currency: Currency,
        amount: Decimal,
    ) -> Withdraw<'_> {
        Withdraw {
            ledger: self,
            within: None,
            transfer: Transfer::new(Direction::Out, user.into(), currency, amount),
        }
    }
}

/// A deposit to be made: [`AuctionLedger::deposit`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Deposit<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    transfer: Transfer,
}

/// A withdrawal to be made: [`AuctionLedger::withdraw`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Withdraw<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    transfer: Transfer,
}

impl Deposit<'_> {
    /// A note for the entry: at most 200 bytes, without NUL.
    pub fn memo(mut self, memo: impl Into<String>) -> Self {
        self.transfer.memo = Some(memo.into());
        self
    }

    fn once(&mut self) -> &mut Once {
        &mut self.transfer.once
    }

    fn operation(&self) -> OperationId {
        self.transfer.once.operation
    }

    fn precheck(&self) -> Result<(), Error> {
        self.transfer.precheck()
    }

    async fn run(&self, uow: &UnitOfWork) -> Result<Done<Wallet>, Error> {
        let (clock, slot) = (&self.ledger.clock, self.transfer.slot());
        once::carry_out(uow, clock, slot, async || self.carry_out(uow).await).await?.try_map(wallet)
    }

    async fn carry_out(&self, uow: &UnitOfWork) -> Result<Done<Outcome>, Error> {
        self.transfer.check()?;
        let amount = self.transfer.amount()?;
        let (account, now) =
            store::lock_or_make_wallet(uow, self.ledger, self.transfer.owner()).await?;
        let total = account
            .available
            .checked_add(account.held)
            .and_then(|total| total.checked_add(amount.minor()));
        if total.is_none_or(|total| total > BALANCE_MAX) {
            let maximum = account.currency.decimal_of_minor(BALANCE_MAX);
            return Err(Rejection::BalanceTooLarge { maximum }.into());
        }
        // From here the deposit must succeed: every refusal has been given above.
        self.transfer.write(uow, account, amount, now).await
    }
}

impl Withdraw<'_> {
    /// A note for the entry: at most 200 bytes, without NUL.
    pub fn memo(mut self, memo: impl Into<String>) -> Self {
        self.transfer.memo = Some(memo.into());
        self
    }

    fn once(&mut self) -> &mut Once {
        &mut self.transfer.once
    }

    fn operation(&self) -> OperationId {
        self.transfer.once.operation
    }

    fn precheck(&self) -> Result<(), Error> {
        self.transfer.precheck()
    }

    async fn run(&self, uow: &UnitOfWork) -> Result<Done<Wallet>, Error> {
        let (clock, slot) = (&self.ledger.clock, self.transfer.slot());
        once::carry_out(uow, clock, slot, async || self.carry_out(uow).await).await?.try_map(wallet)
    }

    async fn carry_out(&self, uow: &UnitOfWork) -> Result<Done<Outcome>, Error> {
        self.transfer.check()?;
        let amount = self.transfer.amount()?;
        let owners = BTreeSet::from([self.transfer.owner()]);
        let mut locked = store::lock_wallets(uow, self.ledger, &BTreeSet::new(), &owners).await?;
        let wallet = locked.of(self.transfer.owner())?;
        let now = locked.now_after(locked.now);
        let account = wallet.and_then(|wallet| locked.accounts.remove(&wallet));
        let available = account.as_ref().map_or(0, |account| account.available);
        let Some(account) = account.filter(|_| amount.minor() <= available) else {
            let currency = self.transfer.currency;
            let (needed, available) =
                (currency.decimal(amount), currency.decimal_of_minor(available));
            return Err(Rejection::InsufficientFunds { needed, available }.into());
        };
        // From here the withdrawal must succeed: every refusal has been given above.
        self.transfer.write(uow, account, amount, now).await
    }
}

verb!(Deposit -> Wallet);
verb!(Withdraw -> Wallet);

fn wallet(outcome: Outcome) -> Result<Wallet, Error> {
    match outcome {
        Outcome::Wallet(wallet) => Ok(wallet),
        _ => Err(Error::damaged("a wallet's change was answered with something else")),
    }
}

/// Money across the border of the system.
#[derive(Debug)]
struct Transfer {
    direction: Direction,
    user: UserId,
    currency: Currency,
    amount: Decimal,
    memo: Option<String>,
    once: Once,
}

/// In which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

impl Transfer {
    fn new(direction: Direction, user: UserId, currency: Currency, amount: Decimal) -> Self {
        Self { direction, user, currency, amount, memo: None, once: Once::new() }
    }

    fn owner(&self) -> store::Owner<'_> {
        (&self.user, self.currency)
    }

    fn precheck(&self) -> Result<(), Error> {
        self.once.precheck(Some(&self.user), || self.check())
    }

    fn check(&self) -> Result<(), Error> {
        error::memo(self.memo.as_deref())?;
        self.amount().map(drop)
    }

    fn slot(&self) -> Option<Slot> {
        // Names in the canonical encoding of a request: frozen.
        let verb = match self.direction {
            Direction::In => "deposit",
            Direction::Out => "withdraw",
        };
        self.once.slot(Some(&self.user), || {
            Canonical::of(verb)
                .text(self.currency.code())
                .number(self.currency.exponent())
                .amount(self.amount)
                .optional(self.memo.as_deref(), Canonical::text)
                .hash()
        })
    }

    fn amount(&self) -> Result<Amount, Error> {
        self.currency
            .amount(self.amount)
            .map_err(|error| Error::InvalidAmount { what: "amount", error })
    }

    async fn write(
        &self,
        uow: &UnitOfWork,
        mut account: Account,
        amount: Amount,
        at: Micros,
    ) -> Result<Done<Outcome>, Error> {
        let (kind, delta) = match self.direction {
            Direction::In => (entry::Kind::Deposit, amount.gain()),
            Direction::Out => (entry::Kind::Withdrawal, amount.loss()),
        };
        let operation = self.once.operation;
        let change = Change {
            operation: operation.get(),
            kind,
            available_delta: delta,
            held_delta: 0,
            auction: None,
            memo: self.memo.as_deref(),
            at,
        };
        let entry = store::enter(&mut account, &change);
        let outcome = Outcome::Wallet(Wallet::of(&account));
        let command = CommandRef::on_wallet(operation, self.user.clone(), self.currency, entry.seq);
        let claimed = self.slot().map(|slot| slot.reply(&outcome, &command, at)).transpose()?;
        let changes = Changes {
            accounts: vec![account],
            entries: vec![entry],
            claimed,
            ..Changes::default()
        };
        save::save(uow, changes).await?;
        Ok(Done::silent(outcome, command))
    }
}
