//! What the clients saw of their commands, and whether the books agree.

use std::collections::BTreeMap;
use std::fmt;

use auction_ledger::unit_of_work::{self, ErrorKind};
use auction_ledger::{Error, Rejection};
use sea_orm::{DbErr, RuntimeErr, SqlxMySqlError, sqlx};

use crate::support::Books;

/// What became of a command, for its client.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// It was acknowledged.
    Done,
    /// The rules said no.
    Refused(Rejection),
    /// The database could not, and nothing is stored.
    Failed(Error),
    /// The connection was lost while COMMIT was on its way.
    Unknown(Error),
}

impl Fate {
    /// Whether the client has learned neither that it is stored nor why not.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Unknown(_))
    }
}

/// One command of one client.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Names the command. With the number of the attempt it is the note that its entry carries.
    pub(super) command: String,
    pub(super) attempts: u32,
    /// What the attempts ended with, where a statement of theirs failed.
    pub(super) conflicts: Vec<String>,
    pub(super) fate: Fate,
}

/// What all clients saw.
#[derive(Debug, Default)]
pub(super) struct Log(pub(super) Vec<Line>);

impl Log {
    pub(super) fn count(&self, which: impl Fn(&Fate) -> bool) -> usize {
        self.0.iter().filter(|line| which(&line.fate)).count()
    }

    pub(super) fn done(&self) -> usize {
        self.count(|fate| matches!(fate, Fate::Done))
    }

    /// What was acknowledged is stored once, by the attempt that was acknowledged; what was refused or has failed is not
    /// stored, by no attempt; what is unknown is stored once or not at all. How many of the unknown are stored.
    pub(super) fn verify(&self, books: &Books) -> usize {
        let mut stored: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for memo in books.entries.iter().filter_map(|entry| entry.memo.as_deref()) {
            let (command, attempt) = memo.rsplit_once(' ').expect("a number behind the command");
            stored.entry(command).or_default().push(attempt.parse().expect("a number"));
        }
        let mut found = 0;
        for line in &self.0 {
            let attempts = stored.remove(line.command.as_str()).unwrap_or_default();
            match &line.fate {
                Fate::Done => assert_eq!(attempts, [line.attempts], "acknowledged: {line:?}"),
                Fate::Unknown(_) if attempts.is_empty() => {}
                Fate::Unknown(_) => {
                    assert_eq!(attempts, [line.attempts], "unknown: {line:?}");
                    found += 1;
                }
                _ => assert!(attempts.is_empty(), "stored by the attempts {attempts:?}: {line:?}"),
            }
        }
        assert!(stored.is_empty(), "stored, and nobody has sent it: {stored:?}");
        found
    }

    /// Nothing but a bid that was too low may have been refused: everybody has the money, and all auctions are open.
    pub(super) fn verify_refusals(&self) {
        for line in &self.0 {
            if let Fate::Refused(rejection) = &line.fate {
                let too_low = matches!(rejection, Rejection::BelowMinimum { .. });
                assert!(too_low, "refused for no reason of the rules: {line:?}");
            }
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut attempts: BTreeMap<u32, usize> = BTreeMap::new();
        let mut conflicts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut errors: BTreeMap<String, usize> = BTreeMap::new();
        let mut at_commit = 0;
        for line in &self.0 {
            *attempts.entry(line.attempts).or_default() += 1;
            for conflict in &line.conflicts {
                *conflicts.entry(conflict).or_default() += 1;
            }
            // Every attempt but the last has failed, in a statement or in its commit.
            at_commit +=
                (line.attempts.saturating_sub(1) as usize).saturating_sub(line.conflicts.len());
            if let Fate::Failed(error) | Fate::Unknown(error) = &line.fate {
                *errors.entry(told(error)).or_default() += 1;
            }
        }
        let refused = self.count(|fate| matches!(fate, Fate::Refused(_)));
        let failed = self.count(|fate| matches!(fate, Fate::Failed(_)));
        let unknown = self.count(|fate| matches!(fate, Fate::Unknown(_)));
        let (all, done) = (self.0.len(), self.done());
        writeln!(
            f,
            "{all} commands: {done} done, {refused} refused, {failed} failed, {unknown} unknown"
        )?;
        writeln!(f, "  attempts, and how many commands took so many: {attempts:?}")?;
        writeln!(
            f,
            "  attempts that failed in a statement: {conflicts:?}; as they committed: {at_commit}"
        )?;
        write!(f, "  what the clients were told in the end: {errors:?}")
    }
}

/// Where an error came up, its number, and what it is taken for.
pub(super) fn told(error: &Error) -> String {
    let text = |place: &str, error: &DbErr| {
        let number = number(error).map_or_else(|| "io".to_owned(), |number| number.to_string());
        format!("{place}: {number} {:?}", ErrorKind::of(error))
    };
    match error {
        Error::Database(error) => text("statement", error),
        Error::UnitOfWork(unit_of_work::Error::Begin { error }) => text("begin", error),
        Error::UnitOfWork(unit_of_work::Error::CommitRefused { error }) => text("commit", error),
        Error::UnitOfWork(unit_of_work::Error::CommitUnknown { error }) => {
            text("commit unknown", error)
        }
        other => format!("{other:?}"),
    }
}

/// What an error is taken for.
pub(super) fn kind(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::Database(error) => Some(ErrorKind::of(error)),
        Error::UnitOfWork(error) => error.kind(),
        _ => None,
    }
}

/// The number of an error of MariaDB.
fn number(error: &DbErr) -> Option<u16> {
    let (DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error)) = error else {
        return None;
    };
    let RuntimeErr::SqlxError(error) = error else { return None };
    let sqlx::Error::Database(error) = error.as_ref() else { return None };
    Some(error.try_downcast_ref::<SqlxMySqlError>()?.number())
}
