//! Reading the past: by cursor, and at an instant.

use auction_ledger::entity::{act, entry};
use auction_ledger::{AuctionId, AuctionLedger, Error, ManualClock};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;

use super::{WON, books, charge, end, ledger, open, start, terms};
use crate::support::{Books, on_every_backend, scale};

/// Bids of two users, one each second from the start on, and one act at each end.
async fn long_story(
    ledger: &AuctionLedger,
    clock: &ManualClock,
    bids: i64,
) -> Result<AuctionId, Error> {
    charge(ledger, &["ann", "bob"], 1_000_000).await?;
    let auction = open(ledger, terms()).await?;
    for index in 0..bids {
        clock.advance(TimeDelta::seconds(1));
        let user = if index % 3 == 0 { "ann" } else { "bob" };
        ledger
            .place_bid(auction, user, Decimal::from(10 + index))
            .memo(format!("bid {index}"))
            .await?;
    }
    clock.set(end());
    ledger.settle(auction).await?;
    Ok(auction)
}

async fn had(
    ledger: &AuctionLedger,
    user: &str,
    at: DateTime<Utc>,
) -> Result<(Decimal, Decimal), Error> {
    let wallet = ledger.balance_at(user, WON, at).await?;
    assert_eq!((wallet.user.as_str(), wallet.currency), (user, WON));
    Ok((wallet.available, wallet.held))
}

