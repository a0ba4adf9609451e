//! A bit for each row: which rows of a column have a value, and the values of a flag.

use arrow_buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer};
use std::sync::LazyLock;

/// What a column without a value consists of: most kinds of row leave most columns so.
static ZEROS: LazyLock<Buffer> = LazyLock::new(|| MutableBuffer::from_len_zeroed(1 << 17).into());

pub(super) fn zeros(bytes: usize) -> Buffer {
    if bytes <= ZEROS.len() { ZEROS.slice_with_length(0, bytes) } else { MutableBuffer::from_len_zeroed(bytes).into() }
}

/// A bit for each row; nothing is allocated before the first is set.
pub(super) struct Bits {
    bits: Vec<u8>,
    pub(super) rows: usize,
}

impl Bits {
    pub(super) fn none(rows: usize) -> Self {
        Self { bits: Vec::new(), rows }
    }

    #[inline(always)]
    pub(super) fn set(&mut self, row: usize) {
        if self.bits.is_empty() {
            self.begin();
        }
        self.bits[row / 8] |= 1 << (row % 8);
    }

    #[cold]
    fn begin(&mut self) {
        self.bits = vec![0; self.rows.div_ceil(8)];
    }

    pub(super) fn finish(self) -> BooleanBuffer {
        let bits = if self.bits.is_empty() { zeros(self.rows.div_ceil(8)) } else { self.bits.into() };
        BooleanBuffer::new(bits, 0, self.rows)
    }
}

/// A bit for each row, in words.
pub(super) struct BitsIn(Vec<u64>);

impl BitsIn {
    pub(super) const NONE: Self = Self(Vec::new());

    pub(super) fn of(bits: &BooleanBuffer) -> Self {
        Self(bits.bit_chunks().iter_padded().collect())
    }

    #[inline]
    pub(super) fn has(&self, row: usize) -> bool {
        self.0.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

/// Which rows have a value, all of them if nothing is said.
pub(super) struct PresentIn(Option<BitsIn>);

impl PresentIn {
    pub(super) const NONE: Self = Self(Some(BitsIn::NONE));

    pub(super) fn of(nulls: Option<&NullBuffer>) -> Self {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        Self(nulls.map(|nulls| BitsIn::of(nulls.inner())))
    }

    #[inline]
    pub(super) fn has(&self, row: usize) -> bool {
        self.0.as_ref().is_none_or(|bits| bits.has(row))
    }
}
