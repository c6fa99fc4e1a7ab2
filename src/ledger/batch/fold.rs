//! Judging a list of commands in memory: all refusals are given here, and whoever is refused has changed nothing.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::{Command, Ground, Wish};
use crate::entity::{act, entry};
use crate::error::Error;
use crate::event::{AuctionEvent, EventKind};
use crate::id::{AuctionId, OperationId, WalletId};
use crate::ledger::Settlement;
use crate::ledger::eligibility;
use crate::ledger::once::{Keys, Slot};
use crate::ledger::outcome::{CommandRef, Done};
use crate::ledger::receipt::{self, Accepted, Outcome, Row, VoidedLot};
use crate::ledger::save::Changes;
use crate::ledger::sealed::SealedBids;
use crate::ledger::store::{self, Account, Change, Locked, Lot};
use crate::ledger::void_bid::Ballots;
use crate::money::BALANCE_MAX;
use crate::rules::{
    self, Actor, AuctionState, Eligibility, Funds, MoveKind, Party, RankedBid, Recount, Rejection,
    Released, Standing, Verdict,
};

pub(super) struct Fold {
    locked: Locked,
    lots: BTreeMap<AuctionId, Lot>,
    /// The wallets that have changed.
    changed: BTreeSet<WalletId>,
    changes: Changes,
    /// The place of each accepted command in the list, its auction and its events.
    events: Vec<(usize, AuctionId, Vec<AuctionEvent>)>,
    keys: Keys,
    sealed: SealedBids,
    /// The bids of auctions of which some are to be made void.
    ballots: Ballots,
    /// What the host says of whoever bids or buys.
    eligibility: eligibility::Answers,
    /// What became of the commands before this one.
    outcomes: Vec<Result<Done<Outcome>, Error>>,
    /// Whether anybody is told; if not, most events are not made.
    tells: bool,
}

/// What is left to do of a list that has been judged.
pub(super) struct Folded {
    /// What became of each command.
    pub(super) outcomes: Vec<Result<Done<Outcome>, Error>>,
    pub(super) changes: Changes,
    /// The place of each accepted command in the list, its auction and its events.
    pub(super) events: Vec<(usize, AuctionId, Vec<AuctionEvent>)>,
}

impl Fold {
    pub(super) fn of(ground: Ground, keys: Keys, tells: bool) -> Self {
        let Ground { locked, lots, sealed, ballots, eligibility } = ground;
        let (changed, changes, events) = (BTreeSet::new(), Changes::default(), Vec::new());
        let outcomes = Vec::new();
        Self {
            locked,
            lots,
            changed,
            changes,
            events,
            keys,
            sealed,
            ballots,
            eligibility,
            outcomes,
            tells,
        }
    }

    /// Judges one command, unless its key says what it was answered.
    pub(super) fn carry_out(&mut self, command: &Command, slot: Option<&Slot>) {
        let answer = self.keys.answer(slot, &self.outcomes);
        let outcome = answer.unwrap_or_else(|| self.carry_out_now(command, slot));
        self.outcomes.push(outcome);
    }

    fn carry_out_now(
        &mut self,
        command: &Command,
        slot: Option<&Slot>,
    ) -> Result<Done<Outcome>, Error> {
        let place = self.outcomes.len();
        let (done, events) = self.judge(command)?;
        if let Some(slot) = slot {
            let reply = slot.reply(&done.value, &done.command, self.locked.now)?;
            self.changes.replies.push(reply);
            self.keys.used(slot, place);
        }
        self.events.push((place, command.auction, events));
        Ok(done)
    }

