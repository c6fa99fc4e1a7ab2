//! What an auction promised when it opened.

use super::ask::{Ask, AskPrice};
use super::share::Share;
use super::soft_close::SoftClose;
use super::{Availability, Increment, Micros, TermsError};
use crate::money::{Amount, Currency};

/// What an auction promised when it opened; frozen once a bid exists. A ladder takes bids, an ask can be taken; an auction
/// has one of them, or both.
///
/// Built as a literal. New terms go through [`Terms::validated`]; terms read from a row were
/// validated when they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The currency of every amount of the auction.
    pub(crate) currency: Currency,
    /// How bids ascend, or are ranked where they are sealed; `None` if none are taken.
    pub(crate) ladder: Option<Ladder>,
    /// What ends the auction at once.
    pub(crate) ask: Option<Ask>,
    /// The hidden least price, as it was promised: see `Standing::reserve`.
    pub(crate) reserve: Option<Amount>,
    /// For how long after the end the seller can accept a price below the reserve; zero if not at all.
    pub(crate) acceptance_window: i64,
    /// Whether late bids move the end.
    pub(crate) soft_close: Option<SoftClose>,
    /// What the buyer pays to the house on top of the price.
    pub(crate) premium: Share,
    /// What the house keeps of the price.
    pub(crate) fee: Share,
    /// From this instant on the auction is open.
    pub(crate) starts_at: Micros,
    /// From this instant on it has ended, unless late bids moved the end: see `Standing::ends_at`.
    pub(crate) ends_at: Micros,
}

/// How bids ascend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ladder {
    /// The least that the first bid can be.
    pub(crate) start_price: Amount,
    /// By how much every later bid must be higher. Of sealed bids it says nothing, and is one unit.
    pub(crate) increment: Increment,
    /// Bids must be multiples of it, counted from zero.
    pub(crate) multiple_of: Option<Amount>,
    /// What a leader pays.
    pub(crate) pricing: Pricing,
}

/// What a leader pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pricing {
    /// The own bid.
    OwnBid,
    /// Automatic bidding, also called proxy bidding: the runner-up's maximum and an increment, at most the own maximum.
    Automatic,
    /// Bids are sealed until the end: the own bid.
    FirstPrice,
    /// Bids are sealed until the end: the runner-up's maximum, as in a Vickrey auction.
    SecondPrice,
}

impl Pricing {
    /// Whether nobody sees a bid before the end.
    pub(crate) const fn is_sealed(self) -> bool {
        matches!(self, Self::FirstPrice | Self::SecondPrice)
    }
}

impl Ladder {
    /// The price before any reserve: of a leader with this maximum over a runner-up with that one.
    pub(crate) fn price(&self, leader: Amount, runner_up: Option<Amount>) -> Amount {
        match (self.pricing, runner_up) {
            (Pricing::OwnBid | Pricing::FirstPrice, _) => leader,
            (Pricing::Automatic | Pricing::SecondPrice, None) => self.start_price,
            (Pricing::SecondPrice, Some(beaten)) => beaten.max(self.start_price),
            (Pricing::Automatic, Some(beaten)) => {
                // More than an amount can be is more than any maximum.
                let next = Amount::from_minor(self.round_up(self.increment.after(beaten)));
                next.map_or(leader, |next| next.min(leader)).max(self.start_price)
            }
        }
    }

    /// The multiples just below and just above an amount, in minor units; `None` if the amount
    /// needs none or is one.
    pub(crate) fn neighbours(&self, minor: i64) -> Option<(i64, i64)> {
        let step = self.multiple_of?.minor();
        let excess = self.excess(minor);
        let below = minor.checked_sub(excess)?;
        (excess != 0).then_some((below, below.checked_add(step)?))
    }

    /// The amount itself if it may be bid, else the next higher one that may, in minor units.
    pub(crate) fn round_up(&self, minor: i64) -> i64 {
        self.neighbours(minor).map_or(minor, |(_, above)| above)
    }

    /// By how much an amount is more than a multiple.
    fn excess(&self, minor: i64) -> i64 {
        self.multiple_of.and_then(|step| minor.checked_rem(step.minor())).unwrap_or(0)
    }
}

