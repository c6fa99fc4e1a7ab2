//! Queries, row locks, the sweep of what is due, and readers of events.

use std::time::Duration;

use auction_ledger::entity::{auction, wallet};
use auction_ledger::unit_of_work::{Atomic, LockWait};
use auction_ledger::{
    AuctionId, AuctionState, AuctionTerms, BroadcastSink, CommandStatus, Error, HouseShare,
    RecordingSink,
};
use chrono::TimeDelta;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::bench::{Bench, integer};
use super::polls::Polls;
use super::sweep::{Act, Stores, sweep};
use super::verb::Verb;
use super::{WON, until};
use crate::support::{Database, on_every_backend, scale};

/// Everything that only reads, and what is refused before it writes.
const QUERIES: [&str; 16] = [
    "auction",
    "auction_for",
    "auctions",
    "holds",
    "bids",
    "acts",
    "wallet",
    "entries",
    "balance_at",
    "outcome",
    "audit",
    "doctor",
    "settle again",
    "a key again",
    "a refusal",
    "a refusal with a key",
];

fn query<'b>(bench: &'b Bench<'_>, name: &'static str, auction: AuctionId) -> Act<'b> {
    let ledger = &bench.ledger;
    Box::pin(async move {
        match name {
            "auction" => ledger.auction(auction).await.map(drop),
            "auction_for" => ledger.auction_for(auction, "ann").await.map(drop),
            "auctions" => ledger.auctions(AuctionState::Sold).await.map(drop),
            "holds" => ledger.holds("ann", WON).await.map(drop),
            "bids" => ledger.bids(auction).await.map(drop),
            "acts" => ledger.acts(auction).await.map(drop),
            "wallet" => ledger.wallet("ann", WON).await.map(drop),
            "entries" => ledger.entries("ann", WON).await.map(drop),
            "balance_at" => ledger.balance_at("ann", WON, bench.clock.now()).await.map(drop),
            "outcome" => {
                let settled = ledger.settle(auction).await?;
                let status = ledger.outcome(&settled.command()).await?;
                assert_eq!(status, CommandStatus::Committed);
                Ok(())
            }
            "audit" => ledger.audit().auctions(auction..=auction).await.map(|report| {
                assert!(report.is_clean(), "{report:?}");
            }),
            "doctor" => ledger.doctor().await.map(drop),
            "settle again" => ledger.settle(auction).await.map(drop),
            "a key again" => ledger.close_early(auction).key(key(auction)).await.map(drop),
            "a refusal" | "a refusal with a key" => {
                let bid = ledger.place_bid(auction, "bob", 30.into());
                let bid = if name == "a refusal" { bid } else { bid.key("refused") };
                let refused = bid.await;
                assert!(matches!(refused, Err(Error::Rejected(_))), "{refused:?}");
                Ok(())
            }
            unknown => panic!("no query is called {unknown}"),
        }
    })
}

/// Of the request that closed it.
fn key(auction: AuctionId) -> String {
    format!("close {auction}")
}

/// An auction with bids that is sold.
async fn sold(bench: &Bench<'_>) -> Result<AuctionId, Error> {
    let auction = Verb::Outbid.prepare(bench).await?.auction;
    bench.host.close_early(auction).key(key(auction)).await?;
    Ok(auction)
}

/// Three auctions that are due, and none else.
async fn due(bench: &Bench<'_>) -> Result<(), Error> {
    _ = bench.host.settle_due(1_000).await?;
    let end = bench.clock.now() + TimeDelta::seconds(1);
    for _ in 0..3 {
        let terms = AuctionTerms::english(WON, 10.into(), 1.into()).ends_at(end);
        let auction = bench.host.open_auction("sam", "a thing", terms).await?.id;
        bench.host.place_bid(auction, "ann", 20.into()).await?;
    }
    bench.clock.set(end);
    Ok(())
}

/// Whether somebody waits for a row lock. On SQLite nobody tells.
async fn waits(bench: &Bench<'_>) -> bool {
    let waiting = match bench.world.database() {
        Database::Sqlite => return false,
        Database::Postgres => {
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        }
        // Not information_schema.innodb_trx: that view stays as it is for as long as somebody keeps asking.
        Database::Mariadb => {
            "SELECT count(*) FROM information_schema.processlist WHERE db = database() \
             AND id <> CONNECTION_ID() AND command = 'Execute' AND info LIKE '%FOR UPDATE%'"
        }
    };
    integer(bench.world.db(), waiting).await.is_ok_and(|count| count > 0)
}

