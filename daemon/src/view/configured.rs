//! The results that the configuration computes. The log also holds those of earlier configurations: of types and streams
//! that were removed, of attributes that were defined otherwise, of windows of another length. They are history, and not
//! the state of an object.

use std::collections::HashMap;
use std::sync::Arc;

use daemon_results::block::{AttributeShape, Row, UveShape};
use derived_stats::Record;
use proxy_uve::{Plan, UveDescription};

/// The shapes whose comparison with the configuration is kept. A log has a few for each configuration it was written
/// with, so they are searched one by one.
const MAX_COMPARED: usize = 64;

/// Decides which results are of the configuration.
#[derive(Debug, Default)]
pub(super) struct Configured {
    uves: HashMap<Box<str>, Vec<Attribute>>,
    compared: Vec<Compared>,
    kept: Vec<(usize, Record)>,
}

/// An attribute as it is configured.
#[derive(Debug)]
struct Attribute {
    shape: AttributeShape,
    window: Window,
}

/// The length of an attribute's windows in microseconds; `None` for an inline attribute.
type Window = Option<u64>;

/// A shape with, for each of its attributes, the window that it must have; `None` for one that is not configured so.
#[derive(Debug)]
struct Compared {
    shape: Arc<UveShape>,
    /// `None` if the UVE is not configured.
    attributes: Option<Vec<Option<Window>>>,
}

impl Configured {
    /// The results of these plans.
    pub(super) fn new(plans: &[Arc<Plan>]) -> Self {
        let uves = plans.iter().flat_map(|plan| plan.uves());
        Self { uves: uves.map(|uve| (uve.name().into(), attributes(&uve))).collect(), ..Self::default() }
    }

    /// Calls `take` with what is configured of a result, if anything is.
    pub(super) fn select(&mut self, row: &Row<'_>, take: impl FnOnce(&Row<'_>)) {
        let known = self.compared.iter().position(|compared| Arc::ptr_eq(&compared.shape, row.shape));
        let index = known.unwrap_or_else(|| self.compare(row.shape));
        let Some(attributes) = &self.compared[index].attributes else { return };
        let length = row.end.saturating_sub(row.start);
        let is_configured = |(index, _): &(usize, Record)| match attributes.get(*index) {
            Some(Some(window)) => window.is_none_or(|window| window == length),
            _ => false,
        };
        if row.deleted || row.values.iter().all(is_configured) {
            return take(row);
        }
        self.kept.clear();
        self.kept.extend(row.values.iter().filter(|value| is_configured(value)).cloned());
        if !self.kept.is_empty() {
            take(&Row { values: &self.kept, ..*row });
        }
    }

    /// Compares a shape with the configuration; the index of the outcome.
    fn compare(&mut self, shape: &Arc<UveShape>) -> usize {
        if self.compared.len() >= MAX_COMPARED {
            self.compared.clear();
        }
        let attributes = self.uves.get(&shape.uve).map(|configured| {
            let window = |found: &AttributeShape| configured.iter().find(|it| it.shape == *found).map(|it| it.window);
            shape.attributes.iter().map(window).collect()
        });
        self.compared.push(Compared { shape: Arc::clone(shape), attributes });
        self.compared.len() - 1
    }
}

fn attributes(uve: &UveDescription<'_>) -> Vec<Attribute> {
    let attributes = uve.attributes();
    attributes.map(|it| Attribute { shape: AttributeShape::of(&it), window: it.window }).collect()
}
