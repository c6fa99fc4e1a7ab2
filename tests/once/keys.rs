//! A request with a key is carried out once, however often it is sent.

use auction_ledger::{AuctionId, AuctionLedger, Error, Rejection, TextError};

use super::{Ask, EVERY, WON, end, house, terms};
use crate::support::{Books, World, on_every_backend, race};

async fn unchanged(world: &World, before: &Books) -> Result<(), sea_orm::DbErr> {
    let after = Books::read(world.db()).await?;
    after.check();
    assert_eq!(after, *before);
    Ok(())
}

fn conflict<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::IdempotencyConflict { .. }))
}

on_every_backend! {
    async fn every_command_sent_twice_is_carried_out_once(world: &World) {
        for ask in EVERY {
            let (ledger, clock, auction) = house(world).await?;
            if ask.comes_after_the_end() {
                clock.set(end());
            }
            let key = format!("{ask:?}");
            let first = ask.send(&ledger, auction, Some(&key)).await?;
            let before = Books::read(world.db()).await?;
            let again = ask.send(&ledger, auction, Some(&key)).await?;
            assert_eq!(again, first, "{ask:?}");
            unchanged(world, &before).await?;
        }
    }

    /// Another amount, another end, another bid, another reason is another request.
    async fn what_the_houses_do_is_done_once_too(world: &World) {
        let (ledger, _, _) = house(world).await?;
        let hour = chrono::TimeDelta::hours(1);
        let mut auctions = Vec::new();
        for _ in 0..5 {
            let terms = terms().reserve(800.into());
            let auction = ledger.open_auction("sam", "a lamp", terms).await?.id;
            ledger.place_bid(auction, "ann", 100.into()).await?;
            auctions.push(auction);
        }
        macro_rules! once {
            ($name:literal: $request:expr, and not $other:expr) => {
                let first = $request.key($name).await?;
                let before = Books::read(world.db()).await?;
                assert_eq!($request.key($name).await?, first, $name);
                assert!(conflict($other.key($name).await), $name);
                unchanged(world, &before).await?;
            };
        }
        once!("lower": ledger.lower_reserve(auctions[0], 700.into()), and not ledger.lower_reserve(auctions[0], 600.into()));
        once!("accept": ledger.accept_below_reserve(auctions[1]), and not ledger.accept_below_reserve(auctions[1]).reason("why"));
        once!("extend": ledger.extend(auctions[2], end() + hour), and not ledger.extend(auctions[2], end() + hour * 2));
        once!("void": ledger.void_bid(auctions[3], 2, "a"), and not ledger.void_bid(auctions[3], 3, "a"));
        once!("void again": ledger.cancel(auctions[3]), and not ledger.void_bid(auctions[3], 2, "a"));
        once!("take": ledger.take(auctions[4], "ann", 1_000.into()), and not ledger.take(auctions[4], "ann", 1_001.into()));
    }

    async fn without_a_key_a_command_sent_twice_is_two_commands(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        Ask::Deposit(5).send(&ledger, auction, None).await?;
        Ask::Deposit(5).send(&ledger, auction, None).await?;
        let books = Books::read(world.db()).await?;
        assert_eq!((books.total(), books.keys.len()), (10_010, 0));
    }

    /// What was answered is answered again, although it would be refused by now.
    async fn a_retry_after_the_auction_has_closed_is_the_original_success(world: &World) {
        let (ledger, clock, auction) = house(world).await?;
        let bid = ledger.place_bid(auction, "ann", 200.into()).key("a").await?;
        let opened = ledger.open_auction("ann", "a lamp", terms()).key("b").await?;
        clock.set(end());
        ledger.settle(auction).await?;
        let before = Books::read(world.db()).await?;

        assert_eq!(ledger.place_bid(auction, "ann", 200.into()).key("a").await?, bid);
        assert_eq!(ledger.open_auction("ann", "a lamp", terms()).key("b").await?, opened);
        let fresh = ledger.place_bid(auction, "ann", 200.into()).key("c").await;
        assert!(matches!(fresh, Err(Error::Rejected(Rejection::Closed { .. }))), "{fresh:?}");
        unchanged(world, &before).await?;
    }

    /// The rules would accept the same bid again, so it is found by its key alone, when it is written.
    async fn a_retry_of_a_bid_that_was_made_void_is_the_original_success(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let bid = ledger.place_bid(auction, "ann", 200.into()).key("k").await?;
        ledger.void_bid(auction, bid.seq, "a typing error").await?;
        let before = Books::read(world.db()).await?;
        assert_eq!(ledger.place_bid(auction, "ann", 200.into()).key("k").await?, bid);
        let done = ledger.atomic(async |uow| {
            ledger.place_bid(auction, "ann", 200.into()).key("k").within(uow).await
        });
        assert_eq!(done.await?.into_value(), bid);
        unchanged(world, &before).await?;
    }

    /// Nobody tries again, and still whoever meets a key is told what it was used for.
    async fn a_key_is_found_without_a_retry(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let ledger = ledger.retry(auction_ledger::unit_of_work::Retry::new().attempts(1));
        ledger.place_bid(auction, "ann", 200.into()).key("k").await?;
        assert!(conflict(ledger.place_bid(auction, "ann", 300.into()).key("k").await));
    }

    async fn the_same_key_with_another_request_is_a_conflict(world: &World) {
        let (ledger, clock, auction) = house(world).await?;
        let other = super::open(&ledger).await?;
        for ask in [Ask::Deposit(5), Ask::Bid(100), Ask::Open] {
            ask.send(&ledger, auction, Some(&format!("{ask:?}"))).await?;
        }
        ledger.close_early(other).key("house").await?;
        let before = Books::read(world.db()).await?;

        let deposit = ledger.deposit("ann", WON, 6.into()).key("Deposit(5)").await;
        let Err(Error::IdempotencyConflict { operation }) = deposit else { panic!("{deposit:?}") };
        assert!(before.entries.iter().any(|entry| entry.operation == operation.get()));
        assert!(conflict(ledger.deposit("ann", WON, 5.into()).memo("m").key("Deposit(5)").await));
        assert!(conflict(ledger.withdraw("ann", WON, 5.into()).key("Deposit(5)").await));
        assert!(conflict(ledger.place_bid(auction, "ann", 110.into()).key("Bid(100)").await));
        assert!(conflict(ledger.place_bid(other, "ann", 100.into()).key("Bid(100)").await));
        assert!(conflict(ledger.buy_now(auction, "ann").key("Bid(100)").await));
        assert!(conflict(ledger.open_auction("ann", "a lump", terms()).key("Open").await));
        let longer = terms().multiple_of(10.into());
        assert!(conflict(ledger.open_auction("ann", "a lamp", longer).key("Open").await));
        assert!(conflict(ledger.close_early(other).reason("why").key("house").await));
        assert!(conflict(ledger.cancel(other).key("house").await));
        // Before anything is validated: what is wrong with the other request is not looked at.
        assert!(conflict(ledger.deposit("ann", WON, 0.into()).key("Deposit(5)").await));
        assert!(conflict(ledger.place_bid(auction, "ann", (-1).into()).key("Bid(100)").await));
        assert!(conflict(ledger.open_auction("ann", "", terms()).key("Open").await));
        clock.set(end());
        assert!(conflict(ledger.place_bid(auction, "ann", 500.into()).key("Bid(100)").await));
        unchanged(world, &before).await?;
    }

    /// Ten and ten point zero are one amount, so they are one request.
    async fn a_request_is_its_value_and_not_its_spelling(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let first = ledger.place_bid(auction, "ann", "120".parse()?).key("k").await?;
        let again = ledger.place_bid(auction, "ann", "120.000".parse()?).key("k").await?;
        assert_eq!(again, first);
    }

    async fn a_refusal_leaves_the_key_free(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let before = Books::read(world.db()).await?;
        let wrong = [
            ledger.place_bid(auction, "ann", 5.into()).key("k").await.map(drop),
            ledger.place_bid(auction, "ann", 0.into()).key("k").await.map(drop),
            ledger.place_bid(AuctionId::from(999), "ann", 100.into()).key("k").await.map(drop),
            ledger.withdraw("ann", WON, 10_001.into()).key("k").await.map(drop),
            ledger.open_auction("ann", "", terms()).key("k").await.map(drop),
            ledger.settle(auction).key("k").await.map(drop),
        ];
        assert!(wrong.iter().all(Result::is_err), "{wrong:?}");
        unchanged(world, &before).await?;
        ledger.place_bid(auction, "ann", 100.into()).key("k").await?;
    }

    async fn a_refusal_within_a_unit_of_the_host_leaves_the_key_free(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let done = ledger.atomic(async |uow| {
            let refused = ledger.place_bid(auction, "ann", 5.into()).key("k").within(uow).await;
            assert!(refused.unwrap_err().is_rejection());
            let poor = ledger.withdraw("ann", WON, 10_001.into()).key("k").within(uow).await;
            assert!(poor.unwrap_err().is_rejection());
            let bid = ledger.place_bid(auction, "ann", 100.into()).key("k").within(uow).await?;
            // In one unit of work too the second request is the first.
            let again = ledger.place_bid(auction, "ann", 100.into()).key("k").within(uow).await?;
            assert_eq!(again, bid);
            let refused = ledger.withdraw("ann", WON, 10_001.into()).key("l").within(uow).await;
            assert!(refused.unwrap_err().is_rejection());
            Ok::<_, Error>(bid)
        });
        let bid = done.await?.into_value();
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!((books.keys.len(), books.bids.len()), (1, 1), "the key l was given back");
        assert_eq!(ledger.place_bid(auction, "ann", 100.into()).key("k").await?, bid);
    }

    async fn a_key_goes_with_the_unit_of_work_that_used_it(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let before = Books::read(world.db()).await?;
        let undone = ledger.atomic(async |uow| {
            ledger.place_bid(auction, "ann", 100.into()).key("k").within(uow).await?;
            Err::<(), _>(Error::UnknownAuction { auction })
        });
        assert!(undone.await.is_err());
        unchanged(world, &before).await?;
        ledger.place_bid(auction, "ann", 300.into()).key("k").await?;
    }

    async fn a_hundred_tasks_with_one_key_have_one_effect_and_equal_answers(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        for ask in [Ask::Deposit(7), Ask::Bid(150), Ask::Open, Ask::Buy] {
            let before = Books::read(world.db()).await?;
            let answers = race(100, |_| {
                let ledger = ledger.clone();
                async move { ask.send(&ledger, auction, Some("one")).await }
            });
            let answers: Vec<_> = answers.await.into_iter().collect::<Result<_, _>>()?;
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{ask:?}: {answers:?}");
            let after = Books::read(world.db()).await?;
            after.check();
            let commands = |books: &Books| books.bids.len() + books.acts.len();
            let operations = |books: &Books| {
                let each = books.entries.iter().map(|entry| entry.operation);
                each.collect::<std::collections::BTreeSet<_>>().len()
            };
            let (commands, operations) =
                (commands(&after) - commands(&before), operations(&after) - operations(&before));
            let expected = match ask {
                Ask::Deposit(_) => (0, 1),
                Ask::Open => (1, 0),
                _ => (1, 1),
            };
            assert_eq!((commands, operations), expected, "{ask:?}");
            ledger.purge_keys(std::time::Duration::ZERO).await?;
            // Purged are keys older than now; the clock of the test stands still.
            assert_eq!(Books::read(world.db()).await?.keys.len(), after.keys.len());
            sea_orm::ConnectionTrait::execute_unprepared(world.db(), "DELETE FROM al_key").await?;
        }
    }

    async fn keys_are_scoped_by_user(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        ledger.deposit("bob", WON, 500.into()).key("k").await?;
        ledger.deposit("Bob", WON, 600.into()).key("k").await?;
        ledger.deposit("house", WON, 1.into()).key("k").await?;
        let bid = ledger.place_bid(auction, "ann", 100.into()).key("k").await?;
        assert_eq!(bid.seq, 2);
        ledger.close_early(auction).key("k").await?;
        assert_eq!(Books::read(world.db()).await?.keys.len(), 5);
        // Of a seller, and of the house.
        let other = super::open(&ledger).await?;
        ledger.cancel(other).by("sam").key("k").await?;
        assert!(conflict(ledger.cancel(other).key("k").await));
    }

    async fn a_key_has_1_to_200_bytes(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let before = Books::read(world.db()).await?;
        let long = "é".repeat(101);
        for (key, error) in [
            ("", TextError::Empty),
            (long.as_str(), TextError::TooLong { length: 202, limit: 200, unit: "bytes" }),
        ] {
            for ask in EVERY {
                match ask.send(&ledger, auction, Some(key)).await {
                    Err(Error::InvalidText { what: "key", error: found }) => assert_eq!(found, error),
                    other => panic!("{ask:?}: {other:?}"),
                }
            }
        }
        unchanged(world, &before).await?;
        for key in ["é".repeat(100), "\0".to_owned(), " ".to_owned(), "k".to_owned(), "K".to_owned()] {
            let deposit = |ledger: AuctionLedger| async move { ledger.deposit("ann", WON, 1.into()).key(key).await };
            deposit(ledger.clone()).await?;
        }
        assert_eq!(Books::read(world.db()).await?.keys.len(), 5, "keys are told apart by every byte");
    }
}
