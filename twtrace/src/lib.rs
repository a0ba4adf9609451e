//! twtrace: the true life of every TCP connection, and who ended it.
//!
//! One source, one tracker, some sinks: [`probe`] observes the kernel, [`model`] works out what happened, and
//! [`sink`] shows it. `run` joins them, `cli` says what is wanted.

pub mod cli;
pub mod memory;
pub mod model;
pub mod probe;
pub mod run;
pub mod sink;
pub mod stderr;
pub mod trace;
