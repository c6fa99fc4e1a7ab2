//! Auctions, their commands, and what was moved for them.

use auction_ledger::entity::entry;
use auction_ledger::{AuctionId, Finding, OperationId, Record, SettlementMismatch};
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};

use super::{Vandal, finds, story};
use crate::support::{Books, World, on_every_backend};

/// Changes one cell of an entry.
async fn edit(
    vandal: &Vandal,
    entry: &entry::Model,
    column: entry::Column,
    value: impl Into<SimpleExpr>,
) -> Result<(), DbErr> {
    let done = entry::Entity::update_many()
        .col_expr(column, value.into())
        .filter(entry::Column::WalletId.eq(entry.wallet_id))
        .filter(entry::Column::Seq.eq(entry.seq))
        .exec(&vandal.0)
        .await?;
    assert_eq!(done.rows_affected, 1);
    Ok(())
}

/// The only entry of a kind that is for an auction.
fn the(books: &Books, auction: AuctionId, kind: entry::Kind) -> entry::Model {
    let mut found = books.entries_for(auction).into_iter().filter(|entry| entry.kind == kind);
    let entry = found.next().expect("there is one");
    assert!(found.next().is_none());
    entry.clone()
}

on_every_backend! {
    async fn operations_that_do_not_sum_to_zero(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let vandal = Vandal::of(world).await?;
        // What the seller got comes from a bid now, and not from the settlement.
        let proceeds = the(&books, story.sold, entry::Kind::Proceeds);
        let bid = books.bids.iter().find(|bid| bid.auction_id == story.sold.get()).unwrap();
        edit(&vandal, &proceeds, entry::Column::Operation, Expr::value(bid.operation)).await?;
        let unbalanced = |operation: Uuid, sum| Finding::Unbalanced {
            auction: story.sold, operation: operation.into(), sum,
        };
        let found = finds(world, [unbalanced(proceeds.operation, -30), unbalanced(bid.operation, 30)]).await?;
        let text = format!("operation {} on auction {} sums to 30 instead of 0", bid.operation, story.sold);
        assert!(found.iter().any(|finding| finding.to_string() == text), "{found:?}");
    }

    async fn money_that_was_moved_by_no_command(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let vandal = Vandal::of(world).await?;
        let operation = OperationId::new();
        let moved = books.entries_for(story.sold);
        let bid = books.bids.iter().find(|bid| bid.auction_id == story.sold.get()).unwrap().operation;
        for entry in moved.iter().filter(|entry| entry.operation == bid) {
            edit(&vandal, entry, entry::Column::Operation, Expr::value(operation.get())).await?;
        }
        let found = finds(world, [Finding::UnknownOperation { auction: story.sold, operation, sum: 0 }]).await?;
        let auction = story.sold;
        let text = format!("operation {operation} moved money for auction {auction}, which has no bid and no act of it");
        assert_eq!(found[0].to_string(), text);
    }

    /// A thief who keeps every sum right: Bob pays Dan for an auction that neither has bid on.
    async fn a_payment_that_no_rule_has_made(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let vandal = Vandal::of(world).await?;
        for (user, delta) in [("bob", -100), ("dan", 100)] {
            let (id, row) = (books.won(user), books.wallet(user));
            vandal.does([
                format!(
                    "INSERT INTO al_entry SELECT wallet_id, {seq}, operation, 4, {delta}, 0, {after}, {held}, {auction}, memo, at \
                     FROM al_entry WHERE wallet_id = {dan} AND seq = 1",
                    dan = books.won("dan"), seq = row.seq + 1, after = row.available + delta, held = row.held, auction = story.quiet,
                ).replace("SELECT wallet_id", &format!("SELECT {id}")),
                format!("UPDATE al_wallet SET available = available + {delta}, seq = seq + 1 WHERE id = {id}"),
            ]).await?;
        }
        let operation = books.journal("dan")[0].operation.into();
        finds(world, [Finding::UnknownOperation { auction: story.quiet, operation, sum: 0 }]).await?;
    }

    async fn a_promise_that_nobody_holds(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let (ann, cid) = (books.won("ann"), books.won("cid"));
        let vandal = Vandal::of(world).await?;
        vandal.does([format!("UPDATE al_auction SET leader_max = 30 WHERE id = {}", story.open)]).await?;
        let auction = story.open;
        let found = finds(world, [Finding::Held { auction, wallet: cid, held: 25, promised: 30 }]).await?;
        assert_eq!(found[0].to_string(), format!("wallet {cid} holds 25 for auction {auction}, which says 30"));

        // And with another leader, who holds nothing.
        vandal.does([
            format!("UPDATE al_auction SET leader_max = 25, leader_wallet_id = {ann} WHERE id = {auction}"),
        ]).await?;
        finds(world, [
            Finding::Held { auction, wallet: ann, held: 0, promised: 25 },
            Finding::Held { auction, wallet: cid, held: 25, promised: 0 },
        ]).await?;
    }

    async fn money_held_for_an_auction_that_is_over(world: &World) {
        let story = story(world).await?;
        let cid = Books::read(world.db()).await?.won("cid");
        let vandal = Vandal::of(world).await?;
        let auction = story.open;
        for state in [3, 4] {
            vandal.does([format!("UPDATE al_auction SET state = {state} WHERE id = {auction}")]).await?;
            let found = finds(world, [Finding::HeldAfterEnd { auction, wallet: cid, held: 25 }]).await?;
            assert_eq!(found[0].to_string(), format!("wallet {cid} holds 25 for auction {auction}, which is over"));
        }
    }

    async fn a_sale_that_is_not_at_its_price(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let dan = books.won("dan");
        let vandal = Vandal::of(world).await?;
        vandal.does([
            format!("UPDATE al_auction SET sold_price = 29 WHERE id = {}", story.sold),
            format!("UPDATE al_auction SET winner_wallet_id = {dan} WHERE id = {}", story.bought),
            // Sold after all, says the auction; nobody has paid.
            format!("UPDATE al_auction SET state = 2 WHERE id = {}", story.unsold),
        ]).await?;
        // A capture that is no capture any more, though its sum is.
        let capture = the(&books, story.closed, entry::Kind::Capture);
        edit(&vandal, &capture, entry::Column::Kind, Expr::value(entry::Kind::Release)).await?;
        let report = finds_settlements(world).await?;
        let summary: Vec<_> = report.iter().map(|one| {
            (one.auction, one.sold, one.price, one.sold_price, one.paid, one.received, one.astray)
        }).collect();
        assert_eq!(summary, [
            (story.sold, true, Some(30), Some(29), 30, 30, 0),
            (story.bought, true, Some(500), Some(500), 500, 500, 0),
            (story.unsold, true, None, None, 0, 0, 0),
            (story.closed, true, Some(12), Some(12), 0, 12, 0),
        ]);
        let (ann, cid) = (books.won("ann"), books.won("cid"));
        let who: Vec<_> = report.iter().map(|one| (one.leader, one.winner)).collect();
        assert_eq!(who[1..], [(Some(ann), Some(dan)), (None, None), (Some(cid), Some(cid))]);
        assert_eq!(
            Finding::from(report[0].clone()).to_string(),
            format!(
                "auction {} is sold: price 30, sold price 29, leader {bob}, winner {bob}, paid 30, received 30, the house 0, astray 0",
                story.sold, bob = books.won("bob"),
            )
        );
    }

    async fn a_seller_who_got_what_another_sold(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let vandal = Vandal::of(world).await?;
        // Dan's name stands on the auction, and Sam was paid.
        vandal.does([
            format!("UPDATE al_auction SET seller_wallet_id = {} WHERE id = {}", books.won("dan"), story.sold),
        ]).await?;
        let found = finds_settlements(world).await?;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].paid, found[0].received, found[0].astray), (30, 0, 30));
    }

    /// Bids and acts share the numbers: one that is missing, one that is there twice.
    async fn commands_that_are_missing(world: &World) {
        let story = story(world).await?;
        let vandal = Vandal::of(world).await?;
        let (open, quiet) = (story.open, story.quiet);
        vandal.does([
            format!("UPDATE al_bid SET seq = 7 WHERE auction_id = {open} AND seq = 6"),
            format!("UPDATE al_auction SET seq = 7 WHERE id = {open}"),
            format!("UPDATE al_act SET seq = 2 WHERE auction_id = {}", story.quiet),
            format!("UPDATE al_auction SET seq = 2 WHERE id = {quiet}"),
            format!("UPDATE al_act SET seq = 3 WHERE auction_id = {} AND seq = 4", story.sold),
        ]).await?;
        let found = finds(world, [
            Finding::CommandGap { auction: open, expected: 6, found: 7 },
            Finding::CommandGap { auction: quiet, expected: 1, found: 2 },
            Finding::CommandGap { auction: story.sold, expected: 4, found: 3 },
            Finding::AuctionSeq { auction: story.sold, row: 4, last: 3 },
        ]).await?;
        assert_eq!(found[0].to_string(), format!("auction {open} has command 7 where command 6 should be"));
    }

    async fn an_auction_that_miscounts_its_commands(world: &World) {
        let story = story(world).await?;
        let vandal = Vandal::of(world).await?;
        vandal.does([
            format!("UPDATE al_auction SET seq = seq + 1 WHERE id = {}", story.open),
            format!("UPDATE al_auction SET seq = 1 WHERE id = {}", story.sold),
            format!("DELETE FROM al_act WHERE auction_id = {}", story.quiet),
        ]).await?;
        let found = finds(world, [
            Finding::AuctionSeq { auction: story.open, row: 7, last: 6 },
            Finding::AuctionSeq { auction: story.quiet, row: 1, last: 0 },
            Finding::AuctionSeq { auction: story.sold, row: 1, last: 4 },
        ]).await?;
        assert_eq!(found[0].to_string(), format!("auction {} says 7 commands, and its last one is 6", story.open));
    }

    /// Its entries are still there, and its number is not.
    async fn a_bid_that_was_deleted(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let bid = books.bids.iter().find(|bid| bid.auction_id == story.sold.get()).unwrap();
        let (auction, seq) = (story.sold, bid.seq);
        Vandal::of(world).await?.does([format!("DELETE FROM al_bid WHERE auction_id = {auction} AND seq = {seq}")]).await?;
        finds(world, [
            Finding::CommandGap { auction, expected: seq, found: seq + 1 },
            Finding::UnknownOperation { auction, operation: bid.operation.into(), sum: 0 },
        ]).await?;
    }

    async fn rows_that_name_no_wallet(world: &World) {
        let story = story(world).await?;
        let vandal = Vandal::of(world).await?;
        let (open, sold, quiet) = (story.open, story.sold, story.quiet);
        vandal.does([
            format!("UPDATE al_auction SET seller_wallet_id = 991 WHERE id = {quiet}"),
            format!("UPDATE al_bid SET wallet_id = 992 WHERE auction_id = {open} AND seq = 3"),
            format!("UPDATE al_bid SET leader_wallet_id = 993 WHERE auction_id = {open} AND seq = 4"),
            // Told once for each auction: the act, and not the bid behind it.
            format!("UPDATE al_act SET wallet_id = 994 WHERE auction_id = {open} AND seq = 1"),
            format!("UPDATE al_bid SET leader_wallet_id = 994 WHERE auction_id = {open} AND seq = 5"),
            format!("UPDATE al_bid SET leader_wallet_id = 994 WHERE auction_id = {sold} AND seq = 2"),
        ]).await?;
        let missing = |referrer, wallet: i64| Finding::MissingWallet { referrer, wallet: wallet.into() };
        let found = finds(world, [
            missing(Record::Auction(quiet), 991),
            missing(Record::Bid { auction: open, seq: 3 }, 992),
            missing(Record::Bid { auction: open, seq: 4 }, 993),
            missing(Record::Act { auction: open, seq: 1 }, 994),
            missing(Record::Bid { auction: sold, seq: 2 }, 994),
        ]).await?;
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        for text in [
            format!("auction {quiet} names wallet 991, which does not exist"),
            format!("bid 3 of auction {open} names wallet 992, which does not exist"),
            format!("act 1 of auction {open} names wallet 994, which does not exist"),
        ] {
            assert!(texts.contains(&text), "{texts:?}");
        }
    }

    async fn a_leader_and_a_winner_without_a_wallet(world: &World) {
        let story = story(world).await?;
        let vandal = Vandal::of(world).await?;
        let cid = Books::read(world.db()).await?.won("cid");
        let (open, sold) = (story.open, story.sold);
        vandal.does([
            format!("UPDATE al_auction SET leader_wallet_id = 995 WHERE id = {open}"),
            format!("UPDATE al_auction SET winner_wallet_id = 996 WHERE id = {sold}"),
        ]).await?;
        let report = auction_ledger::AuctionLedger::new(world.db().clone()).audit().await?;
        let missing = |auction, wallet: i64| Finding::MissingWallet {
            referrer: Record::Auction(auction), wallet: wallet.into(),
        };
        for expected in [
            missing(open, 995),
            missing(sold, 996),
            Finding::Held { auction: open, wallet: 995.into(), held: 0, promised: 25 },
            Finding::Held { auction: open, wallet: cid, held: 25, promised: 0 },
        ] {
            assert!(report.findings.contains(&expected), "{expected:?}");
        }
        assert_eq!(report.findings.len(), 5, "and the settlement: {:?}", report.findings);
    }

    /// Wherever it is: before the first auction, between two, behind the last.
    async fn rows_that_name_no_auction(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let dan = books.won("dan");
        let vandal = Vandal::of(world).await?;
        let mut expected = Vec::new();
        for id in [-3, 0, 500, i64::MAX] {
            let auction = AuctionId::from(id);
            for seq in [1, 2] {
                vandal.does([
                    format!(
                        "INSERT INTO al_act SELECT {id}, {seq}, operation, kind, wallet_id, amount, reason, at, NULL, NULL FROM al_act \
                         WHERE auction_id = {} AND seq = 1", story.quiet,
                    ),
                    format!(
                        "INSERT INTO al_bid SELECT {id}, {seq}, operation, wallet_id, amount, price, leader_wallet_id, ends_at, at \
                         FROM al_bid WHERE auction_id = {} AND seq = 2", story.open,
                    ),
                ]).await?;
            }
            // The first of each table is told.
            expected.push(Finding::MissingAuction { referrer: Record::Act { auction, seq: 1 }, auction });
            expected.push(Finding::MissingAuction { referrer: Record::Bid { auction, seq: 1 }, auction });
        }
        // Two entries of Dan's, in both directions, for an auction that nobody knows.
        for (seq, delta, available, held) in [(2, -9, 91, 9), (3, 9, 100, 0)] {
            vandal.does([format!(
                "INSERT INTO al_entry SELECT wallet_id, {seq}, operation, 3, {delta}, {}, {available}, {held}, 501, memo, at \
                 FROM al_entry WHERE wallet_id = {dan} AND seq = 1", -delta,
            )]).await?;
        }
        vandal.does([format!("UPDATE al_wallet SET seq = 3 WHERE id = {dan}")]).await?;
        let referrer = Record::Entry { wallet: dan, seq: 2 };
        expected.push(Finding::MissingAuction { referrer, auction: 501.into() });
        let found = finds(world, expected).await?;
        let text = format!("entry 2 of wallet {dan} names auction 501, which does not exist");
        assert!(found.iter().any(|finding| finding.to_string() == text), "{found:?}");
    }
}

/// Fails unless the audit finds settlements only.
async fn finds_settlements(
    world: &World,
) -> Result<Vec<SettlementMismatch>, auction_ledger::Error> {
    let report = auction_ledger::AuctionLedger::new(world.db().clone()).audit().await?;
    let all = report.findings.into_iter().map(|finding| match finding {
        Finding::Settlement(mismatch) => mismatch,
        other => panic!("{other:?}"),
    });
    Ok(all.collect())
}
