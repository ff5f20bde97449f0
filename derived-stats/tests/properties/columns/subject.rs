//! The columns of a spec, with the operations of the suite on all of them.

use std::fmt;

use derived_stats::column::{CounterColumn, DownstreamColumn, InlineColumn, Refused, Update, WindowColumn};
use derived_stats::{MetricKind, Number, SourceId, Spec, UpdateError, Words};
use proptest::prelude::*;

use super::{SLOTS, show};

/// All columns of a spec.
#[derive(Clone)]
pub(super) struct Columns {
    pub(super) counters: Option<CounterColumn>,
    pub(super) downstream: Option<DownstreamColumn>,
    pub(super) inline: Option<InlineColumn>,
    pub(super) window: Option<WindowColumn>,
}

impl Columns {
    pub(super) fn new(spec: &Spec) -> Self {
        let counts = spec.is_periodic() && spec.metric() == MetricKind::Agg;
        Self {
            counters: counts.then(|| CounterColumn::new(spec)),
            downstream: DownstreamColumn::new(spec),
            inline: InlineColumn::new(spec),
            window: WindowColumn::new(spec),
        }
    }

    /// Takes a sample. An inline column distinguishes no sources.
    pub(super) fn update(&mut self, slot: usize, source: SourceId, at: u64, value: Number) -> Result<(), UpdateError> {
        match (&mut self.inline, &mut self.counters, &mut self.window) {
            (Some(inline), ..) => inline.update(slot, at, value),
            (None, Some(counters), Some(window)) => {
                counters.update(slot, value, |difference| window.update(slot, at, difference))
            }
            (None, None, Some(window)) => window.update_from(slot, source, at, value),
            (None, _, None) => panic!("a spec is inline or has windows"),
        }
    }

    pub(super) fn delete(&mut self, slot: usize) {
        self.counters.iter_mut().for_each(|column| column.clear(slot));
        self.downstream.iter_mut().for_each(|column| column.clear(slot));
        self.inline.iter_mut().for_each(|column| column.clear(slot));
        self.window.iter_mut().for_each(|column| column.clear(slot));
    }

    pub(super) fn reserve(&mut self, slots: usize) {
        self.counters.iter_mut().for_each(|column| column.reserve(slots));
        self.downstream.iter_mut().for_each(|column| column.reserve(slots));
        self.inline.iter_mut().for_each(|column| column.reserve(slots));
        self.window.iter_mut().for_each(|column| column.reserve(slots));
    }

    pub(super) fn shrink(&mut self, slots: usize) {
        self.counters.iter_mut().for_each(|column| column.shrink(slots));
        self.downstream.iter_mut().for_each(|column| column.shrink(slots));
        self.inline.iter_mut().for_each(|column| column.shrink(slots));
        self.window.iter_mut().for_each(|column| column.shrink(slots));
    }

    /// The words of an object, in the order of [`Spec::save_words`], without those of a closed window.
    pub(super) fn words(&self, spec: &Spec, slot: usize) -> Vec<u64> {
        let mut words = Vec::new();
        if let Some(inline) = &self.inline {
            inline.save(slot, &mut words);
            words.insert(if spec.metric() == MetricKind::Agg { 2 } else { 0 }, 0);
            return words;
        }
        self.counters.iter().for_each(|column| column.save(slot, &mut words));
        let mut downstream = Vec::new();
        self.downstream.iter().for_each(|column| column.save(slot, &mut downstream));
        let (flag, links) = downstream.split_at(downstream.len().min(1));
        words.extend(flag);
        self.window.iter().for_each(|column| column.save(slot, &mut words));
        words.extend(links);
        words
    }

    /// The same objects in new columns, from the last to the first.
    pub(super) fn restarted(&self, spec: &Spec) -> Self {
        let mut new = Self { window: self.window.as_ref().map(WindowColumn::empty_clone), ..Self::new(spec) };
        for slot in SLOTS.iter().rev().map(|slot| *slot as usize) {
            let mut words = Vec::new();
            if let (Some(old), Some(new)) = (&self.counters, &mut new.counters) {
                old.save(slot, &mut words);
                restored(&mut words, |words| new.restore(slot, words));
            }
            if let (Some(old), Some(new)) = (&self.downstream, &mut new.downstream) {
                old.save(slot, &mut words);
                restored(&mut words, |words| new.restore(slot, &old.versions(), words));
            }
            if let (Some(old), Some(new)) = (&self.inline, &mut new.inline) {
                old.save(slot, &mut words);
                restored(&mut words, |words| new.restore(slot, &old.versions(), words));
            }
            if let (Some(old), Some(new)) = (&self.window, &mut new.window) {
                old.save(slot, &mut words);
                restored(&mut words, |words| new.restore(slot, &old.versions(), words));
            }
        }
        new
    }
}

fn restored<E: fmt::Debug>(words: &mut Vec<u64>, restore: impl FnOnce(&mut Words<'_>) -> Result<(), E>) {
    let mut reader = Words::new(words);
    restore(&mut reader).unwrap();
    reader.finish().unwrap();
    words.clear();
}

pub(super) fn window_words(window: &WindowColumn, slot: u32) -> Vec<u64> {
    let mut words = Vec::new();
    window.save(slot as usize, &mut words);
    words
}

/// Takes a batch, and continues after each refused sample. Checks that the same samples are refused as one by one.
pub(super) fn batch(
    window: &mut WindowColumn,
    updates: &[Update],
    errors: &[Option<UpdateError>],
) -> Result<(), TestCaseError> {
    let mut from = 0;
    loop {
        match window.update_all(&updates[from..]) {
            Ok(()) => {
                prop_assert!(errors[from..updates.len()].iter().all(Option::is_none), "a batch took a bad sample");
                return Ok(());
            }
            Err(Refused { index, error }) => {
                prop_assert!(errors[from..from + index].iter().all(Option::is_none), "a batch took a bad sample");
                prop_assert_eq!(show(Some(error)), show(errors[from + index]));
                from += index + 1;
            }
        }
    }
}
