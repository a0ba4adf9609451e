//! twtrace: the true life of every TCP connection, and who ended it.

pub mod cli;
pub mod model;
pub mod probe;
pub mod sink;