on_every_backend! {
    async fn pages_of_any_size_are_the_whole(world: &World) {
        let (ledger, clock) = ledger(world);
        let count = scale(60) as i64;
        let auction = long_story(&ledger, &clock, count).await?;
        // Another auction and other wallets are not in it.
        let other = open(&ledger, terms().ends_at(end() + TimeDelta::hours(1))).await?;
        ledger.place_bid(other, "ann", 10.into()).await?;
        let rows = books(world, 2_000_000).await?;
        let bids = ledger.bids(auction).await?;
        assert_eq!(bids.len(), count as usize);
        for (bid, row) in bids.iter().zip(rows.bids.iter().filter(|row| row.auction_id == auction.get())) {
            assert_eq!((bid.seq, bid.operation.get(), bid.amount), (row.seq, row.operation, row.amount.into()));
            assert_eq!((bid.price, bid.at.timestamp_micros()), (row.price.into(), row.at));
            assert_eq!(bid.ends_at, end());
            assert_eq!(bid.user.as_str(), if (bid.seq - 2) % 3 == 0 { "ann" } else { "bob" });
        }
        let acts = ledger.acts(auction).await?;
        assert_eq!(acts.iter().map(|act| (act.seq, act.kind)).collect::<Vec<_>>(), [(1, act::Kind::Opened), (count + 2, act::Kind::Settled)]);
        assert_eq!(acts[1].amount, Some((9 + count).into()));
        let entries = ledger.entries("ann", WON).limit(1_000).await?;
        let stored: Vec<_> = rows.entries.iter().filter(|row| row.wallet_id == rows.wallets[0].id).collect();
        assert_eq!(entries.len(), stored.len());
        for (entry, row) in entries.iter().zip(stored) {
            assert_eq!((entry.seq, entry.operation.get(), entry.kind), (row.seq, row.operation, row.kind));
            assert_eq!((entry.available_delta, entry.held_delta), (row.available_delta.into(), row.held_delta.into()));
            assert_eq!((entry.available_after, entry.held_after), (row.available_after.into(), row.held_after.into()));
            assert_eq!((entry.auction.map(AuctionId::get), &entry.memo, entry.at.timestamp_micros()), (row.auction_id, &row.memo, row.at));
            assert_eq!(entry.kind == entry::Kind::Hold, entry.memo.is_some() && entry.auction == Some(auction) || entry.auction == Some(other));
        }
        for size in [1, 2, 7, 59, 60, 61, 1_000] {
            let (mut pages, mut after) = (Vec::new(), 0);
            loop {
                let page = ledger.bids(auction).after(after).limit(size).await?;
                assert!(page.len() <= size as usize);
                let Some(last) = page.last() else { break };
                after = last.seq;
                pages.extend(page);
            }
            assert_eq!(pages, bids, "bids by {size}");
            let (mut pages, mut after) = (Vec::new(), 0);
            loop {
                let page = ledger.entries("ann", WON).limit(size).after(after).await?;
                let Some(last) = page.last() else { break };
                after = last.seq;
                pages.extend(page);
            }
            assert_eq!(pages, entries, "entries by {size}");
            let first = ledger.acts(auction).limit(size).await?;
            assert_eq!(first, acts[..acts.len().min(size as usize)]);
        }
        assert_eq!(ledger.acts(auction).after(1).await?, acts[1..]);
    }

    async fn a_page_is_a_hundred_unless_asked(world: &World) {
        let (ledger, clock) = ledger(world);
        let auction = long_story(&ledger, &clock, 102).await?;
        assert_eq!(ledger.bids(auction).await?.len(), 100);
        assert_eq!(ledger.bids(auction).limit(101).await?.len(), 101);
        assert_eq!(ledger.bids(auction).after(101).await?.len(), 2);
        let entries = ledger.entries("bob", WON).await?;
        assert_eq!((entries.len(), entries[99].seq), (100, 100));
    }

    async fn a_page_behind_the_last_is_empty(world: &World) {
        let (ledger, clock) = ledger(world);
        let auction = long_story(&ledger, &clock, 3).await?;
        for after in [5, 6, i64::MAX] {
            assert!(ledger.bids(auction).after(after).await?.is_empty());
            assert!(ledger.acts(auction).after(after).await?.is_empty());
        }
        assert!(ledger.entries("ann", WON).after(i64::MAX).await?.is_empty());
        assert!(ledger.bids(auction).limit(0).await?.is_empty());
        assert!(ledger.acts(auction).limit(0).await?.is_empty());
        assert!(ledger.entries("ann", WON).limit(0).await?.is_empty());
        assert!(ledger.entries("nobody", WON).await?.is_empty());
        for after in [-1, i64::MIN] {
            assert_eq!(ledger.bids(auction).after(after).await?.len(), 3);
            assert_eq!(ledger.acts(auction).after(after).await?.len(), 2);
        }
        let empty = open(&ledger, terms().ends_at(end() + TimeDelta::hours(1))).await?;
        assert!(ledger.bids(empty).await?.is_empty());
    }

    async fn a_page_of_any_limit_is_no_panic(world: &World) {
        let (ledger, clock) = ledger(world);
        let auction = long_story(&ledger, &clock, 3).await?;
        for limit in [i64::MAX as u64, u64::MAX] {
            assert_eq!(ledger.bids(auction).limit(limit).await?.len(), 3);
            assert_eq!(ledger.acts(auction).limit(limit).await?.len(), 2);
            assert!(!ledger.entries("ann", WON).limit(limit).await?.is_empty());
        }
    }

    async fn an_unknown_auction_has_no_history(world: &World) {
        let (ledger, _) = ledger(world);
        for id in [0, 1, -1] {
            let auction = AuctionId::from(id);
            assert!(matches!(ledger.bids(auction).await, Err(Error::UnknownAuction { auction: named }) if named == auction));
            assert!(matches!(ledger.acts(auction).limit(0).await, Err(Error::UnknownAuction { .. })));
        }
    }

    async fn a_balance_is_that_of_the_last_entry_at_or_before_the_instant(world: &World) {
        let (ledger, clock) = ledger(world);
        let micro = TimeDelta::microseconds(1);
        let at = |second: i64| start() + TimeDelta::seconds(second);
        clock.set(at(1));
        ledger.deposit("ann", WON, 100.into()).await?;
        let auction = open(&ledger, terms()).await?;
        clock.set(at(2));
        ledger.place_bid(auction, "ann", 30.into()).await?;
        clock.set(at(3));
        // Two entries at one instant.
        ledger.deposit("ann", WON, 5.into()).await?;
        ledger.withdraw("ann", WON, 50.into()).await?;
        clock.set(end());
        ledger.settle(auction).await?;
        let rows: [(DateTime<Utc>, i64, i64); 12] = [
            (DateTime::<Utc>::MIN_UTC, 0, 0),
            (at(0), 0, 0),
            (at(1) - micro, 0, 0),
            (at(1), 100, 0),
            (at(2) - micro, 100, 0),
            // Finer than a microsecond is cut off.
            (at(2) + TimeDelta::nanoseconds(999), 70, 30),
            (at(3) - TimeDelta::nanoseconds(1), 70, 30),
            (at(3), 25, 30),
            (at(3) + micro, 25, 30),
            (end() - micro, 25, 30),
            (end(), 25, 0),
            (DateTime::<Utc>::MAX_UTC, 25, 0),
        ];
        for (instant, available, held) in rows {
            assert_eq!(had(&ledger, "ann", instant).await?, (available.into(), held.into()), "{instant}");
        }
        assert_eq!(had(&ledger, "sam", end() - micro).await?, (0.into(), 0.into()));
        assert_eq!(had(&ledger, "sam", end()).await?, (30.into(), 0.into()));
        assert_eq!(had(&ledger, "nobody", end()).await?, (0.into(), 0.into()));
    }

    async fn every_past_balance_is_found_again(world: &World) {
        let (ledger, clock) = ledger(world);
        long_story(&ledger, &clock, scale(20) as i64).await?;
        let dump = Books::read(world.db()).await?;
        for entry in &dump.entries {
            let owner = dump.wallets.iter().find(|wallet| wallet.id == entry.wallet_id).unwrap();
            let user = String::from_utf8(owner.owner.clone())?;
            let at = DateTime::from_timestamp_micros(entry.at).unwrap();
            let last = dump.entries.iter().rfind(|other| other.wallet_id == entry.wallet_id && other.at <= entry.at).unwrap();
            assert_eq!(had(&ledger, &user, at).await?, (last.available_after.into(), last.held_after.into()));
        }
    }

    async fn history_within_a_unit_of_work_is_that_of_the_unit(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 100).await?;
        let auction = open(&ledger, terms()).await?;
        let seen = ledger
            .atomic(async |uow| {
                ledger.place_bid(auction, "ann", 10.into()).within(uow).await?;
                let bids = ledger.bids(auction).within(uow).await?.len();
                let acts = ledger.acts(auction).within(uow).await?.len();
                let entries = ledger.entries("ann", WON).within(uow).await?.len();
                let held = ledger.balance_at("ann", WON, start()).within(uow).await?.held;
                uow.set_rollback_only();
                assert_eq!((bids, acts, entries, held), (1, 1, 2, 10.into()));
                Ok::<_, Error>(())
            })
            .await;
        assert!(matches!(seen, Err(Error::UnitOfWork(_))));
        assert!(ledger.bids(auction).await?.is_empty());
    }
}
