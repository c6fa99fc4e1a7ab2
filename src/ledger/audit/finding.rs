//! What the audit can find, as data.

use std::fmt;

use crate::id::{AuctionId, OperationId, WalletId};

/// Something in the books that the ledger never writes: what it is, where, and what stands there.
///
/// Amounts are in minor units, as the tables have them: a damaged row may say what no
/// [`Decimal`](rust_decimal::Decimal) can. One damaged cell is told once where one law is broken by it, and once for each law
/// where it breaks several: an entry that makes money unbalances its operation and the conservation of all money.
///
/// # Example: money out of nothing
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use auction_ledger_migration::{Migrator, MigratorTrait};
/// # use sea_orm::ConnectionTrait;
/// use auction_ledger::{AuctionLedger, Currency, Finding};
/// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
/// # Migrator::up(&db, None).await?;
/// # let ledger = AuctionLedger::new(db.clone());
/// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
/// db.execute_unprepared("UPDATE al_wallet SET available = available + 1").await?;
///
/// let report = ledger.audit().await?;
/// assert_eq!(
///     report.findings[0].to_string(),
///     "wallet 1 says 10001 available, 0 held after 1 entries, its journal 10000 available, 0 held after 1"
/// );
/// assert!(matches!(report.findings[1], Finding::Conservation(_)));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// A wallet does not say what its last entry says.
    #[error(
        "wallet {wallet} says {row} after {row_seq} entries, its journal {journal} after {journal_seq}"
    )]
    WalletRow {
        /// The wallet.
        wallet: WalletId,
        /// What the wallet's row says.
        row: Balance,
        /// The number of entries that the wallet's row says.
        row_seq: i64,
        /// What the journal says: nothing, if it is empty.
        journal: Balance,
        /// The number of the last entry; 0 if there is none.
        journal_seq: i64,
    },
    /// Entries of a wallet are missing, or have the wrong numbers.
    #[error("wallet {wallet} has entry {found} where entry {expected} should be")]
    EntryGap {
        /// The wallet.
        wallet: WalletId,
        /// The number that should come.
        expected: i64,
        /// The number that comes.
        found: i64,
    },
    /// An entry's balances are not those of the entry before it and its own deltas.
    #[error("entry {seq} of wallet {wallet} says {found} instead of {expected}")]
    RunningBalance {
        /// The wallet.
        wallet: WalletId,
        /// The entry.
        seq: i64,
        /// What the deltas make.
        expected: Balance,
        /// What the entry says.
        found: Balance,
    },
    /// An entry leaves a wallet with less than nothing.
    #[error("entry {seq} overdraws wallet {wallet}: {balance}")]
    Overdrawn {
        /// The wallet.
        wallet: WalletId,
        /// The entry.
        seq: i64,
        /// What the entry says.
        balance: Balance,
    },
    /// An entry's kind and its auction do not go together: a deposit or a withdrawal is for no auction and moves no held
    /// money, everything else is for one.
    #[error(
        "entry {seq} of wallet {wallet} is of kind {kind}, moves {held_delta} held, and is for auction {}",
        or_none(.auction)
    )]
    Misfiled {
        /// The wallet.
        wallet: WalletId,
        /// The entry.
        seq: i64,
        /// The kind, as the table has it.
        kind: i16,
        /// The change of the held money.
        held_delta: i128,
        /// The auction, if it is for one.
        auction: Option<AuctionId>,
    },
    /// The entries of a command do not sum to zero: it made money, or lost some.
    #[error("operation {operation} on auction {auction} sums to {sum} instead of 0")]
    Unbalanced {
        /// The auction.
        auction: AuctionId,
        /// The operation.
        operation: OperationId,
        /// The sum of all its deltas, available and held.
        sum: i128,
    },
    /// Money was moved for an auction by no command that the auction has accepted.
    #[error(
        "operation {operation} moved money for auction {auction}, which has no bid and no act of it"
    )]
    UnknownOperation {
        /// The auction that the entries name.
        auction: AuctionId,
        /// The operation.
        operation: OperationId,
        /// The sum of its deltas, available and held.
        sum: i128,
    },
    /// A wallet does not hold what an open auction says it has promised.
    #[error("wallet {wallet} holds {held} for auction {auction}, which says {promised}")]
    Held {
        /// The auction, which is open.
        auction: AuctionId,
        /// The wallet.
        wallet: WalletId,
        /// What the wallet's entries for this auction hold.
        held: i128,
        /// What the auction says.
        promised: i128,
    },
    /// A wallet holds money for an auction that is over.
    #[error("wallet {wallet} holds {held} for auction {auction}, which is over")]
    HeldAfterEnd {
        /// The auction, which is over.
        auction: AuctionId,
        /// The wallet.
        wallet: WalletId,
        /// What the wallet's entries for this auction hold.
        held: i128,
    },
    /// The price of an auction, what it says of its sale, and what was paid for it do not agree.
    #[error(transparent)]
    Settlement(#[from] SettlementMismatch),
    /// Commands of an auction are missing, or have the wrong numbers. Bids and acts share the numbers.
    #[error("auction {auction} has command {found} where command {expected} should be")]
    CommandGap {
        /// The auction.
        auction: AuctionId,
        /// The number that should come.
        expected: i64,
        /// The number that comes.
        found: i64,
    },
    /// An auction does not count the commands that it has.
    #[error("auction {auction} says {row} commands, and its last one is {last}")]
    AuctionSeq {
        /// The auction.
        auction: AuctionId,
        /// The number of commands that the auction's row says.
        row: i64,
        /// The number of its last bid or act; 0 if there is none.
        last: i64,
    },
    /// A row names a wallet that does not exist. Told once for each auction and wallet, and once for all entries of a wallet.
    #[error("{referrer} names wallet {wallet}, which does not exist")]
    MissingWallet {
        /// The first row that names it.
        referrer: Record,
        /// The wallet.
        wallet: WalletId,
    },
    /// A row names an auction that does not exist. Told once for its bids, once for its acts, once for its entries and
    /// once for the house's share.
    #[error("{referrer} names auction {auction}, which does not exist")]
    MissingAuction {
        /// The first row that names it.
        referrer: Record,
        /// The auction.
        auction: AuctionId,
    },
    /// An act makes a bid void that its auction does not have.
    #[error("act {seq} of auction {auction} makes bid {bid} void, which does not exist")]
    MissingBid {
        /// The auction.
        auction: AuctionId,
        /// The number of the act.
        seq: i64,
        /// The number of the bid.
        bid: i64,
    },
    /// A share of the house was collected by an operation that brought nothing into any wallet. Told once for each operation
    /// and range of auctions.
    #[error(
        "the house's share of auction {auction} was collected by operation {operation}, which has no entry"
    )]
    MissingCollection {
        /// The first auction whose share it is.
        auction: AuctionId,
        /// The operation.
        operation: OperationId,
    },
    /// All money of a currency is not what came in less what went out.
    #[error(transparent)]
    Conservation(#[from] Conservation),
}

