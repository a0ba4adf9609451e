//! What holds of every life, and of everything that is not one.

use crate::{
    lives::{Life, lives, merged},
    verdict::Tier,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{collections::BTreeMap, net::Ipv4Addr};
use twtrace::model::{
    Change, Endpoint, FourTuple, Ktime, Lifecycle, LossPlace, Observation, SocketId, TcpState, Tracker, Transition,
    observation::{Lost, Row, SocketSays, Table},
    tracker::Means,
};

/// Longer than a connection that is over is kept, and than anything that is looked at again.
const LATER: u64 = 400_000_000_000;

/// The whole run, given out by id.
#[derive(Debug, PartialEq)]
struct Told {
    ended: BTreeMap<u64, Lifecycle>,
    /// Ids in the order in which they were given out, all of them.
    order: Vec<u64>,
    announced: Vec<u64>,
}

fn run(tier: Tier, observations: &[Observation]) -> Told {
    let mut tracker = Tracker::new(tier.means());
    tracker.handle(&Observation::Table(Table::Ready { at: Ktime(0) }));
    let mut told = Told { ended: BTreeMap::new(), order: Vec::new(), announced: Vec::new() };
    for observation in observations {
        tracker.handle(observation);
        take(&mut tracker, &mut told);
    }
    assert!(tracker.glances().all(|glance| glance.life.state().is_some()), "followed, and in no state");
    let end = end_of(observations);
    tracker.handle(&Observation::Tick(end));
    tracker.finish(end);
    take(&mut tracker, &mut told);
    told
}

fn take(tracker: &mut Tracker, told: &mut Told) {
    while tracker.poll_question().is_some() {}
    while let Some(change) = tracker.poll() {
        match change {
            Change::Ended { lifecycle, announced } => {
                // What was in TIME_WAIT when tracing began had closed before.
                let closed = told.announced.contains(&lifecycle.id) || announced && lifecycle.preexisting;
                assert_eq!(announced, closed, "{lifecycle:?}");
                told.order.push(lifecycle.id);
                told.ended.insert(lifecycle.id, *lifecycle);
            }
            Change::Closed(lifecycle) => {
                assert!(!told.order.contains(&lifecycle.id), "closed after its end: {lifecycle:?}");
                told.announced.push(lifecycle.id);
            }
            Change::Transition(_) | Change::Lost(_) => {}
        }
    }
}

/// Every change, in order, with ticks between the observations; the questions are taken after each, or never.
fn changes(tier: Tier, observations: &[Observation], asked: bool) -> Vec<Change> {
    let mut tracker = Tracker::new(Means { show_transitions: true, ..tier.means() });
    tracker.handle(&Observation::Table(Table::Ready { at: Ktime(0) }));
    let mut changes = Vec::new();
    for observation in observations {
        for observation in [&Observation::Tick(observation.at()), observation] {
            tracker.handle(observation);
            while asked && tracker.poll_question().is_some() {}
            changes.extend(std::iter::from_fn(|| tracker.poll()));
        }
    }
    let end = end_of(observations);
    tracker.handle(&Observation::Tick(end));
    if asked {
        tracker.ask_once_more();
    }
    tracker.finish(end);
    changes.extend(std::iter::from_fn(|| tracker.poll()));
    changes
}

/// A connection that has closed first, in one moment with all the others like it, and of which only the table knows
/// what has become.
fn doubtful(number: u64, full: bool) -> [Observation; 2] {
    let end = |address, port| Endpoint { ip: Ipv4Addr::new(10, 0, 1, address).into(), port };
    let tuple = FourTuple { local: end(1, 40_000 + u16::try_from(number).unwrap()), remote: end(2, 80) };
    let goes = |at, from, to| {
        Observation::Transition(Transition {
            at: Ktime(at),
            socket: SocketId::Cookie(number),
            address: 0x1000 * number,
            netns: Some(1),
            tuple,
            v4_mapped: false,
            from,
            to,
            socket_says: Some(SocketSays { dead: true, full, ..SocketSays::default() }),
            task: None,
            kernel_thread: false,
        })
    };
    [
        goes(2_000_000_000, TcpState::FinWait1, TcpState::FinWait2),
        goes(2_000_000_000, TcpState::FinWait2, TcpState::Close),
    ]
}

fn end_of(observations: &[Observation]) -> Ktime {
    observations.iter().map(Observation::at).max().unwrap_or_default().after(1_000_000_000)
}

/// Ids are counted from 1, and each is given out once.
fn each_ends_once(told: &Told) {
    let mut ids = told.order.clone();
    ids.sort_unstable();
    let begun = ids.last().copied().unwrap_or(0);
    // One that turned out to be another one's row has no end of its own.
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "given out twice: {ids:?}");
    assert!(begun >= u64::try_from(ids.len()).expect("there are few"));
    let mut announced = told.announced.clone();
    announced.sort_unstable();
    assert!(announced.windows(2).all(|pair| pair[0] != pair[1]), "announced twice: {announced:?}");
    assert!(announced.iter().all(|id| told.ended.contains_key(id)), "announced and never ended");
}

