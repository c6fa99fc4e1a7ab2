//! The tables of the ledger as SeaORM entities, for reading and for relations from the host's own tables.
//!
//! Money is in minor units of the row's currency, instants are microseconds since 1970 UTC. Reading them is always
//! right; writing belongs to [`AuctionLedger`](crate::AuctionLedger), which alone keeps the balances, the holds and the
//! journal in step. Bids, acts and entries are append-only: the database refuses to change them.
//!
//! A host that locks rows of its own beside an auction, or has a foreign key to one, locks the auction first.
//!
//! # Example: the journal of a wallet
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use auction_ledger::{AuctionLedger, Currency, entity::{entry, wallet}};
//! use auction_ledger_migration::{Migrator, MigratorTrait};
//! use sea_orm::{Database, EntityTrait};
//!
//! let db = Database::connect("sqlite::memory:").await?;
//! Migrator::up(&db, None).await?;
//! AuctionLedger::new(db.clone()).deposit("ann", Currency::EUR, 50.into()).await?;
//!
//! let rows = wallet::Entity::find().find_with_related(entry::Entity).all(&db).await?;
//! let (wallet, entries) = &rows[0];
//! assert_eq!((wallet.available, wallet.held), (50_00, 0));
//! assert_eq!(entries[0].available_after, 50_00);
//! # Ok(()) }
//! ```

#![allow(
    missing_docs,
    reason = "SeaORM's derive makes a column, a column enum and a primary key for every field, which is documented"
)]

pub mod act;
pub mod auction;
pub mod bid;
pub mod entry;
pub mod house;
pub mod key;
pub mod relay;
pub mod sealed_bid;
pub mod wallet;
