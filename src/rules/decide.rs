//! What a command makes of an auction: the one function that says yes or no.
//!
//! 1. Refusals come first, in a fixed order: see [`Rejection`].
//! 2. Nothing is changed here. A [`Verdict`] says what becomes of the auction and of the money; the
//!    ledger writes it.
//! 3. A command is judged at one instant, read under the auction's lock: open iff `starts_at <= now
//!    < ends_at`.
//! 4. A bid at or above the buy-now price, while that is offered, is a purchase at the buy-now
//!    price: it needs no full increment, need not be a multiple, and no more money than the price and its premium.
//! 5. With automatic bidding a bid is a maximum: the leader pays the runner-up's maximum and an increment, and a bid that
//!    does not lead raises the price. It must be paid for all the same.

use super::ask::{ask_at, buy_now_offer};
use super::terms::{Ladder, Pricing};
use super::verdict::Sale;
use super::{
    AuctionState, Eligibility, Leader, Micros, Rejection, Released, Standing, Terms, Verdict,
};
use crate::{id::WalletId, money::Amount};

/// What somebody wants to do. A user without a wallet is `None`: known to nobody, and without
/// money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Promise to pay up to `maximum`.
    Bid { bidder: Option<WalletId>, maximum: Amount },
    /// Pay what is asked, at most `limit`, and end the auction.
    Take { taker: Option<WalletId>, limit: Option<Amount> },
    /// Sell to the leader, or to nobody, after the end.
    Settle,
    /// Sell to the leader, or to nobody, before the end.
    CloseEarly { by: Actor },
    /// Sell to the leader below the reserve.
    AcceptBelowReserve { by: Actor },
    /// Ask for less than before.
    LowerReserve { by: Actor, reserve: Amount },
    /// Give bidders more time.
    Extend { by: Actor, ends_at: Micros },
    /// Call the auction off.
    Cancel { by: Actor },
}

/// Who acts on an auction other than by bidding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The house, which runs the auctions: the host's own decision.
    House,
    /// A user, who must be the seller. A user without a wallet is `None`, and no seller.
    User(Option<WalletId>),
}

/// What whoever gives the command can spend, in minor units. The own hold is not in it: the
/// standing knows that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Funds {
    pub(crate) available: i64,
}

impl Funds {
    /// The funds of a user without a wallet.
    pub(crate) const NONE: Self = Self { available: 0 };
}

/// What is known of whoever gives the command, read under the auction's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) funds: Funds,
    /// What the host says of them.
    pub(crate) eligibility: Eligibility,
    /// The maximum of their own sealed bid.
    pub(crate) sealed_bid: Option<Amount>,
    /// Whether there are sealed bids, of anybody but the leader, whose money is held.
    pub(crate) sealed_bids: bool,
}

impl From<Funds> for Party {
    /// Somebody who may bid.
    fn from(funds: Funds) -> Self {
        Self { funds, eligibility: Eligibility::Eligible, sealed_bid: None, sealed_bids: false }
    }
}

/// Judges one command.
///
/// `now` is never behind `standing.last_at`; the caller sees to that, and reads what is known of the `party` under the
/// locks.
/// Allocates nothing if the answer is yes.
pub(crate) fn decide(
    terms: &Terms,
    standing: &Standing,
    command: &Command,
    party: impl Into<Party>,
    now: Micros,
) -> Result<Verdict, Rejection> {
    debug_assert!(standing.last_at <= now, "an auction's clock never goes back");
    let case = Case { terms, standing, party: party.into(), now };
    let verdict = match *command {
        Command::Bid { bidder, maximum } => case.bid(bidder, maximum)?,
        Command::Take { taker, limit } => case.take(taker, limit)?,
        Command::Settle => case.settle()?,
        Command::CloseEarly { by } => case.close_early(by)?,
        Command::AcceptBelowReserve { by } => case.accept_below_reserve(by)?,
        Command::LowerReserve { by, reserve } => case.lower_reserve(by, reserve)?,
        Command::Extend { by, ends_at } => case.extend(by, ends_at)?,
        Command::Cancel { by } => case.cancel(by)?,
    };
    verdict.assert_laws(standing);
    Ok(verdict)
}

/// The least that a bid must be as things stand, from whoever does not lead; `None` if the auction is over or
/// nobody can bid that much. The instant is not asked: an auction that opens tomorrow has a minimum
/// today.
pub(crate) fn next_minimum(terms: &Terms, standing: &Standing) -> Option<Amount> {
    let ladder = terms.ladder.as_ref().filter(|_| standing.state == AuctionState::Open)?;
    Amount::from_minor(minimum(terms, ladder, standing))
}

