//! All the books: clean ones, all money, and audits of a part.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auction_ledger::{
    AuctionId, AuctionLedger, AuditPosition, AuditReport, Error, Finding, WalletId,
};
use sea_orm::ConnectionTrait;

use super::{Vandal, WON, story};
use crate::support::{Books, Database, World, on_every_backend};

/// What a history like [`story`] looks like after a bad day: something of every kind.
async fn spoil(world: &World) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let story = story(world).await?;
    let books = Books::read(world.db()).await?;
    let (ann, bob, dan) = (books.won("ann"), books.won("bob"), books.won("dan"));
    let vandal = Vandal::of(world).await?;
    let statements = [
        format!("UPDATE al_wallet SET available = available + 7 WHERE id = {ann}"),
        format!("UPDATE al_entry SET seq = seq + 100 WHERE wallet_id = {bob} AND seq = 3"),
        format!("UPDATE al_entry SET available_after = -1 WHERE wallet_id = {dan} AND seq = 1"),
        format!("UPDATE al_auction SET state = 3 WHERE id = {}", story.open),
        format!("UPDATE al_auction SET sold_price = 1 WHERE id = {}", story.sold),
        format!(
            "UPDATE al_bid SET wallet_id = 999 WHERE auction_id = {} AND seq = 2",
            story.bought
        ),
        format!("DELETE FROM al_act WHERE auction_id = {} AND seq = 1", story.closed),
        format!("DELETE FROM al_auction WHERE id = {}", story.cancelled),
        format!("UPDATE al_entry SET auction_id = 77 WHERE wallet_id = {ann} AND seq = 2"),
    ];
    Ok(vandal.does(statements).await?)
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort();
    findings
}

/// Audits in steps of at least so many rows, each by a ledger and a position that have seen nothing of the others.
async fn in_steps(
    world: &World,
    rows: u64,
    page: u64,
    commands: u64,
) -> Result<(Vec<AuditReport>, u64), Error> {
    let (mut reports, mut steps, mut position) = (Vec::new(), 0, None::<String>);
    loop {
        let ledger = AuctionLedger::new(world.db().clone());
        let mut audit = ledger.audit().limit(rows).page_size(page).commands(commands);
        if let Some(position) = position {
            audit = audit.resume(serde_json::from_str::<AuditPosition>(&position).unwrap());
        }
        let report = audit.await?;
        steps += 1;
        position = report.resume.map(|position| serde_json::to_string(&position).unwrap());
        let done = position.is_none();
        reports.push(report);
        if done {
            return Ok((reports, steps));
        }
    }
}

