//! Voiding a bid: the auction stands as if it had never been, recounted from the bids that remain.
//!
//! Whoever led before is released, and the best of the others leads and holds again. Who cannot pay for that any more is
//! skipped: that bid is void, too. The price follows, down to what the remaining bids make of it: a bid that is gone must not
//! leave its price behind. The end stays where it is.

use super::decide::Case;
use super::{Actor, Funds, Leader, Micros, Rejection, Released, Standing, Terms, Verdict};
use crate::id::WalletId;
use crate::money::Amount;

/// Who can make a bid void: the house until the auction is settled, the seller until its end, and never a sealed one, which a
/// seller does not see.
pub(crate) fn may_void(
    terms: &Terms,
    standing: &Standing,
    by: Actor,
    now: Micros,
) -> Result<(), Rejection> {
    let case = Case { terms, standing, party: Funds::NONE.into(), now };
    case.require_not_closed()?;
    if by == Actor::House {
        return Ok(());
    }
    case.require_not_ended()?;
    case.require_seller(by)?;
    if terms.is_sealed() { Err(Rejection::Sealed) } else { Ok(()) }
}

/// A bid that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RankedBid {
    pub(crate) wallet: WalletId,
    pub(crate) maximum: Amount,
    /// The number of the command that placed it.
    pub(crate) seq: i64,
}

impl RankedBid {
    /// The order of ranks: by maximum, of two equal ones the earlier first.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        (std::cmp::Reverse(self.maximum), self.seq)
    }
}

/// What becomes of an auction when a bid is void.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recount {
    pub(crate) verdict: Verdict,
    /// How many of the remaining bids were skipped, from the first on: nobody can pay them.
    pub(crate) skipped: usize,
}

/// Recounts an open auction from the bids that remain, in the order of their ranks, with what is available to their bidders:
/// `None` for a bidder who is not asked, behind whom nobody is.
pub(crate) fn recount(
    terms: &Terms,
    standing: &Standing,
    remaining: &[RankedBid],
    available: impl Fn(WalletId) -> Option<i64>,
    now: Micros,
) -> Recount {
    let mut skipped = 0_usize;
    let mut leader = None;
    for bid in remaining {
        let RankedBid { wallet, maximum, seq } = *bid;
        let Some(available) = available(wallet) else { break };
        let own_hold = standing.hold_of(Some(wallet));
        let hold = terms.with_premium(maximum).filter(|hold| {
            hold.checked_sub(own_hold).is_none_or(|needed| needed.minor() <= available)
        });
        leader = hold.map(|hold| Leader { wallet, maximum, hold, seq });
        if leader.is_some() {
            break;
        }
        skipped = skipped.saturating_add(1);
    }
    let rest = remaining.get(skipped..).unwrap_or_default();
    let others = rest.iter().find(|bid| leader.is_some_and(|leader| leader.wallet != bid.wallet));
    let runner_up_maximum = others.map(|bid| bid.maximum);
    let after = standing.moved(standing.state, now);
    let after = Standing { leader, runner_up_maximum, price: None, ..after };
    let after = terms.ladder.as_ref().map_or(after, |ladder| after.priced(ladder));
    let (released, held) = holds(standing, &after);
    let verdict = Verdict::Voided { released, held, standing: after };
    verdict.assert_laws(standing);
    Recount { verdict, skipped }
}

