//! Auctions: terms that make sense, and a standing that is whole or not there.

use super::By::{Check, Foreign, Length};
use super::{Insert, OPERATION, accepts, auction, house, refuses, sealed_bid, text, wallet};
use crate::support::on_every_backend;

/// Wallet 1 leads with 20 at a price of 10.
fn led() -> Insert {
    auction()
        .with("leader_wallet_id", 1)
        .with("leader_max", 20)
        .with("leader_seq", 2)
        .with("price", 10)
        .with("seq", 2)
}

/// Wallet 1 bought it for 10.
fn sold() -> Insert {
    auction().with("state", 2).with("winner_wallet_id", 1).with("sold_price", 10)
}

on_every_backend! {
    async fn terms_make_sense(world: &World) {
        accepts(world, [wallet()]).await;
        accepts(world, [
            auction(),
            auction().with("start_price", 1).with("multiple_of", 1).with("buy_now_price", 2).with("exponent", 0),
            auction().with("exponent", 18).with("title", text("ä", 200)).with("currency", text("A", 10)),
        ]).await;
        refuses(world, [
            (auction().with("seller_wallet_id", 999), Foreign("al_auction_seller")),
            (auction().with("title", "''"), Check("al_auction_title_check")),
            (auction().with("title", text("ä", 201)), Length("al_auction_title_check")),
            (auction().with("currency", "''"), Check("al_auction_currency_check")),
            (auction().with("currency", text("A", 11)), Length("al_auction_currency_check")),
            (auction().with("exponent", -1), Check("al_auction_exponent_check")),
            (auction().with("exponent", 19), Check("al_auction_exponent_check")),
            (auction().with("start_price", 0), Check("al_auction_start_price_check")),
            (auction().with("start_price", -1), Check("al_auction_start_price_check")),
            (auction().with("increment", 0), Check("al_auction_increment_check")),
            (auction().with("multiple_of", 0), Check("al_auction_multiple_of_check")),
            (auction().with("buy_now_price", 10), Check("al_auction_buy_now_check")),
        ]).await;
    }

    async fn an_auction_ends_after_it_starts(world: &World) {
        accepts(world, [wallet()]).await;
        accepts(world, [auction(), auction().with("starts_at", -1).with("original_ends_at", 0).with("ends_at", 9)]).await;
        refuses(world, [
            (auction().with("ends_at", 1), Check("al_auction_time_check")),
            (auction().with("original_ends_at", 1), Check("al_auction_time_check")),
        ]).await;
    }

    async fn rules_of_a_house_make_sense(world: &World) {
        accepts(world, [wallet()]).await;
        accepts(world, [
            auction().with("pricing", 0).with("ask_floor", 0).with("ask_until", 1),
            auction().with("pricing", 2).with("increments", "'0:1,100:5'").with("reserve", 1).with("acceptance_window", 1),
            auction().with("increment_points", 10_000).with("soft_close_window", 1).with("soft_close_cap", 1),
            auction().with("premium_points", 10_000).with("premium_min", 1).with("premium_cap", 0).with("fee_points", 1),
        ]).await;
        let wrong = [
            ("pricing", -1), ("increment_points", 0), ("increment_points", 10_001), ("reserve", 0), ("ask_until", 0),
            ("ask_floor", -1), ("acceptance_window", -1), ("soft_close_window", 0), ("soft_close_cap", 0), ("premium_points", -1),
            ("premium_points", 10_001), ("premium_min", -1), ("premium_cap", -1), ("fee_points", -1), ("fee_points", 10_001),
            ("fee_min", -1), ("fee_cap", -1),
        ];
        for (column, value) in wrong {
            let check = format!("al_auction_{column}_check").leak();
            refuses(world, [(auction().with(column, value), Check(check))]).await;
        }
        accepts(world, [house()]).await;
        refuses(world, [(house().with("auction_id", 2).with("amount", 0), Check("al_house_amount_check"))]).await;
        accepts(world, [sealed_bid(), sealed_bid().with("wallet_id", 2).with("released_by", OPERATION)]).await;
        refuses(world, [
            (sealed_bid().with("auction_id", 2).with("maximum", 0), Check("al_sealed_bid_maximum_check")),
            (sealed_bid().with("auction_id", 2).with("seq", 1), Check("al_sealed_bid_seq_check")),
        ]).await;
    }

    /// The leader's columns are the hold: half a leader would be money that nobody releases.
    async fn a_standing_is_whole_or_not_there(world: &World) {
        accepts(world, [wallet()]).await;
        accepts(world, [
            auction(),
            led(),
            led().with("leader_max", 10),
            led().with("runner_up_max", 15),
        ]).await;
        refuses(world, [
            (auction().with("leader_wallet_id", 1), Check("al_auction_standing_check")),
            (auction().with("leader_max", 20), Check("al_auction_standing_check")),
            (auction().with("leader_seq", 2), Check("al_auction_standing_check")),
            (auction().with("price", 10), Check("al_auction_standing_check")),
            (led().with("leader_wallet_id", "NULL"), Check("al_auction_standing_check")),
            (led().with("leader_max", "NULL"), Check("al_auction_standing_check")),
            (led().with("leader_seq", "NULL"), Check("al_auction_standing_check")),
            (led().with("price", "NULL"), Check("al_auction_standing_check")),
            (led().with("leader_seq", 0), Check("al_auction_standing_check")),
            (auction().with("runner_up_max", 10), Check("al_auction_runner_up_check")),
            (led().with("runner_up_max", 0), Check("al_auction_runner_up_check")),
        ]).await;
    }

    async fn a_leader_pays_the_price_and_the_price_is_at_least_the_start_price(world: &World) {
        accepts(world, [wallet()]).await;
        refuses(world, [
            (led().with("leader_max", 9), Check("al_auction_standing_check")),
            (led().with("price", 9), Check("al_auction_standing_check")),
        ]).await;
    }

    async fn what_is_sold_has_a_winner_and_a_price_and_nothing_else_has(world: &World) {
        accepts(world, [wallet()]).await;
        accepts(world, [sold(), auction().with("state", 3), auction().with("state", 4)]).await;
        refuses(world, [
            (sold().with("winner_wallet_id", "NULL"), Check("al_auction_winner_check")),
            (sold().with("sold_price", "NULL"), Check("al_auction_sold_price_check")),
            (sold().with("sold_price", 0), Check("al_auction_sold_price_check")),
            (auction().with("winner_wallet_id", 1), Check("al_auction_winner_check")),
            (auction().with("sold_price", 10), Check("al_auction_sold_price_check")),
            (auction().with("state", 3).with("winner_wallet_id", 1), Check("al_auction_winner_check")),
            (auction().with("state", 4).with("sold_price", 10), Check("al_auction_sold_price_check")),
        ]).await;
    }

    async fn a_state_is_one_of_four_and_a_command_made_the_auction(world: &World) {
        accepts(world, [wallet()]).await;
        refuses(world, [
            (auction().with("state", 0), Check("al_auction_state_check")),
            (auction().with("state", 100), Check("al_auction_state_check")),
            (auction().with("seq", 0), Check("al_auction_seq_check")),
        ]).await;
    }
}
