//! Every lifecycle against the packets of its connection.

use crate::{
    watch,
    wire::{Connection, First},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Holds the lifecycles of one end against the packets, connection by connection.
pub(crate) fn compare(
    wire: &BTreeMap<u16, Vec<Connection>>,
    end: &str,
    run: &watch::Run,
    here: &BTreeMap<u64, String>,
    there: &BTreeMap<u64, String>,
) {
    assert_eq!(run.summary["events_lost"], 0, "{}", run.summary);
    let client_port = |life: &Value| life[if end == "client" { "local" } else { "remote" }]["port"].as_u64();
    let mut lifecycles: BTreeMap<u16, Vec<&Value>> = BTreeMap::new();
    for life in &run.lifecycles {
        let port = client_port(life).and_then(|port| u16::try_from(port).ok());
        lifecycles.entry(port.unwrap_or_else(|| panic!("no port in {life}"))).or_default().push(life);
    }
    for of_port in lifecycles.values_mut() {
        of_port.sort_by_key(|life| life["opened"].as_str());
    }
    let counted = |seen: usize| format!("{seen} lifecycles at the {end}");
    let total: usize = wire.values().map(Vec::len).sum();
    assert_eq!(counted(run.lifecycles.len()), counted(total));
    for (client, connections) in wire {
        let of_port = lifecycles.get(client).map_or(&[][..], Vec::as_slice);
        assert_eq!(of_port.len(), connections.len(), "client port {client} at the {end}: {of_port:?}");
        for (&life, connection) in of_port.iter().zip(connections) {
            check(life, connection, end, here, there);
        }
    }
}

fn check(
    life: &Value,
    connection: &Connection,
    end: &str,
    here: &BTreeMap<u64, String>,
    there: &BTreeMap<u64, String>,
) {
    let at_server = end == "server";
    let (side, closers) = match connection.first {
        First::Both => ("simultaneous", None),
        First::Server if at_server => ("local", Some(here)),
        First::Client if !at_server => ("local", Some(here)),
        First::Server | First::Client => ("remote", Some(there)),
        First::Nobody => panic!("{connection:?} never ended, but {life}"),
    };
    let is_one_of = |process: &Value, processes: &BTreeMap<u64, String>| {
        let known = process["pid"].as_u64().and_then(|pid| processes.get(&pid));
        known.is_some_and(|comm| process["comm"] == comm.as_str())
    };
    assert_eq!(life["closed_first"], side, "{connection:?} at the {end}: {life}");
    if let Some(closers) = closers {
        assert!(is_one_of(&life["closed_by"], closers), "{connection:?}: the closer is not one of {closers:?}: {life}");
    }
    assert!(is_one_of(&life["owner"], here), "{connection:?}: the owner is not one of {here:?}: {life}");
    assert_eq!(life["direction"], if at_server { "inbound" } else { "outbound" }, "{life}");
    assert_eq!(life["preexisting"], false, "{life}");
    assert_eq!(life["lost_evidence"], 0, "{life}");
    if life["close"] == "fin" {
        assert_eq!(!life["time_wait"].is_null(), side != "remote", "TIME_WAIT is with who closed first: {life}");
    }
}
