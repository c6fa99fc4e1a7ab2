//! Reading the rows that a page of events is made from.
//!
//! The auction's row is read first. Whatever has a number up to the one that stands there is committed, and every later
//! statement sees it, so a page has no gap whatever happens meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::replay::{Gaps, Released, Replay, Row, Sealed, damaged};
use crate::entity::{act, auction, bid, entry, sealed_bid};
use crate::error::Error;
use crate::event::AuctionEvent;
use crate::id::{AuctionId, WalletId};
use crate::ledger::history::{Cursor, accounts};
use crate::ledger::store::{self, Lot};
use crate::money::Amount;
use crate::rules::{AuctionState, Leader, Micros, Standing};

/// The events of some commands of an auction, whomever they are for.
pub(in crate::ledger) struct Page {
    pub(in crate::ledger) events: Vec<AuctionEvent>,
    /// The number of the last command that there was.
    pub(in crate::ledger) last: i64,
    /// Whether there will be none after it.
    pub(in crate::ledger) is_over: bool,
}

impl Page {
    pub(in crate::ledger) async fn read<C: ConnectionTrait>(
        connection: &C,
        auction: AuctionId,
        cursor: Cursor,
        gaps: Gaps,
    ) -> Result<Self, Error> {
        let row = auction::Entity::find_by_id(auction.get()).one(connection).await?;
        let row = row.ok_or(Error::UnknownAuction { auction })?;
        let lot = store::lot(&row)?;
        let is_over = matches!(
            lot.standing.state,
            AuctionState::Sold | AuctionState::Unsold | AuctionState::Cancelled
        );
        let last = row.seq;
        let since = Ord::max(cursor.after, 0);
        let most = i64::try_from(cursor.limit).unwrap_or(i64::MAX);
        let upto = Ord::min(since.saturating_add(most), last);
        let mut events = Vec::new();
        if since < upto {
            let reading = Reading { connection, row: &row, lot, since, upto, gaps };
            events = reading.events().await?;
        }
        Ok(Self { events, last, is_over })
    }
}

/// What is read of one auction: the commands after `since`, up to `upto`.
struct Reading<'a, C> {
    connection: &'a C,
    row: &'a auction::Model,
    /// As it stands now.
    lot: Lot,
    since: i64,
    upto: i64,
    gaps: Gaps,
}