/// The tuple is unique among the lives, and the id is not: it counts beginnings.
fn by_tuple(told: Told) -> Vec<(FourTuple, Lifecycle)> {
    let mut lives: Vec<_> = told.ended.into_values().map(|life| (life.tuple, Lifecycle { id: 0, ..life })).collect();
    lives.sort_by_key(|(tuple, life)| (*tuple, life.opened));
    lives
}

fn tiers() -> impl Strategy<Value = Tier> {
    prop_oneof![Just(Tier::Exact), Just(Tier::Timers), Just(Tier::Table), Just(Tier::Bare)]
}

fn seen_with(tier: Tier, observations: &[Observation]) -> Vec<Observation> {
    observations.iter().filter_map(|observation| tier.sees(observation.clone())).collect()
}

proptest! {
    /// With the timers' events nothing is left open or unknown: every life is whole, and its spans are all of it.
    #[test]
    fn whole_lives_are_told_whole(lives in lives()) {
        let told = run(Tier::Exact, &merged(&lives));
        each_ends_once(&told);
        prop_assert_eq!(told.ended.len(), lives.len());
        for life in told.ended.values() {
            prop_assert!(life.complete(), "{life:?}");
            prop_assert!(life.close.is_some() && life.closed_first.is_some(), "{life:?}");
            let sum: u64 = life.spans.iter().map(|span| span.lasted.unwrap()).sum();
            prop_assert_eq!(sum, life.ended.unwrap().since(life.opened.unwrap()), "{:?}", life);
        }
    }

    /// Whatever the means: spans that are all known are the whole life, and each begins where the one before ended.
    #[test]
    fn known_spans_fit(lives in lives(), tier in tiers()) {
        let told = run(tier, &seen_with(tier, &merged(&lives)));
        each_ends_once(&told);
        prop_assert_eq!(told.ended.len(), lives.len());
        for life in told.ended.values() {
            let sum: Option<u64> = life.spans.iter().map(|span| span.lasted).sum();
            if let (Some(sum), Some(opened), Some(ended)) = (sum, life.opened, life.ended) {
                prop_assert_eq!(sum, ended.since(opened), "{:?}", life);
            }
            for pair in life.spans.windows(2) {
                let next = pair[0].entered.zip(pair[0].lasted).map(|(entered, lasted)| entered.after(lasted));
                prop_assert!(next.is_none() || pair[1].entered == next, "{life:?}");
            }
        }
    }

    /// What the others do changes nothing for a connection that has nothing to do with them.
    #[test]
    fn strangers_change_nothing(lives in lives(), tier in tiers()) {
        let all = seen_with(tier, &merged(&lives));
        let together = by_tuple(run(tier, &all));
        // The run's end is the same for each.
        let end = Observation::Tick(end_of(&all).before(1_000_000_000));
        let alone = lives.iter().flat_map(|Life { observations }| {
            let mut alone = seen_with(tier, observations);
            alone.push(end.clone());
            by_tuple(run(tier, &alone))
        });
        let mut alone: Vec<_> = alone.collect();
        alone.sort_by_key(|(tuple, life)| (*tuple, life.opened));
        prop_assert_eq!(together, alone);
    }

    /// How often time is told changes nothing.
    #[test]
    fn ticks_change_nothing(lives in lives(), tier in tiers(), ticks in vec(any::<Index>(), 0..40)) {
        let observations = seen_with(tier, &merged(&lives));
        let mut ticked = observations.clone();
        for tick in ticks {
            let place = tick.index(ticked.len() + 1);
            // All before has happened by then, and nothing behind has.
            let at = ticked[..place].last().map(Observation::at).unwrap_or_default();
            ticked.insert(place, Observation::Tick(at));
        }
        let (quiet, ticked) = (run(tier, &observations), run(tier, &ticked));
        prop_assert_eq!(by_tuple(quiet), by_tuple(ticked));
    }

    /// An observation that is missing, and said to be missing before its connection is given out, leaves no
    /// lifecycle that calls itself complete; the others' are as they were or marked.
    #[test]
    fn a_loss_that_is_told_marks_its_own(
        lives in lives(), tier in tiers(), lost in any::<Index>(), delay in 0usize..6,
    ) {
        let mut observations = seen_with(tier, &merged(&lives));
        let gone = observations.remove(lost.index(observations.len()));
        let place = (lost.index(observations.len() + 1) + delay).min(observations.len());
        let told_at = observations[..place].last().map_or(gone.at(), Observation::at).max(gone.at());
        observations.insert(place, Observation::Lost(Lost { at: told_at, count: 1, place: LossPlace::Ring }));
        let told = run(tier, &observations);
        each_ends_once(&told);
        let (Observation::Transition(_) | Observation::Reset(_) | Observation::Hold(_) | Observation::Timer(_)) = gone
        else { return Ok(()) };
        for life in told.ended.values() {
            if about(&gone) == about_life(life) {
                prop_assert!(!life.complete(), "{gone:?} is missing: {life:?}");
            }
        }
    }

    /// Dropped, doubled, swapped, by any means: no panic, nothing twice, and nothing that lasts after its end.
    #[test]
    fn disorder_is_survived(
        lives in lives(),
        tier in tiers(),
        turns in vec((0u8..3, any::<Index>(), any::<Index>()), 0..60),
        strays in vec((any::<Index>(), stray()), 0..30),
    ) {
        let mut observations = seen_with(tier, &merged(&lives));
        for (turn, one, other) in turns {
            if observations.is_empty() {
                break;
            }
            let (one, other) = (one.index(observations.len()), other.index(observations.len()));
            match turn {
                0 => drop(observations.remove(one)),
                1 => observations.insert(other, observations[one].clone()),
                _ => observations.swap(one, other),
            }
        }
        for (place, stray) in strays {
            observations.insert(place.index(observations.len() + 1), stray);
        }
        each_ends_once(&run(tier, &observations));
    }

    /// Observations of a few sockets that follow no rule at all.
    #[test]
    fn nonsense_is_survived(
        lives in lives(), tier in tiers(), strays in vec(stray(), 0..120), picks in vec(any::<Index>(), 0..120),
    ) {
        let legal = merged(&lives);
        let mut observations = strays;
        observations.extend(picks.into_iter().map(|pick| pick.get(&legal).clone()));
        each_ends_once(&run(tier, &observations));
    }

    /// A recording holds what was observed and not what was asked: whether anybody takes the questions, and when, is
    /// all one to what is said.
    #[test]
    fn questions_change_nothing(
        lives in lives(), tier in tiers(), strays in vec(stray(), 0..60), crowd in 0u64..1_500, full in any::<bool>(),
    ) {
        let mut observations = merged(&lives);
        observations.extend(strays);
        // More at once than may be asked for, each in doubt.
        observations.extend((0..crowd).flat_map(|number| doubtful(1_000 + number, full)));
        observations.sort_by_key(Observation::at);
        let observations = seen_with(tier, &observations);
        prop_assert_eq!(changes(tier, &observations, true), changes(tier, &observations, false));
    }

    /// When all is over and time has passed, nothing is kept.
    #[test]
    fn nothing_is_kept(lives in lives(), tier in prop_oneof![Just(Tier::Exact), Just(Tier::Bare)]) {
        // Without the timers an orphan stays until the table says otherwise.
        let observations = merged(&lives);
        let mut tracker = Tracker::new(tier.means());
        tracker.handle(&Observation::Table(Table::Ready { at: Ktime(0) }));
        let fresh = tracker.kept();
        for round in 0..3 {
            let shift = round * 2 * LATER;
            for observation in &observations {
                if let Some(observation) = Tier::Exact.sees(observation.clone()) {
                    tracker.handle(&later(observation, shift));
                }
            }
            let end = end_of(&observations).after(shift);
            for tick in [end, end.after(LATER / 2), end.after(LATER)] {
                tracker.handle(&Observation::Tick(tick));
            }
            while tracker.poll().is_some() || tracker.poll_question().is_some() {}
            prop_assert_eq!(tracker.live().count(), 0);
            prop_assert_eq!(tracker.kept(), fresh, "{:?}", tracker);
        }
    }
}