on_every_backend! {
    async fn a_rich_history_is_clean(world: &World) {
        story(world).await?;
        let before = Books::read(world.db()).await?;
        let report = AuctionLedger::new(world.db().clone()).audit().await?;
        assert_eq!((report.findings, report.more_findings, report.resume), (vec![], 0, None));
        let read = report.read;
        let rows = [before.wallets.len(), before.entries.len(), before.auctions.len(), before.bids.len(), before.acts.len()];
        assert_eq!([read.wallets, read.entries, read.auctions, read.bids, read.acts], rows.map(|rows| rows as u64));
        let again = before.entries.iter().filter(|entry| entry.auction_id.is_some()).count();
        assert_eq!(read.entries_by_auction, again as u64);
        // Each currency on its own, in the order of the codes.
        let totals = report.conservation.expect("all money was counted");
        let totals: Vec<_> = totals.iter().map(|total| {
            assert!(total.holds());
            (total.currency.as_str(), total.exponent, total.money, total.deposited, total.withdrawn)
        }).collect();
        assert_eq!(totals, [("EUR", 2, 26_100, 30_100, 4_000), ("KRW", 0, 6_100, 6_100, 0)]);
        assert_eq!(Books::read(world.db()).await?, before, "an audit writes nothing");
    }

    async fn empty_books_are_clean(world: &World) {
        let report = AuctionLedger::new(world.db().clone()).audit().await?;
        assert!(report.is_clean());
        assert_eq!((report.read, report.conservation, report.resume), (<_>::default(), Some(vec![]), None));
    }

    async fn money_that_became_another_currency(world: &World) {
        story(world).await?;
        let books = Books::read(world.db()).await?;
        let bob = books.won("bob");
        // Bob has spent 30 won for a thing; so what he has is not what he deposited, in whatever currency.
        Vandal::of(world).await?.does([
            format!("UPDATE al_wallet SET currency = 'USD', exponent = 2 WHERE id = {bob}"),
        ]).await?;
        let report = AuctionLedger::new(world.db().clone()).audit().await?;
        let off: Vec<_> = report.findings.iter().map(|finding| match finding {
            Finding::Conservation(total) => {
                assert!(!total.holds());
                (total.currency.as_str(), total.money, total.deposited, total.withdrawn)
            }
            other => panic!("{other:?}"),
        }).collect();
        assert_eq!(off, [("KRW", 4_130, 4_100, 0), ("USD", 1_970, 2_000, 0)]);
        assert_eq!(report.conservation.unwrap().len(), 3);
        assert_eq!(
            report.findings[0].to_string(),
            "the wallets have 4130 of KRW with 0 decimals, after 4100 came in and 0 went out"
        );
    }

    /// Every other sum is right, but for the operation that made the money.
    async fn money_out_of_nothing(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let (dan, sold) = (books.won("dan"), story.sold);
        let bid = books.bids.iter().find(|bid| bid.auction_id == sold.get()).unwrap();
        let vandal = Vandal::of(world).await?;
        let bidder = bid.wallet_id;
        vandal.does([
            format!(
                "INSERT INTO al_entry SELECT {dan}, 2, operation, 4, 900, 0, 1000, 0, {sold}, memo, at \
                 FROM al_entry WHERE wallet_id = {bidder} AND auction_id = {sold} AND kind = 3"
            ),
            format!("UPDATE al_wallet SET available = 1000, seq = 2 WHERE id = {dan}"),
        ]).await?;
        let report = AuctionLedger::new(world.db().clone()).audit().await?;
        match report.findings.as_slice() {
            [Finding::Unbalanced { auction, operation, sum: 900 }, Finding::Conservation(total)] => {
                assert_eq!((*auction, operation.get()), (sold, bid.operation));
                assert_eq!((total.currency.as_str(), total.money, total.deposited), ("KRW", 7_000, 6_100));
            }
            other => panic!("{other:?}"),
        }
    }

    /// H42: no database is asked for a sum.
    async fn sums_of_damaged_rows_do_not_overflow(world: &World) {
        story(world).await?;
        let books = Books::read(world.db()).await?;
        let vandal = Vandal::of(world).await?;
        let most = i64::MAX;
        for user in ["ann", "bob", "cid"] {
            let id = books.won(user);
            vandal.does([
                format!("UPDATE al_wallet SET available = {most}, held = {most} WHERE id = {id}"),
                format!("UPDATE al_entry SET available_delta = {most}, held_delta = {most} WHERE wallet_id = {id} AND seq = 2"),
            ]).await?;
        }
        let report = AuctionLedger::new(world.db().clone()).audit().await?;
        let total = report.conservation.unwrap().into_iter().find(|total| total.currency == "KRW").unwrap();
        let rest: i128 = ["dan", "sam"].iter().map(|user| i128::from(books.wallet_in(user, WON).available)).sum();
        assert_eq!(total.money, 6 * i128::from(most) + rest);
        let rows = report.findings.iter().filter(|finding| matches!(finding, Finding::WalletRow { .. })).count();
        assert_eq!(rows, 3);
    }

    async fn in_steps_it_finds_what_one_run_does(world: &World) {
        spoil(world).await?;
        let ledger = AuctionLedger::new(world.db().clone());
        let whole = ledger.audit().await?;
        assert!(whole.findings.len() > 10, "{:?}", whole.findings);
        assert!(whole.conservation.is_some());
        for (rows, page, commands, least) in [(0, 1, 0, 15), (1, 2, 1, 10), (7, 3, 5, 4), (u64::MAX, 1, 1, 1), (10, 1_000, 1_000, 3)] {
            let (reports, steps) = in_steps(world, rows, page, commands).await?;
            assert!(steps >= least, "{steps} steps of {rows} rows");
            let findings = reports.iter().flat_map(|report| report.findings.clone()).collect();
            assert_eq!(sorted(findings), sorted(whole.findings.clone()), "steps of {rows} rows");
            let (last, others) = reports.split_last().unwrap();
            assert_eq!(last.conservation, whole.conservation);
            assert!(others.iter().all(|report| report.conservation.is_none()));
            let entries: u64 = reports.iter().map(|report| report.read.entries).sum();
            assert_eq!(entries, whole.read.entries);
        }
    }

    async fn parts_find_what_the_whole_does(world: &World) {
        spoil(world).await?;
        let ledger = AuctionLedger::new(world.db().clone());
        let whole = ledger.audit().await?;
        let mut parts = Vec::new();
        let (wallet, auction) = (WalletId::from(3), AuctionId::from(4));
        for report in [
            ledger.audit().wallets(..wallet).await?,
            ledger.audit().wallets(wallet..=wallet).await?,
            ledger.audit().wallets((Bound::Excluded(wallet), Bound::Unbounded)).auctions(..=auction).await?,
            ledger.audit().auctions((Bound::Excluded(auction), Bound::Unbounded)).page_size(1).commands(1).await?,
        ] {
            assert_eq!((report.conservation, report.resume), (None, None));
            parts.extend(report.findings);
        }
        let mut expected = whole.findings;
        expected.retain(|finding| !matches!(finding, Finding::Conservation(_)));
        assert_eq!(sorted(parts), sorted(expected));

        // Nothing is asked for, and nothing is read.
        let report = ledger.audit().wallets(wallet..wallet).auctions(auction..auction).await?;
        assert_eq!(report, AuditReport::default());
        let report = ledger.audit().wallets((Bound::Excluded(WalletId::from(i64::MAX)), Bound::Unbounded)).await?;
        assert_eq!(report, AuditReport::default());
    }

    /// No index leads from an auction to its entries.
    async fn the_journal_is_scanned_once_for_so_many_commands(world: &World) {
        story(world).await?;
        let mut db = world.connect(1).await;
        let scans = Arc::new(AtomicUsize::new(0));
        let counted = scans.clone();
        db.set_metric_callback(move |info| {
            let sql = &info.statement.sql;
            if sql.contains("al_entry") && sql.replace(['"', '`', '('], "").contains("WHERE auction_id BETWEEN") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let ledger = AuctionLedger::new(db);
        // Seven auctions with 22 commands, the first with six of them, and each takes the room of two more. After the last one it is looked
        // for what names auctions that are not there, unless that was done along with it.
        for (commands, expected) in [(0, 8), (1, 8), (8, 5), (36, 2), (37, 1), (250_000, 1)] {
            scans.store(0, Ordering::SeqCst);
            assert!(ledger.audit().commands(commands).await?.is_clean());
            assert_eq!(scans.load(Ordering::SeqCst), expected, "{commands} commands at a time");
        }
    }

    async fn as_many_findings_are_kept_as_asked_for(world: &World) {
        spoil(world).await?;
        let ledger = AuctionLedger::new(world.db().clone());
        let all = ledger.audit().await?.findings;
        for most in [0, 1, 3, all.len() - 1, all.len()] {
            let report = ledger.audit().max_findings(most).await?;
            assert_eq!(report.findings.len(), most);
            assert!(report.is_clean() || most < all.len() || report.more_findings == 0);
            assert_eq!(report.more_findings > 0, most < all.len(), "{most} of {}", all.len());
            assert!(!report.is_clean());
            assert!(report.findings.iter().all(|finding| all.contains(finding)));
        }
    }

    /// The rows of a scan come one by one, and the driver must have seen the last one before the connection is used again.
    async fn a_row_that_cannot_be_read_is_an_error(world: &World) {
        story(world).await?;
        let vandal = Vandal::of(world).await?;
        let cell = match world.database() {
            Database::Sqlite => "UPDATE al_entry SET held_delta = 0.5 WHERE wallet_id = 1 AND seq = 2",
            Database::Postgres => "ALTER TABLE al_entry ALTER held_delta TYPE DOUBLE PRECISION",
            Database::Mariadb => "ALTER TABLE al_entry MODIFY held_delta DOUBLE",
        };
        vandal.0.execute_unprepared(cell).await?;
        let db = world.connect(1).await;
        let ledger = AuctionLedger::new(db.clone());
        for _ in 0..3 {
            let error = ledger.audit().await.expect_err("no amount is half a unit");
            assert!(matches!(error, Error::Database(_)), "{error:?}");
            assert_eq!(ledger.wallet("dan", WON).await?.available, 100.into());
        }
    }
}
