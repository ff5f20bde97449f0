//! A request in JSON: the names of fields in lowerCamelCase, integers of 64 bits as text or number, enums as numbers.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>
//!
//! Lists stay text until each element is read, so that a body of many small elements takes no more memory than its own.

mod message;

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use self::message::{AnyValue, Data, JsonPoint, Key, KeyValue, List, Metric, Request, ResourceMetrics, ScopeMetrics};
use super::RequestError;
use super::attributes::{Attributes, double};
use super::points::{DataPoint, Kind, Points};
use crate::series::shortened;
use crate::{Integer, Limits};

impl From<serde_json::Error> for RequestError {
    fn from(error: serde_json::Error) -> Self {
        Self::NotJson { reason: error.to_string() }
    }
}

/// `ExportMetricsServiceRequest`.
pub(super) fn read(body: &[u8], points: &mut Points<'_>) -> Result<(), RequestError> {
    let body = std::str::from_utf8(body).map_err(|_| RequestError::NotJson { reason: "it is not UTF-8".to_owned() })?;
    let request: Request<'_> = object(body)?;
    each(request.resource_metrics, |raw| {
        let metrics: ResourceMetrics<'_> = object(raw)?;
        let resource = metrics.resource.unwrap_or_default();
        points.resource(attributes(resource.attributes, points.limits)?);
        each(metrics.scope_metrics, |raw| {
            let metrics: ScopeMetrics<'_> = object(raw)?;
            let scope = metrics.scope.unwrap_or_default();
            let (name, version) = (scope.name.unwrap_or_default(), scope.version.unwrap_or_default());
            points.scope(&name, &version, attributes(scope.attributes, points.limits)?);
            each(metrics.metrics, |raw| read_metric(object(raw)?, points))
        })
    })
}

fn read_metric(metric: Metric<'_>, points: &mut Points<'_>) -> Result<(), RequestError> {
    let kinds = [
        (metric.gauge, (|_| Kind::Gauge) as fn(&Data<'_>) -> Kind),
        (metric.sum, |data| Kind::Sum {
            temporality: data.aggregation_temporality.unwrap_or(0),
            is_monotonic: data.is_monotonic.unwrap_or(false),
        }),
        (metric.histogram, |data| Kind::Histogram { temporality: data.aggregation_temporality.unwrap_or(0) }),
        (metric.exponential_histogram, |data| Kind::Histogram {
            temporality: data.aggregation_temporality.unwrap_or(0),
        }),
        (metric.summary, |_| Kind::Summary),
    ];
    let (name, unit) = (metric.name.unwrap_or_default(), metric.unit.unwrap_or_default());
    for (data, kind) in kinds {
        let Some(data) = data else { continue };
        let kind = kind(&data);
        points.metric(&name, &unit, kind)?;
        each(data.data_points, |raw| {
            if points.count(raw.len())? {
                points.point(data_point(raw, points.limits)?, kind);
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn data_point(raw: &str, limits: &Limits) -> Result<DataPoint, RequestError> {
    let point: JsonPoint<'_> = object(raw)?;
    let double = point.as_double.0.map(|value| (value, None));
    let number = double.or_else(|| point.as_int.0.map(|value| Integer::Signed(value).split()));
    Ok(DataPoint {
        attributes: attributes(point.attributes, limits)?,
        start: point.start_time_unix_nano.0.unwrap_or(0),
        time: point.time_unix_nano.0.unwrap_or(0),
        flags: point.flags.0.unwrap_or(0),
        value: number.map(|(value, _)| value),
        integer: number.and_then(|(_, integer)| integer),
        count: point.count.0.unwrap_or(0),
        sum: point.sum.0,
    })
}

fn attributes(list: List<'_>, limits: &Limits) -> Result<Attributes, RequestError> {
    let mut attributes = Attributes::default();
    each(list, |raw| {
        if !attributes.count_one(limits) {
            return Ok(());
        }
        if Attributes::is_too_long(raw.len(), limits) {
            let found: Key<'_> = object(raw)?;
            attributes.refuse(&found.key.unwrap_or_default(), raw.len(), limits);
        } else {
            let found: KeyValue<'_> = object(raw)?;
            let value = found.value.map_or(Some(Value::Null), |value| plain(value, limits.nesting));
            attributes.add(found.key.unwrap_or_default().into_owned(), value, limits);
        }
        Ok(())
    })?;
    Ok(attributes)
}

/// A value as JSON; `None` if it is nested deeper than `depth`.
fn plain(value: AnyValue, depth: usize) -> Option<Value> {
    if let Some(text) = value.string_value.or(value.bytes_value) {
        return Some(Value::String(text));
    }
    let number = value.int_value.0.map(Value::from).or_else(|| value.double_value.0.map(double));
    if let Some(scalar) = value.bool_value.map(Value::Bool).or(number) {
        return Some(scalar);
    }
    if let Some(list) = value.array_value {
        let depth = depth.checked_sub(1)?;
        let values = list.values.into_iter().map(|value| plain(value, depth));
        return values.collect::<Option<Vec<_>>>().map(Value::Array);
    }
    if let Some(list) = value.kvlist_value {
        let depth = depth.checked_sub(1)?;
        let entries = list.values.into_iter().map(|entry| {
            let value = entry.value.map_or(Some(Value::Null), |value| plain(value, depth));
            Some((entry.key, value?))
        });
        return entries.collect::<Option<serde_json::Map<_, _>>>().map(Value::Object);
    }
    Some(Value::Null)
}

/// Reads an object. A list of its fields, which serde would take too, is not one.
fn object<'b, T: Deserialize<'b>>(text: &'b str) -> Result<T, RequestError> {
    let text = text.trim_start();
    if text.starts_with('{') {
        return Ok(serde_json::from_str(text)?);
    }
    Err(RequestError::NotJson { reason: format!("expected an object, found `{}`", shortened(text)) })
}

/// Calls `read` with the text of each element of a list.
fn each<'b>(list: List<'b>, read: impl FnMut(&'b str) -> Result<(), RequestError>) -> Result<(), RequestError> {
    let Some(list) = list else { return Ok(()) };
    let mut failure = None;
    let elements = Elements { read, failure: &mut failure };
    let mut deserializer = serde_json::Deserializer::from_str(list.get());
    let outcome = deserializer.deserialize_seq(elements);
    match failure {
        Some(error) => Err(error),
        None => Ok(outcome?),
    }
}

/// The elements of a list, one by one.
struct Elements<'f, R> {
    read: R,
    failure: &'f mut Option<RequestError>,
}

impl<'de, R: FnMut(&'de str) -> Result<(), RequestError>> Visitor<'de> for Elements<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            if let Err(error) = (self.read)(element.get()) {
                *self.failure = Some(error);
                return Err(A::Error::custom("an element is not read"));
            }
        }
        Ok(())
    }
}