/// The connection that an observation is about, by the port that no other has.
fn about(observation: &Observation) -> u64 {
    let socket = match observation {
        Observation::Transition(transition) => transition.socket,
        Observation::Reset(reset) => reset.socket,
        Observation::Hold(hold) => hold.socket,
        Observation::Timer(timer) => timer.socket,
        _ => return 0,
    };
    if let SocketId::Cookie(cookie) = socket { cookie } else { 0 }
}

fn about_life(life: &Lifecycle) -> u64 {
    let FourTuple { local, remote } = life.tuple;
    u64::from(local.port.max(remote.port)).saturating_sub(40_000)
}

/// The same, at another time, of another socket at the same address.
fn later(mut observation: Observation, by: u64) -> Observation {
    let cookie = |socket: &mut SocketId| {
        if let SocketId::Cookie(cookie) = socket {
            *cookie += by;
        }
    };
    match &mut observation {
        Observation::Transition(transition) => {
            transition.at = transition.at.after(by);
            cookie(&mut transition.socket);
        }
        Observation::Reset(reset) => {
            reset.at = reset.at.after(by);
            cookie(&mut reset.socket);
        }
        Observation::Hold(hold) => {
            hold.at = hold.at.after(by);
            cookie(&mut hold.socket);
        }
        Observation::Timer(timer) => {
            (timer.at, timer.due) = (timer.at.after(by), timer.due.after(by));
            cookie(&mut timer.socket);
        }
        _ => {}
    }
    observation
}

