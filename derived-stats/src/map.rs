//! `mstats`: a pipeline for each key of a map-valued metric.
//!
//! The rules of an update are those of the original: a key that is not in the map does not change, a key with the
//! delete mark is dropped with the sum of its open period, a new key with the mark is not created, and an empty map
//! drops all keys. Two defects of the original are fixed: dropping a key also drops its detector (in the original the
//! detector stays and takes a 0 for each period), and the rule for silence applies to each key (in the original a key
//! takes zeros while any other key is active).

mod update;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::algorithm::UpdateError;
#[cfg(feature = "parser")]
use crate::annotation::AnnotationError;
use crate::number::Number;
#[cfg(feature = "parser")]
use crate::number::ValueType;
use crate::output::Output;
use crate::report::Report;
use crate::saved::{RestoreError, STATE_VERSION, Words};
#[cfg(feature = "parser")]
use crate::spec::Context;
use crate::spec::{Silence, Spec};
use crate::state::State;

pub(crate) use self::update::{Keys, update};

/// A pipeline for each key, under one spec. Keys are ordered by their bytes, so the order of results is stable.
///
/// ```
/// use std::sync::Arc;
///
/// use derived_stats::{Context, MapPipeline, Number, Spec, ValueType};
///
/// let spec = Spec::parse("tsm:DSSum", Context::new(ValueType::U64))?;
/// let mut tenants = MapPipeline::new(Arc::new(spec));
/// tenants.update(0, [("blue", Number::U64(3)), ("red", Number::U64(4))], [])?;
/// tenants.update(1, [("blue", Number::U64(2)), ("red", Number::U64(0))], ["red"])?;
/// let keys: Vec<_> = tenants.reports(1).map(|(key, _)| key).collect();
/// assert_eq!(keys, ["blue"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MapPipeline {
    spec: Arc<Spec>,
    keys: BTreeMap<Box<str>, State>,
    silence: Silence,
    periods: u64,
    /// Whether a map, even an empty one, was taken in the open period.
    seen: bool,
}

/// The error of a map update: the first refused sample and its key. The other keys were updated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("key `{key}`: {error}")]
pub struct MapError {
    /// The first key whose sample was refused.
    pub key: Box<str>,
    /// The reason why it was refused.
    #[source]
    pub error: UpdateError,
}

/// The saved state of a map of pipelines, for any serde format.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
pub struct SavedMap {
    /// The version of the layout of the words: [`STATE_VERSION`], as for a [`SavedState`](crate::SavedState).
    pub version: u16,
    /// The [identity](Spec::identity) of the pipeline that wrote it.
    pub pipeline: String,
    /// The version of each algorithm's words, in the order of the pipeline.
    pub algorithms: Vec<u16>,
    /// The number of ended periods of the struct.
    pub periods: u64,
    /// Whether a map, even an empty one, was taken in the open period.
    pub seen: bool,
    /// The words of each key.
    pub keys: BTreeMap<String, Vec<u64>>,
}

impl MapPipeline {
    /// An empty map of pipelines of `u64` samples: periodic if the annotation names a period, else inline.
    ///
    /// # Errors
    ///
    /// An annotation error, which points at the mistake.
    #[cfg(feature = "parser")]
    pub fn parse(annotation: &str) -> Result<Self, AnnotationError> {
        Ok(Self::new(Arc::new(Spec::parse(annotation, Context::new(ValueType::U64))?)))
    }

    /// An empty map of pipelines.
    pub fn new(spec: Arc<Spec>) -> Self {
        Self { spec, keys: BTreeMap::new(), silence: Silence::default(), periods: 0, seen: false }
    }

    /// Sets the rule for periods in which a key has no samples.
    #[must_use]
    pub fn with_silence(mut self, silence: Silence) -> Self {
        self.silence = silence;
        self
    }

    /// The compiled annotation.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The number of keys with a state.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key has a state.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a map, even an empty one, was taken in the open period, or the newest period had samples; for an inline
    /// pipeline, whether a map was taken.
    pub fn is_active(&self) -> bool {
        self.seen || self.keys.values().any(|state| self.spec.is_active(state))
    }

    /// Takes the map at time `at`, in microseconds: its values, and its keys with the delete mark.
    ///
    /// # Errors
    ///
    /// The first sample that its pipeline refused. All other keys are updated.
    pub fn update<'k>(
        &mut self,
        at: u64,
        values: impl IntoIterator<Item = (&'k str, Number)>,
        deleted: impl IntoIterator<Item = &'k str>,
    ) -> Result<(), MapError> {
        self.seen = true;
        update(self, at, values, deleted)
    }

