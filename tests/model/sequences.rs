//! One command after the other, and everything compared after each.

use std::collections::{BTreeMap, BTreeSet};

use auction_ledger::entity::{entry, wallet};
use auction_ledger::{AuctionLedger, ManualClock};
use sea_orm::prelude::Uuid;
use sea_orm::{ActiveModelTrait, DatabaseConnection, DbErr, IntoActiveModel, NotSet};

use super::answer::Answer;
use super::book::Book;
use super::command::Command;
use super::draw::{BOTH, Dice, Scene, Style, tick};
use super::effect::line;
use super::rows::{Line, Owner, entry_name};
use super::send::Sender;
use super::{BALANCE_MAX, WON, first_seed, start, stored};
use crate::support::{TestResult, World, on_every_backend, scale};

/// The length of a sequence.
const COMMANDS: usize = 60;

/// Sound requests, in whole units.
pub(super) const PLAIN: Style =
    Style { currencies: &[WON], spoiled: 0, together: 0, keyed: 0, back: 8, full: false };

/// Requests with mistakes, in two currencies, and many of them sent again with their keys.
pub(super) const CARELESS: Style =
    Style { currencies: BOTH, spoiled: 20, together: 0, keyed: 25, back: 8, full: false };

/// Several commands in one unit of work, some of them rolled back, and a wallet that is almost full.
pub(super) const TOGETHER: Style =
    Style { currencies: BOTH, spoiled: 4, together: 25, keyed: 25, back: 8, full: true };

on_every_backend! {
    async fn the_ledger_answers_as_the_model_does(world: &World) {
        sequences(world, PLAIN, &[
            "Wallet", "Opened", "Bid", "Bid that bought", "Purchase", "Settlement sold", "Settlement unsold",
            "Settlement sold again", "Settlement unsold again", "Cancellation", "Rejected(Closed", "Rejected(NotOpenYet",
            "Rejected(Ended", "Rejected(NotEnded", "Rejected(NotSeller", "Rejected(HasBids", "Rejected(BuyNowUnavailable",
            "Rejected(SellerCannotBid", "Rejected(SellerCannotBuy", "Rejected(BelowMinimum", "Rejected(NotOnIncrement",
            "Rejected(InsufficientFunds",
        ]).await?;
    }

    async fn the_ledger_refuses_mistakes_as_the_model_does(world: &World) {
        sequences(world, CARELESS, &[
            "InvalidUser(Empty", "InvalidUser(TooLong", "InvalidUser(ContainsNul", "InvalidAmount", "InvalidText",
            "UnknownAuction", "CurrencyMismatch", "InvalidTerms(MissingEnd", "InvalidTerms(EndNotAfterStart",
            "InvalidTerms(BuyNowNotAboveStart", "InvalidTerms(StartPriceOffGrid", "InvalidTerms(IncrementOffGrid",
            "InvalidTerms(BuyNowOffGrid", "IdempotencyConflict", "Bid", "Settlement sold",
        ]).await?;
    }

    async fn the_ledger_answers_as_the_model_does_within_units_of_work(world: &World) {
        sequences(world, TOGETHER, &["Bid", "Purchase", "Settlement sold", "Cancellation", "Rejected(BalanceTooLarge", "IdempotencyConflict"]).await?;
    }
}

/// A third of all sequences, in one style; each of these kinds of answer must occur among them.
async fn sequences(world: &World, style: Style, kinds: &[&str]) -> TestResult {
    let count = scale(100) as u64;
    let mut seen = BTreeMap::new();
    for seed in first_seed()..first_seed() + count {
        let mut sequence = Sequence::new(world.db(), style, seed).await?;
        sequence.run().await?;
        for kind in sequence.answers.iter().flat_map(Answer::kinds) {
            *seen.entry(kind).or_insert(0_usize) += 1;
        }
    }
    println!("{}: {count} sequences: {seen:?}", world.database().label());
    let missing: Vec<_> = kinds.iter().filter(|kind| !seen.contains_key(**kind)).collect();
    assert!(count < 100 || missing.is_empty(), "never answered: {missing:?}");
    Ok(())
}

/// One sequence, with users and auctions of its own.
pub(super) struct Sequence<'a> {
    db: &'a DatabaseConnection,
    style: Style,
    seed: u64,
    dice: Dice,
    clock: ManualClock,
    users: Vec<String>,
    sender: Sender,
    book: Book,
    keyed: Vec<Command>,
    /// What was answered.
    pub(super) answers: Vec<Answer>,
}

