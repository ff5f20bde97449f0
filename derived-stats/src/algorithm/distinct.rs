//! `DSDistinct[:error[:range]]`: the number of different values, exact for a few and estimated by HyperLogLog for many.
//!
//! ```text
//! h(x)     = a 64-bit hash of x; its first b bits are an index i, 1 + the number of 0 bits after them a rank r
//! M[i]     = the largest rank of the values with index i, 0 without one
//! distinct = m^2 / (2 ln 2 * (m s(C0/m) + C1/2 + C2/4 + ... + m t(1 - Cq/m) / 2^q)),   m = 2^b
//! ```
//!
//! Ck is the number of registers M[i] that are k; s and t are the series `sigma` and `tau` of `distinct/estimate.rs`.
//!
//! | | |
//! |---|---|
//! | source | HyperLogLog, with the estimate of O. Ertl: see below |
//! | unit and type | values, as u64 |
//! | range | 0 to 2^64-1 |
//! | error | none up to m/16 values (256 by default); above, the standard error `1.04 / sqrt(m)`, at most `error` |
//! | memory | 8 bytes an object; with samples 32, and 8 for each of a few values or m (4096 by default) for many |
//! | cost | constant for each sample; for a few values a binary search, 27 ns |
//!
//! Sources: P. Flajolet, E. Fusy, O. Gandouet, F. Meunier, "HyperLogLog: the analysis of a near-optimal cardinality
//! estimation algorithm", AofA 2007; O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017,
//! <https://arxiv.org/abs/1702.01284>, algorithm 6.
//!
//! The correction for small numbers is part of the estimate: s replaces the switch to linear counting, and the bias
//! where the original paper switches. Up to m/16 values their hashes are listed. The hash of a number is a permutation,
//! so a list is exact, and it is shorter than the registers. Merging is exact: the state is a function of the set of
//! values. `error` is a standard error, so two thirds of the estimates are within it, and 95 % within twice of it.
//!
//! 0.0 and -0.0 are one value. Texts are counted by their [hashes](crate::text_sample).

mod estimate;
mod values;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, MergeError, Sample, UpdateError, Windowed};
use crate::entry::{Argument, ArgumentKind, Claims, Entry, Explanation, Field, Given, NumberKind, Role, Roles, Unit};
use crate::math::sqrt;
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::{RestoreError, WordWriter, Words};
use crate::text_sample::mix;

use self::estimate::estimate;
use self::values::Values;

/// The standard error without an argument.
const DEFAULT_ERROR: f64 = 0.02;

/// The bounds of the standard error: 2^17 and 2^4 registers.
const LEAST_ERROR: f64 = 0.004;
const MOST_ERROR: f64 = 0.26;

/// The menu entry of `DSDistinct`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSDistinct", Roles::AGGREGATE, "the number of different values", |given| {
        built(given, 1, distinct(given))
    })
    .arguments(&[
        Argument::optional(
            "error",
            ArgumentKind::Decimal { above: LEAST_ERROR, most: MOST_ERROR },
            "a standard error above 0.004 and at most 0.26",
            "0.02",
        )
        .absent_is_decimal(DEFAULT_ERROR),
        RANGE,
    ])
    .number(&[
        Field::number("value", NumberKind::U64, Unit::None, "the number of different values").role_of(Role::Value)
    ])
    .explained(|given, _| explain(given))
    .claims(Claims { merges: true, order_insensitive: true, within_samples: false, scales: false })
    .of_texts();

fn distinct(given: &Given<'_>) -> Distinct {
    Distinct::of(given.decimal(0).unwrap_or(DEFAULT_ERROR))
}

fn explain(given: &Given<'_>) -> Explanation {
    let distinct = distinct(given);
    let (few, error) = (distinct.most_listed(), distinct.standard_error());
    let line = alloc::format!("none up to {few} different values; above, a standard error of {error:.4}");
    let whole = "the number of different values";
    explain_window(given, 1, whole, "the number of different values of the last")
        .line("error", line)
        .fact("distinct", "exact_up_to", Number::U64(few as u64))
        .fact("distinct", "standard_error", Number::F64(error))
}

