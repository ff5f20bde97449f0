//! The rows of results, as CSV or JSON lines.
//!
//! | result of | row |
//! |---|---|
//! | a detector, `DSEWM` | `key,attr,window,metric,samples,mean,stddev,sigma` |
//! | an algorithm with one number | `key,attr,window,value` |
//! | `DSNull` | `key,attr,window,value,samples` |
//!
//! The columns after `window` are those of the algorithm's entry; the main number of the result is the first one.
//!
//! With `--partial` a row is the line of a [partial state](proxy_uve::wire::PartialState).
//!
//! `window` is the start of the window in microseconds; for an inline result it is the timestamp of the sample. With a
//! schema or the built-in types each row begins with `Type.attribute`. Doubles are printed with the shortest digits
//! that parse to the same double; an integral double is printed as an integer. A warm-up has rows, silence has none.
//!
//! A number that a result does not have, such as the third value of a `DSTopK:3` that saw two, is an empty cell, and no
//! member of an object. A flawed result, such as a sum that stopped at the bound of its type, has its `error` in JSON; CSV
//! has no column for it, and both count it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use derived_stats::{Number, Output, ValueType};
use proxy_uve::wire::{MAX_PARTIAL_LENGTH, PartialState};
use proxy_uve::{AttributeResult, ResultSink, Subject};
use serde::Serialize;

use crate::commands::aggregate::job::Job;
use crate::commands::aggregate::sorted;

/// The limit below which an integral double can be printed exactly as an integer (2^53).
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// The format of rows.
#[derive(Clone, Debug)]
pub(crate) struct RowFormat {
    kind: Kind,
    /// Each row has the [header](sorted) by which rows are sorted.
    is_sorted: bool,
    type_names: Option<Arc<[String]>>,
}

/// The kinds of rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Csv,
    Json,
    /// Partial states instead of results.
    Partial,
}

impl RowFormat {
    /// The format for the name of the output: JSON lines for `.ndjson`, `.jsonl` and `.json`, else CSV.
    pub(crate) fn new(out: Option<&Path>, job: &Job, is_sorted: bool) -> Self {
        let kind = if out.is_some_and(Self::is_json) { Kind::Json } else { Kind::Csv };
        Self { kind, is_sorted, type_names: job.type_names.clone().map(Into::into) }
    }

    /// The format of partial states, in the order of their ends, by which `merge` reads them.
    pub(crate) fn partial() -> Self {
        Self { kind: Kind::Partial, is_sorted: true, type_names: None }
    }

    /// Whether each row has the header of [`sorted`].
    pub(crate) fn is_sorted(&self) -> bool {
        self.is_sorted
    }

    /// Whether an output of this name has JSON lines.
    pub(crate) fn is_json(out: &Path) -> bool {
        matches!(out.extension().and_then(|extension| extension.to_str()), Some("ndjson" | "jsonl" | "json"))
    }

    /// The header line of a CSV file; empty for JSON.
    pub(crate) fn header(&self, job: &Job) -> String {
        if self.kind != Kind::Csv {
            return String::new();
        }
        let result = if self.type_names.is_some() { "result," } else { "" };
        // If results have different columns, the header has only the first one, which all of them have.
        let columns = job.columns.as_ref().map_or_else(|| "value".to_owned(), |columns| columns.join(","));
        format!("{result}key,attr,window,{columns}\n")
    }
}

/// The sink for the rows of one attribute in one shard.
#[derive(Debug)]
pub(crate) struct Rows {
    format: RowFormat,
    /// The encoded attribute.
    attribute: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u64,
    /// The number of partial states without a row, because it would be too long.
    pub(crate) too_long: u64,
    /// The number of rows whose result is flawed, and the first reason.
    pub(crate) flawed: Flawed,
}

impl Rows {
    pub(crate) fn new(format: RowFormat, attribute: &str) -> Self {
        let mut text = Vec::new();
        match format.kind {
            Kind::Csv => field(&mut text, attribute.as_bytes()),
            Kind::Json => json(&mut text, attribute),
            Kind::Partial => text.extend_from_slice(attribute.as_bytes()),
        }
        Self { format, attribute: text, bytes: Vec::new(), count: 0, too_long: 0, flawed: Flawed::default() }
    }

    /// Adds a row of a window that ends at `end`.
    fn row(&mut self, end: u64, write: impl FnOnce(&mut Self)) {
        if !self.format.is_sorted {
            return write(self);
        }
        let start = sorted::begin(&mut self.bytes);
        write(self);
        sorted::end(&mut self.bytes, start, end);
    }

