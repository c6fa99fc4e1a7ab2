//! Auctions: a range of them by id, their commands, and every entry that is for them.
//!
//! An entry knows its auction and its operation, and nothing finds it by either: an index would have to be kept up by every
//! bid. So the entries of a whole range are read in one scan of the journal, and laid against the commands of the range,
//! which are few enough to be kept.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ActiveEnum, ConnectionTrait, DbErr, Order, QueryResult};
use uuid::Uuid;

use super::commands::Commands;
use super::finding::{Balance, Finding, Record, SettlementMismatch};
use super::report::{AuditedRows, Findings, Piece};
use super::{Scope, Span, count, read, references};
use crate::entity::{auction, entry, house, sealed_bid};
use crate::error::Error;
use crate::unit_of_work::UnitOfWork;

/// Audits the first auctions in `span`, as many as have about [`Scope::commands`] commands together, and every bid, act and
/// entry that names an id of that range, whether there is an auction of that id or not.
pub(super) async fn audit(uow: &UnitOfWork, span: Span, scope: &Scope) -> Result<Piece, Error> {
    let (lots, covered, next) = lots(uow, span, scope).await?;
    let mut findings = scope.findings();
    let commands = Commands::load(uow, covered).await?;
    let mut read = AuditedRows {
        auctions: count(&lots),
        bids: commands.bids,
        acts: commands.acts,
        ..AuditedRows::default()
    };
    commands.check_numbers(&lots, &mut findings);
    references::audit(uow, covered, scope, &mut findings).await?;

    let sealed = sealed_bids(uow, covered).await?;
    let state = Moves { sealed, ..Moves::new(lots, commands, scope) };
    let entries = uow.get_database_backend().build(&entries(covered));
    let moves = uow.fold(entries, state, |moves, row| moves.enter(row)).await?;
    read.entries_by_auction = moves.entries;
    moves.judge(&mut findings);
    Ok(Piece { findings, read, next })
}

/// The sealed bids of a range that are not released: for which auction, in which wallet, how much.
async fn sealed_bids(uow: &UnitOfWork, covered: Span) -> Result<BTreeMap<(i64, i64), i64>, Error> {
    let bids = Query::select()
        .columns([
            sealed_bid::Column::AuctionId,
            sealed_bid::Column::WalletId,
            sealed_bid::Column::Maximum,
        ])
        .from(sealed_bid::Entity)
        .and_where(covered.holds(Expr::col(sealed_bid::Column::AuctionId)))
        .and_where(Expr::col(sealed_bid::Column::ReleasedBy).is_null())
        .take();
    let bids = uow.get_database_backend().build(&bids);
    let bids = uow.fold(bids, BTreeMap::new(), |bids, row| {
        bids.insert((read(row, 0)?, read(row, 1)?), read(row, 2)?);
        Ok(())
    });
    Ok(bids.await?)
}

/// The entries that are for auctions of a range, and those that collected shares of the house, in no order: the database
/// reads them as they come.
fn entries(covered: Span) -> SelectStatement {
    Query::select()
        .columns([
            entry::Column::WalletId,
            entry::Column::Seq,
            entry::Column::Operation,
            entry::Column::Kind,
            entry::Column::AvailableDelta,
            entry::Column::HeldDelta,
            entry::Column::AuctionId,
        ])
        .from(entry::Entity)
        .and_where(
            covered
                .holds(Expr::col(entry::Column::AuctionId))
                .or(Expr::col(entry::Column::Kind).eq(entry::Kind::HouseShare.to_value())),
        )
        .take()
}

/// Reads auctions until they have as many commands as are kept at a time.
async fn lots(
    uow: &UnitOfWork,
    span: Span,
    scope: &Scope,
) -> Result<(Vec<Lot>, Span, Option<i64>), Error> {
    let mut lots: Vec<Lot> = Vec::new();
    let (mut rest, mut commands) = (span, 0_u64);
    loop {
        let page = uow.query_all(&page(rest, scope.page_size)).await?;
        let is_full = scope.is_full(&page);
        for row in &page {
            let lot = Lot::read(row)?;
            commands = commands.saturating_add(lot.weight());
            lots.push(lot);
            if commands >= scope.commands {
                let (covered, next) = span.up_to(Some(lot.id), true);
                return Ok((lots, covered, next));
            }
        }
        match rest.up_to(lots.last().map(|last| last.id), is_full).1 {
            Some(from) => rest = Span { from, ..rest },
            None => return Ok((lots, span, None)),
        }
    }
}

