//! `al_act`: the accepted commands on an auction that are not bids. They share the numbers of its bids.

use sea_orm::entity::prelude::*;

/// One accepted command: who did what, and why.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "al_act")]
pub struct Model {
    /// The auction.
    #[sea_orm(primary_key, auto_increment = false)]
    pub auction_id: i64,
    /// The number of this command among all that the auction accepted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// The operation; its entries moved the money, if any was moved.
    pub operation: Uuid,
    /// What was done.
    pub kind: Kind,
    /// The wallet of whoever did it, where it was a user.
    pub wallet_id: Option<i64>,
    /// The amount that was paid, where something was; the reserve, where the auction was opened with one, and the new one where
    /// it was lowered: it is nobody's business but the seller's.
    pub amount: Option<i64>,
    /// Why, in the words of whoever did it.
    pub reason: Option<String>,
    /// When it was accepted.
    pub at: i64,
    /// The number of the bid that it makes void.
    pub bid_seq: Option<i64>,
    /// The new end, where that was moved.
    pub ends_at: Option<i64>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Who has placed a sealed bid, and the reserve, stay out of logs.
        formatter
            .debug_struct("Model")
            .field("auction_id", &self.auction_id)
            .field("seq", &self.seq)
            .field("operation", &self.operation)
            .field("kind", &self.kind)
            .field("at", &self.at)
            .field("bid_seq", &self.bid_seq)
            .field("ends_at", &self.ends_at)
            .finish_non_exhaustive()
    }
}

/// What was done to an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
#[non_exhaustive]
pub enum Kind {
    /// It was opened, always with the number 1.
    #[sea_orm(num_value = 1)]
    Opened,
    /// It was bought at its buy-now price.
    #[sea_orm(num_value = 2)]
    Bought,
    /// It was settled after its end: sold to the leader, or unsold.
    #[sea_orm(num_value = 3)]
    Settled,
    /// It was closed before its end: sold to the leader, or unsold.
    #[sea_orm(num_value = 4)]
    ClosedEarly,
    /// It was called off.
    #[sea_orm(num_value = 5)]
    Cancelled,
    /// It ended below its reserve, and waits for the seller.
    #[sea_orm(num_value = 6)]
    AwaitingSeller,
    /// The seller accepted a price below the reserve: sold to the leader.
    #[sea_orm(num_value = 7)]
    AcceptedBelowReserve,
    /// The reserve was lowered.
    #[sea_orm(num_value = 8)]
    ReserveLowered,
    /// Its end was moved to later.
    #[sea_orm(num_value = 9)]
    Extended,
    /// Somebody has placed a sealed bid, or raised it.
    #[sea_orm(num_value = 10)]
    SealedBid,
    /// Sealed bids were released.
    #[sea_orm(num_value = 11)]
    Released,
    /// A bid was made void.
    #[sea_orm(num_value = 12)]
    BidVoided,
    /// A bid was next in rank when another one was made void, and nobody could pay it any more: it is void, too.
    #[sea_orm(num_value = 13)]
    BidSkipped,
}

impl Kind {
    /// The kinds that make a bid void.
    pub(crate) const VOIDING: [Self; 2] = [Self::BidVoided, Self::BidSkipped];
}

/// What an act refers to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The auction.
    #[sea_orm(
        belongs_to = "super::auction::Entity",
        from = "Column::AuctionId",
        to = "super::auction::Column::Id"
    )]
    Auction,
    /// The wallet of whoever did it.
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
