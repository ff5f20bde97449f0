//! The tails of the signals: ten bins each.

use crate::math::{log2, scaled, split};
use crate::saved::{RestoreError, WordWriter, Words};

/// The number of signals.
pub(super) const SIGNALS: usize = 3;

/// The number of bins of a signal above the lowest one, which holds all smaller values and the zeros.
const UPPER: usize = 9;

/// Bins per power of two: ten bins reach from the largest value down to a sixth of it.
const PER_OCTAVE: i32 = 4;

/// The bins end where one value in this number is still above the lowest one, as in `Seasonal`.
const KEPT: u32 = 64;

/// The number of values before a share is computed.
const WARM: u16 = 50;

/// At this number of values all counts are halved.
const CAP: u16 = 20_000;

/// The weights of the length of the past and of a record, as in `Seasonal`, for binary logarithms.
const BETA: f64 = 0.4 * LOG10_2;
const RECORD: f64 = 0.5 * core::f64::consts::LN_2;
const LOG10_2: f64 = core::f64::consts::LOG10_2;

/// The share of the values beyond [`Tails::width`].
const WIDTH_SHARE: f64 = 0.01;

/// Below the bin of every value.
const NO_BIN: i16 = i16::MIN;

/// The largest and the smallest value by size that is not counted as 0.
const LARGEST: f64 = 1e60;
const SMALLEST: f64 = 1e-60;

/// The counts of the upper bins of a signal.
type Counts = [u16; UPPER];

/// The histograms of all signals: 62 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tails {
    /// At most the number of values together for each signal; the other values are in its lowest bin. The highest bin
    /// also counts all larger values.
    counts: [Counts; SIGNALS],
    /// The highest bin of each signal.
    tops: [i16; SIGNALS],
    /// The number of values, in [0, 20000].
    values: u16,
}

/// The bin of a value, and the position in it, from 0 to below 1.
#[inline]
fn bin(value: f64) -> (i16, f64) {
    let (m, e) = split(value.min(LARGEST));
    let step = (2.0 * m - 1.0) * f64::from(PER_OCTAVE);
    let whole = step as i32;
    ((e * PER_OCTAVE + whole) as i16, step - f64::from(whole))
}

/// The lower bound of a bin.
#[inline]
fn bound(bin: i32) -> f64 {
    let (e, step) = (bin.div_euclid(PER_OCTAVE), bin.rem_euclid(PER_OCTAVE));
    scaled(0.5 * (1.0 + f64::from(step) / f64::from(PER_OCTAVE)), e)
}

impl Tails {
    pub(super) const START: Self = Self { counts: [[0; UPPER]; SIGNALS], tops: [NO_BIN; SIGNALS], values: 0 };

    /// The strangeness of each signal among the values before it; then counts the signals.
    #[inline]
    pub(super) fn update(&mut self, signals: [f64; SIGNALS]) -> [f64; SIGNALS] {
        let mut strangeness = [0.0; SIGNALS];
        let past = Past::of(self.values);
        for (((counts, top), signal), strangeness) in
            self.counts.iter_mut().zip(&mut self.tops).zip(signals).zip(&mut strangeness)
        {
            if signal < SMALLEST {
                continue;
            }
            let (bin, within) = bin(signal);
            if past.values >= WARM {
                *strangeness = share(counts, *top, past, (bin, within), signal);
            }
            if bin > *top {
                extend(counts, top, bin, past.values);
            }
            if let Some(count) = index(*top, bin.min(*top)).and_then(|index| counts.get_mut(index)) {
                *count += 1;
            }
        }
        self.values += 1;
        if self.values >= CAP {
            self.halve();
        }
        strangeness
    }

    /// Halves all counts. The highest bin with values is then the top, so that a glitch does not set the scale for
    /// ever.
    #[cold]
    fn halve(&mut self) {
        self.values /= 2;
        for (counts, top) in self.counts.iter_mut().zip(&mut self.tops) {
            counts.iter_mut().for_each(|count| *count /= 2);
            let Some(highest) = counts.iter().rposition(|count| *count > 0) else {
                *top = NO_BIN;
                continue;
            };
            let shift = UPPER - 1 - highest;
            counts.copy_within(..=highest, shift);
            counts[..shift].fill(0);
            *top -= shift as i16;
        }
    }