/// Counts different values.
///
/// 8 bytes an object, and up to 4 KB for many values.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut clients = Pipeline::parse("raw:DSDistinct")?;
/// for address in [7, 9, 7, 7] {
///     clients.update(0, Number::U64(address))?;
/// }
/// assert_eq!(clients.number(), Some(Number::U64(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distinct {
    /// The number of bits of an index.
    bits: u32,
}

/// A standard error outside 0.004 to 0.26.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a standard error above 0.004 and at most 0.26")]
pub struct DistinctError;

/// The values of one object: 8 bytes, and the values on the heap from the first sample on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DistinctState(Option<Box<Set>>);

#[derive(Clone, Debug, PartialEq)]
struct Set {
    values: Values,
    /// Whether a sample was the bound of an overflowed sum.
    is_overflowed: bool,
}

impl Distinct {
    /// A count with at most this standard error.
    ///
    /// # Errors
    ///
    /// [`DistinctError`] outside 0.004 to 0.26.
    pub fn new(standard_error: f64) -> Result<Self, DistinctError> {
        let is_in_range = standard_error > LEAST_ERROR && standard_error <= MOST_ERROR;
        if is_in_range { Ok(Self::of(standard_error)) } else { Err(DistinctError) }
    }

    fn of(standard_error: f64) -> Self {
        let error = |bits: &u32| 1.04 / sqrt((1u64 << bits) as f64);
        Self { bits: (4..17).find(|bits| error(bits) <= standard_error).unwrap_or(17) }
    }

    /// The standard error.
    pub fn standard_error(&self) -> f64 {
        1.04 / sqrt(self.registers() as f64)
    }

    fn registers(self) -> usize {
        1 << self.bits
    }

    /// The largest number of values in a list, which takes half of the bytes of the registers.
    fn most_listed(self) -> usize {
        self.registers() / 16
    }

    /// The largest rank.
    fn most_rank(self) -> u8 {
        // At most 61.
        (65 - self.bits) as u8
    }

    fn count(self, values: &Values) -> u64 {
        match values {
            Values::Few(hashes) => hashes.len() as u64,
            Values::Many(ranks) => estimate(ranks, self.most_rank()),
        }
    }
}

/// The hash of a sample: equal for equal values.
#[inline]
fn hash_of<T: Numeric>(value: T) -> u64 {
    // -0.0 equals 0.0, whose bits are those of the default.
    let value = if value == T::default() { T::default() } else { value };
    mix(value.to_bits())
}

impl<T: Numeric> Algorithm<T> for Distinct {
    type State = DistinctState;

    fn start(&self) -> DistinctState {
        DistinctState(None)
    }

    fn is_empty(&self, state: &DistinctState) -> bool {
        state.0.is_none()
    }

    #[inline]
    fn update(&self, state: &mut DistinctState, sample: Sample<T>) -> Result<(), UpdateError> {
        let start = || Box::new(Set { values: Values::Few(Vec::new()), is_overflowed: false });
        let set = state.0.get_or_insert_with(start);
        set.is_overflowed |= sample.overflowed;
        self.insert(&mut set.values, hash_of(sample.value));
        Ok(())
    }

