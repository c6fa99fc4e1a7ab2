//! The sixteen faults of the reference application, each shown not to be ours.

use auction_ledger::entity::{auction, entry, wallet};
use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, BroadcastSink, Currency, Error, ManualClock, Rejection,
};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use sea_orm::{ConnectionTrait, EntityTrait};

use crate::support::{World, on_every_backend, race, scale};

const WON: Currency = Currency::KRW;

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn end() -> DateTime<Utc> {
    start() + TimeDelta::hours(1)
}

/// A ledger at the start, two bidders with 100,000 each.
async fn house(world: &World) -> Result<(AuctionLedger, ManualClock), Error> {
    let clock = ManualClock::new(start());
    let ledger = AuctionLedger::new(world.db().clone()).clock(clock.clone());
    for bidder in ["ann", "bob"] {
        ledger.deposit(bidder, WON, 100_000.into()).await?;
    }
    Ok((ledger, clock))
}

fn terms() -> AuctionTerms {
    AuctionTerms::english(WON, 10_000.into(), 1_000.into()).ends_at(end())
}

async fn open(ledger: &AuctionLedger, terms: AuctionTerms) -> Result<AuctionId, Error> {
    Ok(ledger.open_auction("sam", "a thing", terms).await?.id)
}

async fn balance(ledger: &AuctionLedger, user: &str) -> Result<(Decimal, Decimal), Error> {
    let wallet = ledger.wallet(user, WON).await?;
    Ok((wallet.available, wallet.held))
}

fn rejection<T: std::fmt::Debug>(result: Result<T, Error>) -> Rejection {
    result.unwrap_err().rejection().expect("the rules say no").clone()
}