    /// The number of values, which is halved at times.
    #[inline]
    pub(super) fn values(&self) -> u16 {
        self.values
    }

    /// The upper bound of the largest value of the first signal; 0 before the first one, and `None` while there are few
    /// values.
    #[inline]
    pub(super) fn largest(&self) -> Option<f64> {
        let [top, ..] = self.tops;
        (self.values >= WARM).then(|| if top == NO_BIN { 0.0 } else { bound(i32::from(top) + 1) })
    }

    /// The lower bound of the bin above the one that holds the 99th percentile of the first signal.
    pub(super) fn width(&self) -> f64 {
        let ([counts, ..], [top, ..]) = (&self.counts, self.tops);
        if self.values < WARM || top == NO_BIN {
            return 0.0;
        }
        let (most, mut above) = (WIDTH_SHARE * f64::from(self.values), 0.0);
        for (below_top, count) in (0..).zip(counts.iter().rev()) {
            above += f64::from(*count);
            if above > most {
                return bound(i32::from(top) - below_top + 1);
            }
        }
        bound(i32::from(top) - UPPER as i32 + 1)
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        let [first, second, third] = self.tops.map(|top| u64::from(top as u16));
        words.push(first << 48 | second << 32 | third << 16 | u64::from(self.values));
        let mut counts = self.counts.as_flattened().iter();
        while let Some(count) = counts.next() {
            let first = u64::from(*count) << 48;
            let others = counts.by_ref().take(3).zip([32, 16, 0]).map(|(count, shift)| u64::from(*count) << shift);
            words.push(others.fold(first, |word, count| word | count));
        }
    }

    pub(super) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let packed = words.next("number of signals")?;
        Self::of(packed, read(words)?)
    }

    /// Reads the words of version 1, which had the counts of the lowest bins.
    pub(super) fn migrate(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let packed = words.next("number of signals")?;
        let counts: [[u16; UPPER + 1]; SIGNALS] = read(words)?;
        let sums = counts.map(|counts| counts.iter().map(|count| u32::from(*count)).sum::<u32>());
        if sums != [packed as u16; SIGNALS].map(u32::from) {
            return Err(RestoreError::invalid("number of signals", packed));
        }
        Self::of(packed, counts.map(|[_, upper @ ..]| upper))
    }

    /// The tails of the tops and the number of values in `packed`, if these are possible.
    fn of(packed: u64, counts: [Counts; SIGNALS]) -> Result<Self, RestoreError> {
        let tops = [48, 32, 16].map(|shift| (packed >> shift) as u16 as i16);
        let values = packed as u16;
        let range = bin(SMALLEST).0..=bin(LARGEST).0;
        let is_possible = counts.iter().zip(tops).all(|(counts, top)| {
            let sum: u32 = counts.iter().map(|count| u32::from(*count)).sum();
            sum <= u32::from(values) && if top == NO_BIN { sum == 0 } else { range.contains(&top) }
        });
        if !is_possible || values >= CAP {
            return Err(RestoreError::invalid("number of signals", packed));
        }
        Ok(Self { counts, tops, values })
    }
}

/// Reads counts, four in a word; the unused part of the last word is 0.
fn read<const N: usize>(words: &mut Words<'_>) -> Result<[[u16; N]; SIGNALS], RestoreError> {
    let mut counts = [[0; N]; SIGNALS];
    for four in counts.as_flattened_mut().chunks_mut(4) {
        let word = words.next("counts of signals")?;
        let used = 64 - 16 * four.len() as u32;
        if word.trailing_zeros() < used {
            return Err(RestoreError::invalid("counts of signals", word));
        }
        for (count, shift) in four.iter_mut().zip([48, 32, 16, 0]) {
            *count = (word >> shift) as u16;
        }
    }
    Ok(counts)
}