impl Terms {
    /// The longest window of a soft close.
    const SOFT_CLOSE_DAYS: u8 = 1;
    /// The longest time for a seller to think.
    const ACCEPTANCE_DAYS: u8 = 30;

    /// The least price at which the auction can be sold, where bids are taken; else where its clock begins.
    pub(crate) fn start_price(&self) -> Amount {
        let ladder = self.ladder.map(|ladder| ladder.start_price);
        ladder.or(self.ask.map(|ask| ask.first())).unwrap_or(Amount::ZERO)
    }

    /// The buy-now price, whether it is offered or not.
    pub(crate) fn buy_now_price(&self) -> Option<Amount> {
        self.ask.filter(|_| self.ladder.is_some()).and_then(|ask| ask.constant())
    }

    /// What is paid for a hammer price, the premium included; `None` if it is more than an amount can be.
    pub(crate) fn with_premium(&self, hammer: Amount) -> Option<Amount> {
        hammer.checked_add(self.premium.of(hammer))
    }

    /// What the house keeps of a hammer price: never more than the price.
    pub(crate) fn fee_of(&self, hammer: Amount) -> Amount {
        self.fee.of(hammer).min(hammer)
    }

    /// Checks terms before an auction is opened with them.
    ///
    /// Multiples are counted from zero, so the start price, the increment, the buy-now price and the reserve
    /// must be multiples too. Then every price is one, and so is every minimum that a bidder is
    /// told.
    ///
    /// # Errors
    ///
    /// The variants of [`TermsError`], in their order.
    pub(crate) fn validated(self) -> Result<Self, TermsError> {
        if self.ends_at <= self.starts_at {
            let (starts_at, ends_at) = (self.starts_at.datetime(), self.ends_at.datetime());
            return Err(TermsError::EndNotAfterStart { starts_at, ends_at });
        }
        if self.start_price().is_zero() {
            return Err(TermsError::ZeroStartPrice);
        }
        match &self.ladder {
            Some(ladder) => self.check_ladder(ladder)?,
            None => self.check_ask_alone()?,
        }
        self.check_windows()?;
        self.check_shares()?;
        Ok(self)
    }

    fn check_ladder(&self, ladder: &Ladder) -> Result<(), TermsError> {
        let decimal = |amount| self.currency.decimal(amount);
        if ladder.pricing.is_sealed() {
            self.check_sealed()?;
        } else {
            self.check_increment(&ladder.increment)?;
        }
        if self.reserve.is_some_and(Amount::is_zero) {
            return Err(TermsError::ZeroReserve);
        }
        if let Some(buy_now) = self.buy_now_price() {
            let buy_now_price = decimal(buy_now);
            if buy_now <= ladder.start_price {
                let start_price = decimal(ladder.start_price);
                return Err(TermsError::BuyNowNotAboveStart { start_price, buy_now_price });
            }
            if self.reserve.is_some_and(|reserve| buy_now < reserve) {
                return Err(TermsError::BuyNowBelowReserve { buy_now_price });
            }
        }
        let until = self.ask.map(|ask| ask.until);
        if until == Some(Availability::UntilReserveMet) && self.reserve.is_none() {
            return Err(TermsError::NoReserveToMeet);
        }
        ladder.multiple_of.map_or(Ok(()), |multiple_of| self.check_grid(ladder, multiple_of))
    }

    /// What needs to see the price has no place where nobody does.
    fn check_sealed(&self) -> Result<(), TermsError> {
        let settings =
            [("a buy-now price", self.ask.is_some()), ("a soft close", self.soft_close.is_some())];
        let what = settings.into_iter().find(|(_, set)| *set).map(|(what, _)| what);
        what.map_or(Ok(()), |what| Err(TermsError::NeedsBids { what }))
    }

    fn check_increment(&self, increment: &Increment) -> Result<(), TermsError> {
        if increment.steps().any(|step| step <= 0) {
            return Err(TermsError::ZeroIncrement);
        }
        match increment {
            Increment::Percent { basis_points, .. }
                if !(1..=Share::WHOLE).contains(basis_points) =>
            {
                Err(TermsError::PercentageOutOfRange { basis_points: *basis_points })
            }
            Increment::Table(table) if !table.starts_at_zero() => Err(TermsError::NotATable),
            _ => increment.falls_at().map_or(Ok(()), |at| {
                Err(TermsError::IncrementFalls { price: self.currency.decimal_of_minor(at) })
            }),
        }
    }

