//! The only room that knows which database it talks to: its error codes, its dialect, how its transactions begin.
//!
//! Everything outside asks questions of this module ([`ErrorKind::of`], [`Dialect`]) and never matches on
//! [`DbBackend`] itself.

mod catalog;
mod detached;
mod dialect;
mod error_kind;
mod pool;
mod rows;
mod setting;
mod transaction_control;

pub(crate) use catalog::Catalog;
pub(crate) use detached::Detached;
pub(crate) use dialect::Dialect;
pub use error_kind::ErrorKind;
pub(crate) use pool::pool_id;
#[cfg(feature = "postgres")]
pub(crate) use rows::ArrayColumn;
pub(crate) use rows::{FromArrays, InsertOrUpdate, Rows, Wanted, Write, padded};
pub(crate) use setting::deviations;
pub use setting::{DatabaseSetting, Severity};