/// Anything the table, a clock or a full ring can say about the sockets of [`lives`], true or not.
fn stray() -> impl Strategy<Value = Observation> {
    let at = || (0u64..200_000_000_000).prop_map(Ktime);
    let socket = || {
        prop_oneof![
            (1u64..8).prop_map(SocketId::Cookie),
            (1u64..8).prop_map(|number| SocketId::Address(number * 0x1000)),
            (1u64..8).prop_map(SocketId::Remnant),
        ]
    };
    let state = (1u8..13).prop_map(|number| TcpState::from_number(number).unwrap());
    let row =
        (at(), socket(), 1u64..8, state, proptest::option::of(0u64..61_000_000_000), proptest::option::of(1u64..9));
    let row = row.prop_map(|(at, socket, number, state, time_wait_left, inode)| {
        let end = |address, port| Endpoint { ip: Ipv4Addr::new(10, 0, 0, address).into(), port };
        let port = 40_000 + u16::try_from(number).unwrap();
        let tuple = FourTuple { local: end(1, port), remote: end(2, 80) };
        let (last_ack, traffic) = (None, None);
        let row =
            Row { at, socket, netns: 1, tuple, v4_mapped: false, state, time_wait_left, inode, last_ack, traffic };
        Observation::Table(Table::Row(row))
    });
    prop_oneof![
        4 => row,
        1 => at().prop_map(Observation::Tick),
        1 => at().prop_map(|at| Observation::Table(Table::Begin { at, netns: 1 })),
        1 => (at(), any::<bool>()).prop_map(|(at, whole)| Observation::Table(Table::End { at, netns: 1, whole })),
        1 => (at(), socket()).prop_map(|(at, socket)| Observation::Table(Table::Absent { at, socket })),
        1 => at().prop_map(|at| Observation::Table(Table::Ready { at })),
        1 => (at(), 1u64..5).prop_map(|(at, count)| Observation::Lost(Lost { at, count, place: LossPlace::Ring })),
    ]
}
