//! Many tasks at once on the same auctions and wallets. Afterwards there must be one order of all accepted commands in
//! which the model, alone, gives the very same answers; and every refusal and every reading must have been right at some
//! moment between its question and its answer.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auction_ledger::{AuctionId, AuctionLedger, Error, ManualClock};
use chrono::TimeDelta;
use sea_orm::DatabaseConnection;

use super::answer::{Answer, View};
use super::command::{Command, End, Promise, Transfer, Wish};
use super::draw::Dice;
use super::explain::Moments;
use super::send::{self, Sender};
use super::serial::Replay;
use super::stored::{self, Stored};
use super::{WON, first_seed, start};
use crate::support::{Database, Schema, World, on_every_backend, race, run as run_in_world, scale};

const TASKS: usize = 8;

on_every_backend! {
    async fn many_at_once_leave_what_one_after_the_other_would(world: &World) {
        for seed in first_seed()..first_seed() + scale(6) as u64 {
            let (events, stored) = run(world.db(), seed, 40).await?;
            let what = format!("seed {seed}");
            let replay = Replay::of(&events, &stored).map_err(|error| format!("{what}: {error}"))?;
            let wrong = Moments::of(&replay).unexplained(&events);
            assert!(wrong.is_empty(), "{what}: never right: {wrong:#?}");
            let accepted = replay.accepted.len();
            let others = events.len() - accepted;
            println!("{}: {what}: {accepted} accepted, {others} refused or read", world.database().label());
        }
    }
}

/// What the test above would notice: each of these is a ledger that lies once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lie_among_many_answers_is_noticed() {
    run_in_world(Database::Sqlite, Schema::Migrated, module_path!(), async |world: &World| {
        let (events, stored) = run(world.db(), 1, 40).await?;
        let replay = Replay::of(&events, &stored)?;
        assert_eq!(Moments::of(&replay).unexplained(&events).len(), 0);
        // Of what was refused or read, what was said is changed.
        let others =
            events.iter().filter(|event| !replay.accepted.values().any(|one| one == event));
        let lies: Vec<Event> = others.filter_map(lie).collect();
        assert!(lies.len() > 50, "{}", lies.len());
        assert_eq!(Moments::of(&replay).unexplained(&lies).len(), lies.len());
        // Of what was accepted, an answer is changed, lost, or told before its predecessor was asked.
        for (place, event) in events.iter().enumerate() {
            let What::Command(_, Answer::Bid { seq: 3.., .. }) = &event.what else { continue };
            let noticed = |event: Option<Event>| {
                let mut events = events.clone();
                events.splice(place..=place, event);
                Replay::of(&events, &stored).is_err()
            };
            assert!(noticed(None) && noticed(lie(event)));
            assert!(noticed(Some(Event { asked: 0, told: 0, ..event.clone() })));
            assert!(!noticed(Some(event.clone())));
        }
        Ok(())
    })
    .await;
}

/// The same event with another answer.
fn lie(event: &Event) -> Option<Event> {
    let mut event = event.clone();
    match &mut event.what {
        What::Looked(view) => view.seq += 1_000,
        What::Command(_, Answer::Bid { price, .. }) => price.push('0'),
        What::Command(_, Answer::Settlement { at, .. }) => *at += 1,
        What::Command(_, Answer::Refused(error)) => {
            let digit = error.find(|letter: char| letter.is_ascii_digit())?;
            error.replace_range(digit..=digit, "77777");
        }
        What::Command(..) => return None,
    }
    Some(event)
}

/// What a task asked and was told, and when: before it was asked and after it was told, by a counter that all tasks share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) asked: u64,
    pub(super) told: u64,
    /// The latest time that the clock had ever shown when it was told.
    pub(super) latest: i64,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Command(Command, Answer),
    Looked(View),
}

/// What all tasks share.
struct Hall {
    users: Vec<String>,
    clock: ManualClock,
    latest: AtomicI64,
    counter: AtomicU64,
    lots: Mutex<Vec<AuctionId>>,
    events: Mutex<Vec<Event>>,
}

/// What many tasks were told, and what is stored then.
async fn run(
    db: &DatabaseConnection,
    seed: u64,
    commands: usize,
) -> Result<(Vec<Event>, Stored), Failure> {
    let clock = ManualClock::new(start());
    let ledger = AuctionLedger::new(db.clone()).clock(clock.clone());
    let hall = Arc::new(Hall {
        users: (0..5).map(|index| format!("race {seed} user {index}")).collect(),
        latest: clock.now().timestamp_micros().into(),
        clock,
        counter: AtomicU64::new(0),
        lots: Mutex::default(),
        events: Mutex::default(),
    });
    Task::new(&hall, &ledger, seed, TASKS).begin().await?;
    let outcomes = race(TASKS, |index| {
        let mut task = Task::new(&hall, &ledger, seed, index);
        async move {
            for number in 0..commands {
                task.one(number).await.map_err(|error| format!("seed {seed}: {error:?}"))?;
            }
            Ok::<_, String>(())
        }
    })
    .await;
    outcomes.into_iter().collect::<Result<(), _>>()?;
    let lots = hall.lots().clone();
    let events = hall.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let stored = stored::read(db, &hall.users, &lots).await?;
    Ok((events, stored))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Hall {
    fn lots(&self) -> std::sync::MutexGuard<'_, Vec<AuctionId>> {
        self.lots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, asked: u64, what: What) {
        let (told, latest) = (self.now(), self.latest.load(Ordering::SeqCst));
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(Event { asked, told, latest, what });
    }

    /// Moves everybody's clock: mostly on, sometimes back.
    fn tick(&self, dice: &mut Dice) {
        let step = if dice.percent(10) { -dice.roll(5_000) } else { dice.roll(1_500) };
        let next = self.clock.now() + TimeDelta::milliseconds(step);
        self.latest.fetch_max(next.timestamp_micros(), Ordering::SeqCst);
        self.clock.set(next);
    }
}

