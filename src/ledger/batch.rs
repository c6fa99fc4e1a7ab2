//! The way of a bid and of a purchase: lock, judge in memory, write once.
//!
//! The path takes a list of commands and folds them in their order; one bid is a list of one. Each command gets its own
//! outcome, exactly as if they had run one after the other.
//!
//! | step | statement |
//! |---|---|
//! | 1. claim the keys, ascending | one for each key |
//! | 2. lock the auctions, ascending | one |
//! | 3. lock every wallet the commands can touch, ascending, and read the clock | one |
//! | 4. judge and fold, in memory: all refusals are given here | none |
//! | 5. write each touched row once | one on PostgreSQL, one a table elsewhere |
//!
//! Whoever is refused has changed nothing, in memory either. So nothing is written for a refusal, and the unit of work
//! around it goes on.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::canonical::Canonical;
use super::once::{Keys, Once, Slot};
use super::outcome::{CommandRef, Done};
use super::receipt::{self, Accepted, Outcome, Row, VoidedLot};
use super::save::{self, Changes};
use super::sealed::SealedBids;
use super::store::{self, Account, Change, Locked, Lot};
use super::void_bid::Ballots;
use super::{AuctionLedger, Settlement};
use crate::entity::{act, entry};
use crate::error::{self, Error};
use crate::event::{AuctionEvent, EventKind};
use crate::id::{AuctionId, OperationId, UserId, WalletId};
use crate::money::BALANCE_MAX;
use crate::rules::{
    self, Actor, AuctionState, Eligibility, Funds, MoveKind, Party, RankedBid, Recount, Rejection,
    Released, Standing, Verdict,
};
use crate::unit_of_work::UnitOfWork;

/// What somebody wants of an auction.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) auction: AuctionId,
    /// Who wants it; `None` is the house.
    pub(super) user: Option<UserId>,
    pub(super) wish: Wish,
    /// A note for the entries.
    pub(super) memo: Option<String>,
    /// Why, for the act.
    pub(super) reason: Option<String>,
    pub(super) once: Once,
}

impl Command {
    pub(super) fn new(auction: AuctionId, user: Option<UserId>, wish: Wish) -> Self {
        Self { auction, user, wish, memo: None, reason: None, once: Once::new() }
    }

    pub(super) fn precheck(&self) -> Result<(), Error> {
        self.once.precheck(self.user.as_ref(), || self.check())
    }

    fn check(&self) -> Result<(), Error> {
        error::memo(self.memo.as_deref())?;
        error::reason(self.reason.as_deref())
    }

    fn slot(&self) -> Option<Slot> {
        let encode = || {
            let request = Canonical::of(self.wish.name()).number(self.auction.get());
            let amount = match self.wish {
                Wish::Bid(amount) | Wish::Take(Some(amount)) | Wish::LowerReserve(amount) => {
                    Some(amount)
                }
                _ => None,
            };
            let ends_at = match self.wish {
                Wish::Extend(ends_at) => Some(ends_at.timestamp_micros()),
                _ => None,
            };
            let bid = match self.wish {
                Wish::VoidBid(bid) => Some(bid),
                _ => None,
            };
            request
                .set("ends_at", ends_at, Canonical::number)
                .set("bid", bid, Canonical::number)
                .optional(amount, Canonical::amount)
                .optional(self.memo.as_deref(), Canonical::text)
                .optional(self.reason.as_deref(), Canonical::text)
                .hash()
        };
        self.once.slot(self.user.as_ref(), encode)
    }

    /// Carries out this command alone: a list of one.
    pub(super) async fn execute(
        &self,
        uow: &UnitOfWork,
        ledger: &AuctionLedger,
    ) -> Result<Done<Outcome>, Error> {
        let mut outcomes = execute(uow, ledger, std::slice::from_ref(self)).await?;
        outcomes.pop().expect("one command has one outcome")
    }
}

