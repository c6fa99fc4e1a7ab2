//! The host's default isolation is not the one the ledger was made for.

use std::sync::atomic::{AtomicUsize, Ordering};

use auction_ledger::unit_of_work::{Retry, UnitOfWork};
use auction_ledger::{AuctionId, AuctionLedger, Error, Rejection};
use rust_decimal::Decimal;
use sea_orm::{ConnectionTrait, DatabaseConnection, IsolationLevel};

use super::{Log, Result, Wish, audit, close_the_house, on_connect, one, terms};
use crate::support::{Database, World, on_every_backend, race, scale};

const BIDDERS: usize = 6;

/// A pool on whose connections a transaction has this isolation unless it asks for another.
async fn pool_with_default(world: &World, level: IsolationLevel) -> Result<DatabaseConnection> {
    let (pool, read) = match world.database() {
        Database::Sqlite => return Ok(world.connect(BIDDERS as u32).await),
        Database::Postgres => {
            let name: String = one(world.db(), "SELECT current_database()").await?;
            let set =
                format!("ALTER DATABASE {name} SET default_transaction_isolation = '{level}'");
            world.db().execute_unprepared(&set.to_lowercase()).await?;
            let read = "SELECT current_setting('transaction_isolation')";
            (world.connect(BIDDERS as u32).await, read)
        }
        Database::Mariadb => {
            let set = format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}");
            let pool = world.connect_with(BIDDERS as u32, |options| on_connect(options, set)).await;
            (pool, "SELECT @@SESSION.tx_isolation")
        }
    };
    let there = one::<String>(&pool, read).await?.replace('-', " ");
    assert_eq!(there.to_uppercase(), level.to_string(), "the default is the one that was set");
    Ok(pool)
}

/// How often the database could not order commands among their neighbours.
#[derive(Clone, Copy, Debug, Default)]
struct Conflicts {
    /// Attempts of the host's own units after the first one.
    repeated: usize,
    /// Commands that came to nothing in spite of all attempts.
    exhausted: usize,
}

/// Bids until `count` bids are accepted.
async fn bid(
    (ledger, log): (AuctionLedger, Log),
    auctions: [AuctionId; 2],
    bidder: usize,
    (level, count): (IsolationLevel, usize),
) -> std::result::Result<Conflicts, Error> {
    let attempts = AtomicUsize::new(0);
    let (mut accepted, mut units, mut amount) = (0, 0, Decimal::from(10));
    let mut conflicts = Conflicts::default();
    while accepted < count {
        let auction = auctions[accepted % 2];
        let wish = Wish::Bid { auction, user: format!("bidder {bidder}"), amount };
        // The verb alone runs at the default; a host's own unit asks for the level, on every database.
        let outcome = if bidder.is_multiple_of(2) {
            log.send(&ledger, wish).await
        } else {
            let root = ledger.unit_of_work().isolation(level);
            let retry = Retry::new();
            units += 1;
            log.record(async |note| {
                let send = async |uow: &UnitOfWork| {
                    attempts.fetch_add(1, Ordering::SeqCst);
                    wish.carry_out(&ledger, note, Some(uow)).await
                };
                Ok(retry.atomic(root, send).await?.into_value())
            })
            .await
        };
        match outcome {
            Ok(_) => (accepted, amount) = (accepted + 1, 10.into()),
            Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => amount = minimum,
            // Typed, and nothing is stored: the audit sees to that.
            Err(error) if error.is_retryable() => conflicts.exhausted += 1,
            // Above all no lack of money: everybody has plenty.
            Err(error) => return Err(error),
        }
    }
    conflicts.repeated = attempts.into_inner() - units;
    Ok(conflicts)
}

async fn contend_at(world: &World, level: IsolationLevel) -> Result {
    let log = Log::new("bid");
    let ledger = AuctionLedger::new(pool_with_default(world, level).await?);
    for bidder in 0..BIDDERS {
        let user = format!("bidder {bidder}");
        log.send(&ledger, Wish::Deposit { user, amount: 1_000_000 }).await?;
    }
    let mut auctions = [AuctionId::from(0); 2];
    for auction in &mut auctions {
        let terms = terms().ends_in(std::time::Duration::from_secs(3600));
        let opened = log.send(&ledger, Wish::Open { seller: "sam".to_owned(), terms }).await?;
        *auction = opened.auction.expect("the opening says which");
    }
    let mut conflicts = Conflicts::default();
    for _ in 0..scale(3) {
        let outcomes = race(BIDDERS, |bidder| {
            bid((ledger.clone(), log.clone()), auctions, bidder, (level, 8))
        });
        for outcome in outcomes.await {
            let Conflicts { repeated, exhausted } = outcome?;
            conflicts.repeated += repeated;
            conflicts.exhausted += exhausted;
        }
        audit(world.database(), world.db(), &log).await?;
    }
    let books = audit(world.database(), world.db(), &log).await?;
    println!("{level}: {conflicts:?}; {:?}", log.compare(&books));
    // Elsewhere whoever waited for a lock reads what it waited for.
    let must = world.database() == Database::Postgres;
    assert!(!must || conflicts.repeated > 0, "nothing was in conflict: the test shows nothing");
    assert_eq!(books.bids.len(), scale(3) * 8 * BIDDERS, "every bidder got through");
    close_the_house(world.database(), world.db(), &ledger, &log).await
}

on_every_backend! {
    async fn bidders_at_repeatable_read_get_through_and_the_books_balance(world: &World) {
        contend_at(world, IsolationLevel::RepeatableRead).await?;
    }

    async fn bidders_at_serializable_get_through_and_the_books_balance(world: &World) {
        contend_at(world, IsolationLevel::Serializable).await?;
    }
}
