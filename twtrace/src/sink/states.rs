//! The sockets of one moment, for a person and for a script.

mod json;
mod table;
mod text;

pub use json::json;
pub use text::{Options, text};

#[cfg(test)]
mod tests;
