//! How times are spread, in bounded room: a histogram whose steps are one in 64 of the value.

use super::super::Quantiles;

const BITS: u32 = 6;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread {
    counts: Vec<u32>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Spread {
    pub(crate) fn add(&mut self, value: u64) {
        let index = index(value);
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] = self.counts[index].saturating_add(1);
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum += u128::from(value);
    }

    /// `None` without any value.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        let mean = u64::try_from(self.sum.checked_div(u128::from(self.count))?).ok()?;
        let quantile = |percent: u64| self.quantile(percent);
        Some(Quantiles {
            count: self.count,
            min: self.min,
            p50: quantile(50),
            p90: quantile(90),
            p99: quantile(99),
            max: self.max,
            mean,
        })
    }

    fn quantile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            below += u64::from(count);
            if below >= rank {
                return middle(index).clamp(self.min, self.max);
            }
        }
        self.max
    }
}

fn index(value: u64) -> usize {
    let exponent = value.checked_ilog2().unwrap_or(0).saturating_sub(BITS);
    // The step's number within its octave has its highest bit set, but in the first.
    ((u64::from(exponent) << BITS) + (value >> exponent)) as usize
}

/// The middle of a step.
fn middle(index: usize) -> u64 {
    let index = index as u64;
    let exponent = (index >> BITS).saturating_sub(1);
    let low = (index - (exponent << BITS)) << exponent;
    low + (1 << exponent) / 2
}

#[cfg(test)]
mod tests {
    use super::{Spread, index, middle};
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(Spread::default().quantiles(), None);
    }

    #[test]
    fn small_values_are_exact() {
        let mut spread = Spread::default();
        (1..=100).for_each(|value| spread.add(value));
        let quantiles = spread.quantiles().expect("there are values");
        assert_eq!((quantiles.min, quantiles.p50, quantiles.p90, quantiles.p99), (1, 50, 90, 99));
        assert_eq!((quantiles.max, quantiles.mean, quantiles.count), (100, 50, 100));
    }

    proptest! {
        #[test]
        fn a_value_is_kept_to_one_in_a_hundred(value: u64) {
            let middle = middle(index(value));
            prop_assert!(middle.abs_diff(value) <= value / 100 + 1, "{middle}");
        }

        #[test]
        fn the_median_is_where_sorting_puts_it(values in prop::collection::vec(0..u64::MAX / 2, 1..50)) {
            let mut spread = Spread::default();
            values.iter().for_each(|&value| spread.add(value));
            let mut sorted = values;
            sorted.sort_unstable();
            let median = sorted[(sorted.len() - 1) / 2];
            let found = spread.quantiles().expect("there are values").p50;
            prop_assert!(found.abs_diff(median) <= median / 100 + 1, "{found} for {median}");
        }
    }
}
