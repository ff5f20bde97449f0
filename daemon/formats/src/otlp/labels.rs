//! The labels of a series, from the attributes of the resource, of the scope and of the point.
//!
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#resource-attributes-1>
//!
//! | attribute | label |
//! |---|---|
//! | `service.name` of the resource, with `service.namespace` and `/` before it if there is one | `job` |
//! | `service.instance.id` of the resource | `instance` |
//! | any other of the resource, and any of the point | by its name with `_` for other characters |
//! | name and version of the scope | `otel_scope_name`, `otel_scope_version` |
//! | any of the scope | `otel_scope_` and its name |
//!
//! Two attributes of one place whose labels have the same name make one label, with `;` between the values. One of the
//! point replaces one of the scope or of the resource, but neither `job` nor `instance` of the resource.

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::names;
use crate::METRIC_NAME;

/// Labels by name.
pub(super) type LabelMap = BTreeMap<String, String>;

const NAMESPACE: &str = "service.namespace";
const SERVICE: &str = "service.name";
const INSTANCE: &str = "service.instance.id";

/// The labels of attributes by their own names.
pub(super) fn of(attributes: &[(String, String)], prefix: &str) -> LabelMap {
    let mut sorted: Vec<_> = attributes.iter().filter(|(_, value)| !value.is_empty()).collect();
    sorted.sort_unstable();
    let mut labels = LabelMap::new();
    for (name, value) in sorted {
        let name = names::label(&format!("{prefix}{name}"));
        // The name of the metric is not an attribute.
        if name == METRIC_NAME {
            continue;
        }
        let known = labels.entry(name).or_default();
        if !known.is_empty() {
            known.push(';');
        }
        known.push_str(value);
    }
    labels
}

/// Those of a resource: `job` and `instance`, which no attribute of a point replaces, and the others.
pub(super) fn of_resource(resource: &Attributes) -> (LabelMap, LabelMap) {
    let value = |wanted: &str| {
        let found = resource.pairs.iter().find(|(name, value)| name == wanted && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    };
    let job = value(SERVICE).map(|service| match value(NAMESPACE) {
        Some(namespace) => format!("{namespace}/{service}"),
        None => service.to_owned(),
    });
    let target = [("job", job), ("instance", value(INSTANCE).map(str::to_owned))];
    let target = target.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let others: Vec<_> = resource
        .pairs
        .iter()
        .filter(|(name, _)| ![SERVICE, NAMESPACE, INSTANCE].contains(&name.as_str()))
        .cloned()
        .collect();
    (target.collect(), of(&others, ""))
}

/// Those of a scope.
pub(super) fn of_scope(name: &str, version: &str, attributes: &Attributes) -> LabelMap {
    let mut labels = of(&attributes.pairs, "otel_scope_");
    for (label, value) in [("otel_scope_name", name), ("otel_scope_version", version)] {
        if !value.is_empty() {
            labels.insert(label.to_owned(), value.to_owned());
        }
    }
    labels
}
