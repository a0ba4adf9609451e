//! Recordings that were cut, damaged or never were ones: what is whole is given, and the rest is named.

use crate::{
    any::observation,
    round_trip::{header, read, recording},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::ops::Range;
use twtrace::{
    model::{
        Comm, Ktime, LossPlace, Observation, Process, SocketId,
        observation::{Hold, Lost},
    },
    trace::{Damage, DamageKind, Error, FORMAT, Header, Reader},
};

const CONTINUATION: [u8; 4] = [0xff; 4];
/// The end of every message's metadata; docs/trace-format.md has its layout.
const SEAL: usize = 40;

/// Each byte and each bit is the matter of the messages' own tests: here every so many bytes have to do, odd so that
/// every alignment is met.
const STEP: usize = 101;

/// A small recording: three batches of five rows, one of them a tick.
fn small() -> (Vec<Observation>, Vec<u8>) {
    let process = Process { pid: 7, uid: 0, started: Some(1), comm: Comm::new(b"nginx") };
    let observations: Vec<_> = (0..15)
        .map(|at| match at % 5 {
            4 => Observation::Tick(Ktime(at)),
            _ => Observation::Hold(Hold {
                at: Ktime(at),
                socket: SocketId::Cookie(at / 2),
                accepted: at % 2 == 0,
                process: Some(process),
            }),
        })
        .collect();
    let bytes = recording(&observations, &[4, 9, 14]);
    (observations, bytes)
}

struct Read {
    observations: Vec<Observation>,
    damage: Option<Damage>,
}

/// All that can be read; `None` where it cannot even be begun.
fn all(bytes: &[u8]) -> Result<Read, Error> {
    let mut reader = Reader::open(bytes)?;
    assert_eq!(*reader.header(), header());
    let observations = reader.by_ref().collect::<Result<_, _>>().unwrap();
    Ok(Read { observations, damage: reader.damage().cloned() })
}

/// Where each message is, by Arrow's own framing; the end mark last.
fn messages(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut messages = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        assert_eq!(bytes[start..start + 4], CONTINUATION);
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let mut end = start + 8 + number(start + 4);
        if end > start + 8 {
            end += number(end - SEAL + 16);
        }
        messages.push(start..end);
        start = end;
    }
    messages
}

/// The messages of each batch; the first are those that the recording begins with.
fn batches(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut open = false;
    for message in messages(bytes) {
        match batches.last_mut() {
            Some(batch) if open => batch.end = message.end,
            _ => batches.push(message.clone()),
        }
        let length = u32::from_le_bytes(bytes[message.start + 4..message.start + 8].try_into().unwrap()) as usize;
        open = length > 0 && bytes[message.start + 8 + length - SEAL + 30] == 0;
    }
    // The schema, and the names.
    batches[0].end = batches[1].end;
    batches.remove(1);
    batches
}

#[test]
fn a_file_cut_anywhere_gives_every_whole_batch() {
    let (observations, bytes) = small();
    let batches = batches(&bytes);
    assert_eq!(batches.len(), 5, "the beginning, three batches and the end mark");
    let lengths = (0..bytes.len()).step_by(STEP).chain(batches.iter().flat_map(|batch| [batch.end - 1, batch.end]));
    for length in lengths.filter(|length| *length < bytes.len()) {
        let whole = batches.iter().filter(|batch| batch.end <= length).count();
        match all(&bytes[..length]) {
            Err(error) => {
                assert!(length < messages(&bytes)[0].end, "cut at {length}: {error}");
                let nothing = matches!(error, Error::Nothing { bytes } if bytes == length as u64);
                assert!(nothing || length < 100 && matches!(error, Error::NoRecording), "cut at {length}: {error}");
            }
            Ok(read) => {
                let given = whole.saturating_sub(1) * 5;
                assert_eq!(read.observations[..given], observations[..given], "cut at {length}");
                // What the last seal says of the batch that is cut, and nothing more.
                let rest: Vec<_> = read.observations[given..].iter().map(lost).collect();
                assert!(rest.is_empty() || rest == [4], "cut at {length}: {rest:?}");
                let damage = read.damage.unwrap();
                assert!(damage.is_cut_only(), "cut at {length}: {damage:?}");
                let starts = messages(&bytes).iter().any(|message| message.start as u64 == damage.places[0].offset);
                assert!(starts, "cut at {length}: {damage}");
            }
        }
    }
}

