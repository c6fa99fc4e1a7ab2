//! Asking the host who may bid.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::AuctionLedger;
use super::batch::{Command, Wish};
use super::store::Lot;
use crate::error::Error;
use crate::id::{AuctionId, UserId};
use crate::rules::Eligibility;
use crate::unit_of_work::UnitOfWork;

/// Says who may bid on which auction and buy it, from the host's own tables.
///
/// It is asked in the unit of work of the bid, under the auction's lock: what it reads with a lock of its own cannot change
/// before the bid is stored. Another house may let everybody bid, and look when the auction is settled. It is not asked about a request whose key says what it was answered.
///
/// # Example: a table of bans
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use auction_ledger_migration::{Migrator, MigratorTrait};
/// use auction_ledger::unit_of_work::UnitOfWork;
/// use auction_ledger::{AuctionId, AuctionLedger, AuctionTerms, Currency, Eligibility, EligibilityCheck, Error, Rejection, UserId};
/// use sea_orm::{ConnectionTrait, Statement};
///
/// struct Bans;
///
/// #[async_trait::async_trait]
/// impl EligibilityCheck for Bans {
///     async fn eligibility(&self, uow: &UnitOfWork, _: AuctionId, user: &UserId) -> Result<Eligibility, Error> {
///         let ban = Statement::from_sql_and_values(
///             uow.get_database_backend(),
///             "SELECT user_id FROM bans WHERE user_id = $1",
///             [user.as_str().into()],
///         );
///         let banned = uow.query_one_raw(ban).await?.is_some();
///         Ok(if banned { Eligibility::Banned } else { Eligibility::Eligible })
///     }
/// }
///
/// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
/// # Migrator::up(&db, None).await?;
/// db.execute_unprepared("CREATE TABLE bans (user_id TEXT)").await?;
/// db.execute_unprepared("INSERT INTO bans VALUES ('eve')").await?;
/// let ledger = AuctionLedger::new(db).eligibility_check(Bans);
/// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
/// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
/// ledger.deposit("eve", Currency::EUR, 100.into()).await?;
/// let refused = ledger.place_bid(auction, "eve", 20.into()).await.unwrap_err();
/// assert_eq!(refused.rejection(), Some(&Rejection::NotEligible { why: Eligibility::Banned }));
/// # Ok(()) }
/// ```
#[async_trait]
pub trait EligibilityCheck: Send + Sync + 'static {
    /// Whether `user` may bid on `auction` and buy it. `uow` is the unit of work of the bid: read in it, and lock what must not
    /// change; lock no auction and no wallet.
    ///
    /// # Errors
    ///
    /// Whatever kept it from knowing: the bid is not stored, and a unit of work around it is broken if a statement failed.
    async fn eligibility(
        &self,
        uow: &UnitOfWork,
        auction: AuctionId,
        user: &UserId,
    ) -> Result<Eligibility, Error>;
}

/// The host's check, if there is one.
#[derive(Clone, Default)]
pub(super) struct Gatekeeper(Option<Arc<dyn EligibilityCheck>>);

impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gatekeeper").field(&self.0.is_some()).finish()
    }
}

/// What the host has said: on which auction, of whom.
pub(super) type Answers = BTreeMap<AuctionId, BTreeMap<UserId, Eligibility>>;

impl Gatekeeper {
    /// Whether there is a check.
    pub(super) fn asks(&self) -> bool {
        self.0.is_some()
    }

    /// What the host says of everybody who bids or buys in a list.
    pub(super) async fn ask(
        &self,
        uow: &UnitOfWork,
        lots: &BTreeMap<AuctionId, Lot>,
        commands: &[Command],
    ) -> Result<Answers, Error> {
        let mut answers = Answers::new();
        let Some(check) = &self.0 else {
            return Ok(answers);
        };
        for command in commands.iter().filter(|command| lots.contains_key(&command.auction)) {
            let (Wish::Bid(_) | Wish::Take(_), Some(user)) = (command.wish, &command.user) else {
                continue;
            };
            let of_auction = answers.entry(command.auction).or_default();
            if let Entry::Vacant(unasked) = of_auction.entry(user.clone()) {
                unasked.insert(check.eligibility(uow, command.auction, user).await?);
            }
        }
        Ok(answers)
    }
}

impl AuctionLedger {
    /// Asks `check` about everybody who bids or buys, under the auction's lock. Default: everybody may. Another check takes its
    /// place. See [`EligibilityCheck`].
    #[must_use]
    pub fn eligibility_check(mut self, check: impl EligibilityCheck) -> Self {
        self.gatekeeper = Gatekeeper(Some(Arc::new(check)));
        self.apart()
    }
}
