//! The types of column that a recording has, each with how it is filled and how it is read.
//!
//! A column that is filled begins all null and is told its values by row, so a row costs what it has to say.

use super::bits::{Bits, BitsIn, PresentIn, zeros};
use arrow_array::{
    Array as _, ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, PrimitiveArray, StringArray,
    cast::AsArray as _,
    types::{Int32Type, TimestampNanosecondType, UInt8Type},
};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use hashbrown::HashMap;
use std::{hash::Hash, marker::PhantomData, sync::Arc};

/// A type of column.
pub(super) trait Column {
    type Out;
    type In;

    fn data_type() -> DataType;
    fn blank(rows: usize) -> Self::Out;
    fn array(filled: Self::Out) -> Result<ArrayRef, ArrowError>;
    /// Fails where the array is not one that [`Column::array`] makes.
    fn open(array: &ArrayRef) -> Result<Self::In, ArrowError>;
    /// One without a value.
    fn absent() -> Self::In;
}

pub(super) fn unreadable(what: impl std::fmt::Display) -> ArrowError {
    ArrowError::ParseError(what.to_string())
}

/// Numbers.
pub(super) struct Number<T>(PhantomData<T>);

pub(super) struct NumberOut<T: ArrowPrimitiveType> {
    /// None before the first is set.
    values: Vec<T::Native>,
    present: Bits,
}

impl<T: ArrowPrimitiveType> NumberOut<T> {
    #[inline(always)]
    pub(super) fn set(&mut self, row: usize, value: T::Native) {
        if self.values.is_empty() {
            self.begin();
        }
        self.values[row] = value;
        self.present.set(row);
    }

    #[cold]
    fn begin(&mut self) {
        self.values = vec![T::Native::default(); self.present.rows];
    }

    fn finish(self) -> PrimitiveArray<T> {
        let rows = self.present.rows;
        let values = if self.values.is_empty() {
            ScalarBuffer::new(zeros(rows * size_of::<T::Native>()), 0, rows)
        } else {
            ScalarBuffer::from(self.values)
        };
        PrimitiveArray::new(values, Some(NullBuffer::new(self.present.finish())))
    }
}

pub(super) struct NumberIn<T: ArrowPrimitiveType> {
    values: ScalarBuffer<T::Native>,
    present: PresentIn,
}

impl<T: ArrowPrimitiveType> NumberIn<T> {
    fn of(array: &PrimitiveArray<T>) -> Self {
        Self { values: array.values().clone(), present: PresentIn::of(array.nulls()) }
    }

    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<T::Native> {
        self.present.has(row).then(|| self.values.get(row).copied()).flatten()
    }
}

impl<T: ArrowPrimitiveType> Column for Number<T> {
    type Out = NumberOut<T>;
    type In = NumberIn<T>;

    fn data_type() -> DataType {
        T::DATA_TYPE
    }

    fn blank(rows: usize) -> NumberOut<T> {
        NumberOut { values: Vec::new(), present: Bits::none(rows) }
    }

    fn array(filled: NumberOut<T>) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(filled.finish()))
    }

    fn open(array: &ArrayRef) -> Result<NumberIn<T>, ArrowError> {
        let array = array.as_primitive_opt::<T>().ok_or_else(|| unreadable("not a column of numbers"))?;
        Ok(NumberIn::of(array))
    }

    fn absent() -> NumberIn<T> {
        NumberIn { values: ScalarBuffer::default(), present: PresentIn::NONE }
    }
}

/// Moments: nanoseconds since 1970 in UTC.
pub(super) struct Time;

impl Time {
    pub(super) const ZONE: &str = "UTC";
}

impl Column for Time {
    type Out = NumberOut<TimestampNanosecondType>;
    type In = NumberIn<TimestampNanosecondType>;

    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Nanosecond, Some(Self::ZONE.into()))
    }

    fn blank(rows: usize) -> Self::Out {
        Number::blank(rows)
    }

    fn array(filled: Self::Out) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(filled.finish().with_timezone(Self::ZONE)))
    }

    fn open(array: &ArrayRef) -> Result<Self::In, ArrowError> {
        Number::open(array)
    }

    fn absent() -> Self::In {
        Number::absent()
    }
}

/// Yes or no.
pub(super) struct Flag;

pub(super) struct FlagOut {
    values: Bits,
    present: Bits,
}

impl FlagOut {
    pub(super) fn set(&mut self, row: usize, value: bool) {
        if value {
            self.values.set(row);
        }
        self.present.set(row);
    }
}

pub(super) struct FlagIn {
    values: BitsIn,
    present: PresentIn,
}

impl FlagIn {
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<bool> {
        self.present.has(row).then(|| self.values.has(row))
    }
}

impl Column for Flag {
    type Out = FlagOut;
    type In = FlagIn;

    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn blank(rows: usize) -> FlagOut {
        FlagOut { values: Bits::none(rows), present: Bits::none(rows) }
    }

    fn array(filled: FlagOut) -> Result<ArrayRef, ArrowError> {
        let present = NullBuffer::new(filled.present.finish());
        Ok(Arc::new(BooleanArray::new(filled.values.finish(), Some(present))))
    }

    fn open(array: &ArrayRef) -> Result<FlagIn, ArrowError> {
        let array = array.as_boolean_opt().ok_or_else(|| unreadable("not a column of flags"))?;
        Ok(FlagIn { values: BitsIn::of(array.values()), present: PresentIn::of(array.nulls()) })
    }

