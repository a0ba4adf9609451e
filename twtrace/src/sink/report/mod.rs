//! What a run means, for a person and for a script. Prints and judges nothing: the report comes ready.

mod block;
pub mod diff;
mod gatherer;
pub mod json;
mod tables;
pub mod text;

pub use gatherer::Gatherer;
