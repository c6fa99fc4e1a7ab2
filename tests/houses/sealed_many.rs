//! A hundred thousand sealed bids: settled in steps that stay small, by whoever comes next.

use auction_ledger::entity::act::Kind;
use auction_ledger::{AuctionState, AuctionTerms};
use sea_orm::ConnectionTrait;

use super::{WON, balance, end, ledger, open};
use crate::support::{on_sqlite, scale};

/// How many bids one command releases.
const BATCH: usize = 200;

on_sqlite! {
    /// The bids are written by SQL, as the verbs would have written them: on SQLite, where that takes seconds.
    async fn a_hundred_thousand_bids_are_released_in_steps(world: &World) {
        let (ledger, clock) = ledger(world);
        let bidders = scale(100_000);
        let terms = AuctionTerms::sealed_second_price(WON, 10.into()).ends_at(end());
        let auction = open(&ledger, terms).await?;
        let at = super::start().timestamp_micros();
        let numbers = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {bidders})"
        );
        // The seller's wallet is the first. Bidder i bids 100 + i by the command 1 + i, and has a thousand left.
        let operation = |kind: &str| format!("CAST(printf('{kind}%015d', i) AS BLOB)");
        let (deposit, hold) = (operation("d"), operation("h"));
        for sql in [
            format!(
                "INSERT INTO al_wallet (id, owner, currency, exponent, available, held, seq, last_at) {numbers} \
                 SELECT 1 + i, CAST('bidder ' || i AS BLOB), 'KRW', 0, 1000, 100 + i, 2, {at} FROM n"
            ),
            format!(
                "INSERT INTO al_entry (wallet_id, seq, operation, kind, available_delta, held_delta, available_after, held_after, \
                 auction_id, memo, at) {numbers} SELECT 1 + i, 1, {deposit}, 1, 1100 + i, 0, 1100 + i, 0, NULL, NULL, {at} FROM n"
            ),
            format!(
                "INSERT INTO al_entry (wallet_id, seq, operation, kind, available_delta, held_delta, available_after, held_after, \
                 auction_id, memo, at) {numbers} SELECT 1 + i, 2, {hold}, 3, -100 - i, 100 + i, 1000, 100 + i, {auction}, NULL, {at} FROM n"
            ),
            format!(
                "INSERT INTO al_act (auction_id, seq, operation, kind, wallet_id, at) {numbers} \
                 SELECT {auction}, 1 + i, {hold}, 10, 1 + i, {at} FROM n"
            ),
            format!(
                "INSERT INTO al_sealed_bid (auction_id, wallet_id, maximum, seq, at) {numbers} \
                 SELECT {auction}, 1 + i, 100 + i, 1 + i, {at} FROM n"
            ),
            format!("UPDATE al_auction SET seq = 1 + {bidders} WHERE id = {auction}"),
        ] {
            world.db().execute_unprepared(&sql).await?;
        }
        assert_eq!(ledger.audit().await?.findings, []);

        clock.set(end());
        for _ in 0..3 {
            assert!(ledger.settle(auction).await?.releasing);
        }
        assert_eq!(ledger.auction(auction).await?.state, AuctionState::Settling);
        // In the middle of it the books are in order, and somebody else goes on.
        assert_eq!(ledger.audit().await?.findings, []);
        let swept = ledger.settle_due(10).await?;
        let [settled] = swept.settled.as_slice() else { panic!("{swept:?}") };
        let sale = settled.sold.as_ref().expect("it is sold");
        let (winner, price) = (format!("bidder {bidders}"), i64::try_from(bidders)? + 99);
        assert_eq!((sale.winner.as_str(), sale.price), (winner.as_str(), price.into()));

        let acts = ledger.acts(auction).limit(1_000).await?;
        let steps = acts.iter().filter(|act| act.kind == Kind::Released).count();
        assert_eq!(steps, (bidders - 1).div_ceil(BATCH));
        assert_eq!(balance(&ledger, "bidder 1").await?, (1_101, 0));
        assert_eq!(balance(&ledger, "sam").await?, (price, 0));
        assert_eq!(ledger.audit().await?.findings, []);
    }
}
