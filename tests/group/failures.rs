//! What fails for one is no affair of the others; what fails for all is told to all.

use auction_ledger::unit_of_work::ErrorKind;
use auction_ledger::{AuctionLedger, Error, ManualClock};
use sea_orm::ConnectionTrait;

use super::{all_at_once, charge, ledger, open};
use crate::faults::on_servers;
use crate::support::link::{Cut, Link, says};
use crate::support::{Books, Database, World, on_every_backend};

/// The database refuses every bid of 150.
pub(super) async fn refuse_150(world: &World) -> Result<(), sea_orm::DbErr> {
    let db = world.db();
    match world.database() {
        Database::Sqlite => {
            let trigger = "CREATE TRIGGER no BEFORE INSERT ON al_bid WHEN NEW.amount = 150 BEGIN SELECT RAISE(ABORT, 'no'); END";
            db.execute_unprepared(trigger).await?;
        }
        Database::Mariadb => {
            let trigger = "CREATE TRIGGER no BEFORE INSERT ON al_bid FOR EACH ROW \
                           IF NEW.amount = 150 THEN SIGNAL SQLSTATE '45000'; END IF";
            db.execute_unprepared(trigger).await?;
        }
        Database::Postgres => {
            db.execute_unprepared("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$").await?;
            let trigger = "CREATE TRIGGER no BEFORE INSERT ON al_bid FOR EACH ROW WHEN (NEW.amount = 150) EXECUTE FUNCTION no()";
            db.execute_unprepared(trigger).await?;
        }
    }
    Ok(())
}

on_every_backend! {
    async fn a_row_that_fails_fails_no_strangers_bid(world: &World) {
        refuse_150(world).await?;
        let ledger = ledger(world);
        charge(&ledger, &["ann", "bob"], 10_000).await?;
        let auction = open(&ledger).await?;
        let bid = |tens: i64| {
            let user = if tens % 2 == 0 { "ann" } else { "bob" };
            ledger.place_bid(auction, user, (10 * tens).into()).into_future()
        };
        let answers = all_at_once(&ledger, (10..22).map(bid).collect()).await;
        let mut seq = 1;
        for (tens, answer) in (10..22).zip(answers) {
            if tens == 15 {
                let error = answer.unwrap_err();
                assert_eq!(error.kind(), Some(ErrorKind::TriggerRefusal), "{error:?}");
            } else {
                seq += 1;
                assert_eq!(answer?.seq, seq, "{tens}");
            }
        }
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!(books.bids.len(), 11);
    }

    async fn a_database_that_is_gone_is_told_to_all(world: &World) {
        let pool = world.connect(1).await;
        let ledger = AuctionLedger::new(pool.clone()).clock(ManualClock::new(super::start()));
        charge(&ledger, &["ann"], 10_000).await?;
        let auction = open(&ledger).await?;
        pool.close().await?;
        let bid = |tens: i64| ledger.place_bid(auction, "ann", (10 * tens).into()).into_future();
        let answers = all_at_once(&ledger, (10..20).map(bid).collect()).await;
        for answer in answers {
            assert_eq!(answer.unwrap_err().kind(), Some(ErrorKind::PoolClosed));
        }
        assert_eq!(Books::read(world.db()).await?.bids.len(), 0);
    }
}

on_servers! {
    /// One for the first, and one for all that stood in line.
    async fn those_in_line_share_one_transaction(world: &World) {
        let link = Link::to(world).await;
        let pool = world.database().connect(link.url(), 2).await;
        let ledger = AuctionLedger::new(pool.clone()).clock(ManualClock::new(super::start()));
        charge(&ledger, &["ann"], 10_000).await?;
        let auction = open(&ledger).await?;
        link.requests();
        let bid = |tens: i64| ledger.place_bid(auction, "ann", (10 * tens).into()).into_future();
        let answers = all_at_once(&ledger, (10..40).map(bid).collect()).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let commits = link.requests().iter().filter(|request| says(request, "COMMIT")).count();
        assert_eq!(commits, 2);
        Books::read(world.db()).await?.check();
        pool.close().await?;
    }

    /// The commit of a list got no answer, and is looked up once for all.
    async fn a_lost_reply_to_the_commit_of_a_list_is_looked_up(world: &World) {
        for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
            let link = Link::to(world).await;
            let pool = world.database().connect(link.url(), 2).await;
            let ledger = AuctionLedger::new(pool.clone()).clock(ManualClock::new(super::start()));
            charge(&ledger, &["ann"], 10_000).await?;
            let auction = open(&ledger).await?;
            let mut commits = 0;
            link.cut_when(move |request| {
                commits += usize::from(says(request, "COMMIT"));
                (commits == 2 && says(request, "COMMIT")).then_some(cut)
            });
            let bid = |tens: i64| ledger.place_bid(auction, "ann", (10 * tens).into()).into_future();
            let answers = all_at_once(&ledger, (10..30).map(bid).collect()).await;
            assert_eq!(link.cuts(), 1);
            let seqs = answers.into_iter().map(|answer| answer.map(|bid| bid.seq)).collect::<Result<Vec<_>, Error>>()?;
            assert!(seqs.into_iter().eq(2..22));
            Books::read(world.db()).await?.check();
            ledger.cancel(auction).await?;
            pool.close().await?;
        }
    }

    /// However many bids a list has, it is as few requests, or on MariaDB a few more, once its statements are prepared.
    async fn a_list_is_few_statements(world: &World) {
        let link = Link::to(world).await;
        let pool = world.database().connect(link.url(), 1).await;
        let ledger = AuctionLedger::new(pool.clone()).clock(ManualClock::new(super::start()));
        let names: Vec<String> = (0..64).map(|index| format!("bidder {index}")).collect();
        let users: Vec<&str> = names.iter().map(String::as_str).collect();
        charge(&ledger, &users, 100_000).await?;
        let mut seen = Vec::new();
        // The first of each size prepares what it sends.
        for bids in [16, 64, 16, 64] {
            let auction = open(&ledger).await?;
            ledger.place_bid(auction, "bidder 0", 100.into()).await?;
            // A refusal has the turn.
            let mut requests = vec![ledger.place_bid(auction, "bidder 0", 105.into()).into_future()];
            for (index, user) in users.iter().take(bids).enumerate() {
                let amount = 110 + 10 * index as i64;
                let bid = ledger.place_bid(auction, *user, amount.into()).key(format!("{auction}"));
                requests.push(bid.into_future());
            }
            link.requests();
            let answers = all_at_once(&ledger, requests).await;
            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), bids);
            let requests = link.requests();
            let after_turn = requests.iter().rposition(|request| says(request, "BEGIN") || says(request, "START"));
            seen.push(requests.len() - after_turn.expect("a list begins"));
        }
        println!("{}: {seen:?} requests", world.database().label());
        let most = if world.database() == Database::Postgres { 6 } else { 16 };
        assert!(seen[2] <= most && seen[3] <= most, "{seen:?}");
        pool.close().await?;
    }
}
