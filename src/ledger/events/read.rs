//! Reading the rows that a page of events is made from.
//!
//! The auction's row is read first. Whatever has a number up to the one that stands there is committed, and every later
//! statement sees it, so a page has no gap whatever happens meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{ExprTrait, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};
use uuid::Uuid;

use super::replay::{Gaps, Released, Replay, Row, Sealed, damaged};
use crate::backend::{Dialect, padded};
use crate::entity::{act, auction, bid, entry, sealed_bid};
use crate::error::Error;
use crate::event::AuctionEvent;
use crate::id::{AuctionId, WalletId};
use crate::ledger::history::{Cursor, known_accounts, vanished};
use crate::ledger::store::{self, Account, Lot};
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
        let mut pages = Self::read_all(connection, &[(auction, cursor)], gaps).await?;
        pages.pop().unwrap_or(Err(Error::UnknownAuction { auction }))
    }

    /// Reads pages of several auctions with the statements that one takes, and a few more for each where that needs them. What is
    /// wrong with an auction is said in its place; a row that cannot be read at all spoils all of them.
    pub(in crate::ledger) async fn read_all<C: ConnectionTrait>(
        connection: &C,
        wanted: &[(AuctionId, Cursor)],
        gaps: Gaps,
    ) -> Result<Vec<Result<Self, Error>>, Error> {
        let ids = wanted.iter().map(|(auction, _)| auction.get());
        let is_wanted = dialect(connection).is_one_of(auction::Column::Id, ids);
        let rows = auction::Entity::find().filter(is_wanted).all(connection).await?;
        let rows: BTreeMap<i64, auction::Model> =
            rows.into_iter().map(|row| (row.id, row)).collect();
        let reading = |(auction, cursor): &(AuctionId, Cursor)| {
            let row = rows.get(&auction.get()).ok_or(Error::UnknownAuction { auction: *auction });
            row.and_then(|row| Reading::of(row, *cursor))
        };
        let mut readings: Vec<_> = wanted.iter().map(reading).collect();
        read_rows(connection, readings.iter_mut().flatten()).await?;

        let mut replays = Vec::with_capacity(readings.len());
        for reading in &readings {
            replays.push(match reading {
                Ok(reading) if reading.is_asked() => reading.start(connection, gaps).await,
                _ => Ok(None),
            });
        }
        let named = replays.iter().flatten().flatten().flat_map(Start::wallets).map(WalletId::get);
        let accounts = known_accounts(connection, named).await?;
        let pages = readings.into_iter().zip(replays).map(|(reading, start)| {
            let reading = reading?;
            let events = match start? {
                Some(start) => start.events(&reading, &accounts, gaps)?,
                None => Vec::new(),
            };
            Ok(Self { events, last: reading.row.seq, is_over: reading.is_over() })
        });
        Ok(pages.collect())
    }
}

/// Reads the acts and the bids of what is asked for.
async fn read_rows<'r, 'a: 'r, C: ConnectionTrait>(
    connection: &C,
    readings: impl Iterator<Item = &'r mut Reading<'a>>,
) -> Result<(), Error> {
    let mut readings: Vec<&mut Reading> = readings.filter(|reading| reading.is_asked()).collect();
    if readings.is_empty() {
        return Ok(());
    }
    let are_asked = any(readings.iter().map(|reading| reading.acts_asked_for()));
    let acts = act::Entity::find().filter(are_asked).order_by_asc(act::Column::Seq);
    let mut acts = grouped(acts.all(connection).await?, |act| act.auction_id);
    for reading in &mut readings {
        reading.acts = acts.remove(&reading.row.id).unwrap_or_default();
        reading.last = reading.last_bid_before();
    }
    readings.retain(|reading| !reading.lot.terms.is_sealed());
    if readings.is_empty() {
        return Ok(());
    }
    let are_asked = any(readings.iter().map(|reading| reading.bids_asked_for()));
    let bids = bid::Entity::find().filter(are_asked).order_by_asc(bid::Column::Seq);
    let mut bids = grouped(bids.all(connection).await?, |bid| bid.auction_id);
    for reading in readings {
        reading.bids = bids.remove(&reading.row.id).unwrap_or_default();
    }
    Ok(())
}

fn dialect(connection: &impl ConnectionTrait) -> Dialect {
    Dialect::of(connection.get_database_backend())
}

/// That one of these holds, of which there are some.
fn any(conditions: impl Iterator<Item = SimpleExpr>) -> Condition {
    padded(conditions.collect()).into_iter().fold(Condition::any(), Condition::add)
}

