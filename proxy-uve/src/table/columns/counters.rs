//! The counters of each source of each object.
//!
//! A counter is that of one sender: two vrouters that count the bytes of one network have two counters, and the bytes
//! of the network are the sum of both increases. So a reading is compared with the last one of its own source.
//!
//! * *The first reading* of a source is the counter's baseline: the time of its growth is not known. It counts as a
//!   sample for the liveness of the object, and adds nothing.
//! * *A lower reading* than the last one means that the counter was reset: the reading is the increase.
//! * *A reading older than the last one* adds nothing: the last one contains its increase.
//! * *A source expires* when it was silent for [`TableSettings::source_timeout`](crate::TableSettings), unknown time not
//!   counted: its next reading is a baseline.
//! * Samples without a source are of one unnamed source.
//!
//! Results must not depend on when a snapshot was taken. So sources that have expired for every sample that can still
//! be applied are [dropped at once](Counters::expire), with a change of their chunk, and none is found in a restored
//! table either.

use derived_stats::{Number, RestoreError, UpdateError, ValueType, Words, counter_increase};

use crate::table::by_source::{BySource, OverLimit, SourceId, SourceLimits, SourceNames};
use crate::table::unknown::UnknownTime;
use crate::wire::MAX_SOURCE_BYTES;

/// The last reading of each source of each object.
#[derive(Debug)]
pub(in crate::table) struct Counters {
    value_type: ValueType,
    readings: BySource<LastReading>,
}

/// A reading in the type of the counters, and the time of its sample in microseconds.
#[derive(Clone, Copy, Debug)]
struct LastReading {
    at: u64,
    value: Number,
}

/// How long sources are kept, and how many.
#[derive(Clone, Copy, Debug)]
pub(in crate::table) struct SourceRules<'p> {
    pub(in crate::table) unknown: &'p UnknownTime,
    /// See [`TableSettings::source_timeout`](crate::TableSettings), in microseconds.
    pub(in crate::table) timeout: u64,
    pub(in crate::table) limits: SourceLimits,
    /// Every window that ends at or before this time is closed, in microseconds.
    pub(in crate::table) watermark: u64,
    /// No sample that is applied from now on is older, in microseconds. A multiple of a part of the timeout, so that
    /// sources need not be looked through for each new watermark.
    pub(in crate::table) oldest: u64,
}

/// A sample of a source.
#[derive(Clone, Copy, Debug)]
pub(in crate::table) struct SourceSample {
    pub(in crate::table) slot: usize,
    pub(in crate::table) source: SourceId,
    pub(in crate::table) at: u64,
    pub(in crate::table) value: Number,
}

/// What a column takes of a sample.
#[derive(Clone, Copy, Debug)]
pub(in crate::table) enum Taken {
    /// The increase of a counter since its reading of this time, in microseconds.
    Increase { since: u64, value: Number },
    /// The sample.
    Sample(Number),
}

/// The effect of a sample that was accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::table) enum Accepted {
    /// It has changed the value of a window or of an inline attribute.
    Added,
    /// It is a counter's reading that adds nothing: a baseline, or older than the last one.
    OnlyRead,
}

/// Why a sample was not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::table) enum NotAccepted {
    /// Its windows are closed.
    Late,
    /// It is of a further source of an object or chunk that has as many as are allowed.
    OverLimit,
    /// No state takes its value.
    Refused,
}

pub(in crate::table) type Outcome = Result<Accepted, NotAccepted>;

/// The outcome of a sample for several states: that of the state with the largest effect.
pub(in crate::table) fn best(one: Outcome, other: Outcome) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Err(NotAccepted::Late) => 0,
        Err(NotAccepted::Refused) => 1,
        Err(NotAccepted::OverLimit) => 2,
        Ok(Accepted::OnlyRead) => 3,
        Ok(Accepted::Added) => 4,
    };
    if rank(&other) > rank(&one) { other } else { one }
}

impl From<UpdateError> for NotAccepted {
    fn from(_: UpdateError) -> Self {
        Self::Refused
    }
}

impl From<OverLimit> for NotAccepted {
    fn from(OverLimit: OverLimit) -> Self {
        Self::OverLimit
    }
}

impl SourceRules<'_> {
    /// Whether a source whose last sample is of time `last` has expired at time `now`.
    fn is_expired(&self, last: u64, now: u64) -> bool {
        // The usual case first: unknown time only shortens the silence.
        now.saturating_sub(last) > self.timeout && self.unknown.known_between(last, now) > self.timeout
    }

    /// Whether a source whose last sample is of time `last` has expired for every sample that can still be applied.
    fn is_expired_for_all(&self, last: u64) -> bool {
        self.is_expired(last, self.oldest)
    }
}

impl Counters {
    /// The version of the words that [`save`](Self::save) writes. Version 1 has one reading, without source and time.
    pub(in crate::table) const VERSION: u16 = 2;

    pub(in crate::table) fn new(value_type: ValueType) -> Self {
        Self { value_type, readings: BySource::default() }
    }

