//! Group commit: commands of one process that meet are carried out together.
//!
//! The row of an auction stays locked until its command is on disk, so one command a transaction can never be fast there; and
//! where many auctions are busy at once, what their transactions cost is mostly the same for each.
//!
//! 1. Whoever finds the auction free, and fewer than so many transactions under way, goes at once, alone, in the own task.
//! 2. Whoever comes meanwhile waits in the line of the auction. As soon as there is room for a transaction, those who wait for
//!    free auctions are one list, carried out in one unit of work and a task of its own. There is no timer: nobody waits for
//!    company.
//! 3. Each gets the own outcome, as if the commands of an auction had been carried out one after the other.
//! 4. Whoever stops waiting leaves the line. Who is in a list already is carried out, whoever still listens.
//! 5. A list of one auction that is about to write hands the auction over: the next list begins, looks for its keys, and waits for
//!    the row, which it gets as soon as the commit is on disk. Whoever goes alone in the own task does not: if nobody polled that
//!    any more, those behind it would wait for the row for ever. See [`turn`].
//! 6. What is locked by somebody else holds up nobody who does not need it: see [`list`].
//! 7. A list that fails for one of its commands is halved until it is alone with its failure.
//! 8. Several processes on one database are right, since the row locks rule; a line is only speed.

mod lines;
mod list;
mod turn;

use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use sea_orm::DbErr;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};

use self::lines::{Entered, Lines, NextList, Room, Waiting};
pub(super) use self::list::together;
pub(super) use self::turn::Handover;
use self::turn::Turn;
use super::AuctionLedger;
use super::batch::{Command, Way};
use super::receipt::Outcome;
use super::request::Alone;
use crate::backend::Dialect;
use crate::error::Error;
use crate::id::AuctionId;
use crate::unit_of_work::{Error as UnitOfWorkError, LockWait, UnitOfWork};

/// How commands of one process that meet on busy auctions are carried out together.
///
/// One command a transaction can never be fast on one auction, for its row stays locked until the commit is on disk. So while
/// a command is being carried out, the next ones on its auction wait in line, and then all of them share one transaction; each
/// gets the own answer, as if they had been carried out one after the other. Where many auctions are busy, their lines share
/// transactions too. Nobody waits for company: on an auction that is free, while few transactions are under way, a command goes
/// at once.
///
/// A row that somebody else has locked holds up those who share a transaction and do not need it for about a second; then they go
/// on without it. A key that a unit of work of the host has used for something else, and has not ended, is waited for with the
/// auction locked: a key is for one request.
///
/// It concerns commands on auctions that run by themselves, of one [`AuctionLedger`] and its clones. What runs
/// [`within`](crate::PlaceBid::within) a unit of work of the host stands in no line, nor does any command of a ledger with an
/// [`EligibilityCheck`](crate::EligibilityCheck), which is asked in the unit of work of one command.
///
/// It needs a connection of the pool for each transaction: [`lists`](Self::lists) of them, for each of these one more that is
/// being prepared, and one for each auction that waits for a lock of somebody else.
///
/// # Example: smaller lists, and a short wait
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use auction_ledger_migration::{Migrator, MigratorTrait};
/// use auction_ledger::{AuctionLedger, AuctionTerms, Currency, GroupCommit};
/// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
/// # Migrator::up(&db, None).await?;
/// let group = GroupCommit::new().commands(50).deadline(Duration::from_secs(2));
/// let ledger = AuctionLedger::new(db).group_commit(group);
/// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
/// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
/// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
/// ledger.deposit("bob", Currency::EUR, 100.into()).await?;
///
/// let (ann, bob) = tokio::join!(
///     ledger.place_bid(auction, "ann", 20.into()).into_future(),
///     ledger.place_bid(auction, "bob", 25.into()).into_future(),
/// );
/// assert_eq!((ann?.seq, bob?.seq), (2, 3));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCommit {
    commands: usize,
    lists: usize,
    slow: Duration,
    waiting: usize,
    deadline: Duration,
}

impl Default for GroupCommit {
    fn default() -> Self {
        Self {
            commands: 200,
            lists: 2,
            slow: Duration::from_millis(100),
            waiting: 10_000,
            deadline: Duration::from_secs(30),
        }
    }
}

impl GroupCommit {
    /// Up to 200 commands in one transaction, 2 transactions at a time, 10,000 commands in all lines together, and 30 seconds
    /// in line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every command in a transaction of its own, at once.
    #[must_use]
    pub fn off() -> Self {
        Self { commands: 0, ..Self::default() }
    }