on_every_backend! {
    /// Outside a unit of work a query has the connection to itself, and leaves it without its answer to the next one.
    async fn a_query_dropped_anywhere_leaves_nothing_behind(world: &World) {
        let bench = Bench::new(world).await?;
        for name in QUERIES {
            sweep(&bench, name, Stores::Nothing, sold, |bench, auction, _| {
                query(bench, name, auction)
            })
            .await?;
        }
        bench.end().await?;
    }

    async fn a_sweep_dropped_anywhere_has_settled_some_auctions_wholly(world: &World) {
        let bench = Bench::new(world).await?;
        sweep(&bench, "settle_due", Stores::Parts, due, |bench, (), _| {
            Box::pin(async move {
                let swept = bench.ledger.settle_due(10).await?;
                assert_eq!((swept.settled.len(), swept.failed.len()), (3, 0));
                Ok(())
            })
        })
        .await?;
        bench.end().await?;
    }

    async fn a_purge_dropped_anywhere_has_purged_some_keys_and_no_money(world: &World) {
        let bench = Bench::new(world).await?;
        let keys = async |bench: &Bench<'_>| {
            for number in 0..3 {
                bench.host.deposit("ann", WON, 1.into()).key(format!("{number}")).await?;
            }
            bench.clock.advance(TimeDelta::seconds(2));
            Ok(())
        };
        sweep(&bench, "purge_keys", Stores::Parts, keys, |bench, (), _| {
            Box::pin(async move { bench.ledger.purge_keys(Duration::from_secs(1)).await.map(drop) })
        })
        .await?;
        bench.end().await?;
    }

    async fn a_collection_dropped_anywhere_has_collected_each_share_once(world: &World) {
        let bench = Bench::new(world).await?;
        let shares = async |bench: &Bench<'_>| {
            let terms = AuctionTerms::fixed_price(WON, 10.into());
            let terms = terms.fee(HouseShare::basis_points(10_00)).ends_in(Duration::from_secs(9));
            let auction = bench.host.open_auction("sam", "a thing", terms).await?.id;
            bench.host.buy_now(auction, "ann").await.map(drop)
        };
        sweep(&bench, "collect_house", Stores::Parts, shares, |bench, (), _| {
            Box::pin(async move { bench.ledger.collect_house("the house", WON).await.map(drop) })
        })
        .await?;
        bench.end().await?;
    }

    async fn rows_locked_by_whoever_is_dropped_are_free_again(world: &World) {
        let bench = Bench::new(world).await?;
        let rows = async |bench: &Bench<'_>| {
            let wallet = wallet::Entity::find_by_id(1).one(bench.world.db()).await?;
            Ok((sold(bench).await?, wallet.expect("ann has one")))
        };
        sweep(&bench, "locks", Stores::Whole, rows, |bench, (auction, wallet), log| {
            Box::pin(async move {
                let done = bench.pool.atomic(async |uow| {
                    log.watch(uow);
                    let locked = uow.lock_one::<auction::Entity>(auction.get()).await?;
                    assert!(locked.is_some());
                    let wallets = uow.lock_many::<wallet::Entity>([3, 1, 2], LockWait::Wait).await?;
                    assert_eq!(wallets.len(), 3);
                    if bench.world.database() != Database::Sqlite {
                        let open = auction::Entity::find().filter(auction::Column::Seq.gt(0));
                        assert!(!uow.lock(open, LockWait::NoWait).await?.is_empty());
                    }
                    assert!(uow.refresh(&wallet).await?.is_some());
                    bench.ledger.deposit("ann", WON, 1.into()).within(uow).await?;
                    Ok::<_, Error>(())
                });
                done.await.map(|done| done.into_value())
            })
        })
        .await?;
        bench.end().await?;
    }

    /// H18: what waits goes on waiting in the server. It gets the lock, and lets go of it.
    async fn whoever_is_dropped_while_waiting_for_a_lock_does_not_keep_it(world: &World) {
        let bench = Bench::new(world).await?;
        for _ in 0..scale(5) {
            let scene = Verb::Outbid.prepare(&bench).await?;
            let before = bench.books().await?;
            let holder = bench.host.atomic(async |uow| {
                uow.lock_one::<auction::Entity>(scene.auction.get()).await?;
                let bid = Verb::Outbid.run(&bench.ledger, &scene, None);
                let waiting = async {
                    match world.database() {
                        Database::Sqlite => tokio::time::sleep(Duration::from_millis(20)).await,
                        _ => until("it waits for the lock", async || waits(&bench).await).await,
                    }
                };
                tokio::select! {
                    bid = bid => panic!("the row is locked: {bid:?}"),
                    () = waiting => Ok::<_, Error>(()),
                }
            });
            _ = holder.await?;
            bench.assert_clean().await?;
            assert_eq!(bench.books().await?, before);
        }
        bench.end().await?;
    }

    async fn an_event_is_not_lost_with_whoever_waited_for_it(world: &World) {
        let (public, recorded) = (BroadcastSink::new(256), RecordingSink::new());
        let mut reader = public.subscribe_for("ann");
        let bench = Bench::new(world).await?;
        let ledger = bench.host.clone().sink(public).sink(recorded.clone());
        let bids = scale(20);
        let bidding = async {
            let terms = AuctionTerms::english(WON, 10.into(), 1.into()).ends_in(Duration::from_secs(9));
            let auction = ledger.open_auction("sam", "a thing", terms).await?.id;
            for bid in 0..bids {
                let user = if bid % 2 == 0 { "ann" } else { "bob" };
                ledger.place_bid(auction, user, (10 + bid as i64).into()).await?;
            }
            Ok::<_, Error>(())
        };
        let reading = async {
            let (mut seen, mut dropped) = (Vec::new(), 0);
            while seen.len() <= bids {
                let polls = 1 + dropped % 2;
                match tokio::time::timeout(Duration::from_millis(1), Polls::of(reader.recv()).poll(polls)).await {
                    Ok(Some(event)) => {
                        let event = event.expect("the reader is fast enough");
                        if event.recipient().is_none() {
                            seen.push(event.seq);
                        }
                    }
                    Ok(None) | Err(_) => dropped += 1,
                }
                let waiting = Polls::of(recorded.wait_for(usize::MAX)).poll(1).await;
                assert!(waiting.is_none());
            }
            (seen, dropped)
        };
        let (done, (seen, dropped)) = tokio::join!(bidding, reading);
        done?;
        assert!(seen.into_iter().eq(1..=bids as i64 + 1));
        assert!(dropped > 0, "it was to be dropped while it waited");
        // The opening, the bids, and for each but the first an `Outbid` and a `HoldReleased`.
        assert_eq!(recorded.wait_for(1 + bids + 2 * (bids - 1)).await.len(), 1 + bids + 2 * (bids - 1));
        bench.end().await?;
    }
}
