//! A commit that got no answer: looked up by the verbs, and by the host.

use std::time::Duration;

use auction_ledger::unit_of_work::{Error as UnitOfWorkError, Retry};
use auction_ledger::{AuctionLedger, CommandRef, CommandStatus, Error, OperationId, RecordingSink};
use tokio::sync::oneshot;

use super::{Answer, Ask, EVERY, WON, end, house};
use crate::support::link::{Cut, Link};
use crate::support::{Books, Database, World, on_every_backend};

/// Commands of `books` that are not in `before`.
fn added(before: &Books, books: &Books) -> usize {
    let commands = |books: &Books| {
        let deposits = books.entries.iter().filter(|entry| entry.auction_id.is_none());
        books.bids.len() + books.acts.len() + deposits.count()
    };
    commands(books) - commands(before)
}

/// Sends every command over a link that is cut at its COMMIT.
async fn cut_at_commit(world: &World, cut: Cut) -> crate::support::TestResult {
    if world.database() == Database::Sqlite {
        return Ok(()); // it has no link
    }
    for ask in EVERY {
        let (direct, clock, auction) = house(world).await?;
        if ask.comes_after_the_end() {
            clock.set(end());
        }
        let sink = RecordingSink::new();
        let link = Link::to(world).await;
        let db = world.database().connect(link.url(), 2).await;
        let ledger = AuctionLedger::new(db).clock(clock).sink(sink.clone());
        let before = Books::read(world.db()).await?;
        link.cut_at("COMMIT", cut);

        let answer = ask.send(&ledger, auction, None).await?;

        assert_eq!(link.cuts(), 1, "{ask:?}");
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!(added(&before, &books), 1, "{ask:?} happened once");
        if let Answer::Bid(bid) = &answer {
            assert_eq!(direct.outcome(&bid.command()).await?, CommandStatus::Committed);
        }
        if !matches!(ask, Ask::Deposit(_) | Ask::Withdraw(_)) {
            let events = sink.wait_for(1).await;
            assert_eq!(events[0].index, 0, "{ask:?} is told: {events:?}");
        }
    }
    Ok(())
}

/// A command that got no answer, although the link stays down, and what became of it.
async fn unknown(world: &World, ask: Ask, cut: Cut) -> Result<(Error, CommandStatus), Error> {
    let (direct, clock, auction) = house(world).await?;
    if ask.comes_after_the_end() {
        clock.set(end());
    }
    let link = Link::to(world).await;
    let db = world.database().connect(link.url(), 2).await;
    let retry = Retry::new().deadline(Duration::from_millis(300));
    let ledger = AuctionLedger::new(db).clock(clock).retry(retry);
    link.cut_at("COMMIT", cut);
    link.stay_down_when_cut();
    let error = ask.send(&ledger, auction, None).await.unwrap_err();
    let Error::CommitUnknown { command, .. } = &error else { panic!("{ask:?}: {error:?}") };
    // A host may have stored it, or sent it elsewhere.
    let stored = serde_json::to_string(command).unwrap();
    let command: CommandRef = serde_json::from_str(&stored).unwrap();
    let mut status = direct.outcome(&command).await?;
    while status == CommandStatus::Running {
        status = direct.outcome(&command).await?;
    }
    Ok((error, status))
}

/// Where a command on a wallet would be written, as a host may have stored it.
fn on_wallet(user: &str, seq: i64) -> CommandRef {
    let place = serde_json::json!({ "wallet": { "user": user, "currency": WON, "seq": seq } });
    let operation = OperationId::new();
    serde_json::from_value(serde_json::json!({ "operation": operation, "place": place })).unwrap()
}