#[derive(Clone, Copy)]
pub(super) enum Wish {
    Bid(Decimal),
    /// At what is asked, at most this if there is a limit.
    Take(Option<Decimal>),
    Settle,
    CloseEarly,
    AcceptBelowReserve,
    LowerReserve(Decimal),
    Extend(DateTime<Utc>),
    /// The bid of this number.
    VoidBid(i64),
    Cancel,
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A maximum, a limit and a reserve stay out of logs.
        formatter.write_str(self.name())
    }
}

impl Wish {
    /// The name in the canonical encoding of a request: frozen.
    fn name(self) -> &'static str {
        match self {
            Self::Bid(_) => "place_bid",
            Self::Take(None) => "buy_now",
            Self::Take(Some(_)) => "take",
            Self::Settle => "settle",
            Self::CloseEarly => "close_early",
            Self::AcceptBelowReserve => "accept_below_reserve",
            Self::LowerReserve(_) => "lower_reserve",
            Self::Extend(_) => "extend",
            Self::VoidBid(_) => "void_bid",
            Self::Cancel => "cancel",
        }
    }
}

/// Carries commands out, in their order, and tells for each what became of it.
///
/// # Errors
///
/// The database's; a command's own refusal is in the list.
pub(super) async fn execute(
    uow: &UnitOfWork,
    ledger: &AuctionLedger,
    commands: &[Command],
) -> Result<Vec<Result<Done<Outcome>, Error>>, Error> {
    let keys = Keys::claim(uow, &ledger.clock, commands.iter().filter_map(Command::slot)).await?;
    // What was carried out before touches nothing.
    let open: Vec<&Command> =
        commands.iter().filter(|command| !keys.is_answered(command.slot().as_ref())).collect();
    let ground = match Ground::lock(uow, ledger, &open).await {
        Ok(ground) => ground,
        Err(error) => {
            // A unit of work of the host may go on.
            if error.is_harmless() {
                keys.free_unused(uow).await?;
            }
            return Err(error);
        }
    };
    let mut fold = Fold::of(ground, keys);
    let mut outcomes: Vec<_> = commands.iter().map(|command| fold.carry_out(command)).collect();
    let Folded { changes, events, keys } = fold.finish();
    if !changes.lots.is_empty() {
        save::save(uow, &changes).await?;
    }
    keys.free_unused(uow).await?;
    for (command, auction, events) in events {
        let telling = ledger.dispatch.stage(uow, auction, events);
        if let Some(Ok(done)) = outcomes.get_mut(command) {
            done.telling = telling;
        }
    }
    Ok(outcomes)
}

/// Every wallet the commands can touch: the bidders', the leaders', and the sellers' where something may be sold.
fn touched(
    lots: &BTreeMap<AuctionId, Lot>,
    commands: &[&Command],
) -> (BTreeSet<WalletId>, BTreeSet<store::Owner>) {
    let mut wallets = BTreeSet::new();
    let mut owners = BTreeSet::new();
    for command in commands {
        let Some(lot) = lots.get(&command.auction) else {
            continue;
        };
        let standing = &lot.standing;
        wallets.extend(standing.leader.map(|leader| leader.wallet));
        let offer = rules::buy_now_offer(&lot.terms, standing);
        let sells = match command.wish {
            Wish::Bid(amount) => {
                offer.is_some_and(|price| lot.terms.currency.decimal(price) <= amount)
            }
            Wish::Take(_) => lot.terms.ask.is_some(),
            // A command before it in the list may be the first bid.
            Wish::Settle | Wish::CloseEarly | Wish::AcceptBelowReserve => true,
            Wish::LowerReserve(_) | Wish::Extend(_) | Wish::VoidBid(_) | Wish::Cancel => false,
        };
        if sells {
            wallets.insert(standing.seller);
        }
        owners.extend(command.user.clone().map(|user| (user, lot.terms.currency)));
    }
    (wallets, owners)
}

