//! Hazards of locks, users, instants and money: each was observed somewhere, and happens nowhere here.

use auction_ledger::unit_of_work::Retry;
use auction_ledger::{AmountError, AuctionTerms, Currency, Error, Rejection};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use sea_orm::ConnectionTrait;

use super::refusals_opening::rich;
use super::{WON, balance, books, charge, end, ledger, one, open, rejection, terms};
use crate::support::{on_every_backend, race, scale};

on_every_backend! {
    /// Without a second attempt: no deadlock is there to be hidden by one.
    async fn h36_bids_with_the_hosts_own_rows_never_deadlock(world: &World) {
        let (ledger, _) = ledger(world);
        let ledger = ledger.retry(Retry::new().attempts(1));
        world
            .db()
            .execute_unprepared(
                "CREATE TABLE host_watch (who BIGINT NOT NULL, num BIGINT NOT NULL, auction_id BIGINT NOT NULL, \
                 PRIMARY KEY (who, num), FOREIGN KEY (auction_id) REFERENCES al_auction (id))",
            )
            .await?;
        charge(&ledger, &["ann", "bob"], 1_000_000_000).await?;
        let auction = open(&ledger, terms()).await?;
        let rounds = scale(200);
        let answers = race(2, |index| {
            let (ledger, user) = (ledger.clone(), ["ann", "bob"][index]);
            async move {
                let (mut accepted, mut refused) = (0, 0);
                let mut offer = Decimal::from(100);
                for round in 0..rounds {
                    let bid = ledger.atomic(async |uow| {
                        let bid = ledger.place_bid(auction, user, offer).within(uow).await?;
                        let watch = format!("INSERT INTO host_watch VALUES ({index}, {round}, {auction})");
                        uow.execute_unprepared(&watch).await?;
                        Ok::<_, Error>(bid)
                    });
                    match bid.await {
                        Ok(bid) => {
                            accepted += 1;
                            offer = bid.price.checked_add(10.into()).unwrap();
                        }
                        Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => {
                            refused += 1;
                            offer = minimum;
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok((accepted, refused))
            }
        })
        .await;
        let mut all = 0;
        for answer in answers {
            let (accepted, refused) = answer?;
            assert_eq!(accepted + refused, rounds, "every bid is answered");
            all += accepted;
        }
        assert_eq!(books(world).await?.bids.len(), all);
        assert_eq!(one::<i64>(world.db(), "SELECT COUNT(*) FROM host_watch").await?, all as i64);
    }

    async fn h37_users_that_a_collation_takes_for_one_are_four(world: &World) {
        let (ledger, _) = ledger(world);
        let users = ["Ann", "ann", "ánn", "Ann "];
        for (index, user) in users.into_iter().enumerate() {
            ledger.deposit(user, WON, (100 + index as i64).into()).await?;
        }
        // More that are not the same: a decomposed accent, a full-width letter, a blank in front, an emoji.
        let more = ["a\u{301}nn", "Ａnn", " ann", "ann\t", "ann\u{200b}", "🔭", "🔬", "ß", "ss", "i", "İ", "ı"];
        charge(&ledger, &more, 7).await?;
        for (index, user) in users.into_iter().enumerate() {
            assert_eq!(balance(&ledger, user).await?, (100 + index as i64, 0), "{user:?}");
        }
        assert_eq!(books(world).await?.wallets.len(), users.len() + more.len());
        let auction = ledger.open_auction("Ann", "a lens", terms()).await?.id;
        assert_eq!(rejection(ledger.place_bid(auction, "Ann", 100.into()).await), Rejection::SellerCannotBid);
        ledger.place_bid(auction, "ann", 100.into()).await?;
        assert_eq!(ledger.auction(auction).await?.leader.unwrap().as_str(), "ann");
        assert_eq!(ledger.withdraw("ANN", WON, 1.into()).await.unwrap_err().to_string(), "1 is needed and 0 is available");
    }

    async fn h37_the_longest_user_is_told_from_one_that_differs_in_the_last_byte(world: &World) {
        let (ledger, _) = ledger(world);
        let (first, second) = (format!("{}a", "u".repeat(63)), format!("{}b", "u".repeat(63)));
        ledger.deposit(first.as_str(), WON, 1.into()).await?;
        ledger.deposit(second.as_str(), WON, 2.into()).await?;
        assert_eq!((balance(&ledger, &first).await?, balance(&ledger, &second).await?), ((1, 0), (2, 0)));
    }

    async fn h38_instants_keep_their_microseconds_beyond_2038(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (starts, ends) = (at("2038-01-19T03:14:08.654321Z"), at("2099-12-31T23:59:59.123456Z"));
        // Nanoseconds are cut off, not rounded.
        let fine = TimeDelta::nanoseconds(999);
        let auction = open(&ledger, terms().starts_at(starts + fine).ends_at(ends + fine)).await?;
        let read = ledger.auction(auction).await?;
        assert_eq!((read.starts_at, read.ends_at), (starts, ends));
        clock.set(starts - TimeDelta::microseconds(1));
        assert_eq!(rejection(ledger.place_bid(auction, "ann", 100.into()).await), Rejection::NotOpenYet { starts_at: starts });
        clock.set(ends - TimeDelta::microseconds(1));
        let bid = ledger.place_bid(auction, "ann", 100.into()).await?;
        assert_eq!((bid.at, bid.ends_at), (clock.now(), ends));
        clock.set(ends);
        assert_eq!(rejection(ledger.place_bid(auction, "ann", 200.into()).await), Rejection::Ended { at: ends });
        clock.set(at("1970-01-01T00:00:00.000001Z"));
        ledger.deposit("pip", WON, 1.into()).await?;
        assert_eq!(books(world).await?.journal("pip")[0].at, 1);
        let old = ledger.open_auction("old", "a lens", terms().ends_at(at("2038-01-19T03:14:07Z"))).await?.id;
        let bid = ledger.place_bid(old, "pip", 100.into()).await;
        assert_eq!(rejection(bid), Rejection::InsufficientFunds { needed: 100.into(), available: 1.into() });
    }

    async fn h40_every_amount_survives_to_the_last_unit(world: &World) {
        let (ledger, _) = ledger(world);
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        // More than 2^53 minor units in one wallet, where an f64 loses the last digits.
        let mut sum = Decimal::ZERO;
        for _ in 0..10 {
            let amount = decimal("9999999999999.99");
            sum = sum.checked_add(amount).unwrap();
            ledger.deposit("ann", Currency::EUR, amount).await?;
        }
        assert_eq!(sum, decimal("99999999999999.90"));
        let wallet = ledger.wallet("ann", Currency::EUR).await?;
        assert_eq!((wallet.available.to_string(), wallet.available), (sum.to_string(), sum));
        let terms = AuctionTerms::english(Currency::EUR, decimal("0.01"), decimal("0.01")).ends_at(end());
        let auction = open(&ledger, terms).await?;
        let bid = ledger.place_bid(auction, "ann", decimal("9999999999999.97")).await?;
        assert_eq!(bid.price.to_string(), "9999999999999.97");
        let auction = ledger.auction(auction).await?;
        assert_eq!(auction.price.unwrap().to_string(), "9999999999999.97");
        assert_eq!(auction.next_minimum.unwrap().to_string(), "9999999999999.98");
        let entry = ledger.entries("ann", Currency::EUR).await?.pop().unwrap();
        assert_eq!(entry.held_delta.to_string(), "9999999999999.97");
        assert_eq!(entry.available_after.to_string(), "89999999999999.93");
        // What does not fit is refused, and not rounded.
        let refused = |text: &str| ledger.deposit("ann", Currency::EUR, text.parse().unwrap());
        let large = refused("12345678901234567.89").await.unwrap_err();
        assert!(matches!(large, Error::InvalidAmount { error: AmountError::TooLarge { .. }, .. }), "{large:?}");
        let fine = refused("0.001").await.unwrap_err();
        assert!(matches!(fine, Error::InvalidAmount { error: AmountError::TooPrecise { .. }, .. }), "{fine:?}");
        let precise = Currency::new("BTC", 12)?;
        let one = decimal("0.000000000001");
        assert_eq!(ledger.deposit("ann", precise, one).await?.available, one);
        books(world).await?;
    }

    async fn h41_no_amount_makes_a_verb_panic(world: &World) {
        let (ledger, _) = ledger(world);
        rich(world, "max", 1_000_000_000_000_000_000).await?;
        let auction = open(&ledger, terms().buy_now(500.into())).await?;
        let before = books(world).await?;
        for amount in [Decimal::MAX, Decimal::MIN, -Decimal::ONE, Decimal::from_i128_with_scale(1, 28), Decimal::ZERO] {
            for user in ["max", "nobody"] {
                assert!(ledger.deposit(user, WON, amount).await.is_err());
                assert!(ledger.withdraw(user, WON, amount).await.is_err());
                assert!(ledger.place_bid(auction, user, amount).await.is_err());
                let odd = AuctionTerms::english(WON, amount, amount).multiple_of(amount).buy_now(amount);
                assert!(ledger.open_auction(user, "a lens", odd.ends_at(end())).await.is_err());
            }
        }
        assert_eq!(books(world).await?, before);
    }

    /// The tests' own audit, and what audits should do: the sum of all wallets does not fit an `i64`.
    async fn h42_all_money_is_summed_in_128_bits(world: &World) {
        let (ledger, _) = ledger(world);
        for index in 0..10 {
            rich(world, &format!("rich {index}"), 1_000_000_000_000_000_000).await?;
        }
        charge(&ledger, &["ann"], 1_000).await?;
        let auction = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "rich 3", WON.maximum()).await?;
        assert_eq!(books(world).await?.total(), 10_000_000_000_000_001_000);
    }

    async fn h43_money_for_one_bid_is_promised_once(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        let mut auctions = Vec::new();
        for _ in 0..16 {
            auctions.push(open(&ledger, terms()).await?);
        }
        let outcomes = race(16, |index| {
            let (ledger, auction) = (ledger.clone(), auctions[index]);
            async move { ledger.place_bid(auction, "ann", 100.into()).await }
        })
        .await;
        let (accepted, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(accepted.len(), 1, "{refused:?}");
        for outcome in refused {
            let poor = Rejection::InsufficientFunds { needed: 100.into(), available: 0.into() };
            assert_eq!(rejection(outcome), poor);
        }
        assert_eq!(balance(&ledger, "ann").await?, (0, 100));
        assert_eq!(books(world).await?.bids.len(), 1);
    }

    async fn texts_of_four_byte_characters_survive(world: &World) {
        let (ledger, _) = ledger(world);
        // 50 characters of four bytes are the 200 bytes of a memo; a title has 200 characters.
        let (memo, title) = ("🔭".repeat(50), "🪐".repeat(200));
        ledger.deposit("ann", WON, 1_000.into()).memo(memo.as_str()).await?;
        let auction = ledger.open_auction("sam", title.as_str(), terms().buy_now(500.into())).await?;
        assert_eq!((auction.title.as_str(), ledger.auction(auction.id).await?.title), (title.as_str(), title.clone()));
        let odd = "quote ' \" \\ % _ ; -- /* \u{202e}\r\n\t blank ";
        ledger.place_bid(auction.id, "ann", 100.into()).memo(odd).await?;
        ledger.buy_now(auction.id, "ann").memo(memo.as_str()).await?;
        let entries = ledger.entries("ann", WON).await?;
        let memos: Vec<_> = entries.iter().map(|entry| entry.memo.as_deref()).collect();
        assert_eq!(memos, [Some(memo.as_str()), Some(odd), Some(memo.as_str())]);
        let blank = ledger.open_auction("sam", " ", terms()).await?;
        assert_eq!(ledger.auction(blank.id).await?.title, " ");
    }
}
