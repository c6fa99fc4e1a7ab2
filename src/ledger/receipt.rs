//! What is written down and told of a command that was accepted: its row, its outcome for the caller, its events.

mod voided;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub(super) use self::voided::VoidedLot;
use super::batch::Command;
use super::outcome::CommandRef;
use super::store::{Account, Lot};
use super::stored::{BidInFull, CancellationInFull, PurchaseInFull};
use super::{
    Auction, Bid, Cancellation, Change, Outbid, Purchase, Sale, Settlement, VoidedBid, Wallet,
};
use crate::entity::{act, bid, house};
use crate::event::{AuctionEvent, EventKind, SaleKind};
use crate::id::{AuctionId, OperationId, UserId, WalletId};
use crate::money::Amount;
use crate::rules::{self, AuctionState, Standing, Terms, Verdict};
use crate::secret::Secret;

/// What became of a command that was accepted. It is kept under the key of the request, so a new field needs a default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Bid(#[serde(with = "BidInFull")] Bid),
    Purchase(#[serde(with = "PurchaseInFull")] Purchase),
    Settlement(Settlement),
    Cancellation(#[serde(with = "CancellationInFull")] Cancellation),
    Wallet(Wallet),
    Opened(Auction),
    Change(Change),
    Voided(VoidedBid),
}

impl Outcome {
    /// The command, if it says which it was.
    pub(super) fn command(&self) -> Option<CommandRef> {
        match self {
            Self::Bid(bid) => Some(bid.command()),
            Self::Purchase(purchase) => Some(purchase.command()),
            Self::Settlement(settlement) => Some(settlement.command()),
            Self::Cancellation(cancellation) => Some(cancellation.command()),
            Self::Change(change) => Some(change.command()),
            Self::Voided(voided) => Some(voided.command()),
            Self::Wallet(_) | Self::Opened(_) => None,
        }
    }
}

/// A command that was accepted, and all that is known of it.
pub(super) struct Accepted<'a> {
    pub(super) command: &'a Command,
    pub(super) wish: rules::Command,
    /// The wallet of the user who gave the command.
    pub(super) actor: Option<WalletId>,
    pub(super) operation: OperationId,
    /// The auction before it.
    pub(super) lot: &'a Lot,
    pub(super) verdict: Verdict,
    pub(super) accounts: &'a BTreeMap<WalletId, Account>,
}

/// The row of a command in the history of its auction.
pub(super) enum Row {
    Bid(bid::Model),
    Act(act::Model),
}

impl Row {
    pub(super) fn seq(&self) -> i64 {
        match self {
            Self::Bid(bid) => bid.seq,
            Self::Act(act) => act.seq,
        }
    }
}

