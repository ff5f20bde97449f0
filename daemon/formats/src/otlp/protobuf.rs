//! A request in protobuf. Fields may be in any order: what the points of a message need is read before them.
//!
//! <https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto>

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::RequestError;
use super::attributes::{Attributes, double};
use super::points::{DataPoint, Kind, Points};
use crate::protobuf::{Field, Fields, ProtobufError};
use crate::{Integer, Limits, SeriesFault};

impl From<ProtobufError> for RequestError {
    fn from(error: ProtobufError) -> Self {
        Self::NotProtobuf { reason: error.to_string() }
    }
}

/// `ExportMetricsServiceRequest`.
pub(super) fn read(body: &[u8], points: &mut Points<'_>) -> Result<(), RequestError> {
    each(Fields::of(body), 1, |resource_metrics| {
        let mut resource = Attributes::default();
        each(resource_metrics.message()?, 1, |field| {
            each(field.message()?, 1, |attribute| Ok(add(attribute, &mut resource, points.limits)?))
        })?;
        points.resource(resource);
        each(resource_metrics.message()?, 2, |field| scope_metrics(field, points))
    })
}

/// Calls `read` with the fields of one number.
fn each<'m>(
    fields: Fields<'m>,
    number: u32,
    mut read: impl FnMut(Field<'m>) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    for field in fields {
        let field = field?;
        if field.number == number {
            read(field)?;
        }
    }
    Ok(())
}

/// `ScopeMetrics`.
fn scope_metrics(field: Field<'_>, points: &mut Points<'_>) -> Result<(), RequestError> {
    let (mut name, mut version, mut attributes) = ("", "", Attributes::default());
    each(field.message()?, 1, |scope| {
        for field in scope.message()? {
            let field = field?;
            match field.number {
                1 => name = field.text()?,
                2 => version = field.text()?,
                3 => add(field, &mut attributes, points.limits)?,
                _ => {}
            }
        }
        Ok(())
    })?;
    points.scope(name, version, attributes);
    each(field.message()?, 2, |field| metric(field, points))
}

/// `Metric`: its name and unit, and its data, of which the last one counts.
fn metric(field: Field<'_>, points: &mut Points<'_>) -> Result<(), RequestError> {
    let (mut name, mut unit, mut data) = ("", "", None);
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            3 => unit = field.text()?,
            5 | 7 | 9 | 10 | 11 => data = Some(field),
            _ => {}
        }
    }
    let Some(data) = data else { return Ok(()) };
    let (mut temporality, mut is_monotonic) = (0, false);
    for field in data.message()? {
        let field = field?;
        match (data.number, field.number) {
            (7 | 9 | 10, 2) => temporality = field.unsigned()?,
            (7, 3) => is_monotonic = field.unsigned()? != 0,
            _ => {}
        }
    }
    let (kind, numbers) = match data.number {
        5 => (Kind::Gauge, &NUMBER),
        7 => (Kind::Sum { temporality, is_monotonic }, &NUMBER),
        9 => (Kind::Histogram { temporality }, &HISTOGRAM),
        10 => (Kind::Histogram { temporality }, &EXPONENTIAL),
        _ => (Kind::Summary, &SUMMARY),
    };
    points.metric(name, unit, kind)?;
    each(data.message()?, 1, |field| {
        if points.count(field.bytes()?.len())? {
            points.point(data_point(field, numbers, points.limits)?, kind);
        }
        Ok(())
    })
}

/// The numbers of the fields of a point, which differ by type. 0 for a field that the type does not have.
pub(super) struct Numbers {
    pub(super) attributes: u32,
    count: u32,
    sum: u32,
    pub(super) double: u32,
    integer: u32,
    pub(super) flags: u32,
}

/// `NumberDataPoint`.
pub(super) const NUMBER: Numbers = Numbers { attributes: 7, count: 0, sum: 0, double: 4, integer: 6, flags: 8 };
/// `HistogramDataPoint`.
const HISTOGRAM: Numbers = Numbers { attributes: 9, count: 4, sum: 5, double: 0, integer: 0, flags: 10 };
/// `ExponentialHistogramDataPoint`.
const EXPONENTIAL: Numbers = Numbers { attributes: 1, count: 4, sum: 5, double: 0, integer: 0, flags: 10 };
/// `SummaryDataPoint`.
const SUMMARY: Numbers = Numbers { attributes: 7, count: 4, sum: 5, double: 0, integer: 0, flags: 8 };

