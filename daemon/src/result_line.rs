//! One result as one line of JSON: the form of the results log, the file sink and the event stream.
//!
//! ```json
//! {"key":"ObjectVNTable:default-domain:demo:vn1","uve":"AggProxySum-UveVirtualNetworkAgent-egress_flow_count",
//!  "start":1488000000000000,"end":1488000060000000,
//!  "data":{"deleted":false,"proxy":"UveVirtualNetworkAgent-egress_flow_count","value":{"value":36}}}
//! ```
//!
//! (without the line breaks). A record of the results log holds one such line, on Kafka several with line feeds between
//! them ([`lines`]). `start` and `end` bound the window in microseconds since the epoch; `data` is what the
//! object's UVE shows under the name `uve`.
//!
//! A scrape of a Contiv node stands among the results as a line of another form, told by its beginning ([`is_scrape`]):
//! [`netplugin_adapter::ScrapeRecord`].

use std::io::Write as _;

use proxy_uve::{ResultRow, Table};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::log::{LogError, RecordBuffer};

/// Appends the line of a result, without a line feed.
pub(crate) fn encode(row: &ResultRow<'_>, out: &mut Vec<u8>) {
    // A key is UTF-8, or the table refused it. Writing to memory has no way to fail.
    let key = String::from_utf8_lossy(row.key);
    out.extend_from_slice(b"{\"key\":");
    let _ = serde_json::to_writer(&mut *out, &*key);
    out.extend_from_slice(b",\"uve\":");
    let _ = serde_json::to_writer(&mut *out, row.uve_name);
    let _ = write!(out, ",\"start\":{},\"end\":{},\"data\":", row.start, row.end);
    out.extend_from_slice(row.json);
    out.push(b'}');
}

/// Takes the results out of a table, each as its line under its object's key.
///
/// # Errors
///
/// [`LogError::InvalidArgument`] if one is too large for the log; the table then still has them all.
pub(crate) fn take(table: &mut Table) -> Result<RecordBuffer, LogError> {
    let mut results = RecordBuffer::default();
    let mut line = Vec::new();
    for row in table.drain() {
        line.clear();
        encode(&row, &mut line);
        results.push(row.key, &line)?;
    }
    table.clear_results();
    Ok(results)
}

/// The lines of a record of the results log: one, or on Kafka as many as were put together.
pub(crate) fn lines(record: &[u8]) -> impl Iterator<Item = &[u8]> {
    record.split(|byte| *byte == b'\n')
}

/// Whether a line is a scrape of a Contiv node rather than a result.
pub(crate) fn is_scrape(line: &[u8]) -> bool {
    line.starts_with(b"{\"scrape\":")
}

/// A line read back, borrowing from it.
#[derive(Debug, Deserialize)]
pub(crate) struct ResultLine<'l> {
    /// `table:name`.
    #[serde(borrow)]
    pub key: std::borrow::Cow<'l, str>,
    /// `<Type>-<Struct>-<attribute>`.
    #[serde(borrow)]
    pub uve: std::borrow::Cow<'l, str>,
    /// Start of the window, in microseconds since the epoch.
    pub start: u64,
    /// The structure.
    #[serde(borrow)]
    pub data: &'l RawValue,
}

impl<'l> ResultLine<'l> {
    /// Reads a line that [`encode`] wrote.
    pub(crate) fn parse(line: &'l [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let row = ResultRow::new(
            "ObjectVNTable:a \"quoted\"\n name".as_bytes(),
            "AggProxySum-UveVirtualNetworkAgent-egress_flow_count",
            60_000_000..120_000_000,
            br#"{"deleted":false,"proxy":"p","value":{"value":36}}"#,
        );
        let mut line = Vec::new();
        encode(&row, &mut line);
        assert!(!line.contains(&b'\n'), "a line holds no line feed");
        let read = ResultLine::parse(&line).expect("it was just written");
        assert_eq!(read.key.as_bytes(), row.key);
        assert_eq!(&*read.uve, row.uve_name);
        assert!(line.windows(39).any(|part| part == br#""start":60000000,"end":120000000,"data""#));
        assert_eq!(read.data.get().as_bytes(), row.json);
    }
}
