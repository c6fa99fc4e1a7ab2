//! The connection of a verb is cut at every boundary of its conversation with the server, one after the other, until
//! the verb gets through unharmed.

use std::time::Duration;

use auction_ledger::unit_of_work::Retry;
use auction_ledger::{AuctionId, AuctionLedger, AuctionTerms, ManualClock};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DatabaseConnection;

use super::{Log, Result, WON, Wish, audit, close_the_house, is_unknown, on_servers, terms};
use crate::support::link::{Cut, Link};
use crate::support::{Books, Database, World};

/// The verbs; each finds its auction as it needs it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Deposit,
    Withdraw,
    Open,
    Outbid,
    Buy,
    Settle,
    CloseEarly,
    Cancel,
    /// Of the leader: another one leads again, and holds again.
    VoidBid,
    SealedBid,
    /// With a loser, who is released first.
    SettleSealed,
}

pub(super) const VERBS: [Verb; 11] = [
    Verb::Deposit,
    Verb::Withdraw,
    Verb::Open,
    Verb::Outbid,
    Verb::Buy,
    Verb::Settle,
    Verb::CloseEarly,
    Verb::Cancel,
    Verb::VoidBid,
    Verb::SealedBid,
    Verb::SettleSealed,
];

/// A ledger whose connection does not fail, for what comes before.
pub(super) struct House {
    pub(super) database: Database,
    pub(super) url: String,
    pub(super) db: DatabaseConnection,
    pub(super) ledger: AuctionLedger,
    pub(super) clock: ManualClock,
    pub(super) log: Log,
}

impl House {
    pub(super) async fn new(world: &World) -> Result<Self> {
        Self::on(world.database(), world.url(), world.db()).await
    }

    pub(super) async fn on(database: Database, url: &str, db: &DatabaseConnection) -> Result<Self> {
        let clock = ManualClock::new(DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000));
        let ledger = AuctionLedger::new(db.clone()).clock(clock.clone());
        let (url, db, log) = (url.to_owned(), db.clone(), Log::new("command"));
        let house = Self { database, url, db, ledger, clock, log };
        for user in ["ann", "bob"] {
            let user = user.to_owned();
            house.log.send(&house.ledger, Wish::Deposit { user, amount: 1_000_000 }).await?;
        }
        Ok(house)
    }

    /// Makes what the verb needs: an auction that ann leads, or a purse. The wish is still to be sent.
    pub(super) async fn wish(&self, verb: Verb) -> Result<Wish> {
        let bob = || "bob".to_owned();
        Ok(match verb {
            Verb::Deposit => Wish::Deposit { user: bob(), amount: 7 },
            Verb::Withdraw => Wish::Withdraw { user: bob(), amount: 3 },
            Verb::Open => {
                let terms = terms().ends_in(Duration::from_secs(3600));
                Wish::Open { seller: "sam".to_owned(), terms }
            }
            Verb::Outbid => {
                Wish::Bid { auction: self.led().await?, user: bob(), amount: 15.into() }
            }
            Verb::Buy => Wish::Buy { auction: self.led().await?, user: bob() },
            Verb::Settle => {
                let auction = self.led().await?;
                self.clock.advance(TimeDelta::hours(1));
                Wish::Settle { auction }
            }
            Verb::CloseEarly => Wish::CloseEarly { auction: self.led().await? },
            Verb::Cancel => Wish::Cancel { auction: self.led().await? },
            Verb::VoidBid => {
                let auction = self.led().await?;
                self.bid(auction, "bob", 15).await?;
                Wish::VoidBid { auction, bid: 3 }
            }
            Verb::SealedBid => {
                Wish::Bid { auction: self.sealed().await?, user: bob(), amount: 15.into() }
            }
            Verb::SettleSealed => {
                let auction = self.sealed().await?;
                self.bid(auction, "bob", 15).await?;
                self.clock.advance(TimeDelta::hours(1));
                Wish::Settle { auction }
            }
        })
    }

    /// A sealed auction on which ann has bid.
    async fn sealed(&self) -> Result<AuctionId> {
        let terms = AuctionTerms::sealed_second_price(WON, 10.into());
        let terms = terms.ends_at(self.clock.now() + TimeDelta::hours(1));
        let opened = self.log.send(&self.ledger, Wish::Open { seller: "sam".to_owned(), terms });
        let auction = opened.await?.auction.expect("the opening says which");
        self.bid(auction, "ann", 10).await?;
        Ok(auction)
    }

    async fn bid(&self, auction: AuctionId, user: &str, amount: i64) -> Result {
        let bid = Wish::Bid { auction, user: user.to_owned(), amount: amount.into() };
        self.log.send(&self.ledger, bid).await?;
        Ok(())
    }

    async fn led(&self) -> Result<AuctionId> {
        let terms = terms().buy_now(30.into()).ends_at(self.clock.now() + TimeDelta::hours(1));
        let opened = self.log.send(&self.ledger, Wish::Open { seller: "sam".to_owned(), terms });
        let auction = opened.await?.auction.expect("the opening says which");
        self.bid(auction, "ann", 10).await?;
        Ok(auction)
    }

    /// A ledger of the same house behind a link, which does not try for ever.
    pub(super) fn behind(&self, pool: &DatabaseConnection) -> AuctionLedger {
        let retry = Retry::new().deadline(Duration::from_secs(2));
        AuctionLedger::new(pool.clone()).clock(self.clock.clone()).retry(retry)
    }

    pub(super) async fn audit(&self) -> Result<Books> {
        audit(self.database, &self.db, &self.log).await
    }

    /// Calls off whatever is open, and finds that nobody holds anything.
    pub(super) async fn close(&self) -> Result {
        close_the_house(self.database, &self.db, &self.ledger, &self.log).await
    }
}

