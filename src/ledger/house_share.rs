//! The house's share of a sale, as a host writes it down.

use rust_decimal::Decimal;

use super::canonical::Canonical;
use crate::error::Error;
use crate::money::{Amount, Currency};
use crate::rules::Share;

/// A part of the price for the house: the buyer's premium or the seller's fee.
///
/// It is rounded down to the minor unit, so that what is left over is the seller's: price and premium are always what seller
/// and house get, to the last unit. Another house may round to the nearest unit.
///
/// # Example: a premium of 25 % on 10,000
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use auction_ledger_migration::{Migrator, MigratorTrait};
/// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, HouseShare};
/// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
/// # Migrator::up(&db, None).await?;
/// # let ledger = AuctionLedger::new(db);
/// let terms = AuctionTerms::english(Currency::EUR, 10_000.into(), 100.into())
///     .premium(HouseShare::basis_points(25_00))
///     .ends_in(Duration::from_secs(60));
/// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
/// ledger.deposit("ann", Currency::EUR, 12_500.into()).await?;
/// ledger.place_bid(auction, "ann", 10_000.into()).await?;
/// assert_eq!(ledger.wallet("ann", Currency::EUR).await?.held, 12_500.into());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HouseShare {
    basis_points: u32,
    at_least: Option<Decimal>,
    at_most: Option<Decimal>,
}

impl HouseShare {
    /// A part of the price in hundredths of a percent, at most 10,000.
    #[must_use]
    pub fn basis_points(basis_points: u32) -> Self {
        Self { basis_points, at_least: None, at_most: None }
    }

    /// At least this much, in the currency of the auction. Default: no minimum.
    #[must_use]
    pub fn at_least(mut self, minimum: Decimal) -> Self {
        self.at_least = Some(minimum);
        self
    }

    /// At most this much, in the currency of the auction, and not less than the minimum. Default: no cap.
    #[must_use]
    pub fn at_most(mut self, cap: Decimal) -> Self {
        self.at_most = Some(cap);
        self
    }

    pub(super) fn encode(&self, request: Canonical) -> Canonical {
        request
            .number(self.basis_points)
            .optional(self.at_least, Canonical::amount)
            .optional(self.at_most, Canonical::amount)
    }

    pub(super) fn share(&self, what: &'static str, currency: Currency) -> Result<Share, Error> {
        let amount =
            |value| currency.amount(value).map_err(|error| Error::InvalidAmount { what, error });
        Ok(Share {
            basis_points: self.basis_points,
            at_least: self.at_least.map(amount).transpose()?.unwrap_or(Amount::ZERO),
            at_most: self.at_most.map(amount).transpose()?,
        })
    }
}
