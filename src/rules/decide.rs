//! What a command makes of an auction: the one function that says yes or no.
//!
//! 1. Refusals come first, in a fixed order: see [`Rejection`].
//! 2. Nothing is changed here. A [`Verdict`] says what becomes of the auction and of the money; the
//!    ledger writes it.
//! 3. A command is judged at one instant, read under the auction's lock: open iff `starts_at <= now
//!    < ends_at`.
//! 4. A bid at or above the buy-now price, while that is offered, is a purchase at the buy-now
//!    price: it needs no full increment, need not be a multiple, and no more money than the price.

use super::{AuctionState, Micros, Rejection, Released, Standing, Terms, Verdict};
use crate::{id::WalletId, money::Amount};

/// What somebody wants to do. A user without a wallet is `None`: known to nobody, and without
/// money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Promise to pay up to `maximum`.
    Bid { bidder: Option<WalletId>, maximum: Amount },
    /// Pay the buy-now price and end the auction.
    Buy { buyer: Option<WalletId> },
    /// Sell to the leader, or to nobody, after the end.
    Settle,
    /// Sell to the leader, or to nobody, before the end.
    CloseEarly { by: Actor },
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

/// Judges one command.
///
/// `now` is never behind `standing.last_at`; the caller sees to that, and reads `funds` under the
/// wallet's lock.
/// Allocates nothing if the answer is yes.
pub(crate) fn decide(
    terms: &Terms,
    standing: &Standing,
    command: &Command,
    funds: Funds,
    now: Micros,
) -> Result<Verdict, Rejection> {
    debug_assert!(standing.last_at <= now, "an auction's clock never goes back");
    let case = Case { terms, standing, funds, now };
    let verdict = match *command {
        Command::Bid { bidder, maximum } => case.bid(bidder, maximum)?,
        Command::Buy { buyer } => case.buy(buyer)?,
        Command::Settle => case.settle()?,
        Command::CloseEarly { by } => case.close_early(by)?,
        Command::Cancel { by } => case.cancel(by)?,
    };
    verdict.assert_laws(standing);
    Ok(verdict)
}

/// The least that a bid must be as things stand, whoever bids; `None` if the auction is over or
/// nobody can bid that much. The instant is not asked: an auction that opens tomorrow has a minimum
/// today.
pub(crate) fn next_minimum(terms: &Terms, standing: &Standing) -> Option<Amount> {
    let open = standing.state == AuctionState::Open;
    open.then(|| minimum(terms, standing)).and_then(Amount::from_minor)
}

/// The buy-now price, as long as the price of the auction has not reached it.
pub(crate) fn buy_now_offer(terms: &Terms, standing: &Standing) -> Option<Amount> {
    let open = standing.state == AuctionState::Open;
    // "No bids" is less than any price.
    terms.buy_now_price.filter(|buy_now| open && standing.price < Some(*buy_now))
}

/// The next minimum in minor units, a multiple where the terms ask for one. It may be more than an
/// amount can be.
fn minimum(terms: &Terms, standing: &Standing) -> i64 {
    let ladder = match standing.price {
        None => terms.start_price.minor(),
        Some(price) => terms.increment.after(price),
    };
    let ladder = terms.round_up(ladder);
    // Reaching the buy-now price needs no full increment, and it is never off the grid.
    buy_now_offer(terms, standing).map_or(ladder, |buy_now| ladder.min(buy_now.minor()))
}

/// All that a judgement looks at.
pub(super) struct Case<'a> {
    terms: &'a Terms,
    pub(super) standing: &'a Standing,
    funds: Funds,
    pub(super) now: Micros,
}

