//! Lifecycles in the files that other tools open.
//!
//! Comma-separated values and JSON lines are not here: they are what `watch` prints.

pub mod parquet;
pub mod perfetto;
