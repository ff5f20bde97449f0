//! `mstats`: a pipeline for each key of a map-valued metric.
//!
//! Rules of an update, as in the original: a key that is missing keeps what it has, a key with the delete mark is
//! dropped with the sum of its running period, a key first seen with the mark is not created, and an empty map drops
//! all keys. Two of the original's accidents are mended: dropping a key also drops its detector (it used to live, and
//! be fed zeros, for ever), and the rule for silence holds for each key (a key used to get zeros while any other key
//! was active).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::algorithm::UpdateError;
use crate::number::Number;
use crate::record::{Output, Report};
use crate::spec::{MetricKind, Silence, Spec};
use crate::state::State;

/// A pipeline per key, under one spec. Keys are kept in order of their bytes, so results come in a stable order.
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
    /// Whether a map, even an empty one, came in the open period.
    seen: bool,
}

/// A sample of a map that was not taken, and its key. The other keys were.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("key `{key}`: {error}")]
pub struct MapError {
    /// The first key whose sample was refused.
    pub key: Box<str>,
    /// Why.
    #[source]
    pub error: UpdateError,
}

impl MapPipeline {
    /// An empty map of pipelines.
    pub fn new(spec: Arc<Spec>) -> Self {
        Self { spec, keys: BTreeMap::new(), silence: Silence::default(), periods: 0, seen: false }
    }

    /// The same with another rule for periods in which a key has no samples.
    #[must_use]
    pub fn with_silence(mut self, silence: Silence) -> Self {
        self.silence = silence;
        self
    }

    /// The compiled annotation.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// How many keys have a state.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key has a state.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a map, even an empty one, came in the open period, or the newest period had samples; for an inline
    /// pipeline, whether any map came at all.
    pub fn is_active(&self) -> bool {
        self.seen || self.keys.values().any(|state| self.spec.is_active(state))
    }

    /// Takes the map of time `at`: its values, and which of its keys carry the delete mark.
    ///
    /// # Errors
    ///
    /// The first sample that its pipeline refused. All other keys are updated all the same.
    pub fn update<'k>(
        &mut self,
        at: u64,
        values: impl IntoIterator<Item = (&'k str, Number)>,
        deleted: impl IntoIterator<Item = &'k str>,
    ) -> Result<(), MapError> {
        self.seen = true;
        let deleted: BTreeSet<&str> = deleted.into_iter().collect();
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() && deleted.is_empty() {
            self.clear();
        }
        for key in &deleted {
            self.delete(key);
        }
        let mut refused = None;
        for (key, value) in values.filter(|(key, _)| !deleted.contains(key)) {
            if let Err(error) = self.update_key(at, key, value) {
                refused.get_or_insert_with(|| MapError { key: key.into(), error });
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn update_key(&mut self, at: u64, key: &str, value: Number) -> Result<(), UpdateError> {
        if let Some(state) = self.keys.get_mut(key) {
            return self.spec.update(state, at, value);
        }
        let mut state = self.spec.start();
        self.spec.update(&mut state, at, value)?;
        self.keys.insert(key.into(), state);
        Ok(())
    }

    fn delete(&mut self, key: &str) {
        if self.keys.get_mut(key).is_some_and(|state| !self.spec.forget(state)) {
            self.keys.remove(key);
        }
    }

    /// An empty map drops every key. A cumulative counter keeps its reading, as in the original: the next sample of
    /// the key is a difference again, not the whole counter.
    fn clear(&mut self) {
        if self.spec.metric() == MetricKind::Agg {
            for state in self.keys.values_mut() {
                self.spec.forget_samples(state);
            }
        } else {
            self.keys.retain(|_, state| self.spec.forget(state));
        }
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

    /// Ends a period of the struct for every key; see [`Pipeline::close_period`](crate::Pipeline::close_period). Gives
    /// the keys that had something to flush.
    pub fn close_period(&mut self, now: u64) -> Vec<(&str, Report<Output<'_>>)> {
        self.periods += 1;
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

    /// A key whose last period had no samples is as good as new, unless it holds a counter's reading or a detector.
    fn drop_idle_keys(&mut self) {
        if self.spec.restarts_with_period() && self.spec.metric() != MetricKind::Agg {
            self.keys.retain(|_, state| self.spec.is_active(state));
        }
    }
}
