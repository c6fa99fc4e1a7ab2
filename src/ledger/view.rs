//! What the pages of a host show: an auction as one user sees it, auctions by their state, and what a user has promised.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::AuctionLedger;
use super::history::{users, vanished};
use super::query::{Auction, query};
use super::store::{self, Lot};
use crate::entity::{auction, sealed_bid};
use crate::error::Error;
use crate::id::{AuctionId, UserId};
use crate::money::{Amount, Currency};
use crate::rules::{self, AuctionState};
use crate::secret::Secret;
use crate::unit_of_work::UnitOfWork;

/// An auction as one user sees it, at one instant of the database's clock. It is that user's alone, for it knows their maximum:
/// so it cannot be serialized.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuctionView {
    /// What everybody sees of it.
    pub auction: Auction,
    /// When it was looked at, by the database's clock.
    pub now: DateTime<Utc>,
    /// Whether it has begun and not ended, so that a bid would count.
    pub is_running: bool,
    /// How long until it ends; zero once it has.
    pub time_left: Duration,
    /// Whether the user sells it.
    pub is_seller: bool,
    /// Whether the user leads, or led when it ended.
    pub leads: bool,
    /// The user's own maximum, as long as it leads or is sealed, and the auction is open.
    pub own_maximum: Option<Secret>,
    /// The least that this user could bid: for a leader with automatic bidding, above the own maximum. Before the start and
    /// after the end it is what it would be. `None` if the auction is settled or takes no bids, and for the seller.
    pub next_minimum: Option<Decimal>,
    /// What it can be taken for at this instant: the buy-now price while it is offered, or the price of the clock. `None` for
    /// the seller.
    pub take_price: Option<Decimal>,
}

/// Money that a user has promised to an auction that is not over. It is that user's alone: so it cannot be serialized.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// The auction.
    pub auction: AuctionId,
    /// What is sold.
    pub title: String,
    /// How much is held: the maximum and the premium on it.
    pub amount: Secret,
    /// The price as it stands; `None` where bids are sealed.
    pub price: Option<Decimal>,
    /// The end of the auction.
    pub ends_at: DateTime<Utc>,
}

impl AuctionLedger {
    /// Reads an auction as `user` sees it: what a page needs, in one call. Nothing is locked: it may have changed when the answer
    /// arrives.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`], [`Error::UnknownAuction`], [`Error::CurrencyMismatch`]; then [`Error::Database`],
    /// [`Error::MigrationsMissing`], [`Error::Damaged`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost. Within a unit of work, a drop breaks its innermost block, as of every statement.
    ///
    /// # Example: the leader's page and another's
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).automatic_bidding().ends_in(Duration::from_secs(60));
    /// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// # ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.place_bid(auction, "ann", 50.into()).await?;
    /// let own = ledger.auction_for(auction, "ann").await?;
    /// assert_eq!(own.own_maximum.map(|maximum| maximum.reveal()), Some(50.into()));
    /// let other = ledger.auction_for(auction, "bob").await?;
    /// assert_eq!((other.leads, other.own_maximum, other.next_minimum), (false, None, Some(15.into())));
    /// assert!(other.time_left > Duration::ZERO);
    /// # Ok(()) }
    /// ```
    pub fn auction_for(&self, auction: AuctionId, user: impl Into<UserId>) -> GetAuctionFor<'_> {
        GetAuctionFor { ledger: self, within: None, auction, user: user.into() }
    }

    /// Reads auctions in a state, the earliest original end first: 100 of them, or as [`limit`](GetAuctions::limit) says. What is
    /// past its end and not yet settled is still open.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::MigrationsMissing`], [`Error::Damaged`].
    ///
    /// # Cancel safety
    ///
    /// As [`auction_for`](Self::auction_for).
    ///
    /// # Example: page by page
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, AuctionState};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// for minutes in 1..=3 {
    ///     let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60 * minutes));
    ///     ledger.open_auction("sam", format!("thing {minutes}"), terms).await?;
    /// }
    /// let first = ledger.auctions(AuctionState::Open).limit(2).await?;
    /// assert_eq!(first[0].title, "thing 1");
    /// let rest = ledger.auctions(AuctionState::Open).after(&first[1]).await?;
    /// assert_eq!(rest[0].title, "thing 3");
    /// # Ok(()) }
    /// ```
    pub fn auctions(&self, state: AuctionState) -> GetAuctions<'_> {
        GetAuctions { ledger: self, within: None, state, after: None, limit: 100 }
    }

    /// Reads what a user has promised to auctions that are not over, by auction. It looks at all of those.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`], [`Error::CurrencyMismatch`]; then [`Error::Database`], [`Error::MigrationsMissing`],
    /// [`Error::Damaged`].
    ///
    /// # Cancel safety
    ///
    /// As [`auction_for`](Self::auction_for).
    ///
    /// # Example: where the money is
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// # ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.place_bid(auction, "ann", 50.into()).await?;
    /// let holds = ledger.holds("ann", Currency::EUR).await?;
    /// assert_eq!((holds[0].auction, holds[0].amount.reveal()), (auction, 50.into()));
    /// # Ok(()) }
    /// ```
    pub fn holds(&self, user: impl Into<UserId>, currency: Currency) -> GetHolds<'_> {
        GetHolds { ledger: self, within: None, user: user.into(), currency }
    }
}

