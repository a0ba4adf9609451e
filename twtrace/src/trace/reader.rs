//! Observations out of an Arrow IPC stream.

use super::{
    Damage, Error, Header,
    beginning::Beginning,
    decode::Decoder,
    error::DamageKind,
    frame::LONGEST_BODY,
    messages::{Message, Messages},
    order::{Place, as_observed},
    schema::In,
};
use crate::model::{Ktime, LossPlace, Observation, observation::Lost};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::{reader::RecordBatchDecoder, root_as_message};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use std::{collections::HashMap, io::Read, sync::Arc};

/// Rows that a batch may have, whoever wrote it.
const READABLE_ROWS: usize = 1 << 16;
/// Bytes that a batch may come to when it is decompressed.
const MOST_PLAIN: usize = 2 * LONGEST_BODY;

pub(super) type Dictionaries = HashMap<i64, ArrayRef>;

/// Reads a recording, one batch of it in memory at a time.
pub struct Reader<R> {
    messages: Messages<R>,
    beginning: Beginning,
    /// Rows that tell of something, given or known to be lost.
    told: u64,
    /// Places of damage that were known at the last batch.
    named: u64,
    /// The last moment of which something was given.
    latest: Ktime,
    /// What the iterator over observations is at.
    batch: Option<Batch>,
    over: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// Where it is no recording, one of a newer format, or damaged so that nothing says what is in it.
    pub fn open(input: R) -> Result<Self, Error> {
        let mut messages = Messages::new(input);
        let beginning = Beginning::read(&mut messages)?;
        let latest = beginning.header.attached.at;
        Ok(Self { messages, beginning, told: 0, named: 0, latest, batch: None, over: false })
    }

    /// What the recording says of itself.
    pub fn header(&self) -> &Header {
        &self.beginning.header
    }

    /// What is wrong with what was read so far: all of it once there is no further batch.
    pub fn damage(&self) -> Option<&Damage> {
        (self.messages.damage.number > 0).then_some(&self.messages.damage)
    }

    /// The last moment of which something was read so far; `None` where nothing was.
    pub fn latest(&self) -> Option<Ktime> {
        (self.latest > self.header().attached.at).then_some(self.latest)
    }

    /// The next batch. Where one is damaged, the next whole one follows, and begins with what was lost.
    pub fn batch(&mut self) -> Option<Result<Batch, Error>> {
        while !self.over {
            let next = match self.beginning.met.pop_front() {
                Some(parts) => Ok(Some(parts)),
                None => self.messages.batch(),
            };
            match next {
                Ok(Some(parts)) => {
                    if let Some(batch) = self.read_batch(&parts) {
                        return Some(Ok(batch));
                    }
                }
                Ok(None) => {
                    self.over = true;
                    let lost = self.lost_before(self.messages.rows);
                    return lost
                        .map(|lost| Ok(Batch { lost: Some(lost), decoder: None, order: Vec::new().into_iter() }));
                }
                Err(error) => {
                    self.over = true;
                    return Some(Err(error.into()));
                }
            }
        }
        None
    }

    fn read_batch(&mut self, parts: &[Message]) -> Option<Batch> {
        let (rows, dictionaries) = parts.split_last()?;
        let Ok((order, decoder)) = self.read_rows(rows, dictionaries) else {
            self.messages.damage.add(rows.offset, DamageKind::Senseless);
            return None;
        };
        if self.latest == self.header().attached.at {
            self.latest = order.first().and_then(|row| decoder.at(*row as usize)).unwrap_or_default();
        }
        let lost = self.lost_before(rows.part.before);
        if lost.is_some() && self.messages.damage.number == self.named {
            self.messages.damage.add(rows.offset, DamageKind::Missing);
        }
        self.named = self.messages.damage.number;
        self.told = rows.part.before.saturating_add(rows.part.rows.into());
        self.latest = order.iter().rev().find_map(|row| decoder.at(*row as usize)).unwrap_or(self.latest);
        Some(Batch { lost, decoder: Some(decoder), order: order.into_iter() })
    }

    fn read_rows(&self, rows: &Message, dictionaries: &[Message]) -> Result<(Vec<u32>, Decoder), ArrowError> {
        let mut known = self.beginning.dictionaries.clone();
        for dictionary in dictionaries {
            read_dictionary(dictionary, &mut known)?;
        }
        let message = root_as_message(&rows.metadata).map_err(senseless)?;
        let batch = message.header_as_record_batch().ok_or_else(|| senseless("no rows"))?;
        let filled = filled(&batch, &self.beginning.schema);
        let columns: Vec<usize> = (0..filled.len()).filter(|column| filled[*column]).collect();
        let batch = read_record_batch(
            rows,
            batch,
            Arc::clone(&self.beginning.schema),
            &known,
            (READABLE_ROWS, Some(&columns)),
        )?;
        let mut arrays = batch.columns().iter();
        let arrays = filled.iter().map(|filled| if *filled { arrays.next() } else { None });
        let decoder = Decoder { columns: In::open(arrays)?, clock: self.beginning.header.attached.clock };
        let places = (0..batch.num_rows()).map(|row| {
            let delay = decoder.columns.delay_ns.get(row).unwrap_or_default();
            let tie = decoder.columns.tie.get(row).unwrap_or_default();
            (decoder.at(row).unwrap_or_default(), Place { delay, tie })
        });
        Ok((as_observed(places), decoder))
    }

