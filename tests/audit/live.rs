//! The audit of books that change while they are read.

use std::future::{IntoFuture, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use auction_ledger::{AuctionId, AuctionLedger, AuctionTerms, Error};

use super::{WON, finds, story};
use crate::support::{Books, on_every_backend, race, scale};

const TRADERS: usize = 4;

/// What traders and auditors know of each other.
#[derive(Default)]
struct Market {
    newest: AtomicI64,
    accepted: AtomicUsize,
    closed: AtomicBool,
}

impl Market {
    /// Everything that users can do, again and again until the market closes: bids on auctions that others bid on,
    /// purchases, deposits and withdrawals, new auctions, and every ending.
    async fn trade(&self, ledger: AuctionLedger, trader: usize) -> Result<(), Error> {
        let user = format!("user {trader}");
        for round in trader.. {
            if self.closed.load(Ordering::SeqCst) {
                break;
            }
            let newest = self.newest.load(Ordering::SeqCst);
            let auction = AuctionId::from((newest - (round % 3) as i64).max(1));
            let outcome = match round % 11 {
                0 => self.open(&ledger, &user).await,
                3 => ledger.deposit(user.as_str(), WON, 10.into()).await.map(drop),
                5 => ledger.withdraw(user.as_str(), WON, 3.into()).await.map(drop),
                7 => ledger.buy_now(auction, user.as_str()).await.map(drop),
                8 => ledger.close_early(auction).await.map(drop),
                10 => ledger.cancel(auction).await.map(drop),
                _ => self.bid(&ledger, auction, &user).await,
            };
            match outcome {
                Ok(()) => _ = self.accepted.fetch_add(1, Ordering::SeqCst),
                // A number that an opening has drawn and not used is no auction.
                Err(Error::Rejected(_) | Error::UnknownAuction { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn open(&self, ledger: &AuctionLedger, user: &str) -> Result<(), Error> {
        let terms = AuctionTerms::english(WON, 1.into(), 1.into()).buy_now(20.into());
        let terms = terms.ends_in(Duration::from_secs(3_600));
        let auction = ledger.open_auction(user, "a thing", terms).await?;
        self.newest.fetch_max(auction.id.get(), Ordering::SeqCst);
        Ok(())
    }

    async fn bid(
        &self,
        ledger: &AuctionLedger,
        auction: AuctionId,
        user: &str,
    ) -> Result<(), Error> {
        let least = ledger.auction(auction).await?.next_minimum.unwrap_or(1.into());
        ledger.place_bid(auction, user, least).await.map(drop)
    }

    /// Audits while they trade: by large ranges, and by small ones.
    async fn audit(&self, ledger: AuctionLedger, times: usize) -> Result<(), Error> {
        for time in 0..times {
            let audit = ledger.audit();
            let audit = if time % 2 == 0 { audit } else { audit.page_size(1).commands(10) };
            let report = audit.await?;
            assert!(report.is_clean(), "audit {time}: {:?}", report.findings);
            assert!(report.conservation.is_some_and(|totals| totals.len() == 1));
        }
        Ok(())
    }
}

/// Whoever is done, has failed or has panicked ends it for all.
struct Closing(Arc<Market>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }
}

/// Polls `future` this often and then drops it, unless it is done before.
async fn polled<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

on_every_backend! {
    async fn nothing_is_found_while_bids_go_on(world: &World) {
        let ledger = AuctionLedger::new(world.db().clone());
        for trader in 0..TRADERS {
            ledger.deposit(format!("user {trader}"), WON, 1_000_000.into()).await?;
        }
        let market = Arc::new(Market::default());
        market.open(&ledger, "user 0").await?;
        let outcomes = race(TRADERS + 1, |one| {
            let (market, ledger) = (market.clone(), ledger.clone());
            async move {
                let _closing = Closing(market.clone());
                match one {
                    TRADERS => market.audit(ledger, scale(12)).await,
                    trader => market.trade(ledger, trader).await,
                }
            }
        });
        for outcome in outcomes.await {
            outcome?;
        }
        assert!(market.accepted.load(Ordering::SeqCst) > 0, "nobody has traded");
        finds(world, []).await?;
        Books::read(world.db()).await?.check();
    }

    /// The next user of the only connection can write: it is not read-only any more, and no transaction is open on it.
    async fn dropped_at_any_await_it_leaves_a_clean_connection(world: &World) {
        story(world).await?;
        let ledger = AuctionLedger::new(world.connect(1).await);
        let mut entries = 0;
        for polls in 1..2_000 {
            let done = polled(polls, ledger.audit().page_size(3).commands(10).into_future()).await;
            ledger.deposit("eve", WON, 1.into()).await?;
            entries += 1;
            assert_eq!(Books::read(world.db()).await?.journal("eve").len(), entries, "after {polls} polls");
            if let Some(report) = done {
                assert!(report?.is_clean());
                assert!(polls > 1, "it was to be cut off in between");
                return Ok(());
            }
        }
        panic!("it was never done");
    }
}