    fn judge(&mut self, command: &Command) -> Result<(Done<Outcome>, Vec<AuctionEvent>), Error> {
        command.check()?;
        let unknown = Error::UnknownAuction { auction: command.auction };
        let lot = self.lots.get(&command.auction).ok_or(unknown)?.clone();
        let currency = lot.terms.currency;
        let owner = command.user.as_ref().map(|user| (user, currency));
        let wallet = owner.map(|owner| self.locked.of(owner)).transpose()?.flatten();
        let available = wallet
            .and_then(|wallet| self.locked.accounts.get(&wallet))
            .map(|account| account.available);
        let funds = available.map_or(Funds::NONE, |available| Funds { available });
        let by = if command.user.is_some() { Actor::User(wallet) } else { Actor::House };
        let amount = |what, value: Decimal| {
            currency.amount(value).map_err(|error| Error::InvalidAmount { what, error })
        };
        let now = self.now_of(command, &lot, wallet);
        let wish = match command.wish {
            Wish::VoidBid(bid) => return self.void(command, lot, bid, by, now),
            Wish::Bid(value) => {
                rules::Command::Bid { bidder: wallet, maximum: amount("amount", value)? }
            }
            Wish::Take(limit) => {
                let limit = limit.map(|limit| amount("limit", limit)).transpose()?;
                rules::Command::Take { taker: wallet, limit }
            }
            Wish::Settle => rules::Command::Settle,
            Wish::CloseEarly => rules::Command::CloseEarly { by },
            Wish::AcceptBelowReserve => rules::Command::AcceptBelowReserve { by },
            Wish::LowerReserve(reserve) => {
                rules::Command::LowerReserve { by, reserve: amount("reserve", reserve)? }
            }
            Wish::Extend(ends_at) => rules::Command::Extend { by, ends_at: ends_at.into() },
            Wish::Cancel => rules::Command::Cancel { by },
        };
        let party = Party {
            funds,
            eligibility: self.eligibility_of(command),
            sealed_bid: self.sealed.maximum(lot.id, wallet)?,
            sealed_bids: self.sealed.is_pending(lot.id),
        };
        if matches!(command.wish, Wish::Settle) && self.is_to_be_opened(&lot, now) {
            return self.settle_sealed(command, lot, party, now);
        }
        let verdict = rules::decide(&lot.terms, &lot.standing, &wish, party, now)?;
        self.rehearse(&lot, &verdict)?;
        let (done, mut events) = self.accept(command, &wish, wallet, lot, verdict)?;
        if verdict.standing().state == AuctionState::Cancelling {
            let lot = self.lots.get(&command.auction).expect("it was just put there").clone();
            let (_, released) = self.release(&lot, OperationId::new(), now)?;
            events.extend(released);
        }
        Ok((done, events))
    }

    /// The time of a command, by the wallets that it would have under lock if it were alone: those of the others in the list
    /// are none of its business.
    fn now_of(&self, command: &Command, lot: &Lot, wallet: Option<WalletId>) -> rules::Micros {
        let Standing { seller, leader, last_at, .. } = lot.standing;
        // Offers and settlements can be in a list with strangers.
        let is_alone = match command.wish {
            Wish::Settle => lot.terms.is_sealed(),
            wish => !wish.is_offer(),
        };
        if is_alone {
            return self.locked.now_after(last_at);
        }
        let leader = leader.map(|leader| leader.wallet);
        let seller = super::may_sell(command.wish, lot).then_some(seller);
        self.locked.now_among(last_at, [wallet, leader, seller].into_iter().flatten())
    }

    /// Whether the bids of a sealed auction are to be opened now, or are being released.
    fn is_to_be_opened(&self, lot: &Lot, now: rules::Micros) -> bool {
        match lot.standing.state {
            AuctionState::Open => lot.terms.is_sealed() && lot.standing.ends_at <= now,
            AuctionState::Settling | AuctionState::Cancelling => true,
            _ => false,
        }
    }

