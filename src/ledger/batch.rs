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

use super::store::{self, Account, Change, Changes, Locked, Lot};
use super::{AuctionLedger, Bid, Outbid, Purchase};
use crate::clock::Clock;
use crate::entity::{act, bid, entry};
use crate::error::{self, Error};
use crate::id::{AuctionId, OperationId, UserId, WalletId};
use crate::money::{Amount, BALANCE_MAX};
use crate::rules::{self, Funds, MoveKind, Rejection, Verdict};
use crate::unit_of_work::UnitOfWork;

/// What somebody wants of an auction.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) auction: AuctionId,
    pub(super) user: UserId,
    pub(super) wish: Wish,
    pub(super) memo: Option<String>,
}

impl Command {
    pub(super) fn new(auction: AuctionId, user: UserId, wish: Wish) -> Self {
        Self {
            auction,
            user,
            wish,
            memo: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.user.validate()?;
        error::memo(self.memo.as_deref())
    }

    /// Carries out this command alone: a list of one.
    pub(super) async fn execute(
        &self,
        uow: &UnitOfWork,
        ledger: &AuctionLedger,
    ) -> Result<Outcome, Error> {
        let mut outcomes = execute(uow, &ledger.clock, std::slice::from_ref(self)).await?;
        outcomes.pop().expect("one command has one outcome")
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Bid(Decimal),
    Buy,
}

/// What became of a command that was accepted.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Bid(Bid),
    Purchase(Purchase),
}

/// Carries commands out, in their order, and tells for each what became of it.
///
/// # Errors
///
/// The database's; a command's own refusal is in the list.
pub(super) async fn execute(
    uow: &UnitOfWork,
    clock: &Clock,
    commands: &[Command],
) -> Result<Vec<Result<Outcome, Error>>, Error> {
    let ids = commands.iter().map(|command| command.auction).collect();
    let lots = store::lock_auctions(uow, &ids).await?;
    let (wallets, owners) = touched(&lots, commands);
    let locked = store::lock_wallets(uow, clock, &wallets, &owners).await?;
    let mut fold = Fold {
        locked,
        lots,
        changed: BTreeSet::new(),
        changes: Changes::default(),
    };
    let outcomes = commands.iter().map(|command| fold.judge(command)).collect();
    let changes = fold.finish();
    if !changes.lots.is_empty() {
        store::save(uow, &changes).await?;
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
        };
        if sells {
            wallets.insert(standing.seller);
        }
        owners.insert((command.user.clone(), lot.terms.currency));
    }
    (wallets, owners)
}

struct Fold {
    locked: Locked,
    lots: BTreeMap<AuctionId, Lot>,
    /// The wallets that have changed.
    changed: BTreeSet<WalletId>,
    changes: Changes,
}

impl Fold {
    fn judge(&mut self, command: &Command) -> Result<Outcome, Error> {
        let unknown = Error::UnknownAuction {
            auction: command.auction,
        };
        let lot = self.lots.get(&command.auction).ok_or(unknown)?.clone();
        let currency = lot.terms.currency;
        let wallet = self.locked.of(&(command.user.clone(), currency))?;
        let available = wallet
            .and_then(|wallet| self.locked.accounts.get(&wallet))
            .map(|account| account.available);
        let funds = available.map_or(Funds::NONE, |available| Funds { available });
        // The database's clock may step back; an auction's never does.
        let now = self.locked.now.max(lot.standing.last_at);
        let wish = match command.wish {
            Wish::Bid(amount) => {
                let maximum = currency
                    .amount(amount)
                    .map_err(|error| Error::InvalidAmount {
                        what: "amount",
                        error,
                    })?;
                rules::Command::Bid {
                    bidder: wallet,
                    maximum,
                }
            }
            Wish::Buy => rules::Command::Buy { buyer: wallet },
        };
        let verdict = rules::decide(&lot.terms, &lot.standing, &wish, funds, now)?;
        self.require_room(&lot, &verdict)?;
        // From here the command must succeed: every refusal has been given above.
        let operation = OperationId::new();
        self.move_money(command, operation, &verdict, now);
        self.record(command, operation, &lot, &verdict, wish)
    }

