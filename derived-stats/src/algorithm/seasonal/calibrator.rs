//! The calibration of a signal against its own past.

use crate::math::{ln, log10, scaled, split};
use crate::saved::{RestoreError, WordWriter, Words};

/// The number of bins.
const BINS: usize = 48;

/// Bins per power of two.
const PER_OCTAVE: i32 = 8;

/// The bins end where one value in this number is still above the lowest one, as far as it was before. Otherwise some
/// extreme values would move all usual ones into the lowest bin, and it would no longer be known where they were when
/// the extreme ones are forgotten.
const KEPT: u32 = 64;

/// The number of values before a share is computed.
const WARM: u16 = 50;

/// The weight of the length of the past.
const BETA: f64 = 0.4;

/// The weight of the logarithm of the ratio to the largest value so far.
const RECORD: f64 = 0.5;

/// At this number of values all counts are halved, and the largest value and its bin decay.
const CAP: u16 = 20_000;

/// The least number of values after that: each bin rounds down.
pub(super) const HALVED: u16 = (CAP - BINS as u16) / 2;

/// The decay of the largest value.
const DECAY: f64 = 0.98;

/// The share of the values beyond [`Calibrator::width`].
const WIDTH_SHARE: f64 = 0.01;

/// The number of values before there is a width.
const WIDTH_WARM: u16 = 20;

/// The largest value by size that any signal takes, far above the ratio of the largest residual to the smallest
/// deviation.
const LARGEST: f64 = 1e170;

/// Minus the decimal logarithm of the share of the past values that are larger, from a logarithmic histogram that ends
/// at the largest value, or below it if that is extreme: 112 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Calibrator {
    /// The counts, in [0, 20000] together. The lowest bin also counts all smaller values and the zeros, the highest one
    /// all larger values.
    counts: [u16; BINS],
    /// The sum of the counts.
    values: u16,
    /// The highest bin; [`NO_BIN`] before the first value above 0.
    top: i16,
    /// The largest value, which decays at each halving.
    largest: f64,
}

/// Below the bin of every double.
const NO_BIN: i16 = i16::MIN;

/// The bin of a positive double: eight linear steps in each power of two.
#[inline]
fn bin(value: f64) -> i16 {
    let (m, e) = split(value);
    (e * PER_OCTAVE + ((2.0 * m - 1.0) * f64::from(PER_OCTAVE)) as i32) as i16
}

/// The lower bound of a bin.
#[inline]
fn bound(bin: i32) -> f64 {
    let (e, step) = (bin.div_euclid(PER_OCTAVE), bin.rem_euclid(PER_OCTAVE));
    scaled(0.5 * (1.0 + f64::from(step) / f64::from(PER_OCTAVE)), e)
}

/// Whether 2 + 0.4 log10(n) - log10(c) is below 0, for `c` values that are larger and `n` in all: without logarithms,
/// and false if rounding could decide. Most values are usual.
#[inline]
fn is_usual(c: f64, n: f64) -> bool {
    let square = c * c;
    square * square * c > 1.000_001e10 * (n * n)
}

/// The term of the length of the past in (1) of [`seasonal`](super), kept for the next calibrator: those of one series
/// count the same values, until they halve their counts.
#[derive(Clone, Copy)]
pub(super) struct Length {
    values: u16,
    term: f64,
}

impl Length {
    /// No calibrator has so many values.
    pub(super) const UNKNOWN: Self = Self { values: u16::MAX, term: 0.0 };

    /// The term for a number of values.
    #[inline]
    fn of(&mut self, values: u16) -> f64 {
        if self.values != values {
            *self = Self { values, term: 2.0 + BETA * log10(f64::from(values) + 1.0) };
        }
        self.term
    }
}

impl Calibrator {
    pub(super) const START: Self = Self { counts: [0; BINS], values: 0, top: NO_BIN, largest: 0.0 };

