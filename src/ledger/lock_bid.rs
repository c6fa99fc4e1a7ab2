//! The locks of one bid in one statement, where the database can: its auction first, then the wallets it can touch.
//!
//! A list locks its auctions, looks at them, and then locks wallets. The wallets of a single bid that cannot end the auction
//! are known to the database as soon as it has the auction: the bidder's, and the leader's. Of any other auction, and of a
//! bid at which it could be sold, the statement locks the auction alone, so that sellers are not locked by every bid.
//!
//! The statement looks wallets up as of its start, before it waited for the auction. One that was made meanwhile is missed, and
//! then all are locked as for a list.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sea_orm::sea_query::{
    Alias, Expr, ExprTrait, Func, Iden, IntoIden, JoinType, LockBehavior, LockType, Order, Query,
    SelectStatement, SimpleExpr, SubQueryStatement,
};
use sea_orm::{ConnectionTrait, EntityTrait, FromQueryResult, Iterable};

use super::session::{Session, session_facts};
use super::store::{self, Account, Locked, Lot};
use crate::backend::Dialect;
use crate::clock::Clock;
use crate::entity::{auction, wallet};
use crate::error::Error;
use crate::id::{AuctionId, UserId};
use crate::unit_of_work::{Error as UnitOfWorkError, LockWait, UnitOfWork};

/// What the columns of either table begin with.
const AUCTION: &str = "auction_";
const WALLET: &str = "wallet_";

/// A bid whose wallets may be locked along with its auction.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoneBid<'a> {
    pub(super) auction: AuctionId,
    pub(super) user: &'a UserId,
    pub(super) amount: Decimal,
}

impl LoneBid<'_> {
    /// Locks its auction, if there is one and `wait` does not leave it out, and wallets.
    pub(super) async fn lock(
        self,
        uow: &UnitOfWork,
        clock: &Clock,
        wait: LockWait,
    ) -> Result<(BTreeMap<AuctionId, Lot>, Option<Locked>), Error> {
        let dialect = Dialect::of(uow.get_database_backend());
        let rows = uow.query_all(&self.query(dialect, wait)).await;
        let rows = rows.map_err(UnitOfWorkError::of_lock)?;
        let Some(first) = rows.first() else {
            return Ok((BTreeMap::new(), None));
        };
        let lot = store::lot(&auction::Model::from_query_result(first, AUCTION)?)?;
        let mut accounts = BTreeMap::new();
        for row in &rows {
            if let Some(wallet) = wallet::Model::from_query_result_optional(row, WALLET)? {
                let account = Account::from_row(wallet)?;
                accounts.insert(account.id, account);
            }
        }
        let now = clock.or(Session::read(first, dialect)?.now);
        Ok((BTreeMap::from([(lot.id, lot)]), Some(Locked::of_accounts(accounts, now))))
    }

    /// A row for each wallet, in which the auction is repeated; one without a wallet where there is none.
    fn query(self, dialect: Dialect, wait: LockWait) -> SelectStatement {
        let (lot, found) = (Alias::new("lot"), Alias::new("found"));
        let mut query = session_facts(dialect);
        columns::<auction::Entity>(&mut query, &lot, AUCTION);
        columns::<wallet::Entity>(&mut query, &found, WALLET);
        let wallets = self.wallets(&lot);
        query.from_subquery(self.auction(wait), lot);
        query.join_lateral(JoinType::LeftJoin, wallets, found, Expr::val(true)).take()
    }

    fn auction(self, wait: LockWait) -> SelectStatement {
        let mut auction = Query::select();
        auction
            .columns(auction::Column::iter())
            .from(auction::Entity)
            .and_where(Expr::col(auction::Column::Id).eq(self.auction.get()));
        match wait {
            LockWait::Wait => auction.lock(LockType::Update),
            LockWait::NoWait => auction.lock_with_behavior(LockType::Update, LockBehavior::Nowait),
            LockWait::SkipLocked => {
                auction.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            }
        };
        auction
    }

    /// The bidder's and the leader's, ascending; none where something else has to be known first.
    fn wallets(self, lot: &Alias) -> SelectStatement {
        let of_lot = |column: auction::Column| Expr::col((lot.clone(), column));
        let own = Query::select()
            .column(wallet::Column::Id)
            .from(wallet::Entity)
            .and_where(Expr::col(wallet::Column::Owner).eq(self.user.as_bytes()))
            .and_where(Expr::col(wallet::Column::Currency).eq(of_lot(auction::Column::Currency)))
            .take();
        let own = SubQueryStatement::SelectStatement(own);
        let touched =
            [of_lot(auction::Column::LeaderWalletId), SimpleExpr::SubQuery(None, Box::new(own))];
        Query::select()
            .columns(wallet::Column::iter())
            .from(wallet::Entity)
            .and_where(Expr::col(wallet::Column::Id).is_in(touched))
            .and_where(self.cannot_sell(lot))
            .order_by(wallet::Column::Id, Order::Asc)
            .lock(LockType::Update)
            .take()
    }

    /// No sealed auction, and less than the price at which it could be bought.
    fn cannot_sell(self, lot: &Alias) -> SimpleExpr {
        let of_lot = |column: auction::Column| Expr::col((lot.clone(), column));
        let sealed = [auction::Pricing::FirstPrice, auction::Pricing::SecondPrice];
        let numeric = Alias::new("numeric");
        let minor_units = Func::cust(Alias::new("power"))
            .arg(Expr::val("10").cast_as(numeric.clone()))
            .arg(of_lot(auction::Column::Exponent))
            .mul(Expr::val(self.amount.to_string()).cast_as(numeric));
        let price = of_lot(auction::Column::BuyNowPrice);
        let below = price.clone().is_null().or(price.gt(minor_units));
        of_lot(auction::Column::Pricing).is_not_in(sealed).and(below)
    }
}

/// Adds the columns of a table, each with the prefix before its name.
fn columns<E: EntityTrait>(query: &mut SelectStatement, table: &Alias, prefix: &str)
where
    E::Column: Iden,
{
    for column in E::Column::iter() {
        let name = Alias::new(format!("{prefix}{}", column.to_string()));
        query.expr_as(Expr::col((table.clone(), column.into_iden())), name);
    }
}
