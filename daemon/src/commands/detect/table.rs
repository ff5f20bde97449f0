//! The summaries: a sentence for one series, a table for a directory.

use daemon_detect::score::events::median_delay;
use daemon_detect::summary::Summary;
use serde_json::{Map, Value};

use crate::commands::detect::FormatArg;

const NAMES: [&str; 11] = [
    "file",
    "values",
    "bad_lines",
    "weeks",
    "alarms",
    "alarms_a_week",
    "windows",
    "hits",
    "false_alarms",
    "f1",
    "delay_seconds",
];

/// The summary of one series in words.
pub(super) fn sentence(summary: &Summary, has_alarms: bool) -> String {
    let Summary { values, weeks, alarms, events } = summary;
    let mut text = format!("{values} values in {weeks:.2} weeks");
    if has_alarms {
        text += &format!(": {alarms} alarm{} ({:.2} a week)", plural(*alarms), summary.alarms_a_week());
    }
    if let Some(events) = events.as_ref().filter(|_| has_alarms) {
        text += &format!(
            "; {} of {} labelled windows hit, {} false alarm{}, F1 {:.2}",
            events.hits,
            events.windows,
            events.false_alarms,
            plural(events.false_alarms),
            events.f1()
        );
    }
    text
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// A row for each file.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<[String; 11]>,
}

impl Table {
    pub(super) fn push(&mut self, name: &str, summary: &Summary, bad_lines: u64) {
        let events = summary.events.as_ref();
        let number = |number: Option<String>| number.unwrap_or_default();
        self.rows.push([
            name.to_owned(),
            summary.values.to_string(),
            bad_lines.to_string(),
            format!("{:.2}", summary.weeks),
            summary.alarms.to_string(),
            format!("{:.2}", summary.alarms_a_week()),
            number(events.map(|events| events.windows.to_string())),
            number(events.map(|events| events.hits.to_string())),
            number(events.map(|events| events.false_alarms.to_string())),
            number(events.filter(|events| events.windows > 0).map(|events| format!("{:.3}", events.f1()))),
            number(events.and_then(|events| median_delay([events])).map(|delay| format!("{delay:.0}"))),
        ]);
    }

    /// The table: aligned, or in a form for programs.
    pub(super) fn text(&self, format: Option<FormatArg>) -> String {
        match format {
            None => self.aligned(),
            Some(FormatArg::Csv) => self.csv(),
            Some(FormatArg::Json) => self.json(),
        }
    }

    fn aligned(&self) -> String {
        let names = NAMES.map(str::to_owned);
        let rows = || std::iter::once(&names).chain(&self.rows);
        let width = |column: usize| rows().map(|row| row.get(column).map_or(0, |cell| cell.chars().count())).max();
        let widths: Vec<usize> = (0..NAMES.len()).map(|column| width(column).unwrap_or(0)).collect();
        let line = |row: &[String; 11]| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        rows().map(line).collect()
    }

    fn csv(&self) -> String {
        let quoted = |cell: &String| match cell.contains([',', '"', '\n']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        };
        let line = |row: &[String; 11]| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
        NAMES.join(",") + "\n" + &self.rows.iter().map(line).collect::<String>()
    }

    fn json(&self) -> String {
        let line = |row: &[String; 11]| {
            let value = |(column, cell): (usize, &String)| match (column, serde_json::from_str::<Value>(cell)) {
                (1.., Ok(number)) => number,
                (1.., Err(_)) => Value::Null,
                (0, _) => Value::from(cell.clone()),
            };
            let fields = NAMES.iter().map(|name| (*name).to_owned()).zip(row.iter().enumerate().map(value));
            format!("{}\n", Value::Object(fields.collect::<Map<_, _>>()))
        };
        self.rows.iter().map(line).collect()
    }
}
