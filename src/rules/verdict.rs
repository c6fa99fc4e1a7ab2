//! What an accepted command makes of the auction and of the money, as data: the ledger writes it.

use super::{Standing, Terms};
use crate::id::WalletId;
use crate::money::Amount;

/// Money of a hold that its owner gets back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Released {
    pub(crate) wallet: WalletId,
    pub(crate) amount: Amount,
}

/// How a sale is divided: hammer price and premium are what the buyer pays, and what seller and house get, to the last
/// unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sale {
    /// The hammer price.
    pub(crate) price: Amount,
    /// What the buyer pays to the house on top.
    pub(crate) premium: Amount,
    /// What the house keeps of the price.
    pub(crate) fee: Amount,
}

impl Sale {
    /// `None` if the price and its premium are more than an amount can be.
    pub(crate) fn of(terms: &Terms, price: Amount) -> Option<Self> {
        let (premium, fee) = (terms.premium.of(price), terms.fee_of(price));
        price.checked_add(premium).map(|_| Self { price, premium, fee })
    }

    /// What the buyer pays.
    pub(crate) fn total(&self) -> Amount {
        self.price.checked_add(self.premium).expect("a sale is made of what can be paid")
    }

    /// What the seller gets.
    pub(crate) fn proceeds(&self) -> Amount {
        self.price.checked_sub(self.fee).expect("a fee is at most the price")
    }

    /// What the house gets.
    pub(crate) fn house_share(&self) -> Amount {
        let share = self.total().checked_sub(self.proceeds());
        share.expect("the seller gets at most what the buyer pays")
    }
}

/// What an accepted command makes of the auction and of the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The bid counts. Money is promised if the bidder leads by it, and nobody has paid.
    Bid {
        bidder: WalletId,
        /// What the bidder's wallet holds more than before: for the own raise, the difference only; for a bid that does not
        /// lead, nothing.
        hold: Amount,
        /// The hold of the leader who was outbid.
        released: Option<Released>,
        standing: Standing,
    },
    /// The sealed bid counts.
    Sealed {
        bidder: WalletId,
        /// What the bidder's wallet holds more than before: for the own raise, the difference only.
        hold: Amount,
        standing: Standing,
    },
    /// The buyer has bought: taken it, bid as much as the buy-now price, or won.
    Sold {
        buyer: WalletId,
        sale: Sale,
        /// The part of the payment that the buyer's own hold pays.
        from_hold: Amount,
        /// The rest of it.
        from_available: Amount,
        /// The hold of the leader, or what is left of it if the leader bought.
        released: Option<Released>,
        standing: Standing,
    },
    /// It is over and nobody has bought: unsold or called off.
    Unsold {
        /// The hold of the leader.
        released: Option<Released>,
        standing: Standing,
    },
    /// The auction has changed, and no money has moved.
    Changed { standing: Standing },
    /// A bid is void, and the auction was recounted.
    Voided {
        /// The hold of whoever led, or what is left of it.
        released: Option<Released>,
        /// Whose wallet holds again, and how much.
        held: Option<(WalletId, Amount)>,
        standing: Standing,
    },
}

/// Why a wallet changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MoveKind {
    /// A promise is given back.
    Release,
    /// A promise is made.
    Hold,
    /// The price is paid, out of the own hold first.
    Capture,
    /// The price is received.
    Proceeds,
}

/// One change of one wallet, in minor units: what becomes one entry of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) wallet: WalletId,
    pub(crate) kind: MoveKind,
    pub(crate) available_delta: i64,
    pub(crate) held_delta: i64,
}

impl Move {
    const fn new(wallet: WalletId, kind: MoveKind, available_delta: i64, held_delta: i64) -> Self {
        Self { wallet, kind, available_delta, held_delta }
    }
}

impl Verdict {
    /// Where the auction stands now.
    pub(crate) const fn standing(&self) -> &Standing {
        match self {
            Self::Bid { standing, .. }
            | Self::Sealed { standing, .. }
            | Self::Sold { standing, .. }
            | Self::Unsold { standing, .. }
            | Self::Voided { standing, .. }
            | Self::Changed { standing } => standing,
        }
    }

