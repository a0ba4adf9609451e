//! Observations to an Arrow IPC stream.

use super::{
    Header,
    encode::Encoder,
    frame::{END, LONGEST_BODY, LONGEST_HEADER, LONGEST_METADATA, Part, Seal},
    header, order,
    schema::{Out, fields},
};
use crate::model::{Observation, attached::Clock, observation::ProcessReading};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow_ipc::{
    CompressionType, MetadataVersion,
    writer::{DictionaryHandling, DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteContext, IpcWriteOptions},
};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use std::{
    collections::HashMap,
    io::{self, Write},
    sync::Arc,
};

/// zstd's; higher ones take much longer and save little.
const LEVEL: i32 = 1;
/// Rows of a batch at the most: its columns, decompressed, then fit into a CPU's cache.
const MOST_ROWS: usize = 1 << 14;
/// Bytes of text and lists that a batch may hold besides its rows.
const MOST_TEXT: usize = 4 << 20;
/// Bytes that may be written before the header is said again.
const COPIED_AFTER: usize = 1 << 20;
/// A longer header is said once: its copies would find no room in a batch's metadata.
const LONGEST_COPY: usize = LONGEST_METADATA / 2;

/// Writes a recording. What was pushed and not flushed is lost with it: [`Writer::finish`] says the end.
pub struct Writer<W> {
    out: W,
    written: u64,
    clock: Clock,
    pending: Vec<Observation>,
    /// Bytes of text and lists among them.
    text: usize,
    /// Rows that tell of something: all but ticks.
    telling: u32,
    before: u64,
    encoder: BatchEncoder,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let (encoder, front) = BatchEncoder::new(header)?;
        let mut writer = Self {
            out,
            written: 0,
            clock: header.attached.clock,
            pending: Vec::new(),
            text: 0,
            telling: 0,
            before: 0,
            encoder,
        };
        writer.write(&front)?;
        writer.out.flush()?;
        Ok(writer)
    }

    /// Takes an observation, and writes a batch when there is one.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn push(&mut self, observation: Observation) -> io::Result<()> {
        self.text += length_of_text(&observation);
        self.telling += u32::from(!matches!(observation, Observation::Tick(_)));
        self.pending.push(observation);
        if self.pending.len() >= MOST_ROWS || self.text >= MOST_TEXT { self.write_batch() } else { Ok(()) }
    }

    /// Writes what there is as a batch, so that a reader has it.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.write_batch()?;
        }
        self.out.flush()
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.written
    }

    /// Writes what there is, and the end mark.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        self.write(&END)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let part = Part { number: 0, last: false, before: self.before, rows: self.telling, copy: false };
        let bytes = self.encoder.batch(&self.pending, &self.clock, part)?;
        // Even where writing fails: what was begun cannot be written again behind it.
        self.pending.clear();
        self.text = 0;
        self.before += u64::from(std::mem::take(&mut self.telling));
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// Bytes that an observation holds besides itself.
fn length_of_text(observation: &Observation) -> usize {
    match observation {
        Observation::Holder(holder) => size_of_val(&*holder.processes),
        Observation::Counters(counters) => counters.values.keys().map(|name| name.len() + size_of::<u64>()).sum(),
        Observation::Process(reading) => {
            let ProcessReading { cgroup, container, .. } = &**reading;
            let container = container.as_ref().map(|container| (&container.id, &container.pod));
            let texts = [cgroup.as_ref(), container.map(|(id, _)| id), container.and_then(|(_, pod)| pod.as_ref())];
            texts.into_iter().flatten().map(|text| text.len()).sum()
        }
        _ => 0,
    }
}

/// From observations to the bytes of Arrow messages.
struct BatchEncoder {
    schema: SchemaRef,
    options: IpcWriteOptions,
    dictionaries: DictionaryTracker,
    context: IpcWriteContext,
    generator: IpcDataGenerator,
    /// Dictionaries that each batch has of its own, as they are in an empty one, by their ids.
    own: Vec<(i64, ArrayRef)>,
    copies: Copies,
}

/// The header again and again, so that damage where the recording begins costs nothing.
struct Copies {
    header: Vec<u8>,
    batches: u64,
    /// Bytes since the last one.
    since: usize,
}

impl Copies {
    /// The batch that comes now has one: the first ones often, for those may be all that there are.
    fn is_due(&mut self) -> bool {
        let due = self.batches.is_power_of_two() || self.batches == 0 || self.since >= COPIED_AFTER;
        self.batches += 1;
        due && self.header.len() <= LONGEST_COPY
    }
}

/// What a recording begins with: the schema and the names.
pub(super) fn beginning(header: &Header) -> io::Result<Vec<u8>> {
    Ok(BatchEncoder::new(header)?.1)
}

