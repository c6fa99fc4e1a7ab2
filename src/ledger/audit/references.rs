//! References of auctions, bids and acts to rows that do not exist. The database looks them up, by primary key.
//!
//! Those of the journal, and those to it, are found where it is read: an entry's wallet with the wallets; its auction, and
//! the entry that collected a share of the house, with the auctions.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Iden, Query, SelectStatement, SimpleExpr};
use sea_orm::{ActiveEnum, ConnectionTrait, DbErr, EntityTrait, JoinType, Order, QueryResult};

use super::finding::{Finding, Record};
use super::report::Findings;
use super::{Scope, Span, read};
use crate::entity::sealed_bid::{self, Column as SealedBid};
use crate::entity::{act, auction, bid, house, wallet};
use crate::error::Error;
use crate::unit_of_work::UnitOfWork;

type Row = fn(i64, i64) -> Record;

const AUCTION: Row = |auction, _| Record::Auction(auction.into());
const ACT: Row = |auction, seq| Record::Act { auction: auction.into(), seq };
const HOUSE: Row = |auction, _| Record::HouseShare(auction.into());
const BID: Row = |auction, seq| Record::Bid { auction: auction.into(), seq };

/// Audits what the auctions of a range, their acts and their bids refer to.
pub(super) async fn audit(
    uow: &UnitOfWork,
    covered: Span,
    scope: &Scope,
    findings: &mut Findings,
) -> Result<(), Error> {
    // In this order: of several rows of an auction that name one wallet, the first is told.
    let to_wallets = [
        (of_auction(covered, auction::Column::SellerWalletId), AUCTION),
        (of_auction(covered, auction::Column::LeaderWalletId), AUCTION),
        (of_auction(covered, auction::Column::WinnerWalletId), AUCTION),
        (of_act::<wallet::Entity>(covered, act::Column::WalletId, wallet::Column::Id), ACT),
        (of_bid::<wallet::Entity>(covered, bid::Column::WalletId, wallet::Column::Id), BID),
        (of_bid::<wallet::Entity>(covered, bid::Column::LeaderWalletId, wallet::Column::Id), BID),
        (of_sealed_bid::<wallet::Entity>(covered, SealedBid::WalletId, wallet::Column::Id), BID),
    ];
    for ((_, wallet), referrer) in missing(uow, scope, to_wallets, findings).await? {
        findings.push(Finding::MissingWallet { referrer, wallet: wallet.into() });
    }
    for to_auctions in [
        (of_act::<auction::Entity>(covered, act::Column::AuctionId, auction::Column::Id), ACT),
        (of_bid::<auction::Entity>(covered, bid::Column::AuctionId, auction::Column::Id), BID),
        (of_sealed_bid::<auction::Entity>(covered, SealedBid::AuctionId, auction::Column::Id), BID),
        (of_house(covered), HOUSE),
    ] {
        for ((_, auction), referrer) in missing(uow, scope, [to_auctions], findings).await? {
            findings.push(Finding::MissingAuction { referrer, auction: auction.into() });
        }
    }
    for ((auction, bid), referrer) in
        missing(uow, scope, [(of_void(covered), ACT)], findings).await?
    {
        if let Record::Act { seq, .. } = referrer {
            findings.push(Finding::MissingBid { auction: auction.into(), seq, bid });
        }
    }
    Ok(())
}

/// What has been found missing: by the auction that misses it and its own id, the first row that names it.
type Missing = BTreeMap<(i64, i64), Record>;

struct Search {
    missing: Missing,
    row: Row,
    most: usize,
    more: u64,
}

impl Search {
    fn enter(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let (auction, seq, id) = (read(row, 0)?, read(row, 1)?, read(row, 2)?);
        if self.missing.len() < self.most || self.missing.contains_key(&(auction, id)) {
            self.missing.entry((auction, id)).or_insert((self.row)(auction, seq));
        } else {
            self.more = self.more.saturating_add(1);
        }
        Ok(())
    }
}

