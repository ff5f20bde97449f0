//! The tables, one for each attribute, and the sorted output of their rows.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use proxy_uve::wire::PartialState;
use proxy_uve::{Fate, PartialRecord, Plan, Position, Table, TableSettings};

use crate::commands::aggregate::{AttributeNames, Flawed, RowFormat, Rows, sorted};

/// The tables of all attributes.
pub(super) struct Tables<'p> {
    plan: &'p Arc<Plan>,
    format: RowFormat,
    names: AttributeNames,
    attributes: BTreeMap<String, Table<Rows>>,
    /// The position of the newest partial state.
    position: u64,
    /// The start of the newest period: every window that ends before has all of its parts.
    newest: u64,
    rows: Vec<u8>,
    output: Box<dyn Write + Send>,
}

/// The totals of a run.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) states: u64,
    pub(super) objects: usize,
    pub(super) rows: u64,
    pub(super) flawed: Flawed,
}

impl<'p> Tables<'p> {
    pub(super) fn new(plan: &'p Arc<Plan>, format: RowFormat, output: Box<dyn Write + Send>) -> Self {
        Self {
            plan,
            format,
            names: AttributeNames::default(),
            attributes: BTreeMap::new(),
            position: 0,
            newest: 0,
            rows: Vec::new(),
            output,
        }
    }

    /// Adds the next partial state, in the order of the ends of their periods, and closes the windows that end before
    /// it. The inner error is the reason why the state is left out.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub(super) fn add(&mut self, state: &PartialState<'_>) -> anyhow::Result<Result<(), String>> {
        // Before the time moves: a line that is left out closes nothing.
        if let Err(fault) = self.plan.check_partial(state) {
            return Ok(Err(fault.to_string()));
        }
        if state.window > self.newest {
            self.newest = state.window;
            self.advance(state.window)?;
        }
        self.position += 1;
        let record = PartialRecord { position: Position::new(self.position), arrived: state.window, state };
        let fate = match self.table(&state.attribute) {
            Ok(table) => table.ingest_partial(&record),
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(match fate {
            Fate::Aggregated => Ok(()),
            other => Err(format!("the table left the state out as {}", other.name())),
        })
    }

    fn table(&mut self, attribute: &str) -> Result<&mut Table<Rows>, String> {
        if !self.attributes.contains_key(attribute) {
            self.names.id(attribute.as_bytes())?;
            let settings = TableSettings::default()
                .with_allowed_lateness(Duration::ZERO)
                .with_max_objects(usize::MAX)
                .with_max_sources(usize::MAX);
            let mut table =
                Table::with_sink(Arc::clone(self.plan), settings, Rows::new(self.format.clone(), attribute));
            table.advance(self.newest);
            self.attributes.insert(attribute.to_owned(), table);
        }
        self.attributes.get_mut(attribute).ok_or_else(|| format!("the attribute `{attribute}` has no table"))
    }

    /// Closes the windows that end at or before `time`, and writes their rows.
    fn advance(&mut self, time: u64) -> anyhow::Result<()> {
        self.rows.clear();
        for table in self.attributes.values_mut() {
            table.advance(time);
            self.rows.append(&mut table.sink_mut().bytes);
        }
        let mut sorted = Vec::with_capacity(self.rows.len());
        sorted::sort(&self.rows, &mut sorted);
        self.output.write_all(&sorted).context("write the output")
    }

    /// Closes every window.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.advance(self.plan.last_window_end(self.newest))?;
        self.output.flush().context("write the output")
    }

    /// The totals so far.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for table in self.attributes.values() {
            totals.states += table.fates().aggregated;
            totals.objects += table.objects();
            totals.rows += table.sink().count;
            totals.flawed.merge(table.sink().flawed);
        }
        totals
    }
}