fn lost(observation: &Observation) -> u64 {
    match observation {
        Observation::Lost(Lost { count, place: LossPlace::Recording, .. }) => *count,
        other => panic!("neither given nor lost: {other:?}"),
    }
}

/// Wherever it is: it is found, named by its batch, and what is given is what was written.
#[test]
fn a_single_flipped_bit_is_found() {
    let (observations, bytes) = small();
    let batches = batches(&bytes);
    // The format's number, too: one bit makes another of it.
    let format = bytes.windows(10).position(|window| window == b"{\"format\":").unwrap() + 10;
    for byte in (0..bytes.len()).step_by(STEP).chain([format]) {
        let bit = (byte / STEP) % 8;
        let mut damaged = bytes.clone();
        damaged[byte] ^= 1 << bit;
        let at = batches.iter().position(|batch| batch.contains(&byte)).unwrap();
        let read = all(&damaged).unwrap_or_else(|error| panic!("byte {byte} bit {bit}: {error}"));
        found(&observations, &batches, at, &read, (byte, bit));
    }
}

fn found(observations: &[Observation], batches: &[Range<usize>], at: usize, read: &Read, place: (usize, usize)) {
    let damage = read.damage.as_ref().unwrap_or_else(|| panic!("{place:?} was not found"));
    assert_eq!(damage.number, 1, "{place:?}: {damage}");
    assert!(batches[at].contains(&(damage.places[0].offset as usize)), "{place:?}: {damage}");
    assert_eq!(damage.places[0].kind == DamageKind::Beginning, at == 0, "{place:?}: {damage}");
    let (before, after) = match at {
        0 => (0, 0),
        4 => (15, 15),
        _ => ((at - 1) * 5, at * 5),
    };
    assert_eq!(read.observations[..before], observations[..before], "{place:?}");
    let mut rest = &read.observations[before..];
    // Behind the last batch, nothing says how many there were.
    if (1..3).contains(&at) || at == 3 && !rest.is_empty() {
        assert_eq!(lost(&rest[0]), 4, "{place:?}");
        rest = &rest[1..];
    }
    assert_eq!(*rest, observations[after..], "{place:?}");
}

/// What can be read of a recording of which only the batches of these numbers are whole, from 1.
fn is_what_is_whole(read: &Read, whole: &[usize], observations: &[Observation]) {
    let given = read.observations.iter().filter(|observation| !matches!(observation, Observation::Lost(_)));
    let wanted = whole.iter().flat_map(|batch| &observations[(batch - 1) * 5..batch * 5]);
    assert!(given.eq(wanted), "{whole:?}: {:?}", read.observations);
    let missing = read.observations.iter().filter(|observation| matches!(observation, Observation::Lost(_))).map(lost);
    // Of batches in front of a whole one it is known.
    let known = whole.last().map_or(0, |last| (last - whole.len()) as u64 * 4);
    assert!(missing.sum::<u64>() >= known, "{whole:?}: {:?}", read.observations);
}

/// A page of a disk, or two: whatever is not in it is given, and what the recording begins with is known.
#[test]
fn some_kilobytes_may_be_overwritten_anywhere() {
    let (observations, bytes) = small();
    let batches = batches(&bytes);
    for length in [512, 4096] {
        for start in (0..bytes.len()).step_by(3 * STEP) {
            let end = bytes.len().min(start + length);
            let mut damaged = bytes.clone();
            damaged[start..end].fill(0xa5);
            let whole: Vec<usize> =
                (1..4).filter(|batch| batches[*batch].end <= start || batches[*batch].start >= end).collect();
            let read = all(&damaged).unwrap_or_else(|error| panic!("{start}..{end}: {error}"));
            is_what_is_whole(&read, &whole, &observations);
            let damage = read.damage.unwrap();
            assert_eq!(damage.to_string().lines().count(), 1, "{start}..{end}");
            let of_beginning = damage.places.iter().any(|place| place.kind == DamageKind::Beginning);
            assert_eq!(of_beginning, start < batches[0].end, "{start}..{end}: {damage}");
        }
    }
}

