//! Where an auction stands: all that the next command needs to know of the past.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Ladder, Micros, Terms};
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
    /// It ended below its reserve, and waits for the seller to accept the price or for the acceptance window to pass. The
    /// leader's money is still held.
    AwaitingSeller,
    /// Its sealed bids are opened: who has won is known, and those that have lost are being released. Settle it again.
    Settling,
    /// It was called off, and its sealed bids are being released. Settle it to go on with that.
    Cancelling,
}

impl AuctionState {
    /// Whether it can still be sold to its leader, whose money is held for that.
    pub(crate) const fn can_be_sold(self) -> bool {
        matches!(self, Self::Open | Self::AwaitingSeller | Self::Settling)
    }
}

impl fmt::Display for AuctionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Sold => "sold",
            Self::Unsold => "unsold",
            Self::Cancelled => "cancelled",
            Self::AwaitingSeller => "awaiting seller",
            Self::Settling => "settling",
            Self::Cancelling => "cancelling",
        })
    }
}

/// Who is ahead. Once the auction is sold: who won it, with the price as the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) wallet: WalletId,
    /// The most the leader will pay to the seller.
    pub(crate) maximum: Amount,
    /// What is held in the leader's wallet while the auction can still be sold: the maximum and the premium on it.
    pub(crate) hold: Amount,
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
    /// The hidden least price, as it is now: the seller may have lowered it.
    pub(crate) reserve: Option<Amount>,
    /// How many commands were accepted, the opening included: it is the first.
    pub(crate) seq: i64,
    /// When the auction ends as things stand. The terms keep the original end.
    pub(crate) ends_at: Micros,
    /// When the last command was accepted. The clock of the next one is never behind it.
    pub(crate) last_at: Micros,
}

impl Standing {
    /// Where an auction stands that has just been opened.
    pub(crate) const fn opened(seller: WalletId, terms: &Terms, at: Micros) -> Self {
        Self {
            state: AuctionState::Open,
            seller,
            leader: None,
            price: None,
            runner_up_maximum: None,
            reserve: terms.reserve,
            seq: 1,
            ends_at: terms.ends_at,
            last_at: at,
        }
    }

    /// What the auction holds for its leader, and in whose wallet. No final state holds money.
    pub(crate) fn hold(&self) -> Option<(WalletId, Amount)> {
        let leader = self.leader.filter(|_| self.state.can_be_sold())?;
        Some((leader.wallet, leader.hold))
    }

    /// What the auction holds in this wallet.
    pub(crate) fn hold_of(&self, wallet: Option<WalletId>) -> Amount {
        self.hold()
            .filter(|(holder, _)| Some(*holder) == wallet)
            .map_or(Amount::ZERO, |(_, amount)| amount)
    }

    /// Whether the leader's maximum is at or above the reserve. An auction without a reserve has none to meet.
    pub(crate) fn meets_reserve(&self) -> bool {
        let maximum = self.leader.map(|leader| leader.maximum);
        self.reserve.is_none_or(|reserve| maximum >= Some(reserve))
    }

    /// The number of the next accepted command.
    pub(crate) fn next_seq(&self) -> i64 {
        self.seq.checked_add(1).expect("nobody lives to see 2^63 commands on one auction")
    }

    /// Where the auction stands after a bid with this maximum, for which the bidder's wallet would hold `hold`.
    ///
    /// Of two equal maxima the earlier one leads. The price never falls: the own raise of a leader cannot undo what a
    /// reserve has made of it.
    pub(crate) fn bid(&self, ladder: &Ladder, bidder: Leader, now: Micros) -> Self {
        let maximum = bidder.maximum;
        let (leader, runner_up_maximum) = match self.leader {
            None => (bidder, None),
            Some(leader) if leader.wallet == bidder.wallet => (bidder, self.runner_up_maximum),
            Some(leader) if leader.maximum < maximum => (bidder, Some(leader.maximum)),
            Some(leader) => (leader, self.runner_up_maximum.max(Some(maximum))),
        };
        let (seq, last_at) = (self.next_seq(), now);
        Self { leader: Some(leader), runner_up_maximum, seq, last_at, ..*self }.priced(ladder)
    }

    /// The standing with its price: by the ladder, and at least the reserve once that is met.
    pub(crate) fn priced(self, ladder: &Ladder) -> Self {
        let met = self.reserve.filter(|_| self.meets_reserve());
        let price = self.leader.map(|leader| ladder.price(leader.maximum, self.runner_up_maximum));
        Self { price: price.map(|_| price.max(met).max(self.price)).unwrap_or(self.price), ..self }
    }

