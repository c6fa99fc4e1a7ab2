//! What an accepted command does: the money it moves, the row it leaves in the history, and where its auction stands then.

use auction_ledger::entity::{act, entry};
use auction_ledger::{AuctionState, Currency};

use super::answer::{Answer, words};
use super::book::Book;
use super::command::Wish;
use super::rows::{ActRow, BidRow, Line, Lot, Owner, command_name};
use super::rules::{Effect, hold};
use super::text;

/// A command on an auction that is being carried out.
pub(super) struct Accepted<'a> {
    pub(super) lot: usize,
    pub(super) seq: i64,
    pub(super) user: Option<&'a str>,
    pub(super) wish: &'a Wish,
    pub(super) note: Option<&'a str>,
    pub(super) at: i64,
}

impl Accepted<'_> {
    fn operation(&self) -> String {
        command_name(self.lot, self.seq)
    }
}

impl Book {
    pub(super) fn carry_out(&mut self, accepted: &Accepted<'_>, effect: &Effect) -> Answer {
        let index = accepted.lot;
        match effect {
            Effect::Lead(amount) => self.lead(accepted, *amount),
            Effect::Purchase(price) => self.purchase(accepted, *price),
            Effect::Hammer => {
                self.hammer(accepted);
                self.settled(index, false)
            }
            Effect::CallOff => {
                let currency = self.rows.lots[index].currency;
                let released = self.release(accepted, None);
                self.end(accepted, AuctionState::Cancelled, act::Kind::Cancelled, None);
                let (lot, seq, at) = (index, accepted.seq, accepted.at);
                Answer::Cancellation { lot, seq, currency, released, at }
            }
        }
    }

    fn lead(&mut self, accepted: &Accepted<'_>, amount: i64) -> Answer {
        let user = accepted.user.expect("a bid is a user's").to_owned();
        let before = &self.rows.lots[accepted.lot];
        let (currency, own) = (before.currency, hold(before, &user));
        let outbid = self.release(accepted, Some(&user));
        self.move_money(accepted, &user, entry::Kind::Hold, own - amount, amount - own);
        let lot = &mut self.rows.lots[accepted.lot];
        lot.bids.push(BidRow {
            seq: accepted.seq,
            operation: accepted.operation(),
            user: user.clone(),
            amount,
            price: amount,
            leader: user.clone(),
            ends_at: lot.ends_at,
            at: accepted.at,
        });
        led(lot, &user, amount, accepted);
        let ends_at = lot.ends_at;
        bid_answer(accepted, amount, amount, currency, false, outbid, ends_at)
    }

    fn purchase(&mut self, accepted: &Accepted<'_>, price: i64) -> Answer {
        let buyer = accepted.user.expect("a purchase is a user's").to_owned();
        let before = &self.rows.lots[accepted.lot];
        let (currency, seller, ends_at) = (before.currency, before.seller.clone(), before.ends_at);
        let own = hold(before, &buyer);
        let outbid = self.release(accepted, Some(&buyer));
        self.move_money(accepted, &buyer, entry::Kind::Capture, own - price, -own);
        self.move_money(accepted, &seller, entry::Kind::Proceeds, price, 0);
        led(&mut self.rows.lots[accepted.lot], &buyer, price, accepted);
        self.end(accepted, AuctionState::Sold, act::Kind::Bought, Some(price));
        if let Wish::Bid(offered) = accepted.wish {
            let offered = text::amount("amount", *offered, currency).expect("it was accepted");
            return bid_answer(accepted, offered, price, currency, true, outbid, ends_at);
        }
        Answer::Purchase {
            lot: accepted.lot,
            seq: accepted.seq,
            buyer,
            seller,
            price: words(price, currency),
            currency,
            outbid,
            at: accepted.at,
        }
    }

    fn hammer(&mut self, accepted: &Accepted<'_>) {
        let lot = &self.rows.lots[accepted.lot];
        let (seller, sale) = (lot.seller.clone(), lot.leader.clone().zip(lot.price));
        let kind = match accepted.wish {
            Wish::Settle => act::Kind::Settled,
            _ => act::Kind::ClosedEarly,
        };
        let Some((winner, price)) = sale else {
            return self.end(accepted, AuctionState::Unsold, kind, None);
        };
        self.move_money(accepted, &winner, entry::Kind::Capture, 0, -price);
        self.move_money(accepted, &seller, entry::Kind::Proceeds, price, 0);
        self.end(accepted, AuctionState::Sold, kind, Some(price));
    }