fn grouped<T>(rows: Vec<T>, auction: impl Fn(&T) -> i64) -> BTreeMap<i64, Vec<T>> {
    let mut groups = BTreeMap::<i64, Vec<T>>::new();
    rows.into_iter().for_each(|row| groups.entry(auction(&row)).or_default().push(row));
    groups
}

/// What is read of one auction: the commands after `since`, up to `upto`.
struct Reading<'a> {
    row: &'a auction::Model,
    /// As it stands now.
    lot: Lot,
    since: i64,
    upto: i64,
    /// Its acts, up to now; of sealed bids those that are asked for, for there can be many.
    acts: Vec<act::Model>,
    /// The number of the last bid before what is asked for, or 0.
    last: i64,
    /// Its bids that are asked for, and the last before them; or all, if it is to be counted again who led.
    bids: Vec<bid::Model>,
}

/// From where the events are told, and what it takes.
struct Start {
    standing: Standing,
    rows: BTreeMap<i64, Row>,
    sealed: Sealed,
    winner: Option<WalletId>,
}

impl Start {
    /// The wallets that are named.
    fn wallets(&self) -> BTreeSet<WalletId> {
        let Self { standing, rows, sealed, winner } = self;
        let named = rows.values().flat_map(Row::wallets).chain(sealed.wallets());
        let leader = standing.leader.map(|leader| leader.wallet);
        named.chain(leader).chain([standing.seller]).chain(*winner).collect()
    }

    fn events(
        self,
        reading: &Reading<'_>,
        known: &BTreeMap<WalletId, Account>,
        gaps: Gaps,
    ) -> Result<Vec<AuctionEvent>, Error> {
        let account = |wallet: WalletId| {
            let account = known.get(&wallet).cloned().ok_or_else(|| vanished(wallet.get()))?;
            Ok::<_, Error>((wallet, account))
        };
        let accounts = self.wallets().into_iter().map(account).collect::<Result<_, _>>()?;
        let Self { standing, rows, sealed, winner } = self;
        let lot = Lot { standing, ..reading.lot.clone() };
        let (title, ballot) = (&reading.row.title, Vec::new());
        let replay = Replay { title, winner, lot, accounts, ballot, sealed };
        let mut events = replay.run(&rows, reading.upto, gaps)?;
        events.retain(|event| reading.since < event.seq && event.seq <= reading.upto);
        Ok(events)
    }
}

impl<'a> Reading<'a> {
    fn of(row: &'a auction::Model, cursor: Cursor) -> Result<Self, Error> {
        let lot = store::lot(row)?;
        let since = Ord::max(cursor.after, 0);
        let most = i64::try_from(cursor.limit).unwrap_or(i64::MAX);
        let upto = Ord::min(since.saturating_add(most), row.seq);
        Ok(Self { row, lot, since, upto, acts: Vec::new(), last: 0, bids: Vec::new() })
    }

    fn is_asked(&self) -> bool {
        self.since < self.upto
    }

    fn is_over(&self) -> bool {
        matches!(
            self.lot.standing.state,
            AuctionState::Sold | AuctionState::Unsold | AuctionState::Cancelled
        )
    }

    fn acts_asked_for(&self) -> SimpleExpr {
        let is_sealed_bid = act::Column::Kind.eq(act::Kind::SealedBid);
        let asked_for = act::Column::Seq.gt(self.since).and(act::Column::Seq.lte(self.upto));
        act::Column::AuctionId
            .eq(self.row.id)
            .and(act::Column::Seq.lte(self.row.seq))
            .and(is_sealed_bid.not().or(asked_for))
    }

    fn bids_asked_for(&self) -> SimpleExpr {
        let first = if self.is_counted_again() { 1 } else { self.last };
        bid::Column::AuctionId
            .eq(self.row.id)
            .and(bid::Column::Seq.gte(first))
            .and(bid::Column::Seq.lte(self.upto))
    }

    /// What is no act is a bid.
    fn last_bid_before(&self) -> i64 {
        if self.lot.terms.is_sealed() {
            return 0;
        }
        let acts: BTreeSet<i64> = self.acts.iter().map(|act| act.seq).collect();
        (1..=self.since).rev().find(|seq| !acts.contains(seq)).unwrap_or(0)
    }