    /// Opens the bids of a sealed auction after its end, releases a batch of those that have lost and, if none is left, lets
    /// the hammer fall.
    fn settle_sealed(
        &mut self,
        command: &Command,
        lot: Lot,
        party: Party,
        now: rules::Micros,
    ) -> Result<(Done<Outcome>, Vec<AuctionEvent>), Error> {
        let lot = Lot { standing: self.sealed.opened(&lot)?, ..lot };
        let wish = rules::Command::Settle;
        let is_pending = self.sealed.is_pending(lot.id);
        let more = self.sealed.has_more(lot.id);
        if more || lot.standing.state == AuctionState::Cancelling {
            let (standing, events) = self.release(&lot, command.once.operation, now)?;
            let settlement = Settlement::of_release(&lot, &standing, command.once.operation, more);
            let command = CommandRef::on_auction(command.once.operation, lot.id, standing.seq);
            return Ok((Done::silent(Outcome::Settlement(settlement), command), events));
        }
        let after = match is_pending {
            true => Lot { standing: lot.standing.released(false, now), ..lot.clone() },
            false => lot.clone(),
        };
        let party = Party { sealed_bids: false, ..party };
        let verdict = rules::decide(&after.terms, &after.standing, &wish, party, now)?;
        self.rehearse(&after, &verdict)?;
        let mut events = Vec::new();
        if is_pending {
            events = self.release(&lot, OperationId::new(), now)?.1;
        }
        let (done, settled) = self.accept(command, &wish, None, after, verdict)?;
        events.extend(settled);
        Ok((done, events))
    }

    /// Releases a batch of the sealed bids of an auction: a command of its own, with a number of its own.
    fn release(
        &mut self,
        lot: &Lot,
        operation: OperationId,
        now: rules::Micros,
    ) -> Result<(Standing, Vec<AuctionEvent>), Error> {
        let (holds, more) = self.sealed.take(lot)?;
        for (wallet, hold) in &holds {
            let account = self.locked.accounts.get(wallet);
            if account.is_none_or(|account| account.held < hold.minor()) {
                let what =
                    format!("wallet {wallet} does not hold what it bid on auction {}", lot.id);
                return Err(Error::damaged(what));
            }
        }
        let standing = lot.standing.released(more, now);
        let mut kinds = vec![EventKind::Unchanged];
        for (wallet, hold) in holds {
            let change = Change {
                operation: operation.get(),
                kind: entry::Kind::Release,
                available_delta: hold.minor(),
                held_delta: hold.minor().saturating_neg(),
                auction: Some(lot.id),
                memo: None,
                at: now,
            };
            let user = self.enter(wallet, &change).owner.clone();
            self.sealed.release(lot.id, wallet, operation.get());
            let amount = lot.terms.currency.decimal(hold);
            kinds.push(EventKind::HoldReleased { user, amount });
        }
        let kind = act::Kind::Released;
        self.changes.acts.push(receipt::act_of_house(kind, lot.id, &standing, operation));
        self.lots.insert(lot.id, Lot { standing, ..lot.clone() });
        Ok((standing, receipt::numbered(lot, &standing, kinds.into_iter())))
    }

    /// Makes a bid void.
    fn void(
        &mut self,
        command: &Command,
        lot: Lot,
        bid: i64,
        by: Actor,
        now: rules::Micros,
    ) -> Result<(Done<Outcome>, Vec<AuctionEvent>), Error> {
        rules::may_void(&lot.terms, &lot.standing, by, now)?;
        let (bidder, recount, remaining) = self.recount(&lot, bid, now)?;
        let verdict = recount.verdict;
        self.rehearse(&lot, &verdict)?;
        // From here the command must succeed: every refusal has been given above.
        let operation = command.once.operation;
        self.move_money(command, operation, &verdict, now);
        if lot.terms.is_sealed() {
            self.sealed.release(lot.id, bidder, operation.get());
        }
        let skipped = remaining.into_iter().take(recount.skipped);
        let skipped: Vec<_> = skipped.map(|skipped| (skipped.seq, skipped.wallet)).collect();
        let actor = match by {
            Actor::House => None,
            Actor::User(wallet) => wallet,
        };
        let voided =
            VoidedLot { command, lot: &lot, bid, bidder, actor, verdict, skipped: &skipped };
        let (acts, standing) = voided.acts();
        self.changes.acts.extend(acts);
        let events = voided.events(&self.locked.accounts);
        let outcome = Outcome::Voided(voided.outcome(&self.locked.accounts));
        let gone = skipped.iter().map(|(seq, _)| *seq).chain([bid]).collect();
        self.ballots.remove(lot.id, &gone);
        let done = CommandRef::on_auction(operation, lot.id, verdict.standing().seq);
        self.lots.insert(lot.id, Lot { standing, ..lot });
        Ok((Done::silent(outcome, done), events))
    }

