//! What the rules make of a command on an auction: written from the documentation of the verbs and of `Rejection`, for plain
//! English auctions, with plain numbers.

use auction_ledger::{AuctionState, Error, Rejection};

use super::answer::number;
use super::command::Wish;
use super::rows::{Lot, Purse};
use super::terms::calendar;
use super::text::amount;
use super::{AMOUNT_MAX, BALANCE_MAX};

/// All that the rules look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) lot: &'a Lot,
    pub(super) wish: &'a Wish,
    /// Who wants it; `None` is the house.
    pub(super) user: Option<&'a str>,
    /// The wallet of that user in the currency's code.
    pub(super) purse: Option<&'a Purse>,
    /// The wallet of the seller.
    pub(super) seller: &'a Purse,
    pub(super) now: i64,
}

/// What an accepted command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The user leads with this amount, which is the price.
    Lead(i64),
    /// The user has bought at this price.
    Purchase(i64),
    /// The leader pays the price, if there is one.
    Hammer,
    /// It is called off.
    CallOff,
}

pub(super) fn judge(case: Case<'_>) -> Result<Effect, Error> {
    let lot = case.lot;
    if let Some(purse) = case.purse
        && purse.currency != lot.currency
    {
        let stored = purse.currency.exponent();
        return Err(Error::CurrencyMismatch { given: lot.currency, stored });
    }
    let bid = match case.wish {
        Wish::Bid(offer) => amount("amount", *offer, lot.currency)?,
        _ => 0,
    };
    Ok(match case.wish {
        Wish::Bid(_) => case.bid(bid)?,
        Wish::Buy => case.buy()?,
        Wish::Settle => case.settle()?,
        Wish::CloseEarly => case.close_early()?,
        Wish::Cancel => case.cancel()?,
    })
}

/// The buy-now price, while the price is lower.
pub(super) fn offer(lot: &Lot) -> Option<i64> {
    let price = lot.buy_now_price?;
    let reached = lot.price.is_some_and(|reached| reached >= price);
    (lot.state == AuctionState::Open && !reached).then_some(price)
}

/// The least next bid. It may be more than an amount can be.
pub(super) fn least(lot: &Lot) -> i64 {
    let ladder = lot.price.map_or(lot.start_price, |price| price + lot.increment);
    let step = lot.multiple_of.unwrap_or(1);
    let ladder = (ladder + step - 1) / step * step;
    // The cap needs no full increment.
    offer(lot).map_or(ladder, |price| price.min(ladder))
}

/// The least next bid as everybody may see it.
pub(super) fn next_minimum(lot: &Lot) -> Option<i64> {
    (lot.state == AuctionState::Open).then(|| least(lot)).filter(|least| *least <= AMOUNT_MAX)
}

/// What the auction holds in a wallet: the leader's amount, as long as it is open.
pub(super) fn hold(lot: &Lot, user: &str) -> i64 {
    let leads = lot.state == AuctionState::Open && lot.leader.as_deref() == Some(user);
    lot.leader_max.filter(|_| leads).unwrap_or(0)
}

impl Case<'_> {
    /// Open from the start until the end, and not at the end.
    fn open(&self) -> Result<(), Rejection> {
        self.not_closed()?;
        if self.now < self.lot.starts_at {
            return Err(Rejection::NotOpenYet { starts_at: calendar(self.lot.starts_at) });
        }
        if self.now >= self.lot.ends_at {
            return Err(Rejection::Ended { at: calendar(self.lot.ends_at) });
        }
        Ok(())
    }

    fn not_closed(&self) -> Result<(), Rejection> {
        let state = self.lot.state;
        if state == AuctionState::Open { Ok(()) } else { Err(Rejection::Closed { state }) }
    }

    fn is_seller(&self) -> bool {
        self.user == Some(&self.lot.seller)
    }

    fn bid(&self, bid: i64) -> Result<Effect, Rejection> {
        let (lot, say) = (self.lot, |minor| number(minor, self.lot.currency));
        self.open()?;
        if self.is_seller() {
            return Err(Rejection::SellerCannotBid);
        }
        if let Some(price) = offer(lot)
            && bid >= price
        {
            return self.purchase(price);
        }
        if bid < least(lot) {
            return Err(Rejection::BelowMinimum { minimum: say(least(lot)) });
        }
        if let Some(step) = lot.multiple_of
            && bid % step != 0
        {
            let below = bid - bid % step;
            let above = Some(below + step).filter(|above| *above <= AMOUNT_MAX).map(say);
            return Err(Rejection::NotOnIncrement {
                multiple_of: say(step),
                below: say(below),
                above,
            });
        }
        self.funds(bid)?;
        Ok(Effect::Lead(bid))
    }

    fn buy(&self) -> Result<Effect, Rejection> {
        self.open()?;
        let price = offer(self.lot).ok_or(Rejection::BuyNowUnavailable)?;
        if self.is_seller() {
            return Err(Rejection::SellerCannotBuy);
        }
        self.purchase(price)
    }

    fn purchase(&self, price: i64) -> Result<Effect, Rejection> {
        self.funds(price)?;
        self.room(price)?;
        Ok(Effect::Purchase(price))
    }

    /// The own hold pays first, the rest must be available.
    fn funds(&self, amount: i64) -> Result<(), Rejection> {
        let needed = amount - hold(self.lot, self.user.unwrap_or_default());
        let available = self.purse.map_or(0, |purse| purse.available);
        if needed <= available {
            return Ok(());
        }
        let say = |minor| number(minor, self.lot.currency);
        Err(Rejection::InsufficientFunds { needed: say(needed), available: say(available) })
    }

    /// The seller's wallet must have room for the price.
    fn room(&self, price: i64) -> Result<(), Rejection> {
        if self.seller.available + self.seller.held + price <= BALANCE_MAX {
            return Ok(());
        }
        Err(Rejection::BalanceTooLarge { maximum: number(BALANCE_MAX, self.lot.currency) })
    }

    fn settle(&self) -> Result<Effect, Rejection> {
        self.not_closed()?;
        if self.now < self.lot.ends_at {
            return Err(Rejection::NotEnded { ends_at: calendar(self.lot.ends_at) });
        }
        self.hammer()
    }

    fn close_early(&self) -> Result<Effect, Rejection> {
        self.open()?;
        self.by_seller_or_house()?;
        self.hammer()
    }

    fn hammer(&self) -> Result<Effect, Rejection> {
        self.lot.price.map_or(Ok(()), |price| self.room(price))?;
        Ok(Effect::Hammer)
    }

    fn cancel(&self) -> Result<Effect, Rejection> {
        self.not_closed()?;
        self.by_seller_or_house()?;
        if self.user.is_some() && self.lot.leader.is_some() {
            return Err(Rejection::HasBids);
        }
        Ok(Effect::CallOff)
    }

    fn by_seller_or_house(&self) -> Result<(), Rejection> {
        if self.user.is_none() || self.is_seller() { Ok(()) } else { Err(Rejection::NotSeller) }
    }
}
