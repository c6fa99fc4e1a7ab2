//! The unit of work, on every database.

mod vectors;
