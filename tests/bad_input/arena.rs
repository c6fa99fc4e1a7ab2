//! A house in which every refusal of the rules can be met: users rich and poor, and an auction in each state.

use auction_ledger::entity::{entry, wallet};
use auction_ledger::{AuctionId, AuctionLedger, AuctionTerms, Error, ManualClock};
use chrono::TimeDelta;
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, DatabaseConnection, EntityTrait, IntoActiveModel, Set};

use super::{EUR, WON, start};
use crate::support::World;

/// A state in which an auction can be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nobody has bid.
    Quiet,
    Led,
    /// With a buy-now price, and led.
    Offered,
    /// Bids are multiples of ten.
    Grid,
    /// It opens in a year.
    Scheduled,
    /// It has ended, with a leader, and nobody has settled it.
    Due,
    /// The same without a bid.
    DueQuiet,
    Sold,
    Unsold,
    Cancelled,
    Euro,
    /// The price is as high as an amount can be.
    Top,
    /// With a buy-now price, and a seller whose wallet is full.
    FullSeller,
}

impl Slot {
    pub(super) const ALL: [Self; 13] = [
        Self::Quiet,
        Self::Led,
        Self::Offered,
        Self::Grid,
        Self::Scheduled,
        Self::Due,
        Self::DueQuiet,
        Self::Sold,
        Self::Unsold,
        Self::Cancelled,
        Self::Euro,
        Self::Top,
        Self::FullSeller,
    ];
}

pub(super) struct Arena {
    pub(super) ledger: AuctionLedger,
    pub(super) clock: ManualClock,
    auctions: Vec<AuctionId>,
}

impl Arena {
    pub(super) async fn new(
        world: &World,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let pool = super::pool(world).await?;
        let clock = ManualClock::new(start());
        let ledger = AuctionLedger::new(pool).clock(clock.clone());
        for user in ["ann", "bob"] {
            ledger.deposit(user, WON, 100_000.into()).await?;
            ledger.deposit(user, EUR, 1_000.into()).await?;
        }
        ledger.deposit("rich", WON, WON.maximum()).await?;
        ledger.deposit("rich", EUR, EUR.maximum()).await?;
        fill(world.db(), "full").await?;
        let nothing = AuctionId::from(0);
        let mut arena = Self { ledger, clock, auctions: vec![nothing; Slot::ALL.len()] };
        for slot in Slot::ALL {
            arena.auctions[slot as usize] = arena.open(slot).await?;
        }
        Ok(arena)
    }

    pub(super) fn auction(&self, slot: Slot) -> AuctionId {
        self.auctions[slot as usize]
    }

    /// Puts a fresh auction where one has been changed.
    pub(super) async fn renew(&mut self, slot: Slot) -> Result<(), Error> {
        // What is held comes back; what is over stays so.
        _ = self.ledger.cancel(self.auction(slot)).await;
        self.auctions[slot as usize] = self.open(slot).await?;
        Ok(())
    }

    async fn open(&self, slot: Slot) -> Result<AuctionId, Error> {
        let year = TimeDelta::days(365);
        let won = AuctionTerms::english(WON, 10.into(), 1.into());
        let end = self.clock.now() + TimeDelta::seconds(1);
        let terms = match slot {
            Slot::Grid => AuctionTerms::english(WON, 20.into(), 20.into()).multiple_of(10.into()),
            Slot::Euro => AuctionTerms::english(EUR, Decimal::ONE, Decimal::new(1, 2)),
            Slot::Offered | Slot::FullSeller => won.buy_now(500.into()),
            Slot::Scheduled => won.starts_at(start() + year * 10),
            _ => won,
        };
        let terms = match slot {
            Slot::Due | Slot::DueQuiet => terms.ends_at(end),
            _ => terms.ends_at(start() + year * 20),
        };
        let seller = if slot == Slot::FullSeller { "full" } else { "sam" };
        let auction = self.ledger.open_auction(seller, "a thing", terms).await?.id;
        let bid = |user: &'static str, amount: Decimal| async move {
            self.ledger.place_bid(auction, user, amount).await.map(drop)
        };
        match slot {
            Slot::Led | Slot::Grid | Slot::Due | Slot::Sold => bid("rich", 20.into()).await?,
            Slot::Euro => bid("rich", Decimal::new(150, 2)).await?,
            Slot::Offered | Slot::FullSeller => bid("rich", 30.into()).await?,
            Slot::Top => {
                if self.ledger.wallet("top", WON).await?.available < WON.maximum() {
                    self.ledger.deposit("top", WON, WON.maximum()).await?;
                }
                bid("top", WON.maximum()).await?;
            }
            _ => {}
        }
        match slot {
            Slot::Due | Slot::DueQuiet => self.clock.set(end),
            Slot::Sold | Slot::Unsold => _ = self.ledger.close_early(auction).await?,
            Slot::Cancelled => _ = self.ledger.cancel(auction).await?,
            _ => {}
        }
        Ok(auction)
    }
}

/// A wallet that holds all that a wallet can, by one deposit that no deposit could be.
async fn fill(db: &DatabaseConnection, user: &str) -> Result<(), sea_orm::DbErr> {
    let (most, at) = (1_000_000_000_000_000_000, start().timestamp_micros());
    let row = wallet::ActiveModel {
        owner: Set(user.as_bytes().to_vec()),
        currency: Set(WON.code().to_owned()),
        exponent: Set(WON.exponent().into()),
        available: Set(most),
        held: Set(0),
        seq: Set(1),
        last_at: Set(at),
        ..Default::default()
    };
    let row = row.insert(db).await?;
    let deposit = entry::Model {
        wallet_id: row.id,
        seq: 1,
        operation: uuid::Uuid::now_v7(),
        kind: entry::Kind::Deposit,
        available_delta: most,
        held_delta: 0,
        available_after: most,
        held_after: 0,
        auction_id: None,
        memo: None,
        at,
    };
    entry::Entity::insert(deposit.into_active_model()).exec_without_returning(db).await?;
    Ok(())
}