impl BatchEncoder {
    /// And the stream's first bytes: the schema, and the dictionaries that stay.
    fn new(header: &Header) -> io::Result<(Self, Vec<u8>)> {
        let json = header.to_json().map_err(io::Error::other)?;
        let copies = Copies { header: json.clone().into_bytes(), batches: 0, since: 0 };
        let metadata = HashMap::from([(header::KEY.to_owned(), json)]);
        let schema: SchemaRef = Arc::new(Schema::new(fields()).with_metadata(metadata));
        let options = IpcWriteOptions::try_new(super::frame::ALIGNMENT, false, MetadataVersion::V5)
            .and_then(|options| options.try_with_compression(Some(CompressionType::ZSTD)))
            .and_then(|options| options.try_with_compression_level(Some(LEVEL)))
            .map_err(io::Error::other)?
            .with_dictionary_handling(DictionaryHandling::Resend);
        let mut encoder = Self {
            options,
            dictionaries: DictionaryTracker::new(false),
            context: IpcWriteContext::default(),
            generator: IpcDataGenerator::default(),
            own: Vec::new(),
            copies,
            schema: Arc::clone(&schema),
        };
        let message = encoder.generator.schema_to_bytes_with_dictionary_tracker(
            &schema,
            &mut encoder.dictionaries,
            &encoder.options,
        );
        let part = Part { number: 0, last: true, before: 0, rows: 0, copy: false };
        let mut front = Vec::new();
        append(&mut front, &message, part, &[], LONGEST_HEADER)?;
        front.extend(encoder.batch(&[], &header.attached.clock, part)?);
        encoder.own = own_dictionaries(&schema);
        Ok((encoder, front))
    }

    fn batch(&mut self, observations: &[Observation], clock: &Clock, part: Part) -> io::Result<Vec<u8>> {
        let (dictionaries, rows) = self.messages(observations, clock).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        let messages = dictionaries.iter().map(|message| (message, false)).chain([(&rows, true)]);
        let has_copy = self.copies.is_due();
        for (number, (message, last)) in (0..).zip(messages) {
            let part = Part { number, last, copy: last && has_copy, ..part };
            append(&mut bytes, message, part, &self.copies.header, LONGEST_METADATA)?;
        }
        self.copies.since = if has_copy { 0 } else { self.copies.since.saturating_add(bytes.len()) };
        Ok(bytes)
    }

    fn messages(
        &mut self,
        observations: &[Observation],
        clock: &Clock,
    ) -> Result<(Vec<EncodedData>, EncodedData), ArrowError> {
        let arrays = arrays(observations, clock)?;
        let options = RecordBatchOptions::new().with_row_count(Some(observations.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        // A batch brings what only it has, so that it can be read whatever became of those before.
        for (id, empty) in &self.own {
            self.dictionaries.insert_column(*id, empty, DictionaryHandling::Resend)?;
        }
        self.generator.encode(&batch, &mut self.dictionaries, &self.options, &mut self.context)
    }
}

/// The dictionaries that each batch has of its own, by their ids, each as it is in an empty batch.
fn own_dictionaries(schema: &Schema) -> Vec<(i64, ArrayRef)> {
    let types = schema.fields().iter().map(|field| field.data_type());
    let dictionaries = types.filter(|data_type| matches!(data_type, DataType::Dictionary(..)));
    (0..)
        .zip(dictionaries)
        .filter(|(_, data_type)| matches!(data_type, DataType::Dictionary(key, _) if **key == DataType::Int32))
        .map(|(id, data_type)| (id, new_empty_array(data_type)))
        .collect()
}

fn arrays(observations: &[Observation], clock: &Clock) -> Result<Vec<ArrayRef>, ArrowError> {
    let places: Vec<_> = order::places(observations).collect();
    let mut encoder = Encoder { out: Out::blank(observations.len()), clock, row: 0 };
    for number in order::by_socket(observations) {
        let number = number as usize;
        encoder.out.delay_ns.set(encoder.row, places[number].delay);
        encoder.out.tie.set(encoder.row, places[number].tie);
        encoder.observation(&observations[number]);
    }
    encoder.out.arrays()
}

fn append(bytes: &mut Vec<u8>, message: &EncodedData, part: Part, copy: &[u8], longest: usize) -> io::Result<()> {
    let EncodedData { ipc_message, arrow_data } = message;
    let front = Seal::front(ipc_message, arrow_data, part, copy);
    if front.len() > longest || arrow_data.len() > LONGEST_BODY {
        return Err(io::Error::other("an observation is too long to be recorded"));
    }
    bytes.extend(front);
    bytes.extend(arrow_data);
    Ok(())
}
