//! Wallets: whose, and never in debt.

use super::By::{Check, Key, Length, Trigger};
use super::{accepts, all, bytes, refuses, text, wallet};
use crate::support::{Database, on_every_backend};

on_every_backend! {
    /// H43: the CHECK is on the row that a hold debits, so no race and no bug can spend money twice.
    async fn a_balance_is_never_negative(world: &World) {
        refuses(world, [
            (wallet().with("available", -1), Check("al_wallet_balance_check")),
            (wallet().with("held", -1), Check("al_wallet_balance_check")),
        ]).await;
        accepts(world, [wallet()]).await;
        refuses(world, [
            ("UPDATE al_wallet SET available = available - 101", Check("al_wallet_balance_check")),
            ("UPDATE al_wallet SET available = available + 1, held = held - 1", Check("al_wallet_balance_check")),
            ("UPDATE al_wallet SET available = available - 101, held = held + 101", Check("al_wallet_balance_check")),
        ]).await;
        accepts(world, ["UPDATE al_wallet SET available = available - 100, held = held + 100"]).await;
        assert_eq!(all::<i64>(world.db(), "SELECT held - available FROM al_wallet").await?, [100]);
    }

    /// H37: under a collation `Ann`, `ann`, `ánn` and `Ann ` were one wallet.
    async fn owners_are_told_apart_by_their_bytes(world: &World) {
        let owners = ["X'416e6e'", "X'616e6e'", "X'c3a16e6e'", "X'416e6e20'", "X'416e6e00'", "X'ff'"];
        accepts(world, owners.map(|owner| wallet().with("owner", owner))).await;
        accepts(world, [wallet().with("currency", "'eur'")]).await;
        for owner in owners {
            let count = format!("SELECT count(*) FROM al_wallet WHERE owner = {owner} AND currency = 'EUR'");
            let count = super::in_words_of(world.database(), &count);
            assert_eq!(all::<i64>(world.db(), &count).await?, [1], "{owner}");
        }
    }

    async fn an_owner_has_one_wallet_of_a_currency(world: &World) {
        accepts(world, [wallet(), wallet().with("currency", "'USD'"), wallet().with("owner", "X'62'")]).await;
        refuses(world, [(wallet(), Key("al_wallet_owner_currency"))]).await;
        let (owner, id) = match world.database() {
            // REPLACE would delete the row in the way, so nothing is moved there at all.
            Database::Sqlite => (Trigger("al_wallet", "cannot be changed"), Trigger("al_wallet", "cannot be changed")),
            _ => (Key("al_wallet_owner_currency"), Key("al_wallet_pkey")),
        };
        refuses(world, [
            ("UPDATE al_wallet SET currency = 'EUR' WHERE id = 2", owner),
            ("UPDATE al_wallet SET owner = X'616e6e' WHERE id = 3", owner),
            ("UPDATE al_wallet SET id = 2 WHERE id = 1", id),
        ]).await;
    }

    async fn a_wallet_has_an_owner_and_a_currency_of_bounded_length(world: &World) {
        accepts(world, [
            wallet().with("owner", "X'00'").with("currency", "'A'"),
            wallet().with("owner", bytes(64)).with("currency", text("A", 10)),
        ]).await;
        refuses(world, [
            (wallet().with("owner", "X''"), Check("al_wallet_owner_check")),
            (wallet().with("owner", bytes(65)), Length("al_wallet_owner_check")),
            (wallet().with("currency", "''"), Check("al_wallet_currency_check")),
            (wallet().with("currency", text("A", 11)), Length("al_wallet_currency_check")),
        ]).await;
    }

    async fn a_wallet_counts_in_its_exponent_and_from_zero(world: &World) {
        accepts(world, [
            wallet().with("exponent", 0).with("seq", 0).with("available", 0),
            wallet().with("exponent", 18).with("owner", "X'62'").with("available", i64::MAX).with("held", i64::MAX).with("seq", i64::MAX),
        ]).await;
        refuses(world, [
            (wallet().with("owner", "X'63'").with("exponent", -1), Check("al_wallet_exponent_check")),
            (wallet().with("owner", "X'63'").with("exponent", 19), Check("al_wallet_exponent_check")),
            (wallet().with("owner", "X'63'").with("seq", -1), Check("al_wallet_seq_check")),
        ]).await;
    }
}
