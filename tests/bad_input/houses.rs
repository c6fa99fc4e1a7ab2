//! The same for what the rules of the houses add: terms with every setting, the acts of sellers and of the house, sealed bids
//! and asks, and the queries of a page.

use std::collections::BTreeMap;
use std::time::Duration;

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionState, AuctionTerms, Availability, CommandRef, Currency,
    Error, HouseShare, Increments, ManualClock, OperationId,
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rust_decimal::Decimal;

use super::source::Source;
use super::wild::{self, Text, mostly};
use super::witness::Witness;
use super::{WON, count, pool, start};
use crate::support::{Books, TestResult, World, on_every_backend};

/// On SQLite; a twentieth of it on each server.
const OF_HOUSES: usize = 20_000;

#[derive(Clone, Debug)]
enum Ask {
    Open(Box<Terms>),
    Bid { lot: usize, user: Text, amount: Decimal },
    Take { lot: usize, user: Text, limit: Decimal },
    BuyNow { lot: usize, user: Text },
    Settle { lot: usize },
    CloseEarly { lot: usize, by: Option<Text> },
    LowerReserve { lot: usize, reserve: Decimal, by: Option<Text>, reason: Option<Text> },
    Accept { lot: usize, by: Option<Text>, reason: Option<Text> },
    Extend { lot: usize, ends_at: DateTime<Utc>, by: Option<Text>, reason: Option<Text> },
    Void { lot: usize, bid: i64, by: Option<Text>, reason: Text },
    Cancel { lot: usize, by: Option<Text> },
    Collect { user: Text, currency: Currency },
    View { lot: usize, user: Text },
    Auctions { state: AuctionState, limit: u64 },
    Holds { user: Text, currency: Currency },
    Bids { lot: usize },
    Keyed { lot: usize, user: Text, amount: Decimal, key: Text },
    Purge(Duration),
    Outcome { lot: usize, seq: i64 },
    Audit { from: i64, to: i64, rows: u64 },
}

#[derive(Clone, Debug)]
struct Terms {
    format: usize,
    prices: (Decimal, Decimal),
    steps: Vec<(Duration, Decimal)>,
    table: Vec<(Decimal, Decimal)>,
    percent: (u32, Decimal),
    increments: usize,
    reserve: Option<Decimal>,
    buy_now: Option<(Decimal, usize)>,
    windows: (Option<Duration>, Option<Duration>, Option<Duration>),
    shares: [(u32, Option<Decimal>, Option<Decimal>); 2],
    end: Duration,
}

impl Terms {
    fn build(&self) -> AuctionTerms {
        let (first, second) = self.prices;
        let mut terms = match self.format {
            0 => AuctionTerms::english(WON, first, second),
            1 => AuctionTerms::english(WON, first, second).automatic_bidding(),
            2 => AuctionTerms::sealed_first_price(WON, first),
            3 => AuctionTerms::sealed_second_price(WON, first),
            4 => AuctionTerms::dutch(WON, first, second),
            5 => AuctionTerms::dutch_in_steps(WON, self.steps.clone()),
            _ => AuctionTerms::fixed_price(WON, first),
        };
        terms = match self.increments {
            0 => terms.increments(Increments::table(self.table.clone())),
            1 => terms.increments(Increments::percent(self.percent.0, self.percent.1)),
            2 => terms.increments(Increments::ebay()),
            3 => terms.increments(Increments::yahoo_japan()),
            _ => terms,
        };
        if let Some(reserve) = self.reserve {
            terms = terms.reserve(reserve);
        }
        if let Some((price, until)) = self.buy_now {
            let until = [
                Availability::Always,
                Availability::UntilFirstBid,
                Availability::UntilReserveMet,
                Availability::UntilPriceReaches,
            ][until];
            terms = terms.buy_now(price).buy_now_until(until);
        }
        let (acceptance, soft_close, cap) = self.windows;
        // Without a reserve it is refused, and so is a cap without a soft close.
        let acceptance = acceptance.filter(|_| self.reserve.is_some());
        terms = acceptance.map_or(terms.clone(), |window| terms.acceptance_window(window));
        terms = soft_close.map_or(terms.clone(), |window| terms.soft_close(window));
        terms = cap.map_or(terms.clone(), |cap| terms.soft_close_at_most(cap));
        let [premium, fee] = self.shares.map(|(points, least, most)| {
            let share = HouseShare::basis_points(points);
            let share = least.map_or(share, |least| share.at_least(least));
            most.map_or(share, |most| share.at_most(most))
        });
        terms.premium(premium).fee(fee).ends_in(self.end)
    }
}

