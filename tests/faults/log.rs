//! What was sent and what was answered, as the client knows it, to be compared with the books.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use auction_ledger::unit_of_work::UnitOfWork;
use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Error, OperationId, Settlement, Wallet,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use super::{WON, is_unknown};
use crate::support::Books;

/// What to ask of the ledger.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Deposit { user: String, amount: i64 },
    Withdraw { user: String, amount: i64 },
    Open { seller: String, terms: AuctionTerms },
    Bid { auction: AuctionId, user: String, amount: Decimal },
    Buy { auction: AuctionId, user: String },
    Settle { auction: AuctionId },
    CloseEarly { auction: AuctionId },
    Cancel { auction: AuctionId },
    VoidBid { auction: AuctionId, bid: i64 },
}

/// What an `Ok` said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) auction: Option<AuctionId>,
    seq: Option<i64>,
    operation: Option<OperationId>,
    /// The available money after a deposit or a withdrawal, which answer no operation.
    available: Option<i64>,
    /// Whether the command has left its note in the books. A settlement without a sale leaves none, and one that only
    /// repeats what another command did may have left none.
    noted: bool,
}

/// What became of a command, as far as its sender knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Fate {
    /// No answer has come, yet or for ever.
    Sent,
    Acknowledged(Answer),
    Unknown(String),
    /// Known not to be stored.
    Refused(String),
}

/// Every command that was sent, by its note: no two commands share one, and the books keep it as memo, reason or title.
#[derive(Clone, Debug)]
pub(super) struct Log {
    prefix: Arc<str>,
    fates: Arc<Mutex<BTreeMap<String, Fate>>>,
    next: Arc<AtomicUsize>,
    acknowledged: watch::Sender<usize>,
    /// Whether each fate is also told on the standard output, to a process that will survive this one.
    told: bool,
}

/// How many commands met which fate, and how many of the unknown ones were stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) acknowledged: usize,
    pub(super) refused: usize,
    pub(super) unknown: usize,
    pub(super) unknown_stored: usize,
}

impl Log {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
            fates: Arc::default(),
            next: Arc::default(),
            acknowledged: watch::Sender::new(0),
            told: false,
        }
    }

    /// A log of a process that is going to be killed: every line of its standard output is for [`learn`](Self::learn).
    pub(super) fn told(prefix: &str) -> Self {
        Self { told: true, ..Self::new(prefix) }
    }

    /// Sends a command in a unit of work of its own.
    pub(super) async fn send(&self, ledger: &AuctionLedger, wish: Wish) -> Result<Answer, Error> {
        self.record(async |note| wish.carry_out(ledger, note, None).await).await
    }

    /// Writes down what comes of `send`, which gets the note of the command.
    pub(super) async fn record(
        &self,
        send: impl AsyncFnOnce(&str) -> Result<Answer, Error>,
    ) -> Result<Answer, Error> {
        let note = format!("{} {}", self.prefix, self.next.fetch_add(1, Ordering::SeqCst));
        self.write(&note, Fate::Sent);
        let outcome = send(&note).await;
        let fate = match &outcome {
            Ok(answer) => Fate::Acknowledged(*answer),
            Err(error) if is_unknown(error) => Fate::Unknown(format!("{error:?}")),
            Err(error) => Fate::Refused(format!("{error:?}")),
        };
        self.write(&note, fate);
        outcome
    }

    fn write(&self, note: &str, fate: Fate) {
        if self.told {
            let line = serde_json::to_string(&(note, &fate)).expect("a line of JSON");
            println!("{LINE}{line}");
        }
        let known = matches!(fate, Fate::Acknowledged(_));
        self.fates.lock().unwrap().insert(note.to_owned(), fate);
        if known {
            self.acknowledged.send_modify(|count| *count += 1);
        }
    }

    /// Takes a line of the standard output of another process. Its last line may be cut off, and says nothing then.
    pub(super) fn learn(&self, line: &str) {
        let Some(line) = line.strip_prefix(LINE) else { return };
        if let Ok((note, fate)) = serde_json::from_str::<(String, Fate)>(line) {
            self.write(&note, fate);
        }
    }

    /// How many commands have been acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// Waits until so many commands have been acknowledged.
    pub(super) async fn until_acknowledged(&self, count: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        let reached = acknowledged.wait_for(|so_far| *so_far >= count);
        let limit = std::time::Duration::from_secs(60);
        if tokio::time::timeout(limit, reached).await.is_err() {
            panic!("{} instead of {count} acknowledged; {:?}", self.acknowledged(), self.errors());
        }
    }

    /// The different errors so far, for a message.
    pub(super) fn errors(&self) -> std::collections::BTreeSet<String> {
        let fates = self.fates.lock().unwrap();
        let errors = fates.values().filter_map(|fate| match fate {
            Fate::Unknown(error) | Fate::Refused(error) => Some(error.clone()),
            Fate::Sent | Fate::Acknowledged(_) => None,
        });
        errors.collect()
    }

    /// Checks that the books have what was acknowledged, exactly once; nothing that was refused; and nothing twice.
    pub(super) fn compare(&self, books: &Books) -> Tally {
        let fates = self.fates.lock().unwrap();
        let stored = stored(books);
        for note in stored.keys() {
            assert!(fates.contains_key(*note), "{note:?} is stored, and nobody has sent it");
        }
        let mut tally = Tally::default();
        for (note, fate) in fates.iter() {
            let found = stored.get(note.as_str()).map_or(&[][..], Vec::as_slice);
            match fate {
                Fate::Acknowledged(answer) => {
                    answer.check(note, found, books);
                    tally.acknowledged += 1;
                }
                Fate::Unknown(_) | Fate::Sent => {
                    assert!(found.len() <= 1, "{note:?}, {fate:?}, is there twice: {found:?}");
                    tally.unknown += 1;
                    tally.unknown_stored += found.len();
                }
                Fate::Refused(error) => {
                    assert!(found.is_empty(), "{note:?} is there after {error}: {found:?}");
                    tally.refused += 1;
                }
            }
        }
        tally
    }
}

