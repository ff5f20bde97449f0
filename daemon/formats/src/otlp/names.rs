//! The names that Prometheus gives to OpenTelemetry's metrics and attributes, so that one stream takes a metric whether
//! it comes from Prometheus or directly.
//!
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#otlp-metric-points-to-prometheus>
//!
//! A name is cut at every character but letters, digits and `:`, and joined by `_`. The unit follows as a word, then
//! `ratio` for a gauge of unit `1`, or `total` for a monotonic sum; a word that the name has already is not added.

use std::borrow::Cow;

/// What of the name depends on the type of the metric.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Suffix {
    /// Nothing.
    #[default]
    None,
    /// `ratio`, for a gauge of unit `1`.
    Ratio,
    /// `total`, for a monotonic sum.
    Total,
}

/// Units of the Unified Code for Units of Measure, and Prometheus' words for them.
const UNITS: [(&str, &str); 30] = [
    ("%", "percent"),
    ("1", ""),
    ("A", "amperes"),
    ("By", "bytes"),
    ("Cel", "celsius"),
    ("GBy", "gigabytes"),
    ("GiBy", "gibibytes"),
    ("Hz", "hertz"),
    ("J", "joules"),
    ("KBy", "kilobytes"),
    ("KiBy", "kibibytes"),
    ("MBy", "megabytes"),
    ("MiBy", "mebibytes"),
    ("TBy", "terabytes"),
    ("TiBy", "tebibytes"),
    ("V", "volts"),
    ("W", "watts"),
    ("d", "days"),
    ("g", "grams"),
    ("h", "hours"),
    ("kBy", "kilobytes"),
    ("kHz", "kilohertz"),
    ("kg", "kilograms"),
    ("km", "kilometers"),
    ("m", "meters"),
    ("min", "minutes"),
    ("ms", "milliseconds"),
    ("ns", "nanoseconds"),
    ("s", "seconds"),
    ("us", "microseconds"),
];

/// The units after a `/`.
const PER_UNITS: [(&str, &str); 7] =
    [("d", "day"), ("h", "hour"), ("m", "minute"), ("mo", "month"), ("s", "second"), ("w", "week"), ("y", "year")];

/// The name of a metric.
///
/// ```
/// use daemon_formats::otlp::names::{Suffix, metric};
///
/// assert_eq!(metric("http.server.request.duration", "s", Suffix::None), "http_server_request_duration_seconds");
/// assert_eq!(metric("http.requests", "{request}", Suffix::Total), "http_requests_total");
/// assert_eq!(metric("system.disk.io", "By/s", Suffix::None), "system_disk_io_bytes_per_second");
/// ```
pub fn metric(name: &str, unit: &str, suffix: Suffix) -> String {
    let mut words: Vec<_> = words(name).collect();
    let (unit, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (unit, per) = (unit_words(unit, &UNITS), unit_words(per, &PER_UNITS));
    if !words.contains(&&*unit) {
        words.extend(Some(&*unit).filter(|unit| !unit.is_empty()));
    }
    if !per.is_empty() && !words.contains(&&*per) {
        words.extend(["per", &*per]);
    }
    let last = match suffix {
        Suffix::None => "",
        Suffix::Ratio => "ratio",
        Suffix::Total => "total",
    };
    if !last.is_empty() {
        words.retain(|word| *word != last);
        words.push(last);
    }
    let begins_with_digit = words.first().is_some_and(|word| word.starts_with(|it: char| it.is_ascii_digit()));
    let joined = words.join("_");
    if begins_with_digit { format!("_{joined}") } else { joined }
}

/// The name of a label: `_` for each character but letters, digits and `_`. One that begins with a digit or a single
/// `_` has `key_` or `key` before it.
///
/// ```
/// use daemon_formats::otlp::names::label;
///
/// assert_eq!(label("http.response.status_code"), "http_response_status_code");
/// assert_eq!(label("2xx"), "key_2xx");
/// ```
pub fn label(name: &str) -> String {
    let fit = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    let fitted: String = name.chars().map(fit).collect();
    if fitted.starts_with(|first: char| first.is_ascii_digit()) {
        return format!("key_{fitted}");
    }
    if fitted.starts_with('_') && !fitted.starts_with("__") {
        return format!("key{fitted}");
    }
    fitted
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|it: char| !it.is_ascii_alphanumeric() && it != ':').filter(|word| !word.is_empty())
}

/// The words of a unit, from the table or as it is; nothing for an annotation in braces.
fn unit_words<'u>(unit: &'u str, table: &[(&str, &'u str)]) -> Cow<'u, str> {
    let unit = unit.trim();
    if unit.contains(['{', '}']) {
        return Cow::Borrowed("");
    }
    match table.iter().find(|(code, _)| *code == unit) {
        Some((_, word)) => Cow::Borrowed(word),
        None => Cow::Owned(words(unit).collect::<Vec<_>>().join("_")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_that_prometheus_gives() {
        let cases = [
            ("system.cpu.time", "s", Suffix::Total, "system_cpu_time_seconds_total"),
            ("system.cpu.utilization", "1", Suffix::Ratio, "system_cpu_utilization_ratio"),
            ("hw.fan.speed_ratio", "1", Suffix::Ratio, "hw_fan_speed_ratio"),
            ("process.runtime.memory", "By", Suffix::None, "process_runtime_memory_bytes"),
            ("memory_bytes", "By", Suffix::None, "memory_bytes"),
            ("requests_total", "", Suffix::Total, "requests_total"),
            ("total.requests", "", Suffix::Total, "requests_total"),
            ("net.io", "By/s", Suffix::None, "net_io_bytes_per_second"),
            ("queue", "{message}/s", Suffix::None, "queue_per_second"),
            ("queue", "{message}", Suffix::None, "queue"),
            ("io", "widgets", Suffix::None, "io_widgets"),
            ("temp", "Cel", Suffix::None, "temp_celsius"),
            ("a..b--c", "", Suffix::None, "a_b_c"),
            ("2nd.try", "", Suffix::None, "_2nd_try"),
            ("größe", "", Suffix::None, "gr_e"),
            ("a:b", "", Suffix::None, "a:b"),
            ("", "", Suffix::None, ""),
        ];
        for (name, unit, suffix, expected) in cases {
            assert_eq!(metric(name, unit, suffix), expected, "{name} {unit}");
        }
    }

    #[test]
    fn labels_have_the_names_that_prometheus_gives() {
        for (name, expected) in
            [("a.b", "a_b"), ("_a", "key_a"), ("__a", "__a"), ("9a", "key_9a"), ("a b/é", "a_b__"), ("", "")]
        {
            assert_eq!(label(name), expected, "{name}");
        }
    }

    #[test]
    fn the_tables_are_in_order() {
        assert!(UNITS.is_sorted() && PER_UNITS.is_sorted());
    }
}
