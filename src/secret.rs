//! Amounts that are one party's business.

use std::fmt;

use rust_decimal::Decimal;

/// An amount that only one party may know: the maximum of a bid. It cannot be serialized, and does not appear in logs;
/// whoever shows it must say so, by [`reveal`](Self::reveal).
///
/// # Example: not in a log
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
/// let bid = ledger.place_bid(auction, "ann", 77.into()).await?;
/// assert_eq!(bid.maximum.reveal(), 77.into());
/// assert_eq!(format!("{:?}", bid.maximum), "secret");
/// # Ok(()) }
/// ```
/// Nothing that has one can be serialized:
///
/// ```compile_fail,E0277
/// fn send<T: serde::Serialize>() {}
/// send::<auction_ledger::Secret>();
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(Decimal);

impl Secret {
    pub(crate) const fn new(amount: Decimal) -> Self {
        Self(amount)
    }

    /// The amount, for whoever may know it.
    #[must_use]
    pub const fn reveal(self) -> Decimal {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}
