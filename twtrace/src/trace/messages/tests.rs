//! Small streams, cut at every byte and with every single bit flipped.

use super::{
    super::frame::{END, LONGEST_METADATA, Part, Seal},
    Damage, DamageKind, Messages,
};
use std::ops::Range;

/// Of each batch a dictionary and the rows; none has the bytes of another.
const BATCHES: u8 = 3;

/// The stream, and where each of its messages is.
fn stream() -> (Vec<u8>, Vec<Range<usize>>) {
    let (mut bytes, mut messages) = (Vec::new(), Vec::new());
    for batch in 0..BATCHES {
        for last in [false, true] {
            let body = [0x10 + batch, u8::from(last), 0xff, 0xff, 0xff, 0xff, 0, 0];
            let part = Part { number: last.into(), last, before: u64::from(batch) * 10, rows: 10, copy: false };
            let start = bytes.len();
            bytes.extend(Seal::front(&[batch; 12], &body, part, &[]));
            bytes.extend(body);
            messages.push(start..bytes.len());
        }
    }
    messages.push(bytes.len()..bytes.len() + END.len());
    bytes.extend(END);
    (bytes, messages)
}

/// The numbers of the batches that are given, the damage, and the rows that are known of.
fn read(bytes: &[u8]) -> (Vec<u64>, Damage, u64) {
    let mut messages = Messages::new(bytes);
    let mut given = Vec::new();
    while let Some(parts) = messages.batch().expect("a slice is read") {
        let [dictionary, rows] = &parts[..] else { panic!("{} parts", parts.len()) };
        let batch = rows.body[0] - 0x10;
        assert_eq!((dictionary.body[0], dictionary.body[1], rows.body[1]), (0x10 + batch, 0, 1));
        assert_eq!(rows.part.before, u64::from(batch) * 10);
        given.push(batch.into());
    }
    (given, messages.damage, messages.rows)
}

#[test]
fn a_whole_stream_is_given() {
    assert_eq!(read(&stream().0), (vec![0, 1, 2], Damage::default(), 30));
}

#[test]
fn a_stream_cut_anywhere_gives_every_whole_batch() {
    let (bytes, messages) = stream();
    for length in 0..bytes.len() {
        let (given, damage, _) = read(&bytes[..length]);
        let whole = messages.iter().filter(|message| message.end <= length).count();
        assert_eq!(given.len(), whole / 2, "cut at {length}");
        assert_eq!((damage.number, damage.is_cut_only()), (1, true), "cut at {length}: {damage}");
        assert_eq!(damage.places[0].offset, messages[whole].start as u64, "cut at {length}");
    }
}

#[test]
fn every_flipped_bit_costs_its_batch_and_no_other() {
    let (bytes, messages) = stream();
    for place in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[place / 8] ^= 1 << (place % 8);
        let message = messages.iter().position(|message| message.contains(&(place / 8))).expect("it is in one");
        let (given, damage, rows) = read(&damaged);
        let wanted: Vec<u64> = (0..u64::from(BATCHES)).filter(|batch| *batch != message as u64 / 2).collect();
        assert_eq!(given, wanted, "bit {place}: {damage}");
        assert_eq!(damage.number, 1, "bit {place}: {damage}");
        assert_eq!(damage.places[0].offset, messages[message].start as u64, "bit {place}");
        // Of the last batch, one part or the other still says how many rows it had.
        assert_eq!(rows, 30, "bit {place}");
    }
}

#[test]
fn a_part_that_is_gone_takes_its_batch_along() {
    let (bytes, messages) = stream();
    for (gone, wanted) in [(2, vec![0, 2]), (3, vec![0, 2]), (4, vec![0, 1]), (0, vec![1, 2])] {
        let mut damaged = bytes.clone();
        damaged.drain(messages[gone].clone());
        assert_eq!(read(&damaged).0, wanted, "without message {gone}");
    }
}

#[test]
fn what_follows_the_end_is_named() {
    let (mut bytes, messages) = stream();
    bytes.push(0);
    let (given, damage, _) = read(&bytes);
    assert_eq!(given, [0, 1, 2]);
    assert_eq!(damage.places[0].kind, DamageKind::Trailing);
    assert_eq!(damage.places[0].offset, messages[6].end as u64);
}

/// Neither a length nor a body that is announced takes memory before it is there.
#[test]
fn lengths_are_not_believed() {
    let part = Part { number: 0, last: true, before: 0, rows: 1, copy: false };
    let mut front = Seal::front(&[0; 8], &[], part, &[]);
    let body = front.len() - 24;
    front[body - 8..body].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    assert_eq!(Seal::of_front(&front), None);
    for length in [LONGEST_METADATA as u32 + 8, u32::MAX - 7, 44, 39] {
        let mut prefix = [0xff; 8];
        prefix[4..].copy_from_slice(&length.to_le_bytes());
        assert_eq!(Seal::announced(prefix, LONGEST_METADATA), None, "{length}");
    }
}
