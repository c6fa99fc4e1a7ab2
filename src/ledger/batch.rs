//! The way of a bid and of a purchase: lock, judge in memory, write once.
//!
//! The path takes a list of commands and folds them in their order; one bid is a list of one. Each command gets its own
//! outcome, exactly as if they had run one after the other. Bids and purchases, of any number of auctions, can be together in
//! a list; every other command is a list of its own.
//!
//! | step | statement |
//! |---|---|
//! | 1. in the first attempt of a list that will hand its auction over: look for the keys | none, or one |
//! | 2. lock the auctions, ascending | one |
//! | 3. lock every wallet the commands can touch, ascending, and read the clock | one; none for one bid on PostgreSQL, where the first does it; one more where a remembered id was wrong, and where a snapshot may hide a wallet |
//! | 4. look for the keys that were being written at step 1; in another attempt for all | none, or one |
//! | 5. judge and fold, in memory: all refusals are given here | none |
//! | 6. look for the keys of those who would be refused: in a first attempt without step 1, or if somebody else has had the auction since | none, or one |
//! | 7. write each touched row once, the keys among them | one on PostgreSQL, one a table elsewhere |
//!
//! Within a unit of work of the host, and where the host is asked who may bid, the key is claimed before all that, by one
//! statement.
//!
//! Whoever is refused has changed nothing, in memory either. So nothing is written for a refusal, and the unit of work
//! around it goes on.

mod fold;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::ConnectionTrait;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use self::fold::{Fold, Folded};
use super::AuctionLedger;
use super::canonical::Canonical;
use super::eligibility;
use super::group::Handover;
use super::lock_bid::LoneBid;
use super::once::{self, KeyUse, Keys, Once, Slot};
use super::outcome::Done;
use super::receipt::Outcome;
use super::save;
use super::sealed::SealedBids;
use super::store::{self, Locked, Lot};
use super::void_bid::Ballots;
use crate::backend::Dialect;
use crate::error::{self, Error};
use crate::id::{AuctionId, UserId, WalletId};
use crate::rules;
use crate::unit_of_work::{LockWait, UnitOfWork};

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
    /// How long it waits in line; `None` as long as the ledger says.
    pub(super) deadline: Option<Duration>,
    pub(super) once: Once,
}

impl Command {
    pub(super) fn new(auction: AuctionId, user: Option<UserId>, wish: Wish) -> Self {
        Self { auction, user, wish, memo: None, reason: None, deadline: None, once: Once::new() }
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
        way: Way<'_>,
    ) -> Result<Done<Outcome>, Error> {
        let mut outcomes = execute(uow, ledger, std::slice::from_ref(self), way).await?;
        outcomes.pop().expect("one command has one outcome")
    }

    /// Claims the key first, and carries the command out alone.
    pub(super) async fn claim_and_execute(
        &self,
        uow: &UnitOfWork,
        ledger: &AuctionLedger,
    ) -> Result<Done<Outcome>, Error> {
        let run = async || self.execute(uow, ledger, Way::CLAIMED).await;
        once::carry_out(uow, &ledger.clock, self.slot(), run).await
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
    /// Whether it is a bid or a purchase.
    pub(super) fn is_offer(self) -> bool {
        matches!(self, Self::Bid(_) | Self::Take(_))
    }

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

/// How a list is carried out.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// An auction that this leaves out is not known to any of the commands.
    pub(super) wait: LockWait,
    pub(super) keys: KeyUse,
    /// Told once the commands are judged, and something is to be written.
    pub(super) handover: &'a Handover,
}

impl<'a> Way<'a> {
    /// Of a command whose key was claimed.
    const CLAIMED: Self =
        Self { wait: LockWait::Wait, keys: KeyUse::Claimed, handover: &Handover::NONE };

    /// In a unit of work of the ledger's own: a key that stands in its way is met in its first attempt. Whoever is behind a list
    /// that hands over would come before it if all was tried again, so such a list looks first, while it has nothing to do but
    /// to wait. Once it has handed over, others have had the auction of whom it knows nothing.
    pub(super) fn alone(uow: &UnitOfWork, wait: LockWait, handover: &'a Handover) -> Self {
        let keys = match uow.attempt() {
            1 if handover.is_none() => KeyUse::LookIfRefused,
            1 if handover.is_to_come() => KeyUse::LookEarly,
            _ => KeyUse::LookUnderLock,
        };
        Self { wait, keys, handover }
    }
}

impl Way<'_> {
    /// Whether a key is looked for under the locks, before anything is judged.
    fn looks_for(&self, slot: &Slot) -> bool {
        match self.keys {
            KeyUse::LookUnderLock => true,
            KeyUse::LookEarly => self.handover.is_ahead(&slot.place),
            KeyUse::Claimed | KeyUse::LookIfRefused => false,
        }
    }

