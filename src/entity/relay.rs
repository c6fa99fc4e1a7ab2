//! `al_relay`: what relays have delivered. Nothing of the books depends on it.

use sea_orm::entity::prelude::*;

/// How far one relay has come with one auction.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "al_relay")]
pub struct Model {
    /// The name of the relay.
    #[sea_orm(primary_key, auto_increment = false)]
    pub relay: Vec<u8>,
    /// The auction. 0 is none: that row's `changed_at` says which auctions were forgotten, those that were over before.
    #[sea_orm(primary_key, auto_increment = false)]
    pub auction_id: i64,
    /// The number of the last command of which all events were delivered; 0 before the first.
    pub seq: i64,
    /// How many events of the next command were delivered.
    pub told: i64,
    /// Whether the auction is over, and all of it was delivered.
    pub finished: bool,
    /// How often the next event was refused.
    pub attempts: i64,
    /// It is not delivered before this: somebody is at it, or it was refused a while ago.
    pub due_at: i64,
    /// Who is at it.
    pub lease: Option<Uuid>,
    /// When the relay gave up the next event; nothing is delivered until that is resumed or skipped.
    pub parked_at: Option<i64>,
    /// Why the next event was refused last.
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    /// When something of it was delivered last, or refused.
    pub changed_at: i64,
}

/// What a row refers to.
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