on_every_backend! {
    async fn fault_01_mirrored_outbids_do_not_deadlock(world: &World) {
        let (ledger, _) = house(world).await?;
        let (first, second) = (open(&ledger, terms()).await?, open(&ledger, terms()).await?);
        for round in 0..scale(20) {
            let low = Decimal::from(10_000 + 2_000 * i64::try_from(round)?);
            ledger.place_bid(first, "ann", low).await?;
            ledger.place_bid(second, "bob", low).await?;
            // Each outbids the other at the same moment: the wallets are the same two, in the opposite roles.
            let outcomes = race(2, |index| {
                let ledger = ledger.clone();
                async move {
                    let (auction, bidder) = [(first, "bob"), (second, "ann")][index];
                    ledger.place_bid(auction, bidder, low + Decimal::from(1_000)).await.map(drop)
                }
            })
            .await;
            for outcome in outcomes {
                outcome?;
            }
        }
    }

    async fn fault_02_the_journal_adds_up(world: &World) {
        let (ledger, clock) = house(world).await?;
        let won = open(&ledger, terms()).await?;
        ledger.place_bid(won, "ann", 10_000.into()).await?;
        let bought = open(&ledger, terms().buy_now(50_000.into())).await?;
        ledger.place_bid(bought, "ann", 20_000.into()).await?;
        ledger.buy_now(bought, "ann").await?;
        clock.set(end());
        ledger.settle(won).await?;
        for (wallet, entries) in wallet::Entity::find().find_with_related(entry::Entity).all(world.db()).await? {
            let available: i64 = entries.iter().map(|entry| entry.available_delta).sum();
            let held: i64 = entries.iter().map(|entry| entry.held_delta).sum();
            assert_eq!((available, held), (wallet.available, wallet.held));
        }
        assert_eq!(balance(&ledger, "ann").await?, (40_000.into(), 0.into()));
    }

    async fn fault_03_the_seller_bids_on_no_path(world: &World) {
        let (ledger, _) = house(world).await?;
        ledger.deposit("sam", WON, 100_000.into()).await?;
        let auction = open(&ledger, terms().buy_now(50_000.into())).await?;
        let bid = ledger.place_bid(auction, "sam", 10_000.into()).await;
        assert_eq!(rejection(bid), Rejection::SellerCannotBid);
        let bid = ledger.place_bid(auction, "sam", 50_000.into()).await;
        assert_eq!(rejection(bid), Rejection::SellerCannotBid);
        assert_eq!(rejection(ledger.buy_now(auction, "sam").await), Rejection::SellerCannotBuy);
    }

    async fn fault_04_the_start_time_is_checked(world: &World) {
        let (ledger, clock) = house(world).await?;
        let starts_at = start() + TimeDelta::minutes(10);
        let auction = open(&ledger, terms().buy_now(50_000.into()).starts_at(starts_at)).await?;
        clock.set(starts_at - TimeDelta::microseconds(1));
        let bid = ledger.place_bid(auction, "ann", 10_000.into()).await;
        assert_eq!(rejection(bid), Rejection::NotOpenYet { starts_at });
        assert_eq!(rejection(ledger.buy_now(auction, "ann").await), Rejection::NotOpenYet { starts_at });
        clock.set(starts_at);
        ledger.place_bid(auction, "ann", 10_000.into()).await?;
    }

    async fn fault_05_buying_ends_with_the_auction(world: &World) {
        let (ledger, clock) = house(world).await?;
        let auction = open(&ledger, terms().buy_now(50_000.into())).await?;
        clock.set(end());
        assert_eq!(rejection(ledger.buy_now(auction, "ann").await), Rejection::Ended { at: end() });
    }

    async fn fault_06_no_instant_belongs_to_both_the_bid_and_the_settlement(world: &World) {
        let (ledger, clock) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        clock.set(end() - TimeDelta::microseconds(1));
        assert_eq!(rejection(ledger.settle(auction).await), Rejection::NotEnded { ends_at: end() });
        ledger.place_bid(auction, "ann", 10_000.into()).await?;
        clock.set(end());
        let bid = ledger.place_bid(auction, "bob", 11_000.into()).await;
        assert_eq!(rejection(bid), Rejection::Ended { at: end() });
        ledger.settle(auction).await?;
    }

    async fn fault_07_one_failing_auction_does_not_stop_the_sweep(world: &World) {
        let (ledger, clock) = house(world).await?;
        let broken = open(&ledger, terms()).await?;
        let sound = open(&ledger, terms()).await?;
        ledger.place_bid(broken, "ann", 10_000.into()).await?;
        ledger.place_bid(sound, "bob", 10_000.into()).await?;
        // The wallet that the broken auction would pay can hold no more.
        let full = format!(
            "UPDATE al_wallet SET available = 1000000000000000000, held = 0 WHERE id = (SELECT seller_wallet_id FROM al_auction WHERE id = {broken})"
        );
        let other = ledger.open_auction("tom", "another thing", terms()).await?.id;
        ledger.place_bid(other, "bob", 10_000.into()).await?;
        world.db().execute_unprepared(&full).await?;
        clock.set(end());
        let sweep = ledger.settle_due(100).await?;
        let failed: Vec<_> = sweep.failed.iter().map(|(auction, _)| *auction).collect();
        assert_eq!(failed, [broken, sound]);
        assert_eq!(sweep.settled.iter().map(|settled| settled.auction).collect::<Vec<_>>(), [other]);
        assert_eq!(balance(&ledger, "tom").await?, (10_000.into(), 0.into()));
    }

    async fn fault_08_nothing_is_sold_below_the_current_price(world: &World) {
        let (ledger, _) = house(world).await?;
        let auction = open(&ledger, terms().buy_now(12_000.into())).await?;
        ledger.place_bid(auction, "ann", 11_500.into()).await?;
        let bid = ledger.place_bid(auction, "bob", 90_000.into()).await?;
        assert!(bid.bought);
        assert_eq!(bid.price, 12_000.into());
        assert_eq!(balance(&ledger, "bob").await?, (88_000.into(), 0.into()));
    }

    async fn fault_09_a_start_price_off_the_grid_cannot_be_opened(world: &World) {
        let (ledger, _) = house(world).await?;
        let refused = open(&ledger, AuctionTerms::english(WON, 10_500.into(), 1_000.into()).multiple_of(1_000.into()).ends_at(end())).await;
        assert!(matches!(refused, Err(Error::InvalidTerms(_))), "{refused:?}");
        // Without multiples there is no grid: every start price can be bid.
        let auction = open(&ledger, AuctionTerms::english(WON, 10_500.into(), 1_000.into()).ends_at(end())).await?;
        ledger.place_bid(auction, "ann", 10_500.into()).await?;
    }

    async fn fault_10_no_bids_is_not_a_price_of_zero(world: &World) {
        let (ledger, _) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        assert_eq!(ledger.auction(auction).await?.price, None);
        ledger.place_bid(auction, "ann", 10_000.into()).await?;
        assert_eq!(ledger.auction(auction).await?.price, Some(10_000.into()));
    }

    async fn fault_11_an_equal_amount_releases_nobody(world: &World) {
        let (ledger, _) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "ann", 10_000.into()).await?;
        let equal = ledger.place_bid(auction, "bob", 10_000.into()).await;
        assert_eq!(rejection(equal), Rejection::BelowMinimum { minimum: 11_000.into() });
        assert_eq!(balance(&ledger, "ann").await?, (90_000.into(), 10_000.into()));
        assert_eq!(balance(&ledger, "bob").await?, (100_000.into(), 0.into()));
    }

    async fn fault_12_cancelling_leaves_nothing_held(world: &World) {
        let (ledger, _) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "ann", 10_000.into()).await?;
        let cancelled = ledger.cancel(auction).reason("the thing is broken").await?;
        assert_eq!(cancelled.released.map(|outbid| outbid.released.reveal()), Some(10_000.into()));
        assert_eq!(balance(&ledger, "ann").await?, (100_000.into(), 0.into()));
    }

    async fn fault_13_a_wallet_or_an_auction_with_history_cannot_be_deleted(world: &World) {
        let (ledger, _) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "ann", 10_000.into()).await?;
        assert!(wallet::Entity::delete_many().exec(world.db()).await.is_err());
        assert!(auction::Entity::delete_many().exec(world.db()).await.is_err());
        assert_eq!(balance(&ledger, "ann").await?, (90_000.into(), 10_000.into()));
    }

    async fn fault_14_a_user_without_a_wallet_is_told_what_is_missing(world: &World) {
        let (ledger, _) = house(world).await?;
        let auction = open(&ledger, terms().buy_now(50_000.into())).await?;
        let missing = |needed: i64| Rejection::InsufficientFunds { needed: needed.into(), available: 0.into() };
        assert_eq!(rejection(ledger.place_bid(auction, "new", 10_000.into()).await), missing(10_000));
        assert_eq!(rejection(ledger.buy_now(auction, "new").await), missing(50_000));
        assert_eq!(rejection(ledger.withdraw("new", WON, 1.into()).await), missing(1));
        assert_eq!(balance(&ledger, "new").await?, (0.into(), 0.into()));
    }

    async fn fault_15_a_failing_notification_is_no_failed_bid(world: &World) {
        let (ledger, _) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        let bid = ledger
            .atomic(async |uow| {
                let bid = ledger.place_bid(auction, "ann", 10_000.into()).within(uow).await?;
                uow.on_commit(async || Err::<(), _>(std::io::Error::other("no broker")));
                Ok::<_, Error>(bid)
            })
            .await?;
        assert_eq!(bid.hooks().failed.len(), 1);
        assert_eq!(bid.price, 10_000.into());
        assert_eq!(balance(&ledger, "ann").await?, (90_000.into(), 10_000.into()));
    }

    async fn fault_16_messages_carry_a_number_so_prices_never_seem_to_fall(world: &World) {
        let (ledger, _) = house(world).await?;
        let sink = BroadcastSink::new(64);
        let mut reader = sink.subscribe();
        let ledger = ledger.sink(sink);
        let auction = open(&ledger, terms()).await?;
        for (bidder, amount) in [("ann", 10_000), ("bob", 11_000), ("ann", 12_000)] {
            ledger.place_bid(auction, bidder, amount.into()).await?;
        }
        let mut numbers = Vec::new();
        while numbers.last() != Some(&4) {
            let event = reader.recv().await?;
            numbers.push(event.seq);
        }
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}
