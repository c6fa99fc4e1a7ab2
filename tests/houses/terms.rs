//! What an auction cannot promise.

use std::time::Duration;

use auction_ledger::{
    AuctionLedger, AuctionTerms, Availability, Error, Increments, ManualClock, TermsError,
};

use super::{WON, automatic, end, start};

const HOUR: Duration = Duration::from_secs(3_600);

async fn refused(terms: AuctionTerms) -> TermsError {
    let db = sea_orm::Database::connect("sqlite::memory:").await.expect("a database in memory");
    let ledger = AuctionLedger::new(db).clock(ManualClock::new(start()));
    match ledger.open_auction("sam", "a thing", terms.ends_at(end())).await {
        Err(Error::InvalidTerms(error)) => error,
        other => panic!("the terms are wrong: {other:?}"),
    }
}

#[tokio::test]
async fn what_needs_bids_is_refused_without_them() {
    let first_price = || AuctionTerms::sealed_first_price(WON, 10.into());
    let second_price = || AuctionTerms::sealed_second_price(WON, 10.into());
    let fixed = || AuctionTerms::fixed_price(WON, 10.into());
    let dutch = || AuctionTerms::dutch(WON, 10.into(), 5.into());
    for (terms, what) in [
        (first_price().buy_now(500.into()), "a buy-now price"),
        (first_price().buy_now_until(Availability::Always), "a buy-now price"),
        (second_price().soft_close(HOUR), "a soft close"),
        (second_price().automatic_bidding(), "automatic bidding"),
        (second_price().increments(Increments::fixed(5.into())), "an increment"),
        (fixed().multiple_of(5.into()), "a multiple"),
        (fixed().reserve(5.into()), "a reserve"),
        (dutch().acceptance_window(HOUR), "an acceptance window"),
        (dutch().soft_close_at_most(HOUR), "a soft close"),
    ] {
        assert_eq!(refused(terms).await, TermsError::NeedsBids { what });
    }
}

#[tokio::test]
async fn what_says_more_of_another_term_is_refused_without_it() {
    for (terms, what, needs) in [
        (
            automatic().buy_now_until(Availability::Always),
            "an availability of the buy-now price",
            "a buy-now price",
        ),
        (automatic().soft_close_at_most(HOUR), "a cap of the soft close", "a soft close"),
        (automatic().acceptance_window(HOUR), "an acceptance window", "a reserve"),
    ] {
        let error = refused(terms).await;
        assert_eq!(error.to_string(), format!("{what} needs {needs}"));
        assert_eq!(error, TermsError::NeedsSetting { what, needs });
    }
}
