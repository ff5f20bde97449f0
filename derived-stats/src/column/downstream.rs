//! The links after the windows of many objects: the later links of a chain, and the detector.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::column::{Column, Reports, Values, WORD, WindowColumn};
use crate::output::Output;
use crate::report::Report;
use crate::saved::{RestoreError, Words};
use crate::spec::{Silence, Spec, SpecLink};

/// The states of the links after the window, for each object. They stay when a window closes.
#[derive(Debug)]
pub struct DownstreamColumn {
    /// In the order of the values; never empty.
    links: Arc<[Arc<SpecLink>]>,
    columns: Vec<Box<dyn Column>>,
    /// A bit for each slot: whether the newest closed window had samples.
    from_samples: Vec<u64>,
}

impl Clone for DownstreamColumn {
    fn clone(&self) -> Self {
        let columns = self.columns.iter().map(|column| column.boxed_clone()).collect();
        Self { links: Arc::clone(&self.links), columns, from_samples: self.from_samples.clone() }
    }
}

impl DownstreamColumn {
    /// An empty column; `None` for a spec whose result is the result of its window.
    pub fn new(spec: &Spec) -> Option<Self> {
        let links = spec.downstream_links();
        if links.is_empty() {
            return None;
        }
        let columns = links.iter().map(|link| link.column()).collect();
        Some(Self { links, columns, from_samples: Vec::new() })
    }

    /// Reserves capacity for `slots` slots in total, so that growing to them does not reallocate.
    pub fn reserve(&mut self, slots: usize) {
        self.columns.iter_mut().for_each(|column| column.reserve(slots));
        let words = slots.div_ceil(WORD);
        self.from_samples.reserve_exact(words.saturating_sub(self.from_samples.len()));
    }