    /// At most this many commands in one transaction: at least 1, and never more than 500.
    #[must_use]
    pub fn commands(mut self, commands: usize) -> Self {
        self.commands = commands.clamp(1, MOST_COMMANDS);
        self
    }

    /// How many transactions are under way before commands on free auctions wait and share one; at least 1. On SQLite, which
    /// has one writer, it is always 1.
    #[must_use]
    pub fn lists(mut self, lists: usize) -> Self {
        self.lists = lists.max(1);
        self
    }

    /// A transaction that takes longer than this does not count among those under way: it is likely to wait for a lock of
    /// somebody else, and shall not hold up strangers. Default: a tenth of a second. On SQLite they all wait for one writer
    /// anyway, and each counts.
    #[must_use]
    pub fn slow(mut self, slow: Duration) -> Self {
        self.slow = slow;
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

/// SQLite takes no expression that is more than 1,000 deep, and keys are told apart by OR.
const MOST_COMMANDS: usize = 500;

/// MariaDB reads a list of 1,000 values in another way, and lists are filled up to a power of two.
const MOST_WALLETS: usize = 500;

type Answer = Result<Outcome, Error>;

impl AuctionLedger {
    /// Waits until every command that this ledger and its clones have taken in is answered, and none is under way: for a host
    /// that shuts down, once it takes in no more.
    ///
    /// It concerns what [`GroupCommit`] carries out. The commit of a caller that has been dropped meanwhile goes on by itself,
    /// and is not waited for.
    ///
    /// # Cancel safety
    ///
    /// It only waits: dropped, it has changed nothing.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use auction_ledger_migration::{Migrator, MigratorTrait};
    /// use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
    /// # let db = sea_orm::Database::connect("sqlite::memory:").await?;
    /// # Migrator::up(&db, None).await?;
    /// # let ledger = AuctionLedger::new(db);
    /// # let terms = AuctionTerms::english(Currency::EUR, 10.into(), 5.into()).ends_in(Duration::from_secs(60));
    /// # let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;
    /// ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    /// let bid = tokio::spawn({
    ///     let ledger = ledger.clone();
    ///     async move { ledger.place_bid(auction, "ann", 20.into()).await }
    /// });
    /// tokio::task::yield_now().await;
    ///
    /// ledger.drain().await;
    /// assert_eq!(ledger.auction(auction).await?.price, Some(20.into()));
    /// assert!(bid.await?.is_ok());
    /// # Ok(()) }
    /// ```
    pub async fn drain(&self) {
        loop {
            let mut idle = pin!(self.group.idle.notified());
            idle.as_mut().enable();
            if self.group.lock().is_idle() {
                return;
            }
            idle.await;
        }
    }
}

/// The lines of one ledger and its clones.
#[derive(Clone, Debug)]
pub(super) struct Group {
    settings: GroupCommit,
    lines: Arc<Mutex<Lines>>,
    /// For what was taken out of its list and waits for locks of others.
    apart: Arc<Semaphore>,
    /// Whether the server has been seen to begin with a snapshot, which is of no use to whoever waits for a row.
    pub(super) snapshots: Arc<AtomicBool>,
    /// Told when nothing is under way any more.
    idle: Arc<Notify>,
}

impl Default for Group {
    fn default() -> Self {
        Self::new(GroupCommit::default())
    }
}

impl Group {
    pub(super) fn new(settings: GroupCommit) -> Self {
        let apart = Arc::new(Semaphore::new(settings.lists.min(Semaphore::MAX_PERMITS)));
        let (lines, snapshots, idle) = (Arc::default(), Arc::default(), Arc::default());
        Self { settings, lines, apart, snapshots, idle }
    }

    /// Lines of their own, with the same settings.
    pub(super) fn apart(&self) -> Self {
        Self::new(self.settings.clone())
    }

    /// Carries a command out, alone if its auction is free.
    pub(super) async fn carry_out(
        &self,
        ledger: &AuctionLedger,
        name: &'static str,
        command: &Command,
    ) -> Answer {
        // In the task of a list nobody would know that it is nested, and both would wait for each other.
        ledger.unit_of_work().require_outermost()?;
        // Whoever is asked about is asked once, so the key is claimed before.
        let asks = ledger.gatekeeper.asks();
        // Boxed, as its turn is, since most wait in line and never need it: it is large.
        let run = async || {
            let alone = Alone::new(ledger, name).writing_keys(command.once.key.is_some() && !asks);
            let run = async |uow: &UnitOfWork| match asks {
                true => command.claim_and_execute(uow, ledger).await,
                false => {
                    let way = Way::alone(uow, LockWait::Wait, &Handover::NONE);
                    command.execute(uow, ledger, way).await
                }
            };
            alone.carry_out(run).await
        };
        // What a host's own check asks, counts and writes is the business of one command alone.
        let grouped = self.settings.commands > 0 && !asks;
        let done = match Handle::try_current() {
            Ok(runtime) if grouped => match self.enter(ledger, command, runtime)? {
                Place::InLine(mut in_line) => {
                    tracing::debug!(%command.auction, "a command waits in line");
                    let deadline = command.deadline.unwrap_or(self.settings.deadline);
                    return in_line.answer(deadline).await;
                }
                Place::Turn(turn) => turn.watch(run().boxed()).boxed().await,
            },
            _ => run().boxed().await,
        };
        done.map(|done| done.value)
    }

    /// Takes the turn if the auction is free, and a place in its line if it is not.
    fn enter(
        &self,
        ledger: &AuctionLedger,
        command: &Command,
        runtime: Handle,
    ) -> Result<Place<'_>, Error> {
        let auction = command.auction;
        let come = || (command.clone(), runtime);
        let entered = self.lock().enter(&self.settings, ledger.room(), auction, come)?;
        Ok(match entered {
            Entered::Turn(turn) => Place::Turn(Box::new(Turn::new(ledger, turn, vec![auction]))),
            Entered::InLine { number, receiver } => {
                let in_line = InLine { group: self, auction, number, receiver };
                self.start(ledger);
                Place::InLine(in_line)
            }
        })
    }

    /// Carries out who waits, as long as there is room for a transaction.
    fn start(&self, ledger: &AuctionLedger) {
        let mut first = true;
        loop {
            let next = self.lock().next_list(&self.settings, ledger.room(), first);
            first = false;
            let Some(NextList { turn, auctions, list, ahead }) = next else {
                return;
            };
            let Some(runtime) = list.first().map(|waiting| waiting.runtime.clone()) else {
                continue;
            };
            let mut turn = Turn::new(ledger, turn, auctions);
            turn.ahead = ahead;
            let begin = Begin(Some((turn, list)));
            runtime.spawn(begin.run());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuctionLedger {
    /// How many transactions are under way before others wait.
    fn room(&self) -> Room {
        let GroupCommit { lists, slow, .. } = self.group.settings;
        match self.has_row_locks() {
            true => Room { lists, slow: Some(slow) },
            false => Room { lists: 1, slow: None },
        }
    }

    fn has_row_locks(&self) -> bool {
        Dialect::of(self.db.get_database_backend()).has_row_locks()
    }
}

enum Place<'a> {
    Turn(Box<Turn>),
    InLine(InLine<'a>),
}

/// A list that has not begun. A runtime that has ended begins none: whoever waits is told.
struct Begin(Option<(Turn, Vec<Waiting>)>);

impl Begin {
    async fn run(mut self) {
        if let Some((turn, list)) = self.0.take() {
            list::carry_out(turn, list).await;
        }
    }
}

impl Drop for Begin {
    fn drop(&mut self) {
        let Some((turn, list)) = self.0.take() else {
            return;
        };
        let waiting = list.len();
        for one in list {
            _ = one.answer.send(Err(Error::Overloaded { waiting }));
        }
        drop(turn);
    }
}

/// A place in the line of an auction.
struct InLine<'a> {
    group: &'a Group,
    auction: AuctionId,
    number: u64,
    receiver: oneshot::Receiver<Answer>,
}

impl InLine<'_> {
    async fn answer(&mut self, deadline: Duration) -> Answer {
        let answer = match tokio::time::timeout(deadline, &mut self.receiver).await {
            Ok(answer) => answer,
            Err(_) => match self.leave() {
                Some(waiting) => return Err(Error::Overloaded { waiting }),
                None => (&mut self.receiver).await,
            },
        };
        // The list has ended with its runtime, or by a panic.
        let gone = || UnitOfWorkError::CommitUnknown {
            error: DbErr::Custom("the task of the list has ended".to_owned()),
        };
        answer.unwrap_or_else(|_| Err(gone().into()))
    }

    fn leave(&self) -> Option<usize> {
        let mut lines = self.group.lock();
        let waiting = lines.leave(self.auction, self.number);
        if lines.is_idle() {
            self.group.idle.notify_waiters();
        }
        waiting
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
