//! The table of the demo on the terminal, and its sink.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use daemon_alarms::row::{AlarmRow, State, is_alarms};
use daemon_log::{Log, RecordBatch};
use daemon_results::block::Row;
use daemon_results::record::{RecordReader, Stored};
use daemon_sinks::Sink;
use derived_stats::entry::Role;
use derived_stats::{Number, six_digits};

use crate::engine::Engine;

/// The number of periods in a sparkline.
const HISTORY: usize = 24;
/// The number of objects in the table.
const LOUDEST: usize = 5;
/// The threshold of an anomaly. The bound of sigma with EWM 0.1 is 3.
const ALARM_SIGMA: f64 = 2.5;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The results that the demo shows.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    series: BTreeMap<String, Series>,
    /// The anomalies that are not printed yet.
    announcements: Vec<String>,
    results: u64,
}

#[derive(Debug, Default)]
struct Series {
    sums: VecDeque<u64>,
    sigma: f64,
    alarmed: bool,
}

impl Board {
    /// The table as text; on a terminal (`live`) it replaces the previous one.
    pub(super) fn draw(&self, live: bool, engine: &Engine) -> String {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for announcement in std::mem::take(&mut seen.announcements) {
            let _ = writeln!(text, "{announcement}");
        }
        if !live {
            return text;
        }
        let status = engine.telemetry.workers.tables();
        let objects: usize = status.values().map(|partition| partition.objects).sum();
        let records: u64 = status.values().map(|partition| partition.fates.total()).sum();
        let _ = writeln!(text, "\x1b[J{objects} objects, {records} records, {} results", seen.results);
        let lines = seen.loudest(&mut text) + 1;
        // Moves the cursor to the first line of the table, so that the next table overwrites it.
        let _ = write!(text, "\x1b[{lines}A");
        text
    }

    fn take(&self, row: &Row<'_>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.results += 1;
        let Some((result, record)) = row.attributes().find(|(attribute, _)| &*attribute.name == "value") else {
            return;
        };
        let number = |role| result.of_role(role, &record);
        let (Some(sigma), Some(Number::U64(metric))) = (number(Role::Score), number(Role::Value)) else {
            return;
        };
        let sigma = sigma.as_f64();
        let proxy = &*row.shape.proxy;
        let attribute = proxy.split_once('-').map_or(proxy, |(_, attribute)| attribute);
        let name = format!("{} {attribute}", row.key);
        let series = seen.series.entry(name.clone()).or_default();
        series.take(metric, sigma);
        let alarming = sigma.abs() >= ALARM_SIGMA;
        if alarming && !std::mem::replace(&mut series.alarmed, alarming) {
            let mean = number(Role::Expected).map(|mean| six_digits(mean.as_f64())).unwrap_or_default();
            let unit = match attribute {
                of_contiv if of_contiv.contains("Bytes") => " bytes",
                of_contrail if of_contrail.contains("flow") => " flows",
                _ => "",
            };
            seen.announcements.push(format!("ANOMALY {name}: {metric}{unit}, sigma {sigma:.2} (mean {mean})"));
        } else {
            series.alarmed = alarming;
        }
    }
}

impl Series {
    fn take(&mut self, metric: u64, sigma: f64) {
        if self.sums.len() == HISTORY {
            self.sums.pop_front();
        }
        self.sums.push_back(metric);
        self.sigma = sigma;
    }

    fn sparkline(&self) -> String {
        let highest = self.sums.iter().copied().max().unwrap_or(0).max(1);
        let bar = |sum: &u64| BARS[usize::try_from(sum * 7 / highest).unwrap_or(0).min(7)];
        self.sums.iter().map(bar).collect()
    }
}

impl Seen {
    /// Appends the objects with the largest sigma and returns the number of lines.
    fn loudest(&self, text: &mut String) -> usize {
        let mut series: Vec<_> = self.series.iter().collect();
        series.sort_by(|(_, a), (_, b)| b.sigma.abs().total_cmp(&a.sigma.abs()));
        series.truncate(LOUDEST);
        for (name, series) in &series {
            let newest = series.sums.back().copied().unwrap_or(0);
            let _ = writeln!(text, "{:6.2} {newest:7} {:HISTORY$} {name}", series.sigma, series.sparkline());
        }
        series.len()
    }
}

/// A sink that shows results on the board.
pub(super) struct BoardSink {
    board: Arc<Board>,
    reader: RecordReader,
}

impl Board {
    /// Announces the alarms that begin or end with a row.
    fn take_alarms(&self, line: &[u8]) {
        let Ok(AlarmRow { key, end, data, .. }) = AlarmRow::read(line) else { return };
        let fired = data.alarms.iter().filter(|alarm| alarm.timestamp == end);
        let fired = fired.map(|alarm| format!("ALARM {:?} of {key} fires: {}", alarm.rule, alarm.description));
        let resolved = data.resolved.iter().filter(|alarm| alarm.state == State::Resolved);
        let resolved = resolved.map(|alarm| format!("ALARM {:?} of {key} is resolved", alarm.rule));
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.announcements.extend(fired.chain(resolved));
    }
}

impl BoardSink {
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self { board, reader: RecordReader::default() }
    }
}

impl Sink for BoardSink {
    fn name(&self) -> &str {
        "demo"
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        Ok(log.results_bounds()?.next)
    }

    fn deliver(&mut self, _log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        let Self { board, reader } = self;
        for record in batch.records() {
            reader.each(record.offset, record.payload, |_, result| match result {
                Stored::Row(row) => board.take(&row),
                Stored::Line(line) if is_alarms(line) => board.take_alarms(line),
                // The other lines in the log of the demo are scrapes.
                Stored::Line(_) => {}
            })?;
        }
        Ok(())
    }
}