    /// The acts that have made a bid void that led, or may have.
    fn voiding(&self) -> impl Iterator<Item = &act::Model> {
        let is_sealed = self.lot.terms.is_sealed();
        let is_voiding = move |act: &&act::Model| act::Kind::VOIDING.contains(&act.kind);
        self.acts.iter().filter(move |act| !is_sealed && is_voiding(act))
    }

    /// Whether a bid was made void after the last one before what is asked for, or is in it: then who leads is counted again, from
    /// all bids.
    fn is_counted_again(&self) -> bool {
        self.voiding().any(|act| self.last < act.seq && act.seq <= self.upto)
    }

    /// `None` if the command before what is asked for is not to be seen.
    async fn start<C: ConnectionTrait>(
        &self,
        connection: &C,
        gaps: Gaps,
    ) -> Result<Option<Start>, Error> {
        let opened = self.acts.first().filter(|act| act.kind == act::Kind::Opened);
        let opened = opened.ok_or_else(|| damaged(self.lot.id, "it was never opened"))?;
        let opening = Standing {
            reserve: self.reserve_at_opening(opened)?,
            ..Standing::opened(self.lot.standing.seller, &self.lot.terms, Micros::new(opened.at))
        };
        let last = self.bids.iter().find(|bid| bid.seq == self.last);
        let (from, standing) = match last {
            _ if self.since == 0 || self.is_counted_again() => (0, opening),
            None if self.last != 0 => match gaps {
                Gaps::Snapshot => return Ok(None),
                Gaps::Damage => {
                    let gap = format!("command {} has no row", self.last);
                    return Err(damaged(self.lot.id, &gap));
                }
            },
            last => (self.since, self.standing_before(connection, opening, last).await?),
        };
        let sealed = self.sealed(connection).await?;
        let acts = self.acts.iter().filter(|act| from < act.seq).cloned().map(Row::Act);
        let bids = self.bids.iter().filter(|bid| from < bid.seq).cloned().map(Row::Bid);
        let rows = acts.chain(bids).map(|row| (row.seq(), row)).collect();
        let winner = self.row.winner_wallet_id.map(WalletId::from);
        let standing = Standing { seq: from, ..standing };
        Ok(Some(Start { standing, rows, sealed, winner }))
    }

    /// The reserve that it was opened with, which its act says. Where it does not, and the reserve was lowered, it was more than
    /// anybody had bid: a reserve that is met is not lowered.
    fn reserve_at_opening(&self, opened: &act::Model) -> Result<Option<Amount>, Error> {
        let was_lowered = self.acts.iter().any(|act| act.kind == act::Kind::ReserveLowered);
        match opened.amount {
            Some(reserve) => Amount::from_minor(reserve)
                .map(Some)
                .ok_or_else(|| damaged(self.lot.id, "its reserve is no amount")),
            None if was_lowered => Ok(Some(Amount::MAX)),
            None => Ok(self.lot.terms.reserve),
        }
    }

