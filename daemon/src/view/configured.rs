//! The results that the configuration computes. The log also holds those of earlier configurations: of types and streams
//! that were removed, of attributes that were defined otherwise, of windows of another length. They are history, and not
//! the state of an object.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use daemon_base::fnv;
use daemon_results::block::{AttributeShape, EncodedValue, Row, UveShape, ValuesBuffer};
use proxy_uve::{Plan, UveDescription};

/// The shapes whose comparison with the configuration is kept. A log has a few for each configuration it was written
/// with, so they are searched one by one.
const MAX_COMPARED: usize = 64;

/// Decides which results are of the configuration.
#[derive(Debug, Default)]
pub(super) struct Configured {
    streams: HashSet<String>,
    uves: HashMap<Box<str>, Vec<Attribute>>,
    compared: Vec<Compared>,
    kept: ValuesBuffer,
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
    /// The window of all attributes, if they have one and all are configured: then a result of that length is taken as it is.
    all: Option<Window>,
}

impl Configured {
    /// The results of these plans.
    pub(super) fn new(plans: &[Arc<Plan>]) -> Self {
        let uves = plans.iter().flat_map(|plan| plan.uves());
        let streams = plans.iter().map(|plan| plan.stream().to_string()).collect();
        Self { streams, uves: uves.map(|uve| (uve.name().into(), attributes(&uve))).collect(), ..Self::default() }
    }

    /// Whether a stream is configured.
    pub(super) fn has_stream(&self, stream: &str) -> bool {
        self.streams.contains(stream)
    }

    /// A short name of what is selected: another one for another configuration, or for blocks of another version.
    pub(super) fn digest(&self) -> u128 {
        let mut uves: Vec<_> = self.uves.iter().map(|uve| format!("{uve:?}")).collect();
        uves.sort_unstable();
        uves.push(format!("blocks of version {}", daemon_results::block::VERSION));
        fnv::digest(uves.concat().as_bytes())
    }

    /// Calls `take` with what is configured of a result, if anything is.
    pub(super) fn select(&mut self, row: &Row<'_>, mut take: impl FnMut(&Row<'_>)) {
        let known = self.compared.iter().position(|compared| Arc::ptr_eq(&compared.shape, row.shape));
        let index = known.unwrap_or_else(|| self.compare(row.shape));
        let compared = &self.compared[index];
        let Some(attributes) = &compared.attributes else { return };
        let length = row.end.saturating_sub(row.start);
        let has_length = |window: Window| window.is_none_or(|window| window == length);
        if row.deleted || compared.all.is_some_and(has_length) {
            return take(row);
        }
        let is_configured =
            |value: &EncodedValue<'_>| attributes.get(value.index).copied().flatten().is_some_and(has_length);
        self.kept.clear();
        row.values.iter(row.shape).filter(is_configured).for_each(|value| self.kept.push_encoded(value));
        let values = self.kept.values();
        if !values.is_empty() {
            take(&Row { values, ..*row });
        }
    }

    /// Compares a shape with the configuration; the index of the outcome.
    fn compare(&mut self, shape: &Arc<UveShape>) -> usize {
        if self.compared.len() >= MAX_COMPARED {
            self.compared.clear();
        }
        let attributes: Option<Vec<_>> = self.uves.get(&shape.uve).map(|configured| {
            let window = |found: &AttributeShape| configured.iter().find(|it| it.shape == *found).map(|it| it.window);
            shape.attributes.iter().map(window).collect()
        });
        let first = attributes.as_ref().and_then(|windows| *windows.first()?);
        let all = first.filter(|first| attributes.iter().flatten().all(|window| *window == Some(*first)));
        self.compared.push(Compared { shape: Arc::clone(shape), attributes, all });
        self.compared.len() - 1
    }
}

fn attributes(uve: &UveDescription<'_>) -> Vec<Attribute> {
    let attributes = uve.attributes();
    attributes.map(|it| Attribute { shape: AttributeShape::of(&it), window: it.window }).collect()
}
