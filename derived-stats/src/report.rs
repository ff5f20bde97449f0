//! What a pipeline says after a sample or a period: a value, "nothing new", or "too early".
//!
//! The original's three return codes (`DSR_OK`, `DSR_SKIP`, `DSR_INVALID`) become the variants of [`Report`]. The
//! result travels in all three where the algorithm has one, because only the caller knows whether it wants to force:
//! a full resynchronisation sends an unchanged value too, and a display may show a detector that is still warming up.

use std::borrow::Cow;

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::number::Number;
use crate::text::six_digits;

/// The state of a result: new, unchanged, or not to be trusted yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Report<O> {
    /// Too few samples for a result. Holds what there is so far, if the algorithm shows it.
    NotReady(Option<O>),
    /// A valid result that is not worth sending unless the caller forces it.
    Unchanged(O),
    /// A valid result.
    Value(O),
}

impl<O> Report<O> {
    /// The result where it is valid: what a caller that forces would send.
    pub fn forced(self) -> Option<O> {
        match self {
            Self::NotReady(_) => None,
            Self::Unchanged(output) | Self::Value(output) => Some(output),
        }
    }

    /// The same report about the result where it stands.
    pub fn as_ref(&self) -> Report<&O> {
        match self {
            Self::NotReady(output) => Report::NotReady(output.as_ref()),
            Self::Unchanged(output) => Report::Unchanged(output),
            Self::Value(output) => Report::Value(output),
        }
    }

    /// Whatever result there is, valid or not.
    pub fn any(self) -> Option<O> {
        match self {
            Self::NotReady(output) => output,
            Self::Unchanged(output) | Self::Value(output) => Some(output),
        }
    }

    /// The same report about something made from the result.
    pub fn map<P>(self, make: impl FnOnce(O) -> P) -> Report<P> {
        match self {
            Self::NotReady(output) => Report::NotReady(output.map(make)),
            Self::Unchanged(output) => Report::Unchanged(make(output)),
            Self::Value(output) => Report::Value(make(output)),
        }
    }

    /// `ok`, `unchanged` or `not_ready`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotReady(_) => "not_ready",
            Self::Unchanged(_) => "unchanged",
            Self::Value(_) => "ok",
        }
    }
}

/// A result of an algorithm. It borrows texts from the spec, so making one allocates nothing.
///
/// Serialises as the original's JSON: a number, or an object with the original's field names.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output<'s> {
    /// Of `DSAnomaly`.
    Anomaly(AnomalyResult<'s>),
    /// Of `DSEWM`.
    Ewm(EwmResult),
    /// Of `DSNull`.
    Null(NullResult),
    /// Of the algorithms whose result is a number.
    Number(NumberResult),
    /// Of an algorithm that the embedding program registered: named numbers, in the order they are printed.
    Record(Vec<(Cow<'s, str>, Number)>),
}

impl Output<'_> {
    /// What is wrong with the result although it is there: [`OVERFLOW`] or [`TOO_LARGE`].
    pub fn error(&self) -> Option<&'static str> {
        match self {
            Self::Anomaly(result) => result.error,
            Self::Number(result) => result.error(),
            Self::Ewm(result) => result.error,
            Self::Null(_) | Self::Record(_) => None,
        }
    }
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Anomaly(result) => result.serialize(serializer),
            Self::Ewm(result) => result.serialize(serializer),
            Self::Null(result) => result.serialize(serializer),
            Self::Number(result) => result.value.serialize(serializer),
            Self::Record(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// The text of a result whose sum left the range of its type.
pub const OVERFLOW: &str = "overflow: the sum left the range of its type, the value is the bound";

/// The text of a detector's result whose newest sample is so large that its square has no place in a double.
pub const TOO_LARGE: &str = "too large: the sample is beyond 1e150, it counted as that bound";

/// A number, and whether it is the bound of its type because the true one did not fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberResult {
    /// The value, in the type of the metric.
    pub value: Number,
    /// The true value is outside the type; `value` is the nearest bound.
    pub overflowed: bool,
}

impl NumberResult {
    /// The error text of an overflow.
    pub fn error(&self) -> Option<&'static str> {
        self.overflowed.then_some(OVERFLOW)
    }
}

/// The result of `DSAnomaly`, with the fields of Contrail's `AnomalyResult`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnomalyResult<'s> {
    /// Samples seen by the detector: periods in a periodic pipeline.
    pub samples: u64,
    /// `EWM`.
    pub algo: &'s str,
    /// The text of the parameter, as written in the annotation.
    pub config: &'s str,
    /// [`OVERFLOW`] when the newest sample is the bound of an overflowed sum, [`TOO_LARGE`] when it is beyond 1e150.
    pub error: Option<&'static str>,
    /// The weighted mean, in the metric's unit. The JSON form rounds it to 6 digits, this is exact.
    pub mean: f64,
    /// The weighted standard deviation, in the metric's unit, at least 0.
    pub stddev: f64,
    /// Distance of the newest sample from the mean, in standard deviations; at most `sqrt((1-a)/a)` by size.
    pub sigma: f64,
    /// The newest sample as the original's u64: a negative value appears as 2^64 minus its size, a fraction is cut.
    /// `None` before the first sample.
    pub metric: Option<u64>,
}

impl Serialize for AnomalyResult<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("AnomalyResult", 7)?;
        fields.serialize_field("samples", &self.samples)?;
        fields.serialize_field("algo", self.algo)?;
        fields.serialize_field("config", self.config)?;
        if let Some(error) = self.error {
            fields.serialize_field("error", error)?;
        }
        let state = StateText { mean: six_digits(self.mean), stddev: six_digits(self.stddev) };
        fields.serialize_field("state", &state)?;
        fields.serialize_field("sigma", &self.sigma)?;
        if let Some(metric) = self.metric {
            fields.serialize_field("metric", &metric)?;
        }
        fields.end()
    }
}

#[derive(Serialize)]
struct StateText {
    mean: String,
    stddev: String,
}

/// The result of `DSEWM`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EwmResult {
    /// Samples seen.
    pub samples: u64,
    /// [`TOO_LARGE`] when the newest sample is beyond 1e150.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// The weighted mean, in the metric's unit.
    pub mean: f64,
    /// The weighted standard deviation, in the metric's unit.
    pub stddev: f64,
    /// Distance of the newest sample from the mean, in standard deviations.
    pub sigma: f64,
}

/// The result of `DSNull`: the newest value and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NullResult {
    /// Samples seen.
    pub samples: u64,
    /// The newest sample.
    pub value: Number,
}
