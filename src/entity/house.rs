//! `al_house`: what the house has earned by each sale, until it is collected.

use sea_orm::entity::prelude::*;

/// The house's share of one sale: the buyer's premium and the seller's fee.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "al_house")]
pub struct Model {
    /// The auction.
    #[sea_orm(primary_key, auto_increment = false)]
    pub auction_id: i64,
    /// The code of the currency.
    pub currency: String,
    /// The number of decimals of the currency.
    pub exponent: i16,
    /// How much it is.
    pub amount: i64,
    /// The operation that sold the auction.
    pub operation: Uuid,
    /// When it was sold.
    pub at: i64,
    /// The operation that brought it into the house's wallet; `None` until then.
    pub collected_by: Option<Uuid>,
}

/// What a share refers to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The auction.
    #[sea_orm(
        belongs_to = "super::auction::Entity",
        from = "Column::AuctionId",
        to = "super::auction::Column::Id"
    )]
    Auction,
}

impl Related<super::auction::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Auction.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
