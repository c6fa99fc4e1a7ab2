//! The application in a real browser: Chromium, which `scripts/test-browser` installs and then runs these tests.

// What the lints defend in an application does not hold here: a panic is how a test fails, and nobody reads the documentation.
#![allow(clippy::arithmetic_side_effects, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod bids;
#[path = "../server/client.rs"]
#[allow(dead_code, reason = "it can do more than these tests need")]
mod client;
mod driver;
mod keyboard;
mod pictures;
mod processes;
mod program;
#[path = "../server/redis.rs"]
mod redis;
mod restart;
mod screen_reader;
mod window;
