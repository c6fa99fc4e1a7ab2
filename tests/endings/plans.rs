//! The cost of a command does not grow with the number of bids.

use std::sync::{Arc, Mutex};

use auction_ledger::entity::{bid, wallet};
use auction_ledger::{AuctionId, AuctionLedger, OperationId};
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, Statement};

use super::{balance, charge, end, ledger, open, start, terms};
use crate::support::{Database, World, on_every_backend, scale};

/// What was sent, in order.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<Statement>>>);

impl Sent {
    fn take(&self) -> Vec<Statement> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A ledger whose statements are noted.
async fn watched(world: &World) -> (AuctionLedger, auction_ledger::ManualClock, Sent) {
    let mut db: DatabaseConnection = world.connect(2).await;
    let sent = Sent::default();
    let noted = sent.clone();
    db.set_metric_callback(move |info| noted.0.lock().unwrap().push(info.statement.clone()));
    let clock = auction_ledger::ManualClock::new(start());
    (AuctionLedger::new(db).clock(clock.clone()), clock, sent)
}

/// Puts bids on an auction, each of a wallet of its own, behind the ledger's back. The last one leads.
async fn crowd(world: &World, auction: AuctionId, bids: i64) -> Result<(), DbErr> {
    let first = 1_000_000_i64;
    let held = |index: i64| if index == bids { 9 + bids } else { 0 };
    let all: Vec<i64> = (1..=bids).collect();
    for some in all.chunks(3_000) {
        let wallets = some.iter().map(|index| wallet::ActiveModel {
            id: Set(first + index),
            owner: Set(format!("crowd {index}").into_bytes()),
            currency: Set("KRW".into()),
            exponent: Set(0),
            available: Set(0),
            held: Set(held(*index)),
            seq: Set(0),
            last_at: Set(start().timestamp_micros()),
        });
        wallet::Entity::insert_many(wallets).exec_without_returning(world.db()).await?;
        let rows = some.iter().map(|index| bid::ActiveModel {
            auction_id: Set(auction.get()),
            seq: Set(1 + index),
            operation: Set(OperationId::new().get()),
            wallet_id: Set(first + index),
            amount: Set(9 + index),
            price: Set(9 + index),
            leader_wallet_id: Set(first + index),
            ends_at: Set(end().timestamp_micros()),
            at: Set(start().timestamp_micros()),
        });
        bid::Entity::insert_many(rows).exec_without_returning(world.db()).await?;
    }
    let update = format!(
        "UPDATE al_auction SET seq = {seq}, leader_seq = {seq}, leader_wallet_id = {leader}, leader_max = {price}, \
         price = {price}, runner_up_max = {runner_up} WHERE id = {auction}",
        seq = 1 + bids,
        leader = first + bids,
        price = 9 + bids,
        runner_up = (8 + bids).max(1),
    );
    world.db().execute_unprepared(&update).await?;
    let analyze = match world.database() {
        Database::Mariadb => "ANALYZE TABLE al_bid, al_wallet, al_auction",
        _ => "ANALYZE",
    };
    world.db().execute_unprepared(analyze).await?;
    Ok(())
}

/// A statement may put rows into `al_bid`; it must not look at any.
fn looks_at_bids(statement: &Statement) -> bool {
    let text = statement.sql.replace(['"', '`'], "").to_lowercase();
    text.matches("al_bid").count() != text.matches("insert into al_bid").count()
}

/// Every cell of the plan as one text.
async fn plan(db: &DatabaseConnection, statement: &Statement) -> Result<String, DbErr> {
    let backend = db.get_database_backend();
    let explain = match backend {
        sea_orm::DbBackend::Sqlite => format!("EXPLAIN QUERY PLAN {statement}"),
        sea_orm::DbBackend::Postgres => format!("EXPLAIN {statement}"),
        _ => format!("EXPLAIN {statement}"),
    };
    let rows = db.query_all_raw(Statement::from_string(backend, explain)).await?;
    let mut text = String::new();
    for row in rows {
        for column in row.column_names() {
            if let Ok(Some(cell)) = row.try_get::<Option<String>>("", &column) {
                text += &format!("{column}={cell}; ");
            }
        }
        text.push('\n');
    }
    Ok(text)
}

on_every_backend! {
    async fn no_command_looks_at_the_bids_of_its_auction(world: &World) {
        let (plain, _) = ledger(world);
        charge(&plain, &["ann", "bob", "cyd"], 10_000_000).await?;
        let bids = scale(100_000) as i64;
        let crowded = open(&plain, terms().buy_now(5_000_000.into())).await?;
        crowd(world, crowded, bids).await?;
        let quiet = open(&plain, terms().buy_now(5_000_000.into())).await?;
        plain.place_bid(quiet, "cyd", 10.into()).await?;
        plain.place_bid(quiet, "bob", 11.into()).await?;

        let (ledger, clock, sent) = watched(world).await;
        ledger.wallet("ann", super::WON).await?;
        assert_eq!(sent.take().len(), 1, "what is sent is noted");
        let mut lists = Vec::new();
        for (auction, price) in [(quiet, 11), (crowded, 9 + bids)] {
            // One that has seen no wallet, and so looks for them.
            let (ledger, clock, sent) = watched(world).await;
            // Outbids a stranger, raises the own bid, is refused.
            let bid = ledger.place_bid(auction, "ann", (price + 1).into()).await?;
            assert!(bid.outbid.is_some());
            ledger.place_bid(auction, "ann", (price + 2).into()).await?;
            ledger.place_bid(auction, "bob", (price + 2).into()).await.unwrap_err();
            ledger.settle(auction).await.unwrap_err();
            ledger.cancel(auction).by("sam").await.unwrap_err();
            ledger.buy_now(auction, "bob").await?;
            clock.set(end());
            assert!(ledger.settle(auction).await?.repeated);
            clock.set(start());
            let list = sent.take();
            for statement in &list {
                assert!(!looks_at_bids(statement), "{}", statement.sql);
            }
            let places = list.iter().filter(|one| one.sql.to_lowercase().contains("al_bid")).count();
            assert_eq!(places, 2, "two bids are written");
            lists.push(list.into_iter().map(|statement| statement.sql).collect::<Vec<_>>());
        }
        assert_eq!(lists[0], lists[1], "the same statements, whether there are two bids or many");

        // And the other endings.
        for (auction, ending) in [(open(&plain, terms()).await?, 0), (open(&plain, terms()).await?, 1), (open(&plain, terms()).await?, 2)] {
            plain.place_bid(auction, "ann", 10.into()).await?;
            sent.take();
            match ending {
                0 => drop(ledger.close_early(auction).await?),
                1 => drop(ledger.cancel(auction).await?),
                _ => {
                    clock.set(end());
                    let sweep = ledger.settle_due(10).await?;
                    assert_eq!(sweep.settled.len(), 1);
                }
            }
            let list = sent.take();
            assert!(!list.is_empty());
            for statement in &list {
                assert!(!looks_at_bids(statement), "{}", statement.sql);
            }
        }
        assert_eq!(balance(&plain, "ann").await?.1, 0);
    }

    async fn a_page_of_history_is_read_by_its_key(world: &World) {
        let (plain, _) = ledger(world);
        let bids = scale(100_000).max(5_000) as i64;
        let auction = open(&plain, terms()).await?;
        crowd(world, auction, bids).await?;
        let (ledger, _, sent) = watched(world).await;
        for after in [0, bids / 2, bids - 50] {
            let page = ledger.bids(auction).after(after).await?;
            let expected = after.max(1) + 1..(after + 101).min(bids + 2);
            let numbers: Vec<i64> = page.iter().map(|bid| bid.seq).collect();
            assert_eq!(numbers.first(), Some(&expected.start));
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            let list = sent.take();
            let of_bids: Vec<_> = list.iter().filter(|one| one.sql.contains("al_bid")).collect();
            assert_eq!(of_bids.len(), 1);
            let plan = plan(world.db(), of_bids[0]).await?;
            let good = match world.database() {
                Database::Sqlite => plan.contains("SEARCH al_bid USING PRIMARY KEY") && !plan.contains("B-TREE"),
                Database::Postgres => plan.contains("Index Scan using al_bid_pkey") && !plan.contains("Sort") && !plan.contains("Seq Scan"),
                Database::Mariadb => plan.contains("key=PRIMARY") && !plan.contains("filesort") && !plan.contains("type=ALL"),
            };
            assert!(good, "{}\n{plan}", of_bids[0]);
        }
    }

    async fn a_page_of_as_many_bidders_as_there_are_is_read(world: &World) {
        let (ledger, _) = ledger(world);
        let bids = scale(70_000) as i64;
        let auction = open(&ledger, terms()).await?;
        crowd(world, auction, bids).await?;
        let all = ledger.bids(auction).limit(1_000_000).await?;
        assert_eq!(all.len() as i64, bids);
        assert_eq!(all.last().unwrap().user.as_str(), format!("crowd {bids}"));
    }
}