    /// A seller's wallet must be able to hold the price.
    fn require_room(&self, lot: &Lot, verdict: &Verdict) -> Result<(), Rejection> {
        let full = verdict
            .moves()
            .filter(|one| one.kind == MoveKind::Proceeds)
            .any(|one| {
                let account = self.locked.accounts.get(&one.wallet);
                let total = account.and_then(|account| account.available.checked_add(account.held));
                total
                    .and_then(|total| total.checked_add(one.available_delta))
                    .is_none_or(|total| total > BALANCE_MAX)
            });
        if full {
            let maximum = lot.terms.currency.decimal_of_minor(BALANCE_MAX);
            return Err(Rejection::BalanceTooLarge { maximum });
        }
        Ok(())
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
                memo: command
                    .memo
                    .as_deref()
                    .filter(|_| one.kind != MoveKind::Release),
                at: now,
            };
            let entry = store::enter(account, &change);
            self.changed.insert(one.wallet);
            self.changes.entries.push(entry);
        }
    }

    fn account(&mut self, wallet: WalletId) -> &mut Account {
        self.locked
            .accounts
            .get_mut(&wallet)
            .expect("every wallet that a verdict names was locked")
    }

    /// Writes down the bid or the purchase, and tells the caller.
    fn record(
        &mut self,
        command: &Command,
        operation: OperationId,
        lot: &Lot,
        verdict: &Verdict,
        wish: rules::Command,
    ) -> Result<Outcome, Error> {
        let standing = *verdict.standing();
        let currency = lot.terms.currency;
        let user = command.user.clone();
        let outcome = match *verdict {
            Verdict::Bid { bidder, .. } => {
                let maximum = maximum(wish, standing.price);
                self.changes
                    .bids
                    .push(bid_row(operation, lot, bidder, maximum, &standing));
                Outcome::Bid(Bid {
                    auction: lot.id,
                    seq: standing.seq,
                    operation,
                    user,
                    amount: currency.decimal(maximum),
                    price: currency.decimal(standing.price.unwrap_or(maximum)),
                    currency,
                    bought: false,
                    outbid: self.outbid(lot, verdict, bidder),
                    ends_at: standing.ends_at.datetime(),
                    at: standing.last_at.datetime(),
                })
            }
            Verdict::Sold { buyer, price, .. } => {
                self.changes.acts.push(act::Model {
                    auction_id: lot.id.get(),
                    seq: standing.seq,
                    operation: operation.get(),
                    kind: act::Kind::Bought,
                    wallet_id: Some(buyer.get()),
                    amount: Some(price.minor()),
                    reason: None,
                    at: standing.last_at.get(),
                });
                let seller = self.account(standing.seller).owner.clone();
                let outbid = self.outbid(lot, verdict, buyer);
                let (amount, price) = (
                    currency.decimal(maximum(wish, Some(price))),
                    currency.decimal(price),
                );
                let (auction, seq, at) = (lot.id, standing.seq, standing.last_at.datetime());
                match wish {
                    rules::Command::Buy { .. } => Outcome::Purchase(Purchase {
                        auction,
                        seq,
                        operation,
                        buyer: user,
                        seller,
                        price,
                        currency,
                        outbid,
                        at,
                    }),
                    rules::Command::Bid { .. } => Outcome::Bid(Bid {
                        auction,
                        seq,
                        operation,
                        user,
                        amount,
                        price,
                        currency,
                        bought: true,
                        outbid,
                        ends_at: standing.ends_at.datetime(),
                        at,
                    }),
                }
            }
        };
        let next = Lot {
            standing,
            ..lot.clone()
        };
        self.lots.insert(lot.id, next.clone());
        self.changes.lots.retain(|changed| changed.id != lot.id);
        self.changes.lots.push(next);
        Ok(outcome)
    }

    /// Who lost the lead, and what came back to them.
    fn outbid(&mut self, lot: &Lot, verdict: &Verdict, by: WalletId) -> Option<Outbid> {
        let released = verdict
            .released()
            .filter(|released| released.wallet != by)?;
        let user = self.account(released.wallet).owner.clone();
        Some(Outbid {
            user,
            released: lot.terms.currency.decimal(released.amount),
        })
    }

    fn finish(mut self) -> Changes {
        let changed = self
            .changed
            .iter()
            .filter_map(|wallet| self.locked.accounts.remove(wallet));
        self.changes.accounts = changed.collect();
        self.changes
    }
}

/// What was offered: the maximum of a bid; a purchase offers the price.
fn maximum(wish: rules::Command, price: Option<Amount>) -> Amount {
    match wish {
        rules::Command::Bid { maximum, .. } => maximum,
        rules::Command::Buy { .. } => price.unwrap_or(Amount::ZERO),
    }
}

fn bid_row(
    operation: OperationId,
    lot: &Lot,
    bidder: WalletId,
    maximum: Amount,
    standing: &rules::Standing,
) -> bid::Model {
    bid::Model {
        auction_id: lot.id.get(),
        seq: standing.seq,
        operation: operation.get(),
        wallet_id: bidder.get(),
        amount: maximum.minor(),
        price: standing.price.map_or(maximum.minor(), Amount::minor),
        leader_wallet_id: standing.leader.map_or(bidder, |leader| leader.wallet).get(),
        ends_at: standing.ends_at.get(),
        at: standing.last_at.get(),
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
