//! A proxy type for other samples than its definition names.

use std::sync::Arc;

use derived_stats::{Context, MetricKind, Periods, Registry, Spec, ValueType};

use super::{ProxyType, ProxyTypeError, ProxyTypeErrorKind, ResultAttribute};

impl ProxyType {
    /// The same computations on samples of another type or kind: the built-in types take counts of 64 bits, and a stream
    /// may have doubles, or readings of counters.
    ///
    /// ```
    /// use proxy_uve::derived_stats::{MetricKind, Registry, ValueType};
    /// use proxy_uve::schema::Schema;
    ///
    /// let schema = Schema::builtin();
    /// let sum = schema.get("AggProxySum").expect("built in");
    /// let of_counters = sum.with_samples(ValueType::F64, MetricKind::Agg, &Registry::new())?;
    /// assert_eq!((of_counters.name(), of_counters.raw().value), ("AggProxySum", ValueType::F64));
    /// # Ok::<(), proxy_uve::schema::ProxyTypeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When an algorithm of the type does not take such samples.
    pub fn with_samples(
        &self,
        value: ValueType,
        metric: MetricKind,
        registry: &Registry,
    ) -> Result<Self, ProxyTypeError> {
        let mut changed = self.clone();
        changed.raw.value = value;
        changed.raw.metric = metric;
        let periods = self.period_seconds.map_or(Periods::Plain, |seconds| Periods::Every { seconds });
        let context = Context::new(value).with_metric(metric).with_periods(periods).with_registry(registry);
        for attribute in &mut changed.attributes {
            let compiled = Spec::compile(attribute.spec.annotation(), context);
            let ResultAttribute { name, spec, result_type, .. } = attribute;
            *spec = Arc::new(compiled.map_err(|error| {
                let kind = ProxyTypeErrorKind::Annotation { result: name.clone(), error };
                ProxyTypeError::new(self.name.clone(), kind)
            })?);
            if value != self.raw.value {
                // The definition's type is that of the definition's samples.
                result_type.clear();
            }
        }
        changed.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn a_type_takes_other_samples_and_keeps_the_rest() {
        let schema = Schema::builtin();
        let own = schema.get("AggProxySumAnomalyEWM01").unwrap();
        let changed = own.with_samples(ValueType::F64, MetricKind::Diff, &Registry::new()).unwrap();
        assert_eq!((changed.raw().value, changed.raw().metric), (ValueType::F64, MetricKind::Diff));
        assert_eq!((changed.period_seconds(), changed.timeout(), changed.name()), (Some(60), 1, own.name()));
        let spec = &changed.attributes()[0].spec;
        assert_eq!((spec.value_type(), spec.metric()), (ValueType::F64, MetricKind::Diff));
        assert_eq!(spec.annotation().text(), own.attributes()[0].spec.annotation().text());
        let same = own.with_samples(own.raw().value, own.raw().metric, &Registry::new()).unwrap();
        assert_eq!(same, **own);
    }

    #[test]
    fn an_algorithm_that_does_not_take_the_samples_is_an_error_with_its_result() {
        let own = ProxyType::builder("Rates", ValueType::F64).period(std::time::Duration::from_secs(60));
        let own = own.result("rate", "1-raw:DSRate").build().unwrap();
        let error = own.with_samples(ValueType::F64, MetricKind::Agg, &Registry::new()).unwrap_err().to_string();
        assert!(error.starts_with("proxy type `Rates`") && error.contains("`rate`"), "{error}");
    }
}
