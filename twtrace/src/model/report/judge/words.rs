//! How parties, places and numbers are said.

use super::super::{Party, Place};
use crate::model::units::count;

/// Process ids that are named.
const PIDS: usize = 3;

/// `nginx (pids 12, 13, 14 and more)`.
pub(super) fn who(party: Option<&Party>) -> String {
    let Some(party) = party else { return "an unknown process".to_owned() };
    let shown: Vec<String> = party.pids.iter().take(PIDS).map(u32::to_string).collect();
    match (party.pids.len(), party.more_pids || party.pids.len() > PIDS) {
        (0, _) => party.comm.to_string(),
        (1, false) => format!("{} (pid {})", party.comm, shown.join(", ")),
        (_, false) => format!("{} (pids {})", party.comm, shown.join(", ")),
        (_, true) => format!("{} (pids {} and more)", party.comm, shown.join(", ")),
    }
}

/// The name alone, as a sentence begins with it.
pub(super) fn name(party: Option<&Party>) -> String {
    party.map_or_else(|| "The process".to_owned(), |party| party.comm.to_string())
}

/// `to 10.0.0.2:80`, `at port 80`, `with 10.0.0.2`.
pub(super) fn place(place: &Place) -> String {
    match place {
        Place::To(end) => format!("to {end}"),
        Place::At(port) => format!("at port {port}"),
        Place::With(ip) => format!("with {ip}"),
    }
}

/// `1 connection`, `2,000 connections`.
pub(super) fn many(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{} {thing}s", count(number)) }
}

/// A sentence begins with a capital letter, but not with that of a process.
pub(super) fn sentence(text: String) -> String {
    match text.strip_prefix("an unknown") {
        Some(rest) => format!("An unknown{rest}"),
        None => text,
    }
}
