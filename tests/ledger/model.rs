//! Random commands against a ledger in memory, written from the rules and not from the code.

use std::collections::BTreeMap;

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionState, AuctionTerms, Error, ManualClock, Rejection,
};
use chrono::{DateTime, TimeDelta, Utc};

use super::{WON, balance, books, ledger, start};
use crate::support::{TestResult, World, on_every_backend, scale};

/// A small generator (xorshift), so that a seed says it all.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11).rem_euclid(sides) as i64
    }
}

#[derive(Debug, Clone)]
enum Command {
    Deposit { user: usize, amount: i64 },
    Withdraw { user: usize, amount: i64 },
    Open { seller: usize, lot: Lot },
    Bid { user: usize, lot: usize, amount: i64 },
    Buy { user: usize, lot: usize },
}

/// What was promised, and what became of it.
#[derive(Debug, Clone)]
struct Lot {
    seller: usize,
    first: i64,
    step: i64,
    grid: Option<i64>,
    buy_now: Option<i64>,
    starts: DateTime<Utc>,
    ends: DateTime<Utc>,
    /// Leader and price.
    lead: Option<(usize, i64)>,
    sold: bool,
    commands: i64,
}

/// What a command answers, as far as the model knows it.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Balance(i64, i64),
    Opened,
    /// Number, price, bought, who was outbid and how much they got back.
    Taken(i64, i64, bool, Option<(usize, i64)>),
    Refused(Rejection),
}

#[derive(Default)]
struct Model {
    /// Available and held.
    wallets: BTreeMap<usize, (i64, i64)>,
    lots: Vec<Lot>,
}

impl Model {
    fn answer(&mut self, command: &Command, now: DateTime<Utc>) -> Answer {
        match *command {
            Command::Deposit { user, amount } => {
                let wallet = self.wallets.entry(user).or_default();
                wallet.0 += amount;
                Answer::Balance(wallet.0, wallet.1)
            }
            Command::Withdraw { user, amount } => {
                let (available, held) = self.wallets.get(&user).copied().unwrap_or_default();
                if amount > available {
                    return poor(amount, available);
                }
                self.wallets.insert(user, (available - amount, held));
                Answer::Balance(available - amount, held)
            }
            Command::Open { seller, ref lot } => {
                self.wallets.entry(seller).or_default();
                self.lots.push(lot.clone());
                Answer::Opened
            }
            Command::Bid { user, lot, amount } => self.bid(user, lot, amount, now),
            Command::Buy { user, lot } => self.buy(user, lot, now),
        }
    }

    fn closed(&self, lot: usize, now: DateTime<Utc>) -> Option<Rejection> {
        let lot = &self.lots[lot];
        if lot.sold {
            return Some(Rejection::Closed { state: AuctionState::Sold });
        }
        if now < lot.starts {
            return Some(Rejection::NotOpenYet { starts_at: lot.starts });
        }
        (now >= lot.ends).then_some(Rejection::Ended { at: lot.ends })
    }

    fn bid(&mut self, user: usize, index: usize, amount: i64, now: DateTime<Utc>) -> Answer {
        if let Some(closed) = self.closed(index, now) {
            return Answer::Refused(closed);
        }
        let lot = self.lots[index].clone();
        if lot.seller == user {
            return Answer::Refused(Rejection::SellerCannotBid);
        }
        // A bid at or above the buy-now price buys at that price; below it the offer always stands.
        if let Some(price) = lot.buy_now
            && amount >= price
        {
            return self.sell(user, index, price);
        }
        let minimum = lot.lead.map_or(lot.first, |(_, price)| price + lot.step);
        // No full increment is needed to reach the buy-now price.
        let minimum = lot.buy_now.map_or(minimum, |price| price.min(minimum));
        if amount < minimum {
            return Answer::Refused(Rejection::BelowMinimum { minimum: minimum.into() });
        }
        if let Some(grid) = lot.grid
            && amount % grid != 0
        {
            let below = amount - amount % grid;
            let above = Some((below + grid).into());
            let (multiple_of, below) = (grid.into(), below.into());
            return Answer::Refused(Rejection::NotOnIncrement { multiple_of, below, above });
        }
        let own = lot.lead.filter(|(leader, _)| *leader == user).map_or(0, |(_, held)| held);
        let available = self.wallets.get(&user).map_or(0, |wallet| wallet.0);
        if amount - own > available {
            return poor(amount - own, available);
        }
        let outbid = self.release(index);
        let wallet = self.wallets.get_mut(&user).unwrap();
        *wallet = (wallet.0 - amount, wallet.1 + amount);
        let lot = &mut self.lots[index];
        lot.lead = Some((user, amount));
        lot.commands += 1;
        Answer::Taken(lot.commands, amount, false, outbid.filter(|(leader, _)| *leader != user))
    }

