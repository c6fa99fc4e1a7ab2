//! How an auction ends when it is not bought: settled after its end, closed early, or called off.
//!
//! Every exit from open releases or captures every hold: no final state holds money.

use super::decide::Case;
use super::{Actor, AuctionState, Micros, Rejection, Released, Standing, Verdict};
use crate::money::Amount;

impl Case<'_> {
    /// After the end: sold to the leader at the price, or unsold.
    ///
    /// Whoever settles an auction that is sold or unsold already is told so by [`Rejection::Closed`]; the ledger answers
    /// them with what has become of it.
    pub(super) fn settle(&self) -> Result<Verdict, Rejection> {
        self.require_not_closed()?;
        if self.now < self.standing.ends_at {
            return Err(Rejection::NotEnded { ends_at: self.standing.ends_at.datetime() });
        }
        Ok(self.hammer())
    }

    /// Before the end: sold to the leader at the price, or unsold. From the end on an auction is settled.
    pub(super) fn close_early(&self, by: Actor) -> Result<Verdict, Rejection> {
        self.require_open()?;
        self.require_seller(by)?;
        Ok(self.hammer())
    }

    /// Called off. A seller can do so while nobody has bid, the house always.
    pub(super) fn cancel(&self, by: Actor) -> Result<Verdict, Rejection> {
        self.require_not_closed()?;
        self.require_seller(by)?;
        if by != Actor::House && self.standing.leader.is_some() {
            return Err(Rejection::HasBids);
        }
        Ok(self.end(AuctionState::Cancelled))
    }

    fn require_seller(&self, by: Actor) -> Result<(), Rejection> {
        match by {
            Actor::User(wallet) if wallet != Some(self.standing.seller) => {
                Err(Rejection::NotSeller)
            }
            _ => Ok(()),
        }
    }

    /// The hammer falls: the leader pays the price out of the hold and gets the rest of it back.
    fn hammer(&self) -> Verdict {
        let Some((leader, price)) = self.standing.leader.zip(self.standing.price) else {
            return self.end(AuctionState::Unsold);
        };
        let rest = leader
            .maximum
            .checked_sub(price)
            .expect("the price never exceeds the leader's maximum");
        Verdict::Sold {
            buyer: leader.wallet,
            price,
            from_hold: price,
            from_available: Amount::ZERO,
            released: (!rest.is_zero()).then_some(Released { wallet: leader.wallet, amount: rest }),
            standing: self.standing.closed(AuctionState::Sold, self.now),
        }
    }

    /// Nobody gets it: whoever led gets the hold back.
    fn end(&self, state: AuctionState) -> Verdict {
        let released = self.standing.hold().map(|(wallet, amount)| Released { wallet, amount });
        Verdict::Unsold { released, standing: self.standing.closed(state, self.now) }
    }
}

impl Standing {
    /// The standing after the last command.
    fn closed(&self, state: AuctionState, now: Micros) -> Self {
        Self { state, seq: self.next_seq(), last_at: now, ..*self }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use crate::rules::{Command, Funds, Increment, Leader, Terms, decide};

    const SELLER: i64 = 9;
    const ANN: i64 = 1;
    const END: i64 = 100;

    fn won(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    fn judge(standing: &Standing, command: Command, now: i64) -> Result<Verdict, Rejection> {
        let terms = Terms {
            currency: Currency::KRW,
            start_price: won(10),
            increment: Increment::Fixed(won(1)),
            multiple_of: None,
            buy_now_price: None,
            starts_at: Micros::new(50),
            ends_at: Micros::new(END),
        };
        decide(&terms, standing, &command, Funds::NONE, Micros::new(now))
    }

    fn opened() -> Standing {
        Standing::opened(SELLER.into(), Micros::new(END), Micros::new(0))
    }

    fn led(maximum: i64, price: i64) -> Standing {
        let leader = Leader { wallet: ANN.into(), maximum: won(maximum), seq: 2 };
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
}
