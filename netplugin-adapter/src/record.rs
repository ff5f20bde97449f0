//! The scrape record: the points of one scrape of a node as one line of JSON.
//!
//! `{"scrape":"svcstats","node":"192.168.2.10","at":1490306665000000,"points":[["11.1.1.2","100.1.1.3","10.1.1.7",1018,1200,12,14]]}`
//!
//! A point is a list, not an object: seven names would be most of a record of thousands of points. The list is
//! `EndpointIP`, `ServiceIP`, `ProviderIP`, `BytesIn`, `BytesOut`, `PacketsIn` and `PacketsOut`. `scrape` comes first,
//! so that the start of a line distinguishes it from other results.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{SeqAccess, Visitor};

use crate::point::Point;

/// One scrape, parsed from its line. Its texts are borrowed from the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeRecord<'r> {
    /// The node's address.
    pub node: Cow<'r, str>,
    /// The time of the scrape, in microseconds since 1970 UTC.
    pub at: u64,
    /// The points in the order of the line.
    pub points: Vec<Point<'r>>,
}

impl<'r> ScrapeRecord<'r> {
    /// Parses a line that [`encode_record`] wrote, in one pass. Unknown fields are ignored, so that later versions can
    /// add some; the order of the fields does not matter.
    ///
    /// # Errors
    ///
    /// When the line is not JSON, is another kind of record, a field is missing, a point does not have seven elements,
    /// or an address has an escape: [`decode`](crate::decode) accepts only addresses without. The error has line and
    /// column.
    pub fn parse(line: &'r [u8]) -> Result<Self, serde_json::Error> {
        let line: Line<'r> = serde_json::from_slice(line)?;
        let Line { scrape: Kind::Svcstats, node, at, points: Points(points) } = line;
        Ok(Self { node, at, points })
    }
}

/// Appends the record of a scrape of `node` at `at`, in microseconds since 1970 UTC, without a line end.
///
/// It allocates only the growth of `out`.
pub fn encode_record<'p>(node: &str, at: u64, points: impl Iterator<Item = Point<'p>>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"scrape":"svcstats","node":"#);
    push_text(node, out);
    out.extend_from_slice(br#","at":"#);
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(at).as_bytes());
    out.extend_from_slice(br#","points":["#);
    for (index, point) in points.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let mut before = b'[';
        for address in [point.endpoint_ip, point.service_ip, point.provider_ip] {
            out.push(before);
            push_text(address, out);
            before = b',';
        }
        for count in [point.bytes_in, point.bytes_out, point.packets_in, point.packets_out] {
            out.push(b',');
            out.extend_from_slice(digits.format(count).as_bytes());
        }
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
}

/// Appends a JSON string. Addresses never need an escape; the name of a node may.
fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.bytes().for_each(|byte| push_escaped(byte, out));
    }
    out.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    byte >= b' ' && !matches!(byte, b'"' | b'\\')
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        byte if is_plain(byte) => out.push(byte),
        control => {
            let digit = |nibble: u8| char::from_digit(nibble.into(), 16).map_or(b'0', |digit| digit as u8);
            out.extend_from_slice(br"\u00");
            out.extend_from_slice(&[digit(control >> 4), digit(control & 0xF)]);
        }
    }
}

#[derive(Deserialize)]
struct Line<'r> {
    scrape: Kind,
    #[serde(borrow)]
    node: Cow<'r, str>,
    at: u64,
    #[serde(borrow)]
    points: Points<'r>,
}

#[derive(Deserialize)]
enum Kind {
    #[serde(rename = "svcstats")]
    Svcstats,
}

/// A point in its list form.
#[derive(Deserialize)]
struct Listed<'r>(&'r str, &'r str, &'r str, u64, u64, u64, u64);

struct Points<'r>(Vec<Point<'r>>);

impl<'de: 'r, 'r> Deserialize<'de> for Points<'r> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PointsVisitor).map(Self)
    }
}

struct PointsVisitor;

impl<'de> Visitor<'de> for PointsVisitor {
    type Value = Vec<Point<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of points")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut points = Vec::new();
        while let Some(listed) = list.next_element::<Listed<'de>>()? {
            let Listed(endpoint_ip, service_ip, provider_ip, bytes_in, bytes_out, packets_in, packets_out) = listed;
            points.push(Point { endpoint_ip, service_ip, provider_ip, bytes_in, bytes_out, packets_in, packets_out });
        }
        Ok(points)
    }
}