    /// Closes the window of the object in `window`, which ends at `now`, and passes its value through the links.
    /// Without samples, `silence` decides whether the value is 0. Returns the report of the last link, or `None` if no
    /// value reached it.
    ///
    /// `window` is a column of this spec, or of one that [shares](Spec::shares_window) its window.
    pub fn close(
        &mut self,
        slot: usize,
        window: &WindowColumn,
        now: u64,
        silence: Silence,
    ) -> Option<Report<Output<'_>>> {
        let fed = self.close_many(slot / WORD, 1 << (slot % WORD), Some(window), now, silence);
        if fed == 0 { None } else { self.report_at(slot, now) }
    }

    /// Closes the windows of up to 64 objects, as [`close`](Self::close) for each: bit `i` of `slots` is the bit of
    /// slot `64 * word + i`. Slots whose bit is clear do not change. Returns the bits of the slots whose value reached
    /// the last link; [`reports`](Self::reports) has their results. `window` is `None` if no object had samples.
    pub fn close_many(
        &mut self,
        word: usize,
        slots: u64,
        window: Option<&WindowColumn>,
        now: u64,
        silence: Silence,
    ) -> u64 {
        if slots == 0 {
            return 0;
        }
        let mut values = Values::new();
        let sampled = window.map_or(0, |window| {
            window.values(word, slots, now, &mut values);
            // Samples nearly always give a value. If they do not, the period still counts as one with samples.
            values.valued | window.occupied(word, slots & !values.valued)
        });
        let zeros = silence.zeros(slots & !sampled, self.sampled_before(word), || self.started(word, slots));
        values.set_zero(zeros);
        self.set_from_samples(word, slots, sampled);
        let fed = self.pass(word, slots & values.valued, now, &mut values);
        if let Some(last) = self.columns.last_mut() {
            last.pass_silence(word, slots & !sampled & !zeros);
        }
        fed
    }

    /// Passes values through the links. Returns the bits of the slots whose value reached the last one.
    fn pass(&mut self, word: usize, slots: u64, now: u64, values: &mut Values) -> u64 {
        let last = self.columns.len() - 1;
        let mut slots = slots;
        for (index, column) in self.columns.iter_mut().enumerate() {
            slots = column.feed(word, slots, now, values);
            if index < last {
                column.values(word, slots, now, values);
                slots &= values.valued;
            }
        }
        slots
    }

    /// The bits of the slots that had samples in the newest closed window.
    pub(super) fn sampled_before(&self, word: usize) -> u64 {
        self.from_samples.get(word).copied().unwrap_or_default()
    }

    /// The bits of the slots whose first link has taken a value.
    fn started(&self, word: usize, slots: u64) -> u64 {
        self.columns.first().map_or(0, |first| first.occupied(word, slots))
    }

    fn set_from_samples(&mut self, word: usize, slots: u64, sampled: u64) {
        if word >= self.from_samples.len() {
            self.from_samples.resize(word + 1, 0);
        }
        let stored = &mut self.from_samples[word];
        *stored = *stored & !slots | sampled & slots;
    }

    /// The result of the object at the time of its newest value, that is [at time](crate::Algorithm::report) 0; `None`
    /// if no value reached the last link.
    pub fn report(&self, slot: usize) -> Option<Report<Output<'_>>> {
        self.report_at(slot, 0)
    }

    /// The result of the object at time `now`, in microseconds; `None` if no value reached the last link.
    pub fn report_at(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        let (link, column) = (self.links.last()?, self.columns.last()?);
        if column.is_empty(slot) {
            return None;
        }
        Some(column.report(slot, now).map(|record| Output::new(link.description(), record)))
    }

    /// Writes the results of up to 64 objects from slot `64 * word` on. Objects whose last link has taken no value have
    /// none.
    pub fn reports(&self, word: usize, slots: u64, now: u64, reports: &mut Reports) {
        reports.clear();
        if let Some(last) = self.columns.last() {
            last.reports(word, last.occupied(word, slots), now, reports);
        }
    }

    /// Resets the object.
    pub fn clear(&mut self, slot: usize) {
        self.columns.iter_mut().for_each(|column| column.clear_many(slot, 1));
        if let Some(word) = self.from_samples.get_mut(slot / WORD) {
            *word &= !(1 << (slot % WORD));
        }
    }

    /// Drops the slots from `slots` on and frees their memory.
    pub fn shrink(&mut self, slots: usize) {
        self.columns.iter_mut().for_each(|column| column.shrink(slots));
        self.from_samples.truncate(slots.div_ceil(WORD));
        if let Some(last) = self.from_samples.get_mut(slots / WORD) {
            *last &= (1 << (slots % WORD)) - 1;
        }
        self.from_samples.shrink_to_fit();
    }

    /// The allocated bytes, those of states included.
    pub fn bytes(&self) -> usize {
        let links: usize = self.columns.iter().map(|column| column.bytes()).sum();
        links + self.from_samples.capacity() * size_of::<u64>()
    }

    /// The versions of the words that [`save`](Self::save) writes; store them with the words.
    pub fn versions(&self) -> Vec<u16> {
        self.links.iter().map(|link| link.state_version()).collect()
    }

    /// Appends the words of the links of the object.
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        words.push(self.sampled_before(slot / WORD) >> (slot % WORD) & 1);
        self.columns.iter().for_each(|column| column.save(slot, words));
    }

    /// Restores the words that [`save`](Self::save) wrote in `versions`.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the object is then reset.
    pub fn restore(&mut self, slot: usize, versions: &[u16], words: &mut Words<'_>) -> Result<(), RestoreError> {
        if versions.len() != self.columns.len() {
            return Err(RestoreError::invalid("number of versions", versions.len() as u64));
        }
        let restored = self.restore_columns(slot, versions, words);
        if restored.is_err() {
            self.clear(slot);
        }
        restored
    }

    fn restore_columns(&mut self, slot: usize, versions: &[u16], words: &mut Words<'_>) -> Result<(), RestoreError> {
        let sampled = words.flag("samples in the newest period")?;
        for (column, &version) in self.columns.iter_mut().zip(versions) {
            column.restore(slot, version, words)?;
        }
        self.set_from_samples(slot / WORD, 1 << (slot % WORD), u64::from(sampled) << (slot % WORD));
        Ok(())
    }
}