    fn buy(&mut self, user: usize, index: usize, now: DateTime<Utc>) -> Answer {
        if let Some(closed) = self.closed(index, now) {
            return Answer::Refused(closed);
        }
        let lot = &self.lots[index];
        let Some(price) = lot.buy_now else {
            return Answer::Refused(Rejection::BuyNowUnavailable);
        };
        if lot.seller == user {
            return Answer::Refused(Rejection::SellerCannotBuy);
        }
        self.sell(user, index, price)
    }

    fn sell(&mut self, user: usize, index: usize, price: i64) -> Answer {
        let lead = self.lots[index].lead;
        let own = lead.filter(|(leader, _)| *leader == user).map_or(0, |(_, held)| held);
        let available = self.wallets.get(&user).map_or(0, |wallet| wallet.0);
        if price - own > available {
            return poor(price - own, available);
        }
        let outbid = self.release(index);
        self.wallets.get_mut(&user).unwrap().0 -= price;
        let lot = &mut self.lots[index];
        self.wallets.get_mut(&lot.seller).unwrap().0 += price;
        lot.sold = true;
        lot.lead = Some((user, price));
        lot.commands += 1;
        Answer::Taken(lot.commands, price, true, outbid.filter(|(leader, _)| *leader != user))
    }

    fn release(&mut self, index: usize) -> Option<(usize, i64)> {
        let (leader, held) = self.lots[index].lead?;
        let wallet = self.wallets.get_mut(&leader).unwrap();
        *wallet = (wallet.0 + held, wallet.1 - held);
        Some((leader, held))
    }
}

fn poor(needed: i64, available: i64) -> Answer {
    let (needed, available) = (needed.into(), available.into());
    Answer::Refused(Rejection::InsufficientFunds { needed, available })
}

fn draw(dice: &mut Dice, lots: &[Lot], now: DateTime<Utc>) -> Command {
    let user = dice.roll(4) as usize;
    match dice.roll(10) {
        0 | 1 => Command::Deposit { user, amount: 1 + dice.roll(1_000) },
        2 => Command::Withdraw { user, amount: 1 + dice.roll(200) },
        3..=5 if lots.len() < 3 => Command::Open { seller: user, lot: draw_lot(dice, user, now) },
        _ if lots.is_empty() => Command::Deposit { user, amount: 1 + dice.roll(1_000) },
        6 => Command::Buy { user, lot: dice.roll(lots.len() as u64) as usize },
        _ => {
            let lot = dice.roll(lots.len() as u64) as usize;
            // Around what would be accepted, so that both answers are frequent.
            let price = lots[lot].lead.map_or(lots[lot].first, |(_, price)| price + lots[lot].step);
            let amount = (price + 10 * (dice.roll(6) - 1) + dice.roll(3) / 2).max(1);
            Command::Bid { user, lot, amount }
        }
    }
}

fn draw_lot(dice: &mut Dice, seller: usize, now: DateTime<Utc>) -> Lot {
    let first = 10 * (1 + dice.roll(5));
    let starts = now + TimeDelta::seconds(dice.roll(4));
    Lot {
        seller,
        first,
        step: 10 * (1 + dice.roll(2)),
        grid: (dice.roll(2) == 0).then_some(10),
        buy_now: (dice.roll(3) != 0).then_some(first + 10 * (1 + dice.roll(15))),
        starts,
        ends: starts + TimeDelta::seconds(30 + dice.roll(90)),
        lead: None,
        sold: false,
        commands: 1,
    }
}

/// One sequence with users of its own.
struct Run<'a> {
    ledger: &'a AuctionLedger,
    seed: u64,
    auctions: Vec<AuctionId>,
}

