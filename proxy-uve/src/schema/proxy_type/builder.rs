//! Proxy types defined in code.

use std::sync::Arc;
use std::time::Duration;

use derived_stats::{Annotation, Context, MetricKind, Periods, Registry, Silence, Spec, ValueType};

use super::{ProxyType, ProxyTypeError, ProxyTypeErrorKind, RawField, ResultAttribute, check_period};

/// The parts of a proxy type, checked by [`build`](Self::build). The order of the calls does not matter, except that
/// results keep the order in which they were added.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ProxyTypeBuilder {
    name: String,
    period: Option<Duration>,
    timeout: Option<u32>,
    silence: Option<Silence>,
    raw: RawField,
    registry: Registry,
    results: Vec<Written>,
}

/// A result before its annotation is compiled.
#[derive(Clone, Debug)]
struct Written {
    name: String,
    annotation: String,
    hidden: bool,
}

impl ProxyTypeBuilder {
    pub(super) fn new(name: String, value: ValueType) -> Self {
        let raw = RawField { name: "raw".to_owned(), value, metric: MetricKind::Plain, texts: false };
        let (period, timeout, silence) = (None, None, None);
        Self { name, period, timeout, silence, raw, registry: Registry::new(), results: Vec::new() }
    }

    /// Names the raw field, which annotations read. Default `raw`.
    pub fn raw(mut self, name: impl Into<String>) -> Self {
        self.raw.name = name.into();
        self
    }

    /// What the samples are. Default [`MetricKind::Plain`].
    pub fn metric(mut self, metric: MetricKind) -> Self {
        self.raw.metric = metric;
        self
    }

    /// The samples are texts: the type of the raw field is `u64`, for their [hashes](derived_stats::text_sample).
    pub fn texts(mut self) -> Self {
        (self.raw.value, self.raw.texts) = (ValueType::U64, true);
        self
    }

    /// The length of a period: whole seconds, 1 to 86400. Without it every result is inline.
    pub fn period(mut self, period: Duration) -> Self {
        self.period = Some(period);
        self
    }

    /// After how many silent periods an object's proxy UVE is deleted. Default 0, which is never. Needs a period.
    pub fn timeout(mut self, periods: u32) -> Self {
        self.timeout = Some(periods);
        self
    }

    /// How a detector treats a silent period. Default [`Silence::Once`]. Needs a period.
    pub fn silence(mut self, silence: Silence) -> Self {
        self.silence = Some(silence);
        self
    }

    /// Algorithms of the embedding program that annotations may name.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// Adds a result that is sent: its name and its [annotation](derived_stats::annotation).
    pub fn result(self, name: impl Into<String>, annotation: impl Into<String>) -> Self {
        self.written(name.into(), annotation.into(), false)
    }

    /// Adds a result that is computed and saved, but not sent.
    pub fn hidden_result(self, name: impl Into<String>, annotation: impl Into<String>) -> Self {
        self.written(name.into(), annotation.into(), true)
    }

    fn written(mut self, name: String, annotation: String, hidden: bool) -> Self {
        self.results.push(Written { name, annotation, hidden });
        self
    }

    /// Compiles the annotations and checks the parts, by the rules of a [schema](super::super::Schema).
    ///
    /// # Errors
    ///
    /// The first error: of the settings, then of an annotation, then of a name or a window.
    pub fn build(self) -> Result<ProxyType, ProxyTypeError> {
        let parts = match self.parts() {
            Ok(parts) => parts,
            Err(kind) => return Err(ProxyTypeError::new(self.name, kind)),
        };
        parts.checked()
    }

    fn parts(&self) -> Result<ProxyType, ProxyTypeErrorKind> {
        let period_seconds = check_period(self.period)?;
        if period_seconds.is_none() && self.timeout.is_some() {
            return Err(ProxyTypeErrorKind::NeedsPeriod { setting: "the timeout" });
        }
        if period_seconds.is_none() && self.silence.is_some() {
            return Err(ProxyTypeErrorKind::NeedsPeriod { setting: "the rule for silence" });
        }
        let periods = period_seconds.map_or(Periods::Plain, |seconds| Periods::Every { seconds });
        let attributes = self.results.iter().map(|result| self.compiled(result, periods));
        Ok(ProxyType {
            name: self.name.clone(),
            period_seconds,
            timeout: self.timeout.unwrap_or(0),
            silence: self.silence.unwrap_or_default(),
            raw: self.raw.clone(),
            attributes: attributes.collect::<Result<_, _>>()?,
        })
    }

    fn compiled(&self, written: &Written, periods: Periods) -> Result<ResultAttribute, ProxyTypeErrorKind> {
        let RawField { value, metric, .. } = self.raw;
        let context = Context::new(value).with_metric(metric).with_periods(periods).with_registry(&self.registry);
        let Written { name, annotation, hidden } = written;
        let spec = Annotation::parse(annotation).and_then(|annotation| Spec::compile(&annotation, context));
        let spec = spec.map_err(|error| ProxyTypeErrorKind::Annotation { result: name.clone(), error })?;
        let (tags, result_type) = (Vec::new(), String::new());
        Ok(ResultAttribute { name: name.clone(), spec: Arc::new(spec), hidden: *hidden, tags, result_type })
    }
}