/// Who bids on which sealed auction.
fn sealed_bidders<'a>(
    lots: &'a BTreeMap<AuctionId, Lot>,
    commands: &[&Command],
    locked: &Locked,
) -> Vec<(&'a Lot, BTreeSet<WalletId>)> {
    let mut bidders: BTreeMap<AuctionId, (&Lot, BTreeSet<WalletId>)> = BTreeMap::new();
    for command in commands {
        let lot = lots.get(&command.auction).filter(|lot| lot.terms.is_sealed());
        let (Some(lot), Some(user), Wish::Bid(_)) = (lot, &command.user, command.wish) else {
            continue;
        };
        let owner = (user.clone(), lot.terms.currency);
        // A currency that does not fit is refused with the command.
        if let Ok(Some(wallet)) = locked.of(&owner) {
            bidders.entry(lot.id).or_insert((lot, BTreeSet::new())).1.insert(wallet);
        }
    }
    bidders.into_values().collect()
}

struct Fold {
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
    eligibility: BTreeMap<(AuctionId, UserId), Eligibility>,
    /// How many commands there were before this one.
    place: usize,
}

/// What is left to do of a list that has been judged.
struct Folded {
    changes: Changes,
    events: Vec<(usize, AuctionId, Vec<AuctionEvent>)>,
    keys: Keys,
}

/// Whatever the commands can touch, under lock.
struct Ground {
    locked: Locked,
    lots: BTreeMap<AuctionId, Lot>,
    sealed: SealedBids,
    ballots: Ballots,
    eligibility: BTreeMap<(AuctionId, UserId), Eligibility>,
}

impl Ground {
    async fn lock(
        uow: &UnitOfWork,
        ledger: &AuctionLedger,
        commands: &[&Command],
    ) -> Result<Self, Error> {
        let ids: BTreeSet<_> = commands.iter().map(|command| command.auction).collect();
        let (lots, locked, sealed, ballots) = if ids.is_empty() {
            (BTreeMap::new(), Locked::nothing(), SealedBids::default(), Ballots::default())
        } else {
            let lots = store::lock_auctions(uow, &ids).await?;
            let mut sealed = SealedBids::load(uow, &lots, commands).await?;
            let (mut wallets, owners) = touched(&lots, commands);
            let ballots = Ballots::load(uow, &lots, commands).await?;
            wallets.extend(sealed.wallets());
            wallets.extend(ballots.wallets());
            let locked = store::lock_wallets(uow, &ledger.clock, &wallets, &owners).await?;
            for (lot, bidders) in sealed_bidders(&lots, commands, &locked) {
                sealed.load_own(uow, lot, &bidders).await?;
            }
            (lots, locked, sealed, ballots)
        };
        let eligibility = ledger.gatekeeper.ask(uow, &lots, commands).await?;
        Ok(Self { locked, lots, sealed, ballots, eligibility })
    }
}

impl Fold {
    fn of(ground: Ground, keys: Keys) -> Self {
        let Ground { locked, lots, sealed, ballots, eligibility } = ground;
        let (changed, changes, events) = (BTreeSet::new(), Changes::default(), Vec::new());
        let place = 0;
        Self { locked, lots, changed, changes, events, keys, sealed, ballots, eligibility, place }
    }

    /// Judges one command, unless its key says what it was answered.
    fn carry_out(&mut self, command: &Command) -> Result<Done<Outcome>, Error> {
        let place = self.place;
        self.place = place.saturating_add(1);
        let slot = command.slot();
        if let Some(answer) = self.keys.answer(slot.as_ref()) {
            return answer;
        }
        let (done, events) = self.judge(command)?;
        if let Some(slot) = &slot {
            self.changes.replies.push(self.keys.used(slot, &done)?);
        }
        self.events.push((place, command.auction, events));
        Ok(done)
    }