    fn report(&self, state: &DistinctState, _now: u64) -> Report<Record> {
        let Some(set) = &state.0 else {
            return Report::NotReady(None);
        };
        let record = Record::new([Number::U64(self.count(&set.values))]);
        Report::Value(record.flawed(set.is_overflowed.then_some(Flaw::Overflow)))
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn merge(&self, into: &mut DistinctState, from: &DistinctState) -> Result<(), MergeError> {
        match (&mut into.0, &from.0) {
            (_, None) => {}
            (Some(set), Some(from)) => {
                set.is_overflowed |= from.is_overflowed;
                self.merge_values(&mut set.values, &from.values);
            }
            (set @ None, Some(from)) => *set = Some(from.clone()),
        }
        Ok(())
    }

    /// The registers, and the list while they are made of it.
    fn heap_bytes(&self) -> usize {
        size_of::<Set>() + self.registers() + self.most_listed().max(4) * size_of::<u64>()
    }

    fn allocated_bytes(&self, state: &DistinctState) -> usize {
        let bytes = |set: &Set| match &set.values {
            Values::Few(hashes) => hashes.capacity() * size_of::<u64>(),
            Values::Many(ranks) => ranks.len(),
        };
        state.0.as_ref().map_or(0, |set| size_of::<Set>() + bytes(set))
    }

    fn grows(&self) -> bool {
        true
    }

    fn save(&self, state: &DistinctState, words: &mut WordWriter<'_>) {
        let Some(set) = &state.0 else {
            return words.push(0);
        };
        words.push(1 + u64::from(set.is_overflowed));
        set.values.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<DistinctState, RestoreError> {
        let is_overflowed = match words.next("set")? {
            0 => return Ok(DistinctState(None)),
            1 => false,
            2 => true,
            word => return Err(RestoreError::invalid("set", word)),
        };
        Ok(DistinctState(Some(Box::new(Set { values: self.restore_values(words)?, is_overflowed }))))
    }
}

impl<T: Numeric> Windowed<T> for Distinct {
    fn report_nothing(&self, _total: &DistinctState) -> Report<Record> {
        Report::Value(Record::new([Number::U64(0)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::saved;

    /// `count` different values from a seed.
    fn state_of(distinct: Distinct, count: u64, seed: u64) -> DistinctState {
        let mut state = Algorithm::<u64>::start(&distinct);
        for n in 0..count {
            distinct.update(&mut state, Sample::new(0, n * 1000 + seed)).expect("every value is a sample");
        }
        state
    }

    fn counted(distinct: Distinct, state: &DistinctState) -> u64 {
        let record = Algorithm::<u64>::report(&distinct, state, 0).forced().expect("there are samples");
        record.get(0).map_or(0, Number::bits)
    }

    #[test]
    fn a_few_values_are_counted_exactly() {
        let distinct = Distinct::new(0.02).expect("in range");
        assert_eq!((distinct.registers(), distinct.most_listed()), (4096, 256));
        for count in [1, 2, 100, 256] {
            assert_eq!(counted(distinct, &state_of(distinct, count, 5)), count);
        }
    }

    /// The estimates of 60 sets: the root of their mean square error, and their mean error, relative to the count.
    fn errors(distinct: Distinct, count: u64) -> (f64, f64) {
        let of = |seed| counted(distinct, &state_of(distinct, count, seed)) as f64 / count as f64 - 1.0;
        let errors: Vec<f64> = (0..60).map(of).collect();
        let mean = |errors: &mut dyn Iterator<Item = f64>| errors.sum::<f64>() / 60.0;
        (sqrt(mean(&mut errors.iter().map(|error| error * error))), mean(&mut errors.iter().copied()))
    }

    #[test]
    fn the_standard_error_is_as_stated_for_small_and_large_numbers() {
        for (error, counts) in [(0.02, &[300, 2000, 10_000, 12_000, 20_000, 100_000][..]), (0.1, &[20, 100, 300, 3000])]
        {
            let distinct = Distinct::new(error).expect("in range");
            for count in counts {
                let (deviation, bias) = errors(distinct, *count);
                // 60 samples of a deviation are within a quarter of it; their mean is within half of it.
                assert!(deviation < 1.25 * error, "{deviation} for {count} with {error}");
                assert!(bias.abs() < error / 2.0, "a bias of {bias} for {count} with {error}");
            }
        }
    }

    #[test]
    fn merged_sets_are_those_of_all_values() {
        let distinct = Distinct::new(0.2).expect("in range");
        assert_eq!(distinct.most_listed(), 2);
        for (left, right) in [(1, 1), (2, 1), (1, 2), (2, 2), (1, 50), (50, 1), (50, 50), (0, 50), (50, 0)] {
            let mut whole = state_of(distinct, left, 1);
            for n in 0..right {
                distinct.update(&mut whole, Sample::new(0, n * 1000 + 2)).expect("every value is a sample");
            }
            let mut merged = state_of(distinct, left, 1);
            let from = state_of(distinct, right, 2);
            Algorithm::<u64>::merge(&distinct, &mut merged, &from).expect("sets merge");
            assert_eq!(merged, whole, "{left} and {right}");
            let again = merged.clone();
            Algorithm::<u64>::merge(&distinct, &mut merged, &again).expect("sets merge");
            assert_eq!(merged, again, "no value is new");
        }
    }

    #[test]
    fn equal_values_are_one() {
        let distinct = Distinct::new(0.02).expect("in range");
        let mut state = Algorithm::<f64>::start(&distinct);
        for value in [0.0, -0.0, 1.5, 1.5] {
            distinct.update(&mut state, Sample::new(0, value)).expect("every value is a sample");
        }
        assert_eq!(counted(distinct, &state), 2);
    }

    #[test]
    fn the_number_of_registers_is_the_least_for_the_error() {
        for (error, registers) in
            [(0.26, 16), (0.259_9, 32), (0.02, 4096), (0.016_25, 4096), (0.01, 16_384), (0.004_1, 65_536)]
        {
            let distinct = Distinct::new(error).expect("in range");
            assert_eq!(distinct.registers(), registers, "{error}");
            assert!(distinct.standard_error() <= error);
        }
        for error in [0.004, 0.260_1, f64::NAN, 0.0] {
            assert_eq!(Distinct::new(error), Err(DistinctError), "{error}");
        }
    }

    #[test]
    fn saved_sets_are_restored_and_impossible_ones_refused() {
        let distinct = Distinct::new(0.2).expect("in range");
        let restore = |words: &[u64]| {
            let mut words = Words::new(words);
            let state = Algorithm::<u64>::restore(&distinct, &mut words)?;
            words.finish().map(|()| state)
        };
        for count in [0, 1, 2, 3, 100] {
            let state = state_of(distinct, count, 3);
            assert_eq!(restore(&saved::<u64, _>(&distinct, &state)).as_ref(), Ok(&state), "{count}");
        }
        let many = saved::<u64, _>(&distinct, &state_of(distinct, 100, 3));
        assert_eq!(many[..3], [1, u64::MAX, 32]);
        let with = |index: usize, word: u64| {
            let mut words = many.clone();
            words[index] = word;
            restore(&words)
        };
        assert!(with(3, 0x3c).is_ok() && with(3, 0x3d).is_err(), "the largest rank is 60");
        assert!(with(0, 2).is_ok() && with(0, 3).is_err());
        assert!(restore(&[1, u64::MAX, 31, 1, 1, 1, 1]).is_err(), "a register too few");
        assert!(restore(&[1, u64::MAX, 33, 1, 1, 1, 1, 1]).is_err(), "one too many");
        assert!(restore(&[1, u64::MAX, 32, 0, 0, 0, 0]).is_err(), "no value");
        assert!(restore(&[1, 2, 5, 6]).is_ok());
        for words in [&[1, 0][..], &[1, 3, 5, 6, 7], &[1, 2, 6, 5], &[1, 2, 5, 5], &[1, 2, 5]] {
            assert!(restore(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn no_number_of_values_overflows_the_estimate() {
        let distinct = Distinct::new(0.2).expect("in range");
        let ranks = |rank| Values::Many(alloc::vec![rank; 32].into());
        assert_eq!(distinct.count(&ranks(distinct.most_rank())), u64::MAX);
        assert!(distinct.count(&ranks(distinct.most_rank() - 1)) > 1 << 60);
        assert!((20..60).contains(&distinct.count(&ranks(1))), "{}", distinct.count(&ranks(1)));
    }
}
