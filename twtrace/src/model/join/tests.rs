use super::*;
use crate::model::{Comm, Endpoint};

const SECOND: u64 = 1_000_000_000;

fn tuple(port: u16) -> FourTuple {
    let end = |ip: [u8; 4], port| Endpoint { ip: ip.into(), port };
    FourTuple { local: end([10, 0, 0, 1], port), remote: end([10, 0, 0, 2], 80) }
}

fn origin(host: &str, ahead: u64) -> Origin {
    Origin { host: host.into(), version: "1".into(), alone: false, boot: host.into(), ahead, starts_ahead: 7 }
}

fn process(pid: u32) -> Process {
    Process { pid, uid: 0, started: Some(1), comm: Comm::new(b"api") }
}

/// A life of the recording's own numbers and times.
fn life(id: u64, tuple: FourTuple, opened: u64, first: Side, by: Option<u32>) -> Change {
    let mut life = Lifecycle::new(id, tuple);
    life.opened = Some(Ktime(opened));
    life.ended = Some(Ktime(opened + SECOND));
    life.closed_first = Some(first);
    life.closed_by = by.map(|pid| Closer { process: process(pid), confidence: Confidence::Certain });
    Change::Ended { lifecycle: Box::new(life), announced: false }
}

/// A life's id, and who closed it, where that is known.
type Told = (u64, Option<(u32, Confidence, Option<String>)>);

/// Ids, and who closed where with what confidence, in the order in which they come out.
fn told(mut join: Join) -> Vec<Told> {
    let held = std::iter::from_fn(|| join.release());
    held.filter_map(|(_, held)| match held {
        Held::Change(Change::Ended { lifecycle, .. }) => Some((
            lifecycle.id,
            lifecycle
                .closed_by
                .map(|by| (by.process.pid, by.confidence, lifecycle.closed_on.as_deref().map(str::to_owned))),
        )),
        _ => None,
    })
    .collect()
}

#[test]
fn the_remote_closer_has_a_name_that_is_likely() {
    let mut join = Join::new(vec![origin("web", 0), origin("db", 5 * SECOND)]);
    // The one that was closed is read first: its host's clock is a second ahead.
    join.change(1, life(1, tuple(1000).reversed(), 4 * SECOND, Side::Remote, None));
    join.change(0, life(1, tuple(1000), 10 * SECOND, Side::Local, Some(42)));
    let likely = (42, Confidence::Likely, Some("web".to_owned()));
    assert_eq!(told(join), [(2, Some(likely)), (1, Some((42, Confidence::Certain, None)))]);
}

#[test]
fn doubt_leaves_it_open() {
    let closed = |tuple: FourTuple| life(1, tuple.reversed(), 10 * SECOND, Side::Remote, None);
    let closer = |id, at| life(id, tuple(1000), at, Side::Local, Some(42));
    // Too far apart; two that fit; the other end is here; another tuple; the other end did not close first.
    let cases: [(&str, Vec<(usize, Change)>); 5] = [
        ("clocks", vec![(0, closer(1, 13 * SECOND))]),
        ("two", vec![(0, closer(1, 10 * SECOND)), (0, closer(2, 11 * SECOND))]),
        ("own host", vec![(1, closer(2, 10 * SECOND))]),
        ("tuple", vec![(0, life(1, tuple(1001), 10 * SECOND, Side::Local, Some(42)))]),
        ("both remote", vec![(0, life(1, tuple(1000), 10 * SECOND, Side::Remote, Some(42)))]),
    ];
    for (what, others) in cases {
        let mut join = Join::new(vec![origin("web", 0), origin("db", 0)]);
        others.into_iter().for_each(|(origin, change)| join.change(origin, change));
        join.change(1, closed(tuple(1000)));
        assert_eq!(told(join).pop().expect("the last one").1, None, "{what}");
    }
}

#[test]
fn loopback_stays_at_home() {
    let end = |port| Endpoint { ip: [127, 0, 0, 1].into(), port };
    let tuple = FourTuple { local: end(1000), remote: end(80) };
    let mut join = Join::new(vec![origin("web", 0), origin("db", 0)]);
    join.change(0, life(1, tuple, SECOND, Side::Local, Some(42)));
    join.change(1, life(1, tuple.reversed(), SECOND, Side::Remote, None));
    assert_eq!(told(join)[1], (2, None));
}

#[test]
fn times_count_from_one_moment_and_what_waits_comes_in_order() {
    let mut join = Join::new(vec![origin("web", 0), origin("db", 100)]);
    join.change(1, life(3, tuple(1).reversed(), 5, Side::Local, Some(9)));
    join.tick(1, Ktime(50));
    assert!(join.poll().is_none(), "the other host may still have something to say");
    join.tick(0, Ktime(150 + TOLERANCE));
    let Some((1, Held::Change(Change::Ended { lifecycle, .. }))) = join.poll() else { panic!("it has waited") };
    assert_eq!((lifecycle.id, lifecycle.opened, lifecycle.ended), (6, Some(Ktime(105)), Some(Ktime(105 + SECOND))));
    assert_eq!(lifecycle.closed_by.expect("it was given").process.started, Some(8));
    assert!(matches!(join.poll(), Some((1, Held::Tick(Ktime(150))))));
    assert!(join.poll().is_none());
}

#[test]
fn the_oldest_go_where_there_are_too_many() {
    let mut join = Join::new(vec![origin("web", 0), origin("db", 0)]);
    for id in 1..=(KEPT as u64 + 5) {
        join.change(0, life(id, tuple((id % 60_000) as u16 + 1), id, Side::Local, Some(1)));
        join.release();
    }
    assert_eq!(join.order.len(), KEPT);
    assert_eq!(join.ends.values().map(Vec::len).sum::<usize>(), KEPT);
}
