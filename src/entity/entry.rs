//! `al_entry`: the journal. One row for each change of a wallet, never changed.

use sea_orm::entity::prelude::*;

/// One change of one wallet. The deltas of all entries of an operation sum to zero, except for deposits and withdrawals, and
/// for what waits for the house in `al_house`, which a sale pays in and a collection takes out.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "al_entry")]
pub struct Model {
    /// The wallet.
    #[sea_orm(primary_key, auto_increment = false)]
    pub wallet_id: i64,
    /// The number of this entry in the wallet, from 1 without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// The command that moved the money.
    pub operation: Uuid,
    /// What kind of move it was.
    pub kind: Kind,
    /// The change of the available money.
    pub available_delta: i64,
    /// The change of the held money.
    pub held_delta: i64,
    /// The available money after it.
    pub available_after: i64,
    /// The held money after it.
    pub held_after: i64,
    /// The auction it was for, if it was for one.
    pub auction_id: Option<i64>,
    /// A note of the host: at most 200 bytes.
    pub memo: Option<String>,
    /// When it was made.
    pub at: i64,
}

/// Why the money of a wallet changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
#[non_exhaustive]
pub enum Kind {
    /// Money came into the system.
    #[sea_orm(num_value = 1)]
    Deposit,
    /// Money left the system.
    #[sea_orm(num_value = 2)]
    Withdrawal,
    /// Available money was promised to an auction.
    #[sea_orm(num_value = 3)]
    Hold,
    /// Promised money was given back.
    #[sea_orm(num_value = 4)]
    Release,
    /// A purchase was paid, out of the hold and out of available money.
    #[sea_orm(num_value = 5)]
    Capture,
    /// A seller was paid.
    #[sea_orm(num_value = 6)]
    Proceeds,
    /// The house collected its shares of sales.
    #[sea_orm(num_value = 7)]
    HouseShare,
}

/// What an entry refers to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The wallet.
    #[sea_orm(
        belongs_to = "super::wallet::Entity",
        from = "Column::WalletId",
        to = "super::wallet::Column::Id"
    )]
    Wallet,
    /// The auction.
    #[sea_orm(
        belongs_to = "super::auction::Entity",
        from = "Column::AuctionId",
        to = "super::auction::Column::Id"
    )]
    Auction,
}

impl Related<super::wallet::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Wallet.def()
    }
}

impl Related<super::auction::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Auction.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
