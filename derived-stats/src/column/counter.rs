//! The last readings of many counters.

use alloc::vec::Vec;

use crate::algorithm::UpdateError;
use crate::number::{Number, Numeric, ValueType};
use crate::saved::{RestoreError, Words};
use crate::spec::{Spec, difference};

/// The last reading of each object's cumulative counter.
#[derive(Clone, Debug)]
pub struct CounterColumn {
    value_type: ValueType,
    readings: Vec<Option<Number>>,
}

impl CounterColumn {
    /// The version of the words that [`save`](Self::save) writes.
    pub const VERSION: u16 = 1;

    /// An empty column of the spec's element type.
    pub fn new(spec: &Spec) -> Self {
        Self { value_type: spec.value_type(), readings: Vec::new() }
    }

    /// Calls `take` with the difference to the last reading of the object, by the rule of
    /// [`MetricKind::Agg`](crate::MetricKind::Agg). If `take` refuses the difference, the last reading stays, and the
    /// next difference includes this one.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] if the value is not a reading or the difference does not fit, and the error of `take`.
    pub fn update(
        &mut self,
        slot: usize,
        reading: Number,
        take: impl FnOnce(Number) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        if slot >= self.readings.len() {
            self.readings.resize(slot + 1, None);
        }
        let last = &mut self.readings[slot];
        let before = *last;
        let taken = take(difference(self.value_type, last, reading)?);
        if taken.is_err() {
            *last = before;
        }
        taken
    }

    /// Whether the object has a last reading.
    pub(super) fn has_reading(&self, slot: usize) -> bool {
        self.readings.get(slot).is_some_and(Option::is_some)
    }

    /// Takes the last reading of the object out.
    pub fn take(&mut self, slot: usize) -> Option<Number> {
        self.readings.get_mut(slot).and_then(Option::take)
    }

    /// Drops the last reading of the object: the next difference is the whole next reading.
    pub fn clear(&mut self, slot: usize) {
        if let Some(reading) = self.readings.get_mut(slot) {
            *reading = None;
        }
    }

    /// Reserves capacity for `slots` slots in total.
    pub fn reserve(&mut self, slots: usize) {
        self.readings.reserve_exact(slots.saturating_sub(self.readings.len()));
    }

    /// Drops the slots from `slots` on and frees their memory.
    pub fn shrink(&mut self, slots: usize) {
        self.readings.truncate(slots);
        self.readings.shrink_to_fit();
    }

    /// The allocated bytes.
    pub fn bytes(&self) -> usize {
        self.readings.capacity() * size_of::<Option<Number>>()
    }

    /// Appends the words of the reading of the object.
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        let reading = self.readings.get(slot).copied().flatten();
        words.extend(reading.map_or([0, 0], |reading| [1, reading.bits()]));
    }

    /// Restores the words that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the slot is then unchanged.
    pub fn restore(&mut self, slot: usize, words: &mut Words<'_>) -> Result<(), RestoreError> {
        match restore_reading(self.value_type, words)? {
            None => self.clear(slot),
            Some(reading) => {
                if slot >= self.readings.len() {
                    self.readings.resize(slot + 1, None);
                }
                self.readings[slot] = Some(reading);
            }
        }
        Ok(())
    }
}

/// Reads a counter reading of this type; `None` if it is absent.
pub(crate) fn restore_reading(value_type: ValueType, words: &mut Words<'_>) -> Result<Option<Number>, RestoreError> {
    const FIELD: &str = "counter reading";
    Ok(match value_type {
        ValueType::F64 => words.optional_finite::<f64>(FIELD)?.map(Numeric::into_number),
        ValueType::I64 => words.optional_finite::<i64>(FIELD)?.map(Numeric::into_number),
        ValueType::U64 => words.optional_finite::<u64>(FIELD)?.map(Numeric::into_number),
    })
}