/// Cuts the verb at its first boundary, its second, and so on; the number of boundaries it has.
async fn cut_everywhere(house: &House, verb: Verb, cut: Cut) -> Result<usize> {
    for n in 0.. {
        let wish = house.wish(verb).await?;
        let link = Link::to_url(&house.url).await;
        let pool = house.database.connect(link.url(), 2).await;
        let ledger = house.behind(&pool);
        link.cut_nth(n, cut);
        let outcome = house.log.send(&ledger, wish).await;
        let cuts = link.cuts();
        // Whoever comes next finds a clean connection.
        link.mend();
        let next = Wish::Deposit { user: "next".to_owned(), amount: 1 };
        house
            .log
            .send(&ledger, next)
            .await
            .map_err(|error| format!("{verb:?}, {cut:?} {n}: {error:?}"))?;
        pool.close().await?;
        house.audit().await?;
        if cuts == 0 {
            outcome?;
            return Ok(n);
        }
    }
    unreachable!("a verb has an end")
}

/// Cuts the verb at each of its boundaries and sends it again with its key, as a client does who got no answer; the number of
/// boundaries it has.
async fn ask_again_everywhere(house: &House, verb: Verb, cut: Cut) -> Result<usize> {
    for n in 0.. {
        let wish = house.wish(verb).await?;
        let link = Link::to_url(&house.url).await;
        let pool = house.database.connect(link.url(), 2).await;
        // The client is the one who tries again.
        let ledger = house.behind(&pool).retry(Retry::new().attempts(1));
        link.cut_nth(n, cut);
        let ask = async |note: &str| {
            let answer = loop {
                match wish.clone().carry_out_once(&ledger, note).await {
                    Err(error) if error.is_retryable() || is_unknown(&error) => link.mend(),
                    answered => break answered?,
                }
            };
            link.mend();
            assert_eq!(wish.clone().carry_out_once(&ledger, note).await?, answer);
            Ok(answer)
        };
        house.log.record(ask).await.map_err(|error| format!("{verb:?}, {cut:?} {n}: {error:?}"))?;
        let cuts = link.cuts();
        pool.close().await?;
        house.audit().await?;
        if cuts == 0 {
            return Ok(n);
        }
    }
    unreachable!("a verb has an end")
}

