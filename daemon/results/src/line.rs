//! One result as one line of JSON: what the file sink, the event stream and `results` write, and, with
//! `kafka.results_format = "json"`, the results topic holds.
//!
//! ```json
//! {"key":"ObjectVNTable:default-domain:demo:vn1","uve":"AggProxySum-UveVirtualNetworkAgent-egress_flow_count",
//!  "start":1488000000000000,"end":1488000060000000,
//!  "data":{"deleted":false,"proxy":"UveVirtualNetworkAgent-egress_flow_count","value":{"value":36}}}
//! ```
//!
//! (without the line breaks). `start` and `end` bound the window in microseconds since the epoch; `data` is what the
//! object's UVE shows under the name `uve`. A message of Kafka holds several with line feeds between them ([`lines`]).
//!
//! A scrape of a Contiv node stands among the results as a line of another form, told by its beginning ([`is_scrape`]):
//! [`netplugin_adapter::ScrapeRecord`].

mod guess;
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
    // Writing to memory has no way to fail.
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
        attribute.write_json(record, out);
    }
    out.extend_from_slice(b"}}");
}

/// The lines of a record of the results log: one, or on Kafka as many as one message holds.
pub fn lines(record: &[u8]) -> impl Iterator<Item = &[u8]> {
    record.split(|byte| *byte == b'\n')
}

/// Whether a line is a scrape of a Contiv node rather than a result.
pub fn is_scrape(line: &[u8]) -> bool {
    line.starts_with(b"{\"scrape\":")
}

#[cfg(test)]
mod tests;