impl<'a> Sequence<'a> {
    pub(super) async fn new(
        db: &'a DatabaseConnection,
        style: Style,
        seed: u64,
    ) -> Result<Self, DbErr> {
        let clock = ManualClock::new(start());
        let ledger = AuctionLedger::new(db.clone()).clock(clock.clone());
        // Five users, of whom a collation would take four for one.
        let users = ["ann", "Ann", "ánn", "ann ", "bob"].map(|user| format!("{seed} {user}"));
        let mut sequence = Self {
            db,
            style,
            seed,
            dice: Dice::new(seed),
            clock,
            users: users.to_vec(),
            sender: Sender::new(ledger),
            book: Book::default(),
            keyed: Vec::new(),
            answers: Vec::new(),
        };
        if style.full {
            sequence.fill().await?;
        }
        Ok(sequence)
    }

    /// Gives the first user almost as much as a wallet can hold, as a thousand deposits would have.
    async fn fill(&mut self) -> Result<(), DbErr> {
        let (user, available) = (self.users[0].clone(), BALANCE_MAX - 300);
        let owner: Owner = (user.clone(), WON.code().to_owned());
        let at = start().timestamp_micros();
        let mut row = wallet::Model {
            id: 0,
            owner: user.into_bytes(),
            currency: WON.code().to_owned(),
            exponent: WON.exponent().into(),
            available,
            held: 0,
            seq: 1,
            last_at: at,
        }
        .into_active_model();
        row.id = NotSet;
        let id = row.insert(self.db).await?.id;
        entry::Model {
            wallet_id: id,
            seq: 1,
            operation: Uuid::now_v7(),
            kind: entry::Kind::Deposit,
            available_delta: available,
            held_delta: 0,
            available_after: available,
            held_after: 0,
            auction_id: None,
            memo: None,
            at,
        }
        .into_active_model()
        .insert(self.db)
        .await?;
        let operation = entry_name(&owner, 1);
        self.book.fill(&owner, Line { operation, available_delta: available, ..line(at) });
        Ok(())
    }

    pub(super) async fn run(&mut self) -> TestResult {
        for number in 0..COMMANDS {
            let now = tick(&mut self.dice, &self.book, self.clock.now(), self.style);
            self.clock.set(now);
            let scene = Scene {
                book: &self.book,
                users: &self.users,
                now,
                style: self.style,
                keyed: &self.keyed,
            };
            let command = scene.command(&mut self.dice);
            self.remember(&command);
            let what = format!("seed {}, command {number}: {command:?}", self.seed);
            let expected = self.book.answer(&command, now.timestamp_micros());
            let answer = self.sender.send(&command).await;
            let answer = answer.map_err(|error| format!("{what}: {error:?}"))?;
            assert_eq!(answer, expected, "{what}");
            self.check(&what).await?;
            if let (Command::On { lot, .. }, false) =
                (command.bare(), matches!(answer, Answer::Refused(_)))
            {
                self.sender.check_view(&self.book, *lot).await?;
            }
            self.answers.push(answer);
        }
        let stored = stored::read(self.db, &self.users, &self.sender.lots).await?;
        self.sender.check_all(&self.book, &stored.names).await?;
        self.check_keys().await?;
        Ok(())
    }

    /// Keeps the commands with keys, to send them again.
    fn remember(&mut self, command: &Command) {
        match command {
            Command::Keyed { .. } => self.keyed.push(command.clone()),
            Command::Together { commands, .. } => {
                commands.iter().for_each(|command| self.remember(command));
            }
            _ => {}
        }
    }

    /// Fails unless exactly the keys of what was carried out are used.
    async fn check_keys(&self) -> TestResult {
        let asked: BTreeSet<_> = self
            .keyed
            .iter()
            .map(|command| match command {
                Command::Keyed { key, .. } => key.clone(),
                other => panic!("{other:?} has no key"),
            })
            .collect();
        let stored = stored::keys(self.db, asked).await?;
        let known: BTreeSet<_> = self.book.keys.keys().cloned().collect();
        assert_eq!(stored, known, "seed {}: the keys", self.seed);
        Ok(())
    }

    /// Fails unless everything stored is what the model knows.
    async fn check(&self, what: &str) -> TestResult {
        let stored = stored::read(self.db, &self.users, &self.sender.lots).await?;
        self.book.rows.compare(&stored.rows).map_err(|rows| format!("{what}\n{rows}"))?;
        for (operation, name) in &self.sender.claims {
            let stored = stored.names.get(&operation.get());
            assert_eq!(stored, Some(name), "{what}: the operation that was answered");
        }
        let mut known = self.sender.known.iter();
        assert!(known.all(|operation| stored.names.contains_key(&operation.get())), "{what}");
        Ok(())
    }

    /// All answers and the whole journal, as the database tells them.
    pub(super) async fn transcript(&self) -> Result<String, DbErr> {
        let stored = stored::read(self.db, &self.users, &self.sender.lots).await?;
        let answers = self.answers.iter().map(|answer| format!("{answer:?}\n"));
        Ok(format!("{}{}", answers.collect::<String>(), stored.rows.journal()))
    }
}