    /// Whether the keys of those who would be refused are looked for, perhaps once more: whoever looked early has missed what was
    /// carried out on the auction meanwhile, and knows only what those did who were ahead.
    fn looks_before_it_refuses(&self, lots: &BTreeMap<AuctionId, Lot>) -> bool {
        match self.keys {
            KeyUse::LookIfRefused => true,
            KeyUse::LookEarly => !lots.values().all(|lot| self.handover.is_as_left(&lot.standing)),
            KeyUse::Claimed | KeyUse::LookUnderLock => false,
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
    way: Way<'_>,
) -> Result<Vec<Result<Done<Outcome>, Error>>, Error> {
    let span = tracing::debug_span!(
        "batch",
        commands = commands.len(),
        auctions = tracing::field::Empty,
        wallets = tracing::field::Empty,
        lock_wait_us = tracing::field::Empty,
    );
    judge_and_write(uow, ledger, commands, way, &span).instrument(span.clone()).await
}

async fn judge_and_write(
    uow: &UnitOfWork,
    ledger: &AuctionLedger,
    commands: &[Command],
    way: Way<'_>,
    span: &Span,
) -> Result<Vec<Result<Done<Outcome>, Error>>, Error> {
    let slots: Vec<_> = commands.iter().map(Command::slot).collect();
    let mut keys = Keys::default();
    if way.keys == KeyUse::LookEarly {
        keys = Keys::look_up(uow, slots.iter().flatten()).await?;
    }
    let begun = Instant::now();
    let mut ground = Ground::lock(uow, ledger, commands, way.wait).await?;
    let lock_wait = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    span.record("auctions", ground.lots.len())
        .record("wallets", ground.locked.accounts.len())
        .record("lock_wait_us", lock_wait);
    let unseen = slots.iter().flatten().filter(|slot| way.looks_for(slot));
    keys.add(Keys::look_up(uow, unseen).await?);
    let looks_before_it_refuses = way.looks_before_it_refuses(&ground.lots);
    ground.eligibility = ledger.gatekeeper.ask(uow, &ground.lots, commands).await?;
    let mut fold = Fold::of(ground, keys, !ledger.dispatch.is_empty());
    for (command, slot) in commands.iter().zip(&slots) {
        fold.carry_out(command, slot.as_ref());
    }
    let Folded { mut outcomes, mut changes, events } = fold.finish();
    if looks_before_it_refuses {
        answer_refused(uow, &mut outcomes, &slots).await?;
    }
    if way.keys == KeyUse::Claimed {
        changes.claimed = changes.replies.pop();
    }
    if let Some(lot) = changes.lots.first() {
        way.handover.hand_over(slots.iter().flatten().map(|slot| &slot.place), lot.standing);
        save::save(uow, changes).await?;
    }
    for (command, auction, events) in events {
        let telling = ledger.dispatch.stage(uow, auction, events);
        if let Some(Ok(done)) = outcomes.get_mut(command) {
            done.telling = telling;
        }
    }
    Ok(outcomes)
}

/// Gives those who would be refused, which has changed nothing, the answers of what they had carried out before.
async fn answer_refused(
    uow: &UnitOfWork,
    outcomes: &mut [Result<Done<Outcome>, Error>],
    slots: &[Option<Slot>],
) -> Result<(), Error> {
    let refused = || outcomes.iter().zip(slots).filter(|(outcome, _)| outcome.is_err());
    let keys = Keys::look_up(uow, refused().filter_map(|(_, slot)| slot.as_ref())).await?;
    for (outcome, slot) in outcomes.iter_mut().zip(slots) {
        if outcome.is_err()
            && let Some(answer) = keys.answer(slot.as_ref(), &[])
        {
            *outcome = answer;
        }
    }
    Ok(())
}

/// Every wallet the commands can touch: the bidders', the leaders', and the sellers' where something may be sold.
fn touched<'a>(
    lots: &BTreeMap<AuctionId, Lot>,
    commands: &'a [Command],
) -> (BTreeSet<WalletId>, BTreeSet<store::Owner<'a>>) {
    let mut wallets = BTreeSet::new();
    let mut owners = BTreeSet::new();
    for command in commands {
        let Some(lot) = lots.get(&command.auction) else {
            continue;
        };
        let standing = &lot.standing;
        wallets.extend(standing.leader.map(|leader| leader.wallet));
        if may_sell(command.wish, lot) {
            wallets.insert(standing.seller);
        }
        owners.extend(command.user.as_ref().map(|user| (user, lot.terms.currency)));
    }
    (wallets, owners)
}

/// Whether a command may pay the seller.
fn may_sell(wish: Wish, lot: &Lot) -> bool {
    match wish {
        Wish::Bid(amount) => {
            let offer = rules::buy_now_offer(&lot.terms, &lot.standing);
            offer.is_some_and(|price| lot.terms.currency.decimal(price) <= amount)
        }
        Wish::Take(_) => lot.terms.ask.is_some(),
        // A command before it in the list may be the first bid.
        Wish::Settle | Wish::CloseEarly | Wish::AcceptBelowReserve => true,
        Wish::LowerReserve(_) | Wish::Extend(_) | Wish::VoidBid(_) | Wish::Cancel => false,
    }
}

/// Who bids on which sealed auction.
fn sealed_bidders<'a>(
    lots: &'a BTreeMap<AuctionId, Lot>,
    commands: &[Command],
    locked: &Locked,
) -> Vec<(&'a Lot, BTreeSet<WalletId>)> {
    let mut bidders: BTreeMap<AuctionId, (&Lot, BTreeSet<WalletId>)> = BTreeMap::new();
    for command in commands {
        let lot = lots.get(&command.auction).filter(|lot| lot.terms.is_sealed());
        let (Some(lot), Some(user), Wish::Bid(_)) = (lot, &command.user, command.wish) else {
            continue;
        };
        // A currency that does not fit is refused with the command.
        if let Ok(Some(wallet)) = locked.of((user, lot.terms.currency)) {
            bidders.entry(lot.id).or_insert((lot, BTreeSet::new())).1.insert(wallet);
        }
    }
    bidders.into_values().collect()
}

