//! Sealed bids: seen by nobody before the end, held until then, released batch by batch.

use auction_ledger::entity::act::Kind;
use auction_ledger::{
    AuctionState, AuctionTerms, Error, EventKind, HouseShare, RecordingSink, Rejection,
};
use chrono::TimeDelta;

use super::{WON, balance, books, charge, end, ledger, open, rejection, user};
use crate::support::{on_every_backend, scale};

fn second_price() -> AuctionTerms {
    AuctionTerms::sealed_second_price(WON, 10.into()).ends_at(end())
}

fn first_price() -> AuctionTerms {
    AuctionTerms::sealed_first_price(WON, 10.into()).ends_at(end())
}

/// How many bids one command releases.
const BATCH: usize = 200;

on_every_backend! {
    async fn the_highest_pays_the_best_of_the_others(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob", "cid"], 1_000).await?;
        let auction = open(&ledger, second_price().premium(HouseShare::basis_points(10_00))).await?;
        for (name, amount) in [("ann", 110), ("bob", 125), ("ann", 130), ("cid", 140)] {
            let bid = ledger.place_bid(auction, name, amount.into()).await?;
            assert_eq!((bid.leads, bid.price, bid.outbid), (false, 10.into(), None));
            books(world, &ledger).await?;
        }
        // Everybody's own bid and the premium on it.
        assert_eq!(balance(&ledger, "ann").await?, (857, 143));
        assert_eq!(balance(&ledger, "bob").await?, (1_000 - 137, 137));
        let low = rejection(ledger.place_bid(auction, "ann", 130.into()).await);
        assert_eq!(low, Rejection::NotAboveOwnMaximum);
        let low = rejection(ledger.place_bid(auction, "dan", 9.into()).await);
        assert_eq!(low, Rejection::BelowMinimum { minimum: 10.into() });

        clock.set(end());
        let settled = ledger.settle(auction).await?;
        let sale = settled.sold.clone().expect("it is sold");
        assert_eq!((sale.winner, sale.price, sale.premium), (user("cid"), 130.into(), 13.into()));
        assert!(!settled.releasing);
        assert_eq!(balance(&ledger, "ann").await?, (1_000, 0));
        assert_eq!(balance(&ledger, "bob").await?, (1_000, 0));
        assert_eq!(balance(&ledger, "cid").await?, (857, 0));
        assert_eq!(balance(&ledger, "sam").await?, (130, 0));
        let again = ledger.settle(auction).await?;
        assert!(again.repeated && again.sold == settled.sold && again.seq == settled.seq);
        // Once it is over: the winner at the price, the others at what they have bid.
        let bids = ledger.bids(auction).await?;
        let shown: Vec<_> = bids.iter().map(|bid| (bid.user.as_str(), bid.amount)).collect();
        assert_eq!(shown, [("bob", 125.into()), ("ann", 130.into()), ("cid", 130.into())]);
        let kinds: Vec<_> = ledger.acts(auction).await?.iter().map(|act| act.kind).collect();
        assert_eq!(kinds, [Kind::Opened, Kind::Released, Kind::Settled]);
        books(world, &ledger).await?;
    }

    async fn the_first_price_is_the_own_bid_and_the_earlier_of_two_wins(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, first_price()).await?;
        for name in ["bob", "ann"] {
            ledger.place_bid(auction, name, 70.into()).await?;
        }
        clock.set(end());
        let sale = ledger.settle(auction).await?.sold.expect("it is sold");
        assert_eq!((sale.winner, sale.price), (user("bob"), 70.into()));
        assert_eq!(balance(&ledger, "ann").await?, (1_000, 0));
        books(world, &ledger).await?;
    }

    async fn below_the_reserve_the_seller_can_accept_the_best_bid(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let window = std::time::Duration::from_secs(60);
        let terms = || second_price().reserve(500.into()).acceptance_window(window);
        let (accepted, refused) = (open(&ledger, terms()).await?, open(&ledger, terms()).await?);
        for auction in [accepted, refused] {
            for (name, amount) in [("ann", 80), ("bob", 60)] {
                ledger.place_bid(auction, name, amount.into()).await?;
            }
            let early = rejection(ledger.accept_below_reserve(auction).by("sam").await);
            assert_eq!(early, Rejection::Sealed, "nobody knows before the end");
        }
        assert_eq!(ledger.auction(accepted).await?.reserve_met, None);
        clock.set(end());
        for auction in [accepted, refused] {
            assert!(ledger.settle(auction).await?.awaiting_seller_until.is_some());
            books(world, &ledger).await?;
        }
        // The losers have their money back, the best bidder has not.
        assert_eq!(balance(&ledger, "bob").await?, (1_000, 0));
        assert_eq!(balance(&ledger, "ann").await?, (840, 160));
        let sale = ledger.accept_below_reserve(accepted).by("sam").await?.sold.expect("sold");
        assert_eq!((sale.winner, sale.price), (user("ann"), 60.into()));
        clock.advance(TimeDelta::seconds(60));
        assert_eq!(ledger.settle(refused).await?.sold, None);
        assert_eq!(balance(&ledger, "ann").await?, (940, 0));
        books(world, &ledger).await?;
    }

    async fn nobody_sees_a_sealed_bid(world: &World) {
        let (ledger, clock) = ledger(world);
        let sink = RecordingSink::new();
        let ledger = ledger.sink(sink.clone());
        charge(&ledger, &["ann", "bob"], 10_000_000).await?;
        let auction = open(&ledger, second_price()).await?;
        // So long that no identifier has them by chance.
        let mut seen = Vec::new();
        for amount in [7_391_528, 8_467_203] {
            seen.push(format!("{:?}", ledger.place_bid(auction, "ann", amount.into()).await?));
        }
        for (name, amount) in [("bob", 5), ("bob", 20_000_000), ("sam", 20)] {
            let error = ledger.place_bid(auction, name, amount.into()).await.expect_err("refused");
            seen.push(format!("{error:?} {error}"));
        }
        seen.push(format!("{:?}", ledger.place_bid(auction, "bob", 20.into()).await?));
        let now = ledger.auction(auction).await?;
        assert_eq!((&now.leader, now.price, now.next_minimum), (&None, None, Some(10.into())));
        assert!(now.sealed && now.increment.is_none() && now.reserve_met.is_none());
        let views = [ledger.auction_for(auction, "bob").await?, ledger.auction_for(auction, "sam").await?];
        assert_eq!(views[0].next_minimum, Some(21.into()));
        seen.push(format!("{now:?} {} {views:?}", serde_json::to_string(&now)?));
        let own = ledger.auction_for(auction, "ann").await?;
        assert_eq!(own.own_maximum.map(|own| own.reveal()), Some(8_467_203.into()));
        let holds = ledger.holds("ann", WON).await?;
        assert_eq!((holds[0].amount.reveal(), holds[0].price), (8_467_203.into(), None));
        seen.push(format!("{:?} {:?}", ledger.bids(auction).await?, ledger.acts(auction).await?));
        assert!(ledger.bids(auction).await?.is_empty());
        assert_eq!(ledger.acts(auction).await?.len(), 1);
        let stored = books(world, &ledger).await?;
        seen.push(format!("{:?} {:?} {:?}", stored.auctions, stored.acts, stored.sealed_bids));
        for event in sink.wait_for(4).await {
            assert!(matches!(event.kind, EventKind::Opened { .. } | EventKind::SealedBid));
            seen.push(format!("{event:?} {}", serde_json::to_string(&event)?));
        }
        clock.set(end());
        let settled = ledger.settle(auction).await?;
        seen.push(format!("{settled:?} {:?}", ledger.bids(auction).await?));
        for text in seen {
            assert!(!text.contains("7391528") && !text.contains("8467203"), "{text}");
        }
    }

    async fn it_ends_when_it_was_to(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, first_price()).await?;
        assert_eq!(rejection(ledger.close_early(auction).by("sam").await), Rejection::Sealed);
        ledger.place_bid(auction, "ann", 50.into()).await?;
        for closed in [ledger.close_early(auction).await, ledger.close_early(auction).by("sam").await] {
            assert_eq!(rejection(closed), Rejection::Sealed);
        }
        let later = end() + TimeDelta::hours(1);
        assert_eq!(rejection(ledger.extend(auction, later).by("sam").await), Rejection::HasBids);
        assert_eq!(rejection(ledger.cancel(auction).by("sam").await), Rejection::HasBids);
        let early = rejection(ledger.settle(auction).await);
        assert_eq!(early, Rejection::NotEnded { ends_at: end() });
        ledger.extend(auction, later).await?;
        ledger.place_bid(auction, "bob", 60.into()).await?;
        clock.set(later);
        assert_eq!(ledger.settle(auction).await?.sold.expect("it is sold").winner, user("bob"));
        let without = open(&ledger, first_price().ends_at(later + TimeDelta::hours(1))).await?;
        ledger.extend(without, later + TimeDelta::hours(2)).by("sam").await?;
        ledger.cancel(without).by("sam").await?;
        books(world, &ledger).await?;
    }

    async fn calling_it_off_releases_everybody(world: &World) {
        let (ledger, _clock) = ledger(world);
        let names = ["ann", "bob", "cid"];
        charge(&ledger, &names, 1_000).await?;
        let auction = open(&ledger, first_price()).await?;
        for name in names {
            ledger.place_bid(auction, name, 50.into()).await?;
        }
        ledger.cancel(auction).reason("broken").await?;
        assert_eq!(ledger.auction(auction).await?.state, AuctionState::Cancelled);
        for name in names {
            assert_eq!(balance(&ledger, name).await?, (1_000, 0));
        }
        assert!(ledger.bids(auction).await?.is_empty(), "what moved nothing stays sealed");
        books(world, &ledger).await?;
    }

    async fn more_than_a_batch_is_released_in_steps_and_nobody_is_paid_twice(world: &World) {
        let (ledger, clock) = ledger(world);
        let bidders = BATCH * 2 + 3;
        let sold = open(&ledger, second_price()).await?;
        let cancelled = open(&ledger, first_price()).await?;
        // The bidders come in any order, and not in that of their wallets.
        for number in 0..bidders {
            let number = (number * 7) % bidders;
            let name = format!("bidder {number}");
            let done = ledger.atomic(async |uow| {
                ledger.deposit(name.as_str(), WON, 10_000.into()).within(uow).await?;
                for auction in [sold, cancelled] {
                    let amount = i64::try_from(100 + number).expect("a small number");
                    ledger.place_bid(auction, name.as_str(), amount.into()).within(uow).await?;
                }
                Ok::<_, Error>(())
            });
            assert!(done.await?.hooks().is_clean());
        }
        ledger.cancel(cancelled).await?;
        assert_eq!(ledger.auction(cancelled).await?.state, AuctionState::Cancelling);
        clock.set(end());
        let step = ledger.settle(sold).await?;
        assert!(step.releasing && step.sold.is_none());
        assert_eq!(ledger.auction(sold).await?.state, AuctionState::Settling);
        let held = async || {
            let held = books(world, &ledger).await?;
            let held = held.sealed_bids.iter().filter(|bid| bid.released_by.is_none()).count();
            Ok::<_, sea_orm::DbErr>(held)
        };
        // The winner's is captured last; of the auction that was called off one batch is released.
        assert_eq!(held().await?, (bidders - BATCH) + (bidders - BATCH));
        // Somebody else goes on where the one before has stopped.
        let swept = ledger.settle_due(10).await?;
        assert_eq!((swept.settled.len(), swept.failed.len()), (2, 0));
        assert_eq!(held().await?, 0);
        let last = i64::try_from(bidders).expect("a small number");
        assert_eq!(ledger.auction(sold).await?.price, Some((100 + last - 2).into()));
        assert_eq!(ledger.auction(cancelled).await?.state, AuctionState::Cancelled);
        let releases = ledger.acts(sold).await?.iter().filter(|act| act.kind == Kind::Released).count();
        assert_eq!(releases, 3);
        let winner = format!("bidder {}", bidders - 1);
        assert_eq!(balance(&ledger, &winner).await?, (10_000 - (100 + last - 2), 0));
    }

    async fn bids_at_once_and_settlements_at_once(world: &World) {
        let (ledger, clock) = ledger(world);
        let bidders: Vec<String> = (0..scale(12).max(3)).map(|number| format!("bidder {number}")).collect();
        let names: Vec<&str> = bidders.iter().map(String::as_str).collect();
        charge(&ledger, &names, 1_000).await?;
        let auction = open(&ledger, second_price()).await?;
        let bids = names.iter().enumerate().map(|(number, name)| {
            let amount = i64::try_from(100 + number).expect("a small number");
            let ledger = &ledger;
            async move { ledger.place_bid(auction, *name, amount.into()).await }
        });
        for bid in futures::future::join_all(bids).await {
            bid?;
        }
        clock.set(end());
        let settled = futures::future::join_all((0..4).map(|_| async { ledger.settle(auction).await }));
        let settled: Vec<_> = settled.await.into_iter().collect::<Result<_, _>>()?;
        assert_eq!(settled.iter().filter(|settled| !settled.repeated).count(), 1);
        books(world, &ledger).await?;
    }

    async fn a_key_and_a_unit_of_the_host(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, second_price()).await?;
        let bid = ledger.place_bid(auction, "ann", 50.into()).key("k").await?;
        ledger.place_bid(auction, "bob", 40.into()).await?;
        assert_eq!(ledger.place_bid(auction, "ann", 50.into()).key("k").await?, bid);
        let undone = ledger.atomic(async |uow| {
            ledger.place_bid(auction, "ann", 60.into()).within(uow).await?;
            ledger.place_bid(auction, "ann", 70.into()).within(uow).await?;
            Err::<(), _>(Error::from(Rejection::TakesNoBids))
        });
        assert!(undone.await.is_err());
        assert_eq!(balance(&ledger, "ann").await?, (950, 50));
        clock.set(end());
        let settled = ledger.settle(auction).key("s").await?;
        assert_eq!(ledger.settle(auction).key("s").await?, settled);
        books(world, &ledger).await?;
    }
}
