//! The rules of a map update, for both types that store the keys of an object.

use alloc::collections::BTreeSet;

use crate::algorithm::UpdateError;
use crate::map::{MapError, MapPipeline};
use crate::number::Number;
use crate::spec::MetricKind;

/// The keys of one object, as an update changes them.
pub(crate) trait Keys {
    /// Takes a sample of a key. Creates a new key, unless its first sample is refused.
    fn update(&mut self, at: u64, key: &str, value: Number) -> Result<(), UpdateError>;

    /// Drops the state of a key, except for the result of its closed period, which stays until the next close.
    fn delete(&mut self, key: &str);

    /// Drops every key, for an empty map. A cumulative counter keeps its reading, as in the original: the next sample
    /// of the key is again a difference, not the whole reading.
    fn clear(&mut self);
}

/// Updates the keys of an object with the map at time `at`.
pub(crate) fn update<'k>(
    keys: &mut impl Keys,
    at: u64,
    values: impl IntoIterator<Item = (&'k str, Number)>,
    deleted: impl IntoIterator<Item = &'k str>,
) -> Result<(), MapError> {
    let deleted: BTreeSet<&str> = deleted.into_iter().collect();
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() && deleted.is_empty() {
        keys.clear();
    }
    for key in &deleted {
        keys.delete(key);
    }
    let mut refused = None;
    for (key, value) in values.filter(|(key, _)| !deleted.contains(key)) {
        if let Err(error) = keys.update(at, key, value) {
            refused.get_or_insert_with(|| MapError { key: key.into(), error });
        }
    }
    refused.map_or(Ok(()), Err)
}

impl Keys for MapPipeline {
    fn update(&mut self, at: u64, key: &str, value: Number) -> Result<(), UpdateError> {
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

    fn clear(&mut self) {
        if self.spec.metric() == MetricKind::Agg {
            for state in self.keys.values_mut() {
                self.spec.forget_samples(state);
            }
        } else {
            self.keys.retain(|_, state| self.spec.forget(state));
        }
    }
}
