//! `al_bid`: the accepted bids, in the serial order of their auction.

use sea_orm::entity::prelude::*;

/// One accepted bid and what it made of the auction.
///
/// With automatic bidding `amount` is a maximum, and as long as its bidder leads nobody else's business: do not show it.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "al_bid")]
pub struct Model {
    /// The auction.
    #[sea_orm(primary_key, auto_increment = false)]
    pub auction_id: i64,
    /// The number of this command among all that the auction accepted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// The operation whose entries moved the money.
    pub operation: Uuid,
    /// The bidder's wallet.
    pub wallet_id: i64,
    /// What was bid.
    pub amount: i64,
    /// The price after it.
    pub price: i64,
    /// The leader after it.
    pub leader_wallet_id: i64,
    /// The end of the auction after it.
    pub ends_at: i64,
    /// When it was accepted.
    pub at: i64,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The amount, which may be a maximum, stays out of logs.
        formatter
            .debug_struct("Model")
            .field("auction_id", &self.auction_id)
            .field("seq", &self.seq)
            .field("wallet_id", &self.wallet_id)
            .field("price", &self.price)
            .field("leader_wallet_id", &self.leader_wallet_id)
            .field("ends_at", &self.ends_at)
            .finish_non_exhaustive()
    }
}

/// What a bid refers to.
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
