//! The model, by small pictures of traffic: no kernel, no clock, no privilege.
//!
//! What is expected stands here as the kernel does it (tcp_time_wait(), inet_csk_listen_stop(), ...), for each set of
//! means that can tell it. [`trace`] is the language of the pictures, [`verdict`] what is made of them, [`lives`]
//! makes whole lives at random for the properties.

#![expect(clippy::unwrap_used, reason = "a test panics")]

mod attribution;
mod audit;
mod bootstrap;
mod carried;
mod closing;
mod decoder;
mod identity;
mod lives;
mod loss;
mod opening;
mod processes;
mod properties;
mod report;
mod resets;
mod time_wait;
mod time_wait_ends;
mod trace;
mod verdict;
