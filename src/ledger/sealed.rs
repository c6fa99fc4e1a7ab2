//! Sealed bids under the lock of their auction: who has bid what, and which of them are released next.
//!
//! A sealed auction can have any number of bidders, so what has lost is released in batches, each a command of its own with
//! its own number. A batch that was committed is never made again: its rows say which operation released them.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use super::batch::{Command, Wish};
use super::store::Lot;
use crate::entity::sealed_bid;
use crate::error::Error;
use crate::id::{AuctionId, WalletId};
use crate::money::Amount;
use crate::rules::{AuctionState, Leader, Micros, Standing};
use crate::unit_of_work::UnitOfWork;

/// How many bids one command releases.
pub(super) const BATCH: usize = 200;

/// The sealed bids that a list of commands touches.
#[derive(Debug, Default)]
pub(super) struct SealedBids {
    rows: BTreeMap<(AuctionId, WalletId), sealed_bid::Model>,
    changed: BTreeSet<(AuctionId, WalletId)>,
    batches: BTreeMap<AuctionId, Batch>,
    /// Whose bids were read by their number.
    numbered: BTreeSet<WalletId>,
}

/// What is to be released next of one auction.
#[derive(Debug, Default)]
struct Batch {
    wallets: BTreeSet<WalletId>,
    /// Whether there is more to release than that.
    more: bool,
    /// The two best bids, where the bids are still to be opened.
    best: Vec<(WalletId, Amount, i64)>,
}

impl SealedBids {
    /// Reads what the commands can release, once their auctions are locked: that lock is the lock of these rows.
    pub(super) async fn load(
        uow: &UnitOfWork,
        lots: &BTreeMap<AuctionId, Lot>,
        commands: &[Command],
    ) -> Result<Self, Error> {
        let mut sealed = Self::default();
        for command in commands {
            let Some(lot) = lots.get(&command.auction).filter(|lot| lot.terms.is_sealed()) else {
                continue;
            };
            let most = match command.wish {
                Wish::Settle | Wish::Cancel => BATCH,
                // Whether anybody has bid.
                Wish::Extend(_) | Wish::AcceptBelowReserve => 1,
                Wish::VoidBid(seq) => {
                    sealed.load_bid(uow, lot, seq).await?;
                    continue;
                }
                _ => continue,
            };
            sealed.load_batch(uow, lot, command.wish, most).await?;
        }
        Ok(sealed)
    }

    async fn load_batch(
        &mut self,
        uow: &UnitOfWork,
        lot: &Lot,
        wish: Wish,
        most: usize,
    ) -> Result<(), Error> {
        let held = held(lot.id);
        let mut batch = Batch::default();
        let leader = lot.standing.leader.map(|leader| leader.wallet);
        let opens = matches!(wish, Wish::Settle) && lot.standing.state == AuctionState::Open;
        if opens {
            let best = held.clone().order_by_desc(sealed_bid::Column::Maximum);
            let best = best.order_by_asc(sealed_bid::Column::Seq).limit(2);
            for row in read(uow, best).await? {
                batch.best.push((row.wallet_id.into(), maximum(&row)?, row.seq));
                self.put(row);
            }
        }
        let winner = leader.or(batch.best.first().map(|(wallet, ..)| *wallet));
        if let Some(winner) = winner {
            let own = held.clone().filter(sealed_bid::Column::WalletId.eq(winner.get()));
            for row in read(uow, own).await? {
                self.put(row);
            }
        }
        let others = match winner {
            Some(winner) => held.filter(sealed_bid::Column::WalletId.ne(winner.get())),
            None => held,
        };
        let others = others.order_by_asc(sealed_bid::Column::WalletId);
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        for row in read(uow, others.limit(limit)).await? {
            if batch.wallets.len() == most {
                batch.more = true;
                break;
            }
            batch.wallets.insert(row.wallet_id.into());
            self.put(row);
        }
        // Of several commands on one auction the one that releases decides.
        match self.batches.get(&lot.id) {
            Some(other) if most < BATCH || !other.best.is_empty() => {}
            _ => _ = self.batches.insert(lot.id, batch),
        }
        Ok(())
    }

    /// Reads the bid with a number.
    pub(super) async fn load_bid(
        &mut self,
        uow: &UnitOfWork,
        lot: &Lot,
        seq: i64,
    ) -> Result<(), Error> {
        for row in read(uow, held(lot.id).filter(sealed_bid::Column::Seq.eq(seq))).await? {
            self.numbered.insert(row.wallet_id.into());
            self.put(row);
        }
        Ok(())
    }

    /// Whose bid has this number, and is not released.
    pub(super) fn by_seq(&self, auction: AuctionId, seq: i64) -> Option<WalletId> {
        let rows = self.rows.range((auction, WalletId::from(i64::MIN))..);
        let mut rows = rows.take_while(|((of, _), _)| *of == auction);
        let found = rows.find(|(_, row)| row.seq == seq && row.released_by.is_none());
        found.map(|((_, wallet), _)| *wallet)
    }

    /// Reads the bidders' own bids.
    pub(super) async fn load_own(
        &mut self,
        uow: &UnitOfWork,
        lot: &Lot,
        bidders: &BTreeSet<WalletId>,
    ) -> Result<(), Error> {
        let bidders = bidders.iter().map(|wallet| wallet.get());
        for row in
            read(uow, held(lot.id).filter(sealed_bid::Column::WalletId.is_in(bidders))).await?
        {
            self.put(row);
        }
        Ok(())
    }

