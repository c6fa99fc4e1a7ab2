//! Three nodes of MariaDB Galera that all take bids. `scripts/test-galera` starts them and runs these tests.
//!
//! A row lock is local to its node: two nodes can lock and change the same row, and the cluster puts the commits in one
//! order. Whoever comes second is rolled back, while it works or as it commits. So a bid is not safe here because it had
//! the lock, but because it writes every row that it has judged by.

mod client;
mod cluster;
mod contention;
mod faults;
mod log;
mod reads;

const WON: auction_ledger::Currency = auction_ledger::Currency::KRW;
