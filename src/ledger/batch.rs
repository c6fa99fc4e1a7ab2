//! The way of a bid and of a purchase: lock, judge in memory, write once.
//!
//! The path takes a list of commands and folds them in their order; one bid is a list of one. Each command gets its own
//! outcome, exactly as if they had run one after the other. Bids and purchases, of any number of auctions, can be together in
//! a list; every other command is a list of its own.
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

mod fold;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use self::fold::{Fold, Folded};
use super::AuctionLedger;
use super::canonical::Canonical;
use super::group::Handover;
use super::once::{Keys, Once, Slot};
use super::outcome::Done;
use super::receipt::Outcome;
use super::save;
use super::sealed::SealedBids;
use super::store::{self, Locked, Lot};
use super::void_bid::Ballots;
use crate::error::{self, Error};
use crate::id::{AuctionId, UserId, WalletId};
use crate::rules::{self, Eligibility};
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
        handover: &Handover,
    ) -> Result<Done<Outcome>, Error> {
        let list = std::slice::from_ref(self);
        let mut outcomes = execute(uow, ledger, list, LockWait::Wait, handover).await?;
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

/// Carries commands out, in their order, and tells for each what became of it. An auction that `wait` leaves out is not known
/// to any of them. Once they are judged, and something is to be written, `handover` is told.
///
/// # Errors
///
/// The database's; a command's own refusal is in the list.
pub(super) async fn execute(
    uow: &UnitOfWork,
    ledger: &AuctionLedger,
    commands: &[Command],
    wait: LockWait,
    handover: &Handover,
) -> Result<Vec<Result<Done<Outcome>, Error>>, Error> {
    let slots: Vec<_> = commands.iter().map(Command::slot).collect();
    let keys = Keys::claim(uow, &ledger.clock, slots.iter().flatten()).await?;
    // What was carried out before touches nothing.
    let with_slots = commands.iter().zip(&slots);
    let open = with_slots.filter(|(_, slot)| !keys.is_answered(slot.as_ref()));
    let open: Vec<&Command> = open.map(|(command, _)| command).collect();
    let ground = match Ground::lock(uow, ledger, &open, wait).await {
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
    let with_slots = commands.iter().zip(&slots);
    let mut outcomes: Vec<_> =
        with_slots.map(|(command, slot)| fold.carry_out(command, slot.as_ref())).collect();
    let Folded { changes, events, keys } = fold.finish();
    // Before the next list has keys that it might meet.
    keys.free_unused(uow).await?;
    if !changes.lots.is_empty() {
        handover.hand_over();
        save::save(uow, &changes).await?;
    }
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
        if may_sell(command.wish, lot) {
            wallets.insert(standing.seller);
        }
        owners.extend(command.user.clone().map(|user| (user, lot.terms.currency)));
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
        wait: LockWait,
    ) -> Result<Self, Error> {
        let ids: BTreeSet<_> = commands.iter().map(|command| command.auction).collect();
        let (lots, locked, sealed, ballots) = if ids.is_empty() {
            (BTreeMap::new(), Locked::nothing(), SealedBids::default(), Ballots::default())
        } else {
            let lots = store::lock_auctions(uow, &ids, wait).await?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
