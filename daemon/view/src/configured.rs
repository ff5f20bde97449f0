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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use daemon_results::block::{BlockReader, BlockSink, MAX_BLOCK_BYTES};
    use proxy_uve::schema::Schema;
    use proxy_uve::{Plan, Position, Record, StreamName, Table, TableSettings};

    use super::*;

    const SECOND: u64 = 1_000_000;
    /// The second of the first sample, a multiple of all lengths of windows.
    const FIRST: u64 = 100;

    /// Sums over one and over `periods` seconds.
    fn plan(periods: u64) -> Arc<Plan> {
        let text = format!(
            "struct Sums {{
               1: string name (key=\"\") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden=\"yes\")
               5: optional u64 one (stats=\"1-raw:DSSum\")
               6: optional u64 long (stats=\"{periods}-raw:DSSum\")
             }} (period=\"1\", timeout=\"30\")"
        );
        let types: Vec<_> = Schema::parse("test.sandesh", &text).unwrap().types().cloned().collect();
        Arc::new(Plan::new(StreamName::new("A", "b").unwrap(), &types))
    }

    /// The results of ten seconds with a sample each, as the results log has them.
    fn blocks(plan: &Arc<Plan>) -> Vec<Vec<u8>> {
        let settings = TableSettings::default().with_allowed_lateness(std::time::Duration::ZERO);
        let mut table = Table::with_sink(Arc::clone(plan), settings, BlockSink::new(plan, MAX_BLOCK_BYTES));
        for second in 0..10 {
            let (position, arrived) = (Position::new(second + 1), (FIRST + second) * SECOND);
            let payload = format!("{{\"ts\":{arrived},\"value\":7}}");
            table.ingest(&Record { position, arrived, key: b"T:a", payload: payload.as_bytes() });
        }
        table.advance((FIRST + 10) * SECOND);
        table.sink_mut().take().unwrap().records().map(|(_, block)| block.to_vec()).collect()
    }

    /// The attributes that are selected, with start and end in seconds after the first sample.
    fn selected(configured: &mut Configured, blocks: &[Vec<u8>]) -> Vec<(String, u64, u64)> {
        let (mut reader, mut found) = (BlockReader::default(), Vec::new());
        for block in blocks {
            let mut rows = reader.rows(block).unwrap();
            while let Some(row) = rows.next().unwrap() {
                configured.select(&row, |row| {
                    let names = row.encoded().map(|(attribute, _)| attribute.name.to_string());
                    let [start, end] = [row.start, row.end].map(|time| time / SECOND - FIRST);
                    found.extend(names.map(|name| (name, start, end)));
                });
            }
        }
        found
    }

    #[test]
    fn windows_of_several_periods_are_selected_and_those_of_another_length_are_not() {
        let plan = plan(5);
        let blocks = blocks(&plan);
        let ones = (0..10).map(|at| ("one".to_owned(), at, at + 1));
        let mut both: Vec<_> = ones.clone().collect();
        both.insert(5, ("long".to_owned(), 0, 5));
        both.push(("long".to_owned(), 5, 10));
        assert_eq!(selected(&mut Configured::new(&[plan]), &blocks), both);
        assert_eq!(selected(&mut Configured::new(&[self::plan(2)]), &blocks), ones.collect::<Vec<_>>());
    }
}