/// The same for somebody with a maximum of `own` that leads, or is sealed: it need only be above that.
pub(crate) fn next_minimum_of(
    terms: &Terms,
    standing: &Standing,
    own: Option<Amount>,
) -> Option<Amount> {
    let ladder = terms.ladder.as_ref().filter(|_| standing.state == AuctionState::Open)?;
    match own.filter(|_| ladder.pricing != Pricing::OwnBid) {
        Some(own) => Amount::from_minor(ladder.round_up(own.minor().checked_add(1)?)),
        None => next_minimum(terms, standing),
    }
}

/// The next minimum in minor units, a multiple where the terms ask for one. It may be more than an
/// amount can be.
fn minimum(terms: &Terms, ladder: &Ladder, standing: &Standing) -> i64 {
    let least = match standing.price {
        None => ladder.start_price.minor(),
        Some(price) => ladder.increment.after(price),
    };
    let least = ladder.round_up(least);
    // Reaching the buy-now price needs no full increment, and it is never off the grid.
    buy_now_offer(terms, standing).map_or(least, |buy_now| least.min(buy_now.minor()))
}

/// All that a judgement looks at.
pub(super) struct Case<'a> {
    pub(super) terms: &'a Terms,
    pub(super) standing: &'a Standing,
    pub(super) party: Party,
    pub(super) now: Micros,
}

