//! Bids, acts and entries: what may be written into history at all.

use super::By::{Check, Key, Length};
use super::{accepts, act, bid, entry, refuses, text};
use crate::support::on_every_backend;

on_every_backend! {
    async fn a_bid_has_an_amount_and_makes_a_price(world: &World) {
        accepts(world, [bid(), bid().with("seq", 1).with("amount", 1).with("price", 1)]).await;
        refuses(world, [
            (bid().with("seq", 3).with("amount", 0), Check("al_bid_amount_check")),
            (bid().with("seq", 3).with("amount", -1), Check("al_bid_amount_check")),
            (bid().with("seq", 3).with("price", 0), Check("al_bid_amount_check")),
        ]).await;
    }

    async fn history_is_numbered_from_one_and_a_number_is_given_once(world: &World) {
        accepts(world, [bid(), act(), entry()]).await;
        accepts(world, [bid().with("auction_id", 2), act().with("auction_id", 2), entry().with("wallet_id", 2)]).await;
        refuses(world, [
            (bid(), Key("al_bid_pkey")),
            (act(), Key("al_act_pkey")),
            (entry(), Key("al_entry_pkey")),
            (bid().with("seq", 0), Check("al_bid_seq_check")),
            (act().with("seq", 0), Check("al_act_seq_check")),
            (entry().with("seq", 0), Check("al_entry_seq_check")),
        ]).await;
    }

    async fn a_kind_is_a_number_of_two_digits(world: &World) {
        accepts(world, [act().with("kind", 99), entry().with("kind", 99)]).await;
        refuses(world, [
            (act().with("seq", 2).with("kind", 0), Check("al_act_kind_check")),
            (act().with("seq", 2).with("kind", 100), Check("al_act_kind_check")),
            (entry().with("seq", 2).with("kind", 0), Check("al_entry_kind_check")),
            (entry().with("seq", 2).with("kind", 100), Check("al_entry_kind_check")),
        ]).await;
    }

    /// A reason is counted in letters, a memo in bytes.
    async fn a_reason_and_a_memo_are_short(world: &World) {
        accepts(world, [act().with("reason", text("ä", 200)), act().with("seq", 2).with("reason", "''")]).await;
        accepts(world, [entry().with("memo", text("ä", 100)), entry().with("seq", 2).with("memo", "''")]).await;
        refuses(world, [
            (act().with("seq", 3).with("reason", text("ä", 201)), Length("al_act_reason_check")),
            (entry().with("seq", 3).with("memo", text("ä", 101)), Check("al_entry_memo_check")),
            (entry().with("seq", 3).with("memo", text("a", 201)), Length("al_entry_memo_check")),
        ]).await;
    }

    async fn an_entry_moves_money_and_leaves_no_debt(world: &World) {
        accepts(world, [
            entry(),
            entry().with("seq", 2).with("available_delta", -100).with("held_delta", 100).with("available_after", 0).with("held_after", 100),
            entry().with("seq", 3).with("available_delta", 0).with("held_delta", -100).with("available_after", 0),
        ]).await;
        refuses(world, [
            (entry().with("seq", 4).with("available_delta", 0), Check("al_entry_delta_check")),
            (entry().with("seq", 4).with("available_after", -1), Check("al_entry_after_check")),
            (entry().with("seq", 4).with("held_after", -1), Check("al_entry_after_check")),
        ]).await;
    }
}