    /// Where it stood before the first command that is asked for, as the last bid before it says.
    async fn standing_before<C: ConnectionTrait>(
        &self,
        connection: &C,
        opening: Standing,
        last: Option<&bid::Model>,
    ) -> Result<Standing, Error> {
        let counted = last.map_or(0, |last| last.seq);
        let mut standing = opening;
        if let Some(last) = last {
            let gone = self.voiding().filter(|act| act.seq <= self.since);
            let counts = bid::Column::Seq.is_not_in(gone.filter_map(|act| act.bid_seq));
            let before = self.of_auction().filter(bid::Column::Seq.lte(self.since)).filter(counts);
            standing.leader = Some(self.leader_before(connection, last, &before).await?);
            standing.price = Amount::from_minor(last.price);
            standing.ends_at = Micros::new(last.ends_at);
            let is_priced_anew =
                |act: &act::Model| act.kind == act::Kind::ReserveLowered && counted < act.seq;
            if self.acts.iter().any(is_priced_anew) {
                let others = bid::Column::WalletId.ne(last.leader_wallet_id);
                let next = before.filter(others).order_by_desc(bid::Column::Amount).limit(1);
                let next = next.one(connection).await?;
                standing.runner_up_maximum = next.and_then(|next| Amount::from_minor(next.amount));
            }
        }
        for act in self.acts.iter().filter(|act| act.seq <= self.since) {
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
        Ok(standing)
    }

    /// What the wallet has bid that leads after the last bid: its last bid of those before, for whoever leads bids no more, or
    /// raises the own maximum.
    async fn leader_before<C: ConnectionTrait>(
        &self,
        connection: &C,
        last: &bid::Model,
        before: &Select<bid::Entity>,
    ) -> Result<Leader, Error> {
        let wallet = last.leader_wallet_id;
        if last.wallet_id == wallet {
            return self.leader(wallet, last.amount, last.seq);
        }
        // It may be the leader of now, of whom the auction knows the maximum.
        if let Some((maximum, seq)) = self.row.leader_max.zip(self.row.leader_seq)
            && self.row.leader_wallet_id == Some(wallet)
            && seq <= self.since
            && self.voiding().all(|act| act.seq <= self.since)
        {
            return self.leader(wallet, maximum, seq);
        }
        let own = before.clone().filter(bid::Column::WalletId.eq(wallet));
        let own = own.order_by_desc(bid::Column::Seq).limit(1).one(connection).await?;
        let own = own.ok_or_else(|| damaged(self.lot.id, "its leader has never bid"))?;
        self.leader(own.wallet_id, own.amount, own.seq)
    }

    fn of_auction(&self) -> Select<bid::Entity> {
        bid::Entity::find().filter(bid::Column::AuctionId.eq(self.row.id))
    }

    fn leader(&self, wallet: i64, maximum: i64, seq: i64) -> Result<Leader, Error> {
        let maximum = Amount::from_minor(maximum);
        let hold = maximum.and_then(|maximum| self.lot.terms.with_premium(maximum));
        let (maximum, hold) =
            maximum.zip(hold).ok_or_else(|| damaged(self.lot.id, "a bid is no amount"))?;
        Ok(Leader { wallet: wallet.into(), maximum, hold, seq })
    }

    /// Of a sealed auction: whose bid was the best, and what was released when.
    async fn sealed<C: ConnectionTrait>(&self, connection: &C) -> Result<Sealed, Error> {
        let mut sealed = Sealed::default();
        if !self.lot.terms.is_sealed() {
            return Ok(sealed);
        }
        let of_auction =
            || sealed_bid::Entity::find().filter(sealed_bid::Column::AuctionId.eq(self.row.id));
        let voided = self.acts.iter().filter(|act| act.kind == act::Kind::BidVoided);
        let voiding: Vec<Uuid> = voided.clone().map(|act| act.operation).collect();
        let counts = sealed_bid::Column::ReleasedBy.is_null();
        let counts = counts.or(sealed_bid::Column::ReleasedBy.is_not_in(voiding));
        let best = of_auction().filter(counts).order_by_desc(sealed_bid::Column::Maximum);
        let best = best.order_by_asc(sealed_bid::Column::Seq).limit(1).one(connection).await?;
        let best = best.map(|best| self.leader(best.wallet_id, best.maximum, best.seq));
        sealed.leader = best.transpose()?;

        let is_asked_for = |act: &&act::Model| self.since < act.seq && act.seq <= self.upto;
        let released = self.acts.iter().filter(|act| act.kind == act::Kind::Released);
        let releasing: Vec<Uuid> = released.filter(is_asked_for).map(|act| act.operation).collect();
        if !releasing.is_empty() {
            let rows = of_auction().filter(sealed_bid::Column::ReleasedBy.is_in(releasing));
            for row in rows.order_by_asc(sealed_bid::Column::WalletId).all(connection).await? {
                let Leader { wallet, hold, .. } =
                    self.leader(row.wallet_id, row.maximum, row.seq)?;
                let batch = row.released_by.map(|by| sealed.released.entry(by).or_default());
                batch.into_iter().for_each(|batch| batch.push(Released { wallet, amount: hold }));
            }
        }
        for act in voided.filter(is_asked_for) {
            sealed.voided.insert(act.operation, self.voided(connection, act).await?);
        }
        Ok(sealed)
    }

    /// Whose sealed bid was made void, and what was released: the bidder may have placed another one since.
    async fn voided<C: ConnectionTrait>(
        &self,
        connection: &C,
        act: &act::Model,
    ) -> Result<Released, Error> {
        let gone = || damaged(self.lot.id, "a bid that is void was never placed");
        let placed = act::Entity::find()
            .filter(act::Column::AuctionId.eq(self.row.id))
            .filter(act::Column::Seq.eq(act.bid_seq))
            .one(connection);
        let wallet = placed.await?.and_then(|placed| placed.wallet_id).ok_or_else(gone)?;
        let entry = entry::Entity::find()
            .filter(entry::Column::WalletId.eq(wallet))
            .filter(entry::Column::Operation.eq(act.operation))
            .filter(entry::Column::Kind.eq(entry::Kind::Release))
            .one(connection);
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