    fn check_grid(&self, ladder: &Ladder, multiple_of: Amount) -> Result<(), TermsError> {
        if multiple_of.is_zero() {
            return Err(TermsError::ZeroMultiple);
        }
        let off_grid = |amount: Amount| ladder.excess(amount.minor()) != 0;
        let decimal = |amount| self.currency.decimal(amount);
        let start_price = ladder.start_price;
        let multiple_of = decimal(multiple_of);
        if off_grid(start_price) {
            let start_price = decimal(start_price);
            return Err(TermsError::StartPriceOffGrid { start_price, multiple_of });
        }
        let mut steps = ladder.increment.steps().filter(|_| !ladder.pricing.is_sealed());
        if let Some(step) = steps.find(|step| ladder.excess(*step) != 0) {
            let increment = self.currency.decimal_of_minor(step);
            return Err(TermsError::IncrementOffGrid { increment, multiple_of });
        }
        if let Some(buy_now) = self.buy_now_price().filter(|buy_now| off_grid(*buy_now)) {
            return Err(TermsError::BuyNowOffGrid { buy_now_price: decimal(buy_now), multiple_of });
        }
        if self.reserve.is_some_and(off_grid) {
            return Err(TermsError::ReserveOffGrid { multiple_of });
        }
        Ok(())
    }

    /// An auction that is taken and never bid on.
    fn check_ask_alone(&self) -> Result<(), TermsError> {
        let needs_bids = |what| Err(TermsError::NeedsBids { what });
        if self.reserve.is_some() {
            return needs_bids("a reserve");
        }
        if self.acceptance_window != 0 {
            return needs_bids("an acceptance window");
        }
        if self.soft_close.is_some() {
            return needs_bids("a soft close");
        }
        let falls = match self.ask.map(|ask| ask.price) {
            None | Some(AskPrice::Constant(_)) => true,
            Some(AskPrice::Linear { start, floor }) => floor < start,
            Some(AskPrice::Steps(table)) => {
                if !table.starts_at_zero() {
                    return Err(TermsError::NotATable);
                }
                table.values().all(|price| price > 0) && table.falls()
            }
        };
        if falls { Ok(()) } else { Err(TermsError::ClockDoesNotFall) }
    }

    fn check_windows(&self) -> Result<(), TermsError> {
        let days = |days: u8| i64::from(days).saturating_mul(Micros::DAY);
        let out_of_range = |what, most_days| Err(TermsError::WindowOutOfRange { what, most_days });
        if let Some(soft_close) = self.soft_close {
            if !(1..=days(Self::SOFT_CLOSE_DAYS)).contains(&soft_close.window) {
                return out_of_range("window of the soft close", Self::SOFT_CLOSE_DAYS);
            }
            let most = soft_close.at_most;
            if most.is_some_and(|most| !(1..=days(Self::ACCEPTANCE_DAYS)).contains(&most)) {
                return out_of_range("cap of the soft close", Self::ACCEPTANCE_DAYS);
            }
        }
        if !(0..=days(Self::ACCEPTANCE_DAYS)).contains(&self.acceptance_window) {
            return out_of_range("acceptance window", Self::ACCEPTANCE_DAYS);
        }
        Ok(())
    }

    fn check_shares(&self) -> Result<(), TermsError> {
        for (what, share) in [("buyer's premium", self.premium), ("seller's fee", self.fee)] {
            let crossed = share.at_most.is_some_and(|most| most < share.at_least);
            if share.basis_points > Share::WHOLE || crossed {
                return Err(TermsError::ShareOutOfRange { what });
            }
        }
        // What is asked must be payable.
        let first = self.ask.map(|ask| ask.first()).unwrap_or(self.start_price());
        if self.with_premium(first.max(self.start_price())).is_none() {
            return Err(TermsError::ShareOutOfRange { what: "buyer's premium" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
