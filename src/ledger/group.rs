//! Group commit: bids and purchases of one process that meet on a busy auction are carried out together.
//!
//! The row of an auction stays locked until its command is on disk, so one command a transaction can never be fast there.
//!
//! 1. Whoever finds the auction free goes at once, alone, in the own task.
//! 2. Whoever comes meanwhile waits in line. When the auction is free, all who wait are one list, carried out in one unit of
//!    work and a task of its own. There is no timer: nobody waits for company.
//! 3. Each gets the own outcome, as if the list had been carried out one after the other.
//! 4. Whoever stops waiting leaves the line. Who is in a list already is carried out, whoever still listens.
//! 5. A list that fails for one of its commands is halved until it is alone with its failure.
//! 6. Several processes on one database are right, since the row lock rules; a line is only speed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sea_orm::DbErr;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::AuctionLedger;
use super::batch::{self, Command};
use super::outcome::{CommandRef, Done};
use super::receipt::Outcome;
use super::request::{Alone, CarriedOut};
use crate::error::Error;
use crate::id::AuctionId;
use crate::unit_of_work::{Error as UnitOfWorkError, ErrorKind, UnitOfWork};

/// How bids and purchases of one process that meet on an auction are carried out together.
///
/// One command a transaction can never be fast on one auction, for its row stays locked until the commit is on disk. So while
/// a bid or a purchase is being carried out, the next ones on its auction wait in line, and then all of them share one
/// transaction; each gets the own answer, as if they had been carried out one after the other. Nobody waits for company: on
/// an auction that is free a command goes at once. It concerns commands that run by themselves, of one [`AuctionLedger`] and
/// its clones. What runs [`within`](crate::PlaceBid::within) a unit of work of the host stands in no line, nor does any command
/// of a ledger with an [`EligibilityCheck`](crate::EligibilityCheck), which is asked in the unit of work of one command.
///
/// A list waits for the keys of all its commands: whoever sends a key in a unit of work that stays open, and again by itself,
/// keeps the line of that auction waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCommit {
    commands: usize,
    waiting: usize,
    deadline: Duration,
}

impl Default for GroupCommit {
    fn default() -> Self {
        Self { commands: 200, waiting: 10_000, deadline: Duration::from_secs(30) }
    }
}

impl GroupCommit {
    /// Up to 200 commands in one transaction, 10,000 in all lines together, and 30 seconds in line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every command in a transaction of its own.
    #[must_use]
    pub fn off() -> Self {
        Self { commands: 0, ..Self::default() }
    }

    /// At most this many commands in one transaction, and never more than 500.
    #[must_use]
    pub fn commands(mut self, commands: usize) -> Self {
        self.commands = commands.clamp(1, MOST_COMMANDS);
        self
    }

    /// At most this many commands in all lines together: one more is answered
    /// [`Error::Overloaded`](crate::Error::Overloaded) at once.
    #[must_use]
    pub fn waiting(mut self, waiting: usize) -> Self {
        self.waiting = waiting;
        self
    }

    /// Whoever has waited in line so long is answered [`Error::Overloaded`](crate::Error::Overloaded). A command that is being
    /// carried out is waited for.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// SQLite binds 32,766 values in one statement, PostgreSQL 65,535, and MariaDB reads a list of 1,000 values in another way. Each
/// command has two entries at most, of eleven values each.
const MOST_COMMANDS: usize = 500;

type Answer = Result<Outcome, Error>;

/// The lines of one ledger and its clones.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    settings: GroupCommit,
    lines: Arc<Mutex<Lines>>,
}

/// Who waits for which auction. A busy auction has a line, be it empty; a free one has none.
#[derive(Debug, Default)]
struct Lines {
    by_auction: HashMap<AuctionId, VecDeque<Waiting>>,
    /// How many wait in all lines.
    waiting: usize,
    /// How many have ever waited.
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    command: Command,
    /// The runtime of whoever waits: somebody drives it.
    runtime: Handle,
    answer: oneshot::Sender<Answer>,
}

impl Group {
    pub(super) fn new(settings: GroupCommit) -> Self {
        Self { settings, lines: Arc::default() }
    }

    /// Lines of their own, with the same settings.
    pub(super) fn apart(&self) -> Self {
        Self::new(self.settings.clone())
    }