    fn put(&mut self, row: sealed_bid::Model) {
        self.rows.entry((row.auction_id.into(), row.wallet_id.into())).or_insert(row);
    }

    /// The wallets that have to be locked to release the batches.
    pub(super) fn wallets(&self) -> impl Iterator<Item = WalletId> + use<'_> {
        let batches = self.batches.values().flat_map(|batch| {
            batch.wallets.iter().copied().chain(batch.best.iter().map(|(wallet, ..)| *wallet))
        });
        batches.chain(self.numbered.iter().copied())
    }

    /// The maximum of a wallet's own bid that is not released.
    pub(super) fn maximum(
        &self,
        auction: AuctionId,
        wallet: Option<WalletId>,
    ) -> Result<Option<Amount>, Error> {
        let row = wallet.and_then(|wallet| self.rows.get(&(auction, wallet)));
        row.filter(|row| row.released_by.is_none()).map(maximum).transpose()
    }

    /// Whether there is something to release of anybody but the winner.
    pub(super) fn is_pending(&self, auction: AuctionId) -> bool {
        self.batches.get(&auction).is_some_and(|batch| !batch.wallets.is_empty())
    }

    /// Whether another batch will be needed.
    pub(super) fn has_more(&self, auction: AuctionId) -> bool {
        self.batches.get(&auction).is_some_and(|batch| batch.more)
    }

    /// Where an auction stands once its bids are opened; as it stood before, if there are none or they are opened already.
    pub(super) fn opened(&self, lot: &Lot) -> Result<Standing, Error> {
        let best = self.batches.get(&lot.id).map_or(&[][..], |batch| &batch.best);
        let (Some((wallet, maximum, seq)), Some(ladder)) = (best.first(), &lot.terms.ladder) else {
            return Ok(lot.standing);
        };
        let (wallet, maximum, seq) = (*wallet, *maximum, *seq);
        let hold = lot.terms.with_premium(maximum).ok_or_else(|| unpayable(lot.id))?;
        let runner_up = best.get(1).map(|(_, maximum, _)| *maximum);
        let leader = Leader { wallet, maximum, hold, seq };
        Ok(lot.standing.opened_bids(ladder, leader, runner_up))
    }

    /// Writes down a bid.
    pub(super) fn bid(
        &mut self,
        auction: AuctionId,
        wallet: WalletId,
        maximum: Amount,
        at: (i64, Micros),
    ) {
        let (seq, at) = (at.0, at.1.get());
        let (auction_id, wallet_id, maximum) = (auction.get(), wallet.get(), maximum.minor());
        let row = sealed_bid::Model { auction_id, wallet_id, maximum, seq, at, released_by: None };
        self.rows.insert((auction, wallet), row);
        self.changed.insert((auction, wallet));
        if let Some(batch) = self.batches.get_mut(&auction) {
            batch.wallets.insert(wallet);
        }
    }

    /// Takes the next batch of an auction: what each wallet gets back, and whether there is more after it.
    pub(super) fn take(&mut self, lot: &Lot) -> Result<(Vec<(WalletId, Amount)>, bool), Error> {
        let batch = self.batches.get_mut(&lot.id).map(std::mem::take).unwrap_or_default();
        let holds = batch.wallets.iter().map(|wallet| {
            let maximum = self.maximum(lot.id, Some(*wallet))?.ok_or_else(|| {
                Error::damaged(format!("auction {} has released wallet {wallet}", lot.id))
            })?;
            let hold = lot.terms.with_premium(maximum).ok_or_else(|| unpayable(lot.id))?;
            Ok::<_, Error>((*wallet, hold))
        });
        Ok((holds.collect::<Result<_, _>>()?, batch.more))
    }

    /// Marks a bid as released by an operation, or captured.
    pub(super) fn release(&mut self, auction: AuctionId, wallet: WalletId, by: Uuid) {
        if let Some(row) = self.rows.get_mut(&(auction, wallet)) {
            row.released_by = Some(by);
            self.changed.insert((auction, wallet));
        }
    }

    /// The rows that have changed.
    pub(super) fn into_changed(self) -> Vec<sealed_bid::Model> {
        let Self { mut rows, changed, .. } = self;
        changed.iter().filter_map(|place| rows.remove(place)).collect()
    }
}

/// The bids of an auction that are not released.
fn held(auction: AuctionId) -> Select<sealed_bid::Entity> {
    sealed_bid::Entity::find()
        .filter(sealed_bid::Column::AuctionId.eq(auction.get()))
        .filter(sealed_bid::Column::ReleasedBy.is_null())
}

/// Reads under lock, so that no snapshot of the host's shows what was there before.
async fn read(
    uow: &UnitOfWork,
    rows: Select<sealed_bid::Entity>,
) -> Result<Vec<sealed_bid::Model>, Error> {
    Ok(rows.lock(LockType::Update).all(uow).await?)
}

fn maximum(row: &sealed_bid::Model) -> Result<Amount, Error> {
    let amount = Amount::from_minor(row.maximum);
    amount.ok_or_else(|| Error::damaged(format!("a sealed bid of auction {}", row.auction_id)))
}

fn unpayable(auction: AuctionId) -> Error {
    Error::damaged(format!("a sealed bid of auction {auction} has no premium"))
}