async fn missing(
    uow: &UnitOfWork,
    scope: &Scope,
    queries: impl IntoIterator<Item = (SelectStatement, Row)>,
    findings: &mut Findings,
) -> Result<Missing, Error> {
    let mut search = Search { missing: Missing::new(), row: AUCTION, most: scope.most, more: 0 };
    for (query, row) in queries {
        search.row = row;
        let statement = uow.get_database_backend().build(&query);
        search = uow.fold(statement, search, Search::enter).await?;
    }
    findings.overflow(search.more);
    Ok(search.missing)
}

fn of_auction(covered: Span, column: auction::Column) -> SelectStatement {
    // The table is joined to another one, so this works on one table's columns only: an auction's number is its id.
    let (id, target) = (auction::Column::Id, wallet::Column::Id);
    dangling::<auction::Entity, wallet::Entity>(covered, [id, id, column], target)
}

fn of_act<T: EntityTrait>(covered: Span, column: act::Column, target: T::Column) -> SelectStatement
where
    T::Column: Iden,
{
    let columns = [act::Column::AuctionId, act::Column::Seq, column];
    dangling::<act::Entity, T>(covered, columns, target)
}

fn of_bid<T: EntityTrait>(covered: Span, column: bid::Column, target: T::Column) -> SelectStatement
where
    T::Column: Iden,
{
    let columns = [bid::Column::AuctionId, bid::Column::Seq, column];
    dangling::<bid::Entity, T>(covered, columns, target)
}

fn of_sealed_bid<T: EntityTrait>(
    covered: Span,
    column: SealedBid,
    target: T::Column,
) -> SelectStatement
where
    T::Column: Iden,
{
    let columns = [SealedBid::AuctionId, SealedBid::Seq, column];
    dangling::<sealed_bid::Entity, T>(covered, columns, target)
}

/// The acts that make a bid void that is not there. A sealed bid is raised in its own row, so each number that it ever had is
/// that of an act.
fn of_void(covered: Span) -> SelectStatement {
    let sealed = Alias::new("sealed");
    let of = |column: act::Column| Expr::col((act::Entity, column));
    let is_that = |found: SimpleExpr, number: SimpleExpr| {
        found.eq(of(act::Column::AuctionId)).and(number.eq(of(act::Column::BidSeq)))
    };
    let bid = |column: bid::Column| Expr::col((bid::Entity, column));
    let placed = |column: act::Column| Expr::col((sealed.clone(), column));
    Query::select()
        .exprs([of(act::Column::AuctionId), of(act::Column::Seq), of(act::Column::BidSeq)])
        .from(act::Entity)
        .left_join(bid::Entity, is_that(bid(bid::Column::AuctionId), bid(bid::Column::Seq)))
        .join_as(
            JoinType::LeftJoin,
            act::Entity,
            sealed.clone(),
            is_that(placed(act::Column::AuctionId), placed(act::Column::Seq))
                .and(placed(act::Column::Kind).eq(act::Kind::SealedBid.to_value())),
        )
        .and_where(covered.holds(of(act::Column::AuctionId)))
        .and_where(of(act::Column::BidSeq).is_not_null())
        .and_where(bid(bid::Column::Seq).is_null())
        .and_where(placed(act::Column::Seq).is_null())
        .order_by((act::Entity, act::Column::AuctionId), Order::Asc)
        .order_by((act::Entity, act::Column::Seq), Order::Asc)
        .take()
}

fn of_house(covered: Span) -> SelectStatement {
    let auction = house::Column::AuctionId;
    dangling::<house::Entity, auction::Entity>(covered, [auction; 3], auction::Column::Id)
}

/// The rows of a range that name a row of `T` that is not there: the auction, the number, and the id that they name.
fn dangling<E, T>(
    covered: Span,
    [auction, seq, column]: [E::Column; 3],
    target: T::Column,
) -> SelectStatement
where
    E: EntityTrait,
    T: EntityTrait,
    E::Column: Iden,
    T::Column: Iden,
{
    let of = |column: E::Column| Expr::col((E::default(), column));
    let found = || Expr::col((T::default(), target));
    Query::select()
        .exprs([of(auction), of(seq), of(column)])
        .from(E::default())
        .left_join(T::default(), found().equals((E::default(), column)))
        .and_where(covered.holds(of(auction)))
        .and_where(of(column).is_not_null())
        .and_where(found().is_null())
        .order_by((E::default(), auction), Order::Asc)
        .order_by((E::default(), seq), Order::Asc)
        .take()
}
