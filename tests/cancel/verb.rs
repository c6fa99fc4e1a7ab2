//! Every verb, each in the scene that makes it do all that it can.

use auction_ledger::unit_of_work::UnitOfWork;
use auction_ledger::{AuctionId, AuctionLedger, AuctionTerms, Error};
use chrono::{DateTime, TimeDelta};

use super::WON;
use super::bench::Bench;

/// A verb, and what it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Deposit,
    /// The wallet is made, too.
    FirstDeposit,
    Withdraw,
    Open,
    /// The seller's wallet is made, too.
    FirstOpening,
    FirstBid,
    Raise,
    /// The leader's hold is released.
    Outbid,
    /// A bid at the buy-now price, with a leader.
    BidThatBuys,
    /// With a leader.
    Buy,
    /// With a winner.
    Settle,
    CloseEarly,
    /// Below a reserve.
    AcceptBelowReserve,
    /// To where the leader meets it.
    LowerReserve,
    /// Before the first bid.
    Extend,
    Cancel,
    /// Of the leader: another one leads again.
    VoidBid,
    /// At a limit, with a leader.
    Take,
    SealedBid,
    /// With a loser, who is released.
    SettleSealed,
    KeyedDeposit,
    KeyedOpen,
    /// The leader's hold is released.
    KeyedBid,
    /// With a leader.
    KeyedBuy,
}

impl Verb {
    pub(super) const ALL: [Self; 24] = [
        Self::Deposit,
        Self::FirstDeposit,
        Self::Withdraw,
        Self::Open,
        Self::FirstOpening,
        Self::FirstBid,
        Self::Raise,
        Self::Outbid,
        Self::BidThatBuys,
        Self::Buy,
        Self::Settle,
        Self::CloseEarly,
        Self::AcceptBelowReserve,
        Self::LowerReserve,
        Self::Extend,
        Self::Cancel,
        Self::VoidBid,
        Self::Take,
        Self::SealedBid,
        Self::SettleSealed,
        Self::KeyedDeposit,
        Self::KeyedOpen,
        Self::KeyedBid,
        Self::KeyedBuy,
    ];

    /// A fresh auction for the verbs that need one.
    pub(super) async fn prepare(self, bench: &Bench<'_>) -> Result<Scene, Error> {
        let terms = AuctionTerms::english(WON, 10.into(), 1.into()).buy_now(500.into());
        let terms = match self {
            Self::AcceptBelowReserve | Self::LowerReserve => terms.reserve(400.into()),
            Self::SealedBid | Self::SettleSealed => {
                AuctionTerms::sealed_second_price(WON, 10.into())
            }
            _ => terms,
        };
        let end = bench.clock.now() + TimeDelta::seconds(1);
        let auction = bench.host.open_auction("sam", "a thing", terms.ends_at(end)).await?.id;
        if !matches!(self, Self::FirstBid | Self::Extend) {
            bench.host.place_bid(auction, "ann", 20.into()).await?;
        }
        if matches!(self, Self::VoidBid | Self::SettleSealed) {
            bench.host.place_bid(auction, "bob", 40.into()).await?;
        }
        if matches!(self, Self::Settle | Self::SettleSealed) {
            bench.clock.set(end);
        }
        Ok(Scene { auction, newcomer: format!("newcomer {}", bench.number()) })
    }

    /// Runs the verb in `scene`, alone or within a unit of work.
    pub(super) async fn run(
        self,
        ledger: &AuctionLedger,
        scene: &Scene,
        uow: Option<&UnitOfWork>,
    ) -> Result<(), Error> {
        macro_rules! send {
            ($request:expr) => {
                match uow {
                    Some(uow) => $request.within(uow).await.map(drop),
                    None => $request.await.map(drop),
                }
            };
        }
        let Scene { auction, newcomer } = scene;
        // Of the scene: it was never used before.
        let key = newcomer.as_str();
        let terms = AuctionTerms::english(WON, 10.into(), 1.into())
            .ends_in(std::time::Duration::from_secs(9));
        match self {
            Self::Deposit => send!(ledger.deposit("ann", WON, 7.into())),
            Self::FirstDeposit => send!(ledger.deposit(newcomer.as_str(), WON, 7.into())),
            Self::Withdraw => send!(ledger.withdraw("ann", WON, 7.into())),
            Self::Open => send!(ledger.open_auction("sam", "another", terms)),
            Self::FirstOpening => send!(ledger.open_auction(newcomer.as_str(), "another", terms)),
            Self::FirstBid | Self::Outbid => send!(ledger.place_bid(*auction, "bob", 30.into())),
            Self::Raise => send!(ledger.place_bid(*auction, "ann", 30.into())),
            Self::BidThatBuys => send!(ledger.place_bid(*auction, "bob", 600.into())),
            Self::Buy => send!(ledger.buy_now(*auction, "bob")),
            Self::Settle => send!(ledger.settle(*auction)),
            Self::CloseEarly => send!(ledger.close_early(*auction).by("sam")),
            Self::AcceptBelowReserve => send!(ledger.accept_below_reserve(*auction).by("sam")),
            Self::LowerReserve => send!(ledger.lower_reserve(*auction, 15.into()).by("sam")),
            Self::Extend => {
                send!(ledger.extend(*auction, DateTime::UNIX_EPOCH + TimeDelta::days(30_000)))
            }
            Self::Cancel => send!(ledger.cancel(*auction)),
            Self::VoidBid => send!(ledger.void_bid(*auction, 3, "a mistake").by("sam")),
            Self::Take => send!(ledger.take(*auction, "bob", 600.into())),
            Self::SealedBid => send!(ledger.place_bid(*auction, "bob", 30.into())),
            Self::SettleSealed => send!(ledger.settle(*auction)),
            Self::KeyedDeposit => send!(ledger.deposit("ann", WON, 7.into()).key(key)),
            Self::KeyedOpen => send!(ledger.open_auction("sam", "another", terms).key(key)),
            Self::KeyedBid => send!(ledger.place_bid(*auction, "bob", 30.into()).key(key)),
            Self::KeyedBuy => send!(ledger.buy_now(*auction, "bob").key(key)),
        }
    }
}

/// What a verb is run on.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) auction: AuctionId,
    /// A user whom nobody knows.
    pub(super) newcomer: String,
}
