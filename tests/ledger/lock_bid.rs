//! What one bid locks: its auction, and the wallets that it can touch, as they are when the auction is its own.
//!
//! SQLite has one writer at a time, so nobody waits for a row there.

use std::time::Duration;

use auction_ledger::{AuctionId, AuctionLedger, Bid, Error};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{WON, balance, books, charge, ledger, open, terms};
use crate::support::{Database, on_every_backend};

/// Time for a bid to come to its lock. What is judged must hold however far it came.
const A_WHILE: Duration = Duration::from_millis(300);

/// Bids, and comes to its first lock.
async fn bidding(
    ledger: &AuctionLedger,
    auction: AuctionId,
    user: &'static str,
    amount: i64,
) -> JoinHandle<Result<Bid, Error>> {
    let ledger = ledger.clone();
    let bidding = tokio::spawn(async move { ledger.place_bid(auction, user, amount.into()).await });
    sleep(A_WHILE).await;
    bidding
}

on_every_backend! {
    async fn a_wallet_that_is_made_while_its_owner_waits_for_the_auction_is_found(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        let auction = open(&ledger, terms()).await?;
        let bid = ledger.atomic(async |uow| {
            ledger.place_bid(auction, "ann", 100.into()).within(uow).await?;
            let bid = bidding(&ledger, auction, "bob", 110).await;
            let other = ledger.clone();
            let deposit = async move { other.deposit("bob", WON, 1_000.into()).await };
            tokio::spawn(deposit).await.expect("a deposit waits for nobody")?;
            Ok::<_, Error>(bid)
        });
        let bid = bid.await?.into_value().await??;
        assert!(bid.leads, "{bid:?}");
        assert_eq!(balance(&ledger, "bob").await?, (890, 110));
        assert_eq!(balance(&ledger, "ann").await?, (1_000, 0));
        books(world).await?;
    }

    async fn a_leader_whose_wallet_is_made_with_the_bid_is_released(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (ledger, _) = ledger(world);
        charge(&ledger, &["bob"], 1_000).await?;
        let auction = open(&ledger, terms()).await?;
        let bid = ledger.atomic(async |uow| {
            ledger.deposit("ann", WON, 1_000.into()).within(uow).await?;
            ledger.place_bid(auction, "ann", 100.into()).within(uow).await?;
            Ok::<_, Error>(bidding(&ledger, auction, "bob", 110).await)
        });
        let bid = bid.await?.into_value().await??;
        assert!(bid.outbid.is_some(), "{bid:?}");
        assert_eq!(balance(&ledger, "bob").await?, (890, 110));
        assert_eq!(balance(&ledger, "ann").await?, (1_000, 0));
        books(world).await?;
    }

    /// A seller of many auctions would otherwise be what all bids on them wait for.
    async fn a_bid_locks_the_seller_only_where_it_could_buy(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, terms().buy_now(200.into())).await?;
        let purchase = ledger.atomic(async |uow| {
            ledger.deposit("sam", WON, 1.into()).within(uow).await?;
            let below = bidding(&ledger, auction, "ann", 199).await.await;
            let below = below.expect("a bid below that waits for nobody")?;
            assert!(below.leads && !below.bought, "{below:?}");
            let purchase = bidding(&ledger, auction, "bob", 200).await;
            assert!(!purchase.is_finished(), "the seller is to be paid");
            Ok::<_, Error>(purchase)
        });
        let purchase = purchase.await?.into_value().await??;
        assert!(purchase.bought, "{purchase:?}");
        assert_eq!(balance(&ledger, "sam").await?, (201, 0));
        assert_eq!(balance(&ledger, "ann").await?, (1_000, 0));
        books(world).await?;
    }
}
