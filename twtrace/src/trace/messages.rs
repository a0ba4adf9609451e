//! A stream's messages, batch by batch, with what is damaged left out.
//!
//! Memory is taken for bytes that have come, never for a length that is only announced. Behind a message that is not
//! whole the next one is searched for; what a checksum does not vouch for is never given out.

use super::{
    error::{Damage, DamageKind},
    frame::{CONTINUATION, END, LONGEST_BODY, LONGEST_HEADER, LONGEST_METADATA, PREFIX, Part, Seal},
};
use arrow_buffer::Buffer;
use std::io::{self, Read};

/// A whole message.
pub(super) struct Message {
    /// Where it begins in the stream.
    pub(super) offset: u64,
    /// Arrow's metadata, with padding behind.
    pub(super) metadata: Vec<u8>,
    pub(super) body: Buffer,
    pub(super) part: Part,
}

impl Message {
    /// The copy of the recording's header that it brings along.
    pub(super) fn copy(&self) -> Option<&[u8]> {
        self.part.copy.then(|| Seal::copy(&self.metadata)).flatten()
    }
}

/// What is at the front of the bytes.
enum Front {
    Message {
        front: usize,
        seal: Seal,
    },
    End,
    /// One of which the stream has not all: its length is sealed.
    Cut,
    /// The stream ends before it could be one.
    Short,
    Broken,
}

/// Splits a stream into batches.
pub(super) struct Messages<R> {
    input: R,
    /// Bytes that were read and not yet used begin at `used`.
    buffer: Vec<u8>,
    used: usize,
    /// Of the first byte that is not used.
    offset: u64,
    over: bool,
    /// A message was found.
    found: bool,
    pub(super) damage: Damage,
    /// Rows that there are, as far as the seals tell, those of messages with a damaged body included.
    pub(super) rows: u64,
}

impl<R: Read> Messages<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            used: 0,
            offset: 0,
            over: false,
            found: false,
            damage: Damage::default(),
            rows: 0,
        }
    }

    /// The first message, if it is whole and has no body, as the schema; else its bytes as far as there are any.
    pub(super) fn first(&mut self, longest: usize) -> io::Result<Result<Message, Vec<u8>>> {
        Ok(match self.front(longest)? {
            Front::Message { front, seal } if seal.body == 0 => Ok(self.take(front, &seal)),
            _ => Err(self.bytes()[..self.bytes().len().min(longest)].to_vec()),
        })
    }

    /// The messages of the next whole batch: its dictionaries, and its rows last.
    pub(super) fn batch(&mut self) -> io::Result<Option<Vec<Message>>> {
        let mut parts: Vec<Message> = Vec::new();
        let mut length = 0;
        while let Some(message) = self.message()? {
            if message.part.number == 0 {
                parts.clear();
                length = 0;
            }
            let follows = parts.last().is_none_or(|last| last.part.before == message.part.before);
            // Behind a part that is missing, the rest of its batch means nothing.
            if usize::from(message.part.number) != parts.len() || !follows {
                parts.clear();
                continue;
            }
            length += message.body.len();
            if length > LONGEST_BODY {
                self.damage.add(message.offset, DamageKind::Senseless);
                parts.clear();
                continue;
            }
            let last = message.part.last;
            parts.push(message);
            if last {
                return Ok(Some(parts));
            }
        }
        Ok(None)
    }

    fn message(&mut self) -> io::Result<Option<Message>> {
        // Where something is damaged that was not named yet, and how it looked.
        let mut broken = None;
        while !self.over {
            let front = self.front(LONGEST_METADATA)?;
            if !matches!(front, Front::Short | Front::Broken) {
                // Something whole follows, so it was no cut.
                if let Some((offset, _)) = broken.take() {
                    self.damage.add(offset, DamageKind::Checksum);
                }
            }
            match front {
                Front::Message { front, seal } => return Ok(Some(self.take(front, &seal))),
                Front::End => self.end()?,
                Front::Cut => {
                    self.damage.add(self.offset, DamageKind::Cut);
                    self.over = true;
                }
                Front::Short | Front::Broken => {
                    let kind = if matches!(front, Front::Short) { DamageKind::Cut } else { DamageKind::Checksum };
                    let (offset, kind) = *broken.get_or_insert((self.offset, kind));
                    if !self.search()? {
                        self.damage.add(offset, kind);
                        self.over = true;
                    }
                }
            }
        }
        Ok(None)
    }

    fn end(&mut self) -> io::Result<()> {
        self.over = true;
        if self.fill(END.len() + 1)? {
            self.damage.add(self.offset + END.len() as u64, DamageKind::Trailing);
        }
        Ok(())
    }

    fn front(&mut self, longest: usize) -> io::Result<Front> {
        if !self.fill(PREFIX)? {
            return Ok(Front::Short);
        }
        let Some(prefix) = self.bytes().first_chunk().copied() else { return Ok(Front::Short) };
        if prefix == END {
            return Ok(Front::End);
        }
        let Some(length) = Seal::announced(prefix, longest) else { return Ok(Front::Broken) };
        let front = PREFIX + length;
        if !self.fill(front)? {
            return Ok(Front::Short);
        }
        let Some(seal) = Seal::of_front(&self.bytes()[..front]) else { return Ok(Front::Broken) };
        self.rows = self.rows.max(seal.part.before.saturating_add(seal.part.rows.into()));
        if !self.fill(front + seal.body)? {
            return Ok(Front::Cut);
        }
        let whole = seal.holds(&self.bytes()[front..front + seal.body]);
        Ok(if whole { Front::Message { front, seal } } else { Front::Broken })
    }

    fn take(&mut self, front: usize, seal: &Seal) -> Message {
        self.found = true;
        let end = front + seal.body;
        let message = Message {
            offset: self.offset,
            metadata: self.bytes()[PREFIX..front].to_vec(),
            body: self.bytes()[front..end].into(),
            part: seal.part,
        };
        self.skip(end);
        message
    }

    /// Goes to the next byte at which a message may begin; false where there is none.
    fn search(&mut self) -> io::Result<bool> {
        // The largest disk may be no recording.
        const PATIENCE: u64 = LONGEST_HEADER as u64;
        self.skip(1);
        while (self.found || self.offset < PATIENCE) && self.fill(PREFIX)? {
            let bytes = self.bytes();
            if let Some(found) = bytes.windows(CONTINUATION.len()).position(|window| window == CONTINUATION) {
                self.skip(found);
                // The end mark's bytes may stand anywhere in a body; the mark itself stands at the end.
                if self.fill(PREFIX)? && (!self.bytes().starts_with(&END) || !self.fill(END.len() + 1)?) {
                    return Ok(true);
                }
                self.skip(1);
            } else {
                self.skip(bytes.len() - (CONTINUATION.len() - 1));
            }
        }
        Ok(false)
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    fn skip(&mut self, bytes: usize) {
        let bytes = bytes.min(self.buffer.len() - self.used);
        self.used += bytes;
        self.offset += bytes as u64;
    }

    /// Reads until there are so many bytes that are not used; false where the stream ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        const STEP: usize = 256 << 10;
        while self.bytes().len() < wanted {
            if self.used > 0 && self.used >= self.buffer.len() / 2 {
                self.buffer.drain(..self.used);
                self.used = 0;
            }
            if self.input.by_ref().take(STEP as u64).read_to_end(&mut self.buffer)? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
