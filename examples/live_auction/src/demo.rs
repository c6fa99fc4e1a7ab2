//! What there is to see at the first start: users with play money, and auctions.

use std::time::Duration;

use auction_ledger::{AuctionLedger, AuctionState, AuctionTerms, Currency, Error};
use rust_decimal::Decimal;

/// Who can be chosen. Their names stand in addresses: small letters only.
pub(crate) const USERS: &[&str] = &["ann", "bob", "cid", "sam"];
/// Who sells.
const SELLER: &str = "sam";

/// Pays everybody once, and opens the auctions if none is open. The keys make several processes that start at once one.
pub(crate) async fn open(ledger: &AuctionLedger) -> Result<(), Error> {
    for user in USERS.iter().filter(|user| **user != SELLER) {
        let payment = ledger.deposit(*user, Currency::EUR, 1_000.into());
        payment.memo("play money").key("demo: play money").await?;
    }
    // What has ended while no process ran is open until it is settled.
    crate::log_failures(&ledger.settle_due(1_000).await?);
    if !ledger.auctions(AuctionState::Open).limit(1).await?.is_empty() {
        return Ok(());
    }
    let round = ledger.auctions(AuctionState::Sold).limit(u64::MAX).await?.len();
    let round =
        round.saturating_add(ledger.auctions(AuctionState::Unsold).limit(u64::MAX).await?.len());
    for (title, terms) in auctions() {
        ledger
            .open_auction(SELLER, title, terms)
            .key(format!("demo: {title} after {round}"))
            .await?;
    }
    Ok(())
}

/// Some of what a house can promise.
fn auctions() -> [(&'static str, AuctionTerms); 3] {
    let euros = |euros: i64| Decimal::from(euros);
    [
        (
            "Pocket watch: ends in two minutes",
            AuctionTerms::english(Currency::EUR, euros(20), euros(2))
                .ends_in(Duration::from_mins(2)),
        ),
        (
            "Oil lamp: every bid is the price",
            AuctionTerms::english(Currency::EUR, euros(5), Decimal::new(50, 2))
                .ends_in(Duration::from_mins(60)),
        ),
        (
            "Brass telescope: name a maximum, or buy it now",
            AuctionTerms::english(Currency::EUR, euros(10), euros(1))
                .automatic_bidding()
                .buy_now(euros(250))
                .soft_close(Duration::from_mins(1))
                .ends_in(Duration::from_mins(120)),
        ),
    ]
}
