//! Sealed bids: one of each bidder, to be raised until the end and seen by nobody before it.
//!
//! Every bidder's hold stays until the end. Then the bids are opened: the highest wins, of two equal ones the earlier. It
//! pays the own bid, or with the second price, as Vickrey described it, the best bid of anybody else, and at least the reserve that it meets. All the
//! others are released, batch after batch, before the hammer falls.

use super::decide::Case;
use super::{AuctionState, Ladder, Micros, Rejection, Standing, Terms, Verdict};
use crate::id::WalletId;
use crate::money::Amount;

impl Terms {
    /// Whether nobody sees a bid before the end.
    pub(crate) fn is_sealed(&self) -> bool {
        self.ladder.is_some_and(|ladder| ladder.pricing.is_sealed())
    }
}

impl Case<'_> {
    /// At least the start price, or above the own bid: what others have bid is no part of it.
    pub(super) fn sealed_bid(
        &self,
        ladder: &Ladder,
        bidder: Option<WalletId>,
        maximum: Amount,
    ) -> Result<Verdict, Rejection> {
        match self.party.sealed_bid {
            Some(own) if maximum <= own => return Err(Rejection::NotAboveOwnMaximum),
            None if maximum < ladder.start_price => {
                let minimum = self.terms.currency.decimal(ladder.start_price);
                return Err(Rejection::BelowMinimum { minimum });
            }
            _ => {}
        }
        self.require_multiple(ladder, maximum)?;
        let hold = self.payable(maximum)?;
        let own_hold = self.party.sealed_bid.map_or(Ok(Amount::ZERO), |own| self.payable(own))?;
        let (bidder, more) = self.require_more_funds(bidder, own_hold, hold)?;
        // From here the bid must succeed: every refusal has been given above.
        let standing = self.standing.moved(self.standing.state, self.now);
        Ok(Verdict::Sealed { bidder, hold: more, standing })
    }
}

