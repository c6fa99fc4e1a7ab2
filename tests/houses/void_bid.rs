//! A bid that is void: the auction stands as if it had never been.

use auction_ledger::entity::act::Kind;
use auction_ledger::{AuctionTerms, Error, EventKind, HouseShare, RecordingSink, Rejection};
use sea_orm::IsolationLevel;

use super::{WON, automatic, balance, books, charge, end, ledger, open, rejection, user};
use crate::faults::on_servers;
use crate::support::{Database, on_every_backend};

on_every_backend! {
    async fn the_best_of_the_others_leads_again(world: &World) {
        let (ledger, clock) = ledger(world);
        let sink = RecordingSink::new();
        let ledger = ledger.sink(sink.clone());
        charge(&ledger, &["ann", "bob", "cid"], 1_000).await?;
        let auction = open(&ledger, automatic().premium(HouseShare::basis_points(10_00))).await?;
        for (name, maximum) in [("ann", 50), ("bob", 80), ("cid", 500)] {
            ledger.place_bid(auction, name, maximum.into()).await?;
        }
        assert_eq!(ledger.auction(auction).await?.price, Some(85.into()));
        let voided = ledger.void_bid(auction, 4, "a typing error").await?;
        assert_eq!((voided.bid, voided.bidder.as_str(), voided.seq), (4, "cid", 5));
        assert_eq!((voided.leader, voided.price), (Some(user("bob")), Some(55.into())));
        assert_eq!(voided.skipped, Vec::<i64>::new());
        assert_eq!(balance(&ledger, "cid").await?, (1_000, 0));
        assert_eq!(balance(&ledger, "bob").await?, (912, 88));
        books(world, &ledger).await?;

        let bids = ledger.bids(auction).await?;
        let marked: Vec<_> = bids.iter().filter(|bid| bid.voided).map(|bid| bid.seq).collect();
        assert_eq!(marked, [4]);
        let act = ledger.acts(auction).await?.pop().expect("it is an act");
        assert_eq!((act.kind, act.bid, act.seq), (Kind::BidVoided, Some(4), 5));
        assert_eq!((act.user, act.reason.as_deref()), (None, Some("a typing error")));
        let events = sink.events();
        let told: Vec<_> = events.into_iter().filter(|event| event.seq == 5).map(|event| event.kind).collect();
        let (price, reason) = (Some(55.into()), Some("a typing error".to_owned()));
        assert_eq!(told, [
            EventKind::BidVoided { bid: 4, leader: Some(user("bob")), price, reason },
            EventKind::BidLost { user: user("cid"), bid: 4, cannot_pay: false },
            EventKind::HoldReleased { user: user("cid"), amount: 550.into() },
            EventKind::HeldAgain { user: user("bob") },
        ]);
        // A bid that did not lead: the price follows.
        ledger.void_bid(auction, 2, "another").await?;
        assert_eq!(ledger.auction(auction).await?.price, Some(10.into()));
        let gone = rejection(ledger.void_bid(auction, 2, "again").await);
        assert_eq!(gone, Rejection::NoSuchBid);
        ledger.place_bid(auction, "ann", 15.into()).await?;
        books(world, &ledger).await?;
        clock.set(end());
        // Until it is settled, also after its end.
        ledger.void_bid(auction, 3, "the last one").await?;
        let sale = ledger.settle(auction).await?.sold.expect("ann is left");
        assert_eq!((sale.winner, sale.price), (user("ann"), 10.into()));
        assert!(matches!(rejection(ledger.void_bid(auction, 7, "late").await), Rejection::Closed { .. }));
        books(world, &ledger).await?;
    }

    async fn whoever_cannot_pay_any_more_is_skipped(world: &World) {
        let (ledger, _clock) = ledger(world);
        charge(&ledger, &["ann", "bob", "cid"], 100).await?;
        let auction = open(&ledger, AuctionTerms::english(WON, 10.into(), 5.into()).ends_at(end())).await?;
        for (name, amount) in [("ann", 20), ("bob", 30), ("bob", 40), ("cid", 60)] {
            ledger.place_bid(auction, name, amount.into()).await?;
        }
        // Bob can pay neither of his bids any more.
        ledger.withdraw("bob", WON, 75.into()).await?;
        let voided = ledger.void_bid(auction, 5, "a fraud").by("sam").await?;
        assert_eq!((voided.leader, voided.price), (Some(user("ann")), Some(20.into())));
        assert_eq!(voided.skipped, [4, 3]);
        assert_eq!(balance(&ledger, "ann").await?, (80, 20));
        let acts = ledger.acts(auction).await?;
        assert!(acts[1..].iter().all(|act| act.user == Some(user("sam"))), "each says who: {acts:?}");
        let kinds: Vec<_> = acts.iter().map(|act| (act.seq, act.kind, act.bid)).collect();
        assert_eq!(kinds[1..], [
            (6, Kind::BidVoided, Some(5)), (7, Kind::BidSkipped, Some(4)), (8, Kind::BidSkipped, Some(3)),
        ]);
        books(world, &ledger).await?;
        ledger.void_bid(auction, 2, "the last").await?;
        let now = ledger.auction(auction).await?;
        assert_eq!((now.leader, now.price, now.next_minimum), (None, None, Some(10.into())));
        books(world, &ledger).await?;
    }

    async fn a_raise_that_is_void_leaves_the_bid_before_it(world: &World) {
        let (ledger, _clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;
        for (name, maximum) in [("ann", 50), ("bob", 30), ("ann", 200)] {
            ledger.place_bid(auction, name, maximum.into()).await?;
        }
        let voided = ledger.void_bid(auction, 4, "not meant").key("v").await?;
        assert_eq!((voided.leader.clone(), voided.price), (Some(user("ann")), Some(35.into())));
        assert_eq!(balance(&ledger, "ann").await?, (950, 50));
        assert_eq!(ledger.void_bid(auction, 4, "not meant").key("v").await?, voided);
        books(world, &ledger).await?;
    }

    /// A seller can until the end, and never where bids are sealed.
    async fn a_seller_makes_a_bid_void_until_the_end(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;
        for (name, maximum) in [("ann", 50), ("bob", 80)] {
            ledger.place_bid(auction, name, maximum.into()).await?;
        }
        let sealed = open(&ledger, AuctionTerms::sealed_first_price(WON, 10.into()).ends_at(end())).await?;
        ledger.place_bid(sealed, "ann", 50.into()).await?;
        let before = books(world, &ledger).await?;
        let by = |auction, bid, user: &str| ledger.void_bid(auction, bid, "no show last time").by(user);
        for user in ["ann", "bob", "nobody"] {
            assert_eq!(rejection(by(auction, 3, user).await), Rejection::NotSeller);
        }
        assert_eq!(rejection(by(auction, 4, "sam").await), Rejection::NoSuchBid);
        assert_eq!(rejection(by(sealed, 2, "sam").await), Rejection::Sealed);
        assert_eq!(rejection(by(sealed, 9, "sam").await), Rejection::Sealed, "nor whether there is one");
        assert_eq!(books(world, &ledger).await?, before);

        let voided = by(auction, 3, "sam").key("v").await?;
        assert_eq!((voided.bidder.as_str(), voided.leader.clone()), ("bob", Some(user("ann"))));
        assert_eq!(by(auction, 3, "sam").key("v").await?, voided);
        let act = ledger.acts(auction).await?.pop().expect("it is an act");
        assert_eq!((act.kind, act.user, act.bid), (Kind::BidVoided, Some(user("sam")), Some(3)));
        assert_eq!(act.reason.as_deref(), Some("no show last time"));
        // Ann holds 50 again here, and 50 on the sealed one.
        assert_eq!((balance(&ledger, "bob").await?, balance(&ledger, "ann").await?), ((1_000, 0), (900, 100)));
        // Whoever has made all bids void can cancel: nobody leads.
        let other = open(&ledger, automatic()).await?;
        ledger.place_bid(other, "bob", 20.into()).await?;
        assert_eq!(rejection(ledger.cancel(other).by("sam").await), Rejection::HasBids);
        by(other, 2, "sam").await?;
        ledger.cancel(other).by("sam").await?;
        clock.set(end());
        assert!(matches!(rejection(by(auction, 2, "sam").await), Rejection::Ended { .. }));
        // The house still can.
        assert_eq!(ledger.void_bid(auction, 2, "a fraud").await?.leader, None);
        books(world, &ledger).await?;
    }

    /// The lead is the same as behind the bid that is void, and yet it is another bid.
    async fn whoever_bids_again_is_seen_again(world: &World) {
        for terms in [AuctionTerms::english(WON, 10.into(), 5.into()).ends_at(end()), automatic()] {
            let (ledger, _clock) = ledger(world);
            charge(&ledger, &["ann"], 1_000).await?;
            let auction = open(&ledger, terms).await?;
            ledger.place_bid(auction, "ann", 20.into()).await?;
            ledger.void_bid(auction, 2, "a mistake").await?;
            ledger.place_bid(auction, "ann", 20.into()).await?;
            let shown: Vec<_> = ledger.bids(auction).await?.iter().map(|bid| (bid.seq, bid.voided)).collect();
            assert_eq!(shown, [(2, true), (4, false)]);
            assert_eq!(ledger.bids(auction).after(2).await?.len(), 1);
        }
    }

    async fn a_sealed_bid_is_released_and_its_bidder_bids_again(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, AuctionTerms::sealed_second_price(WON, 10.into()).ends_at(end())).await?;
        for (name, amount) in [("ann", 50), ("bob", 900)] {
            ledger.place_bid(auction, name, amount.into()).await?;
        }
        let voided = ledger.void_bid(auction, 3, "one zero too many").await?;
        assert_eq!(ledger.outcome(&voided.command()).await?, auction_ledger::CommandStatus::Committed);
        assert_eq!((voided.leader, voided.price), (None, None));
        let page = ledger.auction_for(auction, "bob").await?;
        assert_eq!((page.own_maximum, page.next_minimum), (None, Some(10.into())));
        assert_eq!(balance(&ledger, "bob").await?, (1_000, 0));
        books(world, &ledger).await?;
        ledger.place_bid(auction, "bob", 20.into()).await?;
        ledger.place_bid(auction, "bob", 30.into()).await?;
        assert_eq!(rejection(ledger.void_bid(auction, 5, "a raise stands").await), Rejection::NoSuchBid);
        ledger.void_bid(auction, 6, "once more").await?;
        clock.set(end());
        let sale = ledger.settle(auction).await?.sold.expect("ann is left");
        assert_eq!((sale.winner, sale.price), (user("ann"), 10.into()));
        assert_eq!(ledger.bids(auction).await?.len(), 1);
        books(world, &ledger).await?;
    }
}

on_servers! {
    /// The host's snapshot is older than the seller's wallet and the auction: MariaDB's locks see both, PostgreSQL's neither.
    async fn a_snapshot_of_the_host_makes_no_seller_a_stranger(world: &World) {
        let (ledger, _clock) = ledger(world);
        charge(&ledger, &["ann"], 1_000).await?;
        let root = ledger.unit_of_work().isolation(IsolationLevel::RepeatableRead);
        let voided = root.atomic(async |uow| {
            ledger.wallet("ann", WON).within(uow).await?;
            let other = ledger.clone();
            let opened = tokio::spawn(async move {
                let auction = open(&other, automatic()).await?;
                other.place_bid(auction, "ann", 50.into()).await?;
                Ok::<_, Error>(auction)
            });
            let auction = opened.await.expect("it does not panic")?;
            Ok::<_, Error>(ledger.void_bid(auction, 2, "a mistake").by("sam").within(uow).await)
        });
        let voided = voided.await?.into_value();
        match world.database() {
            Database::Mariadb => assert_eq!(voided?.bidder.as_str(), "ann"),
            _ => assert!(matches!(voided, Err(Error::UnknownAuction { .. })), "{voided:?}"),
        }
        books(world, &ledger).await?;
    }
}
