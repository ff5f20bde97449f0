//! Saving and restoring the map of one object.
//!
//! ```text
//! words := seen keys (length text* state)*
//! state := reading-seen reading? cell                          (inline)
//!        | reading-seen reading? window closed-at closed       (a result of a window)
//!        | reading-seen reading? window flag link*             (a chain)
//! ```
//!
//! The text of a key is its bytes, eight in a word from the lowest on; the last word is padded with zeros. Only a
//! counter has a reading.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::column::MapColumn;
use crate::column::map::object::Key;
use crate::saved::{RestoreError, Words};

const NAME: &str = "name of a key";

impl MapColumn {
    /// The version of the layout that [`save`](Self::save) writes around the words of the algorithms.
    pub const VERSION: u16 = 1;

    /// The versions of the algorithms' words that [`save`](Self::save) writes; store them with the words.
    pub fn versions(&self) -> Vec<u16> {
        self.spec.versions()
    }

    /// Appends the words of the object: its keys with their states.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use derived_stats::column::MapColumn;
    /// use derived_stats::{Context, Number, Spec, ValueType, Words};
    ///
    /// let spec = Arc::new(Spec::parse("tsm:DSSum", Context::new(ValueType::U64))?);
    /// let mut flows = MapColumn::new(spec.clone());
    /// flows.update(3, 0, [("blue", Number::U64(3))], [])?;
    /// let mut words = Vec::new();
    /// flows.save(3, &mut words);
    /// let mut restarted = MapColumn::new(spec);
    /// restarted.restore(3, &flows.versions(), &mut Words::new(&words))?;
    /// restarted.update(3, 1, [("blue", Number::U64(4))], [])?;
    /// let sum = restarted.report(3, "blue", 1).and_then(|report| report.forced()?.value());
    /// assert_eq!(sum, Some(Number::U64(7)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        let keys = self.keys_of(slot);
        let seen = self.objects.get(slot).is_some_and(|object| object.seen);
        words.extend([u64::from(seen), keys.len() as u64]);
        for key in keys {
            save_name(&key.name, words);
            self.store.cells.save(key.inner, words);
        }
    }

    /// Restores the words that [`save`](Self::save) wrote in `versions`; every key continues bit for bit.
    ///
    /// # Errors
    ///
    /// [`RestoreError`], in [`RestoreError::InKey`] for the words of a key; the object is then reset.
    pub fn restore(&mut self, slot: usize, versions: &[u16], words: &mut Words<'_>) -> Result<(), RestoreError> {
        self.clear(slot);
        let restored = self.restore_object(slot, versions, words);
        if restored.is_err() {
            self.clear(slot);
        }
        restored
    }

    fn restore_object(&mut self, slot: usize, versions: &[u16], words: &mut Words<'_>) -> Result<(), RestoreError> {
        if versions.len() != self.spec.links().count() {
            return Err(RestoreError::invalid("number of versions", versions.len() as u64));
        }
        let (seen, keys) = (words.flag("map in the open period")?, words.next("number of keys")?);
        self.object_mut(slot).seen = seen;
        for _ in 0..keys {
            let name = restore_name(words)?;
            if self.keys_of(slot).last().is_some_and(|last| *last.name >= *name) {
                return Err(RestoreError::invalid(NAME, name.len() as u64));
            }
            // Allocated before its words are read, so that an error frees it with the object.
            let inner = self.store.slots.take();
            let key = Key { name: self.store.names.take(&name), inner };
            self.object_mut(slot).keys.push(key);
            let restored = self.store.cells.restore(inner, versions, words);
            restored.map_err(|error| RestoreError::InKey { key: name, error: Box::new(error) })?;
        }
        Ok(())
    }
}

fn save_name(name: &str, words: &mut Vec<u64>) {
    words.push(name.len() as u64);
    for chunk in name.as_bytes().chunks(8) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        words.push(u64::from_le_bytes(bytes));
    }
}

fn restore_name(words: &mut Words<'_>) -> Result<String, RestoreError> {
    let len = words.next(NAME)?;
    let count = usize::try_from(len.div_ceil(8)).unwrap_or(usize::MAX);
    if count > words.rest().len() {
        return Err(RestoreError::TooShort { field: NAME });
    }
    let mut bytes = Vec::with_capacity(count * 8);
    for _ in 0..count {
        bytes.extend(words.next(NAME)?.to_le_bytes());
    }
    let padding = bytes.split_off(bytes.len().min(len as usize));
    if padding.iter().any(|byte| *byte != 0) {
        return Err(RestoreError::invalid(NAME, len));
    }
    String::from_utf8(bytes).map_err(|_| RestoreError::invalid(NAME, len))
}
