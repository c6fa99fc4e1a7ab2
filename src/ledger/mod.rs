//! The roof: the ledger's verbs on one database.

mod auction_terms;
mod audit;
mod batch;
mod buy_now;
mod canonical;
mod close;
mod dispatch;
mod doctor;
mod eligibility;
mod events;
mod extend;
mod group;
mod history;
mod house;
mod house_share;
mod increments;
mod journal;
mod lock_bid;
mod once;
mod open_auction;
mod outcome;
mod place_bid;
mod purge_keys;
mod query;
mod receipt;
mod relay;
mod request;
mod reserve;
mod save;
mod sealed;
mod session;
mod settle;
mod settler;
mod store;
mod stored;
mod sweep;
mod take;
mod terms_row;
mod view;
mod void_bid;
mod wallet;
mod wallet_ids;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::DatabaseConnection;

pub use self::auction_terms::AuctionTerms;
pub use self::audit::{
    Audit, AuditPosition, AuditReport, AuditedRows, Balance, Conservation, Finding, Record,
    SettlementMismatch,
};
pub use self::buy_now::BuyNow;
pub use self::close::{Cancel, Cancellation, CloseEarly};
pub use self::doctor::{Checkup, Doctor, Symptom};
pub use self::eligibility::EligibilityCheck;
pub use self::events::GetEvents;
pub use self::extend::{Change, Extend};
pub use self::group::GroupCommit;
pub use self::history::{ActRecord, BidRecord, GetActs, GetBids};
pub use self::house_share::HouseShare;
pub use self::increments::Increments;
pub use self::journal::{Entry, GetBalanceAt, GetEntries};
pub use self::open_auction::OpenAuction;
pub use self::outcome::{CommandRef, CommandStatus};
pub use self::place_bid::PlaceBid;
pub use self::query::{Auction, GetAuction, GetWallet};
pub use self::relay::{Lag, Parked, Relay, RelayHint, Relayed};
pub use self::reserve::{AcceptBelowReserve, LowerReserve};
pub use self::settle::{Sale, Settle, Settlement};
pub use self::settler::{Settled, Settler};
pub use self::sweep::Sweep;
pub use self::take::Take;
pub use self::view::{AuctionView, GetAuctionFor, GetAuctions, GetHolds, Hold};
pub use self::void_bid::{VoidBid, VoidedBid};
pub use self::wallet::{Deposit, Wallet, Withdraw};
use self::wallet_ids::WalletIds;

use self::dispatch::Dispatch;
use self::eligibility::Gatekeeper;
use self::group::Group;
use crate::clock::Clock;
use crate::id::{AuctionId, OperationId, UserId};
use crate::money::Currency;
use crate::secret::Secret;
use crate::sink::EventSink;
use crate::unit_of_work::{Atomic, Committed, Error as UnitOfWorkError, Retry, Root, UnitOfWork};

/// Auctions, and the money that is promised to them, on one database.
///
/// A clone is cheap and speaks to the same database. Every verb is a request: it does nothing until it is awaited, and
/// then happens wholly or not at all, in one database transaction under row locks. With `.within(&uow)` it joins a unit
/// of work of the host, so that money and the host's own rows commit or roll back together; alone, it runs again by
/// itself when the database could not order it among its neighbours.
///
/// A ledger and its clones remember the ids of up to 100,000 wallets, some 2 MB, and compare the owner of each under lock. Where a wallet
/// was rolled back, or deleted without entries, a second query locks it, and that one out of the order: a verb of its own runs again if
/// it deadlocks, a unit of work of the host by [`Retry`].
///
/// # Example: two bidders
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
/// use auction_ledger_migration::{Migrator, MigratorTrait};
/// use sea_orm::Database;
///
/// let db = Database::connect("sqlite::memory:").await?;
/// Migrator::up(&db, None).await?;
/// let ledger = AuctionLedger::new(db);
///
/// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
/// ledger.deposit("bob", Currency::EUR, 100.into()).await?;
/// let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into()).ends_in(Duration::from_secs(3600));
/// let auction = ledger.open_auction("sam", "brass telescope", terms).await?;
///
/// ledger.place_bid(auction.id, "ann", 20.into()).await?;
/// let bid = ledger.place_bid(auction.id, "bob", 25.into()).await?;
/// assert_eq!(bid.outbid.unwrap().user.as_str(), "ann");
///
/// let ann = ledger.wallet("ann", Currency::EUR).await?;
/// let bob = ledger.wallet("bob", Currency::EUR).await?;
/// assert_eq!((ann.available, ann.held), (100.into(), 0.into()));
/// assert_eq!((bob.available, bob.held), (75.into(), 25.into()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AuctionLedger {
    db: DatabaseConnection,
    clock: Clock,
    retry: Retry,
    dispatch: Dispatch,
    gatekeeper: Gatekeeper,
    group: Group,
    wallet_ids: WalletIds,
}

impl AuctionLedger {
    /// A ledger on `db` with the database's clock and the default [`Retry`].
    ///
    /// The tables must be there: add the migrations of `auction-ledger-migration` to your own, or run its `Migrator`.
    #[must_use]
    pub fn new(db: DatabaseConnection) -> Self {
        Self {
            db,
            clock: Clock::default(),
            retry: Retry::default(),
            dispatch: Dispatch::default(),
            gatekeeper: Gatekeeper::default(),
            group: Group::default(),
            wallet_ids: WalletIds::default(),
        }
    }

