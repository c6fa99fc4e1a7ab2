//! `al_sealed_bid`: the bids of sealed auctions, one of each bidder.

use sea_orm::entity::prelude::*;

/// The bid of one bidder on a sealed auction, as it was raised last. Until the end it is nobody else's business: do not show
/// it.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "al_sealed_bid")]
pub struct Model {
    /// The auction.
    #[sea_orm(primary_key, auto_increment = false)]
    pub auction_id: i64,
    /// The bidder's wallet, which holds the maximum and the premium on it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub wallet_id: i64,
    /// The most the bidder will pay to the seller.
    pub maximum: i64,
    /// The number of the command that set it.
    pub seq: i64,
    /// When it was set.
    pub at: i64,
    /// The operation that released or captured what is held for it; `None` until then.
    pub released_by: Option<Uuid>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The maximum, and whose it is, stay out of logs.
        formatter
            .debug_struct("Model")
            .field("auction_id", &self.auction_id)
            .field("seq", &self.seq)
            .field("released_by", &self.released_by)
            .finish_non_exhaustive()
    }
}

/// What a sealed bid refers to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The auction.
    #[sea_orm(
        belongs_to = "super::auction::Entity",
        from = "Column::AuctionId",
        to = "super::auction::Column::Id"
    )]
    Auction,
    /// The bidder's wallet.
    #[sea_orm(
        belongs_to = "super::wallet::Entity",
        from = "Column::WalletId",
        to = "super::wallet::Column::Id"
    )]
    Wallet,
}

impl Related<super::auction::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Auction.def()
    }
}

impl Related<super::wallet::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Wallet.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
