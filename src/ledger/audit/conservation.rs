//! All money: what the wallets have, and what waits for the house, is what came in less what went out.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ActiveEnum, ConnectionTrait, DbErr, QueryResult};

use super::finding::{Balance, Conservation};
use super::read;
use crate::entity::{entry, house, wallet};
use crate::error::Error;
use crate::unit_of_work::UnitOfWork;

/// Counts all money of each currency. Everything is read in one snapshot: money moves between any two.
pub(super) async fn count(uow: &UnitOfWork) -> Result<Vec<Conservation>, Error> {
    let backend = uow.get_database_backend();
    let wallets = Query::select()
        .columns([
            wallet::Column::Currency,
            wallet::Column::Exponent,
            wallet::Column::Available,
            wallet::Column::Held,
        ])
        .from(wallet::Entity)
        .take();
    let border = [entry::Kind::Deposit, entry::Kind::Withdrawal];
    let deltas = [entry::Column::AvailableDelta, entry::Column::HeldDelta, entry::Column::Kind];
    let crossings = Query::select()
        .columns([wallet::Column::Currency, wallet::Column::Exponent])
        .columns(deltas)
        .from(entry::Entity)
        .inner_join(wallet::Entity, Expr::col(wallet::Column::Id).equals(entry::Column::WalletId))
        .and_where(Expr::col(entry::Column::Kind).is_in(border.map(|kind| kind.to_value())))
        .take();
    let waiting = Query::select()
        .columns([house::Column::Currency, house::Column::Exponent, house::Column::Amount])
        .from(house::Entity)
        .and_where(Expr::col(house::Column::CollectedBy).is_null())
        .take();
    let totals = uow.fold(backend.build(&wallets), Totals::default(), Totals::hold).await?;
    let totals = uow.fold(backend.build(&waiting), totals, Totals::wait).await?;
    let totals = uow.fold(backend.build(&crossings), totals, Totals::cross).await?;
    Ok(totals.0.into_values().collect())
}

/// The money of each currency, by its code and its decimals.
#[derive(Debug, Default)]
struct Totals(BTreeMap<(String, i16), Conservation>);

impl Totals {
    fn of(&mut self, row: &QueryResult) -> Result<&mut Conservation, DbErr> {
        let (currency, exponent): (String, i16) = (read(row, 0)?, read(row, 1)?);
        Ok(self.0.entry((currency.clone(), exponent)).or_insert(Conservation {
            currency,
            exponent,
            money: 0,
            deposited: 0,
            withdrawn: 0,
        }))
    }

    fn hold(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let sum = Balance::new(read(row, 2)?, read(row, 3)?).total();
        let total = self.of(row)?;
        total.money = total.money.saturating_add(sum);
        Ok(())
    }

    fn wait(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let share = i128::from(read::<i64>(row, 2)?);
        let total = self.of(row)?;
        total.money = total.money.saturating_add(share);
        Ok(())
    }

    fn cross(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let sum = Balance::new(read(row, 2)?, read(row, 3)?).total();
        let deposit = read::<i16>(row, 4)? == entry::Kind::Deposit.to_value();
        let total = self.of(row)?;
        if deposit {
            total.deposited = total.deposited.saturating_add(sum);
        } else {
            total.withdrawn = total.withdrawn.saturating_sub(sum);
        }
        Ok(())
    }
}
