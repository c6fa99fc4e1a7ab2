//! An adversary locks wallets in the reverse of the ledger's order, over and over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auction_ledger::unit_of_work::{Atomic, ErrorKind, Retry, UnitOfWork};
use auction_ledger::{AuctionId, AuctionLedger, Error, Rejection};
use rust_decimal::Decimal;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use tokio::sync::watch;

use super::{Log, Result, Wish, audit, close_the_house, on_servers, one, terms};
use crate::support::{Database, World, race, scale};

const USERS: [&str; 3] = ["ann", "bob", "cyd"];

/// PostgreSQL looks for deadlocks a second after it began to wait; a test has not so much time.
async fn find_deadlocks_at_once(world: &World) -> Result {
    if world.database() == Database::Postgres {
        let name: String = one(world.db(), "SELECT current_database()").await?;
        let set = format!("ALTER DATABASE {name} SET deadlock_timeout = '20ms'");
        world.db().execute_unprepared(&set).await?;
    }
    Ok(())
}

/// Locks the three wallets backwards until told to stop; how often it was the victim. Every other time it has written
/// so much before that MariaDB prefers the ledger as the victim.
async fn lock_backwards(
    db: DatabaseConnection,
    wallets: Vec<i64>,
    stop: watch::Receiver<bool>,
) -> std::result::Result<usize, DbErr> {
    let mut victim = 0;
    let mut round = 0;
    while !*stop.borrow() {
        round += 1;
        let locked = db.atomic(async |uow| {
            if round % 2 == 0 {
                uow.execute_unprepared("UPDATE weight SET n = n + 1").await?;
            }
            for wallet in wallets.iter().rev() {
                let lock = format!("SELECT id FROM al_wallet WHERE id = {wallet} FOR UPDATE");
                one::<i64>(uow, &lock).await?;
                tokio::task::yield_now().await;
            }
            Ok::<_, DbErr>(())
        });
        match locked.await {
            Ok(_) => {}
            Err(error) if ErrorKind::of(&error) == ErrorKind::Deadlock => victim += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(victim)
}

/// Bids until a bid is accepted; every other bidder does it in a unit of work of the host.
async fn bid_until_accepted(
    ledger: &AuctionLedger,
    log: &Log,
    (auction, user): (AuctionId, &str),
    host: bool,
    repeated: &AtomicUsize,
) -> std::result::Result<(), Error> {
    let mut amount = Decimal::from(10);
    loop {
        let wish = Wish::Bid { auction, user: user.to_owned(), amount };
        let outcome = if host {
            let retry = Retry::new().attempts(50);
            let attempt = async |uow: &UnitOfWork, note: &str| {
                repeated.fetch_add(usize::from(uow.attempt() > 1), Ordering::SeqCst);
                wish.clone().carry_out(ledger, note, Some(uow)).await
            };
            log.record(async |note| {
                let done = retry
                    .atomic(ledger.unit_of_work(), async |uow| attempt(uow, note).await)
                    .await?;
                Ok(done.into_value())
            })
            .await
        } else {
            log.send(ledger, wish).await
        };
        match outcome {
            Ok(_) => return Ok(()),
            Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => amount = minimum,
            Err(error) => return Err(error),
        }
    }
}

on_servers! {
    async fn an_adversary_who_locks_wallets_backwards_costs_nobody_a_bid(world: &World) {
        find_deadlocks_at_once(world).await?;
        world.db().execute_unprepared("CREATE TABLE weight (n INTEGER)").await?;
        let rows = "INSERT INTO weight VALUES (1), (2), (3), (4), (5), (6), (7), (8)";
        world.db().execute_unprepared(rows).await?;
        let log = Log::new("bid");
        // Its connections are made now, with the new setting.
        let ledger = AuctionLedger::new(world.connect(6).await).retry(Retry::new().attempts(50));
        for user in USERS {
            log.send(&ledger, Wish::Deposit { user: user.to_owned(), amount: 1_000_000 }).await?;
        }
        let mut auctions = Vec::new();
        for _ in 0..2 {
            let terms = terms().ends_in(std::time::Duration::from_secs(3600));
            let opened = log.send(&ledger, Wish::Open { seller: "sam".to_owned(), terms }).await?;
            auctions.push(opened.auction.expect("the opening says which"));
        }
        let books = audit(world.database(), world.db(), &log).await?;
        let wallets = USERS.map(|user| books.wallet(user).id).to_vec();
        let stop = watch::Sender::new(false);
        let backwards = lock_backwards(world.connect(1).await, wallets, stop.subscribe());
        let adversary = tokio::spawn(backwards);
        let repeated = Arc::new(AtomicUsize::new(0));
        let bids = scale(60).max(20);
        let outcomes = race(4, |index| {
            let (ledger, log, auctions) = (ledger.clone(), log.clone(), auctions.clone());
            let repeated = Arc::clone(&repeated);
            async move {
                for bid in 0..bids {
                    let user = USERS[(index + bid) % USERS.len()];
                    let at = (auctions[(index / 2 + bid) % 2], user);
                    bid_until_accepted(&ledger, &log, at, index % 2 == 0, &repeated).await?;
                }
                Ok::<_, Error>(())
            }
        });
        let outcomes = outcomes.await;
        stop.send_replace(true);
        let victim = adversary.await??;
        for outcome in outcomes {
            outcome?;
        }
        let repeated = repeated.load(Ordering::SeqCst);
        println!("{victim} times the adversary was the victim, {repeated} times a host was");
        assert!(victim + repeated > 0, "there was no deadlock: the test shows nothing");
        let books = audit(world.database(), world.db(), &log).await?;
        assert_eq!(books.bids.len(), 4 * bids, "every bid was accepted in the end");
        close_the_house(world.database(), world.db(), &ledger, &log).await?;
    }
}
