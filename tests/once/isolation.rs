//! H26: an infrastructure error is never reported as a refusal of the rules, at no isolation level.

use auction_ledger::unit_of_work::{Retry, UnitOfWork};
use auction_ledger::{AuctionId, AuctionLedger, Error, Rejection};
use sea_orm::IsolationLevel::{ReadCommitted, RepeatableRead, Serializable};
use sea_orm::{ConnectionTrait, EntityTrait, IsolationLevel};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{WON, house};
use crate::support::{Books, Database, World, on_every_backend};

/// A command of somebody whose first money comes in after the snapshot was taken.
#[derive(Clone, Copy, Debug)]
enum Late {
    Bid,
    Buy,
    Withdraw,
    Deposit,
}

impl Late {
    async fn send(
        self,
        ledger: &AuctionLedger,
        auction: AuctionId,
        user: &str,
        uow: &UnitOfWork,
    ) -> Result<(), Error> {
        match self {
            Self::Bid => ledger.place_bid(auction, user, 100.into()).within(uow).await.map(drop),
            Self::Buy => ledger.buy_now(auction, user).within(uow).await.map(drop),
            Self::Withdraw => ledger.withdraw(user, WON, 5.into()).within(uow).await.map(drop),
            Self::Deposit => ledger.deposit(user, WON, 5.into()).within(uow).await.map(drop),
        }
    }
}

async fn snapshot(uow: &UnitOfWork) -> Result<(), sea_orm::DbErr> {
    auction_ledger::entity::wallet::Entity::find().all(uow).await.map(drop)
}

/// A unit of a host that takes its snapshot, and then learns of a user who has just paid. Returns the attempts it took.
async fn late(
    world: &World,
    level: IsolationLevel,
    command: Late,
    user: &'static str,
) -> Result<u32, Error> {
    let (ledger, _, auction) = house(world).await?;
    let paid = AtomicU32::new(0);
    let retry = Retry::new();
    let root = ledger.unit_of_work().isolation(level);
    let attempts = retry.atomic(root, async |uow| {
        snapshot(uow).await?;
        if paid.fetch_add(1, Ordering::SeqCst) == 0 {
            let ledger = ledger.clone();
            // Another host, on another connection.
            tokio::spawn(async move { ledger.deposit(user, WON, 2_000.into()).await })
                .await
                .unwrap()?;
        }
        command.send(&ledger, auction, user, uow).await?;
        Ok::<_, Error>(uow.attempt())
    });
    Ok(attempts.await?.into_value())
}

on_every_backend! {
    async fn a_user_who_has_paid_is_never_told_that_they_have_nothing(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(()); // there is one writer, so nobody can have paid meanwhile
        }
        let mut user = 0;
        for level in [ReadCommitted, RepeatableRead, Serializable] {
            // On MariaDB a serializable read locks what it has read: the payment would wait for this unit.
            if (world.database(), level) == (Database::Mariadb, Serializable) {
                continue;
            }
            for command in [Late::Bid, Late::Buy, Late::Withdraw, Late::Deposit] {
                user += 1;
                let name: &'static str = Box::leak(format!("late {user}").into_boxed_str());
                let attempts = late(world, level, command, name).await?;
                let snapshot = world.database() == Database::Postgres && level != ReadCommitted;
                assert_eq!(attempts, if snapshot { 2 } else { 1 }, "{level:?} {command:?}");
            }
        }
        Books::read(world.db()).await?.check();
    }

    async fn a_user_without_money_is_told_so_at_every_level_and_no_wallet_stays(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let before = Books::read(world.db()).await?;
        for level in [ReadCommitted, RepeatableRead, Serializable] {
            for command in [Late::Bid, Late::Buy, Late::Withdraw] {
                let root = ledger.unit_of_work().isolation(level);
                let refused = root.atomic(async |uow| {
                    snapshot(uow).await?;
                    let refused = command.send(&ledger, auction, "nobody", uow).await.unwrap_err();
                    assert!(uow.refusal().is_none(), "the unit goes on");
                    Ok::<_, Error>(refused)
                });
                let refused = refused.await?.into_value();
                assert!(matches!(refused.rejection(), Some(Rejection::InsufficientFunds { .. })), "{refused:?}");
            }
        }
        assert_eq!(Books::read(world.db()).await?, before);
    }

    /// Verbs go on where the server's default is a snapshot, and many bid at once.
    async fn verbs_are_right_where_the_default_is_serializable(world: &World) {
        let (_, clock, auction) = house(world).await?;
        let db = world.connect(6).await;
        let set = match world.database() {
            Database::Sqlite => "SELECT 1".to_owned(),
            Database::Postgres => {
                let name = world.url().rsplit('/').next().unwrap();
                format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
            }
            Database::Mariadb => "SELECT 1".to_owned(),
        };
        db.execute_unprepared(&set).await?;
        // Connections made from now on have the new default.
        let ledger = AuctionLedger::new(world.connect(6).await).clock(clock);
        for user in 0..6 {
            ledger.deposit(user, WON, 1_000.into()).await?;
        }
        let bids = crate::support::race(6, |user| {
            let ledger = ledger.clone();
            async move {
                for step in 0..10_i64 {
                    let amount = 100 + step * 60 + user as i64 * 10;
                    match ledger.place_bid(auction, user as i64, amount.into()).await {
                        Ok(_) => {}
                        Err(Error::Rejected(Rejection::BelowMinimum { .. })) => {}
                        Err(other) => return Err(other),
                    }
                }
                Ok::<_, Error>(())
            }
        });
        bids.await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let books = Books::read(world.db()).await?;
        books.check();
        assert!(!books.bids.is_empty());
    }
}