    fn csv(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>, output: &Output<'_>) {
        let out = &mut self.bytes;
        if let Some(names) = &self.format.type_names {
            field(out, names[subject.type_index].as_bytes());
            out.extend_from_slice(b".");
            field(out, result.name.as_bytes());
            out.push(b',');
        }
        field(out, subject.key);
        out.push(b',');
        out.extend_from_slice(&self.attribute);
        out.push(b',');
        number(out, Number::U64(result.start));
        out.push(b',');
        for (index, (_, value)) in values(output).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if let Some(value) = value {
                number(out, value);
            }
        }
        out.push(b'\n');
    }

    fn json(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>, output: &Output<'_>) {
        let out = &mut self.bytes;
        out.push(b'{');
        if let Some(names) = &self.format.type_names {
            out.extend_from_slice(b"\"result\":");
            json(out, &format!("{}.{}", names[subject.type_index], result.name));
            out.push(b',');
        }
        out.extend_from_slice(b"\"key\":");
        json(out, &*String::from_utf8_lossy(subject.key));
        out.extend_from_slice(b",\"attr\":");
        out.extend_from_slice(&self.attribute);
        out.extend_from_slice(b",\"window\":");
        number(out, Number::U64(result.start));
        for (name, value) in values(output).filter_map(|(name, value)| Some((name, value?))) {
            out.push(b',');
            json(out, name);
            out.push(b':');
            number(out, value);
        }
        if let Some(error) = output.error() {
            out.extend_from_slice(b",\"error\":");
            json(out, error);
        }
        out.extend_from_slice(b"}\n");
    }
}

/// Results whose numbers are flawed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Flawed {
    pub(crate) count: u64,
    /// The text of the first one.
    error: &'static str,
}

impl Flawed {
    fn add(&mut self, error: &'static str, count: u64) {
        if self.count == 0 {
            self.error = error;
        }
        self.count += count;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.error, other.count);
    }
}

impl fmt::Display for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, error } = self;
        let results = if *count == 1 { "result is flawed" } else { "results are flawed, such as" };
        write!(f, "{count} {results}: {error}; rows of JSON (--out FILE.ndjson) have the `error` of each")
    }
}

impl ResultSink for Rows {
    fn begin(&mut self, _: &Subject<'_>) {}

    fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>) {
        if self.format.kind == Kind::Partial {
            return;
        }
        let Some(output) = result.report.as_ref().any().filter(|_| !result.silent) else {
            return;
        };
        if let Some(error) = output.error() {
            self.flawed.add(error, 1);
        }
        let is_json = self.format.kind == Kind::Json;
        self.row(subject.end, |rows| match is_json {
            true => rows.json(subject, result, output),
            false => rows.csv(subject, result, output),
        });
        self.count += 1;
    }

    fn end(&mut self, _: &Subject<'_>) {}

    fn wants_partials(&self) -> bool {
        self.format.kind == Kind::Partial
    }

    fn partial(&mut self, state: PartialState<'_>) {
        // The attribute was UTF-8 when the table was made.
        let attribute = String::from_utf8_lossy(&self.attribute).into_owned().into();
        let state = PartialState { attribute, ..state };
        let before = self.bytes.len();
        self.row(state.end(), |rows| {
            state.encode(&mut rows.bytes);
            rows.bytes.push(b'\n');
        });
        if self.bytes.len() - before > MAX_PARTIAL_LENGTH {
            self.bytes.truncate(before);
            self.too_long += 1;
        } else {
            self.count += 1;
        }
    }
}

/// The columns of a result in their order, with its numbers.
fn values<'o>(output: &'o Output<'_>) -> impl Iterator<Item = (&'o str, Option<Number>)> + 'o {
    output.description().columns().iter().map(|(index, name)| (&**name, output.record().get(*index)))
}

#[inline]
fn number(out: &mut Vec<u8>, number: Number) {
    let (bits, value) = (number.bits(), number.as_f64());
    match number.value_type() {
        ValueType::U64 => out.extend_from_slice(itoa::Buffer::new().format(bits).as_bytes()),
        ValueType::I64 => out.extend_from_slice(itoa::Buffer::new().format(bits.cast_signed()).as_bytes()),
        ValueType::F64 if value.abs() < EXACT_INTEGERS && (value as i64 as f64).to_bits() == bits => {
            out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
        }
        ValueType::F64 => json(out, &value),
    }
}

/// Appends a CSV field, quoted where RFC 4180 requires it.
#[inline]
fn field(out: &mut Vec<u8>, text: &[u8]) {
    if !text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for &byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn json<V: Serialize + ?Sized>(out: &mut Vec<u8>, value: &V) {
    // The serialization of numbers and strings into memory cannot fail.
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok(), "a result is plain data");
}
