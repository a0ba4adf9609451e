//! Recordings: what is written is read back, and nothing else is.

#![expect(clippy::unwrap_used, reason = "a test panics")]

mod any;
mod damage;
mod round_trip;
mod tools;
