//! What is written is what is read.

use crate::any::observation;
use proptest::{collection::vec, prelude::*, sample::Index};
use std::collections::BTreeMap;
use twtrace::{
    model::{
        Ktime, Observation,
        attached::{Attached, Clock, Precision, Probe},
        tracker::Means,
        wheel::Wheel,
    },
    trace::{Header, Reader, Writer},
};

pub(crate) fn header() -> Header {
    Header {
        version: "0.1.0".to_owned(),
        piece: 1,
        host: "web-1".to_owned(),
        boot: Some("0a1b2c3d-0000-4000-8000-000000000001".to_owned()),
        own_netns: 4_026_531_840,
        command: ["twtrace", "record", "-w", "incident.arrows"].map(str::to_owned).into(),
        filters: ["-D", "443"].map(str::to_owned).into(),
        sysctls: BTreeMap::from([("net.ipv4.tcp_tw_reuse".to_owned(), "2".to_owned())]),
        attached: Attached {
            at: Ktime(1_000),
            kernel: "6.18.0".to_owned(),
            probes: vec![
                Probe { name: "tp_btf/inet_sock_set_state".into(), off: None },
                Probe { name: "tp/timer_expire_entry".into(), off: Some("EPERM".to_owned()) },
            ],
            precision: Precision::SockDiag,
            clock: Clock { realtime: 1_760_000_000_123_456_789, boottime: 77 },
        },
        means: Means {
            table: true,
            reuse_delay: Some(1_000_000_000),
            wheel: Some(Wheel { jiffy: 4_000_000, at: Ktime(5), jiffies: 6 }),
            ..Means::default()
        },
    }
}

/// Written with a flush behind each of these.
pub(crate) fn recording(observations: &[Observation], flushes: &[usize]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for (index, observation) in observations.iter().enumerate() {
        writer.push(observation.clone()).unwrap();
        if flushes.contains(&index) {
            writer.flush().unwrap();
        }
    }
    writer.finish().unwrap()
}

pub(crate) fn read(bytes: &[u8]) -> Vec<Observation> {
    let mut reader = Reader::open(bytes).unwrap();
    assert_eq!(*reader.header(), header());
    let observations = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(reader.damage(), None);
    observations
}

proptest! {
    #[test]
    fn anything_is_read_back_in_its_order(
        observations in vec(observation(), 0..80),
        flushes in vec(any::<Index>(), 0..4),
    ) {
        let flushes: Vec<_> = flushes.iter().map(|index| index.index(80)).collect();
        prop_assert_eq!(read(&recording(&observations, &flushes)), observations);
    }
}

/// More rows than a batch may have.
#[test]
fn batches_are_read_as_one() {
    let observations: Vec<_> = (0..70_000).map(|at| Observation::Tick(Ktime(at / 7))).collect();
    let bytes = recording(&observations, &[3, 4]);
    assert_eq!(read(&bytes), observations);
    let mut reader = Reader::open(&bytes[..]).unwrap();
    let lengths: Vec<_> = std::iter::from_fn(|| reader.batch()).map(|batch| batch.unwrap().count()).collect();
    assert_eq!(lengths, [4, 1, 16384, 16384, 16384, 16384, 4459]);
}

#[test]
fn what_is_flushed_can_be_read_while_the_rest_is_to_come() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.push(Observation::Tick(Ktime(1))).unwrap();
    writer.flush().unwrap();
    let length = usize::try_from(writer.bytes()).unwrap();
    writer.push(Observation::Tick(Ktime(2))).unwrap();
    let bytes = writer.finish().unwrap();
    let read: Vec<_> = Reader::open(&bytes[..length]).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, [Observation::Tick(Ktime(1))]);
}
