//! The way of results to the sink.

use derived_stats::column::{Reports, WORD};
use derived_stats::{Output, Record, Report};

use crate::table::closing::Closing;
use crate::table::columns::Columns;
use crate::table::objects::LivenessChange;
use crate::table::plan::Plan;
use crate::table::{AttributeResult, DecodedRecord, ResultSink, Subject};

/// The sink of one stream, and the form in which results go there.
#[derive(Debug)]
pub(super) struct ResultOutput<S> {
    pub(super) sink: S,
    /// The `proxy` field of every result.
    proxy: String,
    /// The reports of 64 objects at the end of a window, by attribute: a buffer.
    reports: Vec<AttributeReports>,
    /// The numbers of an inline result: a buffer.
    record: Record,
}

/// The reports of 64 objects for one attribute.
#[derive(Debug, Default)]
struct AttributeReports {
    reports: Reports,
    /// Which of the objects had samples in the attribute's window.
    sampled: u64,
}

impl<S> ResultOutput<S> {
    pub(super) fn new(plan: &Plan, sink: S) -> Self {
        Self { sink, proxy: plan.stream.to_string(), reports: Vec::new(), record: Record::new([]) }
    }
}

impl<S: ResultSink> ResultOutput<S> {
    /// The objects of a word for which [`send_window`](Self::send_window) or [`send_deletion`](Self::send_deletion) has
    /// something to send, or which are deleted.
    pub(super) fn relevant(change: LivenessChange) -> u64 {
        if S::WANTS_RESULTS { change.alive | change.deleted } else { change.deleted }
    }

    /// Makes the reports of 64 objects, attribute by attribute.
    pub(super) fn prepare(&mut self, plan: &Plan, columns: &Columns, closing: &Closing, word: usize, alive: u64) {
        if !S::WANTS_RESULTS {
            return;
        }
        let types = &plan.groups[closing.group].types;
        for attribute in types.iter().flat_map(|&type_index| &plan.types[type_index].attributes) {
            if attribute.index >= self.reports.len() {
                self.reports.resize_with(attribute.index + 1, AttributeReports::default);
            }
            let AttributeReports { reports, sampled } = &mut self.reports[attribute.index];
            reports.clear();
            if let Some(with_samples) = columns.reports(attribute, closing, word, alive, reports) {
                *sampled = with_samples;
            }
        }
    }

    /// Sends the results of an object's window, of those that are [prepared](Self::prepare). `touched` are the objects
    /// of its word that had samples.
    #[inline]
    pub(super) fn send_window(&mut self, plan: &Plan, closing: &Closing, key: &[u8], slot: usize, touched: u64) {
        let &Closing { group, start, end, .. } = closing;
        let sampled = closing.is_observed.then_some(touched >> (slot % WORD) & 1 == 1);
        for &type_index in &plan.groups[group].types {
            let partial = closing.is_partial(type_index);
            let (proxy, deleted) = (self.proxy.as_str(), false);
            let subject = Subject { key, type_index, proxy, start, end, partial, deleted, sampled };
            self.sink.begin(&subject);
            for attribute in &plan.types[type_index].attributes {
                let AttributeReports { reports, sampled } = &self.reports[attribute.index];
                if let Some(report) = reports.get(slot % WORD) {
                    let start = end.saturating_sub(attribute.window_length);
                    let silent = sampled >> (slot % WORD) & 1 == 0;
                    let report = report.map(|record| Output::borrowed(attribute.description(), record));
                    let partial = partial && closing.is_partial_attribute(attribute.index);
                    let (name, template) = (&attribute.name, Some(&attribute.template));
                    let result = AttributeResult { name, report, start, partial, silent, inline: false, template };
                    self.sink.attribute(&subject, &result);
                }
            }
            self.sink.end(&subject);
        }
    }

    /// Sends the last row of each of an object's proxy UVEs, without values.
    pub(super) fn send_deletion(&mut self, plan: &Plan, closing: &Closing, key: &[u8]) {
        let &Closing { group, start, end, .. } = closing;
        for &type_index in &plan.groups[group].types {
            let (proxy, partial, deleted, sampled) = (self.proxy.as_str(), false, true, Some(false));
            let subject = Subject { key, type_index, proxy, start, end, partial, deleted, sampled };
            self.sink.begin(&subject);
            self.sink.end(&subject);
        }
    }

    /// Sends the inline results of a sample: those that are new, as the original sends them.
    pub(super) fn send_inline(
        &mut self,
        plan: &Plan,
        columns: &Columns,
        group: usize,
        slot: usize,
        record: &DecodedRecord<'_>,
    ) {
        if plan.inline.is_empty() {
            return;
        }
        let &DecodedRecord { key, at, .. } = record;
        for &type_index in &plan.groups[group].types {
            let of_type = plan.inline.iter().enumerate().filter(|(_, inline)| inline.type_index == type_index);
            let mut shown = of_type.filter(|(_, inline)| !inline.hidden).peekable();
            if shown.peek().is_none() {
                continue;
            }
            let (proxy, partial, deleted, sampled) = (self.proxy.as_str(), false, false, Some(true));
            let subject = Subject { key, type_index, proxy, start: at, end: at, partial, deleted, sampled };
            self.sink.begin(&subject);
            for (attribute, inline) in shown {
                let report = columns.inline(attribute).report_into(slot, at, &mut self.record);
                if let Some(report @ Report::Value(_)) = report {
                    let name = &inline.name;
                    let (start, inline, template) = (at, true, None);
                    let result =
                        AttributeResult { name, report, start, partial: false, silent: false, inline, template };
                    self.sink.attribute(&subject, &result);
                }
            }
            self.sink.end(&subject);
        }
    }
}
