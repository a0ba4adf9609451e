//! The fields that can be asserted on: those of the JSON lifecycle record, by their dotted paths.
//!
//! No list of them is kept here: the record of a life of which everything is known says which there are and of what
//! kind, and that of a life of which nothing is known says which may be null.

use crate::{
    model::{
        Basis, Close, Closer, Comm, Confidence, Direction, Endpoint, FourTuple, Ktime, Lifecycle, Owner, OwnerBasis,
        Process, Side, Span, TcpState, TimeWaitEnd,
        filter::Family,
        observation::{Container, Runtime, Traffic},
        process::Place,
    },
    sink::{Clock, record::LifecycleRecord},
};
use serde_json::Value;
use smallvec::smallvec;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// One field of the record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    /// As it is written: `close_wait.duration_ns`.
    pub(super) path: String,
    pub(super) kind: Kind,
    /// It is null in the record of some life.
    pub(super) nullable: bool,
    /// It is asked of this state alone: `states.FIN_WAIT2.duration_ns`.
    pub(super) of: Option<TcpState>,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Flag,
    Number,
    /// Nanoseconds.
    Duration,
    Size,
    Address,
    /// One of these words.
    Words(Vec<&'static str>),
    /// Any text.
    Text,
    /// A moment.
    Time,
    /// The states, in order.
    States,
    /// Fields of its own.
    Group,
}

/// Every field there is.
pub(super) struct Fields(Vec<Field>);

impl Fields {
    pub(super) fn new() -> Self {
        let record = |life: &Lifecycle| {
            let clock = Some(Clock { realtime: 0, boottime: 0 });
            serde_json::to_value(LifecycleRecord::new(life, clock)).unwrap_or_default()
        };
        let mut fields = Vec::new();
        gather("", &record(&known()), &record(&Lifecycle::new(1, nowhere())), &mut fields);
        Self(fields)
    }

    /// The field of this path, or why there is none.
    pub(super) fn get(&self, path: &str) -> Result<Field, String> {
        if let Some(field) = self.0.iter().find(|field| field.path == path) {
            return Ok(field.clone());
        }
        if let Some((name, part)) = path.strip_prefix("states.").map(|rest| rest.split_once('.').unwrap_or((rest, "")))
        {
            return of_state(path, name, part);
        }
        let names: Vec<&str> = match path.rsplit_once('.').map(|(group, _)| format!("{group}.")) {
            Some(group) if self.0.iter().any(|field| field.path.starts_with(&group)) => {
                self.0.iter().map(|field| field.path.as_str()).filter(|path| path.starts_with(&group)).collect()
            }
            _ => self.0.iter().map(|field| field.path.as_str()).filter(|path| !path.contains('.')).collect(),
        };
        Err(format!("a lifecycle has no field {path:?}: it has {}", names.join(", ")))
    }

    /// Whether the path leads to more fields.
    pub(super) fn is_group(&self, path: &str) -> bool {
        let group = format!("{path}.");
        path == "states" || path.starts_with("states.") || self.0.iter().any(|field| field.path.starts_with(&group))
    }
}

/// What can be asked of one state.
fn of_state(path: &str, name: &str, part: &str) -> Result<Field, String> {
    let Some(state) = TcpState::ALL.into_iter().find(|state| state.name() == name) else {
        return Err(format!("{name:?} is no state: {}", TcpState::ALL.map(TcpState::name).join(", ")));
    };
    let kind = match part {
        "" => Kind::Group,
        "duration_ns" => Kind::Duration,
        "basis" => Kind::Words(names(Basis::ALL, |basis| basis.name())),
        _ => return Err(format!("a state has no field {part:?}: states.{name} has duration_ns and basis")),
    };
    Ok(Field { path: path.to_owned(), kind, nullable: true, of: Some(state) })
}

/// The fields below `path`, those of which everything is known beside those of which nothing is.
fn gather(path: &str, known: &Value, unknown: &Value, fields: &mut Vec<Field>) {
    let kind = kind(path, known);
    if !path.is_empty() {
        fields.push(Field { path: path.to_owned(), kind, nullable: unknown.is_null(), of: None });
    }
    for (name, value) in known.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        gather(&path, value, unknown.get(name).unwrap_or(&Value::Null), fields);
    }
}

fn kind(path: &str, value: &Value) -> Kind {
    let name = path.rsplit('.').next().unwrap_or_default();
    match value {
        Value::Bool(_) => Kind::Flag,
        Value::Number(_) if name.ends_with("_ns") => Kind::Duration,
        Value::Number(_) if name.starts_with("bytes_") => Kind::Size,
        Value::Number(_) => Kind::Number,
        Value::Array(_) => Kind::States,
        Value::Object(_) => Kind::Group,
        Value::String(text) if text.parse::<IpAddr>().is_ok() => Kind::Address,
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => Kind::Time,
        Value::String(_) | Value::Null => words(path).map_or(Kind::Text, Kind::Words),
    }
}