/// The index of a bin at or below the top among the upper bins; `None` for the lowest bin.
#[inline]
fn index(top: i16, bin: i16) -> Option<usize> {
    usize::try_from(i32::from(bin) - (i32::from(top) - UPPER as i32 + 1)).ok()
}

/// The number of values before the newest one.
#[derive(Clone, Copy)]
struct Past {
    values: u16,
    /// That number with the newest one.
    n: f64,
}

impl Past {
    #[inline]
    fn of(values: u16) -> Self {
        Self { values, n: f64::from(values) + 1.0 }
    }

    /// The strangeness of a value of which `larger` values are larger.
    #[inline]
    fn strangeness(self, larger: f64) -> f64 {
        // The fifth power of 100 * n^0.4: most values are usual, and need no logarithm.
        let square = larger * larger;
        let is_usual = square * square * larger > 1e10 * (self.n * self.n);
        if is_usual { 0.0 } else { (self.length() - LOG10_2 * log2(larger)).max(0.0) }
    }

    #[inline]
    fn length(self) -> f64 {
        2.0 + BETA * log2(self.n)
    }
}

/// Minus the decimal logarithm of the share of larger values. Within its bin, a value divides the count.
#[inline]
fn share(counts: &Counts, top: i16, past: Past, (bin, within): (i16, f64), value: f64) -> f64 {
    if bin > top {
        let beyond = if top == NO_BIN { 0.0 } else { RECORD * log2(value / bound(i32::from(top) + 1)).max(0.0) };
        return past.length() + LOG10_2 + beyond;
    }
    let first_above = index(top, bin).map_or(0, |index| index + 1);
    // The sum of all counts is a u16. All are added, as a fixed number of them takes a few wide instructions.
    let (mut above, mut upper) = (0u16, 0u16);
    for (position, count) in (0u16..).zip(counts) {
        above += if position >= first_above as u16 { *count } else { 0 };
        upper += *count;
    }
    let own = match first_above {
        0 => past.values.saturating_sub(upper),
        next => counts.get(next - 1).copied().unwrap_or_default(),
    };
    past.strangeness(f64::from(own) * (1.0 - within) + f64::from(above) + 0.5)
}

/// Moves the bins up, so that `bin` is the top, or as far as [`KEPT`] admits.
#[cold]
fn extend(counts: &mut Counts, top: &mut i16, bin: i16, values: u16) {
    if *top == NO_BIN {
        *top = bin;
        return;
    }
    let wanted = (i32::from(bin) - i32::from(*top)).max(0) as usize;
    let shift = wanted.min(largest_shift(counts, values));
    *top += shift as i16;
    let shift = shift.min(UPPER);
    counts.copy_within(shift.., 0);
    counts[UPPER - shift..].fill(0);
}

