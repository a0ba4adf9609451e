use super::*;
use crate::sink::samples::*;
use proptest::prelude::*;

fn table(events: bool, changes: &[Change]) -> (String, String) {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    run(&mut Csv::new(&mut out, &mut notes, events), changes).expect("memory takes it");
    [out, notes].map(|bytes| String::from_utf8(bytes).expect("text")).into()
}

/// Every row read back, as `name=field` where there is one, a line each.
fn fields(table: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let names = reader.headers().expect("a header").clone();
    let row = |row: csv::StringRecord| {
        assert_eq!(row.len(), names.len());
        let fields = names.iter().zip(&row).filter(|(_, field)| !field.is_empty());
        fields.map(|(name, field)| format!("{name}={field}")).collect::<Vec<_>>().join("\n")
    };
    reader.records().map(|record| row(record.expect("a row"))).collect()
}

#[test]
fn the_header_is_fixed() {
    insta::assert_snapshot!(table(false, &[]).0, @"connection,family,v4_mapped,local_ip,local_port,remote_ip,remote_port,direction,netns,cgroup,container,owner_pid,owner_comm,owner_uid,owner_start_time,owner_basis,opened,ended,preexisting,complete,states,closed_first,closed_by_pid,closed_by_comm,closed_by_uid,closed_by_confidence,close,close_reason,time_wait_ns,time_wait_end,time_wait_restarts,time_wait_basis,close_wait_ns,close_wait_accepted,close_wait_basis,idle_before_close_ns,bytes_sent,bytes_received,retransmits,lost_evidence,container_runtime,pod,srtt_ns");
    let (with_events, without) = (table(true, &[]).0, table(false, &[]).0);
    let added = ",time,from,to,duration_ns,process_pid,process_comm,process_uid,process_start_time,basis";
    assert_eq!(with_events, format!("type,{}{added}\n", without.trim_end()));
}

#[test]
fn in_a_container() {
    let (out, _) = table(false, &[announced(contained())]);
    let row = &fields(&out)[0];
    for cell in
        ["cgroup=/kubepods.slice/a,\"b\"", "container=01fd96f7ad29", "container_runtime=containerd", "pod=shop/web-0"]
    {
        assert!(row.lines().any(|line| line == cell), "{cell} in {row}");
    }
}

#[test]
fn a_lifecycle_comes_once() {
    let (out, _) = table(false, &[Change::Closed(Box::new(closing())), announced(expired())]);
    let rows = fields(&out);
    assert_eq!(rows.len(), 1);
    insta::assert_snapshot!(rows[0], @r"
    connection=1
    family=ipv4
    v4_mapped=false
    local_ip=10.0.0.1
    local_port=40000
    remote_ip=10.0.0.2
    remote_port=80
    direction=outbound
    netns=4026531840
    owner_pid=4242
    owner_comm=curl
    owner_uid=33
    owner_start_time=2025-12-31T23:59:52.500000000Z
    owner_basis=connect
    opened=2026-01-01T00:00:00.100000000Z
    ended=2026-01-01T00:01:01.160000000Z
    preexisting=false
    complete=true
    states=SYN_SENT:2000000:observed ESTABLISHED:1000000000:observed FIN_WAIT1:1000000:observed FIN_WAIT2:37000000:observed TIME_WAIT:60020000000:hook
    closed_first=local
    closed_by_pid=4242
    closed_by_comm=curl
    closed_by_uid=33
    closed_by_confidence=certain
    close=fin
    time_wait_ns=60020000000
    time_wait_end=expired
    time_wait_restarts=0
    time_wait_basis=hook
    lost_evidence=0
    ");
}

#[test]
fn what_is_not_known_is_empty() {
    let (out, _) = table(false, &[ended(unknown()), ended(no_port()), ended(closing())]);
    let rows = fields(&out);
    insta::assert_snapshot!(rows[0], @r"
    connection=5
    family=ipv4
    v4_mapped=false
    local_ip=10.0.0.1
    local_port=22
    remote_ip=10.0.0.9
    remote_port=50000
    opened=2026-01-01T00:00:01.000000000Z
    preexisting=false
    complete=false
    states=CLOSE_WAIT::observed
    close_wait_basis=observed
    lost_evidence=0
    ");
    assert!(!rows[1].contains("local_port=") && rows[1].contains("close=no_port"), "{}", rows[1]);
    assert!(!rows[2].contains("time_wait_ns=") && rows[2].contains("time_wait_end=open"), "{}", rows[2]);
}

#[test]
fn transitions_have_a_type() {
    let (out, _) = table(true, &[Change::Transition(transition()), ended(expired())]);
    let rows = fields(&out);
    insta::assert_snapshot!(rows[0], @r"
    type=transition
    connection=1
    family=ipv4
    v4_mapped=false
    local_ip=10.0.0.1
    local_port=40000
    remote_ip=10.0.0.2
    remote_port=80
    netns=4026531840
    time=2026-01-01T00:00:01.102000000Z
    from=ESTABLISHED
    to=FIN_WAIT1
    duration_ns=1000000000
    process_pid=4242
    process_comm=curl
    process_uid=33
    process_start_time=2025-12-31T23:59:52.500000000Z
    basis=observed
    ");
    assert!(rows[1].starts_with("type=lifecycle\nconnection=1\n"), "{}", rows[1]);
}

#[test]
fn names_are_quoted_and_no_formula() {
    let (out, _) = table(false, &hostile().map(ended));
    let row = |n: usize| out.lines().nth(n + 1).unwrap_or_default();
    assert!(row(2).contains(r#",666,"say ""hi""\\",33,"#), "{}", row(2));
    assert!(row(5).contains(r#",666,"'=1+2,3",33,"#), "{}", row(5));
    for start in ["=", "+", "-", "@"] {
        assert_eq!(guarded(format!("{start}1")), format!("'{start}1"));
    }
}

#[test]
fn notes_stand_beside_the_table() {
    let (out, notes) = table(false, &[lost()]);
    assert_eq!(out.lines().count(), 1);
    let starts =
        ["twtrace 0.1.0 attached: ", "  off: ", "twtrace: 12 events lost (ring): ", "events        1234 received"];
    for (line, start) in notes.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn output_is_written_on_ticks() {
    let mut counted = Counted::default();
    let mut csv = Csv::new(&mut counted, io::sink(), false);
    for _ in 0..50 {
        csv.change(&ended(expired())).expect("taken");
    }
    csv.tick(at(1), &Tracker::new(crate::model::tracker::Means::default())).expect("taken");
    drop(csv);
    assert_eq!(counted.0, 1);
}

#[test]
fn a_closed_pipe_is_told_as_one() {
    let error = run(&mut Csv::new(Closed, io::sink(), false), &[]).expect_err("closed");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let error = io_error(csv::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)));
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

proptest! {
    #[test]
    fn every_name_is_read_back(comm in prop::collection::vec(any::<u8>(), 0..20)) {
        let (out, _) = table(false, &[ended(named(&comm))]);
        prop_assert_eq!(out.lines().count(), 2);
        let shown = guarded(process(1, &comm).comm.to_string());
        let row = fields(&out).remove(0);
        prop_assert!(shown.is_empty() || row.contains(&format!("owner_comm={shown}\n")), "{}", row);
    }
}