    /// What is missing before a batch that this many rows were before.
    fn lost_before(&mut self, before: u64) -> Option<Observation> {
        let count = before.saturating_sub(self.told);
        self.messages.damage.start |= count > 0 && self.told == 0;
        self.told = self.told.max(before);
        self.messages.damage.rows = self.messages.damage.rows.saturating_add(count);
        let lost = Lost { at: self.latest, count, place: LossPlace::Recording };
        (count > 0).then_some(Observation::Lost(lost))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Observation, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(observation) = self.batch.as_mut().and_then(Iterator::next) {
                return Some(Ok(observation));
            }
            match self.batch()? {
                Ok(batch) => self.batch = Some(batch),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The observations of a batch, in the order in which they were written.
pub struct Batch {
    lost: Option<Observation>,
    decoder: Option<Decoder>,
    order: std::vec::IntoIter<u32>,
}

impl Iterator for Batch {
    type Item = Observation;

    fn next(&mut self) -> Option<Observation> {
        // To take what is not there would copy it for each row.
        if self.lost.is_some() {
            return self.lost.take();
        }
        let decoder = self.decoder.as_ref()?;
        let row = self.order.next()? as usize;
        // Its checksum was right: whatever wrote it, it is one observation less.
        let senseless = || Lost { at: decoder.at(row).unwrap_or_default(), count: 1, place: LossPlace::Recording };
        Some(decoder.observation(row).unwrap_or_else(|| Observation::Lost(senseless())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rows = self.order.len() + usize::from(self.lost.is_some());
        (rows, Some(rows))
    }
}

pub(super) fn senseless(what: impl std::fmt::Display) -> ArrowError {
    ArrowError::IpcError(what.to_string())
}

pub(super) fn read_dictionary(part: &Message, dictionaries: &mut Dictionaries) -> Result<(), ArrowError> {
    let message = root_as_message(&part.metadata).map_err(senseless)?;
    let dictionary = message.header_as_dictionary_batch().ok_or_else(|| senseless("no dictionary"))?;
    let batch = dictionary.data().ok_or_else(|| senseless("an empty dictionary"))?;
    let schema = Arc::new(Schema::new(vec![Field::new("", DataType::Utf8, true)]));
    let texts = read_record_batch(part, batch, schema, &Dictionaries::new(), (READABLE_ROWS, None))?;
    dictionaries.insert(dictionary.id(), Arc::clone(texts.column(0)));
    Ok(())
}

fn read_record_batch(
    part: &Message,
    batch: arrow_ipc::RecordBatch<'_>,
    schema: SchemaRef,
    dictionaries: &Dictionaries,
    (most_rows, columns): (usize, Option<&[usize]>),
) -> Result<RecordBatch, ArrowError> {
    if usize::try_from(batch.length()).map_or(true, |rows| rows > most_rows) {
        return Err(senseless("too many rows"));
    }
    if plain_length(&batch, &part.body, &schema).is_none_or(|length| length > MOST_PLAIN) {
        return Err(senseless("too long when decompressed"));
    }
    RecordBatchDecoder::try_new(&part.body, batch, schema, dictionaries, &arrow_ipc::MetadataVersion::V5)?
        .with_projection(columns)
        .read_record_batch()
}

/// Which columns have a value at all: the others need not be decompressed.
fn filled(batch: &arrow_ipc::RecordBatch<'_>, schema: &Schema) -> Vec<bool> {
    let Some(nodes) = batch.nodes() else { return Vec::new() };
    let mut node = 0;
    let filled = schema.fields().iter().map(|field| {
        let filled = node < nodes.len() && nodes.get(node).null_count() != batch.length();
        node += nodes_of(field.data_type());
        filled
    });
    filled.collect()
}

/// How many nodes a column of this type has: its own, and those of its children.
fn nodes_of(data_type: &DataType) -> usize {
    1 + match data_type {
        DataType::List(item) | DataType::Map(item, _) => nodes_of(item.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| nodes_of(field.data_type())).sum(),
        _ => 0,
    }
}

/// What the buffers of a batch say that they come to when they are decompressed; `None` for what cannot be.
fn plain_length(batch: &arrow_ipc::RecordBatch<'_>, body: &[u8], schema: &Schema) -> Option<usize> {
    let mut sum = 0_usize;
    let widths = schema.fields().iter().flat_map(|field| widths(field.data_type()));
    for (buffer, width) in batch.buffers()?.iter().zip(widths) {
        let (offset, length) = (usize::try_from(buffer.offset()).ok()?, usize::try_from(buffer.length()).ok()?);
        let bytes = body.get(offset..offset.checked_add(length)?)?;
        // The first eight bytes say the length, or -1 where what follows is as it was.
        let plain = match bytes.first_chunk() {
            Some(length) if batch.compression().is_some() => i64::from_le_bytes(*length),
            _ => -1,
        };
        let plain = usize::try_from(plain).unwrap_or(length);
        // Of half a value Arrow makes a panic.
        if plain % width != 0 {
            return None;
        }
        sum = sum.checked_add(plain)?;
    }
    Some(sum)
}

/// How many bytes a value takes in each buffer of a column of this type, by the order of Arrow's columnar format.
fn widths(data_type: &DataType) -> Vec<usize> {
    const PRESENT: usize = 1;
    const OFFSET: usize = size_of::<i32>();
    match data_type {
        DataType::Utf8 => vec![PRESENT, OFFSET, 1],
        DataType::List(item) | DataType::Map(item, _) => [vec![PRESENT, OFFSET], widths(item.data_type())].concat(),
        DataType::Struct(fields) => {
            let fields = fields.iter().flat_map(|field| widths(field.data_type()));
            std::iter::once(PRESENT).chain(fields).collect()
        }
        DataType::Dictionary(key, _) => widths(key),
        number => vec![PRESENT, number.primitive_width().unwrap_or(1)],
    }
}
