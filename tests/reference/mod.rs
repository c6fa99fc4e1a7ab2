//! The application the crate grew out of: what it answered, and what it did wrong.

mod faults;
mod neighborbid;
mod proxy_bidding;
mod story;
