//! The events of each command, told again from its row and from where the auction stood before it.
//!
//! What a row says is taken from it: price, leader and end after a bid, what was paid. Nothing is judged again, so what was once
//! accepted is told as it was, whatever the rules of a later release are. The events themselves are made where those of the
//! sinks are, in [`receipt`].

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::entity::{act, bid};
use crate::error::Error;
use crate::event::{AuctionEvent, EventKind};
use crate::id::{AuctionId, WalletId};
use crate::ledger::batch::{Command, Wish};
pub(super) use crate::ledger::receipt::Row;
use crate::ledger::receipt::{self, Accepted, VoidedLot};
use crate::ledger::store::{Account, Lot};
use crate::ledger::void_bid;
use crate::money::Amount;
pub(super) use crate::rules::Released;
use crate::rules::{self, Actor, AuctionState, Leader, Micros, RankedBid, Sale, Standing, Verdict};

/// What is known of the sealed bids of an auction.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// The best of those that count.
    pub(super) leader: Option<Leader>,
    /// What each operation has released when the bids were opened or the auction was called off, ascending by wallet.
    pub(super) released: BTreeMap<Uuid, Vec<Released>>,
    /// What each operation has released that made a bid void.
    pub(super) voided: BTreeMap<Uuid, Released>,
}

impl Sealed {
    pub(super) fn wallets(&self) -> impl Iterator<Item = WalletId> {
        let released = self.released.values().flatten().chain(self.voided.values());
        released.map(|released| released.wallet).chain(self.leader.map(|leader| leader.wallet))
    }
}

/// An auction on its way through its rows.
pub(super) struct Replay<'a> {
    pub(super) title: &'a str,
    /// Who has it in the end.
    pub(super) winner: Option<WalletId>,
    /// Its terms, and where it stands after the last row.
    pub(super) lot: Lot,
    /// The wallets that the rows name.
    pub(super) accounts: BTreeMap<WalletId, Account>,
    /// The bids that count, if all was told from the opening.
    pub(super) ballot: Vec<RankedBid>,
    pub(super) sealed: Sealed,
}

pub(super) fn damaged(auction: AuctionId, what: &str) -> Error {
    Error::damaged(format!("auction {auction}: {what}"))
}

/// What a number means that has no row.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) enum Gaps {
    /// That the books are damaged.
    Damage,
    /// That it is not to be seen in the snapshot of a unit of work, which sees what it has written itself behind it.
    Snapshot,
}