    /// Where the auction stands when somebody has bought it, for `total` in all.
    pub(crate) fn sold_to(
        &self,
        buyer: WalletId,
        price: Amount,
        total: Amount,
        now: Micros,
    ) -> Self {
        let seq = self.next_seq();
        let beaten = self.leader.filter(|leader| leader.wallet != buyer);
        Self {
            state: AuctionState::Sold,
            leader: Some(Leader { wallet: buyer, maximum: price, hold: total, seq }),
            price: Some(price),
            runner_up_maximum: beaten.map(|leader| leader.maximum).or(self.runner_up_maximum),
            seq,
            last_at: now,
            ..*self
        }
    }

    /// Where a sealed auction stands once its bids are opened: with a leader, a runner-up and a price.
    pub(crate) fn opened_bids(
        &self,
        ladder: &Ladder,
        leader: Leader,
        runner_up_maximum: Option<Amount>,
    ) -> Self {
        Self { leader: Some(leader), runner_up_maximum, ..*self }.priced(ladder)
    }

    /// Where the auction stands after a command that changes nothing but the state.
    pub(crate) fn moved(&self, state: AuctionState, now: Micros) -> Self {
        Self { state, seq: self.next_seq(), last_at: now, ..*self }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::type_complexity, clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use crate::rules::{Increment, Pricing, Share};

    const fn won(minor: i64) -> Amount {
        Amount::from_minor(minor).expect("a test's amount")
    }

    fn bidder(wallet: i64, maximum: i64, seq: i64) -> Leader {
        let maximum = won(maximum);
        Leader { wallet: WalletId::from(wallet), maximum, hold: maximum, seq }
    }

    fn terms(pricing: Pricing) -> (Ladder, Terms) {
        let ladder = Ladder {
            start_price: won(10),
            increment: Increment::Fixed(won(5)),
            multiple_of: None,
            pricing,
        };
        let terms = Terms {
            currency: Currency::KRW,
            ladder: Some(ladder),
            ask: None,
            reserve: None,
            acceptance_window: 0,
            soft_close: None,
            premium: Share::NONE,
            fee: Share::NONE,
            starts_at: Micros::new(0),
            ends_at: Micros::new(10),
        };
        (ladder, terms)
    }

    /// After each bid of a wallet: who leads, the price, and the runner-up's maximum.
    fn run(pricing: Pricing, reserve: Option<i64>, rows: &[(i64, i64, (i64, i64, Option<i64>))]) {
        let (ladder, terms) = terms(pricing);
        let at = Micros::new(0);
        let terms = Terms { reserve: reserve.map(won), ..terms };
        let mut standing = Standing::opened(WalletId::from(9), &terms, at);
        for (wallet, maximum, expected) in rows {
            standing = standing.bid(&ladder, bidder(*wallet, *maximum, standing.seq + 1), at);
            let leader = standing.leader.unwrap().wallet.get();
            let price = standing.price.unwrap().minor();
            let runner_up = standing.runner_up_maximum.map(Amount::minor);
            assert_eq!((leader, price, runner_up), *expected, "{wallet} bids {maximum}");
        }
    }

    #[test]
    fn the_beaten_leader_is_the_runner_up_and_a_raise_beats_nobody() {
        let rows = [
            (1, 100, (1, 100, None)),
            (2, 110, (2, 110, Some(100))),
            (2, 150, (2, 150, Some(100))),
        ];
        run(Pricing::OwnBid, None, &rows);
    }

    #[test]
    fn a_losing_maximum_raises_the_price_and_a_tie_goes_to_the_earlier_one() {
        let rows = [
            (1, 100, (1, 10, None)),
            (2, 50, (1, 55, Some(50))),
            // A raise of the own maximum is silent where the price was not capped by it.
            (1, 200, (1, 55, Some(50))),
            (2, 198, (1, 200, Some(198))),
            (3, 200, (1, 200, Some(200))),
            // And completes the increment where it was.
            (1, 300, (1, 205, Some(200))),
        ];
        run(Pricing::Automatic, None, &rows);
    }

    #[test]
    fn the_first_maximum_at_the_reserve_jumps_to_it() {
        let rows = [
            (1, 50, (1, 10, None)),
            (2, 79, (2, 55, Some(50))),
            (2, 80, (2, 80, Some(50))),
            (3, 85, (3, 85, Some(80))),
        ];
        run(Pricing::Automatic, Some(80), &rows);
    }

    #[test]
    fn no_final_state_holds_money() {
        let (ladder, terms) = terms(Pricing::OwnBid);
        let (ann, at) = (WalletId::from(1), Micros::new(0));
        let opened = Standing::opened(WalletId::from(9), &terms, at);
        let open = opened.bid(&ladder, bidder(1, 100, 2), at);
        assert_eq!(open.hold(), Some((ann, won(100))));
        for state in [AuctionState::Sold, AuctionState::Unsold, AuctionState::Cancelled] {
            let closed = Standing { state, ..open };
            assert_eq!((closed.hold(), closed.hold_of(Some(ann))), (None, Amount::ZERO));
        }
    }
}
