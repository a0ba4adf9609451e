//! How a recording begins: with its header, the schema and the names that all batches share.
//!
//! Where that is damaged, a copy of the header further on says the same, and schema and names are as this version writes
//! them: a format has no others. So damage at the beginning takes nothing away.

use super::{
    Error, Header,
    frame::{CONTINUATION, LONGEST_BODY, LONGEST_HEADER, PREFIX},
    header,
    messages::{Message, Messages},
    reader::{Dictionaries, read_dictionary, senseless},
    schema::fields,
    writer,
};
use arrow_ipc::{convert::try_fb_to_schema, root_as_message};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use std::{collections::VecDeque, io::Read, sync::Arc};

/// What a recording begins with, and batches that were met on the way to it.
pub(super) struct Beginning {
    pub(super) header: Header,
    pub(super) schema: SchemaRef,
    /// Those that stay.
    pub(super) dictionaries: Dictionaries,
    pub(super) met: VecDeque<Vec<Message>>,
}

impl Beginning {
    pub(super) fn read<R: Read>(messages: &mut Messages<R>) -> Result<Self, Error> {
        let first = match messages.first(LONGEST_HEADER)? {
            Ok(first) => first,
            Err(bytes) => return Self::from_copy(messages, &bytes),
        };
        let (header, schema) = read_schema(&first.metadata)?;
        let next = messages.batch()?;
        match next.as_deref().and_then(read_names) {
            Some(dictionaries) => Ok(Self { header, schema, dictionaries, met: VecDeque::new() }),
            None => {
                if !messages.damage.is_cut_only() {
                    let follows = next.as_ref().and_then(|parts| parts.first());
                    messages.damage.beginning(follows.map_or(0, |part| part.offset));
                }
                Self::anew(header, next.into_iter().collect())
            }
        }
    }

    /// The first message is not whole, of which these are the bytes.
    fn from_copy<R: Read>(messages: &mut Messages<R>, bytes: &[u8]) -> Result<Self, Error> {
        let (mut met, mut length) = (VecDeque::new(), 0_usize);
        while let Some(parts) = messages.batch()? {
            let copy = parts.iter().find_map(Message::copy).and_then(|json| std::str::from_utf8(json).ok());
            let header = copy.map(Header::from_json);
            if read_names(&parts).is_none() {
                length += parts.iter().map(|part| part.body.len()).sum::<usize>();
                met.push_back(parts);
            }
            match header {
                Some(Err(Error::Newer { version, format })) => return Err(Error::Newer { version, format }),
                Some(Ok(header)) => {
                    messages.damage.beginning(0);
                    return Self::anew(header, met);
                }
                Some(Err(_)) | None if length > LONGEST_BODY => break,
                Some(Err(_)) | None => {}
            }
        }
        Err(if met.is_empty() { no_beginning(bytes) } else { Error::NoCopy })
    }

    /// As this version begins a recording with that header.
    fn anew(header: Header, met: VecDeque<Vec<Message>>) -> Result<Self, Error> {
        let front = writer::beginning(&header)?;
        let mut messages = Messages::new(&front[..]);
        let first = messages.first(LONGEST_HEADER)?.map_err(|_| Error::NoCopy)?;
        let (header, schema) = read_schema(&first.metadata)?;
        let names = messages.batch()?;
        let dictionaries = names.as_deref().and_then(read_names).ok_or(Error::NoCopy)?;
        Ok(Self { header, schema, dictionaries, met })
    }
}

fn read_schema(metadata: &[u8]) -> Result<(Header, SchemaRef), Error> {
    let broken = |reason: String| Error::Header { reason };
    let message = root_as_message(metadata).map_err(|error| broken(error.to_string()))?;
    let schema = message.header_as_schema().ok_or(Error::NoRecording)?;
    let schema: Schema = try_fb_to_schema(schema).map_err(|error| broken(error.to_string()))?;
    let json = schema.metadata().get(header::KEY).ok_or(Error::NoRecording)?;
    let header = Header::from_json(json)?;
    let like = |read: &Field, own: &Field| read.name() == own.name() && read.data_type() == own.data_type();
    let (read, own) = (schema.fields(), fields());
    if read.len() != own.len() || !read.iter().zip(&own).all(|(read, own)| like(read, own)) {
        return Err(broken("it has other columns than its format says".to_owned()));
    }
    Ok((header, Arc::new(schema)))
}

/// The dictionaries of the batch without rows; `None` for any other batch.
fn read_names(parts: &[Message]) -> Option<Dictionaries> {
    let (rows, parts) = parts.split_last()?;
    let read = || -> Result<Option<Dictionaries>, ArrowError> {
        let message = root_as_message(&rows.metadata).map_err(senseless)?;
        let rows = message.header_as_record_batch().ok_or_else(|| senseless("no rows"))?;
        if rows.length() != 0 {
            return Ok(None);
        }
        let mut dictionaries = Dictionaries::new();
        for part in parts {
            read_dictionary(part, &mut dictionaries)?;
        }
        Ok(Some(dictionaries))
    };
    read().ok().flatten()
}

/// What to say of a stream that begins with these bytes and has no whole batch.
fn no_beginning(bytes: &[u8]) -> Error {
    const FORMAT_FIRST: &[u8] = b"{\"format\":";
    let is_ours =
        bytes.starts_with(&CONTINUATION) && bytes.windows(FORMAT_FIRST.len()).any(|window| window == FORMAT_FIRST);
    match bytes.get(PREFIX..).map(read_schema) {
        Some(Err(Error::Newer { version, format })) => Error::Newer { version, format },
        _ if bytes.is_empty() => Error::Nothing { bytes: 0 },
        _ if is_ours && bytes.len() < LONGEST_HEADER => Error::Nothing { bytes: bytes.len() as u64 },
        _ => Error::NoRecording,
    }
}
