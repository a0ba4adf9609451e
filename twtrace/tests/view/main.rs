//! The full-screen view, drawn into memory: what is seen of hand-written traces and of recordings of real runs, at
//! several sizes, key by key.
//!
//! The pictures are kept in `snapshots/`. What they must say is in the traces; that they do is for the reader to see,
//! once, and for the tests from then on.

#![expect(clippy::unwrap_used, reason = "a test panics")]

#[path = "../model/trace.rs"]
mod trace;

mod bytes;
mod incidents;
mod pictures;
mod stage;
mod styles;