fn data_point(field: Field<'_>, numbers: &Numbers, limits: &Limits) -> Result<DataPoint, RequestError> {
    let mut point = DataPoint::default();
    for field in field.message()? {
        let field = field?;
        let number = field.number;
        match number {
            2 => point.start = field.fixed64()?,
            3 => point.time = field.fixed64()?,
            _ if number == numbers.attributes => add(field, &mut point.attributes, limits)?,
            _ if number == numbers.count => point.count = field.fixed64()?,
            _ if number == numbers.sum => point.sum = Some(field.double()?),
            _ if number == numbers.double => (point.value, point.integer) = (Some(field.double()?), None),
            _ if number == numbers.integer => {
                let (value, integer) = Integer::Signed(field.fixed64()?.cast_signed()).split();
                (point.value, point.integer) = (Some(value), integer);
            }
            _ if number == numbers.flags => point.flags = field.unsigned()?,
            _ => {}
        }
    }
    Ok(point)
}

/// Adds a `KeyValue`. A text of it that is not UTF-8 is the fault of the points that have it, and not of the request: the
/// rules of proto3 refuse such a message, but all other points of it can be read.
fn add(field: Field<'_>, attributes: &mut Attributes, limits: &Limits) -> Result<(), ProtobufError> {
    if !attributes.count_one(limits) {
        return Ok(());
    }
    match add_decoded(field, attributes, limits) {
        Err(error) if error.is_text() => {
            attributes.fault = Some(SeriesFault::NotUtf8);
            Ok(())
        }
        outcome => outcome,
    }
}

fn add_decoded(field: Field<'_>, attributes: &mut Attributes, limits: &Limits) -> Result<(), ProtobufError> {
    let encoded = field.bytes()?.len();
    if Attributes::is_too_long(encoded, limits) {
        attributes.refuse(key(field)?, encoded, limits);
        return Ok(());
    }
    let (name, found) = key_value(field, limits.nesting)?;
    attributes.add(name.to_owned(), found, limits);
    Ok(())
}

/// The name of a `KeyValue`.
fn key<'m>(field: Field<'m>) -> Result<&'m str, ProtobufError> {
    let mut name = "";
    for field in field.message()? {
        let field = field?;
        if field.number == 1 {
            name = field.text()?;
        }
    }
    Ok(name)
}

fn key_value<'m>(field: Field<'m>, depth: usize) -> Result<(&'m str, Option<Value>), ProtobufError> {
    let (mut name, mut found) = ("", Some(Value::Null));
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            2 => found = value(field, depth)?,
            _ => {}
        }
    }
    Ok((name, found))
}

/// `AnyValue`; `None` if it is nested deeper than `depth`.
fn value(field: Field<'_>, depth: usize) -> Result<Option<Value>, ProtobufError> {
    let mut found = Some(Value::Null);
    for field in field.message()? {
        let field = field?;
        found = match field.number {
            1 => Some(Value::String(field.text()?.to_owned())),
            2 => Some(Value::Bool(field.unsigned()? != 0)),
            3 => Some(Value::from(field.signed()?)),
            4 => Some(double(field.double()?)),
            5 | 6 => nested(field, depth)?,
            7 => Some(Value::String(BASE64_STANDARD.encode(field.bytes()?))),
            _ => continue,
        };
    }
    Ok(found)
}

/// `ArrayValue` or `KeyValueList`, by the number of the field.
fn nested(list: Field<'_>, depth: usize) -> Result<Option<Value>, ProtobufError> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(None) };
    let (mut elements, mut entries) = (Some(Vec::new()), Some(serde_json::Map::new()));
    for field in list.message()? {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        if list.number == 5 {
            elements = elements.zip(value(field, depth)?).map(|(mut elements, value)| {
                elements.push(value);
                elements
            });
        } else {
            let (name, value) = key_value(field, depth)?;
            entries = entries.zip(value).map(|(mut entries, value)| {
                entries.insert(name.to_owned(), value);
                entries
            });
        }
    }
    Ok(if list.number == 5 { elements.map(Value::Array) } else { entries.map(Value::Object) })
}