/// The number of bins by which the top may rise.
fn largest_shift(counts: &Counts, values: u16) -> usize {
    let (kept, mut above) = (u32::from(values) / KEPT, 0);
    for (shift, count) in counts.iter().enumerate().rev() {
        above += u32::from(*count);
        if above > kept {
            return shift;
        }
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_value_is_the_stranger_the_fewer_are_larger() {
        let mut tails = Tails::START;
        for n in 0..30_000 {
            tails.update([1.0 + f64::from(n % 100) / 100.0, f64::from(n % 2), 0.0]);
        }
        let past = tails;
        let strangeness = |value| past.clone().update([value; SIGNALS]);
        let [low, middle, high, record] = [1.0, 1.9, 1.99, 20.0].map(|value| strangeness(value)[0]);
        assert!(low == 0.0 && low < middle && middle < high && high + 1.0 < record, "{low} {middle} {high} {record}");
        assert_eq!(strangeness(0.0), [0.0; SIGNALS]);
        assert!(strangeness(1e-9)[2] > 3.0, "nothing but zeros before");
        assert_eq!(past.width(), 2.0);
    }

    #[test]
    fn bins_are_bounded_by_their_values() {
        for value in [1e-60, 0.3, 1.0, 1.25, 7.9, 1e37, 1e60, f64::MAX] {
            let (bin, within) = bin(value);
            let (low, high) = (bound(i32::from(bin)), bound(i32::from(bin) + 1));
            assert!(low <= value.min(LARGEST) && value.min(LARGEST) < high, "{value} is not in {low}..{high}");
            assert!((0.0..1.0).contains(&within), "{value}: {within}");
        }
    }

    #[test]
    fn the_words_of_version_1_have_the_counts_of_the_lowest_bins() {
        // Ten counts of each signal: 5 and 2 of the first, and 7 in the lowest bins of the others.
        let tops = 100 << 48 | u64::from(NO_BIN as u16) << 32 | 3 << 16;
        let mut words = [tops | 7, 5 << 48, 2 << 48, 7 << 16, 0, 0, 7 << 48, 0, 0];
        let tails = Tails::migrate(&mut Words::new(&words)).expect("words of version 1");
        assert_eq!((tails.values, tails.tops), (7, [100, NO_BIN, 3]));
        assert_eq!(tails.counts, [[0, 0, 0, 2, 0, 0, 0, 0, 0], [0; 9], [0; 9]]);
        words[1] += 1 << 48;
        assert!(Tails::migrate(&mut Words::new(&words)).is_err(), "the sum is not the number of values");
    }

    #[test]
    fn a_large_value_is_forgotten_when_its_count_is_halved_away() {
        let mut tails = Tails::START;
        let usual = |n: u32| [1.0 + f64::from(n % 100) / 100.0, if n.is_multiple_of(2) { 0.0 } else { 1.0 }, 0.0];
        for n in 0..25_000 {
            tails.update(if n == 5000 { [7.0, 7.0, 7.0] } else { usual(n) });
        }
        assert_eq!(tails.largest(), Some(2.0));
        assert_eq!(tails.tops.map(|top| top != NO_BIN), [true, true, false]);
        let zeros = tails.update([1e-9; SIGNALS]);
        assert!(zeros[1] == 0.0 && zeros[2] > 3.0, "the zeros are below every bin: {zeros:?}");
    }

    #[test]
    fn usual_values_are_usual_after_the_extreme_ones_of_an_incident_are_forgotten() {
        let mut tails = Tails::START;
        let usual = |n: u32| [1.0 + f64::from(n * 7919 % 1009) / 100.0; SIGNALS];
        (0..15_000).for_each(|n| _ = tails.update(usual(n)));
        let records = [1e3, 1e4, 1e5, 1e6].map(|value| tails.update([value; SIGNALS])[0]);
        assert!(records.is_sorted(), "{records:?}");
        assert!(tails.clone().update([60.0; SIGNALS])[0] > 2.0, "nothing but the incident is larger");
        let strangest = (0..30_000).map(|n| tails.update(usual(n))[0]).fold(0.0, f64::max);
        assert!(strangest < 2.0, "{strangest}");
        assert_eq!(tails.largest(), Some(12.0), "the incident is forgotten");
    }

    #[test]
    fn saved_tails_are_restored_and_impossible_ones_are_refused() {
        let mut tails = Tails::START;
        for n in 0..45_000 {
            tails.update([f64::from(n % 1000), f64::from(n % 7), 1e-3 * f64::from(n)]);
        }
        let mut words = Vec::new();
        tails.save(&mut WordWriter::new(&mut words));
        assert_eq!((Tails::restore(&mut Words::new(&words)), words.len()), (Ok(tails), 8));
        for (index, word) in [(0, words[0] | 1 << 63), (0, words[0] & !0xffff), (1, 65_535 << 48), (7, words[7] | 1)] {
            let mut words = words.clone();
            words[index] = word;
            assert!(Tails::restore(&mut Words::new(&words)).is_err(), "word {index} as {word:#x}");
        }
    }
}
