use super::*;
use crate::sink::samples::*;

fn trace(changes: &[Change]) -> Vec<TracePacket> {
    let mut out = Vec::new();
    run(&mut Perfetto::new(&mut out), changes).expect("memory takes it");
    Trace::decode(out.as_slice()).expect("a trace").packet
}

/// What the trace shows, in the order of time: `+` begins a slice, `-` ends one, `!` is an instant, `=` a count.
fn shown(changes: &[Change]) -> String {
    let packets = trace(changes);
    let tracks: HashMap<u64, &TrackDescriptor> = packets
        .iter()
        .filter_map(|packet| packet.track_descriptor.as_ref())
        .map(|track| (track.uuid.expect("a number"), track))
        .collect();
    let mut events: Vec<(u64, &TrackEvent)> =
        packets.iter().filter_map(|packet| packet.timestamp.zip(packet.track_event.as_ref())).collect();
    events.sort_by_key(|(at, _)| *at);
    let lines = events.iter().map(|(at, event)| {
        let millis = (at - 15_000 * MS) / MS;
        let name = event.name.clone().unwrap_or_default();
        let what = match event.kind {
            Some(SLICE_BEGIN) => format!("+{name}"),
            Some(SLICE_END) => "-".to_owned(),
            Some(INSTANT) => format!("!{name}"),
            Some(COUNTER) => format!("={}", event.counter_value.expect("a count")),
            other => panic!("{other:?}"),
        };
        format!("{millis:>6} {} {what}\n", path(&tracks, event.track_uuid.expect("a track")))
    });
    lines.collect()
}

fn path(tracks: &HashMap<u64, &TrackDescriptor>, uuid: u64) -> String {
    let track = tracks[&uuid];
    let process = track.process.as_ref();
    let name = process.map_or(track.name.clone(), |process| {
        Some(format!("{}[{}]", process.process_name.clone().unwrap_or_default(), process.pid.unwrap_or_default()))
    });
    let parent = track.parent_uuid.map(|parent| path(tracks, parent) + " > ").unwrap_or_default();
    parent + &name.unwrap_or_default()
}

