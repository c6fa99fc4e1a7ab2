//! All at once and one after the other: the same answers, the same bids, the same entries, the same events.

use std::time::Duration;

use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Availability, Error, GroupCommit, HouseShare,
    ManualClock, RecordingSink,
};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{WON, all_at_once, end, start};
use crate::support::{Books, TestResult, World, on_every_backend, scale};

/// A sequence of numbers that its seed gives again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const USERS: [&str; 6] = ["ann", "bob", "cid", "dan", "sam", "nobody"];

#[derive(Clone, Debug)]
enum Wish {
    Bid(i64),
    Buy,
    Take(i64),
}

/// What one user wants, perhaps with a key.
#[derive(Clone, Debug)]
struct Request {
    user: &'static str,
    wish: Wish,
    key: Option<String>,
}

fn request(dice: &mut Dice) -> Request {
    let wish = match dice.roll(20) {
        0 => Wish::Buy,
        1 => Wish::Take(dice.roll(400) as i64),
        2 => Wish::Bid(-1),
        _ => Wish::Bid(10 * dice.roll(40) as i64),
    };
    let key = (dice.roll(4) == 0).then(|| format!("key {}", dice.roll(6)));
    Request { user: USERS[dice.roll(USERS.len() as u64) as usize], wish, key }
}

fn terms(dice: &mut Dice) -> AuctionTerms {
    let english = AuctionTerms::english(WON, 50.into(), 10.into());
    let terms = match dice.roll(7) {
        0 => english,
        1 => english.buy_now(300.into()),
        2 => english.automatic_bidding(),
        3 => english
            .automatic_bidding()
            .reserve(150.into())
            .buy_now(350.into())
            .buy_now_until(Availability::UntilReserveMet),
        4 => AuctionTerms::sealed_second_price(WON, 50.into()),
        5 => AuctionTerms::fixed_price(WON, 200.into()),
        _ => english.automatic_bidding().soft_close(Duration::from_secs(7_200)),
    };
    let terms =
        if dice.roll(2) == 0 { terms.premium(HouseShare::basis_points(10_00)) } else { terms };
    terms.ends_at(end())
}

/// A house of its own in the database: its users have the same names behind another letter.
struct House {
    letter: char,
    ledger: AuctionLedger,
    sink: RecordingSink,
}

impl House {
    fn new(world: &World, letter: char, settings: GroupCommit) -> Self {
        let sink = RecordingSink::new();
        let ledger = AuctionLedger::new(world.db().clone()).clock(ManualClock::new(start()));
        Self { letter, ledger: ledger.sink(sink.clone()).group_commit(settings), sink }
    }

    fn user(&self, name: &str) -> String {
        format!("{}-{name}", self.letter)
    }

    async fn open(&self, terms: AuctionTerms) -> Result<AuctionId, Error> {
        for user in &USERS[..4] {
            self.ledger.deposit(self.user(user), WON, 400.into()).await?;
        }
        Ok(self.ledger.open_auction(self.user("sam"), "a thing", terms).await?.id)
    }

    /// What everybody can compare: no ids, no operations, and no letter.
    fn plain(&self, text: &str, auction: AuctionId) -> String {
        let text = text.replace(&format!("{}-", self.letter), "");
        let text = text.replace(&format!("AuctionId({auction})"), "AuctionId(it)");
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find("OperationId(") {
            let (before, behind) = rest.split_at(at);
            plain.push_str(before);
            rest = behind.split_once(')').map_or("", |(_, behind)| behind);
        }
        plain + rest
    }

