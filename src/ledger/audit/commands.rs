//! The commands of a range of auctions: their numbers, and the sum of the entries of each.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ConnectionTrait, DbErr, Order, QueryResult};
use uuid::Uuid;

use super::auctions::Lot;
use super::finding::Finding;
use super::report::Findings;
use super::{Span, read};
use crate::entity::{act, bid};
use crate::error::Error;
use crate::id::OperationId;
use crate::unit_of_work::UnitOfWork;

/// A bid or an act, and what its entries sum to.
#[derive(Clone, Copy, Debug)]
struct Command {
    auction: i64,
    seq: i64,
    operation: u128,
    sum: i128,
}

/// All bids and acts of a range of auctions.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// By auction and number; once sorted for it, by auction and operation.
    all: Vec<Command>,
    /// Operations that are no command's, with their sums.
    unknown: BTreeMap<(i64, u128), i128>,
    /// Entries of such operations that found no room there.
    more_unknown: u64,
    pub(super) bids: u64,
    pub(super) acts: u64,
}

impl Commands {
    /// Reads the commands that name an id of the range, whether there is an auction of that id or not.
    pub(super) async fn load(uow: &UnitOfWork, covered: Span) -> Result<Self, Error> {
        let backend = uow.get_database_backend();
        let acts = Query::select()
            .columns([act::Column::AuctionId, act::Column::Seq, act::Column::Operation])
            .from(act::Entity)
            .and_where(covered.holds(Expr::col(act::Column::AuctionId)))
            .order_by(act::Column::AuctionId, Order::Asc)
            .order_by(act::Column::Seq, Order::Asc)
            .take();
        let bids = Query::select()
            .columns([bid::Column::AuctionId, bid::Column::Seq, bid::Column::Operation])
            .from(bid::Entity)
            .and_where(covered.holds(Expr::col(bid::Column::AuctionId)))
            .order_by(bid::Column::AuctionId, Order::Asc)
            .order_by(bid::Column::Seq, Order::Asc)
            .take();
        let commands = uow.fold(backend.build(&acts), Self::default(), |commands, row| {
            commands.acts = commands.acts.saturating_add(1);
            commands.push(row)
        });
        let commands = uow.fold(backend.build(&bids), commands.await?, |commands, row| {
            commands.bids = commands.bids.saturating_add(1);
            commands.push(row)
        });
        let mut commands = commands.await?;
        commands.all.sort_unstable_by_key(|command| (command.auction, command.seq));
        Ok(commands)
    }

    fn push(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let operation = read::<Uuid>(row, 2)?.as_u128();
        self.all.push(Command { auction: read(row, 0)?, seq: read(row, 1)?, operation, sum: 0 });
        Ok(())
    }

    /// The numbers of each auction's commands are dense, from 1 to the auction's own count.
    pub(super) fn check_numbers(&self, lots: &[Lot], findings: &mut Findings) {
        for lot in lots {
            let from = self.all.partition_point(|command| command.auction < lot.id);
            let of_lot = self.all.iter().skip(from).take_while(|one| one.auction == lot.id);
            let (auction, mut last) = (lot.id.into(), 0_i64);
            for found in of_lot.map(|command| command.seq) {
                let expected = last.saturating_add(1);
                if found != expected {
                    findings.push(Finding::CommandGap { auction, expected, found });
                }
                last = last.max(found);
            }
            if last != lot.seq {
                findings.push(Finding::AuctionSeq { auction, row: lot.seq, last });
            }
        }
    }

    pub(super) fn sort_by_operation(&mut self) {
        self.all.sort_unstable_by_key(|command| (command.auction, command.operation));
    }

    /// Adds an entry to its command; `false` if there is none.
    pub(super) fn add(&mut self, auction: i64, operation: u128, delta: i128) -> bool {
        let key = |command: &Command| (command.auction, command.operation);
        let index = self.all.binary_search_by_key(&(auction, operation), key);
        let command = index.ok().and_then(|index| self.all.get_mut(index));
        if let Some(command) = command {
            command.sum = command.sum.saturating_add(delta);
            return true;
        }
        false
    }

    /// Adds an entry of no command, where there is room for another operation.
    pub(super) fn add_unknown(&mut self, auction: i64, operation: u128, delta: i128, most: usize) {
        let key = (auction, operation);
        if self.unknown.len() < most || self.unknown.contains_key(&key) {
            let sum = self.unknown.entry(key).or_default();
            *sum = sum.saturating_add(delta);
        } else {
            self.more_unknown = self.more_unknown.saturating_add(1);
        }
    }

    pub(super) fn judge(&self, findings: &mut Findings) {
        for command in self.all.iter().filter(|command| command.sum != 0) {
            findings.push(Finding::Unbalanced {
                auction: command.auction.into(),
                operation: operation(command.operation),
                sum: command.sum,
            });
        }
        for ((auction, unknown), sum) in &self.unknown {
            findings.push(Finding::UnknownOperation {
                auction: (*auction).into(),
                operation: operation(*unknown),
                sum: *sum,
            });
        }
        findings.overflow(self.more_unknown);
    }
}

fn operation(id: u128) -> OperationId {
    Uuid::from_u128(id).into()
}
