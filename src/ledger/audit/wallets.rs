//! Wallets and their journals: a page of wallets by id, and all their entries in order.

use std::collections::VecDeque;

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ConnectionTrait, DbErr, Order, QueryResult};

use super::finding::{Balance, Finding, Record};
use super::report::{AuditedRows, Findings, Piece};
use super::{Scope, Span, count, read};
use crate::entity::{entry, wallet};
use crate::error::Error;
use crate::unit_of_work::UnitOfWork;

/// Audits the first page of the wallets in `span`, and every entry that is filed under an id of that page, whether there
/// is a wallet of that id or not.
pub(super) async fn audit(uow: &UnitOfWork, span: Span, scope: &Scope) -> Result<Piece, Error> {
    let page = Query::select()
        .columns([
            wallet::Column::Id,
            wallet::Column::Available,
            wallet::Column::Held,
            wallet::Column::Seq,
        ])
        .from(wallet::Entity)
        .and_where(span.holds(Expr::col(wallet::Column::Id)))
        .order_by(wallet::Column::Id, Order::Asc)
        .limit(scope.page_size)
        .take();
    let page = uow.query_all(&page).await?;
    let wallets: Vec<Wallet> = page.iter().map(Wallet::read).collect::<Result<_, _>>()?;
    let (covered, next) = span.up_to(wallets.last().map(|last| last.id), scope.is_full(&wallets));
    let mut read = AuditedRows { wallets: count(&wallets), ..AuditedRows::default() };

    let entries = Query::select()
        .columns([
            entry::Column::WalletId,
            entry::Column::Seq,
            entry::Column::Kind,
            entry::Column::AvailableDelta,
            entry::Column::HeldDelta,
            entry::Column::AvailableAfter,
            entry::Column::HeldAfter,
            entry::Column::AuctionId,
        ])
        .from(entry::Entity)
        .and_where(covered.holds(Expr::col(entry::Column::WalletId)))
        .order_by(entry::Column::WalletId, Order::Asc)
        .order_by(entry::Column::Seq, Order::Asc)
        .take();
    let state = Journals::new(wallets, scope);
    let entries = uow.get_database_backend().build(&entries);
    let journals = uow.fold(entries, state, |journals, row| journals.enter(row)).await?;
    read.entries = journals.entries;
    Ok(Piece { findings: journals.finish(), read, next })
}

/// A wallet's row.
#[derive(Clone, Copy, Debug)]
struct Wallet {
    id: i64,
    balance: Balance,
    seq: i64,
}

impl Wallet {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: read(row, 0)?,
            balance: Balance::new(read(row, 1)?, read(row, 2)?),
            seq: read(row, 3)?,
        })
    }
}

/// An entry of a wallet's journal.
#[derive(Clone, Copy, Debug)]
struct Entry {
    wallet: i64,
    seq: i64,
    kind: i16,
    delta: Balance,
    after: Balance,
    auction: Option<i64>,
}

impl Entry {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            wallet: read(row, 0)?,
            seq: read(row, 1)?,
            kind: read(row, 2)?,
            delta: Balance::new(read(row, 3)?, read(row, 4)?),
            after: Balance::new(read(row, 5)?, read(row, 6)?),
            auction: read(row, 7)?,
        })
    }

    fn is_misfiled(&self) -> bool {
        if super::crosses_the_border(self.kind) {
            self.auction.is_some() || self.delta.held != 0
        } else {
            self.auction.is_none()
        }
    }
}

/// The journals of a page of wallets, as far as they have been read.
struct Journals {
    /// The wallets whose journal has not come yet, ascending.
    waiting: VecDeque<Wallet>,
    current: Option<Journal>,
    /// The last id without a wallet under which an entry was found.
    orphan: Option<i64>,
    entries: u64,
    findings: Findings,
}

impl Journals {
    fn new(wallets: Vec<Wallet>, scope: &Scope) -> Self {
        Self {
            waiting: wallets.into(),
            current: None,
            orphan: None,
            entries: 0,
            findings: scope.findings(),
        }
    }

    fn enter(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let entry = Entry::read(row)?;
        self.entries = self.entries.saturating_add(1);
        self.turn_to(entry.wallet);
        match &mut self.current {
            Some(journal) if journal.wallet.id == entry.wallet => {
                journal.enter(&entry, &mut self.findings);
            }
            _ if self.orphan != Some(entry.wallet) => {
                self.orphan = Some(entry.wallet);
                let (wallet, seq) = (entry.wallet.into(), entry.seq);
                self.findings.push(Finding::MissingWallet {
                    referrer: Record::Entry { wallet, seq },
                    wallet,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Closes the journals of all wallets before this one, and opens its own.
    fn turn_to(&mut self, wallet: i64) {
        if self.current.as_ref().is_some_and(|journal| journal.wallet.id < wallet) {
            self.close_current();
        }
        while self.current.is_none()
            && let Some(next) = self.waiting.pop_front_if(|next| next.id <= wallet)
        {
            self.current = Some(Journal::of(next));
            if next.id < wallet {
                self.close_current();
            }
        }
    }

    fn close_current(&mut self) {
        if let Some(journal) = self.current.take() {
            journal.close(&mut self.findings);
        }
    }

    fn finish(mut self) -> Findings {
        self.turn_to(i64::MAX);
        self.close_current();
        self.findings
    }
}

/// The journal of one wallet, as far as it has been read.
struct Journal {
    wallet: Wallet,
    /// The number of the last entry.
    seq: i64,
    /// What the deltas have made.
    summed: Balance,
    /// What the last entry says. Where the two differ, one of them is wrong, and the next entry shows which: so one wrong
    /// cell is one finding, and not one for every entry behind it.
    stated: Balance,
}

impl Journal {
    fn of(wallet: Wallet) -> Self {
        Self { wallet, seq: 0, summed: Balance::default(), stated: Balance::default() }
    }

    fn enter(&mut self, entry: &Entry, findings: &mut Findings) {
        let wallet = self.wallet.id.into();
        let expected = self.seq.saturating_add(1);
        let summed = self.summed.plus(entry.delta);
        if entry.seq != expected {
            // What is missing has moved money that nobody knows: the balances go on from what is said here.
            findings.push(Finding::EntryGap { wallet, expected, found: entry.seq });
            self.summed = entry.after;
        } else if entry.after == summed || entry.after == self.stated.plus(entry.delta) {
            self.summed = entry.after;
        } else {
            let (seq, found) = (entry.seq, entry.after);
            findings.push(Finding::RunningBalance { wallet, seq, expected: summed, found });
            self.summed = summed;
        }
        self.seq = entry.seq;
        self.stated = entry.after;
        if entry.after.is_overdrawn() {
            findings.push(Finding::Overdrawn { wallet, seq: entry.seq, balance: entry.after });
        }
        if entry.is_misfiled() {
            findings.push(Finding::Misfiled {
                wallet,
                seq: entry.seq,
                kind: entry.kind,
                held_delta: entry.delta.held,
                auction: entry.auction.map(Into::into),
            });
        }
    }

    fn close(self, findings: &mut Findings) {
        let Wallet { id, balance, seq } = self.wallet;
        if (balance == self.summed || balance == self.stated) && seq == self.seq {
            return;
        }
        findings.push(Finding::WalletRow {
            wallet: id.into(),
            row: balance,
            row_seq: seq,
            journal: self.stated,
            journal_seq: self.seq,
        });
    }
}
