//! Collecting what the house has earned.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::AuctionLedger;
use super::save::{self, Changes};
use super::store::{self, Change};
use crate::entity::{entry, house};
use crate::error::Error;
use crate::id::{OperationId, UserId};
use crate::money::{BALANCE_MAX, Currency};
use crate::rules::Rejection;
use crate::unit_of_work::{LockWait, UnitOfWork};

/// Shares that are collected in one unit of work.
const BATCH: u64 = 1_000;

impl AuctionLedger {
    /// Collects the buyer's premiums and seller's fees of all sales in `currency` that nobody has collected yet into the wallet
    /// of `user`, the house's own, and says how much that was. The wallet is made if there is none.
    ///
    /// A sale sets the house's share aside in a row of its auction, so that no two settlements ever wait for one wallet. This
    /// brings the shares into the wallet, as available money, in batches of a thousand, each in a unit of work and with one
    /// entry of its own. Every share is collected once, however many processes call it, and it does not matter who.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::CurrencyMismatch`], [`Error::Rejected`] if the wallet would hold more
    /// than the ledger counts to. Then [`Error::NotStrict`], [`Error::UnitOfWork`], [`Error::Database`],
    /// [`Error::MigrationsMissing`], [`Error::Damaged`]: the batches before are collected, and calling again collects the rest.
    /// A commit without an answer is [`unit_of_work::Error::CommitUnknown`](crate::unit_of_work::Error::CommitUnknown): call
    /// again, and see the journal of the wallet for what was collected.
    ///
    /// # Cancel safety
    ///
    /// What has been collected stays collected; the rest is collected by the next call.
    ///
    /// # Locking
    ///
    /// The shares of one batch, ascending by auction; then the wallet. No auction is locked.
    ///
    /// # Example: a fee of 5 %
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, HouseShare};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// let terms = AuctionTerms::fixed_price(Currency::EUR, 100.into())
    ///     .fee(HouseShare::basis_points(5_00))
    ///     .ends_in(Duration::from_secs(60));
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.buy_now(auction, "ann").await?;
    ///
    /// assert_eq!(ledger.wallet("sam", Currency::EUR).await?.available, 95.into());
    /// assert_eq!(ledger.collect_house("the house", Currency::EUR).await?, 5.into());
    /// assert_eq!(ledger.wallet("the house", Currency::EUR).await?.available, 5.into());
    /// assert_eq!(ledger.collect_house("the house", Currency::EUR).await?, 0.into());
    /// # Ok(()) }
    /// ```
    pub async fn collect_house(
        &self,
        user: impl Into<UserId>,
        currency: Currency,
    ) -> Result<Decimal, Error> {
        let user = user.into();
        user.validate()?;
        let mut total = Decimal::ZERO;
        loop {
            let batch = self.retry.atomic(self.unit_of_work().name("CollectHouse"), async |uow| {
                self.collect_batch(uow, (&user, currency)).await
            });
            match batch.await?.into_value() {
                0 => return Ok(total),
                minor => total = total.saturating_add(currency.decimal_of_minor(minor)),
            }
        }
    }

    /// Collects a batch and says how much it was, in minor units; zero if there was nothing.
    async fn collect_batch(&self, uow: &UnitOfWork, owner: store::Owner<'_>) -> Result<i64, Error> {
        let due = house::Entity::find()
            .filter(house::Column::Currency.eq(owner.1.code()))
            .filter(house::Column::Exponent.eq(i16::from(owner.1.exponent())))
            .filter(house::Column::CollectedBy.is_null())
            .order_by_asc(house::Column::AuctionId)
            .limit(BATCH);
        let shares = uow.lock(due, LockWait::Wait).await?;
        let sum = shares.iter().try_fold(0_i64, |sum, share| sum.checked_add(share.amount));
        let sum =
            sum.ok_or_else(|| Error::damaged("the shares of the house are beyond counting"))?;
        if sum == 0 {
            return Ok(0);
        }
        let (mut account, now) = store::lock_or_make_wallet(uow, self, owner).await?;
        let total =
            account.available.checked_add(account.held).and_then(|all| all.checked_add(sum));
        if total.is_none_or(|total| total > BALANCE_MAX) {
            let maximum = owner.1.decimal_of_minor(BALANCE_MAX);
            return Err(Rejection::BalanceTooLarge { maximum }.into());
        }
        // From here the collection must succeed: every refusal has been given above.
        let operation = OperationId::new().get();
        let change = Change {
            operation,
            kind: entry::Kind::HouseShare,
            available_delta: sum,
            held_delta: 0,
            auction: None,
            memo: None,
            at: now,
        };
        let entry = store::enter(&mut account, &change);
        let auctions: BTreeSet<i64> = shares.iter().map(|share| share.auction_id).collect();
        let mark = Query::update()
            .table(house::Entity)
            .value(house::Column::CollectedBy, operation)
            .and_where(
                Expr::col(house::Column::AuctionId)
                    .is_in(crate::backend::padded(auctions.into_iter().collect::<Vec<_>>())),
            )
            .take();
        uow.execute(&mark).await?;
        let (accounts, entries) = (vec![account], vec![entry]);
        save::save(uow, Changes { accounts, entries, ..Changes::default() }).await?;
        Ok(sum)
    }
}