    /// The strangeness of a value, 0 or more, among the values before it; then counts the value.
    #[inline]
    pub(super) fn update(&mut self, value: f64) -> f64 {
        let mut length = Length::UNKNOWN;
        self.update_in_turn(value, &mut length)
    }

    /// [`update`](Self::update) of one calibrator after the other, which keep the term of the length for the next one.
    #[inline]
    pub(super) fn update_in_turn(&mut self, value: f64, length: &mut Length) -> f64 {
        let mut strangeness = 0.0;
        if value > 0.0 {
            let bin = bin(value);
            if self.values >= WARM {
                strangeness = self.strangeness(value, bin, length);
            }
            if bin > self.top {
                self.extend_to(bin);
            }
            let index = self.index(bin);
            if let Some(count) = self.counts.get_mut(index) {
                *count += 1;
            }
            self.largest = self.largest.max(value);
        } else {
            self.counts[0] += 1;
        }
        self.values += 1;
        if self.values >= CAP {
            self.halve();
        }
        strangeness
    }

    /// The index of a bin; that of the top if it is above.
    #[inline]
    fn index(&self, bin: i16) -> usize {
        (i32::from(bin.min(self.top)) - (i32::from(self.top) - BINS as i32 + 1)).max(0) as usize
    }

    #[inline]
    fn strangeness(&self, value: f64, bin: i16, length: &mut Length) -> f64 {
        let mut larger = 0.0;
        if bin <= self.top || value <= self.largest {
            let index = self.index(bin);
            // The sum of all counts is a u16. All are added, as a fixed number of them takes a few wide instructions.
            let counts = self.counts.iter().zip(0..);
            let above: u16 = counts.map(|(count, position)| if position > index as u16 { *count } else { 0 }).sum();
            let own = self.counts.get(index).copied().unwrap_or_default();
            larger = 0.5 * f64::from(own) + f64::from(above);
        }
        if is_usual(larger + 0.5, f64::from(self.values) + 1.0) {
            return 0.0;
        }
        let mut strangeness = length.of(self.values) - log10(larger + 0.5);
        if value > self.largest && self.largest > 0.0 {
            strangeness += RECORD * ln((value / self.largest).min(f64::MAX));
        }
        strangeness.max(0.0)
    }

    /// Moves the bins up, so that `bin` is the top, or as far as [`KEPT`] admits.
    #[cold]
    fn extend_to(&mut self, bin: i16) {
        if self.top == NO_BIN {
            self.top = bin;
            return;
        }
        let wanted = (i32::from(bin) - i32::from(self.top)).max(0) as usize;
        let shift = wanted.min(self.largest_shift());
        // Without values that are to be kept, the bins move farther than their number.
        self.top += shift as i16;
        let shift = shift.min(BINS);
        let lowest = self.counts.iter().take(shift + 1).sum();
        self.counts.copy_within(shift.., 0);
        self.counts[BINS - shift..].fill(0);
        self.counts[0] = lowest;
    }

    /// The number of bins by which the top may rise.
    fn largest_shift(&self) -> usize {
        let (kept, mut above) = (u32::from(self.values) / KEPT, 0);
        for (shift, count) in self.counts.iter().enumerate().skip(1).rev() {
            above += u32::from(*count);
            if above > kept {
                return shift - 1;
            }
        }
        usize::MAX
    }