fn page(span: Span, page_size: u64) -> SelectStatement {
    Query::select()
        .columns([
            auction::Column::Id,
            auction::Column::SellerWalletId,
            auction::Column::State,
            auction::Column::LeaderWalletId,
            auction::Column::LeaderMax,
            auction::Column::Price,
            auction::Column::WinnerWalletId,
            auction::Column::SoldPrice,
            auction::Column::Seq,
            auction::Column::Pricing,
            auction::Column::PremiumPoints,
            auction::Column::PremiumMin,
            auction::Column::PremiumCap,
            auction::Column::FeePoints,
            auction::Column::FeeMin,
            auction::Column::FeeCap,
        ])
        .columns([house::Column::Amount, house::Column::Operation, house::Column::CollectedBy])
        .from(auction::Entity)
        .left_join(house::Entity, Expr::col(house::Column::AuctionId).equals(auction::Column::Id))
        .and_where(span.holds(Expr::col(auction::Column::Id)))
        .order_by(auction::Column::Id, Order::Asc)
        .limit(page_size)
        .take()
}

/// An auction's row, and what entries have moved for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot {
    pub(super) id: i64,
    seller: i64,
    state: i16,
    leader: Option<i64>,
    leader_max: Option<i64>,
    price: Option<i64>,
    winner: Option<i64>,
    sold_price: Option<i64>,
    pub(super) seq: i64,
    pricing: i16,
    premium: HousePart,
    fee: HousePart,
    share: Option<Share>,
    paid: i128,
    received: i128,
    astray: i128,
}

impl Lot {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: read(row, 0)?,
            seller: read(row, 1)?,
            state: read(row, 2)?,
            leader: read(row, 3)?,
            leader_max: read(row, 4)?,
            price: read(row, 5)?,
            winner: read(row, 6)?,
            sold_price: read(row, 7)?,
            seq: read(row, 8)?,
            pricing: read(row, 9)?,
            premium: HousePart::read(row, 10)?,
            fee: HousePart::read(row, 13)?,
            share: Share::read(row, 16)?,
            paid: 0,
            received: 0,
            astray: 0,
        })
    }

    /// What it takes to keep the auction, in commands: its row, and the commands that it says it has.
    fn weight(&self) -> u64 {
        u64::try_from(self.seq).unwrap_or(0).saturating_add(2)
    }

    fn is(&self, state: auction::State) -> bool {
        self.state == state.to_value()
    }

    /// What it promises to hold, and in whose wallet. An auction that is over promises nothing.
    fn promise(&self) -> Option<(i64, i128)> {
        let standing = self.leader.zip(self.leader_max);
        let (leader, max) = standing.filter(|_| self.holds() && !self.is_sealed())?;
        Some((leader, self.hold(max)))
    }

    /// What is held for a maximum.
    fn hold(&self, max: i64) -> i128 {
        i128::from(max).saturating_add(self.premium.of(max))
    }

    /// Whether it is not over.
    fn holds(&self) -> bool {
        [
            auction::State::Open,
            auction::State::AwaitingSeller,
            auction::State::Settling,
            auction::State::Cancelling,
        ]
        .into_iter()
        .any(|state| self.is(state))
    }

    /// Whether its promises are its sealed bids that are not released.
    fn is_sealed(&self) -> bool {
        [auction::Pricing::FirstPrice, auction::Pricing::SecondPrice]
            .into_iter()
            .any(|pricing| self.pricing == pricing.to_value())
    }

    /// What a sale at a price must move: what is paid, what is received, what is the house's.
    fn sale(&self, price: i64) -> (i128, i128, i128) {
        let hammer = i128::from(price);
        let (premium, fee) = (self.premium.of(price), self.fee.of(price).min(hammer));
        let (paid, received) = (hammer.saturating_add(premium), hammer.saturating_sub(fee));
        (paid, received, paid.saturating_sub(received))
    }

    fn pay(&mut self, entry: &Move) {
        let (paid, received) = (entry::Kind::Capture.to_value(), entry::Kind::Proceeds.to_value());
        let sum = entry.delta.total();
        if entry.kind == paid && Some(entry.wallet) == self.leader.or(self.winner) {
            self.paid = self.paid.saturating_sub(sum);
        } else if entry.kind == received && entry.wallet == self.seller {
            self.received = self.received.saturating_add(sum);
        } else if entry.kind == paid || entry.kind == received {
            self.astray = self.astray.saturating_add(sum.saturating_abs());
        }
    }

    /// Whether the price, the sale and the payments agree.
    fn is_settled(&self) -> bool {
        let sold = self.is(auction::State::Sold);
        let price = self.sold_price;
        let (paid, received, house) = price.map_or((0, 0, 0), |price| self.sale(price));
        // What is taken without a bid has no leader and no price before.
        let asked = self.pricing == auction::Pricing::Asked.to_value();
        let led = asked || (self.winner, price) == (self.leader, self.price);
        price.is_some() == sold
            && self.winner.is_some() == sold
            && (!sold || led)
            && (self.paid, self.received, self.astray) == (paid, received, 0)
            && self.house() == house
    }

    fn house(&self) -> i128 {
        self.share.map_or(0, |share| share.amount.into())
    }

    fn mismatch(&self) -> SettlementMismatch {
        SettlementMismatch {
            auction: self.id.into(),
            sold: self.is(auction::State::Sold),
            price: self.price,
            sold_price: self.sold_price,
            leader: self.leader.map(Into::into),
            winner: self.winner.map(Into::into),
            paid: self.paid,
            received: self.received,
            house: self.house(),
            astray: self.astray,
        }
    }
}

