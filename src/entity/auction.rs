//! `al_auction`: what an auction promised, and where it stands.

use sea_orm::entity::prelude::*;

/// One auction. While it is open, `leader_max` is what the leader's wallet holds for it.
///
/// The leader's maximum, the runner-up's and the reserve are nobody else's business: do not show them.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "al_auction")]
pub struct Model {
    /// The number of the auction.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// What is sold: 1 to 200 characters.
    pub title: String,
    /// The seller's wallet.
    pub seller_wallet_id: i64,
    /// The code of the currency.
    pub currency: String,
    /// The number of decimals of the currency.
    pub exponent: i16,
    /// The least first bid.
    pub start_price: i64,
    /// The step of the price.
    pub increment: i64,
    /// What bids must be multiples of.
    pub multiple_of: Option<i64>,
    /// The price at which the auction can be bought at once.
    pub buy_now_price: Option<i64>,
    /// The first instant at which a bid counts.
    pub starts_at: i64,
    /// The end that was promised at the opening.
    pub original_ends_at: i64,
    /// The end: the first instant at which no bid counts any more.
    pub ends_at: i64,
    /// What has become of it.
    pub state: State,
    /// Who leads; after a sale, the winner.
    pub leader_wallet_id: Option<i64>,
    /// The leader's maximum.
    pub leader_max: Option<i64>,
    /// The number of the command that set the maximum.
    pub leader_seq: Option<i64>,
    /// The price the leader would pay; after a sale, the price paid.
    pub price: Option<i64>,
    /// The highest maximum of anybody but the leader.
    pub runner_up_max: Option<i64>,
    /// Who has bought the auction.
    pub winner_wallet_id: Option<i64>,
    /// At which price.
    pub sold_price: Option<i64>,
    /// How many commands the auction has accepted, the opening included.
    pub seq: i64,
    /// When it accepted the last one.
    pub last_at: i64,
    /// What a leader pays.
    pub pricing: Pricing,
    /// A table of increments by price, `0:5,100:25`; then `increment` is the first of them.
    #[sea_orm(column_type = "Text", nullable)]
    pub increments: Option<String>,
    /// The increment as a part of the price, in hundredths of a percent; then `increment` is the least.
    pub increment_points: Option<i16>,
    /// The hidden least price as it is now. It is nobody's business but the seller's.
    pub reserve: Option<i64>,
    /// How long the buy-now price is offered; without it, until the price reaches it.
    pub ask_until: Option<AskUntil>,
    /// Where the clock of a Dutch auction ends that falls in a line.
    pub ask_floor: Option<i64>,
    /// The clock of a Dutch auction that falls in steps: microseconds after the start, and the price from there on.
    #[sea_orm(column_type = "Text", nullable)]
    pub ask_steps: Option<String>,
    /// Microseconds after the end in which the seller can accept a price below the reserve.
    pub acceptance_window: i64,
    /// Microseconds that a late bid leaves until the end.
    pub soft_close_window: Option<i64>,
    /// How many microseconds late bids can move the end at most.
    pub soft_close_cap: Option<i64>,
    /// The buyer's premium, in hundredths of a percent of the price.
    pub premium_points: i16,
    /// The least premium.
    pub premium_min: i64,
    /// The largest premium.
    pub premium_cap: Option<i64>,
    /// The seller's fee, in hundredths of a percent of the price.
    pub fee_points: i16,
    /// The least fee.
    pub fee_min: i64,
    /// The largest fee.
    pub fee_cap: Option<i64>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The two maximums and the reserve stay out of logs.
        formatter
            .debug_struct("Model")
            .field("id", &self.id)
            .field("title", &self.title)
            .field("state", &self.state)
            .field("price", &self.price)
            .field("ends_at", &self.ends_at)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

/// What has become of an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum State {
    /// It waits for its start, takes bids, or waits to be settled.
    #[sea_orm(num_value = 1)]
    Open,
    /// It was won or bought.
    #[sea_orm(num_value = 2)]
    Sold,
    /// It ended without a winner.
    #[sea_orm(num_value = 3)]
    Unsold,
    /// It was called off.
    #[sea_orm(num_value = 4)]
    Cancelled,
    /// It ended below its reserve, and waits for the seller.
    #[sea_orm(num_value = 5)]
    AwaitingSeller,
    /// Its sealed bids are opened, and those that have lost are being released.
    #[sea_orm(num_value = 6)]
    Settling,
    /// It was called off, and its sealed bids are being released.
    #[sea_orm(num_value = 7)]
    Cancelling,
}

/// What a leader pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Pricing {
    /// Nobody bids: the auction is taken at what is asked.
    #[sea_orm(num_value = 0)]
    Asked,
    /// The own bid.
    #[sea_orm(num_value = 1)]
    OwnBid,
    /// With automatic bidding: an increment above the runner-up's maximum.
    #[sea_orm(num_value = 2)]
    Automatic,
    /// Bids are sealed; the own bid.
    #[sea_orm(num_value = 3)]
    FirstPrice,
    /// Bids are sealed; the runner-up's.
    #[sea_orm(num_value = 4)]
    SecondPrice,
}

/// How long a buy-now price is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum AskUntil {
    /// As long as the auction is open.
    #[sea_orm(num_value = 1)]
    Always,
    /// Until somebody bids.
    #[sea_orm(num_value = 2)]
    FirstBid,
    /// Until the reserve is met.
    #[sea_orm(num_value = 3)]
    ReserveMet,
    /// Until the price reaches it.
    #[sea_orm(num_value = 4)]
    PriceReaches,
}

/// What an auction refers to, and what refers to it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The seller's wallet.
    #[sea_orm(
        belongs_to = "super::wallet::Entity",
        from = "Column::SellerWalletId",
        to = "super::wallet::Column::Id"
    )]
    Seller,
    /// Its bids.
    #[sea_orm(has_many = "super::bid::Entity")]
    Bid,
    /// Its acts.
    #[sea_orm(has_many = "super::act::Entity")]
    Act,
}

impl Related<super::wallet::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Seller.def()
    }
}

impl Related<super::bid::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Bid.def()
    }
}

impl Related<super::act::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Act.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
