//! Two at once, in one order that was thought out to hurt: what one does falls between two statements of the other.
//!
//! SQLite has one writer at a time, so nothing falls between there.

use std::time::Duration;

use auction_ledger::{AuctionLedger, Error};
use chrono::{TimeDelta, Utc};
use sea_orm::{ConnectionTrait, IsolationLevel};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{WON, books, charge, end, ledger, one, open, terms};
use crate::support::{Database, on_every_backend};

/// Time for a rival to come to its lock. What is judged must hold however far it came.
const A_WHILE: Duration = Duration::from_millis(300);

on_every_backend! {
    /// Who bids waits for the leader's wallet; meanwhile the own wallet gets a deposit. The journal has the deposit first.
    async fn a_past_balance_has_nothing_that_was_deposited_later(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let ledger = AuctionLedger::new(world.db().clone());
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, terms().ends_at(Utc::now() + TimeDelta::days(1))).await?;
        ledger.place_bid(auction, "ann", 100.into()).await?;
        let rival = ledger.clone();
        let (go, gone) = oneshot::channel();
        let holder = ledger.clone();
        let (locked, is_locked) = oneshot::channel();
        let holding = tokio::spawn(async move {
            holder
                .atomic(async move |uow| {
                    let ledger = AuctionLedger::new(rival.connection().clone());
                    ledger.deposit("ann", WON, 1.into()).within(uow).await?;
                    _ = locked.send(());
                    _ = gone.await;
                    Ok::<_, Error>(())
                })
                .await
                .map(drop)
        });
        is_locked.await?;
        let bidder = ledger.clone();
        let bidding = tokio::spawn(async move { bidder.place_bid(auction, "bob", 110.into()).await });
        sleep(A_WHILE).await;
        ledger.deposit("bob", WON, 5_000.into()).await?;
        _ = go.send(());
        holding.await??;
        bidding.await??;
        let journal = ledger.entries("bob", WON).await?;
        let deposit = journal.iter().find(|entry| entry.available_delta == 5_000.into()).unwrap();
        let before = deposit.at - TimeDelta::microseconds(1);
        let past = ledger.balance_at("bob", WON, before).await?;
        assert!(past.available <= 1_000.into(), "{past:?} at {before}, and the deposit at {}: {journal:#?}", deposit.at);
        books(world).await?;
    }

    /// The opening is checked, waits for the seller's wallet, and the end has come: opened before it, or refused without a row.
    async fn an_opening_that_waits_past_its_end_is_whole_or_nothing(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (ledger, clock) = ledger(world);
        let (go, gone) = oneshot::channel();
        let (made, is_made) = oneshot::channel();
        let maker = ledger.clone();
        let making = tokio::spawn(async move {
            let ledger = maker.clone();
            maker
                .atomic(async move |uow| {
                    ledger.deposit("sam", WON, 1.into()).within(uow).await?;
                    _ = made.send(());
                    _ = gone.await;
                    uow.set_rollback_only();
                    Ok::<_, Error>(())
                })
                .await
                .map(drop)
        });
        is_made.await?;
        let opener = ledger.clone();
        let opening = tokio::spawn(async move {
            let ledger = opener.clone();
            opener
                .atomic(async move |uow| {
                    let late = ledger.open_auction("sam", "a lens", terms()).within(uow).await;
                    assert!(matches!(late, Ok(_) | Err(Error::InvalidTerms(_))), "{late:?}");
                    Ok::<_, Error>(usize::from(late.is_ok()))
                })
                .await
        });
        sleep(A_WHILE).await;
        clock.set(end());
        _ = go.send(());
        assert!(making.await?.is_err(), "rolled back");
        let opened = *opening.await??;
        let books = books(world).await?;
        assert_eq!((books.wallets.len(), books.auctions.len()), (opened, opened), "{books:?}");
    }

    /// A host that asks for REPEATABLE READ and has read something before: a wallet that has changed since is a conflict, and
    /// not a lack of money.
    async fn a_wallet_changed_during_a_repeatable_read_is_a_conflict(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (ledger, clock) = ledger(world);
        let auction = open(&ledger, terms()).await?;
        ledger.deposit("bob", WON, 1_000.into()).await?;
        let root = || ledger.unit_of_work().isolation(IsolationLevel::RepeatableRead);
        let neighbour = AuctionLedger::new(world.connect(1).await).clock(clock);
        // The wallet is in the snapshot, and has changed since.
        let second = root()
            .atomic(async |uow| {
                one::<i64>(uow, "SELECT COUNT(*) FROM al_wallet").await?;
                neighbour.deposit("bob", WON, 1_000.into()).await?;
                ledger.place_bid(auction, "bob", 1_500.into()).within(uow).await
            })
            .await;
        if let Err(error) = &second {
            assert!(error.is_retryable(), "bob has the money: {error:?}");
        }
        books(world).await?;
    }

    /// Two currencies of one code, at once, for a user without a wallet: one makes the wallet, the other is told.
    async fn a_code_has_one_number_of_decimals_in_a_wallet(world: &World) {
        let (ledger, _) = ledger(world);
        let other = super::refusals::other_won();
        for round in 0..crate::support::scale(10) {
            let outcomes = crate::support::race(4, |index| {
                let (ledger, user) = (ledger.clone(), format!("user {round}"));
                let currency = [WON, other][index % 2];
                async move { ledger.deposit(user, currency, 1.into()).await }
            })
            .await;
            let (made, told): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
            assert_eq!((made.len(), told.len()), (2, 2), "{told:?}");
            assert!(told.iter().all(|error| matches!(error, Err(Error::CurrencyMismatch { .. }))), "{told:?}");
        }
        let wallets: i64 = one(world.db(), "SELECT COUNT(*) FROM al_wallet").await?;
        assert_eq!(wallets, crate::support::scale(10) as i64);
        world.db().execute_unprepared("DELETE FROM al_wallet WHERE seq = 0").await?;
        assert_eq!(books(world).await?.wallets.len() as i64, wallets, "no empty wallet was left");
    }
}
