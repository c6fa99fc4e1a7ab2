//! An auction that was opened and bid on with the tables of 0.1.0 goes on after the migrations that came later.

use auction_ledger::{AuctionLedger, AuctionState, ManualClock, Rejection};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::ConnectionTrait;

use super::{WON, balance, books, end, rejection, start, user};
use crate::support::{Database, on_every_backend_bare};

/// What 0.1.0 wrote: Sam opened two auctions from 10 in steps of 1, to be bought for 50, Ann paid in 100 and bid 20 on the first.
fn rows(database: Database) -> Vec<String> {
    let (at, until) = (start().timestamp_micros(), end().timestamp_micros());
    let bytes = |hex: &str| match database {
        Database::Postgres => format!(r"'\x{hex}'"),
        Database::Sqlite | Database::Mariadb => format!("X'{hex}'"),
    };
    let operation = |number: u32| match database {
        Database::Postgres => format!("'00000000-0000-0000-0000-{number:012x}'"),
        Database::Sqlite | Database::Mariadb => format!("X'{number:032x}'"),
    };
    let (sam, ann) = (bytes("73616d"), bytes("616e6e"));
    let auction = |leader: &str, seq: i64| {
        format!(
            "INSERT INTO al_auction (title, seller_wallet_id, currency, exponent, start_price, increment, multiple_of, buy_now_price, \
             starts_at, original_ends_at, ends_at, state, leader_wallet_id, leader_max, leader_seq, price, runner_up_max, \
             winner_wallet_id, sold_price, seq, last_at) VALUES ('a thing', 1, 'KRW', 0, 10, 1, NULL, 50, {at}, {until}, {until}, 1, \
             {leader}, NULL, NULL, NULL, {seq}, {at})"
        )
    };
    let wallet = |owner: &str, available: i64, held: i64, seq: i64| {
        format!(
            "INSERT INTO al_wallet (owner, currency, exponent, available, held, seq, last_at) \
             VALUES ({owner}, 'KRW', 0, {available}, {held}, {seq}, {at})"
        )
    };
    let act = |auction: i64, number| {
        let operation = operation(number);
        format!("INSERT INTO al_act VALUES ({auction}, 1, {operation}, 1, 1, NULL, NULL, {at})")
    };
    let (deposit, bid) = (operation(3), operation(4));
    vec![
        wallet(&sam, 0, 0, 0),
        wallet(&ann, 80, 20, 2),
        auction("2, 20, 2, 20", 2),
        auction("NULL, NULL, NULL, NULL", 1),
        act(1, 1),
        act(2, 2),
        format!(
            "INSERT INTO al_entry VALUES (2, 1, {deposit}, 1, 100, 0, 100, 0, NULL, NULL, {at})"
        ),
        format!("INSERT INTO al_entry VALUES (2, 2, {bid}, 3, -20, 20, 80, 20, 1, NULL, {at})"),
        format!("INSERT INTO al_bid VALUES (1, 2, {bid}, 2, 20, 20, 2, {until}, {at})"),
    ]
}

on_every_backend_bare! {
    async fn an_auction_of_0_1_0_goes_on(world: &World) {
        Migrator::up(world.db(), Some(1)).await?;
        for row in rows(world.database()) {
            world.db().execute_unprepared(&row).await?;
        }
        Migrator::up(world.db(), None).await?;
        let clock = ManualClock::new(start());
        let ledger = AuctionLedger::new(world.db().clone()).clock(clock.clone());
        assert!(ledger.doctor().await?.is_healthy());
        books(world, &ledger).await?;

        let (first, second) = (1.into(), 2.into());
        let auction = ledger.auction(first).await?;
        assert_eq!((auction.leader, auction.price, auction.next_minimum), (Some(user("ann")), Some(20.into()), Some(21.into())));
        assert_eq!((auction.automatic_bidding, auction.reserve_met, auction.buy_now_offer), (false, None, Some(50.into())));
        ledger.deposit("bob", WON, 200.into()).await?;
        assert_eq!(rejection(ledger.place_bid(first, "bob", 20.into()).await), Rejection::BelowMinimum { minimum: 21.into() });
        ledger.place_bid(first, "bob", 30.into()).await?;
        assert_eq!((balance(&ledger, "ann").await?, balance(&ledger, "bob").await?), ((100, 0), (170, 30)));
        assert_eq!(ledger.buy_now(second, "bob").await?.price, 50.into());
        clock.set(end());
        assert_eq!(ledger.settle(first).await?.sold.map(|sale| sale.winner), Some(user("bob")));
        assert_eq!(ledger.auction(first).await?.state, AuctionState::Sold);
        assert_eq!((balance(&ledger, "bob").await?, balance(&ledger, "sam").await?), ((120, 0), (80, 0)));
        books(world, &ledger).await?;
    }
}