    /// Carries a command out, alone if its auction is free.
    pub(super) async fn carry_out(&self, alone: Alone<'_>, command: &Command) -> Answer {
        let ledger = alone.ledger;
        // In the task of a list nobody would know that it is nested, and both would wait for each other.
        ledger.unit_of_work().require_outermost()?;
        // What a host's own check asks, counts and writes is the business of one command alone.
        let place = match self.settings.commands {
            0 => None,
            _ if ledger.gatekeeper.asks() => None,
            _ => self.enter(ledger, command)?,
        };
        match place {
            Some(Place::InLine(in_line)) => in_line.answer(self.settings.deadline).await,
            // The turn ends with the command, or with the future of its caller.
            place => {
                let done = alone.carry_out(async |uow| command.execute(uow, ledger).await).await;
                drop(place);
                done.map(|done| done.value)
            }
        }
    }

    /// Takes the turn if the auction is free, and a place in its line if it is not.
    fn enter(&self, ledger: &AuctionLedger, command: &Command) -> Result<Option<Place>, Error> {
        let Ok(runtime) = Handle::try_current() else {
            return Ok(None);
        };
        let mut lines = self.lock();
        let waiting = lines.waiting;
        let number = lines.next;
        let Some(line) = lines.by_auction.get_mut(&command.auction) else {
            lines.by_auction.insert(command.auction, VecDeque::new());
            let turn = Turn { ledger: ledger.clone(), auction: command.auction, is_over: false };
            return Ok(Some(Place::Turn(turn)));
        };
        if waiting >= self.settings.waiting {
            return Err(Error::Overloaded { waiting });
        }
        let (answer, receiver) = oneshot::channel();
        line.push_back(Waiting { number, command: command.clone(), runtime, answer });
        lines.waiting = waiting.saturating_add(1);
        lines.next = number.wrapping_add(1);
        let auction = command.auction;
        Ok(Some(Place::InLine(InLine { group: self.clone(), auction, number, receiver })))
    }

    /// The runtime of whoever is the first in line; if nobody is, the auction is free.
    fn next_runtime(&self, auction: AuctionId) -> Option<Handle> {
        let mut lines = self.lock();
        let first = lines.by_auction.get(&auction).and_then(VecDeque::front);
        let runtime = first.map(|first| first.runtime.clone());
        if runtime.is_none() {
            lines.by_auction.remove(&auction);
        }
        runtime
    }

    /// Whoever waits for an auction, as many as a list can have.
    fn next_list(&self, auction: AuctionId) -> Vec<Waiting> {
        let mut lines = self.lock();
        let Some(line) = lines.by_auction.get_mut(&auction) else {
            return Vec::new();
        };
        let count = line.len().min(self.settings.commands);
        let list: Vec<_> = line.drain(..count).collect();
        lines.waiting = lines.waiting.saturating_sub(list.len());
        list
    }

    /// Leaves the line; whether there was still time.
    fn leave(&self, auction: AuctionId, number: u64) -> bool {
        let mut lines = self.lock();
        let Some(line) = lines.by_auction.get_mut(&auction) else {
            return false;
        };
        let Ok(place) = line.binary_search_by_key(&number, |waiting| waiting.number) else {
            return false;
        };
        line.remove(place);
        lines.waiting = lines.waiting.saturating_sub(1);
        true
    }

