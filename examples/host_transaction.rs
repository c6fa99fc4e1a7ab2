//! A purchase and the host's own order in one transaction: both are stored, or neither.
//!
//! ```text
//! cargo run --example host_transaction
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]
#![allow(unreachable_pub, reason = "the derive of SeaORM asks for public items")]

use std::error::Error;
use std::time::Duration;

use auction_ledger::{AuctionLedger, AuctionTerms, Currency};
use auction_ledger_migration::{Migrator, MigratorTrait};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, Database, EntityTrait, PaginatorTrait,
};

/// The host's own table. It refers to the auction.
mod orders {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "orders")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub auction_id: i64,
        pub address: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(
            belongs_to = "auction_ledger::entity::auction::Entity",
            from = "Column::AuctionId",
            to = "auction_ledger::entity::auction::Column::Id"
        )]
        Auction,
    }

    impl Related<auction_ledger::entity::auction::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Auction.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

const ORDERS: &str = "CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    auction_id BIGINT NOT NULL REFERENCES al_auction (id),
    address TEXT NOT NULL CHECK (address <> '')
)";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    db.execute_unprepared(ORDERS).await?;
    let ledger = AuctionLedger::new(db.clone());
    ledger.deposit("ann", Currency::EUR, 100.into()).await?;
    let terms = AuctionTerms::english(Currency::EUR, 10.into(), 1.into())
        .buy_now(60.into())
        .ends_in(Duration::from_secs(3600));
    let auction = ledger.open_auction("sam", "brass telescope", terms).await?.id;

    // An order without an address is refused by the host's table: the purchase before it is undone with it.
    let failed = buy_and_order(&ledger, auction, "").await;
    let error = failed.err().ok_or("the order is refused")?;
    println!("without an address: {error}: {}", error.source().ok_or("the database said why")?);
    let wallet = ledger.wallet("ann", Currency::EUR).await?;
    assert_eq!((wallet.available, wallet.held), (100.into(), 0.into()));
    assert_eq!(orders::Entity::find().count(&db).await?, 0);

    // With one, both are stored.
    let order = buy_and_order(&ledger, auction, "12 Harbour Street").await?;
    let wallet = ledger.wallet("ann", Currency::EUR).await?;
    assert_eq!(wallet.available, 40.into());
    let (order, sold) = orders::Entity::find_by_id(order)
        .find_also_related(auction_ledger::entity::auction::Entity)
        .one(&db)
        .await?
        .ok_or("the order is stored")?;
    let sold = sold.ok_or("and refers to the auction")?;
    assert_eq!(sold.sold_price, Some(60_00));
    println!("order {} for \"{}\", to {}", order.id, sold.title, order.address);
    Ok(())
}

/// Buys, and writes the order in the same transaction. The verb comes first: it locks the auction, which the order's foreign
/// key refers to.
async fn buy_and_order(
    ledger: &AuctionLedger,
    auction: auction_ledger::AuctionId,
    address: &str,
) -> Result<i64, auction_ledger::Error> {
    let order = ledger
        .atomic(async |uow| {
            let purchase = ledger.buy_now(auction, "ann").within(uow).await?;
            let order = orders::ActiveModel {
                auction_id: Set(purchase.auction.get()),
                address: Set(address.to_owned()),
                ..Default::default()
            };
            Ok::<_, auction_ledger::Error>(order.insert(uow).await?.id)
        })
        .await?;
    Ok(order.into_value())
}