    /// The result of a key at time `now`, as in [`reports`](Self::reports); `None` for a key without one.
    pub fn report(&self, key: &str, now: u64) -> Option<Report<Output<'_>>> {
        let state = self.keys.get(key).filter(|state| self.spec.has_report(state))?;
        Some(self.spec.report(state, now))
    }

    /// The value of the valid result of a key at the time of its newest sample; see
    /// [`Pipeline::number`](crate::Pipeline::number).
    pub fn number(&self, key: &str) -> Option<Number> {
        self.report(key, 0)?.forced()?.value()
    }

    /// The result of each key at time `now`; see [`Spec::report`].
    pub fn reports(&self, now: u64) -> impl Iterator<Item = (&str, Report<Output<'_>>)> {
        let active = self.keys.iter().filter(|(_, state)| self.spec.has_report(state));
        active.map(move |(key, state)| (&**key, self.spec.report(state, now)))
    }

    /// The open period of each key; see [`Spec::running`].
    pub fn running(&self, now: u64) -> impl Iterator<Item = (&str, Report<Output<'_>>)> {
        self.keys.iter().filter_map(move |(key, state)| Some((&**key, self.spec.running(state, now)?)))
    }

    /// Ends a period of the struct for every key; see [`Pipeline::close_period`](crate::Pipeline::close_period).
    /// Returns the results of the keys that have one.
    pub fn close_period(&mut self, now: u64) -> Vec<(&str, Report<Output<'_>>)> {
        self.periods = self.periods.wrapping_add(1);
        let every = u64::from(self.spec.every());
        if every == 0 || !self.periods.is_multiple_of(every) {
            return Vec::new();
        }
        self.seen = false;
        self.drop_idle_keys();
        let (spec, silence) = (&self.spec, self.silence);
        let keys = self.keys.iter_mut();
        keys.filter_map(|(key, state)| Some((&**key, spec.close(state, now, silence)?))).collect()
    }

    /// Saves every key, and the number of ended periods.
    ///
    /// ```
    /// use derived_stats::{MapPipeline, Number};
    ///
    /// let mut flows = MapPipeline::parse("tsm:DSSum")?;
    /// flows.update(0, [("blue", Number::U64(3))], [])?;
    /// let mut restarted = MapPipeline::parse("tsm:DSSum")?;
    /// restarted.restore(&flows.save())?;
    /// restarted.update(1, [("blue", Number::U64(4))], [])?;
    /// assert_eq!(restarted.number("blue"), Some(Number::U64(7)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self) -> SavedMap {
        let words = |state: &State| {
            let mut words = Vec::new();
            self.spec.save_words(state, &mut words);
            words
        };
        SavedMap {
            version: STATE_VERSION,
            pipeline: self.spec.identity(),
            algorithms: self.spec.versions(),
            periods: self.periods,
            seen: self.seen,
            keys: self.keys.iter().map(|(key, state)| (key.to_string(), words(state))).collect(),
        }
    }

    /// Restores a saved map of the same annotation; every key continues bit for bit.
    ///
    /// # Errors
    ///
    /// [`RestoreError`], in [`RestoreError::InKey`] for the words of a key; the map is then unchanged.
    pub fn restore(&mut self, saved: &SavedMap) -> Result<(), RestoreError> {
        self.spec.check_saved(saved.version, &saved.pipeline)?;
        let restored = |(key, words): (&String, &Vec<u64>)| {
            let in_key = |error| RestoreError::InKey { key: key.clone(), error: Box::new(error) };
            let state = self.restore_key(&saved.algorithms, words).map_err(in_key)?;
            Ok((key.as_str().into(), state))
        };
        self.keys = saved.keys.iter().map(restored).collect::<Result<_, _>>()?;
        (self.periods, self.seen) = (saved.periods, saved.seen);
        Ok(())
    }

    fn restore_key(&self, versions: &[u16], words: &[u64]) -> Result<State, RestoreError> {
        let mut words = Words::new(words);
        let state = self.spec.restore_words(versions, &mut words)?;
        words.finish()?;
        Ok(state)
    }

    /// Drops the keys whose last period had no samples, unless they have a counter reading or a detector.
    fn drop_idle_keys(&mut self) {
        if self.spec.restarts_with_period() {
            self.keys.retain(|_, state| self.spec.is_active(state) || self.spec.has_reading(state));
        }
    }
}
