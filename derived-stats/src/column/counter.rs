//! The last readings of many counters.

use super::{cut, each, empty, grown};
use crate::algorithm::UpdateError;
use crate::number::{Number, Numeric};
use crate::saved::{RestoreError, Words};
use crate::spec::{Spec, Typed, difference};

/// The last reading of each object's cumulative counter.
#[derive(Clone, Debug)]
pub struct CounterColumn(Typed<Readings<f64>, Readings<i64>, Readings<u64>>);

type Readings<T> = Vec<Option<T>>;

impl CounterColumn {
    /// An empty column of the spec's element type.
    pub fn new(spec: &Spec) -> Self {
        Self(match spec.shape() {
            Typed::F64(_) => Typed::F64(Vec::new()),
            Typed::I64(_) => Typed::I64(Vec::new()),
            Typed::U64(_) => Typed::U64(Vec::new()),
        })
    }

    /// Gives `take` the difference to the object's last reading, by the rule of
    /// [`MetricKind::Agg`](crate::MetricKind::Agg). If `take` refuses it, the last reading stays, and the next
    /// difference holds this one too.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] when the value is no reading or the difference does not fit, and what `take` says.
    pub fn update(
        &mut self,
        slot: usize,
        reading: Number,
        take: impl FnOnce(Number) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        each!(&mut self.0, |column| update_reading(grown(column, slot), reading, take))
    }

    /// The object starts anew: its next reading is a whole difference.
    pub fn clear(&mut self, slot: usize) {
        each!(&mut self.0, |column| empty(column, slot));
    }

    /// Gives back memory beyond `slots`.
    pub fn shrink(&mut self, slots: usize) {
        each!(&mut self.0, |column| cut(column, slots));
    }

    /// Appends the words of the object's reading.
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        each!(&self.0, |column| {
            let reading = column.get(slot).copied().flatten();
            words.extend(reading.map_or([0, 0], |reading| [1, Numeric::to_bits(reading)]));
        });
    }

    /// Reads back what [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the slot is then unchanged.
    pub fn restore(&mut self, slot: usize, words: &mut Words<'_>) -> Result<(), RestoreError> {
        each!(&mut self.0, |column| {
            let reading = words.optional_finite("counter reading")?;
            *grown(column, slot) = reading;
        });
        Ok(())
    }
}

fn update_reading<T: Numeric>(
    last: &mut Option<T>,
    reading: Number,
    take: impl FnOnce(Number) -> Result<(), UpdateError>,
) -> Result<(), UpdateError> {
    let before = *last;
    let taken = take(difference(last, T::from_number(reading)?)?.into_number());
    if taken.is_err() {
        *last = before;
    }
    taken
}
