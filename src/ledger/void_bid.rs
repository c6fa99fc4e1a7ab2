//! Making a bid void: the last resort against a mistake or a fraud.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde::{Deserialize, Serialize};

use chrono::{DateTime, Utc};

use super::AuctionLedger;
use super::batch::{Command, Wish};
use super::once::Once;
use super::receipt::Outcome;
use super::request::command;
use super::store::Lot;
use crate::entity::{act, bid, wallet};
use crate::error::Error;
use crate::id::{AuctionId, OperationId, UserId, WalletId};
use crate::money::{Amount, Currency};
use crate::rules::{AuctionState, RankedBid};
use crate::unit_of_work::UnitOfWork;

/// A bid that is void, and what has become of its auction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VoidedBid {
    /// The auction.
    pub auction: AuctionId,
    /// The number of the command on its auction.
    pub seq: i64,
    /// The operation that the entries of the journal carry.
    pub operation: OperationId,
    /// The auction's currency.
    pub currency: Currency,
    /// The number of the bid.
    pub bid: i64,
    /// Whose it was.
    pub bidder: UserId,
    /// Who leads now; `None` if nobody does, or bids are sealed.
    pub leader: Option<UserId>,
    /// The price now; `None` if nobody leads, or bids are sealed.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub price: Option<Decimal>,
    /// The numbers of the bids that were next in rank, and that nobody could pay any more: they are void, too.
    pub skipped: Vec<i64>,
    /// When it was made void, by the database's clock.
    pub at: DateTime<Utc>,
}

impl AuctionLedger {
    /// Makes a bid void: the auction stands as if it had never been.
    ///
    /// Without [`by`](VoidBid::by) it is the decision of the house, and only the host can have made it: possible as long as the
    /// auction is open, also after its end and until it is settled. A seller can make a bid on the own auction void until its
    /// end, where bids are not sealed, and whoever has made all of them void can cancel; another house may keep both to itself.
    ///
    /// `bid` is the number of the bid on its auction: [`Bid::seq`](crate::Bid::seq). Whoever led by it gets the hold back. The
    /// bids that remain are counted anew, of each bidder the best: whose ranks first leads, and what that bid needs is held
    /// again; whoever has not enough available any more is skipped, and that bid is void, too. Then the price is what the
    /// remaining bids make of it, which may be lower. The end stays where it is. Nothing else moves. What everybody has seen of
    /// the remaining bids stays seen: a maximum that had lost was shown, and may lead now.
    ///
    /// It looks at the 64 best of the other bidders; if none of them can pay, nobody leads, and the bids behind them count at
    /// the next time. Of a sealed auction it releases the
    /// bid, and the bidder can bid again. Other houses close an auction whose best bid is withdrawn, or ask the runner-up.
    ///
    /// # Errors
    ///
    /// In check order: [`Error::InvalidUser`], [`Error::InvalidText`] (the key), [`Error::IdempotencyConflict`],
    /// [`Error::InvalidText`] (the reason), [`Error::UnknownAuction`], [`Error::CurrencyMismatch`]; then the rules'
    /// [`Rejection`](crate::Rejection): over, ended and not by the house, not the seller, sealed and not by the house, no such
    /// bid. Nothing is written, and a unit of work around it goes on. Then [`Error::NotStrict`], [`Error::UnitOfWork`], [`Error::Database`],
    /// [`Error::MigrationsMissing`], [`Error::Damaged`]: nothing is stored. And [`Error::CommitUnknown`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before COMMIT is sent: nothing happened. Dropped while COMMIT is under way: wholly or not at all; sent again
    /// with the same key, it happens once. Within a unit of work, a drop breaks its innermost block.
    ///
    /// # Locking
    ///
    /// The auction and its bids; then, ascending and in one query, the wallets of the leader, of the 64 best bidders and of
    /// whoever makes it void.
    ///
    /// # Example: a typing error
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// ledger.deposit("bob", Currency::EUR, 1_000.into()).await?;
    /// ledger.place_bid(auction, "ann", 50.into()).await?;
    /// let wrong = ledger.place_bid(auction, "bob", 600.into()).await?;
    ///
    /// let voided = ledger.void_bid(auction, wrong.seq, "one zero too many").await?;
    /// assert_eq!((voided.leader, voided.price), (Some("ann".into()), Some(50.into())));
    /// assert_eq!(ledger.wallet("bob", Currency::EUR).await?.available, 1_000.into());
    /// assert_eq!(ledger.wallet("ann", Currency::EUR).await?.held, 50.into());
    /// # Ok(()) }
    /// ```
    pub fn void_bid(&self, auction: AuctionId, bid: i64, reason: impl Into<String>) -> VoidBid<'_> {
        let command = Command::new(auction, None, Wish::VoidBid(bid));
        let command = Command { reason: Some(reason.into()), ..command };
        VoidBid { ledger: self, within: None, command }
    }
}

/// A bid to be made void: [`AuctionLedger::void_bid`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct VoidBid<'a> {
    ledger: &'a AuctionLedger,
    within: Option<&'a UnitOfWork>,
    command: Command,
}

impl VoidBid<'_> {
    /// The user who wants it, who must be the seller.
    pub fn by(mut self, user: impl Into<UserId>) -> Self {
        self.command.user = Some(user.into());
        self
    }

    fn once(&mut self) -> &mut Once {
        &mut self.command.once
    }

    fn precheck(&self) -> Result<(), Error> {
        self.command.precheck()
    }
}

