//! Callers that give up, and callers of many processes.

use std::time::Duration;

use auction_ledger::{AuctionLedger, Error, Rejection};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, TransactionTrait};

use super::{WON, all_at_once, charge, ledger, line_up, open, rejection};
use crate::support::{Books, Database, World, on_every_backend, race, scale};

/// Whose wallets nobody has locked, by their ids.
async fn free_wallets(world: &World) -> Result<Vec<String>, DbErr> {
    let transaction = world.db().begin().await?;
    let sql = "SELECT owner FROM al_wallet ORDER BY id FOR UPDATE SKIP LOCKED";
    let query = Statement::from_string(transaction.get_database_backend(), sql);
    let rows = transaction.query_all_raw(query).await?;
    transaction.rollback().await?;
    let owner = |row: &QueryResult| {
        String::from_utf8(row.try_get_by_index(0)?).map_err(|error| DbErr::Type(error.to_string()))
    };
    rows.iter().map(owner).collect()
}

on_every_backend! {
    /// Whoever leaves the line before its turn has done nothing; the others have.
    async fn a_caller_that_goes_leaves_the_line(world: &World) {
        let ledger = ledger(world);
        charge(&ledger, &["ann"], 10_000).await?;
        // The one that has the turn, the first in line, one in the middle, the last.
        for gone in 0..5 {
            let auction = open(&ledger).await?;
            let bid = |tens: i64| ledger.place_bid(auction, "ann", (10 * tens).into()).into_future();
            let mut bids: Vec<_> = (10..15).map(bid).collect();
            ledger.drain().await;
            line_up(&mut bids).await;
            drop(bids.remove(gone));
            for (place, bid) in bids.into_iter().enumerate() {
                assert_eq!(bid.await?.seq, 2 + place as i64);
            }
            let books = Books::read(world.db()).await?;
            books.check();
            let stored = books.bids.iter().filter(|bid| bid.auction_id == auction.get());
            let expected = (0..5).filter(|place| *place != gone).map(|place| 100 + 10 * place as i64);
            assert!(stored.map(|bid| bid.amount).eq(expected), "without {gone}");
            ledger.cancel(auction).await?;
        }
    }

    /// Everybody goes, and whoever comes next finds the auction free.
    async fn when_all_have_gone_the_auction_is_free(world: &World) {
        let ledger = ledger(world);
        charge(&ledger, &["ann"], 10_000).await?;
        let auction = open(&ledger).await?;
        let bid = |tens: i64| ledger.place_bid(auction, "ann", (10 * tens).into()).into_future();
        let mut bids: Vec<_> = (10..15).map(bid).collect();
        ledger.drain().await;
        line_up(&mut bids).await;
        // The last first: the one that has the turn leaves nobody behind.
        while bids.pop().is_some() {}
        assert_eq!(bid(20).await?.seq, 2);
        Books::read(world.db()).await?.check();
    }

    /// At any instant: what was acknowledged is there once, and of what was not, nothing is there twice.
    async fn callers_that_give_up_at_any_time_lose_and_double_nothing(world: &World) {
        let ledger = AuctionLedger::new(world.connect(4).await);
        let names: Vec<String> = (0..8).map(|index| format!("bidder {index}")).collect();
        let users: Vec<&str> = names.iter().map(String::as_str).collect();
        charge(&ledger, &users, 100_000_000).await?;
        let terms = super::AuctionTerms::english(super::WON, 1.into(), 1.into());
        let terms = terms.ends_in(Duration::from_secs(3_600));
        let auction = ledger.open_auction("sam", "a thing", terms).await?.id;
        let rounds = scale(60);
        let outcomes = race(8, |index| {
            let (ledger, user) = (ledger.clone(), names[index].clone());
            async move {
                let mut acknowledged = Vec::new();
                for round in 0..rounds {
                    let memo = format!("{index} {round}");
                    let amount = 1 + (8 * round + index) as i64;
                    let bid = ledger.place_bid(auction, user.as_str(), amount.into()).memo(memo.clone());
                    let patience = Duration::from_micros((37 * (index + 5 * round) % 4_000) as u64);
                    match tokio::time::timeout(patience, bid.into_future()).await {
                        Ok(Ok(bid)) => acknowledged.push((memo, bid.seq)),
                        Ok(Err(Error::Rejected(_))) | Err(_) => {}
                        Ok(Err(error)) => return Err(error),
                    }
                }
                Ok(acknowledged)
            }
        });
        let mut acknowledged = Vec::new();
        for outcome in outcomes.await {
            acknowledged.extend(outcome?);
        }
        // What is still being carried out ends before the next one in line.
        let last = ledger.place_bid(auction, "bidder 0", 1_000_000.into()).await?;
        let books = Books::read(world.db()).await?;
        books.check();
        let mut memos: Vec<_> = books.entries.iter().filter_map(|entry| entry.memo.clone()).collect();
        memos.sort_unstable();
        assert!(memos.is_sorted_by(|a, b| a < b), "nothing is there twice");
        for (memo, seq) in acknowledged {
            assert!(memos.binary_search(&memo).is_ok(), "{memo} was acknowledged as {seq}");
        }
        assert!(last.leads && books.total() == 800_000_000);
    }

    /// What a stranger is just changing of a wallet is what a list judges by: it waits for all of them under one lock.
    async fn a_list_waits_for_the_wallets_that_it_judges(world: &World) {
        // One writer: nobody waits for a row there.
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let users = ["ann", "bob", "cat", "dan", "eve", "fay"];
        let ledger = ledger(world);
        charge(&ledger, &users, 1_000).await?;
        let auction = open(&ledger).await?;
        let bidding = ledger.atomic(async |uow| {
            ledger.withdraw("dan", WON, 950.into()).within(uow).await?;
            let bidders = ledger.clone();
            let bidding = tokio::spawn(async move {
                let bid = |(user, hundreds): (&str, i64)| bidders.place_bid(auction, user, (100 * hundreds).into()).into_future();
                all_at_once(&bidders, users.into_iter().zip(1..).map(bid).collect()).await
            });
            // It comes to the one that is held, ascending, and no further.
            let mut free = Vec::new();
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                free = free_wallets(world).await?;
                if free.len() == 3 {
                    break;
                }
            }
            assert_eq!(free, ["eve", "fay", "sam"]);
            Ok::<_, Error>(bidding)
        });
        let answers = bidding.await?.into_value().await.expect("nobody panics");
        for (answer, user) in answers.into_iter().zip(users) {
            match user {
                "dan" => assert_eq!(rejection(answer).code(), "insufficient_funds"),
                _ => assert_eq!(answer?.user.as_str(), user),
            }
        }
        Books::read(world.db()).await?.check();
    }

    /// Each has lines of its own, as processes have; the row lock puts them in one order.
    async fn ledgers_that_know_nothing_of_each_other_stay_right(world: &World) {
        let names: Vec<String> = (0..12).map(|index| format!("bidder {index}")).collect();
        let users: Vec<&str> = names.iter().map(String::as_str).collect();
        let shared = ledger(world);
        charge(&shared, &users, 1_000_000).await?;
        let auction = open(&shared).await?;
        let mut processes = Vec::new();
        for _ in 0..3 {
            let clock = auction_ledger::ManualClock::new(super::start());
            processes.push(AuctionLedger::new(world.connect(3).await).clock(clock));
        }
        let rounds = scale(15);
        let outcomes = race(12, |index| {
            let (ledger, user) = (processes[index % 3].clone(), names[index].clone());
            async move {
                let mut accepted = Vec::new();
                let mut offer = rust_decimal::Decimal::from(100);
                for _ in 0..rounds {
                    match ledger.place_bid(auction, user.as_str(), offer).await {
                        Ok(bid) => {
                            accepted.push((bid.seq, bid.maximum.reveal()));
                            offer = bid.price + rust_decimal::Decimal::TEN;
                        }
                        Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => offer = minimum,
                        Err(error) => return Err(error),
                    }
                }
                Ok(accepted)
            }
        });
        let mut accepted = Vec::new();
        for outcome in outcomes.await {
            accepted.extend(outcome?);
        }
        accepted.sort_unstable();
        let books = Books::read(world.db()).await?;
        books.check();
        let stored = books.bids.iter().map(|bid| (bid.seq, rust_decimal::Decimal::from(bid.amount)));
        assert!(stored.eq(accepted), "what was answered is what is stored");
    }

    async fn one_key_twice_in_line_has_one_effect(world: &World) {
        let ledger = ledger(world);
        charge(&ledger, &["ann", "bob"], 10_000).await?;
        let auction = open(&ledger).await?;
        let bid = |user: &'static str, amount: i64| {
            ledger.place_bid(auction, user, amount.into()).key("k").into_future()
        };
        let first = ledger.place_bid(auction, "bob", 100.into()).into_future();
        let answers = all_at_once(&ledger, vec![first, bid("ann", 110), bid("bob", 130), bid("ann", 110), bid("ann", 120)]).await;
        let [first, ann, bob, again, other] = <[_; 5]>::try_from(answers).expect("five answers");
        assert_eq!((first?.seq, ann.as_ref().unwrap().seq, bob?.seq), (2, 3, 4));
        assert_eq!(again.unwrap(), ann.unwrap());
        assert!(matches!(other, Err(Error::IdempotencyConflict { .. })), "{other:?}");
        // A refusal leaves the key free, in a list too.
        let free = |amount: i64| ledger.place_bid(auction, "ann", amount.into()).key("free").into_future();
        let turn = ledger.place_bid(auction, "ann", 140.into()).into_future();
        let mut answers = all_at_once(&ledger, vec![turn, free(1), free(150)]).await;
        assert_eq!(answers.pop().unwrap()?.seq, 6);
        assert!(matches!(rejection(answers.pop().unwrap()), Rejection::BelowMinimum { .. }));
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!((books.bids.len(), books.keys.len()), (5, 3));
    }

    /// On SQLite it is found only when everything is written, and all is undone; a list that hands over has looked for it before.
    async fn a_key_that_was_used_for_something_else_costs_the_others_nothing(world: &World) {
        let ledger = ledger(world);
        charge(&ledger, &["ann", "bob"], 10_000).await?;
        let auction = open(&ledger).await?;
        let before = ledger.place_bid(auction, "ann", 100.into()).key("k").await?;
        let bid = |user: &'static str, amount: i64| ledger.place_bid(auction, user, amount.into());
        let requests = vec![
            bid("bob", 110).key("k").into_future(),
            bid("bob", 120).key("l").into_future(),
            bid("ann", 130).key("k").into_future(),
            bid("ann", 100).key("k").into_future(),
            bid("bob", 140).into_future(),
        ];
        let mut answers = all_at_once(&ledger, requests).await;
        assert_eq!(answers.remove(3)?, before);
        let conflict = answers.remove(2);
        assert!(matches!(conflict, Err(Error::IdempotencyConflict { operation }) if operation == before.operation), "{conflict:?}");
        for (answer, seq) in answers.into_iter().zip(3..) {
            assert_eq!(answer?.seq, seq);
        }
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!((books.bids.len(), books.keys.len()), (4, 3));
    }
}