on_servers! {
    async fn a_request_cut_anywhere_and_sent_again_with_its_key_is_carried_out_once(world: &World) {
        let house = House::new(world).await?;
        for verb in VERBS {
            for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
                let boundaries = ask_again_everywhere(&house, verb, cut).await?;
                println!("{verb:?} with a key, {cut:?}: {boundaries} boundaries");
                assert!(boundaries >= 5, "{verb:?} is cut in every request: {boundaries}");
            }
        }
        house.close().await?;
    }

    /// Each batch is cut at each of its boundaries, and the next call goes on where the last one that was stored has come to.
    async fn a_settlement_in_batches_cut_anywhere_releases_each_bid_once(world: &World) {
        let house = House::new(world).await?;
        let auction = house.sealed().await?;
        // With ann's, two batches of 200 to release, and the winner.
        for bidder in 0..400 {
            let user = format!("bidder {bidder}");
            let deposit = Wish::Deposit { user: user.clone(), amount: 1_000 };
            house.log.send(&house.ledger, deposit).await?;
            house.bid(auction, &user, 20 + bidder).await?;
        }
        house.clock.advance(TimeDelta::hours(1));
        let (mut calls, mut batches) = (0, Vec::new());
        'batches: loop {
            // Before them come pings, of a connection that comes back and of one that is taken again: a pool that finds it cut
            // makes another one, and the settlement hears of nothing.
            for n in 3.. {
                let link = Link::to_url(&house.url).await;
                let pool = house.database.connect(link.url(), 1).await;
                let ledger = house.behind(&pool).retry(Retry::new().attempts(1));
                ledger.auction(auction).await?;
                let cut = if (n + batches.len()).is_multiple_of(2) { Cut::BeforeRequest } else { Cut::BeforeReply };
                link.cut_nth(n, cut);
                let settled = ledger.settle(auction).await;
                let cuts = link.cuts();
                pool.close().await?;
                calls += 1;
                assert!(cuts > 0 || settled.is_ok(), "{settled:?}");
                let Ok(settled) = settled else { continue };
                batches.push(n);
                if !settled.releasing {
                    break 'batches;
                }
                break;
            }
        }
        println!("{calls} calls, of which these were stored: {batches:?}");
        assert!(calls > 2 * batches.len(), "it was to be cut in between");
        let books = house.audit().await?;
        assert!(books.sealed_bids.iter().all(|bid| bid.released_by.is_some()));
        assert_eq!(books.sealed_bids.len(), 401);
        assert!(books.wallets.iter().all(|wallet| wallet.held == 0));
        house.close().await?;
    }

    async fn a_link_cut_before_any_request_of_any_verb_loses_and_doubles_nothing(world: &World) {
        let house = House::new(world).await?;
        for verb in VERBS {
            let boundaries = cut_everywhere(&house, verb, Cut::BeforeRequest).await?;
            println!("{verb:?}: {boundaries} requests");
            assert!(boundaries >= 4, "{verb:?} has BEGIN, a lock, a write and COMMIT: {boundaries}");
        }
        house.close().await?;
    }

    async fn a_link_cut_before_any_reply_to_any_verb_loses_and_doubles_nothing(world: &World) {
        let house = House::new(world).await?;
        for verb in VERBS {
            let boundaries = cut_everywhere(&house, verb, Cut::BeforeReply).await?;
            println!("{verb:?}: {boundaries} replies");
            assert!(boundaries >= 4, "{verb:?} has BEGIN, a lock, a write and COMMIT: {boundaries}");
        }
        house.close().await?;
    }
}
