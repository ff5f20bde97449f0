//! What follows the windows of many objects: the later links of a chain, and the detector.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::column::{Column, Reports, Values, WORD, WindowColumn};
use crate::output::Output;
use crate::report::Report;
use crate::saved::{RestoreError, Words};
use crate::spec::{Silence, Spec, SpecLink};

/// The links behind the window, of each object. They live as long as the object, not only for a window.
#[derive(Debug)]
pub struct DownstreamColumn {
    /// In the order in which values pass them; never empty.
    links: Arc<[Arc<SpecLink>]>,
    columns: Vec<Box<dyn Column>>,
    /// Whether the newest closed window had samples: a bit for each slot.
    from_samples: Vec<u64>,
}

impl Clone for DownstreamColumn {
    fn clone(&self) -> Self {
        let columns = self.columns.iter().map(|column| column.boxed_clone()).collect();
        Self { links: Arc::clone(&self.links), columns, from_samples: self.from_samples.clone() }
    }
}

impl DownstreamColumn {
    /// An empty column; `None` for a spec whose result is that of its window.
    pub fn new(spec: &Spec) -> Option<Self> {
        let links = spec.downstream_links();
        if links.is_empty() {
            return None;
        }
        let columns = links.iter().map(|link| link.column()).collect();
        Some(Self { links, columns, from_samples: Vec::new() })
    }

    /// Makes room for so many slots in all, so that growing to them does not reallocate.
    pub fn reserve(&mut self, slots: usize) {
        self.columns.iter_mut().for_each(|column| column.reserve(slots));
        let words = slots.div_ceil(WORD);
        self.from_samples.reserve_exact(words.saturating_sub(self.from_samples.len()));
    }

    /// Closes the object's window in `window`, which ends at `now`: its value passes through the links; without
    /// samples, what `silence` makes of that. Gives the last link's report, or `None` if it was not fed.
    ///
    /// `window` is a column that the spec [shares](Spec::shares_window).
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

    /// Closes the windows of up to 64 objects at once, as [`close`](Self::close) does one by one: bit `i` of `slots`
    /// stands for slot `64 * word + i`, a slot whose bit is clear is not touched. The set bits of the answer are those
    /// whose last link was fed; [`reports`](Self::reports) has their results. `window` is `None` if no object had
    /// samples.
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
            // Samples nearly always give a value; where they do not, they are still no silence.
            values.valued | window.occupied(word, slots & !values.valued)
        });
        let zeros = silence.zeros(slots & !sampled, self.sampled_before(word), || self.started(word, slots));
        values.set_zero(zeros);
        self.note_samples(word, slots, sampled);
        let fed = self.pass(word, slots & values.valued, now, &mut values);
        if let Some(last) = self.columns.last_mut() {
            last.pass_silence(word, slots & !sampled & !zeros);
        }
        fed
    }

    /// Passes values through the links; gives the slots whose value reached the last one.
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

    /// Which slots had samples in the newest closed window.
    pub(super) fn sampled_before(&self, word: usize) -> u64 {
        self.from_samples.get(word).copied().unwrap_or_default()
    }

    /// Which slots were ever fed.
    fn started(&self, word: usize, slots: u64) -> u64 {
        self.columns.first().map_or(0, |first| first.occupied(word, slots))
    }

    fn note_samples(&mut self, word: usize, slots: u64, sampled: u64) {
        if word >= self.from_samples.len() {
            self.from_samples.resize(word + 1, 0);
        }
        let noted = &mut self.from_samples[word];
        *noted = *noted & !slots | sampled & slots;
    }

    /// The result of the object as of its newest value, that is [at time](crate::Algorithm::report) 0; `None` if it was
    /// never fed.
    pub fn report(&self, slot: usize) -> Option<Report<Output<'_>>> {
        self.report_at(slot, 0)
    }

    /// The result of the object at time `now`, in microseconds; `None` if it was never fed.
    pub fn report_at(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        let (link, column) = (self.links.last()?, self.columns.last()?);
        if column.is_empty(slot) {
            return None;
        }
        Some(column.report(slot, now).map(|record| Output::new(link.description(), record)))
    }

    /// The results of up to 64 objects from slot `64 * word` on; those never fed have none.
    pub fn reports(&self, word: usize, slots: u64, now: u64, reports: &mut Reports) {
        reports.clear();
        if let Some(last) = self.columns.last() {
            last.reports(word, last.occupied(word, slots), now, reports);
        }
    }

    /// The object starts anew.
    pub fn clear(&mut self, slot: usize) {
        self.columns.iter_mut().for_each(|column| column.clear_many(slot, 1));
        if let Some(word) = self.from_samples.get_mut(slot / WORD) {
            *word &= !(1 << (slot % WORD));
        }
    }

    /// Gives back memory beyond `slots`. Later slots start anew.
    pub fn shrink(&mut self, slots: usize) {
        self.columns.iter_mut().for_each(|column| column.shrink(slots));
        self.from_samples.truncate(slots.div_ceil(WORD));
        if let Some(last) = self.from_samples.get_mut(slots / WORD) {
            *last &= (1 << (slots % WORD)) - 1;
        }
        self.from_samples.shrink_to_fit();
    }

    /// The bytes that it has allocated; for states that allocate themselves, the most that they can.
    pub fn bytes(&self) -> usize {
        let links: usize = self.columns.iter().map(|column| column.bytes()).sum();
        links + self.from_samples.capacity() * size_of::<u64>()
    }

    /// The versions of the words that [`save`](Self::save) writes; keep them with the words.
    pub fn versions(&self) -> Vec<u16> {
        self.links.iter().map(|link| link.state_version()).collect()
    }

    /// Appends the words of the object's links.
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        words.push(self.sampled_before(slot / WORD) >> (slot % WORD) & 1);
        self.columns.iter().for_each(|column| column.save(slot, words));
    }

    /// Reads back what [`save`](Self::save) wrote in `versions`.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the slot is then empty.
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
        self.note_samples(slot / WORD, 1 << (slot % WORD), u64::from(sampled) << (slot % WORD));
        Ok(())
    }
}
