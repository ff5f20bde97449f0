//! The encoder of requests in protobuf: gauges with one point for each series.
//!
//! <https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto>
//!
//! A sender encodes the attributes and each point once, and cuts requests as it likes.

use super::points::NO_RECORDED_VALUE;
use super::protobuf::NUMBER;
use crate::protobuf::{bytes_head, varint_len};

/// The fields of a gauge, and of a metric.
const GAUGE: u8 = 5;

/// Appends attributes of a point. One without value is left out.
pub fn attributes(attributes: &[(&str, &str)], out: &mut Vec<u8>) {
    for (name, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
        key_value(NUMBER.attributes as u8, name, value, out);
    }
}

/// Appends a point of a gauge with its encoded [`attributes`], at a time in nanoseconds since the epoch. Without value it
/// has the flag for no recorded value, which ends the series.
pub fn point(attributes: &[u8], value: Option<f64>, time: u64, out: &mut Vec<u8>) {
    let of_value = if value.is_some() { 9 } else { 2 };
    bytes_head(1, attributes.len() + 9 + of_value, out);
    out.extend_from_slice(attributes);
    fixed64(3, time, out);
    match value {
        Some(value) => fixed64(NUMBER.double as u8, value.to_bits(), out),
        None => out.extend([(NUMBER.flags as u8) << 3, NO_RECORDED_VALUE as u8]),
    }
}