/// The one bid that this is.
fn lone_bid(commands: &[Command]) -> Option<LoneBid<'_>> {
    match commands {
        [Command { auction, user: Some(user), wish: Wish::Bid(amount), .. }] => {
            Some(LoneBid { auction: *auction, user, amount: *amount })
        }
        _ => None,
    }
}

/// Whatever the commands can touch, under lock.
struct Ground {
    locked: Locked,
    lots: BTreeMap<AuctionId, Lot>,
    sealed: SealedBids,
    ballots: Ballots,
    eligibility: eligibility::Answers,
}

impl Ground {
    /// Locks it; the host is asked later.
    async fn lock(
        uow: &UnitOfWork,
        ledger: &AuctionLedger,
        commands: &[Command],
        wait: LockWait,
    ) -> Result<Self, Error> {
        let ids: BTreeSet<_> = commands.iter().map(|command| command.auction).collect();
        let (lots, early) = match lone_bid(commands) {
            Some(bid) if Dialect::of(uow.get_database_backend()).locks_in_order() => {
                bid.lock(uow, &ledger.clock, wait).await?
            }
            _ => (store::lock_auctions(uow, &ids, wait).await?, None),
        };
        let mut sealed = SealedBids::load(uow, &lots, commands).await?;
        let (mut wallets, owners) = touched(&lots, commands);
        let ballots = Ballots::load(uow, &lots, commands).await?;
        wallets.extend(sealed.wallets());
        wallets.extend(ballots.wallets());
        let locked = match early.filter(|locked| locked.covers(&wallets, &owners)) {
            Some(locked) => locked,
            None => store::lock_wallets(uow, ledger, &wallets, &owners).await?,
        };
        for (lot, bidders) in sealed_bidders(&lots, commands, &locked) {
            sealed.load_own(uow, lot, &bidders).await?;
        }
        Ok(Self { locked, lots, sealed, ballots, eligibility: eligibility::Answers::new() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