/// What a line for another process begins with: the test harness writes lines of its own.
const LINE: &str = "fate ";

/// A command as the books have it.
#[derive(Clone, Copy, Debug)]
struct Stored {
    operation: Uuid,
    /// The auction, and the number of the command on it.
    command: Option<(i64, i64)>,
    available_after: Option<i64>,
}

/// Every note in the books, and the commands that left it.
fn stored(books: &Books) -> BTreeMap<&str, Vec<Stored>> {
    let bids = books.bids.iter().map(|row| (row.operation, (row.auction_id, row.seq)));
    let acts = books.acts.iter().map(|row| (row.operation, (row.auction_id, row.seq)));
    let commands: BTreeMap<Uuid, (i64, i64)> = bids.chain(acts).collect();
    let mut notes: BTreeMap<&str, BTreeMap<Uuid, Option<i64>>> = BTreeMap::new();
    for entry in &books.entries {
        if let Some(memo) = &entry.memo {
            let after = entry.auction_id.is_none().then_some(entry.available_after);
            notes.entry(memo).or_default().insert(entry.operation, after);
        }
    }
    for act in &books.acts {
        if let Some(reason) = &act.reason {
            notes.entry(reason).or_default().insert(act.operation, None);
        }
    }
    for auction in &books.auctions {
        let mut acts = books.acts.iter();
        let opened = acts.find(|act| (act.auction_id, act.seq) == (auction.id, 1));
        let operation = opened.expect("an auction was opened").operation;
        notes.entry(&auction.title).or_default().insert(operation, None);
    }
    let stored = |(operation, available_after)| Stored {
        operation,
        command: commands.get(&operation).copied(),
        available_after,
    };
    notes
        .into_iter()
        .map(|(note, operations)| (note, operations.into_iter().map(stored).collect()))
        .collect()
}

/// How many commands have left this note.
pub(super) fn times_stored(books: &Books, note: &str) -> usize {
    stored(books).get(note).map_or(0, Vec::len)
}