#[test]
fn a_connection_is_a_slice_with_its_states_in_it() {
    insta::assert_snapshot!(shown(&[Change::Closed(Box::new(closing())), announced(expired())]), @r"
        0 connections by state > ESTABLISHED =0
        0 connections by state > FIN_WAIT2 =0
        0 connections by state > TIME_WAIT =0
      100 curl[4242] > to 10.0.0.2:80 +10.0.0.1:40000 - 10.0.0.2:80
      100 curl[4242] > to 10.0.0.2:80 +SYN_SENT
      102 curl[4242] > to 10.0.0.2:80 -
      102 curl[4242] > to 10.0.0.2:80 +ESTABLISHED
      104 connections by state > ESTABLISHED =1
     1102 curl[4242] > to 10.0.0.2:80 -
     1102 curl[4242] > to 10.0.0.2:80 +FIN_WAIT1
     1103 curl[4242] > to 10.0.0.2:80 -
     1103 curl[4242] > to 10.0.0.2:80 +FIN_WAIT2
     1104 connections by state > ESTABLISHED =0
     1104 connections by state > FIN_WAIT2 =1
     1140 curl[4242] > to 10.0.0.2:80 -
     1140 curl[4242] > to 10.0.0.2:80 +TIME_WAIT
     1144 connections by state > FIN_WAIT2 =0
     1144 connections by state > TIME_WAIT =1
    61160 curl[4242] > to 10.0.0.2:80 -
    61160 curl[4242] > to 10.0.0.2:80 -
    61160 connections by state > TIME_WAIT =0
    ");
}

#[test]
fn what_has_not_ended_has_no_end() {
    insta::assert_snapshot!(shown(&[ended(preexisting()), ended(unknown())]), @r"
       0 nginx[812] > at 127.0.0.1:80 +127.0.0.1:80 - 127.0.0.1:40001
       0 nginx[812] > at 127.0.0.1:80 +ESTABLISHED
       0 connections by state > ESTABLISHED =1
       0 connections by state > CLOSE_WAIT =0
       0 connections by state > LAST_ACK =0
    1000 owner not known > with 10.0.0.9 +10.0.0.1:22 - 10.0.0.9:50000
    2000 owner not known > with 10.0.0.9 +CLOSE_WAIT
    2000 connections by state > CLOSE_WAIT =1
    2500 nginx[812] > at 127.0.0.1:80 -
    2500 nginx[812] > at 127.0.0.1:80 +CLOSE_WAIT
    2500 connections by state > ESTABLISHED =0
    2500 connections by state > CLOSE_WAIT =2
    4999 nginx[812] > at 127.0.0.1:80 -
    4999 nginx[812] > at 127.0.0.1:80 +LAST_ACK
    4999 connections by state > CLOSE_WAIT =1
    4999 connections by state > LAST_ACK =1
    5000 nginx[812] > at 127.0.0.1:80 -
    5000 nginx[812] > at 127.0.0.1:80 -
    5000 connections by state > LAST_ACK =0
    ");
}

#[test]
fn losses_are_shown_where_they_became_known() {
    insta::assert_snapshot!(shown(&[lost()]), @r"
      3000 events lost !12 events lost (ring)
    ");
}

#[test]
fn the_clocks_are_told_apart() {
    let packets = trace(&[]);
    let clocks = packets[0].clock_snapshot.as_ref().expect("first of all").clocks.iter();
    let clocks: Vec<(u32, u64)> = clocks.filter_map(|clock| clock.clock_id.zip(clock.timestamp)).collect();
    assert_eq!(clocks, [(6, 15_000 * MS), (3, 10_000 * MS), (1, 1_767_225_600_000 * MS)]);
}

#[test]
fn a_connection_says_what_its_record_says() {
    let packets = trace(&[ended(never_accepted())]);
    let event = packets.iter().find_map(|packet| packet.track_event.as_ref()).expect("a slice");
    let names: Vec<&str> = event.debug_annotations.iter().filter_map(|argument| argument.name.as_deref()).collect();
    assert_eq!(
        names.join(" "),
        "close close_reason close_wait closed_first complete connection direction ended family local lost_evidence \
         opened owner preexisting remote v4_mapped"
    );
    let local = event.debug_annotations.iter().find(|argument| argument.name.as_deref() == Some("local"));
    assert_eq!(local.map(|local| local.dict_entries[1].uint_value), Some(Some(443)));
}

#[test]
fn slices_nest_whatever_a_life_is_like() {
    let lives = [closing(), expired(), taken_over(), preexisting(), never_accepted(), no_port(), unknown(), orphan()];
    for life in lives {
        let moments = moments(&life, at(0));
        for pair in moments.windows(2) {
            assert!(pair[0].2 == Some(pair[1].1) && pair[0].1 <= pair[1].1, "{moments:?}");
        }
        assert_eq!(moments.last().map(|(.., end)| *end), Some(life.ended));
    }
}

#[test]
fn a_state_says_whether_its_length_is_known() {
    let packets = trace(&[ended(preexisting())]);
    let events = packets.iter().filter_map(|packet| packet.track_event.as_ref());
    let states = events.filter(|event| event.categories == ["state"]);
    let lengths = states.map(|event| {
        let length = event.debug_annotations.iter().find(|argument| argument.name.as_deref() == Some("duration_ns"));
        length.and_then(|length| length.uint_value)
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [None, Some(2_499 * MS), Some(MS)]);
}

#[test]
fn the_same_process_is_described_once() {
    let packets = trace(&[ended(expired()), ended(taken_over()), ended(preexisting())]);
    let processes = packets.iter().filter_map(|packet| packet.track_descriptor.as_ref()?.process.as_ref());
    assert_eq!(processes.map(|process| process.pid).collect::<Vec<_>>(), [Some(4242), Some(812)]);
}
