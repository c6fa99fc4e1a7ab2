//! Auctions, and the money that is promised to them, for applications on SeaORM.

mod backend;
pub mod unit_of_work;