/// A request with the gauges of one resource: names, and the [`point`]s of each.
///
/// ```
/// use daemon_formats::Limits;
/// use daemon_formats::otlp::{Encoding, read, sent};
///
/// let (mut own, mut points) = (Vec::new(), Vec::new());
/// sent::attributes(&[("room", "x")], &mut own);
/// sent::point(&own, Some(21.5), 60_000_000_000, &mut points);
/// let body = sent::request(&[("service.name", "a")], ("scope", "1"), [("temperature", &[&points[..]][..])]);
/// let mut found = Vec::new();
/// read(Encoding::Protobuf, &body, &Limits::default(), |series| found.push(series.unwrap().samples[0].value)).unwrap();
/// assert_eq!(found, [21.5]);
/// ```
pub fn request<'r>(
    resource: &[(&str, &str)],
    scope: (&str, &str),
    gauges: impl IntoIterator<Item = (&'r str, &'r [&'r [u8]])>,
) -> Vec<u8> {
    let mut own = Vec::new();
    resource.iter().for_each(|(name, value)| key_value(1, name, value, &mut own));
    let (mut scope_metrics, mut of_scope) = (Vec::new(), Vec::new());
    text(1, scope.0, &mut of_scope);
    text(2, scope.1, &mut of_scope);
    bytes(1, &of_scope, &mut scope_metrics);
    for (name, points) in gauges {
        let size: usize = points.iter().map(|point| point.len()).sum();
        bytes_head(2, text_len(name) + 1 + varint_len(size as u64) + size, &mut scope_metrics);
        text(1, name, &mut scope_metrics);
        bytes_head(GAUGE, size, &mut scope_metrics);
        points.iter().for_each(|point| scope_metrics.extend_from_slice(point));
    }
    let head = own.len() + 2 * (1 + varint_len(u64::MAX));
    let mut resource_metrics = Vec::with_capacity(head + scope_metrics.len());
    bytes(1, &own, &mut resource_metrics);
    bytes(2, &scope_metrics, &mut resource_metrics);
    let mut out = Vec::with_capacity(head + resource_metrics.len());
    bytes(1, &resource_metrics, &mut out);
    out
}

/// `KeyValue` with a text.
fn key_value(field: u8, name: &str, value: &str, out: &mut Vec<u8>) {
    let any = text_len(value);
    bytes_head(field, text_len(name) + 1 + varint_len(any as u64) + any, out);
    text(1, name, out);
    bytes_head(2, any, out);
    text(1, value, out);
}

/// The length of a field with this text.
fn text_len(text: &str) -> usize {
    1 + varint_len(text.len() as u64) + text.len()
}

fn text(field: u8, text: &str, out: &mut Vec<u8>) {
    bytes(field, text.as_bytes(), out);
}

fn bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    bytes_head(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn fixed64(field: u8, value: u64, out: &mut Vec<u8>) {
    out.push(field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::{Message, Oneof};

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct AnyValue {
        #[prost(string, tag = "1")]
        text: String,
    }

    #[derive(Clone, PartialEq, Message)]
    struct KeyValue {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct NumberDataPoint {
        #[prost(message, repeated, tag = "7")]
        attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "3")]
        time: u64,
        #[prost(oneof = "Value", tags = "4")]
        value: Option<Value>,
        #[prost(uint32, tag = "8")]
        flags: u32,
    }

    #[derive(Clone, PartialEq, Oneof)]
    enum Value {
        #[prost(double, tag = "4")]
        Double(f64),
    }

    #[derive(Clone, PartialEq, Message)]
    struct Gauge {
        #[prost(message, repeated, tag = "1")]
        points: Vec<NumberDataPoint>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Metric {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "5")]
        gauge: Option<Gauge>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Scope {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        version: String,
    }

    #[derive(Clone, PartialEq, Message)]
    struct ScopeMetrics {
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        metrics: Vec<Metric>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Resource {
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct ResourceMetrics {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        scopes: Vec<ScopeMetrics>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Request {
        #[prost(message, repeated, tag = "1")]
        resources: Vec<ResourceMetrics>,
    }

    fn pair(key: &str, value: &str) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { text: value.to_owned() }) }
    }

    proptest! {
        #[test]
        fn property_a_request_is_that_of_an_independent_decoder(
            gauges in prop::collection::btree_map(
                "[a-z_]{1,200}",
                prop::collection::vec((prop::option::of(any::<f64>()), any::<u64>(), "\\PC{1,300}"), 0..4),
                0..4,
            ),
            service in "\\PC{0,200}",
        ) {
            let points = |of: &Vec<(Option<f64>, u64, String)>| -> Vec<Vec<u8>> {
                let encoded = of.iter().map(|(value, time, room)| {
                    let (mut own, mut out) = (Vec::new(), Vec::new());
                    attributes(&[("room", room), ("none", "")], &mut own);
                    point(&own, *value, *time, &mut out);
                    out
                });
                encoded.collect()
            };
            let encoded: Vec<_> = gauges.iter().map(|(name, of)| (name, points(of))).collect();
            let lent: Vec<(&str, Vec<&[u8]>)> =
                encoded.iter().map(|(name, of)| (name.as_str(), of.iter().map(Vec::as_slice).collect())).collect();
            let body = request(
                &[("service.name", &service)],
                ("scope", "1.2"),
                lent.iter().map(|(name, of)| (*name, &of[..])),
            );
            let expected = |(value, time, room): &(Option<f64>, u64, String)| NumberDataPoint {
                attributes: vec![pair("room", room)],
                time: *time,
                value: value.map(Value::Double),
                flags: u32::from(value.is_none()),
            };
            let metrics = gauges.iter().map(|(name, of)| {
                Metric { name: name.clone(), gauge: Some(Gauge { points: of.iter().map(expected).collect() }) }
            });
            let scope = Scope { name: "scope".to_owned(), version: "1.2".to_owned() };
            let scopes = vec![ScopeMetrics { scope: Some(scope), metrics: metrics.collect() }];
            let resource = Some(Resource { attributes: vec![pair("service.name", &service)] });
            let expected = Request { resources: vec![ResourceMetrics { resource, scopes }] };
            // As text, because a value that is not a number equals no other.
            prop_assert_eq!(format!("{:?}", Request::decode(&*body).unwrap()), format!("{expected:?}"));
        }
    }
}
