//! The application from outside: a server on a free port, and browsers that ask it over HTTP and WebSockets.

// What the lints defend in an application does not hold here: a panic is how a test fails, and nobody reads the documentation.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, missing_docs)]

mod bids;
mod client;
mod live;
mod processes;
mod redis;
mod refusals;