/// An auction to be read as a user sees it: [`AuctionLedger::auction_for`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetAuctionFor<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    auction: AuctionId,
    user: UserId,
}

/// Auctions to be read: [`AuctionLedger::auctions`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetAuctions<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    state: AuctionState,
    after: Option<(i64, i64)>,
    limit: u64,
}

impl GetAuctions<'_> {
    /// Only what comes after `last`: the last one read goes on from there. Default: from the first.
    pub fn after(mut self, last: &Auction) -> Self {
        self.after = Some((last.original_ends_at.timestamp_micros(), last.id.get()));
        self
    }

    /// At most this many. Default: 100.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Ord::min(limit, super::history::Cursor::MOST);
        self
    }
}

/// Holds to be read: [`AuctionLedger::holds`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetHolds<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    user: UserId,
    currency: Currency,
}

impl GetAuctionFor<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<AuctionView, Error> {
        self.user.validate()?;
        let row = auction::Entity::find_by_id(self.auction.get()).one(connection).await?;
        let row = row.ok_or(Error::UnknownAuction { auction: self.auction })?;
        let now = self.ledger.clock.now(connection).await?;
        let auction = named(connection, std::slice::from_ref(&row)).await?.pop();
        let auction = auction.ok_or(Error::UnknownAuction { auction: self.auction })?;
        let lot = store::lot(&row)?;
        let (terms, standing) = (&lot.terms, &lot.standing);
        let decimal = |amount: Amount| terms.currency.decimal(amount);
        let is_seller = auction.seller == self.user;
        let leads = auction.leader.as_ref() == Some(&self.user);
        let open = standing.state == AuctionState::Open;
        let own = standing.leader.filter(|_| leads && open).map(|leader| leader.maximum);
        let own = match terms.is_sealed() && open {
            true => sealed_bid(connection, &self.user, &row).await?,
            false => own,
        };
        let left = Ord::max(standing.ends_at.get().saturating_sub(now.get()), 0);
        let is_running = open && terms.starts_at <= now && left > 0;
        Ok(AuctionView {
            now: now.datetime(),
            is_running,
            time_left: Duration::from_micros(left.unsigned_abs()),
            is_seller,
            leads,
            own_maximum: own.map(|maximum| Secret::new(decimal(maximum))),
            next_minimum: rules::next_minimum_of(terms, standing, own)
                .filter(|_| !is_seller)
                .map(decimal),
            take_price: rules::ask_at(terms, standing, now)
                .filter(|_| !is_seller && is_running)
                .map(decimal),
            auction,
        })
    }
}

impl GetAuctions<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Vec<Auction>, Error> {
        let mut auctions = auction::Entity::find()
            .filter(auction::Column::State.eq(super::save::state_row(self.state)))
            .order_by_asc(auction::Column::OriginalEndsAt)
            .order_by_asc(auction::Column::Id)
            .limit(self.limit);
        if let Some((ends_at, id)) = self.after {
            let same_end =
                auction::Column::OriginalEndsAt.eq(ends_at).and(auction::Column::Id.gt(id));
            auctions = auctions.filter(auction::Column::OriginalEndsAt.gt(ends_at).or(same_end));
        }
        named(connection, &auctions.all(connection).await?).await
    }
}

