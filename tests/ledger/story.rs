//! The money of a bid, entry by entry.

use auction_ledger::entity::entry::Kind::{Capture, Deposit, Hold, Proceeds, Release, Withdrawal};
use auction_ledger::entity::{act, auction, entry};
use auction_ledger::{AuctionState, Rejection};
use chrono::TimeDelta;
use uuid::Uuid;

use super::{WON, balance, books, charge, end, ledger, open, rejection, start, terms};
use crate::support::{Books, on_every_backend};

/// A journal without its ids: kind, deltas, balances after it.
type Line = (entry::Kind, i64, i64, i64, i64);

fn lines(books: &Books, user: &str) -> Vec<Line> {
    let line = |row: &&entry::Model| {
        (row.kind, row.available_delta, row.held_delta, row.available_after, row.held_after)
    };
    books.journal(user).iter().map(line).collect()
}

fn of_operation(books: &Books, operation: Uuid) -> Vec<&entry::Model> {
    books.entries.iter().filter(|entry| entry.operation == operation).collect()
}

fn micros(at: chrono::DateTime<chrono::Utc>) -> i64 {
    at.timestamp_micros()
}

on_every_backend! {
    async fn a_deposit_and_a_withdrawal_are_one_entry_each(world: &World) {
        let (ledger, _) = ledger(world);
        let wallet = ledger.deposit("ann", WON, 1_000.into()).memo("card 4711").await?;
        assert_eq!((wallet.available, wallet.held), (1_000.into(), 0.into()));
        let wallet = ledger.withdraw("ann", WON, 400.into()).await?;
        assert_eq!((wallet.available, wallet.held), (600.into(), 0.into()));
        let books = books(world).await?;
        assert_eq!(lines(&books, "ann"), [(Deposit, 1_000, 0, 1_000, 0), (Withdrawal, -400, 0, 600, 0)]);
        let journal = books.journal("ann");
        assert_eq!((journal[0].memo.as_deref(), journal[1].memo.as_deref()), (Some("card 4711"), None));
        assert_eq!((journal[0].at, journal[0].auction_id), (micros(start()), None));
        assert_ne!(journal[0].operation, journal[1].operation);
        assert_eq!((books.wallets.len(), books.wallet("ann").seq), (1, 2));
    }

    async fn opening_makes_the_sellers_wallet_and_moves_no_money(world: &World) {
        let (ledger, clock) = ledger(world);
        clock.advance(TimeDelta::microseconds(7));
        let opened = ledger.open_auction("sam", "a telescope", terms().buy_now(500.into())).await?;
        assert_eq!((opened.seq, opened.price, opened.next_minimum), (1, None, Some(100.into())));
        assert_eq!((opened.buy_now_offer, opened.state), (Some(500.into()), AuctionState::Open));
        assert_eq!(ledger.auction(opened.id).await?, opened);
        let books = books(world).await?;
        let row = books.auction(opened.id);
        assert_eq!((row.title.as_str(), row.seller_wallet_id), ("a telescope", books.wallet("sam").id));
        assert_eq!((row.currency.as_str(), row.exponent), ("KRW", 0));
        assert_eq!((row.start_price, row.increment, row.multiple_of, row.buy_now_price), (100, 10, None, Some(500)));
        let now = micros(start()) + 7;
        assert_eq!((row.starts_at, row.original_ends_at, row.ends_at), (now, micros(end()), micros(end())));
        assert_eq!((row.state, row.seq, row.last_at), (auction::State::Open, 1, now));
        assert_eq!((row.leader_wallet_id, row.leader_max, row.leader_seq, row.price), (None, None, None, None));
        assert_eq!((row.runner_up_max, row.winner_wallet_id, row.sold_price), (None, None, None));
        let act = &books.acts[0];
        assert_eq!((act.kind, act.seq, act.at, act.amount), (act::Kind::Opened, 1, now, None));
        assert_eq!(act.wallet_id, Some(books.wallet("sam").id));
        assert_eq!((books.acts.len(), books.bids.len(), books.entries.len()), (1, 0, 0));
        assert_eq!(books.wallet("sam").seq, 0);
    }

    async fn outbid_releases_the_hold_in_exactly_two_entries_and_one_bid(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, terms()).await?;
        let first = ledger.place_bid(auction, "ann", 300.into()).memo("for the attic").await?;
        assert_eq!((first.seq, first.price, first.outbid.clone(), first.bought), (2, 300.into(), None, false));
        clock.advance(TimeDelta::microseconds(1));
        let before = books(world).await?;
        let second = ledger.place_bid(auction, "bob", 310.into()).await?;
        let outbid = second.outbid.clone().expect("ann lost the lead");
        assert_eq!((outbid.user.as_str(), outbid.released.reveal()), ("ann", 300.into()));
        assert_eq!((second.seq, second.maximum.reveal(), second.price), (3, 310.into(), 310.into()));
        assert_eq!((second.user.as_str(), second.ends_at, second.at), ("bob", end(), clock.now()));

        let books = books(world).await?;
        assert_eq!(lines(&books, "ann"), [
            (Deposit, 1_000, 0, 1_000, 0),
            (Hold, -300, 300, 700, 300),
            (Release, 300, -300, 1_000, 0),
        ]);
        assert_eq!(lines(&books, "bob"), [(Deposit, 1_000, 0, 1_000, 0), (Hold, -310, 310, 690, 310)]);
        assert_eq!(books.entries.len(), before.entries.len() + 2);
        assert_eq!(books.bids.len(), before.bids.len() + 1);
        assert_eq!((&books.acts, books.wallets.len()), (&before.acts, before.wallets.len()));
        let moved = of_operation(&books, second.operation.get());
        assert!(moved.iter().all(|row| row.auction_id == Some(auction.get()) && row.at == micros(second.at)));
        assert_eq!(moved.len(), 2);
        assert_eq!(of_operation(&books, first.operation.get())[0].memo.as_deref(), Some("for the attic"));

        let (ann, bob) = (books.wallet("ann").id, books.wallet("bob").id);
        let bid = &books.bids[1];
        assert_eq!((bid.auction_id, bid.seq, bid.operation), (auction.get(), 3, second.operation.get()));
        assert_eq!((bid.wallet_id, bid.amount, bid.price, bid.leader_wallet_id), (bob, 310, 310, bob));
        assert_eq!((bid.ends_at, bid.at), (micros(end()), micros(start()) + 1));
        assert_eq!(books.bids[0].wallet_id, ann);
        let row = books.auction(auction);
        assert_eq!((row.leader_wallet_id, row.leader_max, row.leader_seq), (Some(bob), Some(310), Some(3)));
        assert_eq!((row.price, row.runner_up_max, row.seq), (Some(310), Some(300), 3));
        assert_eq!((row.last_at, row.state), (micros(start()) + 1, auction::State::Open));
    }

    async fn an_own_raise_holds_the_difference_in_one_entry(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 310).await?;
        let auction = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "ann", 300.into()).await?;
        // Available are 10, and 310 is what the raise asks for.
        let raise = ledger.place_bid(auction, "ann", 310.into()).await?;
        assert_eq!((raise.outbid.clone(), raise.price), (None, 310.into()));
        let books = books(world).await?;
        assert_eq!(lines(&books, "ann")[1..], [(Hold, -300, 300, 10, 300), (Hold, -10, 10, 0, 310)]);
        assert_eq!(of_operation(&books, raise.operation.get()).len(), 1);
        assert_eq!((books.bids.len(), books.auction(auction).runner_up_max), (2, None));
        // In plain English the leader needs the increment too.
        let low = rejection(ledger.place_bid(auction, "ann", 319.into()).await);
        assert_eq!(low, Rejection::BelowMinimum { minimum: 320.into() });
        let poor = rejection(ledger.place_bid(auction, "ann", 330.into()).await);
        assert_eq!(poor, Rejection::InsufficientFunds { needed: 20.into(), available: 0.into() });
    }

    async fn a_bid_at_or_above_the_buy_now_price_buys_at_that_price(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        for (offer, rest) in [(500, 500), (900, 0)] {
            let auction = open(&ledger, terms().buy_now(500.into())).await?;
            ledger.place_bid(auction, "ann", 200.into()).await?;
            clock.advance(TimeDelta::seconds(1));
            let bid = ledger.place_bid(auction, "bob", offer.into()).await?;
            assert_eq!((bid.bought, bid.price, bid.maximum.reveal()), (true, 500.into(), offer.into()));
            assert_eq!(bid.outbid.clone().map(|outbid| outbid.released.reveal()), Some(200.into()));
            assert_eq!(balance(&ledger, "bob").await?, (rest, 0), "no more than the price is needed");
            let books = books(world).await?;
            let row = books.auction(auction);
            let bob = Some(books.wallet("bob").id);
            assert_eq!((row.state, row.winner_wallet_id, row.sold_price), (auction::State::Sold, bob, Some(500)));
            assert_eq!((row.price, row.seq, row.last_at), (Some(500), 3, micros(bid.at)));
            let act = books.acts.last().unwrap();
            assert_eq!((act.kind, act.seq, act.wallet_id, act.amount), (act::Kind::Bought, 3, bob, Some(500)));
            assert_eq!((act.operation, act.at), (bid.operation.get(), micros(bid.at)));
            assert!(books.bids.iter().all(|row| row.operation != bid.operation.get()), "it is an act, no bid");
            let moved = of_operation(&books, bid.operation.get());
            let mut kinds: Vec<_> = moved.iter().map(|row| (row.wallet_id, row.kind)).collect();
            kinds.sort_by_key(|(wallet, _)| *wallet);
            let id = |user| books.wallet(user).id;
            assert_eq!(kinds, [(id("ann"), Release), (id("bob"), Capture), (id("sam"), Proceeds)]);
        }
        assert_eq!(balance(&ledger, "sam").await?, (1_000, 0));
        assert_eq!(balance(&ledger, "ann").await?, (1_000, 0));
    }

    async fn buying_while_leading_pays_with_the_hold(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 500).await?;
        let auction = open(&ledger, terms().buy_now(500.into())).await?;
        ledger.place_bid(auction, "ann", 300.into()).await?;
        let purchase = ledger.buy_now(auction, "ann").memo("gift").await?;
        assert_eq!((purchase.buyer.as_str(), purchase.seller.as_str()), ("ann", "sam"));
        assert_eq!((purchase.price, purchase.seq, purchase.outbid.clone()), (500.into(), 3, None));
        let books = books(world).await?;
        assert_eq!(lines(&books, "ann"), [
            (Deposit, 500, 0, 500, 0),
            (Hold, -300, 300, 200, 300),
            (Capture, -200, -300, 0, 0),
        ]);
        assert_eq!(lines(&books, "sam"), [(Proceeds, 500, 0, 500, 0)]);
        for row in of_operation(&books, purchase.operation.get()) {
            assert_eq!(row.memo.as_deref(), Some("gift"), "{row:?}");
        }
        assert_eq!(books.auction(auction).runner_up_max, None, "nobody was beaten");
    }

    async fn buying_over_another_releases_the_leader_and_pays_the_seller(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, terms().buy_now(500.into())).await?;
        ledger.place_bid(auction, "ann", 490.into()).await?;
        clock.set(end() - TimeDelta::microseconds(1));
        let purchase = ledger.buy_now(auction, "bob").await?;
        let outbid = purchase.outbid.clone().expect("ann lost the lead");
        assert_eq!((outbid.user.as_str(), outbid.released.reveal()), ("ann", 490.into()));
        let books = books(world).await?;
        assert_eq!(lines(&books, "ann")[1..], [(Hold, -490, 490, 510, 490), (Release, 490, -490, 1_000, 0)]);
        assert_eq!(lines(&books, "bob")[1..], [(Capture, -500, 0, 500, 0)]);
        assert_eq!(lines(&books, "sam"), [(Proceeds, 500, 0, 500, 0)]);
        assert_eq!(of_operation(&books, purchase.operation.get()).len(), 3);
        let row = books.auction(auction);
        let bob = Some(books.wallet("bob").id);
        assert_eq!((row.leader_wallet_id, row.leader_max, row.leader_seq), (bob, Some(500), Some(3)));
        assert_eq!((row.runner_up_max, row.winner_wallet_id), (Some(490), bob));
        let auction = ledger.auction(auction).await?;
        assert_eq!((auction.next_minimum, auction.buy_now_offer), (None, None));
        assert_eq!(auction.leader.unwrap().as_str(), "bob");
    }

    /// The note of a bid is the bidder's; a purchase that a bid makes does not show it to the seller.
    async fn the_memo_of_a_bid_stays_in_the_bidders_wallet(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, terms().buy_now(500.into())).await?;
        ledger.place_bid(auction, "ann", 200.into()).memo("ann's").await?;
        ledger.place_bid(auction, "bob", 210.into()).memo("bob's").await?;
        let memos = |books: &Books, user: &str| -> Vec<Option<String>> {
            books.journal(user).iter().map(|row| row.memo.clone()).collect()
        };
        let first = books(world).await?;
        assert_eq!(memos(&first, "ann"), [None, Some("ann's".to_owned()), None]);
        assert_eq!(memos(&first, "bob"), [None, Some("bob's".to_owned())]);
        ledger.place_bid(auction, "ann", 500.into()).memo("mine at last").await?;
        let second = books(world).await?;
        assert_eq!(memos(&second, "ann")[3], Some("mine at last".to_owned()));
        assert_eq!(memos(&second, "bob")[2], None);
        assert_eq!(memos(&second, "sam"), [None], "PlaceBid::memo: for the entry of the bidder's wallet");
    }

    async fn a_rejection_writes_nothing(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let auction = open(&ledger, terms().buy_now(900.into())).await?;
        ledger.place_bid(auction, "ann", 200.into()).await?;
        let before = books(world).await?;
        clock.advance(TimeDelta::seconds(5));
        rejection(ledger.place_bid(auction, "bob", 209.into()).await);
        rejection(ledger.place_bid(auction, "sam", 300.into()).await);
        rejection(ledger.place_bid(auction, "nobody", 300.into()).await);
        rejection(ledger.buy_now(auction, "sam").await);
        rejection(ledger.withdraw("ann", WON, 801.into()).await);
        rejection(ledger.withdraw("nobody", WON, 1.into()).await);
        assert_eq!(books(world).await?, before);
    }

    async fn one_user_leads_two_auctions_and_sells_a_third(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let (first, second) = (open(&ledger, terms()).await?, open(&ledger, terms()).await?);
        let third = ledger.open_auction("ann", "a tripod", terms().buy_now(400.into())).await?.id;
        ledger.place_bid(first, "ann", 300.into()).await?;
        ledger.place_bid(second, "ann", 400.into()).await?;
        assert_eq!(balance(&ledger, "ann").await?, (300, 700));
        ledger.buy_now(third, "bob").await?;
        assert_eq!(balance(&ledger, "ann").await?, (700, 700));
        ledger.place_bid(first, "bob", 310.into()).await?;
        assert_eq!(balance(&ledger, "ann").await?, (1_000, 400));
        let books = books(world).await?;
        let kinds: Vec<_> = books.journal("ann").iter().map(|row| row.kind).collect();
        assert_eq!(kinds, [Deposit, Hold, Hold, Proceeds, Release]);
        assert_eq!(books.total(), 2_000);
    }
}