    #[cold]
    fn halve(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2);
        self.values = self.counts.iter().sum();
        self.largest *= DECAY;
        self.lower_top();
    }

    /// Makes the highest bin with values the top, so that a large value is forgotten once its count is halved to 0. The
    /// values of the lowest bin stay there, because most of them are zeros.
    fn lower_top(&mut self) {
        let highest = self.counts.iter().rposition(|count| *count > 0).unwrap_or_default();
        if highest == 0 {
            (self.top, self.largest) = (NO_BIN, 0.0);
            return;
        }
        let shift = BINS - 1 - highest;
        if shift == 0 {
            return;
        }
        self.counts.copy_within(1..=highest, 1 + shift);
        self.counts[1..=shift].fill(0);
        self.top -= shift as i16;
        self.largest = self.largest.min(bound(i32::from(self.top) + 1).next_down());
    }

    /// The number of values that are counted: all of them, until [`CAP`] of them are halved to [`HALVED`] or more.
    #[inline]
    pub(super) fn values(&self) -> u16 {
        self.values
    }

    /// The largest value so far, which decays.
    #[inline]
    pub(super) fn largest(&self) -> f64 {
        self.largest
    }

    /// The lower bound of the bin above the one that holds the 99th percentile; 0 if there are few values.
    pub(super) fn width(&self) -> f64 {
        if self.values <= WIDTH_WARM || self.top == NO_BIN {
            return 0.0;
        }
        let (most, mut above) = ((WIDTH_SHARE * f64::from(self.values)) as u16, 0);
        for (below_top, count) in (0..).zip(self.counts.iter().rev()) {
            above += count;
            if above > most {
                return bound(i32::from(self.top) - below_top + 1);
            }
        }
        0.0
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        words.extend([self.largest.to_bits(), u64::from(self.top as u16) << 16 | u64::from(self.values)]);
        let (packed, _) = self.counts.as_chunks::<4>();
        words.extend(packed.iter().map(|four| four.iter().fold(0, |word, count| word << 16 | u64::from(*count))));
    }

    pub(super) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let largest: f64 = words.finite("largest signal")?;
        let packed = words.next("number of signals")?;
        let (values, top) = (packed as u16, (packed >> 16) as u16 as i16);
        let mut counts = [0; BINS];
        for four in counts.as_chunks_mut::<4>().0 {
            let word = words.next("counts of a signal")?;
            *four = [48, 32, 16, 0].map(|shift| (word >> shift) as u16);
        }
        let sum: u32 = counts.iter().map(|count| u32::from(*count)).sum();
        if packed >> 32 != 0 || sum != u32::from(values) || values >= CAP {
            return Err(RestoreError::invalid("number of signals", packed));
        }
        // The largest value decays at once, its bin when it has no counts.
        let is_largest = match top != NO_BIN {
            true => largest > 0.0 && largest <= LARGEST && top <= bin(LARGEST),
            false => largest.to_bits() == 0 && counts.iter().skip(1).all(|count| *count == 0),
        };
        if !is_largest {
            return Err(RestoreError::invalid("largest signal", largest.to_bits()));
        }
        Ok(Self { counts, values, top, largest })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_bin_is_an_eighth_of_an_octave() {
        assert_eq!([1.0, 1.124, 1.125, 1.99, 2.0, 0.5].map(bin), [8, 8, 9, 15, 16, 0]);
        assert!(bin(f64::from_bits(1)) > NO_BIN && bin(LARGEST) < i16::MAX);
    }

    #[test]
    fn a_value_is_the_stranger_the_fewer_are_larger() {
        let mut calibrator = Calibrator::START;
        for n in 0..1000 {
            calibrator.update(1.0 + f64::from(n % 100) / 100.0);
        }
        let past = calibrator;
        let strangeness = |value| past.clone().update(value);
        assert_eq!((strangeness(0.0), strangeness(1.0) < 0.4), (0.0, true));
        // 2 + 0.4 * log10(1001) - log10(0.5): nothing is larger; and the record is beaten by the factor e.
        let record = 2.0 + 0.4 * 1001f64.log10() - 0.5f64.log10();
        assert!((strangeness(1.99 * core::f64::consts::E) - (record + 0.5)).abs() < 1e-12);
        assert!(strangeness(1.3) < strangeness(1.6) && strangeness(1.6) < strangeness(1.9));
        assert_eq!(past.width(), 2.0, "the bin above the largest values starts at 2");
    }

    #[test]
    fn a_usual_value_is_found_without_logarithms() {
        for n in [51.0, 700.0, 9999.0, 20_000.0f64] {
            for c in 0..20_000 {
                let c = f64::from(c) + 0.5;
                let strangeness = 2.0 + BETA * n.log10() - c.log10();
                assert!(!is_usual(c, n) || strangeness < 0.0, "{c} of {n}");
                assert!(is_usual(c, n) || strangeness > -1e-6, "{c} of {n}");
            }
        }
    }

    #[test]
    fn counts_stay_below_the_cap() {
        let mut calibrator = Calibrator::START;
        for n in 0..100_000u32 {
            calibrator.update(f64::from(n % 7));
            assert!(calibrator.values < CAP);
        }
        assert_eq!(calibrator.counts.iter().sum::<u16>(), calibrator.values);
    }

    #[test]
    fn a_large_value_is_forgotten_when_its_count_is_halved_away() {
        let mut calibrator = Calibrator::START;
        let usual = |n: u32| if n.is_multiple_of(2) { 0.0 } else { 1.0 + f64::from(n % 100) / 100.0 };
        let update = |range: core::ops::Range<u32>, calibrator: &mut Calibrator| {
            for n in range {
                calibrator.update(usual(n));
            }
        };
        update(0..5000, &mut calibrator);
        let before = calibrator;
        assert!(calibrator.update(60.0) > 3.0);
        assert_eq!((calibrator.top, calibrator.largest), (before.top + 40, 60.0));
        update(5000..26_000, &mut calibrator);
        assert_eq!((calibrator.top, calibrator.largest), (before.top, 2f64.next_down()));
        assert!(calibrator.update(1.999) > 0.5 && calibrator.update(1e-3) == 0.0, "half of the values are 0");
        let mut zeros = Calibrator::START;
        zeros.update(9.0);
        for _ in 0..50_000 {
            zeros.update(0.0);
        }
        assert_eq!((zeros.top, zeros.largest, zeros.counts[0]), (NO_BIN, 0.0, zeros.values));
    }

    #[test]
    fn usual_values_are_usual_after_the_extreme_ones_of_an_incident_are_forgotten() {
        let mut calibrator = Calibrator::START;
        let usual = |n: u32| 1.0 + f64::from(n * 7919 % 1009) / 100.0;
        (0..15_000).for_each(|n| _ = calibrator.update(usual(n)));
        let [records @ .., newest] = [1e3, 1e4, 1e5, 1e6, 5e5].map(|value| calibrator.update(value));
        assert!(records.iter().all(|record| *record > 5.0), "each is the largest so far: {records:?}");
        assert!(newest > 3.0 && newest < 4.0, "one is larger: {newest}");
        assert!(calibrator.clone().update(30.0) > 2.0, "nothing but the incident is larger");
        let strangest = (0..30_000).map(|n| calibrator.update(usual(n))).fold(0.0, f64::max);
        assert!(strangest < 2.0, "{strangest}");
        assert_eq!(calibrator.largest, 12f64.next_down(), "the incident is forgotten");
    }

    #[test]
    fn counts_that_no_values_lead_to_are_refused() {
        let mut calibrator = Calibrator::START;
        for n in 0..100 {
            calibrator.update(f64::from(n));
        }
        let mut words = Vec::new();
        calibrator.save(&mut WordWriter::new(&mut words));
        assert_eq!(Calibrator::restore(&mut Words::new(&words)), Ok(calibrator));
        let cases = [
            (0, 0),
            (0, f64::NAN.to_bits()),
            (0, 1e171f64.to_bits()),
            (1, words[1] + 1),
            (1, words[1] | 1 << 40),
            (2, words[2] + 1),
        ];
        for (index, word) in cases {
            let mut words = words.clone();
            words[index] = word;
            assert!(Calibrator::restore(&mut Words::new(&words)).is_err(), "word {index} as {word:#x}");
        }
    }
}
