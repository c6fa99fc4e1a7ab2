//! How auctions end: settled, closed early, called off; alone, in a sweep, and with the host's own rows.

use auction_ledger::entity::act;
use auction_ledger::{AuctionLedger, AuctionState, Error, ManualClock, Rejection, Sale, UserId};
use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, DbErr, Statement};

use super::{
    balance, books, charge, end, just_before_the_end, ledger, open, rejection, start, terms,
};
use crate::support::{Books, World, on_every_backend};

fn parts(sold: Option<&Sale>) -> Option<(&str, &str, rust_decimal::Decimal)> {
    sold.map(|sale| (sale.winner.as_str(), sale.seller.as_str(), sale.price))
}

/// Two users with 1,000 each, and the seller has a wallet.
async fn house(world: &World) -> Result<(AuctionLedger, ManualClock), Error> {
    let (ledger, clock) = ledger(world);
    charge(&ledger, &["ann", "bob"], 1_000).await?;
    Ok((ledger, clock))
}

async fn last_act(
    ledger: &AuctionLedger,
    auction: auction_ledger::AuctionId,
) -> Result<(act::Kind, Option<UserId>, Option<String>), Error> {
    let last = ledger.acts(auction).await?.pop().expect("an auction has acts");
    Ok((last.kind, last.user, last.reason))
}

async fn make_orders(world: &World) -> Result<(), DbErr> {
    world
        .db()
        .execute_unprepared(
            "CREATE TABLE host_order (id BIGINT NOT NULL PRIMARY KEY, auction_id BIGINT NOT NULL, \
             FOREIGN KEY (auction_id) REFERENCES al_auction (id))",
        )
        .await
        .map(drop)
}

async fn orders(world: &World) -> Result<i64, DbErr> {
    let query = Statement::from_string(
        world.db().get_database_backend(),
        "SELECT count(*) AS n FROM host_order",
    );
    world.db().query_one_raw(query).await?.expect("a count").try_get("", "n")
}

