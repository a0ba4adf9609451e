//! The frame of a message: what Arrow says of its length, and our seal.
//!
//! A message of an Arrow stream is `FFFFFFFF`, the length of its metadata, the metadata, padding, and a body. The
//! seal is the end of that padding: readers of Arrow skip it. It holds the checksums, so a message can be judged
//! before a byte of it is believed. A copy of the recording's header may stand before it, for the case that the
//! stream's beginning is damaged.

/// What each message begins with.
pub(super) const CONTINUATION: [u8; 4] = [0xff; 4];
/// The end of the stream.
pub(super) const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// `FFFFFFFF` and the length.
pub(super) const PREFIX: usize = 8;
/// Metadata and bodies start at multiples of so many bytes.
pub(super) const ALIGNMENT: usize = 8;
/// The first message holds what is known of the host.
pub(super) const LONGEST_HEADER: usize = 16 << 20;
/// That of a batch names its buffers, 16 bytes for each.
pub(super) const LONGEST_METADATA: usize = 64 << 10;
/// No batch is longer.
pub(super) const LONGEST_BODY: usize = 128 << 20;

const MAGIC: [u8; 8] = *b"twtrace\x01";

/// What a message is to the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Which one of those that make up a batch: dictionaries first, the rows last.
    pub(super) number: u16,
    /// The rows are in this one.
    pub(super) last: bool,
    /// Rows that tell of something (all but ticks) in the batches before.
    pub(super) before: u64,
    /// And in this batch.
    pub(super) rows: u32,
    /// A copy of the header stands before the seal.
    pub(super) copy: bool,
}

/// Bits of the seal's flags.
const LAST: u16 = 1;
const COPY: u16 = 2;
/// Behind the copy of the header: its length.
const COPY_LENGTH: usize = 8;

/// The seal, as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) part: Part,
    pub(super) body: usize,
    body_checksum: u32,
}

impl Seal {
    pub(super) const LENGTH: usize = 40;

    /// The front of a message: prefix, metadata, padding, the copy where there is one, and the seal. The body follows it.
    pub(super) fn front(metadata: &[u8], body: &[u8], part: Part, copy: &[u8]) -> Vec<u8> {
        let metadata_length = metadata.len().next_multiple_of(ALIGNMENT);
        let copy_length = if part.copy { copy.len().next_multiple_of(ALIGNMENT) + COPY_LENGTH } else { 0 };
        let padded = metadata_length + copy_length;
        let mut front = Vec::with_capacity(PREFIX + padded + Self::LENGTH);
        front.extend(CONTINUATION);
        front.extend(((padded + Self::LENGTH) as u32).to_le_bytes());
        front.extend(metadata);
        front.resize(PREFIX + metadata_length, 0);
        if part.copy {
            front.extend(copy);
            front.resize(PREFIX + padded - COPY_LENGTH, 0);
            front.extend((copy.len() as u64).to_le_bytes());
        }
        front.extend(MAGIC);
        front.extend(part.before.to_le_bytes());
        front.extend((body.len() as u64).to_le_bytes());
        front.extend(part.rows.to_le_bytes());
        front.extend(part.number.to_le_bytes());
        front.extend(((u16::from(part.last) * LAST) | (u16::from(part.copy) * COPY)).to_le_bytes());
        front.extend(crc32fast::hash(body).to_le_bytes());
        front.extend(crc32fast::hash(&front).to_le_bytes());
        front
    }

    /// The length of the metadata, padding and seal that are announced; `None` where no message begins so.
    pub(super) fn announced(prefix: [u8; PREFIX], longest: usize) -> Option<usize> {
        let [a, b, c, d, length @ ..] = prefix;
        let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
        let fits = (Self::LENGTH..=longest).contains(&length) && length.is_multiple_of(ALIGNMENT);
        ([a, b, c, d] == CONTINUATION && fits).then_some(length)
    }

    /// The seal of a whole front; `None` where there is none, or it is broken.
    pub(super) fn of_front(front: &[u8]) -> Option<Self> {
        let (sealed, checksum) = front.split_last_chunk()?;
        let (_, seal) = front.split_last_chunk::<{ Self::LENGTH }>()?;
        let mut rest: &[u8] = seal.strip_prefix(&MAGIC)?;
        // Cheap questions first: damaged bytes may have to be searched for the next message.
        if crc32fast::hash(sealed) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let before = u64::from_le_bytes(take(&mut rest)?);
        let body = usize::try_from(u64::from_le_bytes(take(&mut rest)?)).ok()?;
        let rows = u32::from_le_bytes(take(&mut rest)?);
        let number = u16::from_le_bytes(take(&mut rest)?);
        let flags = u16::from_le_bytes(take(&mut rest)?);
        let (last, copy) = (flags & LAST != 0, flags & COPY != 0);
        let body_checksum = u32::from_le_bytes(take(&mut rest)?);
        let part = Part { number, last, before, rows, copy };
        (body <= LONGEST_BODY).then_some(Self { part, body, body_checksum })
    }

    /// The copy of the header, of a message's metadata with all that follows it up to the body.
    pub(super) fn copy(metadata: &[u8]) -> Option<&[u8]> {
        let (rest, _) = metadata.split_last_chunk::<{ Self::LENGTH }>()?;
        let (rest, length) = rest.split_last_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let start = rest.len().checked_sub(length.checked_next_multiple_of(ALIGNMENT)?)?;
        rest.get(start..start + length)
    }

    /// The body is the one that was sealed.
    pub(super) fn holds(&self, body: &[u8]) -> bool {
        crc32fast::hash(body) == self.body_checksum
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