    /// Frees an auction whose line nobody is going to carry out; whoever waits in it is told.
    fn abandon(&self, auction: AuctionId) {
        let mut lines = self.lock();
        let line = lines.by_auction.remove(&auction).unwrap_or_default();
        lines.waiting = lines.waiting.saturating_sub(line.len());
        drop(lines);
        let waiting = line.len();
        for one in line {
            _ = one.answer.send(Err(Error::Overloaded { waiting }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Place {
    Turn(#[expect(dead_code, reason = "it does its work when it is dropped")] Turn),
    InLine(InLine),
}

/// The right to an auction. When it ends, those who wait are the next.
struct Turn {
    ledger: AuctionLedger,
    auction: AuctionId,
    /// Whether the line has been given up.
    is_over: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let Some(runtime) = self.ledger.group.next_runtime(self.auction) else {
            return;
        };
        let (ledger, auction) = (self.ledger.clone(), self.auction);
        let mut next = Next(Some(Self { ledger, auction, is_over: false }));
        runtime.spawn(async move {
            let turn = next.0.take().expect("a task begins once");
            let list = turn.ledger.group.next_list(turn.auction);
            carry_out_list(&turn.ledger, list).await;
            drop(turn);
        });
    }
}

/// The turn of a task that has not begun. A runtime that has ended begins none.
struct Next(Option<Turn>);

impl Drop for Next {
    fn drop(&mut self) {
        if let Some(mut turn) = self.0.take() {
            turn.is_over = true;
            turn.ledger.group.abandon(turn.auction);
        }
    }
}

/// A place in the line of an auction.
struct InLine {
    group: Group,
    auction: AuctionId,
    number: u64,
    receiver: oneshot::Receiver<Answer>,
}

impl InLine {
    async fn answer(mut self, deadline: Duration) -> Answer {
        let answer = match tokio::time::timeout(deadline, &mut self.receiver).await {
            Ok(answer) => answer,
            Err(_) if self.group.leave(self.auction, self.number) => {
                let waiting = self.group.lock().waiting;
                return Err(Error::Overloaded { waiting });
            }
            Err(_) => (&mut self.receiver).await,
        };
        // The list has ended with its runtime, or by a panic.
        let gone = || UnitOfWorkError::CommitUnknown {
            error: DbErr::Custom("the task of the list has ended".to_owned()),
        };
        answer.unwrap_or_else(|_| Err(gone().into()))
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.group.leave(self.auction, self.number);
    }
}

async fn carry_out_list(ledger: &AuctionLedger, list: Vec<Waiting>) {
    let (commands, senders): (Vec<_>, Vec<_>) =
        list.into_iter().map(|waiting| (waiting.command, waiting.answer)).unzip();
    // Everybody may have left the line meanwhile.
    if commands.is_empty() {
        return;
    }
    let answers = answers(ledger, &commands).await;
    for (answer, sender) in answers.into_iter().zip(senders) {
        // Nobody listens any more: it is carried out all the same.
        _ = sender.send(answer);
    }
}

/// The answers to a list of commands, in their order.
fn answers<'a>(ledger: &'a AuctionLedger, commands: &'a [Command]) -> BoxFuture<'a, Vec<Answer>> {
    async move {
        let alone = Alone { ledger, name: "GroupCommit" };
        if let [command] = commands {
            let done = alone.carry_out(async |uow| command.execute(uow, ledger).await).await;
            return vec![done.map(|done| done.value)];
        }
        let list = alone.carry_out(async |uow| List::carry_out(uow, ledger, commands).await).await;
        match list {
            Ok(list) => list.0.into_iter().map(|answer| answer.map(|done| done.value)).collect(),
            Err(error) if is_one_commands(&error) => {
                let (first, second) = commands.split_at(commands.len().midpoint(0));
                let mut answers = answers(ledger, first).await;
                answers.extend(self::answers(ledger, second).await);
                answers
            }
            Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
        }
    }
    .boxed()
}

/// Whether a list may have failed for one of its commands: another list without it need not.
fn is_one_commands(error: &Error) -> bool {
    let kind = match error {
        Error::Database(error) => ErrorKind::of(error),
        Error::UnitOfWork(error) => error.kind().unwrap_or(ErrorKind::Other),
        Error::MigrationsMissing(_)
        | Error::NotStrict
        | Error::CommitUnknown { .. }
        | Error::Overloaded { .. } => return false,
        _ => return true,
    };
    let all = kind.is_retryable()
        || matches!(
            kind,
            ErrorKind::PoolTimeout
                | ErrorKind::PoolClosed
                | ErrorKind::ReadOnly
                | ErrorKind::Full
                | ErrorKind::UndefinedTable
        );
    !all && error.is_known_not_stored()
}

/// A list that was carried out, in a transaction that may not have ended.
#[derive(Clone)]
struct List(Vec<Result<Done<Outcome>, Error>>, Option<CommandRef>);

impl List {
    async fn carry_out(
        uow: &UnitOfWork,
        ledger: &AuctionLedger,
        commands: &[Command],
    ) -> Result<Self, Error> {
        let outcomes = batch::execute(uow, ledger, commands).await?;
        let written = outcomes.iter().zip(commands).find_map(|(outcome, command)| {
            let done = outcome.as_ref().ok()?;
            // What a key answers was written by another one.
            let is_new = done.command.operation() == command.once.operation;
            is_new.then(|| done.command.clone())
        });
        Ok(Self(outcomes, written))
    }
}

impl CarriedOut for List {
    fn written(&self) -> Option<&CommandRef> {
        self.1.as_ref()
    }

    fn tell(&self) {
        self.0.iter().flatten().for_each(Done::tell);
    }

    fn unknown(self, error: DbErr) -> Result<Self, Error> {
        let Self(outcomes, written) = self;
        let mut judged_on_unknown = false;
        let outcomes = outcomes.into_iter().map(|outcome| match outcome {
            Ok(done) => {
                judged_on_unknown = true;
                done.unknown(error.clone())
            }
            // It was refused because of commands that may not be stored: only that nothing of it is, is known.
            Err(_) if judged_on_unknown => {
                Err(UnitOfWorkError::CommitRefused { error: error.clone() }.into())
            }
            refused => refused,
        });
        Ok(Self(outcomes.collect(), written))
    }
}
