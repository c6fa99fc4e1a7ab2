//! Carrying out a list, so that what is locked by somebody else holds up nobody who does not need it.
//!
//! 1. A list of several auctions takes those that it can lock at once. The others are taken out of it, each auction as a list
//!    of its own, which waits for the lock.
//! 2. Such a list waits for a wallet, or a key, that a stranger has no longer than [`PATIENCE`]. Then all of its auctions are
//!    taken apart.
//! 3. What was taken apart waits as long as it takes, and counts as no transaction that is under way.
//! 4. Everything runs where somebody waits for it: a runtime that nobody drives would keep it for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sea_orm::DbErr;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use super::turn::{Handover, Turn, attend};
use super::{Answer, Waiting};
use crate::error::Error;
use crate::id::AuctionId;
use crate::ledger::AuctionLedger;
use crate::ledger::batch::{self, Command, Way};
use crate::ledger::outcome::{CommandRef, Done};
use crate::ledger::receipt::Outcome;
use crate::ledger::request::{Alone, CarriedOut};
use crate::unit_of_work::{Error as UnitOfWorkError, ErrorKind, LockWait, UnitOfWork};

/// How long a list waits for a lock.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many are answered before the runtime looks for what else is ready.
const AT_ONCE: usize = 16;

/// What has become of one command of a list: its answer, or nothing if something that it may need is locked by somebody else.
type Fate = Option<Answer>;

/// Carries out commands on several auctions in one unit of work, and leaves out those that it would have to wait for.
pub(in crate::ledger) async fn together(ledger: &AuctionLedger, commands: &[Command]) -> Vec<Fate> {
    let wait = if ledger.has_row_locks() { LockWait::SkipLocked } else { LockWait::Wait };
    fates(ledger, commands, wait, &Handover::NONE).await
}

/// Carries out a list in its turn, and tells each what became of it.
pub(super) async fn carry_out(mut turn: Turn, list: Vec<Waiting>) {
    let ledger = turn.ledger.clone();
    let (handover, wait) = match turn.auctions.len() {
        1 => (turn.handover(), LockWait::Wait),
        _ if ledger.has_row_locks() => (Handover::NONE, LockWait::SkipLocked),
        _ => (Handover::NONE, LockWait::Wait),
    };
    let (answers, apart) = turn.watch(answers_to(&ledger, list, wait, &handover)).await;
    let mut by_auction = BTreeMap::<AuctionId, Vec<Waiting>>::new();
    for waiting in apart {
        by_auction.entry(waiting.command.auction).or_default().push(waiting);
    }
    for (auction, list) in by_auction {
        let turn = turn.split(vec![auction]);
        if let Some(first) = list.first() {
            first.runtime.clone().spawn(wait_apart(turn, list));
        }
    }
    answers.send().await;
    // Whoever was answered may come again, and then stands in line before the next list is made, where none was made yet: few
    // large lists are faster than many.
    if may_pause() {
        tokio::task::yield_now().await;
    }
    drop(turn);
}

/// Whether others may run in between. A runtime of one thread may be left by whoever was answered, and then nobody drives it.
fn may_pause() -> bool {
    Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread
}

/// Carries out the commands of one auction that was taken out of its list.
async fn wait_apart(turn: Turn, list: Vec<Waiting>) {
    let ledger = turn.ledger.clone();
    let slow = ledger.group.settings.slow;
    let permit = ledger.group.apart.acquire().await;
    let handover = turn.handover();
    let answers = answers_to(&ledger, list, LockWait::Wait, &handover);
    let (answers, _) = attend(answers, slow, || drop(permit)).await;
    answers.send().await;
}

/// Carries a list out: what each is to be answered, and who needs something that is locked.
async fn answers_to(
    ledger: &AuctionLedger,
    list: Vec<Waiting>,
    wait: LockWait,
    handover: &Handover,
) -> (Answers, Vec<Waiting>) {
    let split = |waiting: Waiting| {
        let Waiting { number, command, runtime, answer } = waiting;
        (command, (number, runtime, answer))
    };
    let (commands, callers): (Vec<_>, Vec<_>) = list.into_iter().map(split).unzip();
    let fates = fates(ledger, &commands, wait, handover).await;
    let (mut answers, mut apart) = (Vec::new(), Vec::new());
    for ((fate, command), caller) in fates.into_iter().zip(commands).zip(callers) {
        let (number, runtime, answer) = caller;
        match fate {
            Some(fate) => answers.push((answer, fate)),
            None => apart.push(Waiting { number, command, runtime, answer }),
        }
    }
    (Answers(answers.into_iter()), apart)
}

/// The answers of a list. If its runtime ends before all are sent, the rest is sent then.
struct Answers(std::vec::IntoIter<(oneshot::Sender<Answer>, Answer)>);