    fn absent() -> FlagIn {
        FlagIn { values: BitsIn::NONE, present: PresentIn::NONE }
    }
}

/// What has one of a few names, the same in every batch.
pub(super) trait Named: Copy + PartialEq + 'static {
    const ALL: &'static [Self];
    fn name(self) -> &'static str;
}

/// One of these names, by its number in a dictionary that is written once.
pub(super) struct Name<T>(PhantomData<T>);

pub(super) struct NameOut<T> {
    keys: NumberOut<UInt8Type>,
    kind: PhantomData<T>,
}

impl<T: Named> NameOut<T> {
    pub(super) fn set(&mut self, row: usize, value: T) {
        if let Some(key) = T::ALL.iter().position(|known| *known == value) {
            self.keys.set(row, key as u8);
        }
    }
}

pub(super) struct NameIn<T> {
    keys: NumberIn<UInt8Type>,
    values: Vec<T>,
}

impl<T: Named> NameIn<T> {
    pub(super) fn get(&self, row: usize) -> Option<T> {
        self.values.get(usize::from(self.keys.get(row)?)).copied()
    }
}

impl<T: Named> Column for Name<T> {
    type Out = NameOut<T>;
    type In = NameIn<T>;

    fn data_type() -> DataType {
        DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
    }

    fn blank(rows: usize) -> NameOut<T> {
        NameOut { keys: Number::blank(rows), kind: PhantomData }
    }

    fn array(filled: NameOut<T>) -> Result<ArrayRef, ArrowError> {
        let names = StringArray::from_iter_values(T::ALL.iter().map(|value| value.name()));
        Ok(Arc::new(DictionaryArray::try_new(filled.keys.finish(), Arc::new(names))?))
    }

    fn open(array: &ArrayRef) -> Result<NameIn<T>, ArrowError> {
        let (keys, texts) = dictionary::<UInt8Type>(array)?;
        let value = |text: &str| {
            let known = T::ALL.iter().copied().find(|value| value.name() == text);
            known.ok_or_else(|| unreadable(format_args!("{text:?} is not known here")))
        };
        let values = texts.iter().map(|text| value(text.unwrap_or_default())).collect::<Result<_, _>>()?;
        Ok(NameIn { keys, values })
    }

    fn absent() -> NameIn<T> {
        NameIn { keys: Number::absent(), values: Vec::new() }
    }
}

fn dictionary<K: arrow_array::types::ArrowDictionaryKeyType>(
    array: &ArrayRef,
) -> Result<(NumberIn<K>, &StringArray), ArrowError> {
    let array = array.as_dictionary_opt::<K>().ok_or_else(|| unreadable("not a column of names"))?;
    let texts = array.values().as_string_opt().ok_or_else(|| unreadable("names that are no text"))?;
    Ok((NumberIn::of(array.keys()), texts))
}

/// What can be written as text and read back.
pub(super) trait Textual: Clone + Eq + Hash {
    fn text(&self) -> String;
    /// `None` for a text that none of them has.
    fn parse(text: &str) -> Option<Self>;
}

/// Texts of which a batch has few, by their number in the batch's own dictionary.
pub(super) struct Text<T>(PhantomData<T>);

pub(super) struct TextOut<T> {
    keys: NumberOut<Int32Type>,
    numbers: HashMap<T, i32>,
    values: Vec<String>,
    last: Option<(T, i32)>,
}

impl<T: Textual> TextOut<T> {
    pub(super) fn set(&mut self, row: usize, value: &T) {
        let key = match &self.last {
            Some((last, key)) if last == value => *key,
            _ => self.number(value),
        };
        self.keys.set(row, key);
    }

    fn number(&mut self, value: &T) -> i32 {
        let number = *self.numbers.entry(value.clone()).or_insert_with(|| {
            self.values.push(value.text());
            // A batch has few rows.
            (self.values.len() - 1) as i32
        });
        self.last = Some((value.clone(), number));
        number
    }
}

pub(super) struct TextIn<T> {
    keys: NumberIn<Int32Type>,
    values: Vec<T>,
}

impl<T: Textual> TextIn<T> {
    pub(super) fn get(&self, row: usize) -> Option<&T> {
        self.values.get(usize::try_from(self.keys.get(row)?).ok()?)
    }
}

impl<T: Textual> Column for Text<T> {
    type Out = TextOut<T>;
    type In = TextIn<T>;

    fn data_type() -> DataType {
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
    }

    fn blank(rows: usize) -> TextOut<T> {
        TextOut { keys: Number::blank(rows), numbers: HashMap::new(), values: Vec::new(), last: None }
    }

    fn array(filled: TextOut<T>) -> Result<ArrayRef, ArrowError> {
        let texts = StringArray::from(filled.values);
        Ok(Arc::new(DictionaryArray::try_new(filled.keys.finish(), Arc::new(texts))?))
    }

    fn open(array: &ArrayRef) -> Result<TextIn<T>, ArrowError> {
        let (keys, texts) = dictionary::<Int32Type>(array)?;
        let value = |text: &str| T::parse(text).ok_or_else(|| unreadable(format_args!("{text:?} makes no sense here")));
        let values = texts.iter().map(|text| value(text.unwrap_or_default())).collect::<Result<_, _>>()?;
        Ok(TextIn { keys, values })
    }

    fn absent() -> TextIn<T> {
        TextIn { keys: Number::absent(), values: Vec::new() }
    }
}