    fn judge(&mut self, command: &Command) -> Result<(Done<Outcome>, Vec<AuctionEvent>), Error> {
        command.check()?;
        let unknown = Error::UnknownAuction { auction: command.auction };
        let lot = self.lots.get(&command.auction).ok_or(unknown)?.clone();
        let currency = lot.terms.currency;
        let owner = command.user.clone().map(|user| (user, currency));
        let wallet = owner.map(|owner| self.locked.of(&owner)).transpose()?.flatten();
        let available = wallet
            .and_then(|wallet| self.locked.accounts.get(&wallet))
            .map(|account| account.available);
        let funds = available.map_or(Funds::NONE, |available| Funds { available });
        let by = if command.user.is_some() { Actor::User(wallet) } else { Actor::House };
        let amount = |what, value: Decimal| {
            currency.amount(value).map_err(|error| Error::InvalidAmount { what, error })
        };
        let now = self.locked.now_after(lot.standing.last_at);
        let wish = match command.wish {
            Wish::VoidBid(bid) => return self.void(command, lot, bid, now),
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
            let account = self.account(wallet);
            let user = account.owner.clone();
            let entry = store::enter(account, &change);
            self.changed.insert(wallet);
            self.changes.entries.push(entry);
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
        now: rules::Micros,
    ) -> Result<(Done<Outcome>, Vec<AuctionEvent>), Error> {
        if lot.standing.state != AuctionState::Open {
            return Err(Rejection::Closed { state: lot.standing.state }.into());
        }
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
        let voided = VoidedLot { command, lot: &lot, bid, bidder, verdict, skipped: &skipped };
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
        let (outcome, events) = (accepted.outcome(), accepted.events());
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
        let user = command.user.clone();
        let answer = user.and_then(|user| self.eligibility.get(&(command.auction, user)));
        answer.copied().unwrap_or_default()
    }

    /// Goes through the moves without making them: a wallet must be able to hold what it receives, and to give what the
    /// auction says it holds.
    fn rehearse(&self, lot: &Lot, verdict: &Verdict) -> Result<(), Error> {
        let mut balances = BTreeMap::new();
        for one in verdict.moves() {
            let account = self.locked.accounts.get(&one.wallet);
            let account = account.ok_or_else(|| {
                Error::damaged(format!("auction {} names wallet {}", lot.id, one.wallet))
            })?;
            let (available, held) =
                balances.entry(one.wallet).or_insert((account.available, account.held));
            let after =
                |before: i64, delta: i64| before.checked_add(delta).filter(|after| *after >= 0);
            match (after(*available, one.available_delta), after(*held, one.held_delta)) {
                (Some(new_available), Some(new_held)) => {
                    (*available, *held) = (new_available, new_held)
                }
                _ if one.kind == MoveKind::Proceeds => return Err(self.full(lot).into()),
                _ => {
                    let what =
                        format!("wallet {} does not hold what auction {} says", one.wallet, lot.id);
                    return Err(Error::damaged(what));
                }
            }
            let total = available.checked_add(*held);
            if one.kind == MoveKind::Proceeds && total.is_none_or(|total| total > BALANCE_MAX) {
                return Err(self.full(lot).into());
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
            let account = self.account(one.wallet);
            let change = Change {
                operation: operation.get(),
                kind: kind(one.kind),
                available_delta: one.available_delta,
                held_delta: one.held_delta,
                auction: Some(command.auction),
                memo: command.memo.as_deref().filter(|_| noted(command.wish, one.kind)),
                at: now,
            };
            let entry = store::enter(account, &change);
            self.changed.insert(one.wallet);
            self.changes.entries.push(entry);
        }
    }

    fn account(&mut self, wallet: WalletId) -> &mut Account {
        self.locked.accounts.get_mut(&wallet).expect("every wallet that a verdict names was locked")
    }

    fn finish(mut self) -> Folded {
        let changed = self.changed.iter().filter_map(|wallet| self.locked.accounts.remove(wallet));
        self.changes.accounts = changed.collect();
        self.changes.sealed_bids = self.sealed.into_changed();
        let accepted: BTreeSet<_> = self.events.iter().map(|(_, auction, _)| *auction).collect();
        self.changes.lots =
            accepted.iter().filter_map(|auction| self.lots.remove(auction)).collect();
        Folded { changes: self.changes, events: self.events, keys: self.keys }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