impl Answers {
    /// Sends them, a few at a time: whoever is answered has something to do, and the next list has it too as soon as the database
    /// has spoken.
    async fn send(mut self) {
        while self.send_some(AT_ONCE) {
            if may_pause() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Sends some, and tells whether there are more.
    fn send_some(&mut self, some: usize) -> bool {
        for (caller, answer) in self.0.by_ref().take(some) {
            // If nobody listens any more, it is carried out all the same.
            _ = caller.send(answer);
        }
        self.0.len() > 0
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.send_some(usize::MAX);
    }
}

async fn alone(ledger: &AuctionLedger, command: &Command, handover: &Handover) -> Answer {
    let has_key = command.once.key.is_some();
    let alone = Alone::new(ledger, "GroupCommit").writing_keys(has_key);
    let run = async |uow: &UnitOfWork| {
        command.execute(uow, ledger, Way::alone(uow, LockWait::Wait, handover)).await
    };
    alone.carry_out(run).await.map(|done| done.value)
}

/// What has become of the commands of a list, in their order.
fn fates<'a>(
    ledger: &'a AuctionLedger,
    commands: &'a [Command],
    wait: LockWait,
    handover: &'a Handover,
) -> BoxFuture<'a, Vec<Fate>> {
    async move {
        let skips = wait == LockWait::SkipLocked;
        if let ([command], false) = (commands, skips) {
            return vec![Some(alone(ledger, command, handover).await)];
        }
        let has_key = commands.iter().any(|command| command.once.key.is_some());
        let list = Alone::new(ledger, "GroupCommit").writing_keys(has_key);
        let list = list.lock_timeout(skips.then_some(PATIENCE));
        let run = async |uow: &UnitOfWork| {
            List::carry_out(uow, ledger, commands, Way::alone(uow, wait, handover)).await
        };
        match list.carry_out(run).await {
            Err(error) if skips && error.kind() == Some(ErrorKind::LockTimeout) => {
                commands.iter().map(|_| None).collect()
            }
            list => answered(ledger, commands, wait, handover, list).await,
        }
    }
    .boxed()
}

/// The answers of a list, whose halves are tried where it may have failed for one of its commands.
async fn answered(
    ledger: &AuctionLedger,
    commands: &[Command],
    wait: LockWait,
    handover: &Handover,
    list: Result<List, Error>,
) -> Vec<Fate> {
    match list {
        Ok(list) => {
            let skips = wait == LockWait::SkipLocked;
            list.outcomes.into_iter().map(|outcome| fate(outcome, skips)).collect()
        }
        Err(error) if commands.len() > 1 && error.may_be_of_one() => {
            let (first, second) = commands.split_at(commands.len().midpoint(0));
            let mut both = fates(ledger, first, wait, handover).await;
            both.extend(fates(ledger, second, wait, handover).await);
            both
        }
        // Where a server knows no SKIP LOCKED, it waits for its lock as it did before there was any.
        Err(error) if wait == LockWait::SkipLocked && error.may_be_of_one() => vec![None],
        Err(error) => commands.iter().map(|_| Some(Err(error.clone()))).collect(),
    }
}

fn fate(outcome: Result<Done<Outcome>, Error>, skips: bool) -> Fate {
    match outcome {
        // It is not there, or it was skipped.
        Err(Error::UnknownAuction { .. }) if skips => None,
        outcome => Some(outcome.map(|done| done.value)),
    }
}

/// A list that was carried out, in a transaction that may not have ended.
struct List {
    outcomes: Vec<Result<Done<Outcome>, Error>>,
    /// The first command that was written.
    written: Option<CommandRef>,
}

impl List {
    async fn carry_out(
        uow: &UnitOfWork,
        ledger: &AuctionLedger,
        commands: &[Command],
        way: Way<'_>,
    ) -> Result<Self, Error> {
        let outcomes = batch::execute(uow, ledger, commands, way).await?;
        let written = outcomes.iter().zip(commands).find_map(|(outcome, command)| {
            let done = outcome.as_ref().ok()?;
            // What a key answers was written by another one.
            let is_new = done.command.operation() == command.once.operation;
            is_new.then(|| done.command.clone())
        });
        Ok(Self { outcomes, written })
    }
}

impl CarriedOut for List {
    fn written(&self) -> Option<&CommandRef> {
        self.written.as_ref()
    }

    fn tell(&self) {
        self.outcomes.iter().flatten().for_each(Done::tell);
    }

    fn unknown(self, error: DbErr) -> Result<Self, Error> {
        let Self { outcomes, written } = self;
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
        Ok(Self { outcomes: outcomes.collect(), written })
    }
}

#[cfg(test)]
mod tests;