/// `tail -c`, or a disk whose first blocks are gone.
#[test]
fn a_recording_without_its_beginning_is_read_from_the_next_whole_batch() {
    let (observations, bytes) = small();
    let batches = batches(&bytes);
    for (from, whole) in [(1, &[1, 2, 3][..]), (batches[0].end, &[1, 2, 3]), (batches[1].start + 1, &[2, 3])] {
        let read = all(&bytes[from..]).unwrap();
        is_what_is_whole(&read, whole, &observations);
        assert!(
            read.damage.unwrap().to_string().starts_with("its beginning is damaged at byte 0: what it says was read")
        );
    }
    // The third batch has no copy: the first two have.
    let error = all(&bytes[batches[3].start..]).err().unwrap();
    assert!(matches!(error, Error::NoCopy), "{error}");
}

#[test]
fn bytes_that_are_gone_or_too_many_cost_one_batch() {
    let (observations, bytes) = small();
    let batches = batches(&bytes);
    let middle = batches[2].start + 1000;
    let mut shorter = bytes.clone();
    shorter.drain(middle..middle + 3);
    let mut longer = bytes.clone();
    longer.splice(middle..middle, [0xff; 21]);
    for damaged in [shorter, longer] {
        let read = all(&damaged).unwrap();
        assert_eq!(read.damage.unwrap().places.len(), 1);
        assert_eq!(read.observations[..5], observations[..5]);
        assert_eq!(lost(&read.observations[5]), 4);
        assert_eq!(read.observations[6..], observations[10..]);
    }
}

#[test]
fn a_batch_that_is_gone_is_missed() {
    let (observations, bytes) = small();
    let batches = batches(&bytes);
    let read = all(&[&bytes[..batches[2].start], &bytes[batches[2].end..]].concat()).unwrap();
    let damage = read.damage.unwrap();
    assert_eq!((damage.number, damage.places[0].kind, damage.rows), (1, DamageKind::Missing, 4));
    assert_eq!(read.observations[..5], observations[..5]);
    assert_eq!(lost(&read.observations[5]), 4);
    assert_eq!(read.observations[6..], observations[10..]);
}

#[test]
fn what_follows_the_end_is_named() {
    let (observations, mut bytes) = small();
    let end = bytes.len() as u64;
    bytes.extend(b"more");
    let read = all(&bytes).unwrap();
    assert_eq!(read.observations, observations);
    let place = read.damage.unwrap().places[0];
    assert_eq!((place.offset, place.kind), (end, DamageKind::Trailing));
}

#[test]
fn damage_is_one_line() {
    let (_, mut bytes) = small();
    let batches = batches(&bytes);
    bytes[batches[1].end - 9] ^= 1;
    bytes[batches[2].end - 9] ^= 1;
    bytes.truncate(batches[4].start);
    let offsets: Vec<_> = messages(&bytes).into_iter().map(|message| message.start).collect();
    let last = |batch: usize| offsets.iter().rfind(|&&offset| offset < batches[batch].end).unwrap();
    assert_eq!(
        all(&bytes).unwrap().damage.unwrap().to_string(),
        format!(
            "wrong checksum in the batch at byte {}: left out; wrong checksum in the batch at byte {}: left out; \
             cut off at byte {}: everything before it is given (8 rows are missing, those of the start too: the \
             counters and the sockets of then)",
            last(1),
            last(2),
            bytes.len()
        )
    );
}

/// The schema's message with other text in it, sealed again.
fn with_header(change: impl Fn(String) -> String) -> Vec<u8> {
    let (_, bytes) = small();
    let first = &bytes[messages(&bytes)[0].clone()];
    let json = changed_in_place(first, change);
    [&json[..], &bytes[first.len()..]].concat()
}

/// The text keeps its length, so that nothing else moves.
fn changed_in_place(message: &[u8], change: impl Fn(String) -> String) -> Vec<u8> {
    let start = message.windows(10).position(|window| window == b"{\"format\":").unwrap();
    let length = u32::from_le_bytes(message[start - 4..start].try_into().unwrap()) as usize;
    let text = String::from_utf8(message[start..start + length].to_vec()).unwrap();
    let changed = change(text);
    assert_eq!(changed.len(), length);
    let mut message = message.to_vec();
    message[start..start + length].copy_from_slice(changed.as_bytes());
    sealed(message, 0)
}