    fn send(&self, auction: AuctionId, request: Request) -> BoxFuture<'_, String> {
        let user = self.user(request.user);
        macro_rules! send {
            ($request:expr) => {{
                let request_sent = $request.memo("a note");
                match request.key {
                    Some(key) => request_sent.key(key).into_future(),
                    None => request_sent.into_future(),
                }
                .map(move |answer| self.plain(&told(&answer), auction))
                .boxed()
            }};
        }
        match request.wish {
            Wish::Bid(amount) => send!(self.ledger.place_bid(auction, user, amount.into())),
            Wish::Buy => send!(self.ledger.buy_now(auction, user)),
            Wish::Take(limit) => send!(self.ledger.take(auction, user, limit.into())),
        }
    }

    /// Waits until the sink, which is told behind the commands and in their order, knows of another one.
    async fn is_told(&self) -> TestResult {
        let terms = AuctionTerms::english(WON, 50.into(), 10.into()).ends_at(end());
        let last = self.ledger.open_auction(self.user("sam"), "the last", terms).await?.id;
        let mut count = 0;
        loop {
            let told = self.sink.wait_for(count).await;
            if told.iter().any(|event| event.auction == last) {
                return Ok(());
            }
            count = told.len() + 1;
        }
    }

    /// Everything that is stored of an auction and its users, and was told of it.
    async fn traces(&self, auction: AuctionId) -> Result<Vec<String>, Error> {
        let mut traces = vec![format!("{:?}", self.ledger.auction(auction).await?)];
        let bids = self.ledger.bids(auction).await?;
        traces.extend(bids.iter().map(|bid| format!("{bid:?}")));
        let acts = self.ledger.acts(auction).await?;
        traces.extend(acts.iter().map(|act| format!("{act:?}")));
        for user in USERS {
            let user = self.user(user);
            traces.push(format!("{:?}", self.ledger.wallet(user.as_str(), WON).await?));
            let mut entries = self.ledger.entries(user.as_str(), WON).await?;
            entries.retain(|entry| entry.auction == Some(auction));
            traces.extend(entries.iter().map(|entry| format!("{entry:?}")));
        }
        let told = self.sink.events();
        traces.extend(
            told.iter().filter(|event| event.auction == auction).map(|event| format!("{event:?}")),
        );
        Ok(traces.iter().map(|trace| self.plain(trace, auction)).collect())
    }
}

/// An answer with what it keeps from logs.
fn told<T: std::fmt::Debug>(answer: &Result<T, Error>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(error @ Error::IdempotencyConflict { .. }) => {
            format!("{error:?}").split('(').next().unwrap_or_default().to_owned()
        }
        Err(error) => format!("{error:?}"),
    }
}

/// The order in which requests for auctions, all at once, are carried out: the first has the turn; the others stand in line,
/// auction by auction in the order in which they came, and the auction of the first is free last.
fn order(auctions: &[usize]) -> Vec<usize> {
    let first = auctions.first().copied();
    let mut lines: Vec<usize> = Vec::new();
    for auction in auctions.iter().skip(1).filter(|auction| Some(**auction) != first) {
        if !lines.contains(auction) {
            lines.push(*auction);
        }
    }
    lines.extend(first);
    let in_line = |line: usize| (1..auctions.len()).filter(move |place| auctions[*place] == line);
    (0..auctions.len().min(1)).chain(lines.into_iter().flat_map(in_line)).collect()
}

/// Requests for so many auctions, which share their users.
async fn compare(world: &World, seed: u64, auctions: usize) -> TestResult {
    let mut dice = Dice(seed);
    let settings = match auctions {
        1 => GroupCommit::new().commands(1 + dice.roll(30) as usize),
        // In a known order, on a slow machine too.
        _ => GroupCommit::new().lists(1).slow(Duration::from_secs(3_600)),
    };
    let together = House::new(world, 'a', settings);
    let apart = House::new(world, 'b', GroupCommit::off());
    for round in 0..scale(25) {
        let mut opened = Vec::new();
        for auction in 0..auctions {
            let terms = terms(&mut Dice(seed + (auctions * round + auction) as u64));
            opened.push((together.open(terms.clone()).await?, apart.open(terms).await?));
        }
        let requests: Vec<(usize, Request)> = (0..1 + dice.roll(30))
            .map(|_| (dice.roll(auctions as u64) as usize, request(&mut dice)))
            .collect();
        let sent = requests
            .iter()
            .map(|(auction, request)| together.send(opened[*auction].0, request.clone()));
        let answers = all_at_once(&together.ledger, sent.collect()).await;
        for place in order(&requests.iter().map(|(auction, _)| *auction).collect::<Vec<_>>()) {
            let (auction, request) = &requests[place];
            let alone = apart.send(opened[*auction].1, request.clone()).await;
            assert_eq!(
                answers[place], alone,
                "seed {seed}, round {round}: {place} of {requests:#?}"
            );
        }
        together.is_told().await?;
        apart.is_told().await?;
        for (one, other) in opened {
            let expected = apart.traces(other).await?;
            let found = together.traces(one).await?;
            assert_eq!(found, expected, "seed {seed}, round {round}: {requests:#?}");
        }
    }
    Books::read(world.db()).await?.check();
    Ok(())
}

on_every_backend! {
    async fn together_is_as_if_one_after_the_other(world: &World) {
        for seed in [1, 2] {
            compare(world, seed, 1).await?;
        }
    }

    async fn so_it_is_across_auctions_that_share_a_transaction(world: &World) {
        for (seed, auctions) in [(3, 2), (4, 6)] {
            compare(world, seed, auctions).await?;
        }
    }
}