impl Replay<'_> {
    /// Goes through the rows that follow, up to a number.
    pub(super) fn run(
        mut self,
        rows: &BTreeMap<i64, Row>,
        upto: i64,
        gaps: Gaps,
    ) -> Result<Vec<AuctionEvent>, Error> {
        let mut events = Vec::new();
        while self.lot.standing.seq < upto {
            let seq = self.lot.standing.next_seq();
            let told = match rows.get(&seq) {
                Some(Row::Bid(row)) => self.bid(row)?,
                Some(Row::Act(row)) => self.act(row, rows)?,
                None if matches!(gaps, Gaps::Snapshot) => break,
                None => return Err(self.damaged(&format!("command {seq} has no row"))),
            };
            events.extend(told);
        }
        Ok(events)
    }

    fn damaged(&self, what: &str) -> Error {
        damaged(self.lot.id, what)
    }

    fn amount(&self, minor: i64) -> Result<Amount, Error> {
        Amount::from_minor(minor).ok_or_else(|| self.damaged(&format!("{minor} is no amount")))
    }

    fn bid(&mut self, row: &bid::Model) -> Result<Vec<AuctionEvent>, Error> {
        let Lot { terms, standing: before, .. } = &self.lot;
        let (bidder, at) = (WalletId::from(row.wallet_id), Micros::new(row.at));
        let maximum = self.amount(row.amount)?;
        let ladder = terms.ladder.as_ref().ok_or_else(|| self.damaged("it takes no bids"))?;
        let hold = terms.with_premium(maximum);
        let hold = hold.ok_or_else(|| self.damaged("a bid has no premium"))?;
        let bid = Leader { wallet: bidder, maximum, hold, seq: row.seq };
        let standing = Standing {
            price: Some(self.amount(row.price)?),
            ends_at: Micros::new(row.ends_at),
            ..before.bid(ladder, bid, at)
        };
        let leads = standing.leader == Some(bid);
        if standing.leader.map(|leader| leader.wallet.get()) != Some(row.leader_wallet_id) {
            return Err(self.damaged(&format!("bid {} does not lead as it says", row.seq)));
        }
        let outbid = before.hold().filter(|(holder, _)| leads && *holder != bidder);
        let released = outbid.map(|(wallet, amount)| Released { wallet, amount });
        let verdict = Verdict::Bid { bidder, hold: Amount::ZERO, released, standing };
        self.ballot.push(RankedBid { wallet: bidder, maximum, seq: row.seq });
        let wish = rules::Command::Bid { bidder: Some(bidder), maximum };
        let command = self.command(Wish::Bid(terms.currency.decimal(maximum)), None);
        Ok(self.accept(&command, wish, verdict))
    }

    fn act(
        &mut self,
        row: &act::Model,
        rows: &BTreeMap<i64, Row>,
    ) -> Result<Vec<AuctionEvent>, Error> {
        let at = Micros::new(row.at);
        let by = Actor::House;
        if matches!(row.kind, act::Kind::Released | act::Kind::Settled | act::Kind::AwaitingSeller)
            || self.lot.standing.state != AuctionState::Open
        {
            self.open_sealed_bids();
        }
        let before = self.lot.standing;
        let (wish, verdict) = match row.kind {
            act::Kind::Opened => return self.opened(at),
            act::Kind::Released => return Ok(self.released(row, at)),
            act::Kind::BidVoided => return self.voided(row, rows),
            act::Kind::BidSkipped => {
                return Err(self.damaged("a bid was skipped, and none was made void before"));
            }
            act::Kind::SealedBid => {
                let bidder = row.wallet_id.map(WalletId::from);
                let bidder = bidder.ok_or_else(|| self.damaged("a bid is nobody's"))?;
                let standing = before.moved(before.state, at);
                let wish = rules::Command::Bid { bidder: Some(bidder), maximum: Amount::ZERO };
                (wish, Verdict::Sealed { bidder, hold: Amount::ZERO, standing })
            }
            act::Kind::Bought => {
                let buyer = row.wallet_id.map(WalletId::from);
                (rules::Command::Take { taker: buyer, limit: None }, self.sold(row, buyer, at)?)
            }
            act::Kind::Settled => (rules::Command::Settle, self.hammer(row, at)?),
            act::Kind::ClosedEarly => (rules::Command::CloseEarly { by }, self.hammer(row, at)?),
            act::Kind::AcceptedBelowReserve => {
                (rules::Command::AcceptBelowReserve { by }, self.hammer(row, at)?)
            }
            act::Kind::Cancelled => {
                let state = match self.lot.terms.is_sealed() {
                    true => AuctionState::Cancelling,
                    false => AuctionState::Cancelled,
                };
                (rules::Command::Cancel { by }, self.unsold(state, at))
            }
            act::Kind::AwaitingSeller => {
                let standing = before.moved(AuctionState::AwaitingSeller, at);
                (rules::Command::Settle, Verdict::Changed { standing })
            }
            act::Kind::ReserveLowered => {
                let reserve = row.amount.map(|amount| self.amount(amount)).transpose()?;
                let reserve = reserve.ok_or_else(|| self.damaged("a reserve is nothing"))?;
                let moved = before.moved(before.state, at);
                let lowered = Standing { reserve: Some(reserve), ..moved };
                let ladder = self.lot.terms.ladder.as_ref();
                let standing = ladder.map_or(lowered, |ladder| lowered.priced(ladder));
                (rules::Command::LowerReserve { by, reserve }, Verdict::Changed { standing })
            }
            act::Kind::Extended => {
                let ends_at = row.ends_at.map_or(before.ends_at, Micros::new);
                let standing = Standing { ends_at, ..before.moved(before.state, at) };
                (rules::Command::Extend { by, ends_at }, Verdict::Changed { standing })
            }
        };
        let command = self.command(Wish::Settle, row.reason.clone());
        Ok(self.accept(&command, wish, verdict))
    }

    /// What was wanted, as far as its events need it.
    fn command(&self, wish: Wish, reason: Option<String>) -> Command {
        Command { reason, ..Command::new(self.lot.id, None, wish) }
    }

    /// The events of what was accepted, which then is past.
    fn accept(
        &mut self,
        command: &Command,
        wish: rules::Command,
        verdict: Verdict,
    ) -> Vec<AuctionEvent> {
        let operation = command.once.operation;
        let (lot, accounts) = (&self.lot, &self.accounts);
        let accepted = Accepted { command, wish, actor: None, operation, lot, verdict, accounts };
        let events = accepted.events();
        self.lot.standing = *verdict.standing();
        events
    }

    fn opened(&mut self, at: Micros) -> Result<Vec<AuctionEvent>, Error> {
        let Lot { terms, standing, .. } = &self.lot;
        let seller = self.accounts.get(&standing.seller);
        let seller = &seller.ok_or_else(|| self.damaged("it has no seller"))?.owner;
        let opened = receipt::opened(self.title, seller, terms);
        self.lot.standing = standing.moved(standing.state, at);
        Ok(receipt::numbered(&self.lot, &self.lot.standing, std::iter::once(opened)))
    }

    /// After the end the best of the sealed bids leads.
    fn open_sealed_bids(&mut self) {
        let standing = &mut self.lot.standing;
        let is_called_off =
            matches!(standing.state, AuctionState::Cancelling | AuctionState::Cancelled);
        if self.lot.terms.is_sealed() && !is_called_off && standing.leader.is_none() {
            standing.leader = self.sealed.leader;
        }
    }

    fn released(&mut self, row: &act::Model, at: Micros) -> Vec<AuctionEvent> {
        let before = self.lot.standing;
        let state = match before.state {
            AuctionState::Cancelling => AuctionState::Cancelling,
            _ => AuctionState::Settling,
        };
        let batch = self.sealed.released.remove(&row.operation).unwrap_or_default();
        let released = batch.into_iter().filter_map(|released| {
            let user = self.accounts.get(&released.wallet)?.owner.clone();
            let amount = self.lot.terms.currency.decimal(released.amount);
            Some(EventKind::HoldReleased { user, amount })
        });
        let standing = before.moved(state, at);
        let kinds = std::iter::once(EventKind::Unchanged).chain(released);
        let events = receipt::numbered(&self.lot, &standing, kinds);
        self.lot.standing = standing;
        events
    }

    /// Sold to the leader, or to nobody.
    fn hammer(&self, row: &act::Model, at: Micros) -> Result<Verdict, Error> {
        match row.amount {
            Some(_) => self.sold(row, self.winner, at),
            None => Ok(self.unsold(AuctionState::Unsold, at)),
        }
    }

    fn sold(
        &self,
        row: &act::Model,
        buyer: Option<WalletId>,
        at: Micros,
    ) -> Result<Verdict, Error> {
        let gone = || self.damaged("it was sold to nobody, or for nothing");
        let (buyer, price) = buyer.zip(row.amount).ok_or_else(gone)?;
        let sale = Sale::of(&self.lot.terms, self.amount(price)?).ok_or_else(gone)?;
        let before = &self.lot.standing;
        let released = before.hold().and_then(|(wallet, held)| {
            let kept = if wallet == buyer { held.min(sale.total()) } else { Amount::ZERO };
            let amount = held.checked_sub(kept).filter(|rest| !rest.is_zero())?;
            Some(Released { wallet, amount })
        });
        let standing = before.sold_to(buyer, sale.price, sale.total(), at);
        let (from_hold, from_available) = (Amount::ZERO, Amount::ZERO);
        Ok(Verdict::Sold { buyer, sale, from_hold, from_available, released, standing })
    }

    fn unsold(&self, state: AuctionState, at: Micros) -> Verdict {
        let before = &self.lot.standing;
        let released = before.hold().map(|(wallet, amount)| Released { wallet, amount });
        Verdict::Unsold { released, standing: before.moved(state, at) }
    }

    /// A bid that was made void, and those that were skipped right after it.
    fn voided(
        &mut self,
        row: &act::Model,
        rows: &BTreeMap<i64, Row>,
    ) -> Result<Vec<AuctionEvent>, Error> {
        let bid = row.bid_seq.ok_or_else(|| self.damaged("no bid is void"))?;
        let skipped: Vec<i64> = rows
            .range(row.seq.saturating_add(1)..)
            .map_while(|(_, next)| match next {
                Row::Act(next) if next.kind == act::Kind::BidSkipped => next.bid_seq,
                _ => None,
            })
            .collect();
        let (bidder, verdict) = match self.sealed.voided.get(&row.operation) {
            Some(released) => {
                let before = &self.lot.standing;
                let standing = before.moved(before.state, Micros::new(row.at));
                let verdict = Verdict::Voided { released: Some(*released), held: None, standing };
                (released.wallet, verdict)
            }
            None => self.recount(bid, &skipped, Micros::new(row.at))?,
        };
        let whose = |seq: &i64| Some((*seq, self.ranked(*seq)?.wallet));
        let whose: Vec<_> = skipped.iter().filter_map(whose).collect();
        let command = self.command(Wish::VoidBid(bid), row.reason.clone());
        let voided = VoidedLot {
            command: &command,
            lot: &self.lot,
            bid,
            bidder,
            actor: None,
            verdict,
            skipped: &whose,
        };
        let (events, standing) = (voided.events(&self.accounts), voided.acts().1);
        self.ballot.retain(|ranked| ranked.seq != bid && !skipped.contains(&ranked.seq));
        self.lot.standing = standing;
        Ok(events)
    }

    fn ranked(&self, seq: i64) -> Option<&RankedBid> {
        self.ballot.iter().find(|ranked| ranked.seq == seq)
    }

    /// What became of the auction without a bid: those of whom it is known that they were skipped could not pay, and the next
    /// could.
    fn recount(&self, bid: i64, skipped: &[i64], at: Micros) -> Result<(WalletId, Verdict), Error> {
        let bidder = self.ranked(bid).ok_or_else(|| self.damaged("a void bid has no row"))?.wallet;
        let mut ballot = self.ballot.clone();
        ballot.sort_by_key(RankedBid::rank);
        let mut asked = void_bid::best_bidders(&ballot);
        asked.insert(bidder);
        asked.extend(self.lot.standing.leader.map(|leader| leader.wallet));
        let gone: BTreeSet<i64> = skipped.iter().copied().chain([bid]).collect();
        ballot.retain(|ranked| !gone.contains(&ranked.seq));
        let available = |wallet: WalletId| asked.contains(&wallet).then_some(i64::MAX);
        let Lot { terms, standing, .. } = &self.lot;
        Ok((bidder, rules::recount(terms, standing, &ballot, available, at).verdict))
    }
}