on_every_backend! {
    async fn a_commit_whose_reply_was_lost_is_found_and_answered(world: &World) {
        cut_at_commit(world, Cut::BeforeReply).await?;
    }

    async fn a_commit_that_never_arrived_is_made_by_another_attempt(world: &World) {
        cut_at_commit(world, Cut::BeforeRequest).await?;
    }

    async fn what_cannot_be_found_out_in_time_is_unknown_and_can_be_looked_up(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        for ask in EVERY {
            let (error, status) = unknown(world, ask, Cut::BeforeReply).await?;
            assert_eq!(status, CommandStatus::Committed, "{ask:?}");
            assert!(!error.is_known_not_stored() && !error.is_retryable() && !error.is_rejection());
            let (error, status) = unknown(world, ask, Cut::BeforeRequest).await?;
            assert_eq!(status, CommandStatus::NotCommitted, "{ask:?}");
            assert!(!error.is_known_not_stored(), "it was not known then");
        }
        Books::read(world.db()).await?.check();
    }

    /// With attempts left, too: nothing is sent again, and no later failure hides that nobody knows.
    async fn an_unknown_commit_stays_unknown_with_a_key_and_without(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (direct, clock, auction) = house(world).await?;
        for (key, amount) in [(None, 100), (Some("k"), 110)] {
            let link = Link::to(world).await;
            let db = world.database().connect(link.url(), 2).await;
            let ledger = AuctionLedger::new(db).clock(clock.clone());
            link.cut_at("COMMIT", Cut::BeforeReply);
            link.stay_down_when_cut();
            let before = Books::read(world.db()).await?;
            let error = Ask::Bid(amount).send(&ledger, auction, key).await.unwrap_err();
            let Error::CommitUnknown { command, .. } = &error else { panic!("{error:?}") };
            assert!(!error.is_known_not_stored());
            assert_eq!(direct.outcome(command).await?, CommandStatus::Committed);
            if let Some(key) = key {
                link.mend();
                Ask::Bid(amount).send(&ledger, auction, Some(key)).await?;
            }
            assert_eq!(added(&before, &Books::read(world.db()).await?), 1, "{key:?}");
        }
    }

    async fn a_command_that_has_not_ended_is_running(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        for commit in [true, false] {
            let (placed, bid) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            let host = ledger.clone();
            let unit = tokio::spawn(async move {
                host.atomic(async |uow| {
                    let amount = if commit { 100 } else { 200 };
                    let bid = host.place_bid(auction, "ann", amount.into()).within(uow).await?;
                    host.deposit("zoe", WON, 5.into()).within(uow).await?;
                    placed.send(bid.command()).unwrap();
                    ended.await.unwrap();
                    if commit { Ok(()) } else { Err(Error::UnknownAuction { auction }) }
                })
                .await
                .map(|done| done.into_value())
            });
            let bid = bid.await?;
            // The wallet of a stranger who is making a deposit right now, and one of nobody.
            let deposit = on_wallet("zoe", 1);
            assert_eq!(ledger.outcome(&bid).await?, CommandStatus::Running);
            if commit {
                assert_eq!(ledger.outcome(&deposit).await?, CommandStatus::Running);
            }
            end.send(()).unwrap();
            assert_eq!(unit.await?.is_ok(), commit);
            let status = if commit { CommandStatus::Committed } else { CommandStatus::NotCommitted };
            assert_eq!(ledger.outcome(&bid).await?, status);
            assert_eq!(ledger.outcome(&deposit).await?, CommandStatus::NotCommitted, "another's");
        }
        let before = Books::read(world.db()).await?;
        assert_eq!(ledger.outcome(&on_wallet("nobody", 1)).await?, CommandStatus::NotCommitted);
        assert_eq!(Books::read(world.db()).await?, before, "looking up makes no wallet");
    }

    async fn a_command_that_was_never_sent_is_not_committed(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let on_auction = |auction: i64, seq: i64| -> CommandRef {
            let place = serde_json::json!({ "auction": { "auction": auction, "seq": seq } });
            let command = serde_json::json!({ "operation": OperationId::new(), "place": place });
            serde_json::from_value(command).unwrap()
        };
        let before = Books::read(world.db()).await?;
        for command in [
            on_wallet("ann", 99),
            on_wallet("ann", 1),
            on_wallet("nobody", 1),
            on_auction(auction.get(), 99),
            on_auction(auction.get(), 1),
            on_auction(999, 1),
            on_auction(999, 7),
        ] {
            let status = ledger.outcome(&command).await?;
            assert_eq!(status, CommandStatus::NotCommitted, "{command:?}");
        }
        let nobody = ledger.outcome(&on_wallet("", 1)).await;
        assert!(matches!(nobody, Err(Error::InvalidUser(_))), "{nobody:?}");
        assert_eq!(Books::read(world.db()).await?, before, "looking up leaves nothing behind");
    }

    /// On PostgreSQL a lock does not wait for a row that somebody is still making.
    async fn a_bid_on_an_auction_that_its_own_unit_opens_is_running(world: &World) {
        let (ledger, _, _) = house(world).await?;
        let (placed, bid) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let host = ledger.clone();
        let unit = tokio::spawn(async move {
            host.atomic(async |uow| {
                let opened = host.open_auction("sam", "y", super::terms()).within(uow).await?;
                let bid = host.place_bid(opened.id, "ann", 100.into()).within(uow).await?;
                placed.send(bid.command()).unwrap();
                ended.await.unwrap();
                Ok::<_, Error>(())
            })
            .await
            .map(|done| done.into_value())
        });
        let bid = bid.await?;
        assert_eq!(ledger.outcome(&bid).await?, CommandStatus::Running);
        end.send(()).unwrap();
        unit.await??;
        assert_eq!(ledger.outcome(&bid).await?, CommandStatus::Committed);
    }

    async fn what_is_not_committed_is_not_believed(world: &World) {
        if world.database() != Database::Mariadb {
            return Ok(()); // the only one that reads what is not committed, if it is told to
        }
        let (ledger, _, auction) = house(world).await?;
        let db = world.connect(1).await;
        let dirty = "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";
        sea_orm::ConnectionTrait::execute_unprepared(&db, dirty).await?;
        let dirty = AuctionLedger::new(db);
        let undone = ledger.atomic(async |uow| {
            let bid = ledger.place_bid(auction, "ann", 100.into()).within(uow).await?.command();
            let dirty = dirty.clone();
            let status = tokio::spawn(async move { dirty.outcome(&bid).await }).await.unwrap()?;
            assert_eq!(status, CommandStatus::Running);
            Err::<(), _>(Error::UnknownAuction { auction })
        });
        assert!(matches!(undone.await, Err(Error::UnknownAuction { .. })));
    }

    /// The client is gone, and its COMMIT arrives while the verb looks it up; a rival waits for the same rows.
    async fn a_commit_that_arrives_late_is_waited_for(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (direct, clock, auction) = house(world).await?;
        for (ask, user) in [(Ask::Deposit(5), "ann"), (Ask::Bid(100), "ann"), (Ask::Open, "ann")] {
            let link = Link::to(world).await;
            let db = world.database().connect(link.url(), 2).await;
            let ledger = AuctionLedger::new(db).clock(clock.clone());
            let before = Books::read(world.db()).await?;
            link.cut_at("COMMIT", Cut::Late);
            let rival = tokio::spawn({
                let direct = direct.clone();
                async move { direct.deposit(user, WON, 1.into()).await }
            });
            ask.send(&ledger, auction, None).await?;
            rival.await??;
            let books = Books::read(world.db()).await?;
            books.check();
            assert_eq!((link.cuts(), added(&before, &books)), (1, 2), "{ask:?} once, and the rival");
        }
    }

    async fn a_deadline_beyond_all_time_is_no_deadline(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (_, clock, _) = house(world).await?;
        for deadline in [Duration::MAX, Duration::ZERO] {
            // A second is short on a busy machine: then nobody knows, which is no wrong answer, and it is asked again.
            let mut found = false;
            for _ in 0..20 {
                let link = Link::to(world).await;
                let db = world.database().connect(link.url(), 2).await;
                let retry = Retry::new().deadline(deadline);
                let ledger = AuctionLedger::new(db).clock(clock.clone()).retry(retry);
                link.cut_at("COMMIT", Cut::BeforeReply);
                let answer = ledger.deposit("ann", WON, 5.into()).await;
                assert_eq!(link.cuts(), 1);
                match answer {
                    Err(Error::CommitUnknown { .. }) => {}
                    answer => {
                        answer?;
                        found = true;
                        break;
                    }
                }
            }
            assert!(found, "{deadline:?}");
        }
    }

    async fn a_hosts_own_commit_can_be_looked_up_by_the_receipt(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (direct, clock, auction) = house(world).await?;
        let link = Link::to(world).await;
        let db = world.database().connect(link.url(), 2).await;
        let ledger = AuctionLedger::new(db).clock(clock);
        link.cut_at("COMMIT", Cut::BeforeReply);
        let mut receipt = None;
        let unit = ledger.atomic(async |uow| {
            let bid = ledger.place_bid(auction, "ann", 100.into()).within(uow).await?;
            receipt = Some(bid.command());
            Ok::<_, Error>(())
        });
        let error = unit.await.unwrap_err();
        assert!(matches!(error, Error::UnitOfWork(UnitOfWorkError::CommitUnknown { .. })));
        assert!(!error.is_known_not_stored());
        assert_eq!(direct.outcome(&receipt.unwrap()).await?, CommandStatus::Committed);
    }
}