/// What waits for the house, or waited until it was collected.
#[derive(Clone, Copy, Debug)]
struct Share {
    amount: i64,
    /// The operation that set it aside.
    operation: u128,
    /// The operation that collected it.
    collected_by: Option<u128>,
}

impl Share {
    fn read(row: &QueryResult, first: usize) -> Result<Option<Self>, DbErr> {
        let operation = |offset: usize| {
            let operation = read::<Option<Uuid>>(row, first.saturating_add(offset))?;
            Ok::<_, DbErr>(operation.map(|operation| operation.as_u128()))
        };
        let set_aside = read::<Option<i64>>(row, first)?.zip(operation(1)?);
        let collected_by = operation(2)?;
        Ok(set_aside.map(|(amount, operation)| Self { amount, operation, collected_by }))
    }
}

/// The part of a price that is the house's, as the auction's row has it.
#[derive(Clone, Copy, Debug)]
struct HousePart {
    points: i16,
    min: i64,
    cap: Option<i64>,
}

impl HousePart {
    fn read(row: &QueryResult, first: usize) -> Result<Self, DbErr> {
        let column = |offset: usize| first.saturating_add(offset);
        Ok(Self {
            points: read(row, first)?,
            min: read(row, column(1))?,
            cap: read(row, column(2))?,
        })
    }

    /// By its own arithmetic, and not by that of the rules.
    fn of(&self, price: i64) -> i128 {
        let part = i128::from(price).saturating_mul(self.points.into()) / 10_000;
        let part = part.max(self.min.into());
        self.cap.map_or(part, |cap| part.min(cap.into()))
    }
}

/// An entry that is for an auction, or collected shares of the house and is for none.
#[derive(Clone, Copy, Debug)]
struct Move {
    wallet: i64,
    seq: i64,
    operation: u128,
    kind: i16,
    delta: Balance,
    auction: Option<i64>,
}

impl Move {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            wallet: read(row, 0)?,
            seq: read(row, 1)?,
            operation: read::<Uuid>(row, 2)?.as_u128(),
            kind: read(row, 3)?,
            delta: Balance::new(read(row, 4)?, read(row, 5)?),
            auction: read(row, 6)?,
        })
    }

    fn record(&self) -> Record {
        Record::Entry { wallet: self.wallet.into(), seq: self.seq }
    }
}

/// What the entries of a range of auctions have moved, as far as they have been read.
struct Moves {
    /// Ascending by id.
    lots: Vec<Lot>,
    commands: Commands,
    /// The sealed bids that are not released.
    sealed: BTreeMap<(i64, i64), i64>,
    /// What each wallet holds for each auction. What has come to nothing is not kept.
    held: BTreeMap<(i64, i64), i128>,
    /// Operations that collected shares of the house, each with the first auction, as long as no entry of it has been read.
    collections: BTreeMap<u128, i64>,
    /// The first entry for each auction that does not exist.
    strays: BTreeMap<i64, Record>,
    entries: u64,
    most: usize,
    /// Entries for such auctions that found no room there.
    more_strays: u64,
}

