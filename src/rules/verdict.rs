//! What an accepted command makes of the auction and of the money, as data: the ledger writes it.

use super::Standing;
use crate::id::WalletId;
use crate::money::Amount;

/// Money of a hold that its owner gets back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Released {
    pub(crate) wallet: WalletId,
    pub(crate) amount: Amount,
}

/// What an accepted command makes of the auction and of the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The bidder leads. Money is promised, and nobody has paid.
    Bid {
        bidder: WalletId,
        /// What the bidder's wallet holds more than before: for the own raise, the difference only.
        hold: Amount,
        /// The hold of the leader who was outbid.
        released: Option<Released>,
        standing: Standing,
    },
    /// The buyer has bought, by [`Command::Buy`] or by a bid that reached the buy-now price.
    Sold {
        buyer: WalletId,
        price: Amount,
        /// The part of the price that the buyer's own hold pays.
        from_hold: Amount,
        /// The rest of the price.
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
            | Self::Sold { standing, .. }
            | Self::Unsold { standing, .. } => standing,
        }
    }

    /// The hold, or the rest of one, that was given back.
    pub(crate) const fn released(&self) -> Option<Released> {
        match self {
            Self::Bid { released, .. }
            | Self::Sold { released, .. }
            | Self::Unsold { released, .. } => *released,
        }
    }

    /// The changes of the wallets, in the order of their entries: what is released, what is held or
    /// paid, what the seller receives. One wallet occurs twice where a leader buys for less than
    /// the own hold.
    pub(crate) fn moves(&self) -> impl Iterator<Item = Move> + use<> {
        let release = self.released().map(|Released { wallet, amount }| {
            Move::new(wallet, MoveKind::Release, amount.gain(), amount.loss())
        });
        let (own, proceeds) = match *self {
            Self::Bid { bidder, hold, .. } => {
                let own = Move::new(bidder, MoveKind::Hold, hold.loss(), hold.gain());
                (Some(own), None)
            }
            Self::Sold { buyer, price, from_hold, from_available, standing, .. } => {
                let (available, held) = (from_available.loss(), from_hold.loss());
                let proceeds = Move::new(standing.seller, MoveKind::Proceeds, price.gain(), 0);
                let own = Move::new(buyer, MoveKind::Capture, available, held);
                (Some(own), Some(proceeds))
            }
            Self::Unsold { .. } => (None, None),
        };
        [release, own, proceeds].into_iter().flatten()
    }

    /// The laws that every verdict obeys.
    pub(super) fn assert_laws(&self, before: &Standing) {
        let after = self.standing();
        let maximum = after.leader.map(|leader| leader.maximum);
        debug_assert_eq!(after.seq, before.next_seq(), "an accepted command takes one number");
        debug_assert!(before.price <= after.price, "the price never falls");
        debug_assert!(after.price <= maximum, "the price never exceeds the leader's maximum");
        let sum = |delta: fn(&Move) -> i64| self.moves().map(|one| i128::from(delta(&one))).sum();
        let held = |standing: &Standing| standing.hold().map_or(0, |(_, amount)| amount.minor());
        let (available_delta, held_delta): (i128, i128) =
            (sum(|one| one.available_delta), sum(|one| one.held_delta));
        debug_assert_eq!(
            available_delta.checked_add(held_delta),
            Some(0),
            "money is moved, never made"
        );
        debug_assert_eq!(
            i128::from(held(before)).checked_add(held_delta),
            Some(i128::from(held(after))),
            "what was held is released, kept or paid, to the last unit"
        );
        let owned = |one: &Move| !before.hold_of(Some(one.wallet)).is_zero();
        debug_assert!(
            self.moves().all(|one| one.kind != MoveKind::Release || owned(&one)),
            "only the leader has anything to get back"
        );
    }
}
