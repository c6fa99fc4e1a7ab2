//! The way of a bid and of a purchase: lock, judge in memory, write once.
//!
//! The path takes a list of commands and folds them in their order; one bid is a list of one. Each command gets its own
//! outcome, exactly as if they had run one after the other.
//!
//! | step | statement |
//! |---|---|
//! | 1. lock the auctions, ascending | one |
//! | 2. lock every wallet the commands can touch, ascending, and read the clock | one |
//! | 3. judge and fold, in memory: all refusals are given here | none |
//! | 4. write each touched row once | one on PostgreSQL, one a table elsewhere |
//!
//! Whoever is refused has changed nothing, in memory either. So nothing is written for a refusal, and the unit of work
//! around it goes on.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::receipt::{Accepted, Row};
use super::save::{self, Changes};
use super::store::{self, Account, Change, Locked, Lot};
use super::{AuctionLedger, Bid, Cancellation, Purchase, Settlement};
use crate::entity::entry;
use crate::error::{self, Error};
use crate::event::AuctionEvent;
use crate::id::{AuctionId, OperationId, UserId, WalletId};
use crate::money::BALANCE_MAX;
use crate::rules::{self, Actor, Funds, MoveKind, Rejection, Verdict};
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
}

impl Command {
    pub(super) fn new(auction: AuctionId, user: Option<UserId>, wish: Wish) -> Self {
        Self { auction, user, wish, memo: None, reason: None }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some(user) = &self.user {
            user.validate()?;
        }
        error::memo(self.memo.as_deref())?;
        error::reason(self.reason.as_deref())
    }

    /// Carries out this command alone: a list of one.
    pub(super) async fn execute(
        &self,
        uow: &UnitOfWork,
        ledger: &AuctionLedger,
    ) -> Result<Outcome, Error> {
        let mut outcomes = execute(uow, ledger, std::slice::from_ref(self)).await?;
        outcomes.pop().expect("one command has one outcome")
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Bid(Decimal),
    Buy,
    Settle,
    CloseEarly,
    Cancel,
}

/// What became of a command that was accepted.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Bid(Bid),
    Purchase(Purchase),
    Settlement(Settlement),
    Cancellation(Cancellation),
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
) -> Result<Vec<Result<Outcome, Error>>, Error> {
    let ids = commands.iter().map(|command| command.auction).collect();
    let lots = store::lock_auctions(uow, &ids).await?;
    let (wallets, owners) = touched(&lots, commands);
    let locked = store::lock_wallets(uow, &ledger.clock, &wallets, &owners).await?;
    let mut fold = Fold {
        locked,
        lots,
        changed: BTreeSet::new(),
        changes: Changes::default(),
        events: Vec::new(),
    };
    let outcomes = commands.iter().map(|command| fold.judge(command)).collect();
    let (changes, events) = fold.finish();
    if !changes.lots.is_empty() {
        save::save(uow, &changes).await?;
    }
    for (auction, events) in events {
        ledger.dispatch.stage(uow, auction, events);
    }
    Ok(outcomes)
}

/// Every wallet the commands can touch: the bidders', the leaders', and the sellers' where something may be sold.
fn touched(
    lots: &BTreeMap<AuctionId, Lot>,
    commands: &[Command],
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
            Wish::Buy => offer.is_some(),
            // A command before it in the list may be the first bid.
            Wish::Settle | Wish::CloseEarly => true,
            Wish::Cancel => false,
        };
        if sells {
            wallets.insert(standing.seller);
        }
        owners.extend(command.user.clone().map(|user| (user, lot.terms.currency)));
    }
    (wallets, owners)
}

struct Fold {
    locked: Locked,
    lots: BTreeMap<AuctionId, Lot>,
    /// The wallets that have changed.
    changed: BTreeSet<WalletId>,
    changes: Changes,
    /// The events of each accepted command, in their order.
    events: Vec<(AuctionId, Vec<AuctionEvent>)>,
}

impl Fold {
    fn judge(&mut self, command: &Command) -> Result<Outcome, Error> {
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
        let wish = match command.wish {
            Wish::Bid(amount) => {
                let maximum = currency
                    .amount(amount)
                    .map_err(|error| Error::InvalidAmount { what: "amount", error })?;
                rules::Command::Bid { bidder: wallet, maximum }
            }
            Wish::Buy => rules::Command::Buy { buyer: wallet },
            Wish::Settle => rules::Command::Settle,
            Wish::CloseEarly => rules::Command::CloseEarly { by },
            Wish::Cancel => rules::Command::Cancel { by },
        };
        let now = self.locked.now_after(lot.standing.last_at);
        let verdict = rules::decide(&lot.terms, &lot.standing, &wish, funds, now)?;
        self.rehearse(&lot, &verdict)?;
        // From here the command must succeed: every refusal has been given above.
        let operation = OperationId::new();
        self.move_money(command, operation, &verdict, now);
        let accepted = Accepted {
            command,
            wish,
            actor: wallet,
            operation,
            lot: &lot,
            verdict,
            accounts: &self.locked.accounts,
        };
        match accepted.row() {
            Row::Bid(bid) => self.changes.bids.push(bid),
            Row::Act(act) => self.changes.acts.push(act),
        }
        self.events.push((lot.id, accepted.events()));
        let outcome = accepted.outcome();
        self.lots.insert(lot.id, Lot { standing: *verdict.standing(), ..lot });
        Ok(outcome)
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

    fn finish(mut self) -> (Changes, Vec<(AuctionId, Vec<AuctionEvent>)>) {
        let changed = self.changed.iter().filter_map(|wallet| self.locked.accounts.remove(wallet));
        self.changes.accounts = changed.collect();
        let accepted: BTreeSet<_> = self.events.iter().map(|(auction, _)| *auction).collect();
        self.changes.lots =
            accepted.iter().filter_map(|auction| self.lots.remove(auction)).collect();
        (self.changes, self.events)
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