/// What is released, and what is held again.
fn holds(before: &Standing, after: &Standing) -> (Option<Released>, Option<(WalletId, Amount)>) {
    let kept = |wallet: WalletId| before.hold_of(Some(wallet)).min(after.hold_of(Some(wallet)));
    let rest = |(wallet, amount): (WalletId, Amount)| {
        let rest = amount.checked_sub(kept(wallet)).filter(|rest| !rest.is_zero());
        rest.map(|rest| (wallet, rest))
    };
    let released = before.hold().and_then(rest);
    let released = released.map(|(wallet, amount)| Released { wallet, amount });
    (released, after.hold().and_then(rest))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use crate::rules::{AuctionState, Increment, Ladder, Pricing, Share};

    fn won(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    fn terms(pricing: Pricing, reserve: Option<i64>) -> Terms {
        let ladder = Ladder {
            start_price: won(10),
            increment: Increment::Fixed(won(5)),
            multiple_of: None,
            pricing,
        };
        Terms {
            currency: Currency::KRW,
            ladder: Some(ladder),
            ask: None,
            reserve: reserve.map(won),
            acceptance_window: 0,
            soft_close: None,
            premium: Share::NONE,
            fee: Share::NONE,
            starts_at: Micros::new(0),
            ends_at: Micros::new(100),
        }
    }

    fn bid(wallet: i64, maximum: i64, seq: i64) -> RankedBid {
        RankedBid { wallet: wallet.into(), maximum: won(maximum), seq }
    }

    /// Wallet 1 led with 100 over 60, at 65, when its bid was voided.
    fn led(terms: &Terms) -> Standing {
        let leader = Leader { wallet: 1.into(), maximum: won(100), hold: won(100), seq: 4 };
        Standing {
            leader: Some(leader),
            price: Some(won(65)),
            runner_up_maximum: Some(won(60)),
            seq: 4,
            ..Standing::opened(9.into(), terms, Micros::new(0))
        }
    }

    /// Who leads, with which maximum, at which price; and how many were skipped.
    fn recounted(
        pricing: Pricing,
        reserve: Option<i64>,
        remaining: &[RankedBid],
        poor: &[i64],
    ) -> (Option<(i64, i64)>, Option<i64>, usize) {
        let terms = terms(pricing, reserve);
        let before = led(&terms);
        let available =
            |wallet: WalletId| Some(if poor.contains(&wallet.get()) { 0 } else { 1_000 });
        let recount = recount(&terms, &before, remaining, available, Micros::new(1));
        let after = recount.verdict.standing();
        assert_eq!((after.state, after.ends_at), (AuctionState::Open, before.ends_at));
        let leader = after.leader.map(|leader| (leader.wallet.get(), leader.maximum.minor()));
        (leader, after.price.map(Amount::minor), recount.skipped)
    }

    #[test]
    fn the_best_of_the_others_leads_and_the_price_follows() {
        let bids = [bid(2, 60, 3), bid(3, 40, 2)];
        let automatic = |poor: &[i64]| recounted(Pricing::Automatic, None, &bids, poor);
        assert_eq!(automatic(&[]), (Some((2, 60)), Some(45), 0));
        assert_eq!(automatic(&[2]), (Some((3, 40)), Some(10), 1));
        assert_eq!(automatic(&[2, 3]), (None, None, 2));
        assert_eq!(recounted(Pricing::OwnBid, None, &bids, &[]), (Some((2, 60)), Some(60), 0));
        assert_eq!(recounted(Pricing::Automatic, None, &[], &[]), (None, None, 0));
        assert_eq!(
            recounted(Pricing::Automatic, Some(50), &bids, &[]),
            (Some((2, 60)), Some(50), 0)
        );
    }

    #[test]
    fn a_bid_that_did_not_lead_leaves_the_leader_and_lowers_the_price() {
        let bids = [bid(1, 100, 4), bid(3, 40, 2)];
        assert_eq!(recounted(Pricing::Automatic, None, &bids, &[1]), (Some((1, 100)), Some(45), 0));
        // The raise is void; the bid before it still leads, and the rest of the hold is released.
        let bids = [bid(1, 80, 2), bid(2, 60, 3)];
        assert_eq!(recounted(Pricing::Automatic, None, &bids, &[1]), (Some((1, 80)), Some(65), 0));
        let terms = terms(Pricing::Automatic, None);
        let recount = recount(&terms, &led(&terms), &bids, |_| Some(0), Micros::new(1));
        let released = recount.verdict.released().unwrap();
        assert_eq!((released.wallet.get(), released.amount), (1, won(20)));
    }

    #[test]
    fn whoever_leads_again_holds_again() {
        let terms = terms(Pricing::Automatic, None);
        let recount = recount(&terms, &led(&terms), &[bid(2, 60, 3)], |_| Some(60), Micros::new(1));
        let moved = recount.verdict.moves();
        let moved: Vec<_> =
            moved.map(|one| (one.wallet.get(), one.available_delta, one.held_delta)).collect();
        assert_eq!(moved, [(1, 100, -100), (2, -60, 60)]);
    }

    #[test]
    fn whoever_is_not_asked_is_not_skipped() {
        let terms = terms(Pricing::Automatic, None);
        let bids = [bid(2, 60, 3), bid(3, 50, 2), bid(4, 40, 1)];
        let asked = |wallet: WalletId| (wallet.get() == 2).then_some(0);
        let recount = recount(&terms, &led(&terms), &bids, asked, Micros::new(1));
        assert_eq!((recount.skipped, recount.verdict.standing().leader), (1, None));
    }

    #[test]
    fn a_seller_makes_no_bid_void_that_is_sealed_or_has_won() {
        let (open, sealed) = (terms(Pricing::Automatic, None), terms(Pricing::FirstPrice, None));
        let seller = Actor::User(Some(9.into()));
        let at = |terms: &Terms, by, now| may_void(terms, &led(terms), by, Micros::new(now));
        let ended = Rejection::Ended { at: Micros::new(100).datetime() };
        let rows = [
            (&open, Actor::House, 99, Ok(())),
            (&open, Actor::House, 100, Ok(())),
            (&sealed, Actor::House, 100, Ok(())),
            (&open, seller, 99, Ok(())),
            (&open, seller, 100, Err(ended.clone())),
            (&open, Actor::User(None), 100, Err(ended)),
            (&open, Actor::User(None), 99, Err(Rejection::NotSeller)),
            (&open, Actor::User(Some(1.into())), 99, Err(Rejection::NotSeller)),
            (&sealed, Actor::User(Some(1.into())), 99, Err(Rejection::NotSeller)),
            (&sealed, seller, 99, Err(Rejection::Sealed)),
        ];
        for (terms, by, now, answer) in rows {
            assert_eq!(at(terms, by, now), answer, "{by:?} at {now}");
        }
        let over = led(&open).moved(AuctionState::Sold, Micros::new(1));
        let closed = Err(Rejection::Closed { state: AuctionState::Sold });
        for by in [Actor::House, seller, Actor::User(None)] {
            assert_eq!(may_void(&open, &over, by, Micros::new(100)), closed);
        }
    }

    #[test]
    fn of_two_equal_bids_the_earlier_ranks_first() {
        assert!(bid(2, 60, 3).rank() < bid(1, 60, 4).rank());
        assert!(bid(1, 61, 4).rank() < bid(2, 60, 3).rank());
    }
}
