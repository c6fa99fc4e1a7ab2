//! `al_wallet`: the money of one user in one currency.

use sea_orm::entity::prelude::*;

/// One wallet. `available` and `held` are never negative; their sum is what the user owns.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "al_wallet")]
pub struct Model {
    /// The number by which everything else refers to the wallet.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The host's key of the user, as bytes.
    pub owner: Vec<u8>,
    /// The code of the currency.
    pub currency: String,
    /// The number of decimals of the currency.
    pub exponent: i16,
    /// What the user can spend.
    pub available: i64,
    /// What is promised to open auctions.
    pub held: i64,
    /// How many entries the wallet has.
    pub seq: i64,
    /// When the last one was made; 0 without any.
    pub last_at: i64,
}

/// What refers to a wallet.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The journal of the wallet.
    #[sea_orm(has_many = "super::entry::Entity")]
    Entry,
    /// The auctions it sells in.
    #[sea_orm(has_many = "super::auction::Entity")]
    Auction,
    /// The bids it made.
    #[sea_orm(has_many = "super::bid::Entity")]
    Bid,
}

impl Related<super::entry::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Entry.def()
    }
}

impl Related<super::auction::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Auction.def()
    }
}

impl Related<super::bid::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Bid.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
