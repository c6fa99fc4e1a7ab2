//! Auctions, and the money that is promised to them, for applications on SeaORM.