    /// Gives the leader's hold back, unless it is the hold of `but`; says whose it was and how much.
    fn release(&mut self, accepted: &Accepted<'_>, but: Option<&str>) -> Option<(String, String)> {
        let lot = &self.rows.lots[accepted.lot];
        let (leader, currency) = (lot.leader.clone()?, lot.currency);
        if but == Some(&leader) {
            return None;
        }
        let held = hold(lot, &leader);
        self.move_money(accepted, &leader, entry::Kind::Release, held, -held);
        Some((leader, words(held, currency)))
    }

    /// The last act of an auction.
    fn end(
        &mut self,
        accepted: &Accepted<'_>,
        state: AuctionState,
        kind: act::Kind,
        price: Option<i64>,
    ) {
        let closes = matches!(accepted.wish, Wish::CloseEarly | Wish::Cancel);
        let lot = &mut self.rows.lots[accepted.lot];
        lot.acts.push(ActRow {
            seq: accepted.seq,
            operation: accepted.operation(),
            kind,
            user: accepted.user.map(str::to_owned),
            amount: price,
            reason: accepted.note.filter(|_| closes).map(str::to_owned),
            at: accepted.at,
        });
        (lot.state, lot.seq, lot.last_at) = (state, accepted.seq, accepted.at);
        lot.sold_price = price;
        lot.winner = lot.leader.clone().filter(|_| price.is_some());
    }

    fn move_money(
        &mut self,
        accepted: &Accepted<'_>,
        user: &str,
        kind: entry::Kind,
        available_delta: i64,
        held_delta: i64,
    ) {
        let currency = self.rows.lots[accepted.lot].currency;
        let owner = (user.to_owned(), currency.code().to_owned());
        // The note is of whoever bids, buys or wins; the seller reads it unless it was a bid's.
        let noted = match (kind, accepted.wish) {
            (entry::Kind::Release, _) | (entry::Kind::Proceeds, Wish::Bid(_)) => false,
            (_, wish) => !matches!(wish, Wish::CloseEarly | Wish::Cancel),
        };
        let line = Line {
            operation: accepted.operation(),
            kind,
            available_delta,
            held_delta,
            lot: Some(accepted.lot),
            memo: accepted.note.filter(|_| noted).map(str::to_owned),
            ..line(accepted.at)
        };
        self.enter(&owner, line);
    }

    pub(super) fn enter(&mut self, owner: &Owner, mut line: Line) {
        let purse = self.rows.purses.get_mut(owner).expect("money moves between wallets");
        purse.available += line.available_delta;
        purse.held += line.held_delta;
        purse.seq += 1;
        purse.last_at = line.at;
        (line.available_after, line.held_after) = (purse.available, purse.held);
        purse.lines.push(line);
    }
}

/// An entry that says only when.
pub(super) fn line(at: i64) -> Line {
    Line {
        operation: String::new(),
        kind: entry::Kind::Deposit,
        available_delta: 0,
        held_delta: 0,
        available_after: 0,
        held_after: 0,
        lot: None,
        memo: None,
        at,
    }
}

/// The user leads with this amount. The runner-up's is the highest of anybody else's bids.
fn led(lot: &mut Lot, user: &str, amount: i64, accepted: &Accepted<'_>) {
    (lot.leader, lot.leader_max) = (Some(user.to_owned()), Some(amount));
    (lot.leader_seq, lot.price) = (Some(accepted.seq), Some(amount));
    let others = lot.bids.iter().filter(|bid| bid.user != user);
    lot.runner_up_max = others.map(|bid| bid.amount).max();
    (lot.seq, lot.last_at) = (accepted.seq, accepted.at);
}

fn bid_answer(
    accepted: &Accepted<'_>,
    amount: i64,
    price: i64,
    currency: Currency,
    bought: bool,
    outbid: Option<(String, String)>,
    ends_at: i64,
) -> Answer {
    Answer::Bid {
        lot: accepted.lot,
        seq: accepted.seq,
        user: accepted.user.unwrap_or_default().to_owned(),
        amount: words(amount, currency),
        price: words(price, currency),
        currency,
        bought,
        outbid,
        ends_at,
        at: accepted.at,
    }
}
