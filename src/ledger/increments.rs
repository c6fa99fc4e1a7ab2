//! By how much bids must ascend, as a host writes it down.

use rust_decimal::Decimal;

use super::auction_terms::{count, or_zero};
use super::canonical::Canonical;
use crate::error::Error;
use crate::money::{Amount, Currency};
use crate::rules::{Increment, Table, TermsError};

/// By how much a bid must be higher than the price: the same at every price, by a table, or as a part of it.
///
/// The presets are the tables that the houses publish, in the units of the currency of the auction.
///
/// # Example: what eBay asks for
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use auction_ledger_migration::{Migrator, MigratorTrait};
/// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, Increments};
/// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
/// # Migrator::up(&db, None).await?;
/// # let ledger = AuctionLedger::new(db);
/// let terms = AuctionTerms::english(Currency::USD, 24.into(), 1.into())
///     .increments(Increments::ebay())
///     .ends_in(Duration::from_secs(60));
/// let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
/// ledger.deposit("ann", Currency::USD, 100.into()).await?;
/// ledger.place_bid(auction, "ann", 25.into()).await?;
/// assert_eq!(ledger.auction(auction).await?.next_minimum, Some(26.into()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Increments(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Fixed(Decimal),
    Table(Vec<(Decimal, Decimal)>),
    Percent { basis_points: u32, at_least: Decimal },
}

impl Increments {
    /// The same at every price.
    #[must_use]
    pub fn fixed(step: Decimal) -> Self {
        Self(Kind::Fixed(step))
    }

    /// By price: from each threshold on, its increment. The first threshold is zero, they ascend, and there are at most 16.
    /// A price and its increment together must never fall when the price rises.
    #[must_use]
    pub fn table(rows: impl IntoIterator<Item = (Decimal, Decimal)>) -> Self {
        Self(Kind::Table(rows.into_iter().collect()))
    }

    /// A part of the price in hundredths of a percent, 1 to 10,000, rounded up to the minor unit, and at least `at_least`.
    /// Another house may round down, which lets an equal bid through at small prices.
    #[must_use]
    pub fn percent(basis_points: u32, at_least: Decimal) -> Self {
        Self(Kind::Percent { basis_points, at_least })
    }

    /// eBay's table of bid increments, in units of its currency.
    #[must_use]
    #[allow(clippy::inconsistent_digit_grouping, reason = "hundredths are set apart")]
    pub fn ebay() -> Self {
        Self::in_hundredths(&[
            (0, 5),
            (1_00, 25),
            (5_00, 50),
            (25_00, 1_00),
            (100_00, 2_50),
            (250_00, 5_00),
            (500_00, 10_00),
            (1_000_00, 25_00),
            (2_500_00, 50_00),
            (5_000_00, 100_00),
        ])
    }

    /// The table of Yahoo Auctions in Japan, in yen.
    #[must_use]
    #[allow(clippy::inconsistent_digit_grouping, reason = "hundredths are set apart")]
    pub fn yahoo_japan() -> Self {
        Self::in_hundredths(&[
            (0, 10_00),
            (1_000_00, 100_00),
            (5_000_00, 250_00),
            (10_000_00, 500_00),
            (50_000_00, 1_000_00),
        ])
    }

    /// The table of the auctions of expired .ee domains, in euros.
    #[must_use]
    #[allow(clippy::inconsistent_digit_grouping, reason = "hundredths are set apart")]
    pub fn ee_domains() -> Self {
        Self::in_hundredths(&[
            (0, 1),
            (1_00, 10),
            (10_00, 1_00),
            (100_00, 10_00),
            (1_000_00, 100_00),
            (10_000_00, 1_000_00),
            (100_000_00, 10_000_00),
        ])
    }

    fn in_hundredths(rows: &[(i64, i64)]) -> Self {
        let unit = |hundredths| Decimal::new(hundredths, 2).normalize();
        Self::table(rows.iter().map(|(from, step)| (unit(*from), unit(*step))))
    }

    pub(super) fn encode(&self, request: Canonical) -> Canonical {
        match &self.0 {
            Kind::Fixed(step) => request.text("fixed").amount(*step),
            Kind::Table(rows) => {
                let request = request.text("table").number(count(rows.len()));
                rows.iter()
                    .fold(request, |request, (from, step)| request.amount(*from).amount(*step))
            }
            Kind::Percent { basis_points, at_least } => {
                request.text("percent").number(*basis_points).amount(*at_least)
            }
        }
    }

    /// In minor units. Whether the increments obey their laws is checked with the terms.
    pub(super) fn increment(&self, currency: Currency) -> Result<Increment, Error> {
        let amount = |value| {
            currency
                .amount(value)
                .map_err(|error| Error::InvalidAmount { what: "increment", error })
        };
        Ok(match &self.0 {
            Kind::Fixed(step) => Increment::Fixed(amount(*step)?),
            Kind::Table(rows) => {
                let rows =
                    rows.iter().map(|(from, step)| Ok((or_zero(*from, amount)?, amount(*step)?)));
                let rows = rows.collect::<Result<Vec<(Amount, Amount)>, Error>>()?;
                let rows = rows.into_iter().map(|(from, step)| (from.minor(), step.minor()));
                Increment::Table(Table::new(rows).ok_or(TermsError::NotATable)?)
            }
            Kind::Percent { basis_points, at_least } => {
                Increment::Percent { basis_points: *basis_points, at_least: amount(*at_least)? }
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::inconsistent_digit_grouping, clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The increment at a price just at each threshold, and just below the next one, in minor units.
    fn check(increments: &Increments, currency: Currency, rows: &[(i64, i64)]) {
        let increment = increments.increment(currency).unwrap();
        let at = |price: i64| increment.at(Amount::from_minor(price).unwrap()).minor();
        for (index, (from, step)) in rows.iter().enumerate() {
            assert_eq!(at(*from), *step, "{from}");
            let last = rows.get(index.saturating_add(1)).map_or(i64::MAX, |next| next.0);
            assert_eq!(at(last.saturating_sub(1).min(Amount::MAX.minor())), *step, "below {last}");
        }
        assert_eq!(increment.falls_at(), None);
    }

    #[test]
    fn published_increments_of_ebay() {
        let rows = [
            (0, 5),
            (1_00, 25),
            (5_00, 50),
            (25_00, 1_00),
            (100_00, 2_50),
            (250_00, 5_00),
            (500_00, 10_00),
            (1_000_00, 25_00),
            (2_500_00, 50_00),
            (5_000_00, 100_00),
        ];
        check(&Increments::ebay(), Currency::USD, &rows);
    }

    #[test]
    fn published_increments_of_yahoo_japan() {
        let rows = [(0, 10), (1_000, 100), (5_000, 250), (10_000, 500), (50_000, 1_000)];
        check(&Increments::yahoo_japan(), Currency::JPY, &rows);
    }

    #[test]
    fn published_increments_of_ee_domains() {
        let rows = [
            (0, 1),
            (1_00, 10),
            (10_00, 1_00),
            (100_00, 10_00),
            (1_000_00, 100_00),
            (10_000_00, 1_000_00),
            (100_000_00, 10_000_00),
        ];
        check(&Increments::ee_domains(), Currency::EUR, &rows);
    }

    #[test]
    fn a_preset_needs_the_decimals_of_its_table() {
        let refused = Increments::ebay().increment(Currency::KRW);
        assert!(matches!(refused, Err(Error::InvalidAmount { what: "increment", .. })));
    }
}