/// The words of a field that has no other.
fn words(path: &str) -> Option<Vec<&'static str>> {
    Some(match path {
        "family" => names(&[Family::Ipv4, Family::Ipv6], |family| family.name()),
        "direction" => names(Direction::ALL, |direction| direction.name()),
        "container_runtime" => names(&Runtime::ALL, |runtime| runtime.name()),
        "owner.basis" => names(OwnerBasis::ALL, |basis| basis.name()),
        "closed_first" => names(Side::ALL, |side| side.name()),
        "closed_by.confidence" => names(Confidence::ALL, |confidence| confidence.name()),
        "close" => names(Close::ALL, |close| close.name()),
        "time_wait.end" => {
            // Of one that runs: sink/record.rs.
            names(TimeWaitEnd::ALL, |end| end.name()).into_iter().chain(["open"]).collect()
        }
        "time_wait.basis" | "close_wait.basis" => names(Basis::ALL, |basis| basis.name()),
        _ => return None,
    })
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|&value| name(value)).collect()
}

fn nowhere() -> FourTuple {
    let end = Endpoint { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 0 };
    FourTuple { local: end, remote: Endpoint { port: 1, ..end } }
}

/// A life of which everything is known, and that had everything.
fn known() -> Lifecycle {
    let process = Process { pid: 1, uid: 1, started: Some(1), comm: Comm::new(b"init") };
    let container = Container { runtime: Runtime::Docker, id: "id".into(), pod: Some("pod".into()) };
    let span = |state| Span { state, entered: Some(Ktime(1)), lasted: Some(1), basis: Basis::Observed };
    let mut tuple = nowhere();
    tuple.local.port = 1;
    Lifecycle {
        direction: Some(Direction::Outbound),
        netns: Some(1),
        owner: Some(Owner { process, basis: OwnerBasis::Connect }),
        place: Some(Arc::new(Place { cgroup: Some("/".into()), container: Some(container) })),
        opened: Some(Ktime(1)),
        ended: Some(Ktime(1)),
        spans: smallvec![span(TcpState::TimeWait), span(TcpState::CloseWait)],
        closed_first: Some(Side::Local),
        closed_by: Some(Closer { process, confidence: Confidence::Certain }),
        closed_on: Some("host".into()),
        close: Some(Close::Fin),
        close_reason: Some("TCP_STATE"),
        time_wait_end: Some(TimeWaitEnd::Expired),
        idle_before_close: Some(1),
        traffic: Some(Traffic { bytes_sent: 1, bytes_received: 1, retransmits: 1, srtt: Some(1) }),
        accepted: Some(true),
        ..Lifecycle::new(1, tuple)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, Kind, TcpState};

    /// Written by hand from what the commands promise of the record.
    #[test]
    fn every_field_of_the_record_is_there_with_its_kind() {
        let all = Fields::new();
        let of = |wanted: fn(&Kind) -> bool| {
            let fields = all.0.iter().filter(|field| wanted(&field.kind));
            fields.map(|field| field.path.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(|kind| matches!(kind, Kind::Flag)), "close_wait.accepted complete preexisting v4_mapped");
        assert_eq!(
            of(|kind| matches!(kind, Kind::Number)),
            "closed_by.pid closed_by.uid connection local.port lost_evidence netns owner.pid owner.uid remote.port \
             retransmits time_wait.restarts"
        );
        assert_eq!(
            of(|kind| matches!(kind, Kind::Duration)),
            "close_wait.duration_ns idle_before_close_ns srtt_ns time_wait.duration_ns"
        );
        assert_eq!(of(|kind| matches!(kind, Kind::Size)), "bytes_received bytes_sent");
        assert_eq!(of(|kind| matches!(kind, Kind::Address)), "local.ip remote.ip");
        assert_eq!(of(|kind| matches!(kind, Kind::Time)), "closed_by.start_time ended opened owner.start_time");
        assert_eq!(
            of(|kind| matches!(kind, Kind::Words(_))),
            "close close_wait.basis closed_by.confidence closed_first container_runtime direction family owner.basis \
             time_wait.basis time_wait.end"
        );
        assert_eq!(
            of(|kind| matches!(kind, Kind::Text)),
            "cgroup close_reason closed_by.comm closed_by.host container owner.comm pod"
        );
        assert_eq!(of(|kind| matches!(kind, Kind::States)), "states");
        assert_eq!(of(|kind| matches!(kind, Kind::Group)), "close_wait closed_by local owner remote time_wait");
        let never_null = all.0.iter().filter(|field| !field.nullable).map(|field| field.path.as_str());
        assert_eq!(
            never_null.collect::<Vec<_>>().join(" "),
            "complete connection family local local.ip lost_evidence preexisting remote remote.ip remote.port states \
             v4_mapped"
        );
    }

    #[test]
    fn what_is_no_field_is_told_what_there_is() {
        let fields = Fields::new();
        assert_eq!(fields.get("states.FIN_WAIT2.duration_ns").map(|field| field.of), Ok(Some(TcpState::FinWait2)));
        let cases = [
            ("owner.pip", "a lifecycle has no field \"owner.pip\": it has owner.basis, owner.comm, owner.pid,"),
            ("closedby.comm", "a lifecycle has no field \"closedby.comm\": it has bytes_received, bytes_sent,"),
            ("states.FINWAIT", "\"FINWAIT\" is no state: ESTABLISHED, "),
            ("states.CLOSE.x", "a state has no field \"x\": states.CLOSE has duration_ns and basis"),
            ("", "a lifecycle has no field \"\""),
        ];
        for (path, begin) in cases {
            let error = fields.get(path).expect_err(path);
            assert!(error.starts_with(begin), "{error}");
        }
    }
}