    /// Whose bid it is, what becomes of the auction without it, and the bids that remain.
    fn recount(
        &self,
        lot: &Lot,
        bid: i64,
        now: rules::Micros,
    ) -> Result<(WalletId, Recount, Vec<RankedBid>), Error> {
        if lot.terms.is_sealed() {
            let wallet = self.sealed.by_seq(lot.id, bid).ok_or(Rejection::NoSuchBid)?;
            let maximum = self.sealed.maximum(lot.id, Some(wallet))?;
            let amount = maximum.and_then(|maximum| lot.terms.with_premium(maximum));
            let amount = amount.ok_or_else(|| Error::damaged("a sealed bid has no premium"))?;
            let released = Some(Released { wallet, amount });
            let standing = lot.standing.moved(AuctionState::Open, now);
            let verdict = Verdict::Voided { released, held: None, standing };
            return Ok((wallet, Recount { verdict, skipped: 0 }, Vec::new()));
        }
        let ballot = self.ballots.of(lot.id);
        let target = ballot.iter().find(|ranked| ranked.seq == bid).ok_or(Rejection::NoSuchBid)?;
        let remaining: Vec<_> = ballot.iter().filter(|ranked| ranked.seq != bid).copied().collect();
        // Whoever is not among the best was not asked.
        let available = |wallet: WalletId| {
            let account = self.locked.accounts.get(&wallet);
            account.map(|account| account.available)
        };
        let recount = rules::recount(&lot.terms, &lot.standing, &remaining, available, now);
        Ok((target.wallet, recount, remaining))
    }

    /// Carries out what the rules have accepted.
    fn accept(
        &mut self,
        command: &Command,
        wish: &rules::Command,
        actor: Option<WalletId>,
        lot: Lot,
        verdict: Verdict,
    ) -> Result<(Done<Outcome>, Vec<AuctionEvent>), Error> {
        // From here the command must succeed: every refusal has been given above.
        let operation = command.once.operation;
        let standing = *verdict.standing();
        self.move_money(command, operation, &verdict, standing.last_at);
        let accepted = Accepted {
            command,
            wish: *wish,
            actor,
            operation,
            lot: &lot,
            verdict,
            accounts: &self.locked.accounts,
        };
        match accepted.row() {
            Row::Bid(bid) => self.changes.bids.push(bid),
            Row::Act(act) => self.changes.acts.push(act),
        }
        self.changes.shares.extend(accepted.house_share());
        let outcome = accepted.outcome();
        let events = if self.tells { accepted.events() } else { Vec::new() };
        if let (Verdict::Sealed { bidder, .. }, rules::Command::Bid { maximum, .. }) =
            (&verdict, wish)
        {
            self.sealed.bid(lot.id, *bidder, *maximum, (standing.seq, standing.last_at));
        }
        if let (Verdict::Bid { bidder, .. }, rules::Command::Bid { maximum, .. }) = (&verdict, wish)
        {
            let (wallet, maximum, seq) = (*bidder, *maximum, standing.seq);
            self.ballots.add(lot.id, RankedBid { wallet, maximum, seq });
        }
        // Whoever led has paid, or has got the hold back.
        if let Some((leader, _)) = lot.standing.hold().filter(|_| standing.hold().is_none()) {
            self.sealed.release(lot.id, leader, operation.get());
        }
        let command = CommandRef::on_auction(operation, lot.id, standing.seq);
        self.lots.insert(lot.id, Lot { standing, ..lot });
        Ok((Done::silent(outcome, command), events))
    }

    /// What the host says of whoever gives the command; without a check, that they may bid.
    fn eligibility_of(&self, command: &Command) -> Eligibility {
        let of_auction = self.eligibility.get(&command.auction);
        let answer = of_auction.zip(command.user.as_ref()).and_then(|(all, user)| all.get(user));
        answer.copied().unwrap_or_default()
    }