impl Moves {
    fn new(lots: Vec<Lot>, mut commands: Commands, scope: &Scope) -> Self {
        commands.sort_by_operation();
        // What a sale has set aside for the house is in no entry.
        let mut collections = BTreeMap::new();
        for (lot, share) in lots.iter().filter_map(|lot| lot.share.map(|share| (lot, share))) {
            commands.add(lot.id, share.operation, share.amount.into());
            if let Some(operation) = share.collected_by {
                collections.entry(operation).or_insert(lot.id);
            }
        }
        Self {
            lots,
            commands,
            sealed: BTreeMap::new(),
            held: BTreeMap::new(),
            collections,
            strays: BTreeMap::new(),
            entries: 0,
            most: scope.most,
            more_strays: 0,
        }
    }

    fn enter(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let entry = Move::read(row)?;
        if entry.kind == entry::Kind::HouseShare.to_value() {
            self.collections.remove(&entry.operation);
        }
        let Some(auction) = entry.auction else { return Ok(()) };
        self.entries = self.entries.saturating_add(1);
        // Money across the border has no counterpart; that it names an auction is found with its wallet.
        if super::crosses_the_border(entry.kind) {
            return Ok(());
        }
        let sum = entry.delta.total();
        let Ok(index) = self.lots.binary_search_by_key(&auction, |lot| lot.id) else {
            self.stray(auction, &entry);
            self.commands.add(auction, entry.operation, sum);
            return Ok(());
        };
        if let Some(lot) = self.lots.get_mut(index) {
            lot.pay(&entry);
        }
        if !self.commands.add(auction, entry.operation, sum) {
            self.commands.add_unknown(auction, entry.operation, sum, self.most);
        }
        if entry.delta.held != 0 {
            self.hold(auction, entry.wallet, entry.delta.held);
        }
        Ok(())
    }

    fn stray(&mut self, auction: i64, entry: &Move) {
        if let Some(first) = self.strays.get_mut(&auction) {
            *first = (*first).min(entry.record());
        } else if self.strays.len() < self.most {
            self.strays.insert(auction, entry.record());
        } else {
            self.more_strays = self.more_strays.saturating_add(1);
        }
    }

    fn hold(&mut self, auction: i64, wallet: i64, delta: i128) {
        let held = self.held.entry((auction, wallet)).or_default();
        *held = held.saturating_add(delta);
        if *held == 0 {
            self.held.remove(&(auction, wallet));
        }
    }

    fn judge(self, findings: &mut Findings) {
        for (auction, referrer) in self.strays {
            findings.push(Finding::MissingAuction { referrer, auction: auction.into() });
        }
        for (operation, auction) in self.collections {
            let operation = Uuid::from_u128(operation).into();
            findings.push(Finding::MissingCollection { auction: auction.into(), operation });
        }
        self.commands.judge(findings);
        for lot in &self.lots {
            let held = self.held.range((lot.id, i64::MIN)..=(lot.id, i64::MAX));
            let sealed = self.sealed.range((lot.id, i64::MIN)..=(lot.id, i64::MAX));
            let sealed = sealed.filter(|_| lot.holds());
            let sealed = sealed.map(|((_, wallet), max)| (*wallet, lot.hold(*max)));
            let promises = lot.promise().into_iter().chain(sealed).collect();
            let held = held.map(|((_, wallet), held)| (*wallet, *held));
            judge_holds(lot, promises, held, findings);
            if !lot.is_settled() {
                findings.push(Finding::Settlement(lot.mismatch()));
            }
        }
        findings.overflow(self.more_strays);
    }
}

/// Lays what wallets hold for an auction against what the auction promises.
fn judge_holds(
    lot: &Lot,
    mut promises: BTreeMap<i64, i128>,
    held: impl Iterator<Item = (i64, i128)>,
    findings: &mut Findings,
) {
    let auction = lot.id.into();
    for (wallet, held) in held {
        let promised = promises.remove(&wallet).unwrap_or(0);
        let wallet = wallet.into();
        if held == promised {
            continue;
        }
        findings.push(if lot.holds() {
            Finding::Held { auction, wallet, held, promised }
        } else {
            Finding::HeldAfterEnd { auction, wallet, held }
        });
    }
    for (wallet, promised) in promises.into_iter().filter(|(_, promised)| *promised != 0) {
        findings.push(Finding::Held { auction, wallet: wallet.into(), held: 0, promised });
    }
}
