//! A proxy type: the results that are computed for each object of a stream.
//!
//! A `ProxyType` is valid by construction: it comes from a [`Schema`](super::Schema) or from [`ProxyType::builder`],
//! and both make the same checks.

mod builder;
mod error;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use derived_stats::{MetricKind, Silence, Spec, ValueType};

pub use self::builder::ProxyTypeBuilder;
pub use self::error::{ProxyTypeError, ProxyTypeErrorKind};
use crate::stream::is_identifier;

/// A day: the results of a longer period would be too late to be useful.
const PERIODS: RangeInclusive<u64> = 1..=86_400;

/// Members of every result's JSON object beside the attributes.
const RESERVED: [&str; 3] = ["deleted", "partial", "proxy"];

/// A compiled definition. Shared by all objects and streams that use it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyType {
    pub(super) name: String,
    pub(super) period_seconds: Option<u32>,
    pub(super) timeout: u32,
    pub(super) silence: Silence,
    pub(super) raw: RawField,
    pub(super) attributes: Vec<ResultAttribute>,
}

/// The field that takes the value of each sample. It is never part of a result.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RawField {
    /// Its name, such as `raw`.
    pub name: String,
    /// What the pipelines compute with: 64 bits, whatever width the definition names.
    pub value: ValueType,
    /// What the samples are.
    pub metric: MetricKind,
    /// The samples are texts (`string`): the pipelines compute with their [hashes](derived_stats::text_sample).
    pub texts: bool,
}

/// A field for a result.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ResultAttribute {
    /// Its name, such as `value`.
    pub name: String,
    /// The compiled annotation. The raw value is its source.
    pub spec: Arc<Spec>,
    /// Computed, but not sent.
    pub hidden: bool,
    /// The text fields of the struct that a statistics database should index the result by.
    pub tags: Vec<String>,
    /// The type as written in the schema, such as `derived_stats_results.AnomalyResult`; empty for a type that was
    /// built in code.
    pub result_type: String,
}

impl ProxyType {
    /// A type to be defined in code, with samples of `value` in a raw field named `raw`. What is not set is as in a
    /// struct without that annotation.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use derived_stats::ValueType;
    /// use proxy_uve::schema::ProxyType;
    ///
    /// let flows = ProxyType::builder("Flows", ValueType::U64)
    ///     .period(Duration::from_secs(60))
    ///     .timeout(5)
    ///     .result("sum", "1-raw:DSSum")
    ///     .result("unusual", "1.DSSum-raw:DSAnomaly:EWM:0.1")
    ///     .build()?;
    /// assert_eq!((flows.period_seconds(), flows.attributes().len()), (Some(60), 2));
    ///
    /// let error = ProxyType::builder("Flows", ValueType::U64).result("sum", "bytes:DSSum").build().unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "proxy type `Flows`: the result `sum` reads `bytes`, but samples fill `raw`; write `raw` in its annotation"
    /// );
    /// # Ok::<(), proxy_uve::schema::ProxyTypeError>(())
    /// ```
    pub fn builder(name: impl Into<String>, value: ValueType) -> ProxyTypeBuilder {
        ProxyTypeBuilder::new(name.into(), value)
    }

    /// The name of the struct, such as `AggProxySum`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The struct's period, 1 to 86400 seconds. `None` for a struct without period: all its results are inline.
    pub fn period_seconds(&self) -> Option<u32> {
        self.period_seconds
    }

    /// After how many silent periods an object's proxy UVE is deleted; 0 is never.
    pub fn timeout(&self) -> u32 {
        self.timeout
    }

    /// How a detector treats a silent period.
    pub fn silence(&self) -> Silence {
        self.silence
    }

    /// The field for the value of each sample.
    pub fn raw(&self) -> &RawField {
        &self.raw
    }

    /// The results, in the order of the definition. Never empty.
    pub fn attributes(&self) -> &[ResultAttribute] {
        &self.attributes
    }

    /// Whether results come with each sample only, never when a period ends.
    pub fn is_inline(&self) -> bool {
        self.attributes.iter().all(|attribute| !attribute.spec.is_periodic())
    }

    /// Checks that the parts fit each other. Every proxy type is made here.
    pub(super) fn checked(self) -> Result<Self, ProxyTypeError> {
        match self.check() {
            Ok(()) => Ok(self),
            Err(kind) => Err(ProxyTypeError::new(self.name, kind)),
        }
    }

    fn check(&self) -> Result<(), ProxyTypeErrorKind> {
        check_name("the type", &self.name)?;
        check_name("the raw field", &self.raw.name)?;
        check_period(self.period_seconds.map(|seconds| Duration::from_secs(seconds.into())))?;
        if self.attributes.is_empty() {
            return Err(ProxyTypeErrorKind::NoResults);
        }
        if self.raw.texts && self.raw.metric != MetricKind::Plain {
            return Err(ProxyTypeErrorKind::CountersOfTexts { raw: self.raw.name.clone() });
        }
        self.attributes.iter().enumerate().try_for_each(|(index, attribute)| self.check_result(index, attribute))
    }

    fn check_result(&self, index: usize, attribute: &ResultAttribute) -> Result<(), ProxyTypeErrorKind> {
        let ResultAttribute { name, spec, .. } = attribute;
        check_name("the result", name)?;
        if RESERVED.contains(&name.as_str()) {
            return Err(ProxyTypeErrorKind::ReservedName { name: name.clone() });
        }
        if *name == self.raw.name || self.attributes[..index].iter().any(|other| other.name == *name) {
            return Err(ProxyTypeErrorKind::DuplicateName { name: name.clone() });
        }
        let source = spec.annotation().source();
        if source.component().is_some() || source.attribute().as_str() != self.raw.name {
            let path: Vec<_> = source.names().map(|part| part.as_str()).collect();
            let (result, raw) = (name.clone(), self.raw.name.clone());
            return Err(ProxyTypeErrorKind::OtherSource { result, read: path.join("."), raw });
        }
        if let Some(first) = spec.links().next().filter(|first| self.raw.texts && !first.entry().takes_texts()) {
            let algorithm = first.entry().name();
            return Err(ProxyTypeErrorKind::NeedsNumbers {
                result: name.clone(),
                algorithm,
                raw: self.raw.name.clone(),
            });
        }
        let (every, seconds) = (spec.every(), self.period_seconds.unwrap_or(0));
        if !window_fits(every, seconds) {
            return Err(ProxyTypeErrorKind::WindowTooLong { result: name.clone(), every, seconds });
        }
        Ok(())
    }
}

/// The name of something in a proxy type, which is an identifier of Sandesh.
fn check_name(part: &'static str, name: &str) -> Result<(), ProxyTypeErrorKind> {
    if is_identifier(name) { Ok(()) } else { Err(ProxyTypeErrorKind::BadName { part, name: name.to_owned() }) }
}

/// A period in whole seconds within [`PERIODS`].
pub(super) fn check_period(period: Option<Duration>) -> Result<Option<u32>, ProxyTypeErrorKind> {
    let Some(period) = period else { return Ok(None) };
    let seconds = Some(period.as_secs()).filter(|seconds| PERIODS.contains(seconds) && period.subsec_nanos() == 0);
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
    seconds.map(Some).ok_or(ProxyTypeErrorKind::BadPeriod { period })
}

/// Whether a window of so many periods fits 64 bits of microseconds.
pub(super) fn window_fits(every: u32, period_seconds: u32) -> bool {
    every.checked_mul(period_seconds).is_some()
}