fn user() -> BoxedStrategy<Text> {
    mostly(
        select(vec!["ann", "bob", "sam", "eve"]).prop_map(|user| Text(user.to_owned())),
        wild::text(),
    )
}

fn by() -> BoxedStrategy<Option<Text>> {
    let known = select(vec![None, Some("sam"), Some("ann")]);
    mostly(
        known.prop_map(|user| user.map(|user| Text(user.to_owned()))),
        wild::text().prop_map(Some),
    )
}

fn note() -> BoxedStrategy<Option<Text>> {
    mostly(option::of("[a-z ]{0,20}".prop_map(Text)), wild::text().prop_map(Some))
}

fn amount() -> BoxedStrategy<Decimal> {
    mostly((1_i64..300).prop_map(Decimal::from), wild::decimal())
}

fn span() -> BoxedStrategy<Duration> {
    mostly((1_u64..10_000).prop_map(Duration::from_secs), wild::duration())
}

fn terms() -> BoxedStrategy<Terms> {
    let step = (span(), amount());
    let row = (amount(), amount());
    let share =
        || (mostly(0_u32..10_001, any::<u32>()), option::of(amount()), option::of(amount()));
    let rare = |amount: BoxedStrategy<Decimal>| option::weighted(0.3, amount);
    let windows = (
        option::weighted(0.3, span()),
        option::weighted(0.3, span()),
        option::weighted(0.1, span()),
    );
    let first = (0_usize..7, (amount(), amount()), prop::collection::vec(step, 0..4));
    let second = (
        prop::collection::vec(row, 0..20),
        (mostly(1_u32..10_001, any::<u32>()), amount()),
        0_usize..12,
    );
    let third = (rare(amount()), option::weighted(0.2, (amount(), 0_usize..4)), windows);
    (first, second, third, [share(), share()], span())
        .prop_map(|(first, second, third, shares, end)| {
            let (format, prices, steps) = first;
            let (table, percent, increments) = second;
            let (reserve, buy_now, windows) = third;
            Terms {
                format,
                prices,
                steps,
                table,
                percent,
                increments,
                reserve,
                buy_now,
                windows,
                shares,
                end,
            }
        })
        .boxed()
}

fn asks() -> BoxedStrategy<Ask> {
    let lot = || 0_usize..FORMATS + 1;
    let at = mostly(
        (0_i64..100_000).prop_map(|span| start() + TimeDelta::seconds(span)),
        wild::instant(),
    );
    let currency = || mostly(Just(WON), wild::currency());
    let states = vec![
        AuctionState::Open,
        AuctionState::Sold,
        AuctionState::Unsold,
        AuctionState::Cancelled,
        AuctionState::AwaitingSeller,
        AuctionState::Settling,
        AuctionState::Cancelling,
    ];
    prop_oneof![
        3 => terms().prop_map(|terms| Ask::Open(Box::new(terms))),
        6 => (lot(), user(), amount()).prop_map(|(lot, user, amount)| Ask::Bid { lot, user, amount }),
        2 => (lot(), user(), amount()).prop_map(|(lot, user, limit)| Ask::Take { lot, user, limit }),
        1 => (lot(), user()).prop_map(|(lot, user)| Ask::BuyNow { lot, user }),
        1 => lot().prop_map(|lot| Ask::Settle { lot }),
        1 => (lot(), by()).prop_map(|(lot, by)| Ask::CloseEarly { lot, by }),
        2 => (lot(), amount(), by(), note())
            .prop_map(|(lot, reserve, by, reason)| Ask::LowerReserve { lot, reserve, by, reason }),
        1 => (lot(), by(), note()).prop_map(|(lot, by, reason)| Ask::Accept { lot, by, reason }),
        2 => (lot(), at, by(), note())
            .prop_map(|(lot, ends_at, by, reason)| Ask::Extend { lot, ends_at, by, reason }),
        2 => (lot(), mostly(0_i64..9, wild::id()), by(), mostly("[a-z ]{0,20}".prop_map(Text), wild::text()))
            .prop_map(|(lot, bid, by, reason)| Ask::Void { lot, bid, by, reason }),
        1 => (lot(), by()).prop_map(|(lot, by)| Ask::Cancel { lot, by }),
        1 => (user(), currency()).prop_map(|(user, currency)| Ask::Collect { user, currency }),
        2 => (lot(), user()).prop_map(|(lot, user)| Ask::View { lot, user }),
        1 => (select(states), mostly(0_u64..5, wild::limit()))
            .prop_map(|(state, limit)| Ask::Auctions { state, limit }),
        1 => (user(), currency()).prop_map(|(user, currency)| Ask::Holds { user, currency }),
        1 => lot().prop_map(|lot| Ask::Bids { lot }),
        3 => (lot(), user(), amount(), mostly("[a-c]".prop_map(Text), wild::text()))
            .prop_map(|(lot, user, amount, key)| Ask::Keyed { lot, user, amount, key }),
        1 => wild::duration().prop_map(Ask::Purge),
        1 => (lot(), mostly(0_i64..9, wild::id())).prop_map(|(lot, seq)| Ask::Outcome { lot, seq }),
        1 => (wild::id(), wild::id(), mostly(1_u64..50, wild::limit()))
            .prop_map(|(from, to, rows)| Ask::Audit { from, to, rows }),
    ]
    .boxed()
}