struct Task {
    hall: Arc<Hall>,
    sender: Sender,
    dice: Dice,
    name: String,
}

impl Task {
    fn new(hall: &Arc<Hall>, ledger: &AuctionLedger, seed: u64, index: usize) -> Self {
        Self {
            hall: hall.clone(),
            sender: Sender::new(ledger.clone()),
            dice: Dice::new(seed * 1_000 + index as u64),
            name: format!("task {index}"),
        }
    }

    /// Some money for everybody, and something to bid on.
    async fn begin(mut self) -> Result<(), Error> {
        for (number, user) in self.hall.users.clone().into_iter().enumerate() {
            let amount = 1_000.into();
            let memo = Some(self.note(number));
            let transfer = Transfer { user, currency: WON, amount, memo };
            self.send(Command::Deposit(transfer)).await?;
        }
        for _ in 0..2 {
            let open = self.open();
            self.send(open).await?;
        }
        Ok(())
    }

    async fn one(&mut self, number: usize) -> Result<(), Error> {
        if self.dice.percent(40) {
            self.hall.tick(&mut self.dice);
        }
        let command = match self.dice.roll(100) {
            0..10 => Command::Deposit(self.transfer(number, 300)),
            10..18 => Command::Withdraw(self.transfer(number, 300)),
            18..24 => self.open(),
            kind => self.on(kind, number).await?,
        };
        self.send(command).await
    }

    async fn send(&mut self, command: Command) -> Result<(), Error> {
        self.sender.lots = self.hall.lots().clone();
        let asked = self.hall.now();
        let mut answer = self.sender.send(&command).await?;
        if let (Answer::Opened(view), Some(id)) = (&mut answer, self.sender.lots.last()) {
            let mut lots = self.hall.lots();
            view.lot = lots.len();
            lots.push(*id);
        }
        self.hall.note(asked, What::Command(command, answer));
        Ok(())
    }

    /// Every command has a note of its own, by which its entry is known.
    fn note(&self, number: usize) -> String {
        format!("{} command {number}", self.name)
    }

    fn transfer(&mut self, number: usize, most: u64) -> Transfer {
        let user = self.dice.pick(&self.hall.users).clone();
        let amount = (1 + self.dice.roll(most)).into();
        Transfer { user, currency: WON, amount, memo: Some(self.note(number)) }
    }

    fn open(&mut self) -> Command {
        let first = 10 * (1 + self.dice.roll(5));
        let starts_at = self.hall.clock.now() + TimeDelta::seconds(self.dice.roll(4) - 1);
        let terms = Promise {
            currency: WON,
            start_price: first.into(),
            increment: 10.into(),
            multiple_of: self.dice.percent(30).then(|| 10.into()),
            buy_now: self.dice.percent(60).then(|| (first + 100 + 10 * self.dice.roll(20)).into()),
            starts_at: Some(starts_at),
            end: Some(End::In(Duration::from_secs(10 + self.dice.roll(60) as u64))),
        };
        let seller = self.dice.pick(&self.hall.users).clone();
        Command::Open { seller, title: self.name.clone(), terms }
    }

    async fn on(&mut self, kind: i64, number: usize) -> Result<Command, Error> {
        let lots = self.hall.lots().clone();
        // Mostly one of the latest: the others are over.
        let latest = lots.len().saturating_sub(3);
        let any = self.dice.roll(lots.len() as u64) as usize;
        let lot = if self.dice.percent(20) { any } else { latest + any % (lots.len() - latest) };
        let asked = self.hall.now();
        let view = send::view(self.sender.ledger.auction(lots[lot]).await?, &lots);
        self.hall.note(asked, What::Looked(view.clone()));
        let wish = match kind {
            24..80 => {
                let least = view.next_minimum.as_ref().unwrap_or(&view.start_price);
                let least: i64 = least.parse().expect("whole won");
                Wish::Bid((least + [0, 0, 0, 5, 10, 30, -1][self.dice.roll(7) as usize]).into())
            }
            80..85 => Wish::Buy,
            85..94 => Wish::Settle,
            94..97 => Wish::CloseEarly,
            _ => Wish::Cancel,
        };
        let anybody = Some(self.dice.pick(&self.hall.users).clone());
        let user = match wish {
            Wish::Settle => None,
            Wish::Bid(_) | Wish::Buy => anybody,
            Wish::CloseEarly | Wish::Cancel => {
                [None, Some(view.seller), anybody][self.dice.roll(3) as usize].clone()
            }
        };
        Ok(Command::On { lot, wish, user, note: Some(self.note(number)) })
    }
}
