//! The two columns with more than one value in a row: the holders of an inode and the kernel's counters.

use super::columns::{Column, Number, NumberIn, Textual, Time, unreadable};
use crate::model::Comm;
use arrow_array::{
    Array as _, ArrayRef, ListArray, MapArray, StringArray, StructArray, UInt32Array, UInt64Array,
    cast::AsArray as _,
    types::{TimestampNanosecondType, UInt32Type, UInt64Type},
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};
use std::{collections::BTreeMap, sync::Arc};

/// Lists by row, in order of the rows.
pub(super) struct ListOut<T> {
    rows: usize,
    lists: Vec<(usize, Vec<T>)>,
}

impl<T> ListOut<T> {
    pub(super) fn set(&mut self, row: usize, list: Vec<T>) {
        self.lists.push((row, list));
    }

    fn finish(self) -> Result<(OffsetBuffer<i32>, NullBuffer, Vec<T>), ArrowError> {
        let mut lengths = vec![0; self.rows];
        let mut present = vec![false; self.rows];
        let mut all = Vec::new();
        for (row, list) in self.lists {
            lengths[row] = list.len();
            present[row] = true;
            all.extend(list);
        }
        i32::try_from(all.len()).map_err(|_| unreadable("too long a list"))?;
        Ok((OffsetBuffer::from_lengths(lengths), present.into(), all))
    }
}

fn range(offsets: &ScalarBuffer<i32>, nulls: Option<&NullBuffer>, row: usize) -> Option<std::ops::Range<usize>> {
    if nulls.is_some_and(|nulls| row >= nulls.len() || nulls.is_null(row)) {
        return None;
    }
    let at = |row: usize| usize::try_from(*offsets.get(row)?).ok();
    Some(at(row)?..at(row + 1)?)
}

/// A process in a list of them.
pub(super) struct Holding {
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) started: Option<i64>,
    pub(super) comm: Comm,
}

/// Lists of processes.
pub(super) struct Processes;

impl Processes {
    fn fields() -> Fields {
        Fields::from(vec![
            Field::new("pid", DataType::UInt32, true),
            Field::new("uid", DataType::UInt32, true),
            Field::new("started", Time::data_type(), true),
            Field::new("comm", DataType::Utf8, true),
        ])
    }

    fn item() -> Arc<Field> {
        Arc::new(Field::new("item", DataType::Struct(Self::fields()), true))
    }
}

pub(super) struct ProcessesIn {
    offsets: ScalarBuffer<i32>,
    nulls: Option<NullBuffer>,
    pids: NumberIn<UInt32Type>,
    uids: NumberIn<UInt32Type>,
    started: NumberIn<TimestampNanosecondType>,
    comms: Vec<Option<Comm>>,
}

impl ProcessesIn {
    pub(super) fn get(&self, row: usize) -> Option<Vec<Holding>> {
        let holding = |index: usize| {
            Some(Holding {
                pid: self.pids.get(index)?,
                uid: self.uids.get(index)?,
                started: self.started.get(index),
                comm: *self.comms.get(index)?.as_ref()?,
            })
        };
        range(&self.offsets, self.nulls.as_ref(), row)?.map(holding).collect()
    }
}

impl Column for Processes {
    type Out = ListOut<Holding>;
    type In = ProcessesIn;

    fn data_type() -> DataType {
        DataType::List(Self::item())
    }

    fn blank(rows: usize) -> Self::Out {
        ListOut { rows, lists: Vec::new() }
    }

    fn array(filled: Self::Out) -> Result<ArrayRef, ArrowError> {
        let (offsets, present, all) = filled.finish()?;
        let mut started = Time::blank(all.len());
        for (index, time) in all.iter().enumerate().filter_map(|(index, one)| Some((index, one.started?))) {
            started.set(index, time);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(all.iter().map(|one| Some(one.pid)).collect::<UInt32Array>()),
            Arc::new(all.iter().map(|one| Some(one.uid)).collect::<UInt32Array>()),
            Time::array(started)?,
            Arc::new(StringArray::from_iter_values(all.iter().map(|one| one.comm.text()))),
        ];
        let items = StructArray::try_new_with_length(Self::fields(), columns, None, all.len())?;
        Ok(Arc::new(ListArray::try_new(Self::item(), offsets, Arc::new(items), Some(present))?))
    }

    fn open(array: &ArrayRef) -> Result<ProcessesIn, ArrowError> {
        let wrong = || unreadable("not a column of processes");
        let list = array.as_list_opt::<i32>().ok_or_else(wrong)?;
        let items = list.values().as_struct_opt().ok_or_else(wrong)?;
        let [pids, uids, started, comms] = items.columns() else { return Err(wrong()) };
        let comms: &StringArray = comms.as_string_opt().ok_or_else(wrong)?;
        Ok(ProcessesIn {
            offsets: list.offsets().inner().clone(),
            nulls: list.nulls().cloned(),
            pids: Number::open(pids)?,
            uids: Number::open(uids)?,
            started: Time::open(started)?,
            comms: comms.iter().map(|comm| Comm::parse(comm?)).collect(),
        })
    }

    fn absent() -> ProcessesIn {
        ProcessesIn {
            offsets: ScalarBuffer::default(),
            nulls: None,
            pids: Number::absent(),
            uids: Number::absent(),
            started: Time::absent(),
            comms: Vec::new(),
        }
    }
}

/// Numbers by name.
pub(super) struct Counts;

impl Counts {
    fn fields() -> Fields {
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::UInt64, true)])
    }

    fn entries() -> Arc<Field> {
        Arc::new(Field::new("entries", DataType::Struct(Self::fields()), false))
    }
}

pub(super) struct CountsIn {
    offsets: ScalarBuffer<i32>,
    nulls: Option<NullBuffer>,
    names: StringArray,
    values: NumberIn<UInt64Type>,
}

impl CountsIn {
    pub(super) fn get(&self, row: usize) -> Option<BTreeMap<String, u64>> {
        let count = |index: usize| {
            let name = (index < self.names.len()).then(|| self.names.value(index).to_owned())?;
            Some((name, self.values.get(index)?))
        };
        range(&self.offsets, self.nulls.as_ref(), row)?.map(count).collect()
    }
}

impl Column for Counts {
    type Out = ListOut<(String, u64)>;
    type In = CountsIn;

    fn data_type() -> DataType {
        DataType::Map(Self::entries(), true)
    }

    fn blank(rows: usize) -> Self::Out {
        ListOut { rows, lists: Vec::new() }
    }

    fn array(filled: Self::Out) -> Result<ArrayRef, ArrowError> {
        let (offsets, present, all) = filled.finish()?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(all.iter().map(|(name, _)| name))),
            Arc::new(all.iter().map(|(_, value)| Some(*value)).collect::<UInt64Array>()),
        ];
        let entries = StructArray::try_new_with_length(Self::fields(), columns, None, all.len())?;
        Ok(Arc::new(MapArray::try_new(Self::entries(), offsets, entries, Some(present), true)?))
    }

    fn open(array: &ArrayRef) -> Result<CountsIn, ArrowError> {
        let wrong = || unreadable("not a column of counters");
        let map = array.as_map_opt().ok_or_else(wrong)?;
        Ok(CountsIn {
            offsets: map.offsets().inner().clone(),
            nulls: map.nulls().cloned(),
            names: map.keys().as_string_opt().ok_or_else(wrong)?.clone(),
            values: Number::open(map.values())?,
        })
    }

    fn absent() -> CountsIn {
        let names = StringArray::new_null(0);
        CountsIn { offsets: ScalarBuffer::default(), nulls: None, names, values: Number::absent() }
    }
}
