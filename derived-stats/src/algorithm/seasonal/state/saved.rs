//! The saved words of one object.

use super::{NEVER, SIGNALS, SeasonalMemory};
use crate::algorithm::large::LARGEST;
use crate::algorithm::scored::{BOUND, Clock, bounded, positive};
use crate::algorithm::seasonal::calibrator::Calibrator;
use crate::algorithm::seasonal::memory::Memory;
use crate::algorithm::seasonal::shift::{ShiftSignal, Start};
use crate::algorithm::seasonal::spread::SpreadSignal;
use crate::saved::{RestoreError, WordWriter, Words};

/// Above the asinh of every double, which is at most 745 by size.
const COMPRESSED: f64 = 1e3;

const SINCE_BEYOND: &str = "values since a large one";

impl SeasonalMemory {
    pub(in crate::algorithm::seasonal) fn save(&self, words: &mut WordWriter<'_>) {
        let Self { size, mean, last, run, r4, a12, fast_level, level, level_variance, .. } = *self;
        words.extend([size, mean, last, run, r4, a12, fast_level, level, level_variance].map(f64::to_bits));
        words.extend([self.z_mean, self.z_variance, self.peak, self.since].map(f64::to_bits));
        self.long_spread.save(words);
        self.short_spread.save(words);
        self.memory.save(words);
        self.calibrators.iter().for_each(|calibrator| calibrator.save(words));
        words.push(u64::from(self.since_beyond) << 32 | u64::from(self.shift_start.bits()));
        self.shift.save(words);
    }

    /// Reads the words of a version. Version 1 had no limit, versions 1 to 3 no signal of shifts, which then starts
    /// late, and version 4 no time of that start. `clock` is the restored clock.
    pub(in crate::algorithm::seasonal) fn restore(
        version: u16,
        words: &mut Words<'_>,
        clock: &Clock,
    ) -> Result<Self, RestoreError> {
        let mut state = Self::read_signals(words)?;
        for calibrator in &mut state.calibrators {
            *calibrator = Calibrator::restore(words)?;
        }
        match version {
            1 => {}
            2..=4 => state.since_beyond = positive(words, SINCE_BEYOND, 1e18)? as u32,
            _ => {
                let word = words.next(SINCE_BEYOND)?;
                (state.since_beyond, state.shift_start) = ((word >> 32) as u32, Start::of_bits(word as u32));
            }
        }
        if version > 3 {
            state.shift = ShiftSignal::restore(words)?;
        }
        let of_series = state.calibrators.first().map_or(0, Calibrator::values);
        match version {
            // A state without values is that of a new object.
            1..=3 if clock.samples() > 0 => state.shift_start = Start::now(clock),
            4 => state.shift_start = state.shift.start_of_version_4(of_series, clock),
            _ => {}
        }
        Ok(state)
    }

    /// Reads the words before the calibrators.
    fn read_signals(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        Ok(Self {
            size: positive(words, "size", LARGEST)?,
            mean: bounded(words, "mean", 2.0 * LARGEST)?,
            last: bounded(words, "last value", LARGEST)?,
            run: positive(words, "run", 1e18)?,
            r4: bounded(words, "mean residual", 4.0 * LARGEST)?,
            a12: bounded(words, "mean compressed residual", 2.0 * COMPRESSED)?,
            fast_level: bounded(words, "fast level", COMPRESSED)?,
            level: bounded(words, "level", COMPRESSED)?,
            level_variance: positive(words, "variance of the level", 4.0 * COMPRESSED * COMPRESSED)?,
            z_mean: bounded(words, "mean of z", 2.0 * LARGEST)?,
            z_variance: positive(words, "variance of z", BOUND)?,
            peak: positive(words, "peak", COMPRESSED)?,
            since: positive(words, "values since the peak", 1e18)?,
            since_beyond: NEVER as u32,
            shift_start: Start::WITH_SERIES,
            long_spread: SpreadSignal::restore(words)?,
            short_spread: SpreadSignal::restore(words)?,
            shift: ShiftSignal::START,
            memory: Memory::restore(words)?,
            calibrators: [Calibrator::START; SIGNALS],
        })
    }
}