on_every_backend! {
    async fn settling_sells_to_the_leader_at_the_price(world: &World) {
        let (ledger, clock) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "bob", 100.into()).await?;
        ledger.place_bid(auction, "ann", 300.into()).await?;
        clock.set(end());
        let done = ledger.settle(auction).memo("invoice 7").await?;
        assert_eq!(parts(done.sold.as_ref()), Some(("ann", "sam", 300.into())));
        assert_eq!((done.seq, done.repeated, done.at), (4, false, end()));
        assert_eq!(balance(&ledger, "ann").await?, (700, 0));
        assert_eq!(balance(&ledger, "bob").await?, (1_000, 0));
        assert_eq!(balance(&ledger, "sam").await?, (300, 0));
        let after = ledger.auction(auction).await?;
        assert_eq!((after.state, after.price, after.next_minimum), (AuctionState::Sold, Some(300.into()), None));
        assert_eq!(last_act(&ledger, auction).await?, (act::Kind::Settled, None, None));
        for user in ["ann", "sam"] {
            let entry = ledger.entries(user, super::WON).await?.pop().unwrap();
            assert_eq!((entry.memo.as_deref(), entry.operation), (Some("invoice 7"), done.operation));
        }
        books(world, 2_000).await?;
    }

    async fn settling_without_bids_leaves_it_unsold(world: &World) {
        let (ledger, clock) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        clock.set(end());
        let done = ledger.settle(auction).await?;
        assert_eq!((done.sold, done.seq, done.repeated), (None, 2, false));
        assert_eq!(ledger.auction(auction).await?.state, AuctionState::Unsold);
        let again = ledger.settle(auction).await?;
        assert_eq!((again.sold, again.seq, again.repeated), (None, 2, true));
        books(world, 2_000).await?;
    }

    async fn settling_is_idempotent_however_it_was_sold(world: &World) {
        let (ledger, clock) = house(world).await?;
        let settled = open(&ledger, terms()).await?;
        let bought = open(&ledger, terms().buy_now(500.into())).await?;
        let bought_by_bid = open(&ledger, terms().buy_now(400.into())).await?;
        let closed = open(&ledger, terms()).await?;
        let closed_unsold = open(&ledger, terms()).await?;
        ledger.place_bid(settled, "ann", 20.into()).await?;
        ledger.place_bid(bought, "ann", 30.into()).await?;
        let purchase = ledger.buy_now(bought, "bob").await?;
        assert!(ledger.place_bid(bought_by_bid, "bob", 450.into()).await?.bought);
        ledger.place_bid(closed, "ann", 40.into()).await?;
        let early = ledger.close_early(closed).await?;
        let nobody = ledger.close_early(closed_unsold).await?;
        clock.set(end());
        let first = ledger.settle(settled).await?;
        let before = Books::read(world.db()).await?;
        clock.set(end() + TimeDelta::days(1));
        for (auction, seq, operation, at, sold) in [
            (settled, first.seq, first.operation, end(), Some(("ann", "sam", 20.into()))),
            (bought, purchase.seq, purchase.operation, start(), Some(("bob", "sam", 500.into()))),
            (closed, early.seq, early.operation, start(), Some(("ann", "sam", 40.into()))),
            (closed_unsold, nobody.seq, nobody.operation, start(), None),
        ] {
            for _ in 0..2 {
                let again = ledger.settle(auction).await?;
                assert_eq!((again.auction, again.seq, again.operation, again.at), (auction, seq, operation, at));
                assert_eq!(parts(again.sold.as_ref()), sold);
                assert!(again.repeated);
            }
        }
        let again = ledger.settle(bought_by_bid).await?;
        assert_eq!(parts(again.sold.as_ref()), Some(("bob", "sam", 400.into())));
        // Also within a unit of work, in which it was settled a moment ago.
        let late = open(&ledger, terms().ends_at(end() + TimeDelta::days(2))).await?;
        clock.set(end() + TimeDelta::days(2));
        let twice = ledger
            .atomic(async |uow| {
                let first = ledger.settle(late).within(uow).await?;
                let second = ledger.settle(late).within(uow).await?;
                Ok::<_, Error>((first.repeated, second.repeated, first.operation == second.operation))
            })
            .await?;
        assert_eq!(*twice, (false, true, true));
        let after = Books::read(world.db()).await?;
        assert_eq!(after.entries, before.entries, "nothing has moved again");
        assert_eq!(after.wallets, before.wallets);
        books(world, 2_000).await?;
    }

    async fn settling_before_the_end_and_after_a_cancellation_is_refused(world: &World) {
        let (ledger, clock) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        let cancelled = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "ann", 20.into()).await?;
        ledger.cancel(cancelled).await?;
        clock.set(just_before_the_end());
        let before = Books::read(world.db()).await?;
        let not_ended = Rejection::NotEnded { ends_at: end() };
        assert_eq!(rejection(ledger.settle(auction).await), not_ended);
        clock.set(end());
        let closed = Rejection::Closed { state: AuctionState::Cancelled };
        assert_eq!(rejection(ledger.settle(cancelled).await), closed);
        assert_eq!(Books::read(world.db()).await?, before);
        assert!(ledger.settle(auction).await?.sold.is_some());
    }

    async fn only_the_seller_and_the_house_close_early(world: &World) {
        let (ledger, clock) = house(world).await?;
        let by_seller = open(&ledger, terms()).await?;
        let by_house = open(&ledger, terms()).await?;
        for auction in [by_seller, by_house] {
            ledger.place_bid(auction, "ann", 20.into()).await?;
            let before = Books::read(world.db()).await?;
            for stranger in ["ann", "bob", "nobody"] {
                assert_eq!(rejection(ledger.close_early(auction).by(stranger).await), Rejection::NotSeller);
            }
            assert_eq!(Books::read(world.db()).await?, before);
        }
        clock.set(just_before_the_end());
        let done = ledger.close_early(by_seller).by("sam").reason("a fair price").await?;
        assert_eq!(parts(done.sold.as_ref()), Some(("ann", "sam", 20.into())));
        let sam = Some(UserId::from("sam"));
        assert_eq!(last_act(&ledger, by_seller).await?, (act::Kind::ClosedEarly, sam, Some("a fair price".into())));
        ledger.close_early(by_house).await?;
        assert_eq!(last_act(&ledger, by_house).await?, (act::Kind::ClosedEarly, None, None));
        assert_eq!(balance(&ledger, "ann").await?, (960, 0));
        let sold = Rejection::Closed { state: AuctionState::Sold };
        assert_eq!(rejection(ledger.close_early(by_house).await), sold);
        assert_eq!(rejection(ledger.cancel(by_house).await), sold);
        books(world, 2_000).await?;
    }

    async fn closing_early_is_refused_before_the_start_and_from_the_end_on(world: &World) {
        let (ledger, clock) = house(world).await?;
        let starts_at = start() + TimeDelta::minutes(1);
        let auction = open(&ledger, terms().starts_at(starts_at)).await?;
        let before = Books::read(world.db()).await?;
        clock.set(starts_at - TimeDelta::microseconds(1));
        assert_eq!(rejection(ledger.close_early(auction).await), Rejection::NotOpenYet { starts_at });
        clock.set(end());
        for by in ["sam", "bob"] {
            let refused = rejection(ledger.close_early(auction).by(by).await);
            assert_eq!(refused, Rejection::Ended { at: end() });
        }
        assert_eq!(Books::read(world.db()).await?, before);
    }

    async fn the_house_cancels_always_and_the_seller_while_nobody_has_bid(world: &World) {
        let (ledger, clock) = house(world).await?;
        let with_bids = open(&ledger, terms()).await?;
        let without = open(&ledger, terms()).await?;
        let before_the_start = open(&ledger, terms().starts_at(start() + TimeDelta::minutes(1))).await?;
        ledger.place_bid(with_bids, "bob", 100.into()).await?;
        ledger.place_bid(with_bids, "ann", 200.into()).await?;
        let before = Books::read(world.db()).await?;
        assert_eq!(rejection(ledger.cancel(with_bids).by("sam").await), Rejection::HasBids);
        for stranger in ["ann", "bob", "nobody"] {
            for auction in [with_bids, without, before_the_start] {
                assert_eq!(rejection(ledger.cancel(auction).by(stranger).await), Rejection::NotSeller);
            }
        }
        assert_eq!(Books::read(world.db()).await?, before);

        let why = "é".repeat(200);
        let done = ledger.cancel(without).by("sam").reason(why.as_str()).await?;
        assert_eq!((done.released, done.seq), (None, 2));
        let sam = Some(UserId::from("sam"));
        assert_eq!(last_act(&ledger, without).await?, (act::Kind::Cancelled, sam, Some(why)));
        ledger.cancel(before_the_start).by("sam").reason("").await?;

        // Also after the end, as long as nobody has settled it.
        clock.set(end() + TimeDelta::days(1));
        let done = ledger.cancel(with_bids).reason("stolen goods").await?;
        let released = done.released.unwrap();
        assert_eq!((released.user.as_str(), released.released.reveal()), ("ann", 200.into()));
        let why = Some("stolen goods".to_owned());
        assert_eq!(last_act(&ledger, with_bids).await?, (act::Kind::Cancelled, None, why));
        for user in ["ann", "bob"] {
            assert_eq!(balance(&ledger, user).await?, (1_000, 0));
        }
        let closed = Rejection::Closed { state: AuctionState::Cancelled };
        assert_eq!(rejection(ledger.cancel(with_bids).await), closed);
        assert_eq!(rejection(ledger.cancel(with_bids).by("bob").await), closed);
        books(world, 2_000).await?;
    }

    async fn held_money_cannot_be_withdrawn(world: &World) {
        let (ledger, _) = house(world).await?;
        let auction = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "ann", 900.into()).await?;
        let before = Books::read(world.db()).await?;
        let refused = rejection(ledger.withdraw("ann", super::WON, 101.into()).await);
        assert_eq!(refused, Rejection::InsufficientFunds { needed: 101.into(), available: 100.into() });
        assert_eq!(Books::read(world.db()).await?, before);
        ledger.withdraw("ann", super::WON, 100.into()).await?;
        assert_eq!(balance(&ledger, "ann").await?, (0, 900));
        books(world, 1_900).await?;
    }

    async fn money_and_the_hosts_rows_commit_together_and_roll_back_together(world: &World) {
        let (ledger, clock) = house(world).await?;
        make_orders(world).await?;
        let auction = open(&ledger, terms()).await?;
        ledger.place_bid(auction, "ann", 100.into()).await?;
        clock.set(end());
        let before = Books::read(world.db()).await?;
        let failed: Result<_, Error> = ledger
            .atomic(async |uow| {
                let done = ledger.settle(auction).within(uow).await?;
                assert!(done.sold.is_some());
                // What the unit has done is seen within it.
                assert_eq!(ledger.auction(auction).within(uow).await?.state, AuctionState::Sold);
                assert_eq!(ledger.wallet("sam", super::WON).within(uow).await?.available, 100.into());
                uow.execute_unprepared(&format!("INSERT INTO host_order VALUES (1, {auction})")).await?;
                Err::<(), _>(DbErr::Custom("the host has changed its mind".into()).into())
            })
            .await;
        failed.unwrap_err();
        assert_eq!((Books::read(world.db()).await?, orders(world).await?), (before, 0));

        // The host's statement fails: the ledger's part goes with it.
        let before = Books::read(world.db()).await?;
        let failed: Result<_, Error> = ledger
            .atomic(async |uow| {
                ledger.settle(auction).within(uow).await?;
                uow.execute_unprepared("INSERT INTO host_order VALUES (1, -1)").await?;
                Ok(())
            })
            .await;
        failed.unwrap_err();
        assert_eq!((Books::read(world.db()).await?, orders(world).await?), (before, 0));

        // A rejection breaks nothing: the host goes on and commits its own row.
        let done = ledger
            .atomic(async |uow| {
                let refused = ledger.place_bid(auction, "bob", 200.into()).within(uow).await;
                assert_eq!(rejection(refused), Rejection::Ended { at: end() });
                assert!(uow.refusal().is_none());
                let done = ledger.settle(auction).within(uow).await?;
                uow.execute_unprepared(&format!("INSERT INTO host_order VALUES (1, {auction})")).await?;
                Ok::<_, Error>(done)
            })
            .await?;
        assert_eq!(parts(done.sold.as_ref()), Some(("ann", "sam", 100.into())));
        assert_eq!(orders(world).await?, 1);
        books(world, 2_000).await?;
    }

    async fn every_verb_joins_one_unit_of_work(world: &World) {
        let (ledger, clock) = ledger(world);
        let story = async |fail: bool| {
            ledger
                .atomic(async |uow| {
                    ledger.deposit("ann", super::WON, 1_000.into()).within(uow).await?;
                    ledger.deposit("bob", super::WON, 1_000.into()).within(uow).await?;
                    let open = async |terms| {
                        Ok::<_, Error>(ledger.open_auction("sam", "a thing", terms).within(uow).await?.id)
                    };
                    let bought = open(terms().buy_now(500.into())).await?;
                    let closed = open(terms()).await?;
                    let cancelled = open(terms()).await?;
                    let settled = open(terms().ends_at(start() + TimeDelta::seconds(1))).await?;
                    for auction in [bought, closed, cancelled, settled] {
                        ledger.place_bid(auction, "ann", 20.into()).within(uow).await?;
                    }
                    ledger.buy_now(bought, "bob").within(uow).await?;
                    ledger.close_early(closed).within(uow).await?;
                    ledger.cancel(cancelled).within(uow).await?;
                    clock.set(start() + TimeDelta::seconds(1));
                    ledger.settle(settled).within(uow).await?;
                    clock.set(start());
                    ledger.withdraw("bob", super::WON, 500.into()).within(uow).await?;
                    match fail {
                        true => Err(Error::from(DbErr::Custom("no".into()))),
                        false => Ok(()),
                    }
                })
                .await
        };
        story(true).await.unwrap_err();
        let nothing = Books::read(world.db()).await?;
        assert!(nothing.wallets.is_empty() && nothing.auctions.is_empty() && nothing.entries.is_empty());
        assert!(story(false).await?.hooks().is_clean());
        books(world, 1_500).await?;
        assert_eq!(balance(&ledger, "ann").await?, (960, 0));
        assert_eq!(balance(&ledger, "bob").await?, (0, 0));
        assert_eq!(balance(&ledger, "sam").await?, (540, 0));
    }

    async fn an_auction_that_fails_is_reported_and_stops_nobody(world: &World) {
        let (ledger, clock) = house(world).await?;
        let mut auctions = Vec::new();
        for seller in ["sam", "rich", "tom", "rich"] {
            let auction = ledger.open_auction(seller, "a thing", terms()).await?.id;
            ledger.place_bid(auction, "ann", 20.into()).await?;
            auctions.push(auction);
        }
        fill(world, "rich").await?;
        clock.set(end());
        for _ in 0..2 {
            let sweep = ledger.settle_due(100).await?;
            let mut failed: Vec<_> = sweep.failed.into_iter().map(|(auction, error)| {
                let maximum = 1_000_000_000_000_000_000_i64.into();
                assert_eq!(rejection(Err::<(), _>(error)), Rejection::BalanceTooLarge { maximum });
                auction
            }).collect();
            failed.sort_unstable();
            assert_eq!(failed, [auctions[1], auctions[3]]);
            assert!(!sweep.more);
        }
        assert_eq!(balance(&ledger, "sam").await?, (20, 0));
        assert_eq!(balance(&ledger, "tom").await?, (20, 0));
        assert_eq!(balance(&ledger, "ann").await?, (920, 40));
        // Once it is mended the next sweep finds it.
        world.db().execute_unprepared("UPDATE al_wallet SET available = 0 WHERE available = 1000000000000000000").await?;
        let sweep = ledger.settle_due(100).await?;
        assert_eq!((sweep.settled.len(), sweep.failed.len()), (2, 0));
        books(world, 2_000).await?;
    }

    async fn auctions_that_fail_again_and_again_do_not_starve_the_others(world: &World) {
        let (ledger, clock) = house(world).await?;
        let failing = ledger.open_auction("rich", "a thing", terms().ends_at(just_before_the_end())).await?.id;
        ledger.place_bid(failing, "ann", 20.into()).await?;
        let good = open(&ledger, terms()).await?;
        ledger.place_bid(good, "ann", 30.into()).await?;
        fill(world, "rich").await?;
        clock.set(end());
        // A host that sweeps one auction at a time, every minute.
        let mut settled = Vec::new();
        for _ in 0..5 {
            settled.extend(ledger.settle_due(1).await?.settled.into_iter().map(|done| done.auction));
        }
        assert_eq!(settled, [good], "the auction behind the failing one is settled");
    }

    /// Auctions are looked for by hundreds.
    async fn a_hundred_that_fail_hide_none_behind_them(world: &World) {
        let (ledger, clock) = house(world).await?;
        charge(&ledger, &["ann"], 1_000).await?;
        for _ in 0..100 {
            let failing = ledger.open_auction("rich", "a thing", terms().ends_at(just_before_the_end())).await?.id;
            ledger.place_bid(failing, "ann", 10.into()).await?;
        }
        let good = open(&ledger, terms()).await?;
        ledger.place_bid(good, "ann", 30.into()).await?;
        fill(world, "rich").await?;
        clock.set(end());
        let sweep = ledger.settle_due(200).await?;
        assert_eq!(sweep.failed.len(), 100);
        assert_eq!(sweep.settled.iter().map(|done| done.auction).collect::<Vec<_>>(), [good]);
        assert!(!sweep.more);
    }

    async fn a_sweep_takes_the_earliest_end_first_and_says_whether_there_is_more(world: &World) {
        let (ledger, clock) = house(world).await?;
        let later = open(&ledger, terms()).await?;
        let sooner = open(&ledger, terms().ends_at(just_before_the_end())).await?;
        let not_due = open(&ledger, terms().ends_at(end() + TimeDelta::microseconds(1))).await?;
        clock.set(end());
        let first = ledger.settle_due(1).await?;
        assert_eq!((first.settled[0].auction, first.more), (sooner, true));
        let second = ledger.settle_due(2).await?;
        assert_eq!((second.settled.len(), second.settled[0].auction, second.more), (1, later, false));
        assert_eq!(ledger.auction(not_due).await?.state, AuctionState::Open);
        assert!(ledger.settle_due(1).await?.settled.is_empty());
    }

    async fn a_sweep_of_any_limit_ends_without_a_panic(world: &World) {
        let (ledger, clock) = house(world).await?;
        open(&ledger, terms()).await?;
        clock.set(end());
        let all = ledger.settle_due(u64::MAX).await?;
        assert_eq!((all.settled.len(), all.more), (1, false));
    }

    /// A host that calls again while there is more would never stop.
    async fn a_sweep_of_nothing_never_asks_for_more(world: &World) {
        let (ledger, clock) = house(world).await?;
        clock.set(end());
        let none = ledger.settle_due(0).await?;
        assert_eq!((none.settled.len(), none.failed.len(), none.more), (0, 0, false));
    }
}

/// Gives a user the most that a wallet can hold, behind the ledger's back.
pub(super) async fn fill(world: &World, user: &str) -> Result<(), DbErr> {
    let hex: String = user.bytes().map(|byte| format!("{byte:02x}")).collect();
    let owner = match world.database() {
        crate::support::Database::Postgres => format!("'\\x{hex}'"),
        _ => format!("x'{hex}'"),
    };
    let update =
        format!("UPDATE al_wallet SET available = 1000000000000000000 WHERE owner = {owner}");
    let done = world.db().execute_unprepared(&update).await?;
    assert_eq!(done.rows_affected(), 1);
    Ok(())
}
