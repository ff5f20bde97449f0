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
//! `window` is the start of the window in microseconds; for an inline result it is the timestamp of the sample. With a
//! schema or the built-in types each row begins with `Type.attribute`. Doubles are printed with the shortest digits
//! that parse to the same double; an integral double is printed as an integer. A warm-up has rows, silence has none.

use std::path::Path;
use std::sync::Arc;

use derived_stats::{Number, Output, ValueType};
use proxy_uve::{AttributeResult, ResultSink, Subject};
use serde::Serialize;

use crate::commands::aggregate::job::Job;

/// The limit below which an integral double can be printed exactly as an integer (2^53).
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// The format of rows.
#[derive(Clone, Debug)]
pub(crate) struct RowFormat {
    is_json: bool,
    type_names: Option<Arc<[String]>>,
}

impl RowFormat {
    /// The format for the name of the output: JSON lines for `.ndjson`, `.jsonl` and `.json`, else CSV.
    pub(crate) fn new(out: Option<&Path>, job: &Job) -> Self {
        Self { is_json: out.is_some_and(Self::is_json), type_names: job.type_names.clone().map(Into::into) }
    }

    /// Whether an output of this name has JSON lines.
    pub(crate) fn is_json(out: &Path) -> bool {
        matches!(out.extension().and_then(|extension| extension.to_str()), Some("ndjson" | "jsonl" | "json"))
    }

    /// The header line of a CSV file; empty for JSON.
    pub(crate) fn header(&self, job: &Job) -> String {
        if self.is_json {
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
    /// The number of results without a row, because one of their columns has no number.
    pub(crate) incomplete: u64,
}

impl Rows {
    pub(crate) fn new(format: RowFormat, attribute: &str) -> Self {
        let mut text = Vec::new();
        match format.is_json {
            true => json(&mut text, attribute),
            false => field(&mut text, attribute.as_bytes()),
        }
        Self { format, attribute: text, bytes: Vec::new(), count: 0, incomplete: 0 }
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
            number(out, value);
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
        for (name, value) in values(output) {
            out.push(b',');
            json(out, name);
            out.push(b':');
            number(out, value);
        }
        out.extend_from_slice(b"}\n");
    }
}

impl ResultSink for Rows {
    fn begin(&mut self, _: &Subject<'_>) {}

    fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>) {
        let Some(output) = result.report.as_ref().any().filter(|_| !result.silent) else {
            return;
        };
        if !output.record().is_whole() && values(output).count() < output.description().columns().len() {
            // A CSV row with fewer cells would be misread.
            self.incomplete += 1;
            return;
        }
        match self.format.is_json {
            true => self.json(subject, result, output),
            false => self.csv(subject, result, output),
        }
        self.count += 1;
    }

    fn end(&mut self, _: &Subject<'_>) {}
}

/// The numbers of a result in the order of their columns.
fn values<'o>(output: &'o Output<'_>) -> impl Iterator<Item = (&'o str, Number)> + 'o {
    output.description().columns().iter().filter_map(|(index, name)| Some((&**name, output.record().get(*index)?)))
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