/// With checksums that are right again, whatever the bytes; the body is this long.
fn sealed(mut message: Vec<u8>, body: usize) -> Vec<u8> {
    let front = message.len() - body;
    let checksum = crc32fast::hash(&message[front..]).to_le_bytes();
    message[front - 8..front - 4].copy_from_slice(&checksum);
    let checksum = crc32fast::hash(&message[..front - 4]).to_le_bytes();
    message[front - 4..front].copy_from_slice(&checksum);
    message
}

#[test]
fn a_newer_format_is_not_guessed_at() {
    let newer =
        with_header(|json| json.replace("\"format\":1,\"version\":\"0.1.0\"", "\"format\":7,\"version\":\"9.9.9\""));
    let error = all(&newer).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("it was written by twtrace 9.9.9 with format 7; this one reads up to {FORMAT}: use a newer twtrace")
    );
    // Not even its checksums need be ours.
    let mut other_seal = newer[..messages(&newer)[0].end].to_vec();
    let seal = other_seal.len() - SEAL;
    other_seal[seal..].fill(0x55);
    assert!(matches!(all(&other_seal), Err(Error::Newer { format: 7, .. })));
}

#[test]
fn a_header_without_what_is_needed_is_named() {
    let error = all(&with_header(|json| json.replace("\"attached\"", "\"detached\""))).err().unwrap();
    assert!(error.to_string().contains("missing field `attached`"), "{error}");
}

#[test]
fn other_files_are_no_recordings() {
    for bytes in [&b"#!/bin/sh\necho hello, world\n"[..], &[0xff; 4096], &[0; 4096]] {
        let error = Reader::open(bytes).err().unwrap();
        assert!(matches!(error, Error::NoRecording), "{error}");
    }
    assert_eq!(Reader::open(&b""[..]).err().unwrap().to_string(), "it is empty: nothing was recorded");
    // Whatever their size: nobody waits for the end of a disk.
    let error = Reader::open(std::io::repeat(0xff)).err().unwrap();
    assert!(matches!(error, Error::NoRecording), "{error}");
}

/// Every batch is read by itself, and nothing of any length is believed.
fn survives(bytes: &[u8]) {
    if let Ok(reader) = Reader::open(bytes) {
        reader.filter_map(Result::ok).for_each(drop);
    }
}

proptest! {
    #[test]
    fn random_bytes_are_survived(bytes in vec(any::<u8>(), 0..2000), at in any::<Index>()) {
        survives(&bytes);
        // In the middle of a recording, too.
        let (_, mut recording) = small();
        let at = at.index(recording.len());
        let end = recording.len().min(at + bytes.len());
        recording[at..end].copy_from_slice(&bytes[..end - at]);
        survives(&recording);
        // So few of them leave a copy of the beginning whole.
        prop_assert!(Reader::open(&recording[..]).is_ok());
    }

    /// As an enemy would write it: the checksums are right, and what they stand for is not.
    #[test]
    fn a_sealed_lie_is_survived(
        observations in vec(observation(), 1..20),
        lies in vec((any::<Index>(), any::<u8>()), 1..6),
        which in any::<Index>(),
    ) {
        let bytes = recording(&observations, &[]);
        let messages = messages(&bytes);
        let which = which.index(messages.len() - 1);
        let message = bytes[messages[which].clone()].to_vec();
        let length = u32::from_le_bytes(message[4..8].try_into().unwrap()) as usize;
        let body = message.len() - 8 - length;
        let mut lie = message;
        for (at, byte) in lies {
            // Not the length and not the seal: those lies are found.
            let places = (8..8 + length - SEAL).chain(8 + length..8 + length + body);
            let at = places.clone().nth(at.index(places.count())).unwrap();
            lie[at] = byte;
        }
        let lie = sealed(lie, body);
        let bytes = [&bytes[..messages[which].start], &lie, &bytes[messages[which].end..]].concat();
        survives(&bytes);
    }
}

#[test]
fn a_header_of_any_length_is_read() {
    let long = Header { command: vec!["x".repeat(200_000)], ..header() };
    let writer = twtrace::trace::Writer::new(Vec::new(), &long).unwrap();
    let bytes = writer.finish().unwrap();
    assert_eq!(*Reader::open(&bytes[..]).unwrap().header(), long);
    assert_eq!(read(&recording(&[], &[])), []);
}