/// What a wallet has, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balance {
    /// What can be spent.
    pub available: i128,
    /// What is promised.
    pub held: i128,
}

impl Balance {
    pub(super) fn new(available: i64, held: i64) -> Self {
        Self { available: available.into(), held: held.into() }
    }

    /// What it is after these deltas. Sums of 64-bit numbers do not reach the end of 128 bits.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            available: self.available.saturating_add(other.available),
            held: self.held.saturating_add(other.held),
        }
    }

    pub(super) fn total(self) -> i128 {
        self.available.saturating_add(self.held)
    }

    pub(super) fn is_overdrawn(self) -> bool {
        self.available < 0 || self.held < 0
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} available, {} held", self.available, self.held)
    }
}

/// A row of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Record {
    /// An auction's own row.
    Auction(AuctionId),
    /// A bid, sealed or not.
    Bid {
        /// The auction that it is filed under.
        auction: AuctionId,
        /// Its number.
        seq: i64,
    },
    /// An act.
    Act {
        /// The auction that it is filed under.
        auction: AuctionId,
        /// Its number.
        seq: i64,
    },
    /// What a sale has set aside for the house.
    HouseShare(AuctionId),
    /// An entry of the journal.
    Entry {
        /// The wallet that it is filed under.
        wallet: WalletId,
        /// Its number.
        seq: i64,
    },
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auction(auction) => write!(f, "auction {auction}"),
            Self::Bid { auction, seq } => write!(f, "bid {seq} of auction {auction}"),
            Self::Act { auction, seq } => write!(f, "act {seq} of auction {auction}"),
            Self::HouseShare(auction) => write!(f, "the house's share of auction {auction}"),
            Self::Entry { wallet, seq } => write!(f, "entry {seq} of wallet {wallet}"),
        }
    }
}

/// An auction whose price, sale and payments do not agree: [`Finding::Settlement`].
///
/// A sold auction has the leader as its winner and the price as its sold price; the winner has paid the price, and the
/// seller has received it. Nobody has paid or received anything for an auction that is not sold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error(
    "auction {auction} is {}: price {}, sold price {}, leader {}, winner {}, paid {paid}, received {received}, the house {house}, astray {astray}",
    if *.sold { "sold" } else { "not sold" },
    or_none(.price), or_none(.sold_price), or_none(.leader), or_none(.winner)
)]
#[non_exhaustive]
pub struct SettlementMismatch {
    /// The auction.
    pub auction: AuctionId,
    /// Whether it says that it is sold.
    pub sold: bool,
    /// The price.
    pub price: Option<i64>,
    /// The price it says it was sold at.
    pub sold_price: Option<i64>,
    /// Who leads.
    pub leader: Option<WalletId>,
    /// Who it says has bought it.
    pub winner: Option<WalletId>,
    /// What the leader's entries paid for it: the price and the buyer's premium on it.
    pub paid: i128,
    /// What the seller's entries received for it: the price less the seller's fee.
    pub received: i128,
    /// What its sale set aside for the house: the premium and the fee.
    pub house: i128,
    /// What entries of anybody else paid or received for it, without regard to the sign.
    pub astray: i128,
}

fn or_none<T: fmt::Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), T::to_string)
}

/// All money of one currency, in minor units, at one instant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error(
    "the wallets have {money} of {currency} with {exponent} decimals, after {deposited} came in and {withdrawn} went out"
)]
#[non_exhaustive]
pub struct Conservation {
    /// The code of the currency, as the wallets have it.
    pub currency: String,
    /// The number of its decimals, as the wallets have it.
    pub exponent: i16,
    /// What all wallets have, available and held, and what waits for the house.
    pub money: i128,
    /// What was deposited.
    pub deposited: i128,
    /// What was withdrawn.
    pub withdrawn: i128,
}

impl Conservation {
    /// Whether what is there is what came in less what went out.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.deposited.checked_sub(self.withdrawn) == Some(self.money)
    }
}