impl Standing {
    /// Where an auction stands when a batch of sealed bids has been released, and whether there are more of them.
    pub(crate) fn released(&self, more: bool, now: Micros) -> Self {
        debug_assert!(
            matches!(
                self.state,
                AuctionState::Open | AuctionState::Settling | AuctionState::Cancelling
            ),
            "an auction that is over holds nothing"
        );
        let state = match self.state {
            AuctionState::Cancelling if more => AuctionState::Cancelling,
            AuctionState::Cancelling => AuctionState::Cancelled,
            _ => AuctionState::Settling,
        };
        self.moved(state, now)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::money::Currency;
    use crate::rules::{
        Actor, Command, Eligibility, Funds, Increment, Leader, Party, Pricing, Share, decide,
    };

    const END: i64 = 100;

    fn won(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    fn terms(pricing: Pricing, reserve: Option<i64>) -> Terms {
        let ladder = Ladder {
            start_price: won(10),
            increment: Increment::Fixed(won(1)),
            multiple_of: None,
            pricing,
        };
        let terms = Terms {
            currency: Currency::KRW,
            ladder: Some(ladder),
            ask: None,
            reserve: reserve.map(won),
            acceptance_window: 0,
            soft_close: None,
            premium: Share { basis_points: 1_000, ..Share::NONE },
            fee: Share::NONE,
            starts_at: Micros::new(0),
            ends_at: Micros::new(END),
        };
        terms.validated().unwrap()
    }

    /// Everybody's sealed bid, and the number that set it.
    type Bids = BTreeMap<i64, (Amount, i64)>;

    fn bid(
        terms: &Terms,
        standing: &Standing,
        own: Option<i64>,
        maximum: i64,
        available: i64,
    ) -> Result<Verdict, Rejection> {
        let party = Party {
            sealed_bid: own.map(won),
            sealed_bids: own.is_some(),
            ..Party::from(Funds { available })
        };
        let command = Command::Bid { bidder: Some(1.into()), maximum: won(maximum) };
        decide(terms, standing, &command, party, Micros::new(1))
    }

    /// Places bids, opens them, lets the hammer fall: who has won, and the price.
    fn sale(pricing: Pricing, reserve: Option<i64>, bids: &[(i64, i64)]) -> Option<(i64, i64)> {
        let terms = terms(pricing, reserve);
        let ladder = terms.ladder.unwrap();
        let mut standing = Standing::opened(9.into(), &terms, Micros::new(0));
        let mut sealed = Bids::new();
        for (wallet, maximum) in bids {
            let party = Party {
                funds: Funds { available: 10_000 },
                eligibility: Eligibility::Eligible,
                sealed_bid: sealed.get(wallet).map(|own| own.0),
                sealed_bids: !sealed.is_empty(),
            };
            let command = Command::Bid { bidder: Some((*wallet).into()), maximum: won(*maximum) };
            match decide(&terms, &standing, &command, party, Micros::new(1)) {
                Ok(verdict) => {
                    standing = *verdict.standing();
                    sealed.insert(*wallet, (won(*maximum), standing.seq));
                    assert_eq!((standing.leader, standing.price), (None, None), "it is sealed");
                }
                Err(rejection) => assert_eq!(rejection, Rejection::NotAboveOwnMaximum),
            }
        }
        let mut ranks: Vec<_> = sealed.into_iter().collect();
        ranks.sort_by_key(|(_, (maximum, seq))| (std::cmp::Reverse(*maximum), *seq));
        if let Some((wallet, (maximum, seq))) = ranks.first().copied() {
            let hold = terms.with_premium(maximum).unwrap();
            let leader = Leader { wallet: wallet.into(), maximum, hold, seq };
            let runner_up = ranks.get(1).map(|(_, (maximum, _))| *maximum);
            standing = standing.opened_bids(&ladder, leader, runner_up);
            standing = standing.released(false, Micros::new(END));
        }
        let end = Micros::new(END);
        let verdict = decide(&terms, &standing, &Command::Settle, Funds::NONE, end).unwrap();
        assert_eq!(verdict.standing().hold(), None);
        verdict.sale().map(|(buyer, sale)| (buyer.get(), sale.price.minor()))
    }

    /// A second-price auction of five bidders, some of whom raise: E pays 130. And one of two without a reserve: A pays 25.
    #[test]
    fn published_second_prices() {
        let [a, b, c, d, e] = [1, 2, 3, 4, 5];
        let bids = [
            (a, 110),
            (a, 130),
            (c, 125),
            (d, 105),
            (d, 115),
            (d, 90),
            (e, 132),
            (e, 135),
            (e, 140),
        ];
        assert_eq!(sale(Pricing::SecondPrice, Some(100), &bids), Some((e, 130)));
        assert_eq!(sale(Pricing::SecondPrice, None, &[(a, 50), (b, 25)]), Some((a, 25)));
        assert_eq!(sale(Pricing::FirstPrice, Some(100), &bids), Some((e, 140)));
    }

    #[test]
    fn a_reserve_is_the_least_second_price() {
        let second = |reserve, bids: &[_]| sale(Pricing::SecondPrice, reserve, bids);
        assert_eq!(second(Some(30), &[(1, 50), (2, 25)]), Some((1, 30)));
        assert_eq!(second(Some(50), &[(1, 50), (2, 25)]), Some((1, 50)));
        assert_eq!(second(Some(51), &[(1, 50), (2, 25)]), None);
        assert_eq!(second(None, &[(1, 50)]), Some((1, 10)));
        assert_eq!(second(None, &[]), None);
        assert_eq!(sale(Pricing::FirstPrice, Some(51), &[(1, 50)]), None);
    }

    #[test]
    fn of_two_equal_bids_the_earlier_wins() {
        for pricing in [Pricing::FirstPrice, Pricing::SecondPrice] {
            assert_eq!(sale(pricing, None, &[(2, 40), (1, 40)]), Some((2, 40)));
            // Whoever raises is as late as the raise.
            assert_eq!(sale(pricing, None, &[(2, 30), (1, 40), (2, 40)]), Some((1, 40)));
        }
    }

    #[test]
    fn a_sealed_bid_knows_nothing_of_the_others() {
        let terms = terms(Pricing::SecondPrice, Some(1_000));
        let standing = Standing::opened(9.into(), &terms, Micros::new(0));
        let minimum = 10.into();
        assert_eq!(bid(&terms, &standing, None, 9, 100), Err(Rejection::BelowMinimum { minimum }));
        let same = bid(&terms, &standing, Some(20), 20, 100);
        assert_eq!(same, Err(Rejection::NotAboveOwnMaximum));
        // 50 and the premium on it, less what is held for 20.
        let poor = bid(&terms, &standing, Some(20), 50, 32);
        let (needed, available) = (33.into(), 32.into());
        assert_eq!(poor, Err(Rejection::InsufficientFunds { needed, available }));
        let raised = bid(&terms, &standing, Some(20), 50, 33).unwrap();
        assert!(matches!(raised, Verdict::Sealed { hold, .. } if hold == won(33)));
    }

    #[test]
    fn sealed_auctions_end_when_they_were_to() {
        let terms = terms(Pricing::FirstPrice, None);
        let standing = Standing::opened(9.into(), &terms, Micros::new(0));
        let party = Party { sealed_bids: true, ..Party::from(Funds::NONE) };
        let judge = |command| decide(&terms, &standing, &command, party, Micros::new(1));
        let seller = Actor::User(Some(9.into()));
        assert_eq!(judge(Command::CloseEarly { by: seller }), Err(Rejection::Sealed));
        assert_eq!(judge(Command::Cancel { by: seller }), Err(Rejection::HasBids));
        let later = Command::Extend { by: seller, ends_at: Micros::new(200) };
        assert_eq!(judge(later), Err(Rejection::HasBids));
        let cancelled = judge(Command::Cancel { by: Actor::House }).unwrap();
        assert_eq!(cancelled.standing().state, AuctionState::Cancelling);
        let released = cancelled.standing().released(true, Micros::new(2));
        assert_eq!(released.state, AuctionState::Cancelling);
        assert_eq!(released.released(false, Micros::new(3)).state, AuctionState::Cancelled);
    }
}
