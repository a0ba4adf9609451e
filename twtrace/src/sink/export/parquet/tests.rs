use super::*;
use crate::{model::Lifecycle, sink::samples::*};
use ::parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::RowAccessor as _,
};

fn file(rows: Rows, changes: &[Change]) -> SerializedFileReader<bytes::Bytes> {
    let mut out = Vec::new();
    run(&mut Parquet::new(&mut out, rows).expect("memory takes it"), changes).expect("memory takes it");
    SerializedFileReader::new(bytes::Bytes::from(out)).expect("a parquet file")
}

/// Each row as the reader prints it.
fn rows(rows: Rows, changes: &[Change]) -> Vec<String> {
    let file = file(rows, changes);
    file.get_row_iter(None).expect("rows").map(|row| row.expect("a row").to_string()).collect()
}

fn lives() -> Vec<Lifecycle> {
    vec![expired(), taken_over(), preexisting(), never_accepted(), no_port(), unknown(), overflow(), orphan()]
}

#[test]
fn a_lifecycle_is_a_row() {
    let changes = [Change::Closed(Box::new(closing())), Change::Transition(transition()), announced(expired())];
    let rows = rows(Rows::Lifecycles, &changes);
    assert_eq!(rows.len(), 1);
    insta::assert_snapshot!(rows[0], @r#"{host: null, connection: 1, family: "ipv4", v4_mapped: false, local: {ip: "10.0.0.1", port: 40000}, remote: {ip: "10.0.0.2", port: 80}, direction: "outbound", netns: 4026531840, cgroup: null, container: null, container_runtime: null, pod: null, owner: {pid: 4242, comm: "curl", uid: 33, start_time: 1767225592500000000, basis: "connect"}, opened: 1767225600100000000, ended: 1767225661160000000, preexisting: false, complete: true, states: [{state: "SYN_SENT", duration_ns: 2000000, basis: "observed"}, {state: "ESTABLISHED", duration_ns: 1000000000, basis: "observed"}, {state: "FIN_WAIT1", duration_ns: 1000000, basis: "observed"}, {state: "FIN_WAIT2", duration_ns: 37000000, basis: "observed"}, {state: "TIME_WAIT", duration_ns: 60020000000, basis: "hook"}], closed_first: "local", closed_by: {pid: 4242, comm: "curl", uid: 33, start_time: 1767225592500000000, confidence: "certain", host: null}, close: "fin", close_reason: null, time_wait: {duration_ns: 60020000000, end: "expired", restarts: 0, basis: "hook"}, close_wait: null, idle_before_close_ns: null, bytes_sent: null, bytes_received: null, retransmits: null, srtt_ns: null, lost_evidence: 0}"#);
}

#[test]
fn what_is_not_known_is_null() {
    let rows = rows(Rows::Lifecycles, &[ended(unknown())]);
    insta::assert_snapshot!(rows[0], @r#"{host: null, connection: 5, family: "ipv4", v4_mapped: false, local: {ip: "10.0.0.1", port: 22}, remote: {ip: "10.0.0.9", port: 50000}, direction: null, netns: null, cgroup: null, container: null, container_runtime: null, pod: null, owner: null, opened: 1767225601000000000, ended: null, preexisting: false, complete: false, states: [{state: "CLOSE_WAIT", duration_ns: null, basis: "observed"}], closed_first: null, closed_by: null, close: null, close_reason: null, time_wait: null, close_wait: {duration_ns: null, accepted: null, basis: "observed"}, idle_before_close_ns: null, bytes_sent: null, bytes_received: null, retransmits: null, srtt_ns: null, lost_evidence: 0}"#);
}

#[test]
fn a_transition_is_a_row_of_its_own_table() {
    let rows = rows(Rows::Transitions, &[Change::Transition(transition()), ended(expired())]);
    assert_eq!(rows.len(), 1);
    insta::assert_snapshot!(rows[0], @r#"{time: 1767225601102000000, host: null, connection: 1, family: "ipv4", v4_mapped: false, local: {ip: "10.0.0.1", port: 40000}, remote: {ip: "10.0.0.2", port: 80}, netns: 4026531840, from: "ESTABLISHED", to: "FIN_WAIT1", duration_ns: 1000000000, process: {pid: 4242, comm: "curl", uid: 33, start_time: 1767225592500000000}, basis: "observed"}"#);
}

#[test]
fn what_has_no_row_is_in_the_metadata() {
    let file = file(Rows::Lifecycles, &[lost()]);
    let metadata = file.metadata().file_metadata();
    assert_eq!(metadata.num_rows(), 0);
    let value = |key: &str| {
        let pairs = metadata.key_value_metadata().expect("metadata");
        pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()).expect("a value")
    };
    assert_eq!((value("twtrace.schema"), value("twtrace.type")), ("1".to_owned(), "lifecycle".to_owned()));
    assert!(value("twtrace.attached").contains(r#""kernel":"6.18.0-test""#));
    assert!(value("twtrace.summary").contains(r#""events_lost":12"#));
}

#[test]
fn memory_is_bounded_by_row_groups() {
    let many: Vec<Change> = (0..ROW_GROUP + 1).map(|_| ended(expired())).collect();
    let file = file(Rows::Lifecycles, &many);
    let groups: Vec<i64> = file.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [65_536, 1]);
}

#[test]
fn every_life_and_every_name_fits() {
    let lives: Vec<Change> = lives().into_iter().chain(hostile()).map(ended).collect();
    let file = file(Rows::Lifecycles, &lives);
    let names = file.get_row_iter(None).expect("rows").map(|row| {
        let row = row.expect("a row");
        let owner =
            (0..row.len()).find(|&column| row.get_column_iter().nth(column).is_some_and(|(name, _)| name == "owner"));
        row.get_group(owner.expect("a column")).and_then(|owner| owner.get_string(1).cloned()).ok()
    });
    let names: Vec<Option<String>> = names.collect();
    assert_eq!(names.len(), 14);
    assert_eq!(names[13].as_deref(), Some("=1+2,3"));
    assert_eq!(names[5], None);
}

#[test]
fn the_outputs_error_stays_itself() {
    let error = Parquet::new(Closed, Rows::Lifecycles).and_then(|mut sink| run(&mut sink, &[])).expect_err("closed");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