impl GetHolds<'_> {
    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<Vec<Hold>, Error> {
        let account = store::find_wallet(connection, &self.user, self.currency).await?;
        let Some(account) = account else {
            return Ok(Vec::new());
        };
        let sealed = sealed_bid::Entity::find()
            .filter(sealed_bid::Column::WalletId.eq(account.id.get()))
            .filter(sealed_bid::Column::ReleasedBy.is_null())
            .all(connection)
            .await?;
        let sealed: BTreeMap<i64, i64> =
            sealed.into_iter().map(|row| (row.auction_id, row.maximum)).collect();
        let mut rows = auction::Entity::find()
            .filter(auction::Column::State.is_in(HOLDING))
            .filter(auction::Column::LeaderWalletId.eq(account.id.get()))
            .all(connection)
            .await?;
        rows.retain(|row| !sealed.contains_key(&row.id));
        let ids: Vec<i64> = sealed.keys().copied().collect();
        // SQLite binds 32,766 values at most.
        for ids in ids.chunks(1_000) {
            let more = auction::Entity::find()
                .filter(auction::Column::Id.is_in(ids.iter().copied()))
                .all(connection);
            rows.extend(more.await?);
        }
        rows.sort_by_key(|row| row.id);
        let mut holds = Vec::with_capacity(rows.len());
        for row in &rows {
            let lot = store::lot(row)?;
            let decimal = |amount| lot.terms.currency.decimal(amount);
            let amount = match sealed.get(&row.id) {
                Some(maximum) => amount_of(&lot, *maximum)?,
                None => lot.standing.hold_of(Some(account.id)),
            };
            holds.push(Hold {
                auction: lot.id,
                title: row.title.clone(),
                amount: Secret::new(decimal(amount)),
                price: lot.standing.price.map(decimal),
                ends_at: lot.standing.ends_at.datetime(),
            });
        }
        Ok(holds)
    }
}

query!(GetAuctionFor -> AuctionView);
query!(GetAuctions -> Vec<Auction>);
query!(GetHolds -> Vec<Hold>);

/// Rows of auctions, with the names of their sellers and leaders.
pub(super) async fn named<C: ConnectionTrait>(
    connection: &C,
    rows: &[auction::Model],
) -> Result<Vec<Auction>, Error> {
    let mut ids = Vec::new();
    for row in rows {
        ids.push(row.seller_wallet_id);
        ids.extend(leading_wallet(row));
    }
    let users = users(connection, ids.into_iter()).await?;
    let user = |id: i64| users.get(&id).cloned().ok_or_else(|| vanished(id));
    let mut auctions = Vec::with_capacity(rows.len());
    for row in rows {
        let leader = leading_wallet(row).map(user).transpose()?;
        auctions.push(Auction::of(row, user(row.seller_wallet_id)?, leader)?);
    }
    Ok(auctions)
}

/// The states in which the leader's money is held.
const HOLDING: [auction::State; 3] =
    [auction::State::Open, auction::State::AwaitingSeller, auction::State::Settling];

/// The maximum of a user's own sealed bid.
async fn sealed_bid<C: ConnectionTrait>(
    connection: &C,
    user: &UserId,
    row: &auction::Model,
) -> Result<Option<Amount>, Error> {
    let lot = store::lot(row)?;
    let Some(account) = store::find_wallet(connection, user, lot.terms.currency).await? else {
        return Ok(None);
    };
    let own = sealed_bid::Entity::find_by_id((row.id, account.id.get())).one(connection).await?;
    let own = own.filter(|own| own.released_by.is_none());
    Ok(own.and_then(|own| Amount::from_minor(own.maximum)))
}

/// What is held for a sealed bid.
fn amount_of(lot: &Lot, maximum: i64) -> Result<Amount, Error> {
    let hold = Amount::from_minor(maximum).and_then(|maximum| lot.terms.with_premium(maximum));
    hold.ok_or_else(|| Error::damaged(format!("a sealed bid of auction {}", lot.id)))
}

fn leading_wallet(row: &auction::Model) -> Option<i64> {
    row.leader_wallet_id.or(row.winner_wallet_id)
}
