//! Apache Parquet: the very records of the JSON lines, as typed columns.
//!
//! One file holds records of one kind: lifecycles, or transitions. What a table has no row for is in the file's own
//! key-value metadata, as JSON: the attached records, one for each recording, and the summary with its losses.

mod schema;

use crate::{
    model::{Change, join::Origin, summary::Summary},
    sink::{
        Attached, Clock, Sink, format,
        record::{AttachedRecord, LifecycleRecord, SCHEMA, SummaryRecord, TransitionRecord},
    },
};
use arrow_json::reader::{Decoder, ReaderBuilder};
use arrow_schema::ArrowError;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};

/// Rows that become columns at once.
const BATCH: usize = 4096;
/// Rows of a row group, which is gathered in memory before it is written: some 10 MB.
const ROW_GROUP: usize = 1 << 16;

/// Which records a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// One for each connection.
    Lifecycles,
    /// One for each change of state.
    Transitions,
}

impl Rows {
    /// As in the `type` of a JSON line.
    fn kind(self) -> &'static str {
        match self {
            Self::Lifecycles => "lifecycle",
            Self::Transitions => "transition",
        }
    }
}

/// Writes one file.
pub struct Parquet<W: Write + Send> {
    rows: Rows,
    decoder: Decoder,
    writer: ArrowWriter<W>,
    clock: Option<Clock>,
    /// Of the recording that is replayed.
    origin: Option<Origin>,
    attached: Vec<Value>,
}

impl<W: Write + Send> Parquet<W> {
    /// # Errors
    ///
    /// Where the output cannot be written.
    pub fn new(out: W, rows: Rows) -> io::Result<Self> {
        let schema = schema::schema(rows);
        // Strict: a field without a column is an error, not a field that is gone.
        let decoder = ReaderBuilder::new(schema.clone()).with_strict_mode(true).build_decoder().map_err(arrow_error)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_created_by(format!("twtrace {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(vec![
                KeyValue::new("twtrace.schema".to_owned(), SCHEMA.to_string()),
                KeyValue::new("twtrace.type".to_owned(), rows.kind().to_owned()),
            ]))
            .build();
        // Parquet's own types say it all; Arrow's beside them would be a second word on the same.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, schema, options).map_err(parquet_error)?;
        Ok(Self { rows, decoder, writer, clock: None, origin: None, attached: Vec::new() })
    }

    fn row(&mut self, record: impl Serialize) -> io::Result<()> {
        let host = self.origin.as_ref().map(|origin| format::one_line(&origin.host));
        self.decoder.serialize(&[Row { host, record }]).map_err(arrow_error)?;
        if self.decoder.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.decoder.flush().map_err(arrow_error)? {
            Some(batch) => self.writer.write(&batch).map_err(parquet_error),
            None => Ok(()),
        }
    }

    fn note(&mut self, key: &str, record: impl Serialize) -> io::Result<()> {
        let value = serde_json::to_string(&record)?;
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        Ok(())
    }
}

impl<W: Write + Send> Sink for Parquet<W> {
    fn origin(&mut self, origin: &Origin) {
        self.origin = Some(origin.clone());
    }

    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.clock = Some(attached.clock);
        self.attached.push(serde_json::to_value(AttachedRecord::new(attached, self.origin.as_ref()))?);
        Ok(())
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        match (change, self.rows) {
            (Change::Ended { lifecycle, .. }, Rows::Lifecycles) => {
                self.row(LifecycleRecord::new(lifecycle, self.clock))
            }
            (Change::Transition(shown), Rows::Transitions) => self.row(TransitionRecord::new(shown, self.clock)),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.flush()?;
        let attached = std::mem::take(&mut self.attached);
        self.note("twtrace.attached", attached)?;
        self.note("twtrace.summary", SummaryRecord::new(summary))?;
        self.writer.finish().map_err(parquet_error)?;
        Ok(())
    }
}

/// A record, and whose it is.
#[derive(Serialize)]
struct Row<R> {
    host: Option<String>,
    #[serde(flatten)]
    record: R,
}

/// The crates wrap the output's error, which has to stay itself.
fn parquet_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

fn arrow_error(error: ArrowError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests;
