//! What is written down and told of a bid that was made void, and of those that were skipped with it.

use std::collections::BTreeMap;

use super::{act_of_house, numbered, owner};
use crate::entity::act;
use crate::event::{AuctionEvent, EventKind};
use crate::id::{OperationId, WalletId};
use crate::ledger::VoidedBid;
use crate::ledger::batch::Command;
use crate::ledger::store::{Account, Lot};
use crate::money::Amount;
use crate::rules::{Standing, Verdict};

/// A bid that is void, and all that is known of it.
pub(in crate::ledger) struct VoidedLot<'a> {
    pub(in crate::ledger) command: &'a Command,
    /// The auction before it.
    pub(in crate::ledger) lot: &'a Lot,
    pub(in crate::ledger) bid: i64,
    pub(in crate::ledger) bidder: WalletId,
    /// The wallet of the seller, where it was the seller's wish.
    pub(in crate::ledger) actor: Option<WalletId>,
    pub(in crate::ledger) verdict: Verdict,
    /// The bids that were skipped, and whose they are.
    pub(in crate::ledger) skipped: &'a [(i64, WalletId)],
}

impl VoidedLot<'_> {
    /// Each bid that is void is an act of its own; and where the auction stands after the last one.
    pub(in crate::ledger) fn acts(&self) -> (Vec<act::Model>, Standing) {
        let mut standing = *self.verdict.standing();
        let operation = self.command.once.operation;
        let voided = act_of_house(act::Kind::BidVoided, self.lot.id, &standing, operation);
        let (wallet_id, reason) = (self.actor.map(WalletId::get), self.command.reason.clone());
        let mut acts = vec![act::Model { wallet_id, bid_seq: Some(self.bid), reason, ..voided }];
        for (bid, _) in self.skipped {
            standing = standing.moved(standing.state, standing.last_at);
            let operation = OperationId::new();
            let skipped = act_of_house(act::Kind::BidSkipped, self.lot.id, &standing, operation);
            acts.push(act::Model { wallet_id, bid_seq: Some(*bid), ..skipped });
        }
        (acts, standing)
    }

    pub(in crate::ledger) fn outcome(&self, accounts: &BTreeMap<WalletId, Account>) -> VoidedBid {
        let standing = self.verdict.standing();
        let currency = self.lot.terms.currency;
        VoidedBid {
            auction: self.lot.id,
            seq: standing.seq,
            operation: self.command.once.operation,
            currency,
            bid: self.bid,
            bidder: owner(accounts, self.bidder),
            leader: standing.leader.map(|leader| owner(accounts, leader.wallet)),
            price: standing.price.map(|price| currency.decimal(price)),
            skipped: self.skipped.iter().map(|(bid, _)| *bid).collect(),
            at: standing.last_at.datetime(),
        }
    }

    /// Those of each act: public ones first, then those for one user.
    pub(in crate::ledger) fn events(
        &self,
        accounts: &BTreeMap<WalletId, Account>,
    ) -> Vec<AuctionEvent> {
        let mut standing = *self.verdict.standing();
        let decimal = |amount: Amount| self.lot.terms.currency.decimal(amount);
        let lost = |wallet, bid, cannot_pay| EventKind::BidLost {
            user: owner(accounts, wallet),
            bid,
            cannot_pay,
        };
        let voided = EventKind::BidVoided {
            bid: self.bid,
            leader: standing.leader.map(|leader| owner(accounts, leader.wallet)),
            price: standing.price.map(decimal),
            reason: self.command.reason.clone(),
        };
        let released = self.verdict.released().map(|released| EventKind::HoldReleased {
            user: owner(accounts, released.wallet),
            amount: decimal(released.amount),
        });
        let held = match self.verdict {
            Verdict::Voided { held: Some((wallet, _)), .. } => {
                Some(EventKind::HeldAgain { user: owner(accounts, wallet) })
            }
            _ => None,
        };
        let kinds = [voided, lost(self.bidder, self.bid, false)].into_iter();
        let mut events = numbered(self.lot, &standing, kinds.chain(released).chain(held));
        for (bid, wallet) in self.skipped {
            standing = standing.moved(standing.state, standing.last_at);
            let kinds = [EventKind::BidSkipped { bid: *bid }, lost(*wallet, *bid, true)];
            events.extend(numbered(self.lot, &standing, kinds.into_iter()));
        }
        events
    }
}
