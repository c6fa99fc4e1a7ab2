//! What is written down and told of a command that was accepted: its row, its outcome for the caller, its events.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::batch::Command;
use super::store::{Account, Lot};
use super::{Auction, Bid, Cancellation, Outbid, Purchase, Sale, Settlement, Wallet};
use crate::entity::{act, bid};
use crate::event::{AuctionEvent, EventKind, SaleKind};
use crate::id::{OperationId, UserId, WalletId};
use crate::money::Amount;
use crate::rules::{self, Standing, Verdict};

/// What became of a command that was accepted. It is kept under the key of the request, so a new field needs a default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Bid(Bid),
    Purchase(Purchase),
    Settlement(Settlement),
    Cancellation(Cancellation),
    Wallet(Wallet),
    Opened(Auction),
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
            amount: self.sale().map(|(_, price)| price.minor()),
            reason: self.command.reason.clone(),
            at,
        })
    }

    fn act(&self) -> act::Kind {
        match self.wish {
            rules::Command::Bid { .. } | rules::Command::Buy { .. } => act::Kind::Bought,
            rules::Command::Settle => act::Kind::Settled,
            rules::Command::CloseEarly { .. } => act::Kind::ClosedEarly,
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
                amount: currency.decimal(self.maximum()),
                price: self.price(),
                currency,
                bought: self.sale().is_some(),
                outbid: self.outbid(),
                ends_at: standing.ends_at.datetime(),
                at,
            }),
            rules::Command::Buy { .. } => Outcome::Purchase(Purchase {
                auction,
                seq,
                operation,
                buyer: self.actor(),
                seller: self.user(standing.seller),
                price: self.price(),
                currency,
                outbid: self.outbid(),
                at,
            }),
            rules::Command::Settle | rules::Command::CloseEarly { .. } => {
                let sold = self.sale().map(|(buyer, price)| Sale {
                    winner: self.user(buyer),
                    seller: self.user(standing.seller),
                    price: currency.decimal(price),
                });
                Outcome::Settlement(Settlement {
                    auction,
                    seq,
                    operation,
                    currency,
                    sold,
                    at,
                    repeated: false,
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
        let standing = self.standing();
        let terms = &self.lot.terms;
        let public = match self.verdict {
            Verdict::Bid { bidder, .. } => EventKind::BidPlaced {
                bidder: self.user(bidder),
                price: self.price(),
                next_minimum: rules::next_minimum(terms, standing)
                    .map(|amount| terms.currency.decimal(amount)),
                ends_at: standing.ends_at.datetime(),
            },
            Verdict::Sold { buyer, price, .. } => EventKind::Sold {
                buyer: self.user(buyer),
                seller: self.user(standing.seller),
                price: terms.currency.decimal(price),
                how: match self.act() {
                    act::Kind::Settled => SaleKind::Settled,
                    act::Kind::ClosedEarly => SaleKind::ClosedEarly,
                    _ => SaleKind::Bought,
                },
            },
            Verdict::Unsold { .. } if self.act() == act::Kind::Cancelled => {
                EventKind::Cancelled { reason: self.command.reason.clone() }
            }
            Verdict::Unsold { .. } => EventKind::Unsold,
        };
        let outbid = self
            .outbid()
            .map(|outbid| EventKind::Outbid { user: outbid.user, price: self.price() });
        let released = self
            .released()
            .map(|outbid| EventKind::HoldReleased { user: outbid.user, amount: outbid.released });
        let kinds = [Some(public), outbid, released].into_iter().flatten();
        numbered(self.lot, standing, kinds)
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

    fn sale(&self) -> Option<(WalletId, Amount)> {
        match self.verdict {
            Verdict::Sold { buyer, price, .. } => Some((buyer, price)),
            _ => None,
        }
    }

    /// Who got a hold back, and how much.
    fn released(&self) -> Option<Outbid> {
        let released = self.verdict.released()?;
        let amount = self.lot.terms.currency.decimal(released.amount);
        Some(Outbid { user: self.user(released.wallet), released: amount })
    }

    /// Who lost the lead to somebody else, and what came back to them.
    fn outbid(&self) -> Option<Outbid> {
        let released = self.verdict.released()?;
        let by = match self.verdict {
            Verdict::Bid { bidder, .. } => bidder,
            Verdict::Sold { buyer, .. } => buyer,
            Verdict::Unsold { .. } => return None,
        };
        (released.wallet != by).then(|| self.released()).flatten()
    }

    fn actor(&self) -> UserId {
        self.command.user.clone().expect("a bid and a purchase are a user's")
    }

    fn user(&self, wallet: WalletId) -> UserId {
        let account =
            self.accounts.get(&wallet).expect("every wallet that a verdict names was locked");
        account.owner.clone()
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