/// Gives a request one of its optional texts.
macro_rules! with {
    ($request:expr, $setter:ident, $text:expr) => {{
        let request = $request;
        match $text {
            Some(text) => request.$setter(text.0.as_str()),
            None => request,
        }
    }};
}

const FORMATS: usize = 6;

struct House {
    ledger: AuctionLedger,
    clock: ManualClock,
    auctions: Vec<AuctionId>,
}

impl House {
    async fn new(world: &World) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let clock = ManualClock::new(start());
        let ledger = AuctionLedger::new(pool(world).await?).clock(clock.clone());
        for user in ["ann", "bob"] {
            ledger.deposit(user, WON, 1_000_000.into()).await?;
        }
        ledger.deposit("eve", WON, 150.into()).await?;
        let mut house = Self { ledger, clock, auctions: vec![AuctionId::from(-1); FORMATS + 1] };
        for lot in 0..FORMATS {
            house.open(lot).await?;
        }
        Ok(house)
    }

    /// One auction of each kind; behind them one that nobody knows.
    async fn open(&mut self, lot: usize) -> Result<(), Error> {
        let hour = Duration::from_secs(3_600);
        let automatic = || AuctionTerms::english(WON, 10.into(), 5.into()).automatic_bidding();
        let terms = match lot {
            0 => automatic().reserve(100.into()).acceptance_window(hour).buy_now(250.into()),
            1 => automatic().soft_close(hour).premium(HouseShare::basis_points(10_00)),
            2 => AuctionTerms::sealed_second_price(WON, 10.into()).reserve(50.into()),
            3 => {
                AuctionTerms::dutch(WON, 200.into(), 20.into()).fee(HouseShare::basis_points(5_00))
            }
            4 => AuctionTerms::fixed_price(WON, 100.into()),
            _ => AuctionTerms::english(WON, 10.into(), 5.into()).reserve(200.into()),
        };
        let opened = self.ledger.open_auction("sam", "a thing", terms.ends_in(hour)).await?;
        self.auctions[lot] = opened.id;
        Ok(())
    }

    /// Every now and then time passes, and what is over is opened anew.
    async fn renew(&mut self, number: usize) -> Result<(), Error> {
        if number.is_multiple_of(7) {
            self.clock.advance(TimeDelta::minutes(1));
        }
        for lot in 0..FORMATS {
            let state = self.ledger.auction(self.auctions[lot]).await?.state;
            let over = [AuctionState::Sold, AuctionState::Unsold, AuctionState::Cancelled];
            if over.contains(&state) {
                self.open(lot).await?;
            }
        }
        Ok(())
    }

    async fn ask(&self, ask: &Ask) -> Result<(), Error> {
        let (ledger, id) = (&self.ledger, |lot: &usize| self.auctions[*lot]);
        match ask {
            Ask::Open(terms) => {
                ledger.open_auction("sam", "a thing", terms.build()).await.map(drop)
            }
            Ask::Bid { lot, user, amount } => {
                ledger.place_bid(id(lot), user.0.as_str(), *amount).await.map(drop)
            }
            Ask::Take { lot, user, limit } => {
                ledger.take(id(lot), user.0.as_str(), *limit).await.map(drop)
            }
            Ask::BuyNow { lot, user } => ledger.buy_now(id(lot), user.0.as_str()).await.map(drop),
            Ask::Settle { lot } => ledger.settle(id(lot)).await.map(drop),
            Ask::CloseEarly { lot, by } => {
                with!(ledger.close_early(id(lot)), by, by).await.map(drop)
            }
            Ask::LowerReserve { lot, reserve, by, reason } => {
                let lower = ledger.lower_reserve(id(lot), *reserve);
                with!(with!(lower, by, by), reason, reason).await.map(drop)
            }
            Ask::Accept { lot, by, reason } => {
                let accept = ledger.accept_below_reserve(id(lot));
                with!(with!(accept, by, by), reason, reason).await.map(drop)
            }
            Ask::Extend { lot, ends_at, by, reason } => {
                let extend = ledger.extend(id(lot), *ends_at);
                with!(with!(extend, by, by), reason, reason).await.map(drop)
            }
            Ask::Void { lot, bid, by, reason } => {
                let void = ledger.void_bid(id(lot), *bid, reason.0.as_str());
                with!(void, by, by).await.map(drop)
            }
            Ask::Cancel { lot, by } => with!(ledger.cancel(id(lot)), by, by).await.map(drop),
            Ask::Collect { user, currency } => {
                ledger.collect_house(user.0.as_str(), *currency).await.map(drop)
            }
            Ask::View { lot, user } => ledger.auction_for(id(lot), user.0.as_str()).await.map(drop),
            Ask::Auctions { state, limit } => ledger.auctions(*state).limit(*limit).await.map(drop),
            Ask::Holds { user, currency } => {
                ledger.holds(user.0.as_str(), *currency).await.map(drop)
            }
            Ask::Bids { lot } => ledger.bids(id(lot)).await.map(drop),
            Ask::Keyed { lot, user, amount, key } => {
                let bid = ledger.place_bid(id(lot), user.0.as_str(), *amount);
                bid.key(key.0.as_str()).await.map(drop)
            }
            Ask::Purge(age) => ledger.purge_keys(*age).await.map(drop),
            Ask::Outcome { lot, seq } => ledger.outcome(&command(id(lot), *seq)).await.map(drop),
            Ask::Audit { from, to, rows } => {
                let audit = ledger.audit().auctions(AuctionId::from(*from)..=AuctionId::from(*to));
                audit.page_size(*rows).limit(*rows).await.map(drop)
            }
        }
    }
}