fn voided_bid(outcome: Outcome) -> Result<VoidedBid, Error> {
    match outcome {
        Outcome::Voided(voided) => Ok(voided),
        _ => Err(Error::damaged("a voided bid was answered with something else")),
    }
}

command!(VoidBid -> VoidedBid, voided_bid);

/// How many bidders are asked whether they can pay.
const CANDIDATES: usize = 64;

/// The bids of auctions of which some are to be made void: those that count, in the order of their ranks.
#[derive(Debug, Default)]
pub(super) struct Ballots {
    bids: BTreeMap<AuctionId, Vec<RankedBid>>,
    /// Whose bids are made void.
    bidders: BTreeSet<WalletId>,
}

impl Ballots {
    /// Reads them under the lock of their auctions.
    pub(super) async fn load(
        uow: &UnitOfWork,
        lots: &BTreeMap<AuctionId, Lot>,
        commands: &[Command],
    ) -> Result<Self, Error> {
        let mut ballots = Self::default();
        for command in commands {
            let open = |lot: &&Lot| lot.standing.state == AuctionState::Open;
            let lot = lots.get(&command.auction).filter(|lot| !lot.terms.is_sealed());
            let (Some(lot), Wish::VoidBid(seq)) = (lot.filter(open), command.wish) else {
                continue;
            };
            // Whoever is going to be refused reads no bids, and locks nobody's wallet.
            if let Some(user) = &command.user
                && !may_be_seller(uow, lot, user).await?
            {
                continue;
            }
            let bids = read(uow, lot.id).await?;
            let target = bids.iter().find(|bid| bid.seq == seq);
            ballots.bidders.extend(target.map(|bid| bid.wallet));
            ballots.bids.insert(lot.id, bids);
        }
        Ok(ballots)
    }

    /// The wallets of the best bidders, and of those whose bids are made void.
    pub(super) fn wallets(&self) -> BTreeSet<WalletId> {
        let mut wallets = self.bidders.clone();
        wallets.extend(self.bids.values().flat_map(|ballot| best_bidders(ballot)));
        wallets
    }

    pub(super) fn of(&self, auction: AuctionId) -> &[RankedBid] {
        self.bids.get(&auction).map_or(&[], Vec::as_slice)
    }

    /// A bid was placed meanwhile, earlier in the list.
    pub(super) fn add(&mut self, auction: AuctionId, bid: RankedBid) {
        if let Some(ballot) = self.bids.get_mut(&auction) {
            ballot.push(bid);
            ballot.sort_by_key(RankedBid::rank);
        }
    }

    /// Bids are void.
    pub(super) fn remove(&mut self, auction: AuctionId, voided: &BTreeSet<i64>) {
        if let Some(ballot) = self.bids.get_mut(&auction) {
            ballot.retain(|bid| !voided.contains(&bid.seq));
        }
    }
}

/// Who is asked whether they can pay: the best of those who have bid, in the order of their ranks.
pub(super) fn best_bidders(ballot: &[RankedBid]) -> BTreeSet<WalletId> {
    let mut best = BTreeSet::new();
    for bid in ballot {
        // One more, for the bid that is made void may be the best of its bidder.
        if best.len() > CANDIDATES {
            break;
        }
        best.insert(bid.wallet);
    }
    best
}

/// Whether an auction may be a user's. Whose a wallet is never changes, so it is read without a lock; a snapshot of the host's
/// that is older than the wallet does not show it, and then the rules decide.
async fn may_be_seller(uow: &UnitOfWork, lot: &Lot, user: &UserId) -> Result<bool, Error> {
    let seller = wallet::Entity::find_by_id(lot.standing.seller.get()).one(uow).await?;
    Ok(seller.is_none_or(|seller| seller.owner == user.as_bytes()))
}

/// Under lock, so that no snapshot of the host's shows what was there before.
async fn read(uow: &UnitOfWork, auction: AuctionId) -> Result<Vec<RankedBid>, Error> {
    let voided: Vec<Option<i64>> = act::Entity::find()
        .select_only()
        .column(act::Column::BidSeq)
        .filter(act::Column::AuctionId.eq(auction.get()))
        .filter(act::Column::Kind.is_in(act::Kind::VOIDING))
        .lock(LockType::Update)
        .into_tuple()
        .all(uow)
        .await?;
    let voided: BTreeSet<i64> = voided.into_iter().flatten().collect();
    let bids: Vec<(i64, i64, i64)> = bid::Entity::find()
        .select_only()
        .columns([bid::Column::WalletId, bid::Column::Amount, bid::Column::Seq])
        .filter(bid::Column::AuctionId.eq(auction.get()))
        .lock(LockType::Update)
        .into_tuple()
        .all(uow)
        .await?;
    let bids = bids.into_iter().filter(|(_, _, seq)| !voided.contains(seq));
    let bids = bids.map(|(wallet, amount, seq)| {
        let maximum = Amount::from_minor(amount)
            .ok_or_else(|| Error::damaged(format!("bid {seq} of auction {auction}")))?;
        Ok(RankedBid { wallet: wallet.into(), maximum, seq })
    });
    let mut bids = bids.collect::<Result<Vec<_>, Error>>()?;
    bids.sort_by_key(RankedBid::rank);
    Ok(bids)
}
