use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auction_ledger::unit_of_work::UnitOfWork;
use auction_ledger::{
    AuctionId, AuctionLedger, Eligibility, EligibilityCheck, Error, Rejection, UserId,
};
use sea_orm::{ConnectionTrait, DbErr, Statement};

use super::{automatic, books, charge, ledger, open, rejection};
use crate::support::on_every_backend;

/// Reads the table `bans`, and counts how often it is asked.
#[derive(Clone, Default)]
struct Bans(Arc<AtomicUsize>);

#[async_trait::async_trait]
impl EligibilityCheck for Bans {
    async fn eligibility(
        &self,
        uow: &UnitOfWork,
        _: AuctionId,
        user: &UserId,
    ) -> Result<Eligibility, Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let rows = uow
            .query_all_raw(Statement::from_string(
                uow.get_database_backend(),
                "SELECT name FROM bans",
            ))
            .await?;
        let names: Vec<String> =
            rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, DbErr>>()?;
        Ok(if names.iter().any(|name| name == user.as_str()) {
            Eligibility::Banned
        } else {
            Eligibility::Eligible
        })
    }
}

async fn guarded(
    ledger: &AuctionLedger,
    db: &impl ConnectionTrait,
) -> Result<(AuctionLedger, Bans), DbErr> {
    db.execute_unprepared("CREATE TABLE bans (name VARCHAR(64))").await?;
    let bans = Bans::default();
    Ok((ledger.clone().eligibility_check(bans.clone()), bans))
}

/// Says the same of everybody.
pub(crate) struct Everybody(pub(crate) Eligibility);

#[async_trait::async_trait]
impl EligibilityCheck for Everybody {
    async fn eligibility(
        &self,
        _: &UnitOfWork,
        _: AuctionId,
        _: &UserId,
    ) -> Result<Eligibility, Error> {
        Ok(self.0)
    }
}

on_every_backend! {
    async fn lists_and_deposits_are_asked_about_before_any_price(world: &World) {
        let (host, _) = ledger(world);
        charge(&host, &["ann"], 1_000).await?;
        let auction = open(&host, automatic()).await?;
        let (few, enough) = (10.into(), 100.into());
        let deposit = |held| Eligibility::Deposit { required: enough, held };
        for why in [Eligibility::NotOnList, deposit(few)] {
            let ledger = host.clone().eligibility_check(Everybody(why));
            let refused = rejection(ledger.place_bid(auction, "ann", 1.into()).await);
            assert_eq!(refused, Rejection::NotEligible { why });
        }
        for may in [Eligibility::Eligible, deposit(enough)] {
            let ledger = host.clone().eligibility_check(Everybody(may));
            let refused = rejection(ledger.place_bid(auction, "ann", 1.into()).await);
            assert!(matches!(refused, Rejection::BelowMinimum { .. }), "{refused:?}");
        }
        assert_eq!(host.auction(auction).await?.price, None);
        books(world, &host).await?;
    }

    async fn whoever_is_banned_neither_bids_nor_buys(world: &World) {
        let (ledger, _) = ledger(world);
        let (ledger, bans) = guarded(&ledger, world.db()).await?;
        charge(&ledger, &["ann", "eve"], 1_000).await?;
        let auction = open(&ledger, automatic().buy_now(90.into())).await?;
        ledger.place_bid(auction, "eve", 20.into()).await?;
        world.db().execute_unprepared("INSERT INTO bans VALUES ('eve')").await?;
        let why = Eligibility::Banned;
        for amount in [1, 50, 90] {
            let refused = rejection(ledger.place_bid(auction, "eve", amount.into()).await);
            assert_eq!(refused, Rejection::NotEligible { why });
        }
        assert_eq!(rejection(ledger.buy_now(auction, "eve").await), Rejection::NotEligible { why });
        assert_eq!(rejection(ledger.take(auction, "eve", 5.into()).await), Rejection::NotEligible { why });
        assert_eq!(bans.0.load(Ordering::SeqCst), 6);
        // Nobody else is asked about, and nothing else is.
        ledger.place_bid(auction, "ann", 60.into()).key("once").await?;
        ledger.place_bid(auction, "ann", 60.into()).key("once").await?;
        ledger.cancel(auction).await?;
        assert_eq!(bans.0.load(Ordering::SeqCst), 7, "a request that was answered before is not judged again");
        books(world, &ledger).await?;
    }

    /// A check that fails is no refusal: the bid is not stored, and the caller hears why.
    async fn a_check_that_fails_stores_nothing(world: &World) {
        let (ledger, _) = ledger(world);
        let ledger = ledger.eligibility_check(Bans::default());
        charge(&ledger, &["ann"], 1_000).await?;
        let auction = open(&ledger, automatic()).await?;
        let error = ledger.place_bid(auction, "ann", 20.into()).await.expect_err("there is no such table");
        assert!(!error.is_rejection(), "{error:?}");
        assert!(error.is_known_not_stored(), "{error:?}");
        assert_eq!(ledger.auction(auction).await?.price, None);
        books(world, &ledger).await?;
    }
}
