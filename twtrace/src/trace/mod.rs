//! The recording: observations to an Arrow IPC stream, and back as they were.
//!
//! It holds what was observed and nothing that follows from it, so that a reader draws its own conclusions with the
//! tracker of its day. What is read back is equal to what was written, in the same order. Nothing is believed that
//! the checksum of its message does not vouch for; docs/trace-format.md says how, for other readers.
//!
//! It knows no file: any byte stream will do, one batch of it in memory at a time.

mod beginning;
mod bits;
mod columns;
mod decode;
mod encode;
mod error;
mod frame;
mod header;
mod messages;
mod nested;
mod order;
mod reader;
mod schema;
mod text;
mod writer;

pub use error::{Damage, DamageKind, Error, Place};
pub use header::Header;
pub use reader::{Batch, Reader};
pub use writer::Writer;

/// The version of the format that is written here, and the newest that can be read.
pub const FORMAT: u32 = 1;