    /// Goes through the moves without making them: a wallet must be able to hold what it receives, and to give what the
    /// auction says it holds.
    fn rehearse(&self, lot: &Lot, verdict: &Verdict) -> Result<(), Error> {
        for (index, one) in verdict.moves().enumerate() {
            let account = self.locked.accounts.get(&one.wallet);
            let account = account.ok_or_else(|| {
                Error::damaged(format!("auction {} names wallet {}", lot.id, one.wallet))
            })?;
            // With those before it: a wallet is moved twice at most.
            let mut moves =
                verdict.moves().take(index.saturating_add(1)).filter(|of| of.wallet == one.wallet);
            let after =
                moves.try_fold((account.available, account.held), |(available, held), of| {
                    let after =
                        |before: i64, delta| before.checked_add(delta).filter(|now| *now >= 0);
                    Some((after(available, of.available_delta)?, after(held, of.held_delta)?))
                });
            match after {
                Some((available, held)) if one.kind == MoveKind::Proceeds => {
                    let total = available.checked_add(held);
                    if total.is_none_or(|total| total > BALANCE_MAX) {
                        return Err(self.full(lot).into());
                    }
                }
                Some(_) => {}
                None if one.kind == MoveKind::Proceeds => return Err(self.full(lot).into()),
                None => {
                    let what =
                        format!("wallet {} does not hold what auction {} says", one.wallet, lot.id);
                    return Err(Error::damaged(what));
                }
            }
        }
        Ok(())
    }

    fn full(&self, lot: &Lot) -> Rejection {
        Rejection::BalanceTooLarge { maximum: lot.terms.currency.decimal_of_minor(BALANCE_MAX) }
    }

    fn move_money(
        &mut self,
        command: &Command,
        operation: OperationId,
        verdict: &Verdict,
        now: rules::Micros,
    ) {
        for one in verdict.moves() {
            let change = Change {
                operation: operation.get(),
                kind: kind(one.kind),
                available_delta: one.available_delta,
                held_delta: one.held_delta,
                auction: Some(command.auction),
                memo: command.memo.as_deref().filter(|_| noted(command.wish, one.kind)),
                at: now,
            };
            self.enter(one.wallet, &change);
        }
    }

    /// Changes a wallet, by an entry in its journal.
    fn enter(&mut self, wallet: WalletId, change: &Change) -> &Account {
        let account = self.locked.accounts.get_mut(&wallet);
        let account = account.expect("every wallet that a verdict names was locked");
        self.changes.entries.push(store::enter(account, change));
        self.changed.insert(wallet);
        account
    }

    pub(super) fn finish(mut self) -> Folded {
        let changed = self.changed.iter().filter_map(|wallet| self.locked.accounts.remove(wallet));
        self.changes.accounts = changed.collect();
        self.changes.sealed_bids = self.sealed.into_changed();
        // Two lists that meet on keys never wait for each other.
        self.changes.replies.sort_unstable_by(|one, other| one.place().cmp(other.place()));
        // As they lie in their tables.
        self.changes.entries.sort_unstable_by_key(|entry| (entry.wallet_id, entry.seq));
        let accepted: BTreeSet<_> = self.events.iter().map(|(_, auction, _)| *auction).collect();
        self.changes.lots =
            accepted.iter().filter_map(|auction| self.lots.remove(auction)).collect();
        Folded { outcomes: self.outcomes, changes: self.changes, events: self.events }
    }
}

fn kind(kind: MoveKind) -> entry::Kind {
    match kind {
        MoveKind::Release => entry::Kind::Release,
        MoveKind::Hold => entry::Kind::Hold,
        MoveKind::Capture => entry::Kind::Capture,
        MoveKind::Proceeds => entry::Kind::Proceeds,
    }
}

/// Whether the note of a command goes to this entry: a bidder's goes to the bidder only, and nobody's to a release.
fn noted(wish: Wish, kind: MoveKind) -> bool {
    match kind {
        MoveKind::Release => false,
        MoveKind::Proceeds => !matches!(wish, Wish::Bid(_)),
        MoveKind::Hold | MoveKind::Capture => true,
    }
}