impl Run<'_> {
    fn user(&self, index: usize) -> String {
        format!("{} {}", ["ann", "bob", "cyd", "dan"][index], self.seed)
    }

    async fn send(&mut self, command: &Command) -> Result<Answer, Error> {
        let whole = |amount: rust_decimal::Decimal| i64::try_from(amount).unwrap();
        let index = |name: &str| (0..4).find(|index| self.user(*index) == name).unwrap();
        let back = |outbid: Option<auction_ledger::Outbid>| {
            outbid.map(|outbid| (index(outbid.user.as_str()), whole(outbid.released)))
        };
        Ok(match *command {
            Command::Deposit { user, amount } => {
                let wallet = self.ledger.deposit(self.user(user), WON, amount.into()).await?;
                Answer::Balance(whole(wallet.available), whole(wallet.held))
            }
            Command::Withdraw { user, amount } => {
                let wallet = self.ledger.withdraw(self.user(user), WON, amount.into()).await?;
                Answer::Balance(whole(wallet.available), whole(wallet.held))
            }
            Command::Open { seller, ref lot } => {
                let mut terms = AuctionTerms::english(WON, lot.first.into(), lot.step.into())
                    .starts_at(lot.starts)
                    .ends_at(lot.ends);
                terms = lot.grid.map_or(terms.clone(), |grid| terms.multiple_of(grid.into()));
                terms = lot.buy_now.map_or(terms.clone(), |price| terms.buy_now(price.into()));
                let opened = self.ledger.open_auction(self.user(seller), "a lens", terms).await?;
                self.auctions.push(opened.id);
                Answer::Opened
            }
            Command::Bid { user, lot, amount } => {
                let bid = self.ledger.place_bid(self.auctions[lot], self.user(user), amount.into());
                let bid = bid.await?;
                Answer::Taken(bid.seq, whole(bid.price), bid.bought, back(bid.outbid))
            }
            Command::Buy { user, lot } => {
                let bought = self.ledger.buy_now(self.auctions[lot], self.user(user)).await?;
                Answer::Taken(bought.seq, whole(bought.price), true, back(bought.outbid))
            }
        })
    }
}

async fn sequence(
    world: &World,
    ledger: &AuctionLedger,
    clock: &ManualClock,
    seed: u64,
    seen: &mut BTreeMap<String, usize>,
) -> TestResult {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut model = Model::default();
    let mut run = Run { ledger, seed, auctions: Vec::new() };
    clock.set(start());
    for number in 0..40 {
        clock.advance(TimeDelta::seconds(dice.roll(4)));
        let command = draw(&mut dice, &model.lots, clock.now());
        let expected = model.answer(&command, clock.now());
        let answer = match run.send(&command).await {
            Err(Error::Rejected(rejection)) => Answer::Refused(rejection),
            answer => {
                answer.map_err(|error| format!("seed {seed}, {number}: {command:?}: {error:?}"))?
            }
        };
        assert_eq!(answer, expected, "seed {seed}, command {number}: {command:?}");
        let name = format!("{answer:?}");
        let name = name.split(['{', ' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).next();
        *seen.entry(name.unwrap_or_default().to_owned()).or_default() += 1;
    }
    for user in 0..4 {
        let expected = model.wallets.get(&user).copied().unwrap_or_default();
        assert_eq!(balance(ledger, &run.user(user)).await?, expected, "seed {seed}, user {user}");
    }
    for (id, lot) in run.auctions.iter().zip(&model.lots) {
        let auction = ledger.auction(*id).await?;
        let state = if lot.sold { AuctionState::Sold } else { AuctionState::Open };
        assert_eq!((auction.state, auction.seq), (state, lot.commands), "seed {seed}");
        assert_eq!(auction.price, lot.lead.map(|(_, price)| price.into()), "seed {seed}");
        let leader = lot.lead.map(|(user, _)| run.user(user));
        assert_eq!(auction.leader.map(|user| user.to_string()), leader, "seed {seed}");
    }
    books(world).await?;
    Ok(())
}

on_every_backend! {
    async fn the_ledger_answers_as_a_ledger_in_memory(world: &World) {
        let (ledger, clock) = ledger(world);
        let mut seen = BTreeMap::new();
        for seed in 1..=scale(60) as u64 {
            sequence(world, &ledger, &clock, seed, &mut seen).await?;
        }
        println!("{}: {seen:?}", world.database().label());
    }
}
