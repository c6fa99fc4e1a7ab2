//! Where an auction stands: all that the next command needs to know of the past.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Micros;
use crate::{id::WalletId, money::Amount};

/// What has become of an auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuctionState {
    /// It takes bids from its start to its end. It stays open after the end until somebody settles
    /// it.
    Open,
    /// It has a winner, who has paid.
    Sold,
    /// It ended without a winner.
    Unsold,
    /// It was called off. Every hold was released.
    Cancelled,
}

impl fmt::Display for AuctionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Sold => "sold",
            Self::Unsold => "unsold",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Who is ahead. Once the auction is sold: who won it, with the price as the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) wallet: WalletId,
    /// The most the leader will pay. While the auction is open, exactly this is held in the
    /// leader's wallet.
    pub(crate) maximum: Amount,
    /// The command that set this maximum; of two equal ones the earlier leads.
    pub(crate) seq: i64,
}

/// Where an auction stands. Its size does not grow with the number of bids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: AuctionState,
    pub(crate) seller: WalletId,
    pub(crate) leader: Option<Leader>,
    /// What the leader would pay now; `None` is "no bids", which no price can say.
    pub(crate) price: Option<Amount>,
    /// The highest maximum of anybody but the leader.
    pub(crate) runner_up_maximum: Option<Amount>,
    /// How many commands were accepted, the opening included: it is the first.
    pub(crate) seq: i64,
    /// When the auction ends as things stand. The terms keep the original end.
    pub(crate) ends_at: Micros,
    /// When the last command was accepted. The clock of the next one is never behind it.
    pub(crate) last_at: Micros,
}

impl Standing {
    /// Where an auction stands that has just been opened.
    pub(crate) const fn opened(seller: WalletId, ends_at: Micros, at: Micros) -> Self {
        Self {
            state: AuctionState::Open,
            seller,
            leader: None,
            price: None,
            runner_up_maximum: None,
            seq: 1,
            ends_at,
            last_at: at,
        }
    }

    /// What the auction holds, and in whose wallet. No final state holds money.
    pub(crate) fn hold(&self) -> Option<(WalletId, Amount)> {
        let leader = self.leader.filter(|_| self.state == AuctionState::Open)?;
        Some((leader.wallet, leader.maximum))
    }

    /// What the auction holds in this wallet.
    pub(crate) fn hold_of(&self, wallet: Option<WalletId>) -> Amount {
        self.hold()
            .filter(|(holder, _)| Some(*holder) == wallet)
            .map_or(Amount::ZERO, |(_, amount)| amount)
    }

    /// The number of the next accepted command.
    pub(crate) fn next_seq(&self) -> i64 {
        self.seq.checked_add(1).expect("nobody lives to see 2^63 commands on one auction")
    }

    /// Where the auction stands after `wallet` has taken the lead, or kept it, with this maximum at
    /// this price.
    pub(crate) fn led_by(
        &self,
        wallet: WalletId,
        maximum: Amount,
        price: Amount,
        now: Micros,
    ) -> Self {
        let seq = self.next_seq();
        let beaten =
            self.leader.filter(|leader| leader.wallet != wallet).map(|leader| leader.maximum);
        Self {
            leader: Some(Leader { wallet, maximum, seq }),
            price: Some(price),
            runner_up_maximum: beaten.or(self.runner_up_maximum),
            seq,
            last_at: now,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn won(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    #[test]
    fn the_beaten_leader_is_the_runner_up_and_a_raise_beats_nobody() {
        let (ann, bob) = (WalletId::from(1), WalletId::from(2));
        let at = Micros::new(0);
        let opened = Standing::opened(WalletId::from(9), Micros::new(10), at);
        let first = opened.led_by(ann, won(100), won(100), at);
        assert_eq!((first.seq, first.runner_up_maximum), (2, None));
        let second = first.led_by(bob, won(110), won(110), at);
        assert_eq!((second.seq, second.runner_up_maximum), (3, Some(won(100))));
        let third = second.led_by(bob, won(150), won(150), at);
        assert_eq!((third.seq, third.runner_up_maximum), (4, Some(won(100))));
    }

    #[test]
    fn no_final_state_holds_money() {
        let ann = WalletId::from(1);
        let at = Micros::new(0);
        let open = Standing::opened(WalletId::from(9), Micros::new(10), at).led_by(
            ann,
            won(100),
            won(100),
            at,
        );
        assert_eq!(open.hold(), Some((ann, won(100))));
        for state in [AuctionState::Sold, AuctionState::Unsold, AuctionState::Cancelled] {
            let closed = Standing { state, ..open };
            assert_eq!((closed.hold(), closed.hold_of(Some(ann))), (None, Amount::ZERO));
        }
    }
}