impl Accepted<'_> {
    pub(super) fn row(&self) -> Row {
        let standing = self.standing();
        let (auction_id, seq, operation) = (self.lot.id.get(), standing.seq, self.operation.get());
        let at = standing.last_at.get();
        if let Verdict::Bid { bidder, .. } = self.verdict {
            let maximum = self.maximum();
            return Row::Bid(bid::Model {
                auction_id,
                seq,
                operation,
                wallet_id: bidder.get(),
                amount: maximum.minor(),
                price: standing.price.unwrap_or(maximum).minor(),
                leader_wallet_id: standing.leader.map_or(bidder, |leader| leader.wallet).get(),
                ends_at: standing.ends_at.get(),
                at,
            });
        }
        Row::Act(act::Model {
            auction_id,
            seq,
            operation,
            kind: self.act(),
            wallet_id: self.actor.map(WalletId::get),
            amount: match self.wish {
                rules::Command::LowerReserve { reserve, .. } => Some(reserve.minor()),
                _ => self.verdict.sale().map(|(_, sale)| sale.price.minor()),
            },
            reason: self.command.reason.clone(),
            at,
            bid_seq: None,
            ends_at: match self.wish {
                rules::Command::Extend { .. } => Some(standing.ends_at.get()),
                _ => None,
            },
        })
    }

    /// What the house has earned by it.
    pub(super) fn house_share(&self) -> Option<house::Model> {
        let share = self.verdict.sale()?.1.house_share();
        (!share.is_zero()).then(|| house::Model {
            auction_id: self.lot.id.get(),
            currency: self.lot.terms.currency.code().to_owned(),
            exponent: self.lot.terms.currency.exponent().into(),
            amount: share.minor(),
            operation: self.operation.get(),
            at: self.standing().last_at.get(),
            collected_by: None,
        })
    }

    fn act(&self) -> act::Kind {
        match self.wish {
            rules::Command::Bid { .. } if self.is_sealed() => act::Kind::SealedBid,
            rules::Command::Bid { .. } | rules::Command::Take { .. } => act::Kind::Bought,
            rules::Command::Settle if self.awaits_seller() => act::Kind::AwaitingSeller,
            rules::Command::Settle => act::Kind::Settled,
            rules::Command::CloseEarly { .. } => act::Kind::ClosedEarly,
            rules::Command::AcceptBelowReserve { .. } => act::Kind::AcceptedBelowReserve,
            rules::Command::LowerReserve { .. } => act::Kind::ReserveLowered,
            rules::Command::Extend { .. } => act::Kind::Extended,
            rules::Command::Cancel { .. } => act::Kind::Cancelled,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        let standing = self.standing();
        let currency = self.lot.terms.currency;
        let (auction, seq, operation) = (self.lot.id, standing.seq, self.operation);
        let at = standing.last_at.datetime();
        match self.wish {
            rules::Command::Bid { .. } => Outcome::Bid(Bid {
                auction,
                seq,
                operation,
                user: self.actor(),
                maximum: Secret::new(currency.decimal(self.maximum())),
                price: if self.is_sealed() { self.start_price() } else { self.price() },
                currency,
                leads: standing.leader.map(|leader| leader.wallet) == self.actor,
                bought: self.verdict.sale().is_some(),
                outbid: self.outbid(),
                ends_at: standing.ends_at.datetime(),
                at,
            }),
            rules::Command::Take { .. } => Outcome::Purchase(Purchase {
                auction,
                seq,
                operation,
                buyer: self.actor(),
                seller: self.user(standing.seller),
                price: self.price(),
                premium: self
                    .verdict
                    .sale()
                    .map_or(Decimal::ZERO, |(_, sale)| currency.decimal(sale.premium)),
                currency,
                outbid: self.outbid(),
                at,
            }),
            rules::Command::Settle
            | rules::Command::CloseEarly { .. }
            | rules::Command::AcceptBelowReserve { .. } => {
                let sold = self.verdict.sale().map(|(buyer, sale)| {
                    Sale::of(self.user(buyer), self.user(standing.seller), currency, sale)
                });
                Outcome::Settlement(Settlement {
                    auction,
                    seq,
                    operation,
                    currency,
                    sold,
                    releasing: false,
                    awaiting_seller_until: self.awaits_seller().then(|| self.last_acceptance()),
                    at,
                    repeated: false,
                })
            }
            rules::Command::LowerReserve { .. } | rules::Command::Extend { .. } => {
                Outcome::Change(Change {
                    auction,
                    seq,
                    operation,
                    currency,
                    price: standing.price.map(|price| currency.decimal(price)),
                    ends_at: standing.ends_at.datetime(),
                    reserve_met: self.reserve_met(),
                    at,
                })
            }
            rules::Command::Cancel { .. } => Outcome::Cancellation(Cancellation {
                auction,
                seq,
                operation,
                currency,
                released: self.released(),
                at,
            }),
        }
    }

    /// Public events first, then those for one user.
    pub(super) fn events(&self) -> Vec<AuctionEvent> {
        let price = self.price();
        let outbid = [self.outbid().map(|outbid| outbid.user), self.outbid_at_once()];
        let outbid = outbid.into_iter().flatten().map(|user| EventKind::Outbid { user, price });
        let released = self.released().map(|outbid| EventKind::HoldReleased {
            user: outbid.user,
            amount: outbid.released.reveal(),
        });
        let kinds = std::iter::once(self.public_event()).chain(outbid).chain(released);
        numbered(self.lot, self.standing(), kinds)
    }

    fn public_event(&self) -> EventKind {
        let standing = self.standing();
        let currency = self.lot.terms.currency;
        match self.verdict {
            Verdict::Sealed { .. } => EventKind::SealedBid,
            Verdict::Bid { bidder, .. } if self.is_silent(bidder) => EventKind::Unchanged,
            Verdict::Bid { bidder, .. } => EventKind::BidPlaced {
                bidder: self.user(bidder),
                leader: self.user(standing.leader.map_or(bidder, |leader| leader.wallet)),
                price: self.price(),
                next_minimum: rules::next_minimum(&self.lot.terms, standing)
                    .map(|amount| currency.decimal(amount)),
                ends_at: standing.ends_at.datetime(),
                reserve_met: self.reserve_met(),
            },
            Verdict::Sold { buyer, sale, .. } => EventKind::Sold {
                buyer: self.user(buyer),
                seller: self.user(standing.seller),
                price: currency.decimal(sale.price),
                how: match self.act() {
                    act::Kind::Settled => SaleKind::Settled,
                    act::Kind::ClosedEarly => SaleKind::ClosedEarly,
                    act::Kind::AcceptedBelowReserve => SaleKind::AcceptedBelowReserve,
                    _ => SaleKind::Bought,
                },
            },
            Verdict::Unsold { .. } if self.act() == act::Kind::Cancelled => {
                EventKind::Cancelled { reason: self.command.reason.clone() }
            }
            Verdict::Unsold { .. } => EventKind::Unsold,
            // Voiding tells its own.
            Verdict::Voided { .. } => EventKind::Unchanged,
            Verdict::Changed { standing } => match self.act() {
                act::Kind::AwaitingSeller => {
                    EventKind::AwaitingSeller { until: self.last_acceptance() }
                }
                act::Kind::ReserveLowered => EventKind::ReserveLowered {
                    price: standing.price.map(|price| currency.decimal(price)),
                    reserve_met: self.reserve_met(),
                },
                _ => EventKind::Extended { ends_at: standing.ends_at.datetime() },
            },
        }
    }

    /// Whether a bid was a raise of the leader's own maximum that nobody sees.
    fn is_silent(&self, bidder: WalletId) -> bool {
        let (before, after) = (&self.lot.standing, self.standing());
        before.leader.is_some_and(|leader| leader.wallet == bidder) && before.price == after.price
    }

    /// Whoever bid and does not lead.
    fn outbid_at_once(&self) -> Option<UserId> {
        let Verdict::Bid { bidder, standing, .. } = self.verdict else {
            return None;
        };
        let leads = standing.leader.is_some_and(|leader| leader.wallet == bidder);
        (!leads).then(|| self.user(bidder))
    }

    fn is_sealed(&self) -> bool {
        matches!(self.verdict, Verdict::Sealed { .. })
    }

    fn start_price(&self) -> Decimal {
        self.lot.terms.currency.decimal(self.lot.terms.start_price())
    }

    fn awaits_seller(&self) -> bool {
        self.standing().state == AuctionState::AwaitingSeller
    }

    /// The first instant at which it is too late for the seller to accept a price below the reserve.
    fn last_acceptance(&self) -> DateTime<Utc> {
        self.standing().ends_at.plus(self.lot.terms.acceptance_window).datetime()
    }

    fn reserve_met(&self) -> Option<bool> {
        // Before the end of a sealed auction nobody knows.
        let is_hidden = self.lot.terms.is_sealed() && self.standing().leader.is_none();
        let reserve = self.standing().reserve.filter(|_| !is_hidden);
        reserve.map(|_| self.standing().meets_reserve())
    }

    fn standing(&self) -> &Standing {
        self.verdict.standing()
    }

    fn price(&self) -> Decimal {
        self.lot.terms.currency.decimal(self.standing().price.unwrap_or(Amount::ZERO))
    }

    /// What was offered.
    fn maximum(&self) -> Amount {
        match self.wish {
            rules::Command::Bid { maximum, .. } => maximum,
            _ => Amount::ZERO,
        }
    }

    /// Who got a hold back, and how much.
    fn released(&self) -> Option<Outbid> {
        let released = self.verdict.released()?;
        let amount = self.lot.terms.currency.decimal(released.amount);
        Some(Outbid { user: self.user(released.wallet), released: Secret::new(amount) })
    }

    /// Who lost the lead to somebody else, and what came back to them.
    fn outbid(&self) -> Option<Outbid> {
        let released = self.verdict.released()?;
        let by = match self.verdict {
            Verdict::Bid { bidder, .. } => bidder,
            Verdict::Sold { buyer, .. } => buyer,
            Verdict::Sealed { .. }
            | Verdict::Unsold { .. }
            | Verdict::Changed { .. }
            | Verdict::Voided { .. } => return None,
        };
        (released.wallet != by).then(|| self.released()).flatten()
    }

    fn actor(&self) -> UserId {
        self.command.user.clone().expect("a bid and a purchase are a user's")
    }

    fn user(&self, wallet: WalletId) -> UserId {
        owner(self.accounts, wallet)
    }
}

