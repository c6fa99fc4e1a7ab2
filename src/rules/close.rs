//! How an auction ends when it is not bought: settled after its end, closed early, or called off. And what a seller can
//! change before that: the reserve and the end.
//!
//! Every exit from open releases or captures every hold: no final state holds money.

use super::decide::Case;
use super::verdict::Sale;
use super::{Actor, AuctionState, Micros, Rejection, Released, Standing, Verdict};
use crate::money::Amount;

impl Case<'_> {
    /// After the end: sold to the leader at the price, or unsold. Below its reserve it is unsold, after the acceptance window
    /// if it has one.
    ///
    /// Whoever settles an auction that is sold or unsold already is told so by [`Rejection::Closed`]; the ledger answers
    /// them with what has become of it.
    pub(super) fn settle(&self) -> Result<Verdict, Rejection> {
        let standing = self.standing;
        let waiting = standing.state == AuctionState::AwaitingSeller;
        if !standing.state.can_be_sold() {
            self.require_not_closed()?;
        }
        if self.now < standing.ends_at {
            return Err(Rejection::NotEnded { ends_at: standing.ends_at.datetime() });
        }
        debug_assert!(!self.party.sealed_bids, "whoever has lost is released before");
        if self.now < self.last_acceptance() && !standing.meets_reserve() {
            if waiting {
                let until = self.last_acceptance().datetime();
                return Err(Rejection::AwaitingSeller { until });
            }
            if standing.leader.is_some() {
                let standing = standing.moved(AuctionState::AwaitingSeller, self.now);
                return Ok(Verdict::Changed { standing });
            }
        }
        Ok(self.hammer())
    }

    /// Before the end: sold to the leader at the price, or unsold. From the end on an auction is settled.
    pub(super) fn close_early(&self, by: Actor) -> Result<Verdict, Rejection> {
        self.require_open()?;
        self.require_seller(by)?;
        if self.terms.is_sealed() {
            return Err(Rejection::Sealed);
        }
        Ok(self.hammer())
    }

    /// Sold to the leader at a price below the reserve: before the end, and for as long after it as the terms say.
    pub(super) fn accept_below_reserve(&self, by: Actor) -> Result<Verdict, Rejection> {
        if self.standing.state != AuctionState::AwaitingSeller {
            self.require_not_closed()?;
        }
        self.require_started()?;
        if self.last_acceptance() <= self.now {
            return Err(Rejection::Ended { at: self.last_acceptance().datetime() });
        }
        self.require_seller(by)?;
        if self.terms.is_sealed() && self.standing.state == AuctionState::Open {
            return Err(Rejection::Sealed);
        }
        if self.standing.leader.is_none() {
            return Err(Rejection::NoBids);
        }
        if self.standing.meets_reserve() {
            return Err(Rejection::ReserveMet);
        }
        Ok(self.sell_to_leader().expect("an auction with a leader has a price"))
    }

    /// The reserve is lowered, which may meet it: the price is then at least the new one.
    pub(super) fn lower_reserve(&self, by: Actor, reserve: Amount) -> Result<Verdict, Rejection> {
        self.require_not_closed()?;
        self.require_not_ended()?;
        self.require_seller(by)?;
        let standing = self.standing;
        let now = standing.reserve.ok_or(Rejection::NoReserve)?;
        if standing.leader.is_some() && standing.meets_reserve() {
            return Err(Rejection::ReserveMet);
        }
        if now <= reserve {
            return Err(Rejection::ReserveNotLower);
        }
        let ladder = self.terms.ladder.as_ref().ok_or(Rejection::NoReserve)?;
        self.require_multiple(ladder, reserve)?;
        let standing = standing.moved(standing.state, self.now);
        let standing = Standing { reserve: Some(reserve), ..standing }.priced(ladder);
        Ok(Verdict::Changed { standing })
    }

    /// A later end. A seller can give more time while nobody has bid, the house always.
    pub(super) fn extend(&self, by: Actor, ends_at: Micros) -> Result<Verdict, Rejection> {
        self.require_not_closed()?;
        self.require_not_ended()?;
        self.require_seller(by)?;
        self.require_no_bids(by)?;
        if ends_at <= self.standing.ends_at {
            return Err(Rejection::NotLater { ends_at: self.standing.ends_at.datetime() });
        }
        let standing = self.standing.moved(self.standing.state, self.now);
        Ok(Verdict::Changed { standing: Standing { ends_at, ..standing } })
    }

    /// Called off. A seller can do so while nobody has bid, the house always.
    pub(super) fn cancel(&self, by: Actor) -> Result<Verdict, Rejection> {
        if !self.standing.state.can_be_sold() {
            self.require_not_closed()?;
        }
        self.require_seller(by)?;
        self.require_no_bids(by)?;
        // Sealed bids are released after it.
        let state = match self.party.sealed_bids {
            true => AuctionState::Cancelling,
            false => AuctionState::Cancelled,
        };
        Ok(self.end(state))
    }

    /// Refuses a seller what only the house can do once somebody has bid.
    fn require_no_bids(&self, by: Actor) -> Result<(), Rejection> {
        let has_bids = self.standing.leader.is_some() || self.party.sealed_bids;
        if by != Actor::House && has_bids { Err(Rejection::HasBids) } else { Ok(()) }
    }

    pub(super) fn require_seller(&self, by: Actor) -> Result<(), Rejection> {
        match by {
            Actor::User(wallet) if wallet != Some(self.standing.seller) => {
                Err(Rejection::NotSeller)
            }
            _ => Ok(()),
        }
    }

    /// From this instant on nobody can accept a price below the reserve any more.
    fn last_acceptance(&self) -> Micros {
        self.standing.ends_at.plus(self.terms.acceptance_window)
    }

    /// The hammer falls: sold to the leader if the reserve is met, else unsold.
    fn hammer(&self) -> Verdict {
        let sold = self.standing.meets_reserve().then(|| self.sell_to_leader()).flatten();
        sold.unwrap_or_else(|| self.end(AuctionState::Unsold))
    }

    /// The leader pays the price and the premium on it out of the hold, and gets the rest of it back.
    fn sell_to_leader(&self) -> Option<Verdict> {
        let (leader, price) = self.standing.leader.zip(self.standing.price)?;
        let sale =
            Sale::of(self.terms, price).expect("the hold of a leader pays any price of theirs");
        let rest = leader.hold.checked_sub(sale.total());
        let rest = rest.expect("a premium never falls, and the price never exceeds the maximum");
        Some(Verdict::Sold {
            buyer: leader.wallet,
            sale,
            from_hold: sale.total(),
            from_available: Amount::ZERO,
            released: (!rest.is_zero()).then_some(Released { wallet: leader.wallet, amount: rest }),
            standing: self.standing.moved(AuctionState::Sold, self.now),
        })
    }

    /// Nobody gets it: whoever led gets the hold back.
    fn end(&self, state: AuctionState) -> Verdict {
        let released = self.standing.hold().map(|(wallet, amount)| Released { wallet, amount });
        Verdict::Unsold { released, standing: self.standing.moved(state, self.now) }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use crate::rules::{Command, Funds, Increment, Ladder, Leader, Pricing, Share, Terms, decide};

    const SELLER: i64 = 9;
    const ANN: i64 = 1;
    const END: i64 = 100;

    fn won(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    fn judge(standing: &Standing, command: Command, now: i64) -> Result<Verdict, Rejection> {
        decide(&terms(None), standing, &command, Funds::NONE, Micros::new(now))
    }

    fn terms(reserve: Option<i64>) -> Terms {
        let ladder = Ladder {
            start_price: won(10),
            increment: Increment::Fixed(won(1)),
            multiple_of: None,
            pricing: Pricing::Automatic,
        };
        Terms {
            currency: Currency::KRW,
            ladder: Some(ladder),
            ask: None,
            reserve: reserve.map(won),
            acceptance_window: 10,
            soft_close: None,
            premium: Share::NONE,
            fee: Share::NONE,
            starts_at: Micros::new(50),
            ends_at: Micros::new(END),
        }
    }

    fn opened() -> Standing {
        Standing::opened(SELLER.into(), &terms(None), Micros::new(0))
    }

    fn led(maximum: i64, price: i64) -> Standing {
        let leader =
            Leader { wallet: ANN.into(), maximum: won(maximum), hold: won(maximum), seq: 2 };
        Standing { leader: Some(leader), price: Some(won(price)), seq: 2, ..opened() }
    }

    #[test]
    fn closings_are_refused_in_order() {
        let closed = |state| Standing { state, ..opened() };
        let at = |micros| Micros::new(micros).datetime();
        let stranger = Actor::User(Some(ANN.into()));
        let seller = Actor::User(Some(SELLER.into()));
        let rows = [
            (
                closed(AuctionState::Cancelled),
                Command::Settle,
                END,
                Rejection::Closed { state: AuctionState::Cancelled },
            ),
            (opened(), Command::Settle, END - 1, Rejection::NotEnded { ends_at: at(END) }),
            (
                closed(AuctionState::Sold),
                Command::CloseEarly { by: stranger },
                0,
                Rejection::Closed { state: AuctionState::Sold },
            ),
            (
                opened(),
                Command::CloseEarly { by: stranger },
                49,
                Rejection::NotOpenYet { starts_at: at(50) },
            ),
            (opened(), Command::CloseEarly { by: stranger }, END, Rejection::Ended { at: at(END) }),
            (opened(), Command::CloseEarly { by: stranger }, 50, Rejection::NotSeller),
            (opened(), Command::CloseEarly { by: Actor::User(None) }, 50, Rejection::NotSeller),
            (
                closed(AuctionState::Unsold),
                Command::Cancel { by: stranger },
                0,
                Rejection::Closed { state: AuctionState::Unsold },
            ),
            (led(10, 10), Command::Cancel { by: stranger }, 0, Rejection::NotSeller),
            (led(10, 10), Command::Cancel { by: seller }, 0, Rejection::HasBids),
        ];
        for (standing, command, now, rejection) in rows {
            assert_eq!(judge(&standing, command, now), Err(rejection), "{command:?}");
        }
        for (standing, command, now) in [
            (opened(), Command::Settle, END),
            (opened(), Command::CloseEarly { by: seller }, END - 1),
            (opened(), Command::Cancel { by: seller }, 0),
            (led(10, 10), Command::Cancel { by: Actor::House }, END),
        ] {
            assert!(judge(&standing, command, now).is_ok(), "{command:?}");
        }
    }

    #[test]
    fn the_leader_pays_the_price_and_gets_the_rest_back() {
        let verdict = judge(&led(30, 20), Command::Settle, END).unwrap();
        assert_eq!(verdict.released(), Some(Released { wallet: ANN.into(), amount: won(10) }));
        assert_eq!((verdict.standing().state, verdict.standing().seq), (AuctionState::Sold, 3));
        let moved: Vec<_> =
            verdict.moves().map(|one| (one.available_delta, one.held_delta)).collect();
        assert_eq!(moved, [(10, -10), (0, -20), (20, 0)]);
    }

    #[test]
    fn calling_off_gives_everything_back() {
        let verdict = judge(&led(30, 20), Command::Cancel { by: Actor::House }, 60).unwrap();
        assert_eq!(verdict.standing().state, AuctionState::Cancelled);
        let moved: Vec<_> =
            verdict.moves().map(|one| (one.available_delta, one.held_delta)).collect();
        assert_eq!(moved, [(30, -30)]);
        assert_eq!(judge(&opened(), Command::Settle, END).unwrap().moves().count(), 0);
    }

    fn seller_does() -> Actor {
        Actor::User(Some(SELLER.into()))
    }

    /// Judges under a reserve of 50, with a leader whose maximum is 30 and whose price is 20.
    fn reserved(state: AuctionState, command: Command, now: i64) -> Result<Verdict, Rejection> {
        let standing = Standing { reserve: Some(won(50)), state, ..led(30, 20) };
        decide(&terms(Some(50)), &standing, &command, Funds::NONE, Micros::new(now))
    }

    #[test]
    fn below_the_reserve_the_seller_has_a_window_to_accept() {
        let waits = reserved(AuctionState::Open, Command::Settle, END).unwrap();
        assert_eq!(waits.standing().state, AuctionState::AwaitingSeller);
        assert_eq!((waits.moves().count(), waits.standing().hold()), (0, led(30, 20).hold()));

        let awaiting = AuctionState::AwaitingSeller;
        let until = Micros::new(END + 10).datetime();
        let early = reserved(awaiting, Command::Settle, END + 9);
        assert_eq!(early, Err(Rejection::AwaitingSeller { until }));
        let unsold = reserved(awaiting, Command::Settle, END + 10).unwrap();
        assert_eq!((unsold.standing().state, unsold.sale()), (AuctionState::Unsold, None));
        assert_eq!(unsold.released().unwrap().amount, won(30));
        // Nobody has asked in time: there is nothing left to wait for.
        let late = reserved(AuctionState::Open, Command::Settle, END + 10).unwrap();
        assert_eq!(late.standing().state, AuctionState::Unsold);

        let accept = Command::AcceptBelowReserve { by: seller_does() };
        for (state, now) in [(AuctionState::Open, 50), (awaiting, END), (awaiting, END + 9)] {
            let sold = reserved(state, accept, now).unwrap();
            assert_eq!(sold.sale().unwrap().1.price, won(20));
        }
        let ended = Err(Rejection::Ended { at: until });
        assert_eq!(reserved(awaiting, accept, END + 10), ended);
        let closed = reserved(AuctionState::Open, Command::CloseEarly { by: seller_does() }, 50);
        assert_eq!(closed.unwrap().standing().state, AuctionState::Unsold);
    }

    #[test]
    fn a_reserve_is_only_lowered() {
        let lower = |reserve| Command::LowerReserve { by: seller_does(), reserve: won(reserve) };
        let open = AuctionState::Open;
        for reserve in [50, 60] {
            assert_eq!(reserved(open, lower(reserve), 60), Err(Rejection::ReserveNotLower));
        }
        let price = |reserve| reserved(open, lower(reserve), 60).unwrap().standing().price;
        // Still above the maximum; at it; between price and maximum; below the price.
        assert_eq!([31, 30, 25, 5].map(price), [20, 30, 25, 20].map(|price| Some(won(price))));
        let met = Standing { reserve: Some(won(25)), ..led(30, 25) };
        assert_eq!(judge(&met, lower(20), 60), Err(Rejection::ReserveMet));
        assert_eq!(judge(&led(30, 20), lower(20), 60), Err(Rejection::NoReserve));
        let stranger = Command::LowerReserve { by: Actor::User(None), reserve: won(1) };
        assert_eq!(reserved(open, stranger, 60), Err(Rejection::NotSeller));
        let ended = Err(Rejection::Ended { at: Micros::new(END).datetime() });
        assert_eq!(reserved(open, lower(20), END), ended);
    }

    #[test]
    fn an_end_is_only_moved_back() {
        let extend = |by, ends_at| Command::Extend { by, ends_at: Micros::new(ends_at) };
        let later = judge(&opened(), extend(seller_does(), END + 1), 60).unwrap();
        assert_eq!(later.standing().ends_at, Micros::new(END + 1));
        let ends_at = Micros::new(END).datetime();
        let same = judge(&opened(), extend(Actor::House, END), 60);
        assert_eq!(same, Err(Rejection::NotLater { ends_at }));
        let bids = led(30, 20);
        assert_eq!(judge(&bids, extend(seller_does(), END + 1), 60), Err(Rejection::HasBids));
        assert!(judge(&bids, extend(Actor::House, END + 1), 60).is_ok());
        let ended = judge(&bids, extend(Actor::House, END + 1), END);
        assert_eq!(ended, Err(Rejection::Ended { at: ends_at }));
    }

    /// Hammer 100 at a premium of 10 % and a fee of 5 %: the buyer pays 110, the seller gets 95, the house 15.
    #[test]
    fn premium_and_fee_are_the_houses() {
        let share = |basis_points| Share { basis_points, ..Share::NONE };
        let terms = Terms { premium: share(1_000), fee: share(500), ..terms(None) };
        let leader = Leader { hold: won(220), ..led(200, 100).leader.unwrap() };
        let standing = Standing { leader: Some(leader), ..led(200, 100) };
        let end = Micros::new(END);
        let verdict = decide(&terms, &standing, &Command::Settle, Funds::NONE, end).unwrap();
        let moved: Vec<_> =
            verdict.moves().map(|one| (one.available_delta, one.held_delta)).collect();
        assert_eq!(moved, [(110, -110), (0, -110), (95, 0)]);
        assert_eq!(verdict.sale().unwrap().1.house_share(), won(15));
    }
}