impl Answer {
    fn check(&self, note: &str, found: &[Stored], books: &Books) {
        let said = (self.auction.map(AuctionId::get), self.seq);
        if self.noted {
            let [stored] = found else {
                panic!("{note:?} was acknowledged and is there {} times: {self:?}", found.len());
            };
            let (auction, seq) = stored.command.unzip();
            // Opening and the border answer no operation, and the border no number: what it answers is the balance.
            let operation = self.operation.map_or(stored.operation, OperationId::get);
            let answered = (operation, said, self.available);
            let there = (stored.operation, (auction, seq), stored.available_after);
            assert_eq!(answered, there, "{note:?} is not what was answered");
        } else {
            assert!(found.len() <= 1, "{note:?} is there twice: {found:?}");
            let mut acts = books.acts.iter();
            let act = acts.find(|act| said == (Some(act.auction_id), Some(act.seq)));
            let operation = act.map(|act| OperationId::from(act.operation));
            assert!(operation.is_some(), "{note:?}: {self:?} is not there");
            assert_eq!(operation, self.operation, "{note:?} is not what was answered");
        }
    }

    fn of_wallet(wallet: &Wallet) -> Self {
        let available = wallet.available.try_into().expect("whole won");
        Self { available: Some(available), noted: true, ..Self::default() }
    }

    fn of_command(auction: AuctionId, seq: i64, operation: OperationId) -> Self {
        let (auction, seq, operation) = (Some(auction), Some(seq), Some(operation));
        Self { auction, seq, operation, available: None, noted: true }
    }

    fn of_settlement(settlement: &Settlement, noted: bool) -> Self {
        let Settlement { auction, seq, operation, .. } = *settlement;
        Self { noted, ..Self::of_command(auction, seq, operation) }
    }
}

/// Awaits a request with or without a key, alone or within a unit of work.
macro_rules! sent {
    ($request:expr, $key:expr, $within:expr) => {{
        let request = match $key {
            Some(key) => $request.key(key),
            None => $request,
        };
        match $within {
            Some(uow) => request.within(uow).await?,
            None => request.await?,
        }
    }};
}

impl Wish {
    /// Sends the command, with its note.
    pub(super) async fn carry_out(
        self,
        ledger: &AuctionLedger,
        note: &str,
        within: Option<&UnitOfWork>,
    ) -> Result<Answer, Error> {
        self.ask(ledger, note, None, within).await
    }

    /// Sends the command in a unit of work of its own, with its note, which is its key too.
    pub(super) async fn carry_out_once(
        self,
        ledger: &AuctionLedger,
        note: &str,
    ) -> Result<Answer, Error> {
        self.ask(ledger, note, Some(note), None).await
    }

    async fn ask(
        self,
        ledger: &AuctionLedger,
        note: &str,
        key: Option<&str>,
        within: Option<&UnitOfWork>,
    ) -> Result<Answer, Error> {
        Ok(match self {
            Self::Deposit { user, amount } => {
                let request = ledger.deposit(user, WON, amount.into()).memo(note);
                Answer::of_wallet(&sent!(request, key, within))
            }
            Self::Withdraw { user, amount } => {
                let request = ledger.withdraw(user, WON, amount.into()).memo(note);
                Answer::of_wallet(&sent!(request, key, within))
            }
            Self::Open { seller, terms } => {
                let opened = sent!(ledger.open_auction(seller, note, terms), key, within);
                let (auction, seq) = (Some(opened.id), Some(opened.seq));
                Answer { auction, seq, noted: true, ..Answer::default() }
            }
            Self::Bid { auction, user, amount } => {
                let bid = sent!(ledger.place_bid(auction, user, amount).memo(note), key, within);
                Answer::of_command(auction, bid.seq, bid.operation)
            }
            Self::Buy { auction, user } => {
                let bought = sent!(ledger.buy_now(auction, user).memo(note), key, within);
                Answer::of_command(auction, bought.seq, bought.operation)
            }
            Self::Settle { auction } => {
                let settled = sent!(ledger.settle(auction).memo(note), key, within);
                let noted = settled.sold.is_some() && !settled.repeated;
                Answer::of_settlement(&settled, noted)
            }
            Self::CloseEarly { auction } => {
                let closed = sent!(ledger.close_early(auction).reason(note), key, within);
                Answer::of_settlement(&closed, true)
            }
            Self::Cancel { auction } => {
                let done = sent!(ledger.cancel(auction).reason(note), key, within);
                Answer::of_command(auction, done.seq, done.operation)
            }
            Self::VoidBid { auction, bid } => {
                let done = sent!(ledger.void_bid(auction, bid, note), key, within);
                Answer::of_command(auction, done.seq, done.operation)
            }
        })
    }
}