    /// The hold, or the rest of one, that was given back.
    pub(crate) const fn released(&self) -> Option<Released> {
        match self {
            Self::Bid { released, .. }
            | Self::Sold { released, .. }
            | Self::Unsold { released, .. }
            | Self::Voided { released, .. } => *released,
            Self::Sealed { .. } | Self::Changed { .. } => None,
        }
    }

    /// The sale, if it was one.
    pub(crate) const fn sale(&self) -> Option<(WalletId, Sale)> {
        match *self {
            Self::Sold { buyer, sale, .. } => Some((buyer, sale)),
            _ => None,
        }
    }

    /// The changes of the wallets, in the order of their entries: what is released, what is held or
    /// paid, what the seller receives. One wallet occurs twice where a leader buys for less than
    /// the own hold. What the house gets is in no wallet yet.
    pub(crate) fn moves(&self) -> impl Iterator<Item = Move> + use<> {
        let release = self.released().map(|Released { wallet, amount }| {
            Move::new(wallet, MoveKind::Release, amount.gain(), amount.loss())
        });
        let (own, proceeds) = match *self {
            Self::Bid { bidder, hold, .. } | Self::Sealed { bidder, hold, .. } => {
                let own = Move::new(bidder, MoveKind::Hold, hold.loss(), hold.gain());
                (Some(own), None)
            }
            Self::Sold { buyer, sale, from_hold, from_available, standing, .. } => {
                let (available, held) = (from_available.loss(), from_hold.loss());
                let gain = sale.proceeds().gain();
                let proceeds = Move::new(standing.seller, MoveKind::Proceeds, gain, 0);
                let own = Move::new(buyer, MoveKind::Capture, available, held);
                (Some(own), Some(proceeds))
            }
            Self::Voided { held, .. } => {
                let own = held.map(|(wallet, hold)| {
                    Move::new(wallet, MoveKind::Hold, hold.loss(), hold.gain())
                });
                (own, None)
            }
            Self::Unsold { .. } | Self::Changed { .. } => (None, None),
        };
        let moves = [release, own, proceeds].into_iter().flatten();
        moves.filter(|one| (one.available_delta, one.held_delta) != (0, 0))
    }

    /// The laws that every verdict obeys.
    pub(super) fn assert_laws(&self, before: &Standing) {
        let after = self.standing();
        let maximum = after.leader.map(|leader| leader.maximum);
        debug_assert_eq!(after.seq, before.next_seq(), "an accepted command takes one number");
        let voided = matches!(self, Self::Voided { .. });
        debug_assert!(before.price <= after.price || voided, "the price never falls");
        debug_assert!(after.price <= maximum, "the price never exceeds the leader's maximum");
        debug_assert!(before.ends_at <= after.ends_at, "the end never comes nearer");
        let sum = |delta: fn(&Move) -> i64| self.moves().map(|one| i128::from(delta(&one))).sum();
        let held = |standing: &Standing| standing.hold().map_or(0, |(_, amount)| amount.minor());
        let (available_delta, held_delta): (i128, i128) =
            (sum(|one| one.available_delta), sum(|one| one.held_delta));
        let house = self.sale().map_or(0, |(_, sale)| i128::from(sale.house_share().minor()));
        debug_assert_eq!(
            available_delta.checked_add(held_delta).and_then(|sum| sum.checked_add(house)),
            Some(0),
            "money is moved, never made"
        );
        // The holds of sealed bids are counted where those are: the standing knows the leader only.
        let sealed = match *self {
            Self::Sealed { hold, .. } => i128::from(hold.minor()),
            _ => 0,
        };
        debug_assert_eq!(
            i128::from(held(before)).checked_add(held_delta),
            i128::from(held(after)).checked_add(sealed),
            "what was held is released, kept or paid, to the last unit"
        );
        let owned = |one: &Move| !before.hold_of(Some(one.wallet)).is_zero();
        debug_assert!(
            self.moves().all(|one| one.kind != MoveKind::Release || owned(&one)),
            "only the leader has anything to get back"
        );
    }
}