    /// Sets how often a verb that runs in a unit of work of its own is run again. A key that stands there already when it is
    /// written is looked for in one attempt more, which counts for nothing.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self.apart()
    }

    /// Sets how bids and purchases that meet on an auction are carried out together. Default: [`GroupCommit::new`].
    #[must_use]
    pub fn group_commit(mut self, settings: GroupCommit) -> Self {
        self.group = Group::new(settings);
        self
    }

    /// Adds a sink that gets the events of every committed command of this ledger and its clones, behind a queue of 1,024
    /// events. See [`EventSink`].
    ///
    /// # Example: an event for each bid
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, BroadcastSink, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// let sink = BroadcastSink::new(64);
    /// let mut reader = sink.subscribe();
    /// let ledger = AuctionLedger::new(db).sink(sink);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// let auction = ledger.open_auction("sam", "brass telescope", terms).await?;
    /// assert_eq!(reader.recv().await?.auction, auction.id);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn sink(self, sink: impl EventSink) -> Self {
        self.sink_with(sink, 1024)
    }

    /// As [`sink`](Self::sink), behind a queue of `capacity` events, at least one.
    #[must_use]
    pub fn sink_with(mut self, sink: impl EventSink, capacity: usize) -> Self {
        self.dispatch.add(sink, capacity);
        self.apart()
    }

    /// Judges by `clock` instead of the database's clock, for tests.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn clock(mut self, clock: crate::ManualClock) -> Self {
        self.clock = Clock::Manual(clock);
        self.apart()
    }

    /// The connection the ledger speaks to.
    #[must_use]
    pub fn connection(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Runs `f` in a unit of work on the ledger's database, for verbs and the host's own rows: [`Root::atomic`].
    ///
    /// # Errors
    ///
    /// As [`Root::atomic`].
    ///
    /// # Cancel safety
    ///
    /// As [`Root::atomic`].
    ///
    /// # Example: a note only if the bid is stored
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, Error};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into()).ends_in(Duration::from_secs(60));
    /// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// let (sent, mut notes) = tokio::sync::mpsc::unbounded_channel();
    ///
    /// let bid = ledger
    ///     .atomic(async |uow| {
    ///         let bid = ledger.place_bid(auction, "ann", 10.into()).within(uow).await?;
    ///         let seq = bid.seq;
    ///         uow.on_commit(async move || { _ = sent.send(seq); });
    ///         Ok::<_, Error>(bid)
    ///     })
    ///     .await?;
    /// assert_eq!(notes.recv().await, Some(bid.seq));
    /// # Ok(()) }
    /// ```
    pub async fn atomic<F, T, E>(&self, f: F) -> Result<Committed<T>, E>
    where
        F: AsyncFnOnce(&UnitOfWork) -> Result<T, E>,
        E: From<UnitOfWorkError>,
    {
        self.unit_of_work().atomic(f).await
    }

    /// A ledger of another make than its clones: it carries out no command of theirs, nor they one of its.
    fn apart(mut self) -> Self {
        self.group = self.group.apart();
        self
    }

    /// A unit of work on the ledger's database, with options.
    pub fn unit_of_work(&self) -> Root {
        self.db.unit_of_work()
    }
}

/// A bid that was accepted. It is its bidder's alone, for it knows the maximum: so it cannot be serialized.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bid {
    /// The auction.
    pub auction: AuctionId,
    /// The number of this command on its auction, the opening being 1.
    pub seq: i64,
    /// The operation that the entries of the journal carry.
    pub operation: OperationId,
    /// The bidder.
    pub user: UserId,
    /// What was bid, in the auction's currency: with automatic bidding the most that the bidder pays, else the price itself.
    pub maximum: Secret,
    /// The price of the auction after it. Where bids are sealed nobody knows it, and this is the start price.
    pub price: Decimal,
    /// The auction's currency.
    pub currency: Currency,
    /// Whether the bidder leads, or has bought; `false` where bids are sealed. With automatic bidding somebody's maximum may have answered at once; then
    /// nothing is held for this bid.
    pub leads: bool,
    /// Whether the bid reached the buy-now price and has bought the auction at that price.
    pub bought: bool,
    /// Who lost the lead by it.
    pub outbid: Option<Outbid>,
    /// The end of the auction after it.
    pub ends_at: DateTime<Utc>,
    /// When it was accepted, by the database's clock.
    pub at: DateTime<Utc>,
}

/// Somebody who lost the lead of an auction. What comes back to them is their own business, and whoever outbid them need not
/// know it: so this cannot be serialized, nor can what has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outbid {
    /// Who.
    pub user: UserId,
    /// How much is available to them again, in the auction's currency.
    pub released: Secret,
}

/// A purchase at the buy-now price.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purchase {
    /// The auction.
    pub auction: AuctionId,
    /// The number of this command on its auction, the opening being 1.
    pub seq: i64,
    /// The operation that the entries of the journal carry.
    pub operation: OperationId,
    /// Who bought it.
    pub buyer: UserId,
    /// Who was paid.
    pub seller: UserId,
    /// The price, in the auction's currency.
    pub price: Decimal,
    /// What the buyer has paid to the house on top of it.
    pub premium: Decimal,
    /// The auction's currency.
    pub currency: Currency,
    /// Who lost the lead by it.
    pub outbid: Option<Outbid>,
    /// When it was bought, by the database's clock.
    pub at: DateTime<Utc>,
}
