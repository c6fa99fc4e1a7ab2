//! What a command of the ledger can answer instead of success.

use sea_orm::DbErr;

use crate::backend::ErrorKind;
use crate::id::{AuctionId, OperationId, UserIdError};
use crate::ledger::CommandRef;
use crate::money::{AmountError, Currency, CurrencyError};
use crate::rules::{Rejection, TermsError};
use crate::unit_of_work;

/// Why a command was not carried out.
///
/// Three families: the rules said no ([`Error::Rejected`]), the request itself is wrong (`Invalid…`, `Unknown…`,
/// [`Error::CurrencyMismatch`], [`Error::IdempotencyConflict`]), or the database could not ([`Error::UnitOfWork`], [`Error::Database`],
/// [`Error::MigrationsMissing`], [`Error::NotStrict`], [`Error::Damaged`]). After every one of them but
/// [`Error::CommitUnknown`], and the same of a [`unit_of_work`](unit_of_work::Error::CommitUnknown), nothing is stored.
///
/// # Example: asking an error instead of reading it
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use auction_ledger::{AuctionLedger, Currency, Rejection};
/// use auction_ledger_migration::{Migrator, MigratorTrait};
/// use sea_orm::Database;
///
/// let db = Database::connect("sqlite::memory:").await?;
/// Migrator::up(&db, None).await?;
/// let ledger = AuctionLedger::new(db);
///
/// let error = ledger.withdraw("ann", Currency::EUR, 5.into()).await.unwrap_err();
/// match error.rejection() {
///     Some(Rejection::InsufficientFunds { available, .. }) => assert!(available.is_zero()),
///     _ => panic!("{error}"),
/// }
/// assert!(!error.is_retryable());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The rules said no. Nothing was written, and a unit of work it was part of goes on.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The user id cannot name a user.
    #[error("the user id is not valid")]
    InvalidUser(#[from] UserIdError),
    /// The currency cannot be made.
    #[error("the currency is not valid")]
    InvalidCurrency(#[from] CurrencyError),
    /// The number is not an amount of the currency.
    #[error("the {what} is not valid")]
    InvalidAmount {
        /// Which of the amounts of the request.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        error: AmountError,
    },
    /// The terms cannot be promised.
    #[error("the terms are not valid")]
    InvalidTerms(#[from] TermsError),
    /// A text is too short, too long, or has a character that databases refuse.
    #[error("the {what} is not valid")]
    InvalidText {
        /// Which of the texts of the request.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        error: TextError,
    },
    /// There is no auction with this id.
    #[error("there is no auction {auction}")]
    UnknownAuction {
        /// The id that was asked for.
        auction: AuctionId,
    },
    /// The user's wallet counts this currency with other decimals than the request or the auction does.
    #[error("the wallet counts {currency} with {stored} decimals, not with {exponent}", currency = .given, exponent = .given.exponent())]
    CurrencyMismatch {
        /// The currency as it was given.
        given: Currency,
        /// The exponent with which the wallet was made.
        stored: u8,
    },
    /// The key was used for another request: the same key with another payload. Nothing was written, and a unit of work it
    /// was part of goes on.
    #[error("the key was used for another request: operation {operation}")]
    IdempotencyConflict {
        /// What was carried out under the key.
        operation: OperationId,
    },
    /// The connection was lost while COMMIT was on its way, and what became of it could not be found out in time: the
    /// command is stored wholly or not at all.
    ///
    /// Ask [`AuctionLedger::outcome`](crate::AuctionLedger::outcome), or send a command that has a key again: it is carried
    /// out once.
    #[error("the connection was lost during the commit of operation {}: it may or may not have happened", .command.operation())]
    CommitUnknown {
        /// What to look up.
        command: Box<CommandRef>,
        /// What the driver said.
        #[source]
        error: DbErr,
    },
    /// Too many commands of this process wait for busy auctions, or this one has waited too long, or the runtime that was to
    /// carry it out has ended: see [`GroupCommit`](crate::GroupCommit). Nothing was sent to the database.
    #[error("{waiting} commands wait for auctions that are busy")]
    Overloaded {
        /// How many commands wait.
        waiting: usize,
    },
    /// The unit of work refused, or its commit failed. [`unit_of_work::Error::CommitUnknown`] is among it where that unit is the
    /// host's, and of [`collect_house`](crate::AuctionLedger::collect_house) and
    /// [`purge_keys`](crate::AuctionLedger::purge_keys), which can be called again; where another verb runs alone, it is
    /// [`Error::CommitUnknown`].
    #[error(transparent)]
    UnitOfWork(#[from] unit_of_work::Error),
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] DbErr),
    /// The tables of the ledger are not there, or not all of them: run `auction_ledger_migration::Migrator::up`.
    #[error("the tables of the ledger are missing: run auction_ledger_migration::Migrator::up")]
    MigrationsMissing(#[source] DbErr),
    /// The session of MariaDB/MySQL is not strict: it would cut and clamp what does not fit a column. Put
    /// `STRICT_TRANS_TABLES` into its `sql_mode`, where it is by default. Nothing was written.
    #[error("the sql_mode of the session is not strict: add STRICT_TRANS_TABLES to it")]
    NotStrict,
    /// A row says what the ledger never writes.
    #[error("the books are damaged: {what}")]
    Damaged {
        /// The row and what is wrong with it.
        what: String,
    },
}

impl Error {
    /// The rules' answer, if that is what this is.
    #[must_use]
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            _ => None,
        }
    }

    /// Whether the rules said no: asking again helps only when something has changed.
    #[must_use]
    pub fn is_rejection(&self) -> bool {
        self.rejection().is_some()
    }

    /// Whether it is known that nothing of the command is stored. It is, unless the commit got no answer.
    #[must_use]
    pub fn is_known_not_stored(&self) -> bool {
        let unknown = matches!(
            self,
            Self::CommitUnknown { .. }
                | Self::UnitOfWork(unit_of_work::Error::CommitUnknown { .. })
        );
        !unknown
    }

    /// Whether what was done for several at once may have failed for one of them: without it, it need not.
    pub(crate) fn may_be_of_one(&self) -> bool {
        let kind = match self {
            Self::Database(error) => ErrorKind::of(error),
            Self::UnitOfWork(error) => error.kind().unwrap_or(ErrorKind::Other),
            Self::MigrationsMissing(_)
            | Self::NotStrict
            | Self::CommitUnknown { .. }
            | Self::Overloaded { .. } => return false,
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
        !all && self.is_known_not_stored()
    }

    /// What the database said, where it said something.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::UnitOfWork(error) => error.kind(),
            Self::Database(error)
            | Self::MigrationsMissing(error)
            | Self::CommitUnknown { error, .. } => Some(ErrorKind::of(error)),
            _ => None,
        }
    }

    /// Whether the same command, sent again, can succeed: the database was busy, or the connection was lost before the
    /// commit or not to be had. Verbs that run in a unit of work of their own have already tried several times.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::UnitOfWork(error) => error.is_retryable(),
            Self::Database(error) => ErrorKind::of(error).is_retryable(),
            Self::Overloaded { .. } => true,
            _ => false,
        }
    }

    /// Whether it was given before anything was written, so that a unit of work around it can go on.
    pub(crate) fn is_harmless(&self) -> bool {
        match self {
            Self::Rejected(_)
            | Self::InvalidUser(_)
            | Self::InvalidCurrency(_)
            | Self::InvalidAmount { .. }
            | Self::InvalidTerms(_)
            | Self::InvalidText { .. }
            | Self::UnknownAuction { .. }
            | Self::CurrencyMismatch { .. }
            | Self::IdempotencyConflict { .. }
            | Self::NotStrict => true,
            Self::CommitUnknown { .. }
            | Self::Overloaded { .. }
            | Self::UnitOfWork(_)
            | Self::Database(_)
            | Self::MigrationsMissing(_)
            | Self::Damaged { .. } => false,
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

/// A refusal of the unit of work that travelled through SeaORM comes back as itself.
impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if let Some(refusal) = unit_of_work::Error::of(&error) {
            return Self::UnitOfWork(refusal.clone());
        }
        match ErrorKind::of(&error) {
            // Which table it is, only the text says; the host's own are the host's affair.
            ErrorKind::UndefinedTable if error.to_string().contains("al_") => {
                Self::MigrationsMissing(error)
            }
            _ => Self::Database(error),
        }
    }
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is too long.
    #[error("it has {length} {unit}, and at most {limit} are allowed")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// It contains a NUL character, which not every database can store.
    #[error("it contains a NUL character")]
    ContainsNul,
}

