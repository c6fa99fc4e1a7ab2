//! Random auctions of every format through every database: after all of them the books obey their laws, what each auction knows
//! of its bids is what a recount of all bids says, nothing is held that nobody promised, and the events that sinks were told
//! can be read back.

use std::time::Duration;

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Availability, Error, HouseShare, Increments,
    ManualClock, RecordingSink,
};
use chrono::TimeDelta;
use rust_decimal::Decimal;

use super::{WON, books, charge, end, ledger, start};
use crate::support::{World, on_every_backend, scale, told};

/// A sequence of numbers that its seed gives again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn amount(&mut self, most: u64) -> Decimal {
        Decimal::from(self.roll(most) + 1)
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

#[derive(Clone, Copy)]
enum Format {
    Plain,
    Automatic,
    FirstPrice,
    SecondPrice,
    Dutch,
    Steps,
    Fixed,
}

const BIDDERS: [&str; 4] = ["ann", "bob", "cid", "dan"];

fn terms(format: Format, dice: &mut Dice) -> AuctionTerms {
    let price = dice.amount(50);
    let terms = match format {
        Format::Plain | Format::Automatic => {
            let terms = AuctionTerms::english(WON, price, dice.amount(5));
            with_bids(
                if matches!(format, Format::Automatic) { terms.automatic_bidding() } else { terms },
                price,
                dice,
            )
        }
        Format::FirstPrice | Format::SecondPrice => {
            let terms = match format {
                Format::FirstPrice => AuctionTerms::sealed_first_price(WON, price),
                _ => AuctionTerms::sealed_second_price(WON, price),
            };
            if dice.one_in(2) { reserved(terms, price, dice) } else { terms }
        }
        Format::Steps => {
            let steps = [(Duration::ZERO, price + Decimal::TEN), (Duration::from_secs(900), price)];
            AuctionTerms::dutch_in_steps(WON, steps)
        }
        Format::Dutch => AuctionTerms::dutch(WON, price, price - Decimal::ONE),
        Format::Fixed => AuctionTerms::fixed_price(WON, price),
    };
    let mut share = || {
        let share = HouseShare::basis_points(dice.roll(3_000) as u32);
        if dice.one_in(3) { share.at_least(2.into()).at_most(9.into()) } else { share }
    };
    let (premium, fee) = (share(), share());
    terms.premium(premium).fee(fee).ends_at(end())
}

fn with_bids(terms: AuctionTerms, price: Decimal, dice: &mut Dice) -> AuctionTerms {
    let mut terms = match dice.roll(3) {
        0 => terms.increments(Increments::table([
            (0.into(), 1.into()),
            (40.into(), 3.into()),
            (80.into(), 7.into()),
        ])),
        1 => terms.increments(Increments::percent(7_50, 1.into())),
        _ => terms,
    };
    let has_reserve = dice.one_in(2);
    if has_reserve {
        terms = reserved(terms, price, dice);
    }
    if dice.one_in(2) {
        terms = terms.soft_close(Duration::from_secs(600));
    }
    if dice.one_in(3) {
        let until = [
            Availability::Always,
            Availability::UntilFirstBid,
            Availability::UntilPriceReaches,
            Availability::UntilReserveMet,
        ];
        let until = until[dice.roll(if has_reserve { 4 } else { 3 }) as usize];
        terms = terms.buy_now(price + Decimal::from(60)).buy_now_until(until);
    }
    terms
}

/// Hides a least price; the seller may have time to think about less.
fn reserved(terms: AuctionTerms, price: Decimal, dice: &mut Dice) -> AuctionTerms {
    let window = Duration::from_secs(60 * dice.roll(2));
    terms.reserve(price + dice.amount(40)).acceptance_window(window)
}

/// Whatever the rules say is right; anything else is not.
fn judged<T>(answer: Result<T, Error>) -> Result<(), Error> {
    match answer {
        Ok(_) | Err(Error::Rejected(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn play(
    ledger: &AuctionLedger,
    clock: &ManualClock,
    id: AuctionId,
    dice: &mut Dice,
) -> Result<(), Error> {
    let mut now = start();
    for _ in 0..6 + dice.roll(6) {
        now += TimeDelta::minutes(dice.roll(10) as i64);
        clock.set(now);
        let bidder = BIDDERS[dice.roll(4) as usize];
        match dice.roll(20) {
            0 => judged(ledger.buy_now(id, bidder).await)?,
            1 | 2 => judged(ledger.take(id, bidder, dice.amount(120)).await)?,
            3 => judged(ledger.lower_reserve(id, dice.amount(90)).by("sam").await)?,
            4 => judged(ledger.extend(id, now + TimeDelta::minutes(70)).await)?,
            6 => {
                let void = ledger.void_bid(id, 2 + dice.roll(6) as i64, "void");
                judged(if dice.one_in(2) { void.by("sam").await } else { void.await })?;
            }
            5 if dice.one_in(4) => judged(ledger.accept_below_reserve(id).by("sam").await)?,
            _ => judged(ledger.place_bid(id, bidder, dice.amount(110)).await)?,
        }
    }
    match dice.roll(8) {
        0 => judged(ledger.cancel(id).await)?,
        1 => judged(ledger.close_early(id).await)?,
        // What is open when all is played is laid against its bids.
        2 => return Ok(()),
        _ => {}
    }
    clock.set(now + TimeDelta::hours(3));
    judged(ledger.settle(id).await)
}

async fn many(world: &World, format: Format, seed: u64) -> crate::support::TestResult {
    let sink = RecordingSink::new();
    let (ledger, clock) = ledger(world);
    let ledger = ledger.sink_with(sink.clone(), 100_000);
    charge(&ledger, &BIDDERS, 1_000_000).await?;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    for _ in 0..scale(300) {
        clock.set(start());
        let terms = terms(format, &mut dice);
        let auction = ledger.open_auction("sam", "a thing", terms).await?;
        play(&ledger, &clock, auction.id, &mut dice).await?;
    }
    clock.set(end() + TimeDelta::days(1));
    books(world, &ledger).await?;
    ledger.collect_house("the house", WON).await?;
    while ledger.settle_due(1_000).await?.more {}
    let books = books(world, &ledger).await?;
    assert!(
        books.wallets.iter().all(|wallet| wallet.held == 0),
        "no exit from open leaves anything held"
    );
    told::is_read_back(&ledger, &told::everything(&ledger, &sink).await?).await
}

on_every_backend! {
    async fn plain(world: &World) {
        many(world, Format::Plain, 1).await?;
    }

    async fn automatic(world: &World) {
        many(world, Format::Automatic, 2).await?;
    }

    async fn first_price(world: &World) {
        many(world, Format::FirstPrice, 5).await?;
    }

    async fn second_price(world: &World) {
        many(world, Format::SecondPrice, 6).await?;
    }

    async fn dutch(world: &World) {
        many(world, Format::Dutch, 3).await?;
    }

    async fn dutch_in_steps(world: &World) {
        many(world, Format::Steps, 7).await?;
    }

    async fn fixed_price(world: &World) {
        many(world, Format::Fixed, 4).await?;
    }
}
