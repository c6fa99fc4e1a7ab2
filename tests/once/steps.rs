//! A verb within a unit of work of the host is one step: nothing of the same unit comes in between, and it is never half
//! written.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use auction_ledger::unit_of_work::{Cause, Error as UnitOfWorkError};
use auction_ledger::{AuctionId, AuctionLedger, Error, Rejection};
use sea_orm::ConnectionTrait;

use super::{Ask, WON, house, terms};
use crate::support::{Books, on_every_backend};

/// A verb within a unit of work, as ann or, for an opening, as sam.
async fn within(
    ask: Ask,
    ledger: &AuctionLedger,
    auction: AuctionId,
    uow: &auction_ledger::unit_of_work::UnitOfWork,
) -> Result<(), Error> {
    match ask {
        Ask::Deposit(amount) => {
            ledger.deposit("ann", WON, amount.into()).key("k").within(uow).await.map(drop)
        }
        Ask::Bid(amount) => {
            ledger.place_bid(auction, "ann", amount.into()).within(uow).await.map(drop)
        }
        Ask::Open => ledger.open_auction("sam", "x", terms()).within(uow).await.map(drop),
        other => panic!("{other:?}"),
    }
}

on_every_backend! {
    async fn a_request_sent_twice_at_once_in_one_unit_is_carried_out_once(world: &World) {
        let (ledger, _, _) = house(world).await?;
        let done = ledger.atomic(async |uow| {
            let one = ledger.deposit("ann", WON, 5.into()).key("k").within(uow);
            let two = ledger.deposit("ann", WON, 5.into()).key("k").within(uow);
            let (one, two) = tokio::join!(one, two);
            assert_eq!(one?, two?);
            Ok::<_, Error>(())
        });
        _ = done.await?;
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!((books.total(), books.keys.len()), (10_005, 1));
    }

    /// Without a turn both would read the same standing, and a cancelled auction would hold money for ever.
    async fn verbs_at_once_in_one_unit_come_one_after_the_other(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let done = ledger.atomic(async |uow| {
            let bid = ledger.place_bid(auction, "ann", 100.into()).within(uow);
            let cancel = ledger.cancel(auction).within(uow);
            let (cancelled, bid) = tokio::join!(cancel, bid);
            cancelled?;
            let Err(Error::Rejected(Rejection::Closed { .. })) = bid else { panic!("{bid:?}") };
            Ok::<_, Error>(())
        });
        _ = done.await?;
        let books = Books::read(world.db()).await?;
        books.check();
        assert!(books.bids.is_empty());
    }

    async fn a_nested_block_does_not_open_in_the_middle_of_a_verb(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let done = ledger.atomic(async |uow| {
            let bid = ledger.place_bid(auction, "ann", 100.into()).within(uow);
            let nested = uow.atomic(async |uow| {
                ledger.deposit("bob", WON, 5.into()).within(uow).await?;
                Err::<(), _>(Error::UnknownAuction { auction })
            });
            let (bid, undone) = tokio::join!(bid, nested);
            bid?;
            assert!(matches!(undone, Err(Error::UnknownAuction { .. })));
            Ok::<_, Error>(())
        });
        _ = done.await?;
        let books = Books::read(world.db()).await?;
        books.check();
        assert_eq!((books.total(), books.bids.len()), (10_000, 1));
    }

    async fn a_verb_is_refused_while_a_nested_block_is_open_and_breaks_nothing(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let done = ledger.atomic(async |uow| {
            let nested = uow.atomic(async |_| {
                let refused = ledger.place_bid(auction, "ann", 100.into()).within(uow).await;
                assert!(matches!(refused, Err(Error::UnitOfWork(UnitOfWorkError::ChildOpen))));
                Ok::<_, Error>(())
            });
            nested.await?;
            ledger.place_bid(auction, "ann", 100.into()).within(uow).await
        });
        _ = done.await?;
        Books::read(world.db()).await?.check();
    }

    /// The verb is dropped wherever it stands, beside a host that keeps the connection busy. What it has begun is whole, or
    /// its block is broken.
    async fn a_verb_that_is_dropped_halfway_is_never_half_stored(world: &World) {
        let (mut stored, mut broken, mut nothing) = (0, 0, 0);
        for ask in [Ask::Deposit(5), Ask::Bid(100), Ask::Open] {
            for polls in 1..200 {
                let (ledger, _, auction) = house(world).await?;
                world.db().execute_unprepared("DELETE FROM al_key").await?;
                let before = Books::read(world.db()).await?;
                let unit = ledger.atomic(async |uow| {
                    let mut busy = pin!(async {
                        for _ in 0..60 {
                            uow.execute_unprepared("SELECT 1").await.ok();
                        }
                    });
                    let mut busy_done = false;
                    let finished = {
                        let mut verb = pin!(within(ask, &ledger, auction, uow));
                        let mut left = polls;
                        poll_fn(|context| {
                            busy_done = busy_done || busy.as_mut().poll(context).is_ready();
                            let finished = verb.as_mut().poll(context).is_ready();
                            left -= 1;
                            if finished || left == 0 { Poll::Ready(finished) } else { Poll::Pending }
                        })
                        .await
                    };
                    if !busy_done {
                        busy.await;
                    }
                    Ok::<_, Error>(finished)
                });
                let outcome = unit.await;
                let books = Books::read(world.db()).await?;
                books.check();
                match outcome {
                    Ok(finished) if *finished => {
                        assert_ne!(books, before);
                        stored += 1;
                        break;
                    }
                    Ok(_) => {
                        assert_eq!(books, before, "{ask:?} after {polls} polls: a sound block holds half of it");
                        nothing += 1;
                    }
                    Err(Error::UnitOfWork(UnitOfWorkError::RolledBack { cause })) => {
                        let cut = matches!(cause, Cause::Interrupted | Cause::StatementDropped);
                        assert!(cut, "{cause:?}");
                        assert_eq!(books, before);
                        broken += 1;
                    }
                    Err(other) => panic!("{ask:?} after {polls} polls: {other:?}"),
                }
            }
        }
        println!("stored {stored}, broken {broken}, nothing begun {nothing}");
        assert!(stored == 3 && broken > 0, "stored {stored}, broken {broken}, nothing begun {nothing}");
    }
}
