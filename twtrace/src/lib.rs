//! twtrace: the true life of every TCP connection, and who ended it.

pub mod model;
pub mod probe;
