//! The JSON form of a result: one line, for the file sink, the event stream and the command `results`, and, with
//! `kafka.results_format = "json"`, for the Kafka topic of results.
//!
//! ```json
//! {"key":"ObjectVNTable:default-domain:demo:vn1","uve":"AggProxySum-UveVirtualNetworkAgent-egress_flow_count",
//!  "start":1488000000000000,"end":1488000060000000,
//!  "data":{"deleted":false,"proxy":"UveVirtualNetworkAgent-egress_flow_count","value":{"value":36}}}
//! ```
//!
//! (without the line breaks). `start` and `end` are the bounds of the window in microseconds since the epoch; `data` is
//! the content of the object's UVE with the name `uve`. A Kafka message holds several lines, separated by line feeds
//! ([`lines`]).
//!
//! The results log also holds scrapes of Contiv nodes, as lines of another form: `netplugin_adapter::ScrapeRecord`.
//! [`is_scrape`] recognizes them by their first characters.

mod infer;
mod printed;
mod read;
mod recover;

use std::io::Write as _;

use proxy_uve::json;

use crate::block::Row;

pub use self::read::{LineError, LineReader};

/// Appends the line of a result, without a line feed.
pub fn write(row: &Row<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    json::write_text(row.key, out);
    out.extend_from_slice(b",\"uve\":");
    json::write_text(&row.shape.uve, out);
    // A write to memory cannot fail.
    let _ = write!(out, ",\"start\":{},\"end\":{},\"data\":{{\"deleted\":{}", row.start, row.end, row.deleted);
    if !row.shape.proxy.is_empty() {
        out.extend_from_slice(b",\"proxy\":");
        json::write_text(&row.shape.proxy, out);
    }
    if row.partial {
        out.extend_from_slice(b",\"partial\":true");
    }
    for (attribute, record) in row.attributes() {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(attribute.name.as_bytes());
        out.extend_from_slice(b"\":");
        attribute.write_json(&record, out);
    }
    out.extend_from_slice(b"}}");
}

/// Iterates over the lines of a record of the results log: one line, or all lines of a Kafka message.
pub fn lines(record: &[u8]) -> impl Iterator<Item = &[u8]> {
    record.split(|byte| *byte == b'\n')
}

/// Whether a line is a scrape of a Contiv node, and not a result.
pub fn is_scrape(line: &[u8]) -> bool {
    line.starts_with(b"{\"scrape\":")
}

#[cfg(test)]
mod tests;