fn owner(accounts: &BTreeMap<WalletId, Account>, wallet: WalletId) -> UserId {
    let account = accounts.get(&wallet).expect("every wallet that a verdict names was locked");
    account.owner.clone()
}

/// What is told of an opening.
pub(super) fn opened(title: &str, seller: &UserId, terms: &Terms) -> EventKind {
    EventKind::Opened {
        title: title.to_owned(),
        seller: seller.clone(),
        start_price: terms.currency.decimal(terms.start_price()),
        buy_now_price: terms.buy_now_price().map(|price| terms.currency.decimal(price)),
        starts_at: terms.starts_at.datetime(),
        ends_at: terms.ends_at.datetime(),
    }
}

/// An act of the house that no command of the rules is.
pub(super) fn act_of_house(
    kind: act::Kind,
    auction: AuctionId,
    standing: &Standing,
    operation: OperationId,
) -> act::Model {
    act::Model {
        auction_id: auction.get(),
        seq: standing.seq,
        operation: operation.get(),
        kind,
        wallet_id: None,
        amount: None,
        reason: None,
        at: standing.last_at.get(),
        bid_seq: None,
        ends_at: None,
    }
}

/// Gives the events of one command its number, and their own.
pub(super) fn numbered(
    lot: &Lot,
    standing: &Standing,
    kinds: impl Iterator<Item = EventKind>,
) -> Vec<AuctionEvent> {
    let events = (0_u32..).zip(kinds).map(|(index, kind)| AuctionEvent {
        version: AuctionEvent::VERSION,
        auction: lot.id,
        seq: standing.seq,
        index,
        at: standing.last_at.datetime(),
        currency: lot.terms.currency,
        kind,
    });
    events.collect()
}
