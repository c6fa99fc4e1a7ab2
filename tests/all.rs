//! Every test of the crate in one binary: a cold build of SeaORM takes minutes, and is then linked once.
//!
//! `cargo test` runs them on SQLite and shows the others as ignored; `scripts/test` runs them on every database.

// What the lints defend in a library does not hold here: a panic is how a test fails, sums of small numbers do not
// overflow, what is measured is measured by this machine's clock, and nobody reads the documentation of a test.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::missing_errors_doc,
    clippy::large_enum_variant,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::type_complexity,
    clippy::unwrap_used,
    missing_docs
)]

mod audit;
mod bad_input;
mod blocking;
mod cancel;
mod doctor;
mod endings;
mod faults;
mod galera;
mod group;
mod harness;
mod houses;
mod ledger;
mod model;
mod observing;
mod once;
mod reference;
mod relay;
mod schema;
mod support;
mod unit_of_work;
