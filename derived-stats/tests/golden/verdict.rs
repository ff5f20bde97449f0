//! The comparison of this crate, the model and the original.
//!
//! For every record the model must equal this crate. A record in no list must also equal the original. A record in a
//! list must differ from the original, so that no list becomes outdated, and the model with the quirks of that list
//! must equal the original, so that no list hides another deviation.

use std::collections::BTreeMap;
use std::sync::Arc;

use derived_stats::{Spec, ValueType};

use crate::model::Quirks;
use crate::subject::{compile, variant};

/// One line of text for each observed value, in order.
pub(crate) type Trace = Vec<String>;

/// A group of records in which this crate deviates from the original.
pub(crate) struct Deviation {
    /// The reason, with the section of the semantics.
    pub(crate) reason: &'static str,
    /// The defects of the original, as quirks of the model.
    pub(crate) quirks: Quirks,
    pub(crate) records: &'static [&'static str],
}

/// A group of records whose annotation is refused, with one kind of error.
pub(crate) struct Refused {
    pub(crate) kind: &'static str,
    pub(crate) records: &'static [&'static str],
}

/// The compiled annotation, or `None` for a record that is listed as refused, and is.
pub(crate) fn admitted(
    id: &str,
    annotation: &str,
    kind: ValueType,
    is_agg: bool,
    refused: &[Refused],
) -> Option<Arc<Spec>> {
    let listed = refused.iter().find(|group| group.records.contains(&id));
    match (compile(annotation, kind, is_agg), listed) {
        (Ok(spec), None) => Some(spec),
        (Ok(_), Some(_)) => panic!("{id}: `{annotation}` is listed as refused, but compiles"),
        (Err(error), None) => panic!("{id}: refused as {}: {error}", variant(error.kind())),
        (Err(error), Some(group)) => {
            assert_eq!(variant(error.kind()), group.kind, "{id}: {error}");
            None
        }
    }
}

/// One record, run.
pub(crate) struct Outcome<'f> {
    pub(crate) id: String,
    /// This crate: once for each way to call it.
    pub(crate) ours: Vec<Trace>,
    pub(crate) model: Box<dyn Fn(Quirks) -> Trace + 'f>,
    pub(crate) original: Trace,
}

/// One file of records.
pub(crate) struct Verdict<'f> {
    pub(crate) file: &'f str,
    /// How many records the file must have.
    pub(crate) records: usize,
    pub(crate) refused: &'f [Refused],
    pub(crate) deviations: &'f [Deviation],
}

impl Verdict<'_> {
    /// Checks the records against the rule above.
    pub(crate) fn on(&self, outcomes: &[Outcome<'_>]) {
        let Self { file, records, .. } = self;
        let [same, deviating, refused] = self.counts();
        assert_eq!(outcomes.len() + refused, *records, "{file}: wrong number of records, is it cut off?");
        let listed = self.listed();
        let mut faults: Vec<String> = outcomes.iter().flat_map(|outcome| faults(outcome, &listed)).collect();
        let known = |id: &&&str| outcomes.iter().any(|outcome| outcome.id == ***id);
        faults.extend(listed.keys().filter(|id| !known(id)).map(|id| format!("{id}: listed, but not in the file")));
        println!("{file}: {records} records, {same} as the original, {deviating} deviate, {refused} refused");
        assert!(faults.is_empty(), "{file}: {} faults\n{}", faults.len(), faults.join("\n"));
    }

    /// How many records are as the original, deviate, and are refused.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let deviating = self.deviations.iter().map(|group| group.records.len()).sum();
        let refused = self.refused.iter().map(|group| group.records.len()).sum();
        [self.records - deviating - refused, deviating, refused]
    }

    /// All listed records.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        let deviating = self.deviations.iter().flat_map(|group| group.records);
        deviating.chain(self.refused.iter().flat_map(|group| group.records)).copied()
    }

    /// The group of each listed record.
    fn listed(&self) -> BTreeMap<&str, &Deviation> {
        let mut listed = BTreeMap::new();
        for group in self.deviations {
            listed.extend(group.records.iter().map(|id| (*id, group)));
        }
        let entries: usize = self.deviations.iter().map(|group| group.records.len()).sum();
        assert_eq!(listed.len(), entries, "{}: a record is listed twice", self.file);
        listed
    }
}

fn faults(outcome: &Outcome<'_>, listed: &BTreeMap<&str, &Deviation>) -> Vec<String> {
    let id = outcome.id.as_str();
    let mut faults = Vec::new();
    let model = (outcome.model)(&[]);
    for ours in &outcome.ours {
        faults.extend(difference(id, ["ours", "model"], ours, &model));
        match (listed.get(id), difference(id, ["ours", "original"], ours, &outcome.original)) {
            (None, fault) => faults.extend(fault),
            (Some(group), None) => faults.push(format!("{id}: no longer deviates ({})", group.reason)),
            (Some(_), Some(_)) => {}
        }
    }
    if let Some(group) = listed.get(id) {
        let names = ["model with quirks", "original"];
        faults.extend(difference(id, names, &(outcome.model)(group.quirks), &outcome.original));
    }
    faults
}

/// The first line that differs.
fn difference(id: &str, names: [&str; 2], left: &[String], right: &[String]) -> Option<String> {
    let lines = left.len().max(right.len());
    let line = (0..lines).find(|&line| left.get(line) != right.get(line))?;
    let shown = |trace: &[String]| trace.get(line).cloned().unwrap_or_else(|| "nothing".to_owned());
    let [left, right] = [(names[0], left), (names[1], right)].map(|(name, side)| format!("{name}: {}", shown(side)));
    Some(format!("{id} line {line}\n  {left}\n  {right}"))
}