impl Case<'_> {
    fn bid(&self, bidder: Option<WalletId>, maximum: Amount) -> Result<Verdict, Rejection> {
        self.require_open()?;
        // The seller has had a wallet since the opening, so nobody without one is the seller.
        if bidder == Some(self.standing.seller) {
            return Err(Rejection::SellerCannotBid);
        }
        if let Some(price) =
            buy_now_offer(self.terms, self.standing).filter(|price| *price <= maximum)
        {
            return self.sell(bidder, price);
        }
        self.require_on_ladder(maximum)?;
        let (bidder, hold) = self.require_funds(bidder, maximum)?;
        // From here the bid must succeed: every refusal has been given above.
        let outbid = self.standing.hold().filter(|(holder, _)| *holder != bidder);
        let released = outbid.map(|(wallet, amount)| Released { wallet, amount });
        let standing = self.standing.led_by(bidder, maximum, maximum, self.now);
        Ok(Verdict::Bid { bidder, hold, released, standing })
    }

    fn buy(&self, buyer: Option<WalletId>) -> Result<Verdict, Rejection> {
        self.require_open()?;
        let price = buy_now_offer(self.terms, self.standing).ok_or(Rejection::BuyNowUnavailable)?;
        if buyer == Some(self.standing.seller) {
            return Err(Rejection::SellerCannotBuy);
        }
        self.sell(buyer, price)
    }

    /// Sells at the buy-now price, which the caller has found on offer.
    fn sell(&self, buyer: Option<WalletId>, price: Amount) -> Result<Verdict, Rejection> {
        let (buyer, from_available) = self.require_funds(buyer, price)?;
        // From here the purchase must succeed: every refusal has been given above.
        let from_hold =
            price.checked_sub(from_available).expect("a part of the price is at most the price");
        let released = self.standing.hold().and_then(|(wallet, held)| {
            let kept = if wallet == buyer { from_hold } else { Amount::ZERO };
            let amount = held.checked_sub(kept).expect("a hold pays at most what it holds");
            (!amount.is_zero()).then_some(Released { wallet, amount })
        });
        let led = self.standing.led_by(buyer, price, price, self.now);
        let standing = Standing { state: AuctionState::Sold, ..led };
        Ok(Verdict::Sold { buyer, price, from_hold, from_available, released, standing })
    }

    /// Refuses outside the half-open time from the start to the end.
    pub(super) fn require_open(&self) -> Result<(), Rejection> {
        self.require_not_closed()?;
        if self.now < self.terms.starts_at {
            return Err(Rejection::NotOpenYet { starts_at: self.terms.starts_at.datetime() });
        }
        if self.standing.ends_at <= self.now {
            return Err(Rejection::Ended { at: self.standing.ends_at.datetime() });
        }
        Ok(())
    }

    pub(super) fn require_not_closed(&self) -> Result<(), Rejection> {
        match self.standing.state {
            AuctionState::Open => Ok(()),
            state => Err(Rejection::Closed { state }),
        }
    }

    fn require_on_ladder(&self, maximum: Amount) -> Result<(), Rejection> {
        let currency = self.terms.currency;
        let least = minimum(self.terms, self.standing);
        if maximum.minor() < least {
            return Err(Rejection::BelowMinimum { minimum: currency.decimal_of_minor(least) });
        }
        let neighbours = self.terms.neighbours(maximum.minor());
        if let Some((multiple_of, (below, above))) = self.terms.multiple_of.zip(neighbours) {
            return Err(Rejection::NotOnIncrement {
                multiple_of: currency.decimal(multiple_of),
                below: currency.decimal_of_minor(below),
                above: Amount::from_minor(above).map(|above| currency.decimal(above)),
            });
        }
        Ok(())
    }

    /// Who pays, and what of `amount` the own hold does not cover and is available.
    fn require_funds(
        &self,
        wallet: Option<WalletId>,
        amount: Amount,
    ) -> Result<(WalletId, Amount), Rejection> {
        let own_hold = self.standing.hold_of(wallet);
        let needed = amount.checked_sub(own_hold).unwrap_or(Amount::ZERO);
        match wallet {
            Some(wallet) if needed.minor() <= self.funds.available => Ok((wallet, needed)),
            _ => Err(Rejection::InsufficientFunds {
                needed: self.terms.currency.decimal(needed),
                available: self.terms.currency.decimal_of_minor(self.funds.available),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