/// Where a command would be written, as a host may have stored it.
fn command(auction: AuctionId, seq: i64) -> CommandRef {
    let place = serde_json::json!({ "auction": { "auction": auction, "seq": seq } });
    let command = serde_json::json!({ "operation": OperationId::new(), "place": place });
    serde_json::from_value(command).expect("a command")
}

/// The name of the answer; an error if it is none that an input can have.
fn answer(answer: &Result<(), Error>) -> Result<String, String> {
    let name = |debug: String| debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    match answer {
        Ok(()) => Ok("accepted".to_owned()),
        Err(Error::Rejected(rejection)) => Ok(name(format!("{rejection:?}"))),
        Err(Error::InvalidTerms(error)) => Ok(name(format!("{error:?}"))),
        Err(
            error @ (Error::InvalidUser(_)
            | Error::InvalidText { .. }
            | Error::InvalidAmount { .. }
            | Error::UnknownAuction { .. }
            | Error::CurrencyMismatch { .. }
            | Error::IdempotencyConflict { .. }),
        ) => Ok(name(format!("{error:?}"))),
        Err(error) => Err(format!("an input is no failure of the database: {error:?}")),
    }
}

async fn whatever_is_asked(world: &World) -> TestResult {
    let count = count(world.database(), OF_HOUSES);
    let mut house = House::new(world).await?;
    let witness = Witness::of(world).await?;
    let (mut source, inputs) = (Source::new(), asks());
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..count {
        house.renew(number).await?;
        let mut before = witness.look().await?;
        let judge = async |ask: Ask| {
            let given = house.ask(&ask).await;
            let name = answer(&given)?;
            let seen = witness.look().await.map_err(|error| error.to_string())?;
            let written = std::mem::replace(&mut before, seen) != before;
            *tally.entry(name).or_default() += 1;
            if written && given.is_err() { Err("a refusal has written".to_owned()) } else { Ok(()) }
        };
        source.try_next(&inputs, judge).await;
        if number.is_multiple_of(count / 20 + 1) {
            Books::read(world.db()).await?.check();
        }
    }
    println!("{tally:?}");
    let books = Books::read(world.db()).await?;
    books.check();
    assert!(books.auctions.len() > FORMATS, "auctions were opened");
    if count >= 10_000 {
        let expected =
            ["accepted", "NoSuchBid", "NotLater", "ReserveNotLower", "Sealed", "NeedsBids"];
        let missing: Vec<_> = expected.iter().filter(|name| !tally.contains_key(**name)).collect();
        assert!(missing.is_empty(), "never answered: {missing:?}");
    }
    witness.end().await?;
    house.ledger.connection().close_by_ref().await?;
    Ok(())
}

on_every_backend! {
    async fn whatever_is_asked_of_a_house_gets_a_typed_answer(world: &World) {
        whatever_is_asked(world).await?;
    }
}