impl<C: ConnectionTrait> Reading<'_, C> {
    async fn events(self) -> Result<Vec<AuctionEvent>, Error> {
        let (since, upto) = (self.since, self.upto);
        let acts = self.acts().await?;
        let opened = acts.first().filter(|act| act.kind == act::Kind::Opened);
        let opened = opened.ok_or_else(|| damaged(self.lot.id, "it was never opened"))?;
        let opening = Standing {
            reserve: self.reserve_at_opening(opened, &acts)?,
            ..Standing::opened(self.lot.standing.seller, &self.lot.terms, Micros::new(opened.at))
        };
        let (from, standing) = match self.since {
            0 => (0, opening),
            since => match self.standing_before(opening, &acts).await? {
                Some(standing) => (since, standing),
                // Who leads then is to be counted again, from all bids.
                None => (0, opening),
            },
        };
        let bids = self.bids(from).await?;
        let sealed = self.sealed(&acts).await?;
        let rows = acts.iter().filter(|act| from < act.seq).cloned().map(Row::Act);
        let rows = rows.chain(bids.into_iter().map(Row::Bid));
        let rows: BTreeMap<i64, Row> = rows.map(|row| (row.seq(), row)).collect();
        let named = rows.values().flat_map(Row::wallets).chain(sealed.wallets());
        let leader = standing.leader.map(|leader| leader.wallet);
        let named = named.chain(leader).chain([standing.seller]).chain(self.winner());
        let accounts = accounts(self.connection, named.map(WalletId::get)).await?;
        let (title, winner, ballot) = (&self.row.title, self.winner(), Vec::new());
        let lot = Lot { standing: Standing { seq: from, ..standing }, ..self.lot };
        let replay = Replay { title, winner, lot, accounts, ballot, sealed };
        let mut events = replay.run(&rows, upto, self.gaps)?;
        events.retain(|event| since < event.seq && event.seq <= upto);
        Ok(events)
    }

    /// Its acts, up to now; of sealed bids those that are asked for, for there can be many.
    async fn acts(&self) -> Result<Vec<act::Model>, Error> {
        let asked_for = act::Column::Seq.gt(self.since).and(act::Column::Seq.lte(self.upto));
        let acts = act::Entity::find()
            .filter(act::Column::AuctionId.eq(self.row.id))
            .filter(act::Column::Seq.lte(self.row.seq))
            .filter(act::Column::Kind.ne(act::Kind::SealedBid).or(asked_for))
            .order_by_asc(act::Column::Seq);
        Ok(acts.all(self.connection).await?)
    }

    /// The reserve that it was opened with, which its act says. Where it does not, and the reserve was lowered, it was more than
    /// anybody had bid: a reserve that is met is not lowered.
    fn reserve_at_opening(
        &self,
        opened: &act::Model,
        acts: &[act::Model],
    ) -> Result<Option<Amount>, Error> {
        let was_lowered = acts.iter().any(|act| act.kind == act::Kind::ReserveLowered);
        match opened.amount {
            Some(reserve) => Amount::from_minor(reserve)
                .map(Some)
                .ok_or_else(|| damaged(self.lot.id, "its reserve is no amount")),
            None if was_lowered => Ok(Some(Amount::MAX)),
            None => Ok(self.lot.terms.reserve),
        }
    }

    /// Where it stood before the first command that is asked for, as the last bid before it says. `None` if a bid was made void
    /// after that one, or is in what is asked for: that is counted from all bids.
    async fn standing_before(
        &self,
        opening: Standing,
        acts: &[act::Model],
    ) -> Result<Option<Standing>, Error> {
        let voiding = |act: &&act::Model| act::Kind::VOIDING.contains(&act.kind);
        let voided: Vec<&act::Model> = match self.lot.terms.is_sealed() {
            true => Vec::new(),
            false => acts.iter().filter(voiding).collect(),
        };
        let before = self.of_auction().filter(bid::Column::Seq.lte(self.since));
        let last = before.clone().order_by_desc(bid::Column::Seq).limit(1);
        let last = last.one(self.connection).await?;
        let counted = last.as_ref().map_or(0, |last| last.seq);
        if voided.iter().any(|act| counted < act.seq && act.seq <= self.upto) {
            return Ok(None);
        }
        let mut standing = opening;
        if let Some(last) = last {
            let gone = voided.iter().filter(|act| act.seq <= self.since);
            let counts = bid::Column::Seq.is_not_in(gone.filter_map(|act| act.bid_seq));
            let before = before.filter(counts);
            standing.leader =
                Some(self.leader_before(&before, last.leader_wallet_id, &voided).await?);
            standing.price = Amount::from_minor(last.price);
            standing.ends_at = Micros::new(last.ends_at);
            let is_priced_anew =
                |act: &act::Model| act.kind == act::Kind::ReserveLowered && counted < act.seq;
            if acts.iter().any(is_priced_anew) {
                let others = bid::Column::WalletId.ne(last.leader_wallet_id);
                let next = before.filter(others).order_by_desc(bid::Column::Amount).limit(1);
                let next = next.one(self.connection).await?;
                standing.runner_up_maximum = next.and_then(|next| Amount::from_minor(next.amount));
            }
        }
        for act in acts.iter().filter(|act| act.seq <= self.since) {
            let is_later = counted < act.seq;
            match act.kind {
                act::Kind::Extended if is_later => {
                    standing.ends_at = act.ends_at.map_or(standing.ends_at, Micros::new);
                }
                act::Kind::ReserveLowered => {
                    standing.reserve = act.amount.and_then(Amount::from_minor);
                    if let Some(ladder) = self.lot.terms.ladder.as_ref().filter(|_| is_later) {
                        standing = standing.priced(ladder);
                    }
                }
                act::Kind::AwaitingSeller => standing.state = AuctionState::AwaitingSeller,
                act::Kind::Cancelled => standing.state = AuctionState::Cancelling,
                act::Kind::Released if standing.state == AuctionState::Open => {
                    standing.state = AuctionState::Settling;
                }
                _ => {}
            }
        }
        Ok(Some(standing))
    }

    /// What a wallet that leads has bid: its last bid of those before, for whoever leads bids no more, or raises the own maximum.
    async fn leader_before(
        &self,
        before: &Select<bid::Entity>,
        wallet: i64,
        voided: &[&act::Model],
    ) -> Result<Leader, Error> {
        // Most often it is the leader of now, of whom the auction knows the maximum.
        if let Some((maximum, seq)) = self.row.leader_max.zip(self.row.leader_seq)
            && self.row.leader_wallet_id == Some(wallet)
            && seq <= self.since
            && voided.iter().all(|act| act.seq <= self.since)
        {
            return self.leader(wallet, maximum, seq);
        }
        let own = before.clone().filter(bid::Column::WalletId.eq(wallet));
        let own = own.order_by_desc(bid::Column::Seq).limit(1).one(self.connection).await?;
        let own = own.ok_or_else(|| damaged(self.lot.id, "its leader has never bid"))?;
        self.leader(own.wallet_id, own.amount, own.seq)
    }

    async fn bids(&self, from: i64) -> Result<Vec<bid::Model>, Error> {
        let bids = self.of_auction().filter(bid::Column::Seq.gt(from));
        Ok(bids.filter(bid::Column::Seq.lte(self.upto)).all(self.connection).await?)
    }

    fn of_auction(&self) -> Select<bid::Entity> {
        bid::Entity::find().filter(bid::Column::AuctionId.eq(self.row.id))
    }

    fn winner(&self) -> Option<WalletId> {
        self.row.winner_wallet_id.map(WalletId::from)
    }

    fn leader(&self, wallet: i64, maximum: i64, seq: i64) -> Result<Leader, Error> {
        let maximum = Amount::from_minor(maximum);
        let hold = maximum.and_then(|maximum| self.lot.terms.with_premium(maximum));
        let (maximum, hold) =
            maximum.zip(hold).ok_or_else(|| damaged(self.lot.id, "a bid is no amount"))?;
        Ok(Leader { wallet: wallet.into(), maximum, hold, seq })
    }

    /// Of a sealed auction: whose bid was the best, and what was released when.
    async fn sealed(&self, acts: &[act::Model]) -> Result<Sealed, Error> {
        let mut sealed = Sealed::default();
        if !self.lot.terms.is_sealed() {
            return Ok(sealed);
        }
        let of_auction =
            || sealed_bid::Entity::find().filter(sealed_bid::Column::AuctionId.eq(self.row.id));
        let voided = acts.iter().filter(|act| act.kind == act::Kind::BidVoided);
        let voiding: Vec<Uuid> = voided.clone().map(|act| act.operation).collect();
        let counts = sealed_bid::Column::ReleasedBy.is_null();
        let counts = counts.or(sealed_bid::Column::ReleasedBy.is_not_in(voiding));
        let best = of_auction().filter(counts).order_by_desc(sealed_bid::Column::Maximum);
        let best = best.order_by_asc(sealed_bid::Column::Seq).limit(1).one(self.connection).await?;
        let best = best.map(|best| self.leader(best.wallet_id, best.maximum, best.seq));
        sealed.leader = best.transpose()?;

        let is_asked_for = |act: &&act::Model| self.since < act.seq && act.seq <= self.upto;
        let released = acts.iter().filter(|act| act.kind == act::Kind::Released);
        let releasing: Vec<Uuid> = released.filter(is_asked_for).map(|act| act.operation).collect();
        if !releasing.is_empty() {
            let rows = of_auction().filter(sealed_bid::Column::ReleasedBy.is_in(releasing));
            for row in rows.order_by_asc(sealed_bid::Column::WalletId).all(self.connection).await? {
                let Leader { wallet, hold, .. } =
                    self.leader(row.wallet_id, row.maximum, row.seq)?;
                let batch = row.released_by.map(|by| sealed.released.entry(by).or_default());
                batch.into_iter().for_each(|batch| batch.push(Released { wallet, amount: hold }));
            }
        }
        for act in voided.filter(is_asked_for) {
            sealed.voided.insert(act.operation, self.voided(act).await?);
        }
        Ok(sealed)
    }

    /// Whose sealed bid was made void, and what was released: the bidder may have placed another one since.
    async fn voided(&self, act: &act::Model) -> Result<Released, Error> {
        let gone = || damaged(self.lot.id, "a bid that is void was never placed");
        let placed = act::Entity::find()
            .filter(act::Column::AuctionId.eq(self.row.id))
            .filter(act::Column::Seq.eq(act.bid_seq))
            .one(self.connection);
        let wallet = placed.await?.and_then(|placed| placed.wallet_id).ok_or_else(gone)?;
        let entry = entry::Entity::find()
            .filter(entry::Column::WalletId.eq(wallet))
            .filter(entry::Column::Operation.eq(act.operation))
            .filter(entry::Column::Kind.eq(entry::Kind::Release))
            .one(self.connection);
        let amount = entry.await?.and_then(|entry| Amount::from_minor(entry.available_delta));
        Ok(Released { wallet: wallet.into(), amount: amount.ok_or_else(gone)? })
    }
}

/// The wallets that rows name.
impl Row {
    fn wallets(&self) -> BTreeSet<WalletId> {
        let ids = match self {
            Self::Bid(bid) => [Some(bid.wallet_id), Some(bid.leader_wallet_id)],
            Self::Act(act) => [act.wallet_id, None],
        };
        ids.into_iter().flatten().map(WalletId::from).collect()
    }
}