impl Case<'_> {
    fn bid(&self, bidder: Option<WalletId>, maximum: Amount) -> Result<Verdict, Rejection> {
        self.require_open()?;
        let ladder = self.terms.ladder.as_ref().ok_or(Rejection::TakesNoBids)?;
        // The seller has had a wallet since the opening, so nobody without one is the seller.
        if bidder == Some(self.standing.seller) {
            return Err(Rejection::SellerCannotBid);
        }
        self.require_eligible()?;
        if ladder.pricing.is_sealed() {
            return self.sealed_bid(ladder, bidder, maximum);
        }
        if let Some(price) =
            buy_now_offer(self.terms, self.standing).filter(|price| *price <= maximum)
        {
            return self.sell(bidder, price);
        }
        self.require_on_ladder(ladder, bidder, maximum)?;
        self.require_multiple(ladder, maximum)?;
        let hold = self.payable(maximum)?;
        let (bidder, more) = self.require_funds(bidder, hold)?;
        // From here the bid must succeed: every refusal has been given above.
        let before = self.standing;
        let leader = Leader { wallet: bidder, maximum, hold, seq: before.next_seq() };
        let standing = self.with_end(before.bid(ladder, leader, self.now));
        if standing.leader != Some(leader) {
            return Ok(Verdict::Bid { bidder, hold: Amount::ZERO, released: None, standing });
        }
        let outbid = before.hold().filter(|(holder, _)| *holder != bidder);
        let released = outbid.map(|(wallet, amount)| Released { wallet, amount });
        Ok(Verdict::Bid { bidder, hold: more, released, standing })
    }

    /// The standing after a bid, with the end that a soft close gives it: only a bid that has changed the leader or the
    /// price moves the end.
    fn with_end(&self, standing: Standing) -> Standing {
        let lead =
            |standing: &Standing| (standing.leader.map(|leader| leader.wallet), standing.price);
        let changed = lead(&standing) != lead(self.standing);
        let ends_at = match self.terms.soft_close.filter(|_| changed) {
            Some(soft) => soft.end_after(self.terms.ends_at, standing.ends_at, self.now),
            None => standing.ends_at,
        };
        Standing { ends_at, ..standing }
    }

    fn take(&self, taker: Option<WalletId>, limit: Option<Amount>) -> Result<Verdict, Rejection> {
        self.require_open()?;
        let price =
            ask_at(self.terms, self.standing, self.now).ok_or(Rejection::BuyNowUnavailable)?;
        if taker == Some(self.standing.seller) {
            return Err(Rejection::SellerCannotBuy);
        }
        self.require_eligible()?;
        if limit.is_some_and(|limit| limit < price) {
            return Err(Rejection::AboveLimit { price: self.terms.currency.decimal(price) });
        }
        self.sell(taker, price)
    }

    /// Sells at a price that the caller has found on offer.
    fn sell(&self, buyer: Option<WalletId>, price: Amount) -> Result<Verdict, Rejection> {
        let sale = Sale::of(self.terms, price).ok_or_else(|| self.too_large())?;
        let (buyer, from_available) = self.require_funds(buyer, sale.total())?;
        // From here the purchase must succeed: every refusal has been given above.
        let from_hold = sale.total().checked_sub(from_available);
        let from_hold = from_hold.expect("a part of the payment is at most the payment");
        let released = self.standing.hold().and_then(|(wallet, held)| {
            let kept = if wallet == buyer { from_hold } else { Amount::ZERO };
            let amount = held.checked_sub(kept).expect("a hold pays at most what it holds");
            (!amount.is_zero()).then_some(Released { wallet, amount })
        });
        let standing = self.standing.sold_to(buyer, price, sale.total(), self.now);
        Ok(Verdict::Sold { buyer, sale, from_hold, from_available, released, standing })
    }

    /// Refuses outside the half-open time from the start to the end.
    pub(super) fn require_open(&self) -> Result<(), Rejection> {
        self.require_not_closed()?;
        self.require_started()?;
        self.require_not_ended()
    }

    pub(super) fn require_not_ended(&self) -> Result<(), Rejection> {
        if self.standing.ends_at <= self.now {
            return Err(Rejection::Ended { at: self.standing.ends_at.datetime() });
        }
        Ok(())
    }

    pub(super) fn require_started(&self) -> Result<(), Rejection> {
        if self.now < self.terms.starts_at {
            return Err(Rejection::NotOpenYet { starts_at: self.terms.starts_at.datetime() });
        }
        Ok(())
    }

    pub(super) fn require_not_closed(&self) -> Result<(), Rejection> {
        match self.standing.state {
            AuctionState::Open => Ok(()),
            state => Err(Rejection::Closed { state }),
        }
    }

    fn require_on_ladder(
        &self,
        ladder: &Ladder,
        bidder: Option<WalletId>,
        maximum: Amount,
    ) -> Result<(), Rejection> {
        let automatic = ladder.pricing == Pricing::Automatic;
        let leads = |leader: &Leader| automatic && Some(leader.wallet) == bidder;
        match self.standing.leader.filter(leads) {
            // Whoever leads need not outbid the price again, only the own maximum.
            Some(leader) if maximum <= leader.maximum => {
                return Err(Rejection::NotAboveOwnMaximum);
            }
            Some(_) => {}
            None => {
                let least = minimum(self.terms, ladder, self.standing);
                if maximum.minor() < least {
                    let minimum = self.terms.currency.decimal_of_minor(least);
                    return Err(Rejection::BelowMinimum { minimum });
                }
            }
        }
        Ok(())
    }

    /// Refuses an amount that is not one of the multiples the terms ask for.
    pub(super) fn require_multiple(
        &self,
        ladder: &Ladder,
        amount: Amount,
    ) -> Result<(), Rejection> {
        let currency = self.terms.currency;
        let neighbours = ladder.neighbours(amount.minor());
        if let Some((multiple_of, (below, above))) = ladder.multiple_of.zip(neighbours) {
            return Err(Rejection::NotOnIncrement {
                multiple_of: currency.decimal(multiple_of),
                below: currency.decimal_of_minor(below),
                above: Amount::from_minor(above).map(|above| currency.decimal(above)),
            });
        }
        Ok(())
    }

    fn require_eligible(&self) -> Result<(), Rejection> {
        match self.party.eligibility {
            why if !why.is_eligible() => Err(Rejection::NotEligible { why }),
            _ => Ok(()),
        }
    }

    /// What is paid for a hammer price.
    pub(super) fn payable(&self, hammer: Amount) -> Result<Amount, Rejection> {
        self.terms.with_premium(hammer).ok_or_else(|| self.too_large())
    }

    fn too_large(&self) -> Rejection {
        Rejection::TooLarge { maximum: self.terms.currency.decimal(Amount::MAX) }
    }

    /// Who pays, and what of `amount` the own hold does not cover and is available.
    fn require_funds(
        &self,
        wallet: Option<WalletId>,
        amount: Amount,
    ) -> Result<(WalletId, Amount), Rejection> {
        let own_hold = self.standing.hold_of(wallet);
        self.require_more_funds(wallet, own_hold, amount)
    }

    /// The same beside an own hold of this much.
    pub(super) fn require_more_funds(
        &self,
        wallet: Option<WalletId>,
        own_hold: Amount,
        amount: Amount,
    ) -> Result<(WalletId, Amount), Rejection> {
        let needed = amount.checked_sub(own_hold).unwrap_or(Amount::ZERO);
        match wallet {
            Some(wallet) if needed.minor() <= self.party.funds.available => Ok((wallet, needed)),
            _ => Err(Rejection::InsufficientFunds {
                needed: self.terms.currency.decimal(needed),
                available: self.terms.currency.decimal_of_minor(self.party.funds.available),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