/// A title: 1 to 200 characters.
pub(crate) fn title(text: &str) -> Result<(), Error> {
    let length = text.chars().count();
    let error = match text {
        "" => TextError::Empty,
        _ if length > 200 => TextError::TooLong { length, limit: 200, unit: "characters" },
        _ if text.contains('\0') => TextError::ContainsNul,
        _ => return Ok(()),
    };
    Err(Error::InvalidText { what: "title", error })
}

/// The name of a relay: 1 to 64 bytes.
pub(crate) fn relay(text: &str) -> Result<(), Error> {
    let error = match text {
        "" => TextError::Empty,
        _ if text.len() > 64 => TextError::TooLong { length: text.len(), limit: 64, unit: "bytes" },
        _ if text.contains('\0') => TextError::ContainsNul,
        _ => return Ok(()),
    };
    Err(Error::InvalidText { what: "relay", error })
}

/// A memo: up to 200 bytes.
pub(crate) fn memo(text: Option<&str>) -> Result<(), Error> {
    let error = match text.unwrap_or_default() {
        text if text.len() > 200 => {
            TextError::TooLong { length: text.len(), limit: 200, unit: "bytes" }
        }
        text if text.contains('\0') => TextError::ContainsNul,
        _ => return Ok(()),
    };
    Err(Error::InvalidText { what: "memo", error })
}

/// A reason: up to 200 characters.
pub(crate) fn reason(text: Option<&str>) -> Result<(), Error> {
    let text = text.unwrap_or_default();
    let length = text.chars().count();
    let error = match text {
        _ if length > 200 => TextError::TooLong { length, limit: 200, unit: "characters" },
        _ if text.contains('\0') => TextError::ContainsNul,
        _ => return Ok(()),
    };
    Err(Error::InvalidText { what: "reason", error })
}