    /// Passes the increase since the last reading of the source to `add`, with the time of that reading. If `add` refuses it, the last reading stays,
    /// and the next increase includes this one.
    pub(in crate::table) fn update(
        &mut self,
        names: &mut SourceNames,
        rules: &SourceRules<'_>,
        sample: &SourceSample,
        add: impl FnOnce(Taken) -> Result<(), UpdateError>,
    ) -> Outcome {
        let &SourceSample { slot, source, at, value } = sample;
        let value = value.to_type(self.value_type).ok_or(NotAccepted::Refused)?;
        let reading = LastReading { at, value };
        let Some(last) = self.readings.get_mut(slot, source) else {
            self.readings.add(names, rules.limits, slot, source, reading)?;
            return Ok(Accepted::OnlyRead);
        };
        if rules.is_expired(last.at, at) {
            *last = reading;
            return Ok(Accepted::OnlyRead);
        }
        let is_lower = value.as_f64() < last.value.as_f64();
        // A counter cannot be reset within a microsecond: the order of the two is not known.
        if at < last.at || (at == last.at && is_lower) {
            return Ok(Accepted::OnlyRead);
        }
        let increase = counter_increase(self.value_type, last.value, value);
        let before = std::mem::replace(last, reading);
        let since = before.at;
        // After a difference that the type cannot hold, the next one counts from this reading.
        add(Taken::Increase { since, value: increase? }).inspect_err(|_| *last = before)?;
        Ok(Accepted::Added)
    }

    /// Takes a reading of 0, at a time whose window is closed: the counter of the source began then, if it has no newer
    /// reading. It adds nothing to any window, and the next increase counts from it.
    pub(in crate::table) fn start(
        &mut self,
        names: &mut SourceNames,
        rules: &SourceRules<'_>,
        slot: usize,
        source: SourceId,
        at: u64,
    ) -> Outcome {
        if rules.is_expired_for_all(at) {
            return Err(NotAccepted::Late);
        }
        let value = Number::U64(0).to_type(self.value_type).ok_or(NotAccepted::Refused)?;
        let reading = LastReading { at, value };
        match self.readings.get_mut(slot, source) {
            None => self.readings.add(names, rules.limits, slot, source, reading)?,
            Some(last) if at > last.at => *last = reading,
            Some(_) => {}
        }
        Ok(Accepted::OnlyRead)
    }

    /// Drops the sources that have expired for every sample that can still be applied, and calls `changed` with the
    /// slot of each object that had such a source.
    pub(in crate::table) fn expire(
        &mut self,
        names: &mut SourceNames,
        rules: &SourceRules<'_>,
        changed: impl FnMut(usize),
    ) {
        self.readings.retain_all(names, |last| !rules.is_expired_for_all(last.at), changed);
    }

    /// Drops the readings of an object.
    pub(in crate::table) fn clear(&mut self, names: &mut SourceNames, slot: usize) {
        self.readings.clear(names, slot);
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(in crate::table) fn shrink(&mut self, names: &mut SourceNames, slots: usize) {
        self.readings.shrink(names, slots);
    }

    /// Appends the words of an object's readings: their number, then for each the source's name (its length, then eight
    /// bytes in a word), time and value. None for an object without readings.
    pub(in crate::table) fn save(&self, names: &SourceNames, slot: usize, words: &mut Vec<u64>) -> Option<()> {
        let mut readings: Vec<_> =
            self.readings.iter(slot).map(|(source, reading)| (names.name(source), reading)).collect();
        // By name: ids depend on the order of the first samples since the start.
        readings.sort_unstable_by_key(|(name, _)| *name);
        words.push(readings.len() as u64);
        for (name, reading) in &readings {
            save_text(name, words);
            words.extend([reading.at, reading.value.bits()]);
        }
        (!readings.is_empty()).then_some(())
    }

    /// Restores the words that [`save`](Self::save) wrote, or those of `version` 1, whose reading is of time `newest`.
    /// No reading can be newer.
    pub(in crate::table) fn restore(
        &mut self,
        names: &mut SourceNames,
        slot: usize,
        version: u16,
        words: &mut Words<'_>,
        newest: u64,
    ) -> Result<(), RestoreError> {
        let mut readings = Vec::new();
        if version == 1 {
            let has_reading = words.flag(READING)?;
            let value = self.restore_value(words)?;
            readings.extend(has_reading.then(|| (names.intern(""), LastReading { at: newest, value })));
        } else {
            for _ in 0..words.next("number of sources")? {
                let name = restore_text(words)?;
                let at = words.next(TIME)?;
                if at > newest {
                    return Err(RestoreError::invalid(TIME, at));
                }
                let value = self.restore_value(words)?;
                readings.push((names.intern(&name), LastReading { at, value }));
            }
        }
        self.readings.restore(names, slot, readings);
        Ok(())
    }

    /// Takes over a reading of the unnamed source from an inline state, where earlier versions saved it.
    pub(in crate::table) fn take_over(&mut self, names: &mut SourceNames, slot: usize, at: u64, value: Number) {
        let source = names.intern("");
        self.readings.restore(names, slot, vec![(source, LastReading { at, value })]);
    }

    fn restore_value(&self, words: &mut Words<'_>) -> Result<Number, RestoreError> {
        let bits = words.next(READING)?;
        let value = Number::from_bits(self.value_type, bits);
        value.is_finite().then_some(value).ok_or_else(|| RestoreError::invalid(READING, bits))
    }
}

const TIME: &str = "time of a counter reading";

const READING: &str = "counter reading";

pub(super) fn save_text(text: &str, words: &mut Vec<u64>) {
    words.push(text.len() as u64);
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    words.extend(text.as_bytes().chunks(8).map(word));
}

pub(super) fn restore_text(words: &mut Words<'_>) -> Result<String, RestoreError> {
    const FIELD: &str = "name of a source";
    let length = words.next(FIELD)?;
    if length > MAX_SOURCE_BYTES as u64 {
        return Err(RestoreError::invalid(FIELD, length));
    }
    let mut bytes = Vec::new();
    for _ in 0..length.div_ceil(8) {
        bytes.extend(words.next(FIELD)?.to_le_bytes());
    }
    bytes.truncate(length as usize);
    String::from_utf8(bytes).map_err(|_| RestoreError::invalid(FIELD, length))
}
