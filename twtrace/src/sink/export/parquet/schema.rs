//! The columns of the tables: the fields of the records, each with its type.

use super::Rows;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The columns of a table.
pub(super) fn schema(rows: Rows) -> SchemaRef {
    let columns = match rows {
        Rows::Lifecycles => lifecycle(),
        Rows::Transitions => transition(),
    };
    Arc::new(Schema::new(columns))
}

fn lifecycle() -> Vec<Field> {
    let mut owner = process();
    owner.push(known("basis", DataType::Utf8));
    let mut closer = process();
    closer.push(known("confidence", DataType::Utf8));
    closer.push(unknown("host", DataType::Utf8));
    let state =
        vec![known("state", DataType::Utf8), unknown("duration_ns", DataType::Int64), known("basis", DataType::Utf8)];
    let time_wait = vec![
        unknown("duration_ns", DataType::Int64),
        unknown("end", DataType::Utf8),
        known("restarts", DataType::UInt32),
        known("basis", DataType::Utf8),
    ];
    let close_wait = vec![
        unknown("duration_ns", DataType::Int64),
        unknown("accepted", DataType::Boolean),
        unknown("basis", DataType::Utf8),
    ];
    let mut columns = connection();
    columns.extend([
        unknown("direction", DataType::Utf8),
        unknown("netns", DataType::UInt32),
        unknown("cgroup", DataType::Utf8),
        unknown("container", DataType::Utf8),
        unknown("container_runtime", DataType::Utf8),
        unknown("pod", DataType::Utf8),
        unknown("owner", group(owner)),
        unknown("opened", time()),
        unknown("ended", time()),
        known("preexisting", DataType::Boolean),
        known("complete", DataType::Boolean),
        known("states", DataType::List(Arc::new(known("item", group(state))))),
        unknown("closed_first", DataType::Utf8),
        unknown("closed_by", group(closer)),
        unknown("close", DataType::Utf8),
        unknown("close_reason", DataType::Utf8),
        unknown("time_wait", group(time_wait)),
        unknown("close_wait", group(close_wait)),
        unknown("idle_before_close_ns", DataType::Int64),
        unknown("bytes_sent", DataType::Int64),
        unknown("bytes_received", DataType::Int64),
        unknown("retransmits", DataType::Int64),
        unknown("srtt_ns", DataType::Int64),
        known("lost_evidence", DataType::Int64),
    ]);
    columns
}

fn transition() -> Vec<Field> {
    let mut columns = vec![unknown("time", time())];
    columns.extend(connection());
    columns.extend([
        unknown("netns", DataType::UInt32),
        known("from", DataType::Utf8),
        known("to", DataType::Utf8),
        unknown("duration_ns", DataType::Int64),
        unknown("process", group(process())),
        known("basis", DataType::Utf8),
    ]);
    columns
}

/// What both tables begin with.
fn connection() -> Vec<Field> {
    vec![
        unknown("host", DataType::Utf8),
        known("connection", DataType::Int64),
        known("family", DataType::Utf8),
        known("v4_mapped", DataType::Boolean),
        known("local", endpoint()),
        known("remote", endpoint()),
    ]
}

fn endpoint() -> DataType {
    group(vec![known("ip", DataType::Utf8), unknown("port", DataType::UInt16)])
}

fn process() -> Vec<Field> {
    vec![
        known("pid", DataType::UInt32),
        known("comm", DataType::Utf8),
        known("uid", DataType::UInt32),
        unknown("start_time", time()),
    ]
}

/// UTC, under a name that needs no table of time zones; the file says no more than UTC either way.
fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()))
}

fn group(fields: Vec<Field>) -> DataType {
    DataType::Struct(Fields::from(fields))
}

fn known(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, false)
}

/// One that may be null.
fn unknown(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}
