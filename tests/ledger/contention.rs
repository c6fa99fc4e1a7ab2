//! Many at once, made by a barrier and judged by sums.

use auction_ledger::entity::wallet;
use auction_ledger::unit_of_work::Retry;
use auction_ledger::{AuctionLedger, AuctionState, Error, ManualClock, Rejection};
use rust_decimal::Decimal;

use super::{WON, balance, books, charge, ledger, open, start, terms};
use crate::support::{on_every_backend, race, scale};

on_every_backend! {
    async fn sixteen_bidders_get_a_number_each_and_prices_rise_with_it(world: &World) {
        let clock = ManualClock::new(start());
        let ledger = AuctionLedger::new(world.connect(8).await).clock(clock);
        let names: Vec<String> = (0..16).map(|index| format!("bidder {index}")).collect();
        let users: Vec<&str> = names.iter().map(String::as_str).collect();
        charge(&ledger, &users, 1_000_000).await?;
        let auction = open(&ledger, terms()).await?;
        let bids = scale(20);
        let outcomes = race(16, |index| {
            let (ledger, user) = (ledger.clone(), names[index].clone());
            async move {
                let mut accepted = Vec::new();
                let mut offer = Decimal::from(100);
                for _ in 0..bids {
                    match ledger.place_bid(auction, user.as_str(), offer).await {
                        Ok(bid) => {
                            offer = bid.price.checked_add(10.into()).unwrap();
                            accepted.push((bid.seq, bid.maximum.reveal()));
                        }
                        Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => {
                            assert!(minimum > offer);
                            offer = minimum;
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(accepted)
            }
        })
        .await;
        let mut accepted = Vec::new();
        for outcome in outcomes {
            accepted.extend(outcome?);
        }
        accepted.sort_unstable();
        let books = books(world).await?;
        let stored: Vec<_> = books.bids.iter().map(|bid| (bid.seq, Decimal::from(bid.amount))).collect();
        assert_eq!(accepted, stored, "what was answered is what is stored");
        assert!(!stored.is_empty());
        assert_eq!(books.total(), 16_000_000);
        let held: i64 = books.wallets.iter().map(|wallet| wallet.held).sum();
        assert_eq!(Some(held), books.auction(auction).price);
    }

    /// Without a second attempt: the order of the locks alone keeps the two from a deadlock.
    async fn mirrored_outbids_never_deadlock(world: &World) {
        let (ledger, _) = ledger(world);
        let ledger = ledger.retry(Retry::new().attempts(1));
        charge(&ledger, &["ann", "bob"], 1_000_000).await?;
        let auctions = [open(&ledger, terms()).await?, open(&ledger, terms()).await?];
        let rounds = scale(100);
        for round in 0..rounds {
            // Each outbids the other: two wallets, and either is the leader's on one of the auctions.
            let outcomes = race(2, |index| {
                let (ledger, auction) = (ledger.clone(), auctions[index]);
                let user = ["ann", "bob"][(index + round) % 2];
                async move { ledger.place_bid(auction, user, (100 + 10 * round as i64).into()).await }
            })
            .await;
            for outcome in outcomes {
                let bid = outcome?;
                assert_eq!(bid.outbid.is_some(), round > 0);
            }
        }
        let books = books(world).await?;
        assert_eq!((books.bids.len(), books.total()), (2 * rounds, 2_000_000));
    }

    /// The order is a promise to hosts too: whoever locks wallets in the same order never deadlocks with the ledger.
    async fn a_host_that_locks_wallets_ascending_never_deadlocks_with_a_bid(world: &World) {
        let (ledger, _) = ledger(world);
        let ledger = ledger.retry(Retry::new().attempts(1));
        charge(&ledger, &["ann", "bob"], 1_000_000).await?;
        let ids = books(world).await?.wallets.iter().map(|wallet| wallet.id).collect::<Vec<_>>();
        // Once the leader is the first of the two, and once the bidder.
        for (leader, bidder) in [("ann", "bob"), ("bob", "ann")] {
            let auction = open(&ledger, terms()).await?;
            ledger.place_bid(auction, leader, 100.into()).await?;
            let rival = ledger.clone();
            let (sent, started) = tokio::sync::oneshot::channel();
            let bid = tokio::spawn(async move {
                _ = started.await;
                rival.place_bid(auction, bidder, 110.into()).await
            });
            let host = ledger.clone();
            let ids = ids.clone();
            let locked = host
                .atomic(async move |uow| {
                    uow.lock_one::<wallet::Entity>(ids[0]).await?;
                    _ = sent.send(());
                    // Time for the bid to come to its locks; if it is late, there is nothing to see.
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    uow.lock_one::<wallet::Entity>(ids[1]).await?;
                    Ok::<_, Error>(())
                })
                .await;
            assert!(locked?.hooks().is_clean());
            assert_eq!(bid.await??.outbid.map(|outbid| outbid.user), Some(leader.into()));
        }
        books(world).await?;
    }

    async fn one_bids_on_what_the_other_leads_in_every_direction(world: &World) {
        let (ledger, _) = ledger(world);
        let users = ["ann", "bob", "cyd"];
        charge(&ledger, &users, 1_000_000).await?;
        let terms = || terms().buy_now(100_000.into());
        // Each sells one auction and bids on all: every wallet is leader's, bidder's and seller's.
        let mut auctions = Vec::new();
        for user in users {
            auctions.push(ledger.open_auction(user, "a lens", terms()).await?.id);
        }
        let bids = scale(20);
        let outcomes = race(9, |index| {
            let (ledger, auction, user) = (ledger.clone(), auctions[index / 3], users[index % 3]);
            async move {
                let mut offer = Decimal::from(100);
                for _ in 0..bids {
                    match ledger.place_bid(auction, user, offer).await {
                        Ok(bid) => offer = bid.price.checked_add(10.into()).unwrap(),
                        Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => offer = minimum,
                        Err(Error::Rejected(Rejection::SellerCannotBid | Rejection::Closed { .. })) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
                match ledger.buy_now(auction, user).await {
                    Ok(_) | Err(Error::Rejected(Rejection::Closed { .. })) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        })
        .await;
        for outcome in outcomes {
            outcome?;
        }
        let books = books(world).await?;
        assert_eq!(books.total(), 3_000_000);
        assert!(books.wallets.iter().all(|wallet| wallet.held == 0), "all three are sold");
        assert!(books.auctions.iter().all(|auction| auction.sold_price == Some(100_000)));
    }

    async fn deposits_of_a_new_user_at_once_make_one_wallet(world: &World) {
        let ledger = AuctionLedger::new(world.connect(8).await);
        let rounds = scale(20);
        for round in 0..rounds {
            let user = format!("user {round}");
            let outcomes = race(8, |_| {
                let (ledger, user) = (ledger.clone(), user.clone());
                async move { ledger.deposit(user, WON, 10.into()).await }
            })
            .await;
            for outcome in outcomes {
                outcome?;
            }
            assert_eq!(balance(&ledger, &user).await?, (80, 0));
        }
        let books = books(world).await?;
        assert_eq!((books.wallets.len(), books.entries.len()), (rounds, 8 * rounds));
    }

    async fn of_eight_buyers_exactly_one_buys(world: &World) {
        let clock = ManualClock::new(start());
        let ledger = AuctionLedger::new(world.connect(8).await).clock(clock);
        let users = ["ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"];
        charge(&ledger, &users, 100_000).await?;
        let rounds = scale(10);
        for round in 0..rounds {
            let auction = open(&ledger, terms().buy_now(1_000.into())).await?;
            if round % 2 == 1 {
                ledger.place_bid(auction, "ann", 500.into()).await?;
            }
            let outcomes = race(8, |index| {
                let ledger = ledger.clone();
                async move {
                    // Half of them buy by a bid.
                    match index % 2 {
                        0 => ledger.buy_now(auction, users[index]).await.map(|bought| bought.price),
                        _ => ledger.place_bid(auction, users[index], 1_234.into()).await.map(|bid| bid.price),
                    }
                }
            })
            .await;
            let (bought, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
            assert_eq!(bought.len(), 1, "{refused:?}");
            assert_eq!(bought.into_iter().next().unwrap()?, 1_000.into());
            let closed = Rejection::Closed { state: AuctionState::Sold };
            for outcome in refused {
                assert_eq!(super::rejection(outcome), closed);
            }
        }
        let books = books(world).await?;
        assert_eq!(balance(&ledger, "sam").await?, (1_000 * rounds as i64, 0));
        assert_eq!(books.total(), 800_000);
        assert!(books.wallets.iter().all(|wallet| wallet.held == 0));
    }
}
