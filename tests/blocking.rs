//! The ledger for code without async.

use std::sync::mpsc;
use std::time::Duration;

use auction_ledger::unit_of_work::Error as UnitOfWorkError;
use auction_ledger::{
    AuctionTerms, Currency, Error, EventKind, RecordingSink, Rejection, blocking,
};
use rust_decimal::Decimal;
use sea_orm::ConnectOptions;

use crate::support::{Books, on_every_backend, scale};

const WON: Currency = Currency::KRW;

fn terms() -> AuctionTerms {
    AuctionTerms::english(WON, 100.into(), 10.into()).ends_in(Duration::from_secs(3_600))
}

/// Runs code without async on a thread that no runtime knows.
async fn on_a_thread<T: Send + 'static>(code: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, answer) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(code()).ok());
    answer.await.expect("it does not panic")
}

fn connect(url: &str) -> Result<blocking::AuctionLedger, Error> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(4).sqlx_logging(false);
    blocking::AuctionLedger::connect(options)
}

fn inside<T: std::fmt::Debug>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::UnitOfWork(UnitOfWorkError::InsideRuntime)))
}

on_every_backend! {
    async fn threads_that_bid_at_once_get_the_own_answers(world: &World) {
        let url = world.url().to_owned();
        let accepted = on_a_thread(move || {
            let ledger = connect(&url)?;
            for bidder in 0..6 {
                ledger.wait(ledger.deposit(format!("bidder {bidder}"), WON, 1_000_000.into()))?;
            }
            let auction = ledger.wait(ledger.open_auction("sam", "a thing", terms()))?.id;
            let threads: Vec<_> = (0..6).map(|bidder| {
                let ledger = ledger.clone();
                std::thread::spawn(move || {
                    let (user, mut offer, mut seqs) = (format!("bidder {bidder}"), Decimal::from(100), Vec::new());
                    for _ in 0..scale(20) {
                        match ledger.wait(ledger.place_bid(auction, user.as_str(), offer)) {
                            Ok(bid) => {
                                seqs.push(bid.seq);
                                offer = bid.price + Decimal::TEN;
                            }
                            Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => offer = minimum,
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(seqs)
                })
            }).collect();
            let mut accepted = Vec::new();
            for thread in threads {
                accepted.extend(thread.join().expect("it does not panic")?);
            }
            ledger.close()?;
            accepted.sort_unstable();
            Ok::<_, Error>(accepted)
        }).await?;
        let books = Books::read(world.db()).await?;
        books.check();
        assert!(books.bids.iter().map(|bid| bid.seq).eq(accepted));
    }

    async fn callbacks_run_and_sinks_are_told(world: &World) {
        let url = world.url().to_owned();
        on_a_thread(move || {
            let sink = RecordingSink::new();
            let ledger = connect(&url)?.set(|ledger| ledger.sink(sink.clone()));
            let (told, notices) = mpsc::channel();
            let done = ledger.wait(ledger.atomic(async |uow| {
                let told = told.clone();
                uow.on_commit(async move || { told.send("open").ok(); });
                ledger.open_auction("sam", "a thing", terms()).within(uow).await
            }))?;
            assert!(done.hooks().is_clean());
            assert_eq!(notices.recv().ok(), Some("open"));
            let events = ledger.wait(async { Ok::<_, Error>(sink.wait_for(1).await) })?;
            assert!(matches!(events[0].kind, EventKind::Opened { .. }));
            ledger.close()
        }).await?;
    }

    /// Neither a panic nor a hang: in a task, in a callback, and on a thread of the runtime that may block.
    async fn inside_a_runtime_it_says_what_to_do(world: &World) {
        let url = world.url().to_owned();
        assert!(inside(connect(&url)));
        let ledger = on_a_thread(move || connect(&url)).await?;
        assert!(inside(ledger.wait(ledger.wallet("ann", WON))));
        let (there, mine) = (ledger.clone(), ledger.clone());
        let blocked = tokio::task::spawn_blocking(move || there.wait(there.wallet("ann", WON)));
        assert!(inside(blocked.await?));
        let answer = on_a_thread(move || {
            let (told, answer) = mpsc::channel();
            let there = mine.clone();
            let done = mine.wait(mine.atomic(async |uow| {
                let (told, there) = (told.clone(), there.clone());
                uow.on_commit(async move || { told.send(inside(there.wait(there.wallet("ann", WON)))).ok(); });
                Ok::<_, Error>(())
            }));
            done.map(|done| (done.hooks().is_clean(), answer.recv().ok()))
        });
        assert_eq!(answer.await?, (true, Some(true)));
        let error = ledger.wait(ledger.wallet("ann", WON)).unwrap_err();
        assert!(error.to_string().starts_with("this thread belongs to a tokio runtime: await"), "{error}");
        // The last clone is dropped where nobody may wait for a runtime.
        drop(ledger);
    }
}
