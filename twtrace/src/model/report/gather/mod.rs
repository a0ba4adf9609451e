//! What is kept of the lives that have been, in bounded room: what a report is made of.

pub(super) mod close_waits;
pub(super) mod closes;
pub(super) mod counts;
pub(super) mod course;
pub(super) mod destinations;
pub(super) mod idle;
pub(super) mod lived;
mod names;
pub(super) mod pile_ups;
pub(super) mod ports;
pub(super) mod processes;
mod spread;
pub(super) mod states;
pub(super) mod time_waits;
mod top;
