//! The newest results as metrics, for a scrape: `GET /api/v1/results/metrics`.
//!
//! The series are those of remote write ([`daemon_results::series`]), for a Prometheus that shall not be written to: without
//! times, or with the ends of their windows if the request wants them. The response has `limit` series at most, of the first
//! objects by table and name, and the number of those that it leaves out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::Client;
use daemon_results::object_labels::ObjectLabels;
use daemon_results::series::{self, Sample};
use serde::Deserialize;

use crate::http::chunks::whole;
use crate::http::{Shared, problem};
use crate::telemetry::Exposition;
use daemon_view::{Names, Newest, UveView, Walk};

/// The series of a response, unless the request names another number.
const DEFAULT_LIMIT: usize = 10_000;

/// The most series of a response. They take some tens of megabytes.
const MAX_LIMIT: usize = 100_000;

/// With times, samples are left out that are older than this, in milliseconds. Prometheus drops what is an hour older than its
/// newest sample, and with an out-of-order window it drops the whole response for one sample beyond.
const MAX_AGE_MS: u64 = 1_800_000;

/// The query of the metrics.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricsQuery {
    table: Option<String>,
    #[serde(rename = "match")]
    names: Option<String>,
    limit: Option<usize>,
    /// `1` for samples with the ends of their windows, `0` for samples without a time.
    timestamps: Option<String>,
}

impl MetricsQuery {
    /// The most series.
    fn limit(&self) -> Result<usize, String> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(limit),
            limit => Err(format!("`limit` is {limit}; expected a number of series, 1 to {MAX_LIMIT}")),
        }
    }

    /// Whether samples have times.
    fn has_timestamps(&self) -> Result<bool, String> {
        match self.timestamps.as_deref() {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(format!(
                "`timestamps` is {other:?}; expected 1 for samples with the ends of their windows, or 0 for samples without a \
                 time"
            )),
        }
    }
}

/// The newest results in the format that the client asks for.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    query: Result<Query<MetricsQuery>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query).map_err(|rejection| {
        let parameters = "the parameters, each at most once, are table, match, limit and timestamps";
        format!("{}; {parameters}", rejection.body_text())
    });
    let checked = query.and_then(|query| Ok((query.limit()?, query.has_timestamps()?, query)));
    let (limit, has_timestamps, MetricsQuery { table, names, .. }) = match checked {
        Ok(checked) => checked,
        Err(text) => return problem(StatusCode::BAD_REQUEST, &text),
    };
    let names = match names.as_deref() {
        // An empty parameter is none, as a form sends it.
        None | Some("") => Names::with_prefix(""),
        Some(names) => Names::of("", Names::split(names).iter().map(String::as_str)),
    };
    let accept: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Exposition::accepted(&accept.join(","));
    let permit = match shared.permits.readers.wait(client).await {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    // With the permit: the work goes on when its client is gone.
    let made = tokio::task::spawn_blocking(move || {
        let earliest_ms = (shared.clock.now_micros() / 1_000).saturating_sub(MAX_AGE_MS);
        let time = has_timestamps.then_some((format, earliest_ms));
        let mut page = Page { time, ..Page::new(limit, &shared.objects) };
        let tables = table.filter(|table| !table.is_empty()).map_or_else(|| shared.view.tables(), |table| vec![table]);
        tables.into_iter().for_each(|table| page.add(&shared.view, table, names.clone()));
        (format.of(page.finish()), permit)
    });
    let Ok((text, permit)) = made.await else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be made");
    };
    let head = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")];
    (head, whole(text.into(), permit)).into_response()
}

/// The lines of a metric.
#[derive(Default)]
struct Lines {
    text: String,
    /// The start of the last line.
    last: usize,
}

/// The series of a response, by metric, as both formats want them.
struct Page<'o> {
    objects: &'o ObjectLabels,
    metrics: BTreeMap<String, Lines>,
    /// The format of the times of samples, and the earliest one; `None` for samples without.
    time: Option<(Exposition, u64)>,
    limit: usize,
    series: usize,
    left_out: usize,
}

impl<'o> Page<'o> {
    fn new(limit: usize, objects: &'o ObjectLabels) -> Self {
        Self { objects, metrics: BTreeMap::new(), time: None, limit, series: 0, left_out: 0 }
    }

    /// Adds the objects of a table.
    fn add(&mut self, view: &UveView, table: String, names: Names) {
        let mut walk = Walk::new(table.clone(), names, None, None);
        while !walk.is_done() {
            view.slice_of_results(&mut walk, |name, newest| {
                let Newest { shape, attribute, end_ms, record } = newest;
                // Made with the first series that is shown.
                let mut labels = None;
                series::of_attribute(shape, attribute, record, &mut |sample: &Sample<'_>| {
                    let Some(value) = self.value_shown(*end_ms, sample) else { return };
                    let labels = labels.get_or_insert_with(|| self.labels(&table, name, &shape.uve));
                    self.add_sample((labels, series::type_of(&shape.uve)), (value, *end_ms), sample);
                });
            });
        }
    }

    /// The labels of all series of a result.
    fn labels(&self, table: &str, name: &str, uve: &str) -> String {
        let (_, stream) = uve.split_once('-').unwrap_or_default();
        let [of_table, of_name, of_stream] = [table, name, stream].map(escaped);
        let mut labels = format!("table=\"{of_table}\",name=\"{of_name}\",stream=\"{of_stream}\"");
        // Writing to a string cannot fail.
        let of_object = self.objects.of(stream, table, name);
        for (label, value) in &of_object {
            let _ = write!(labels, ",{label}=\"{}\"", escaped(value));
        }
        // With `honor_labels`, an empty label keeps that of the scrape out, which is not the object's.
        let is_of_target =
            |label: &&str| self.objects.has(stream, table, label) && of_object.iter().all(|(it, _)| it != label);
        for label in ["job", "instance"].iter().filter(|label| is_of_target(label)) {
            let _ = write!(labels, ",{label}=\"\"");
        }
        labels
    }

    /// The value of a sample that is shown. Counts those that are left out.
    fn value_shown(&mut self, end_ms: u64, sample: &Sample<'_>) -> Option<f64> {
        let value = sample.value?;
        let is_left_out = self.series == self.limit || self.time.is_some_and(|(_, earliest)| end_ms < earliest);
        self.left_out += usize::from(is_left_out);
        (!is_left_out).then_some(value)
    }

    /// Adds a sample with the labels and the type of its result, and with its value and the end of its window.
    fn add_sample(&mut self, (labels, proxy_type): (&str, &str), (value, end_ms): (f64, u64), sample: &Sample<'_>) {
        let lines = match self.metrics.get_mut(sample.name) {
            Some(lines) => lines,
            None => self.metrics.entry(sample.name.to_owned()).or_default(),
        };
        let start = lines.text.len();
        // Writing to a string cannot fail.
        let _ = write!(lines.text, "{}{{{labels}", sample.name);
        if let Some(attribute) = sample.attribute {
            let (proxy_type, attribute) = (escaped(proxy_type), escaped(attribute));
            let _ = write!(lines.text, ",type=\"{proxy_type}\",attribute=\"{attribute}\"");
        }
        lines.text.push_str("} ");
        // Two numbers of one result whose names differ in characters that no metric has.
        if lines.text[lines.last..start].starts_with(&lines.text[start..]) {
            lines.text.truncate(start);
            self.left_out += 1;
            return;
        }
        lines.last = start;
        // OpenMetrics has seconds, the other format milliseconds.
        let _ = match self.time.map(|(format, _)| format) {
            None => writeln!(lines.text, "{value}"),
            Some(Exposition::Text) => writeln!(lines.text, "{value} {end_ms}"),
            Some(Exposition::OpenMetrics) => {
                writeln!(lines.text, "{value} {}.{:03}", end_ms / 1_000, end_ms % 1_000)
            }
        };
        self.series += 1;
    }

    /// The page in OpenMetrics.
    fn finish(self) -> String {
        let Self { metrics, series, left_out, .. } = self;
        let mut text = String::new();
        for (name, Lines { text: lines, .. }) in metrics {
            let of_detector = series::DETECTOR.iter().find(|(own, _)| *own == name);
            let help = of_detector.map_or("A number of the newest result of each object", |(_, help)| help);
            let _ = write!(text, "# HELP {name} {help}.\n# TYPE {name} gauge\n{lines}");
        }
        let own = [
            ("series", "Series of results in this response, without this one", series),
            ("series_left_out", "Series that this response leaves out", left_out),
        ];
        for (name, help, value) in own {
            let name = format!("derived_statsd_results_{name}");
            let _ = write!(text, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}\n");
        }
        text.push_str("# EOF\n");
        text
    }
}

/// The value of a label within quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use daemon_results::line::LineReader;

    use super::*;

    fn view(names: &[&str]) -> UveView {
        let view = UveView::default();
        for name in names {
            let key = serde_json::json!(name);
            let data = r#"{"deleted":false,"value":{"value":1.5},"more":{"a":2}}"#;
            let line = format!(r#"{{"key":{key},"uve":"P-S-a","start":0,"end":60,"data":{data}}}"#);
            view.writer().apply(&LineReader::default().row(line.as_bytes()).unwrap());
        }
        view
    }

    fn page(view: &UveView, limit: usize, names: Names) -> String {
        let objects = ObjectLabels::new([("S-a", "L", ["job", "table"])]);
        let mut page = Page::new(limit, &objects);
        view.tables().into_iter().for_each(|table| page.add(view, table, names.clone()));
        page.finish()
    }

    #[test]
    fn series_stand_together_by_metric_and_texts_are_escaped() {
        let text = page(&view(&["T:b\"\\\n", "T:a", "U:a"]), 100, Names::with_prefix(""));
        let expected = r#"# HELP P_more_a A number of the newest result of each object.
# TYPE P_more_a gauge
P_more_a{table="T",name="a",stream="S-a"} 2
P_more_a{table="T",name="b\"\\\n",stream="S-a"} 2
P_more_a{table="U",name="a",stream="S-a"} 2
# HELP P_value A number of the newest result of each object.
# TYPE P_value gauge
P_value{table="T",name="a",stream="S-a"} 1.5
P_value{table="T",name="b\"\\\n",stream="S-a"} 1.5
P_value{table="U",name="a",stream="S-a"} 1.5
# HELP derived_statsd_results_series Series of results in this response, without this one.
# TYPE derived_statsd_results_series gauge
derived_statsd_results_series 6
# HELP derived_statsd_results_series_left_out Series that this response leaves out.
# TYPE derived_statsd_results_series_left_out gauge
derived_statsd_results_series_left_out 0
# EOF
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn the_labels_that_make_a_name_are_beside_it() {
        let text = page(&view(&["L:shop,\"a\\,b\""]), 100, Names::with_prefix(""));
        let expected =
            r#"P_value{table="L",name="shop,\"a\\,b\"",stream="S-a",job="shop",exported_table="\"a,b\""} 1.5"#;
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn an_object_without_the_label_of_a_target_has_it_empty() {
        let text = page(&view(&["L:,a"]), 100, Names::with_prefix(""));
        let expected = r#"P_value{table="L",name=",a",stream="S-a",exported_table="a",job=""} 1.5"#;
        assert!(text.contains(expected), "{text}");
        // Of another table: what makes its name is not known.
        let text = page(&view(&["M:,a"]), 100, Names::with_prefix(""));
        assert!(text.contains(r#"P_value{table="M",name=",a",stream="S-a"} 1.5"#), "{text}");
    }

    #[test]
    fn a_sample_has_the_end_of_the_window_of_its_attribute_in_the_unit_of_the_format() {
        let view = UveView::default();
        let old = (60_000_999_u64, r#"{"old":1}"#);
        for (end, data) in [old, (60_001_000, r#"{"a":1,"b":{"c":2}}"#), (120_000_000, r#"{"b":{"c":3}}"#)] {
            let line = format!(r#"{{"key":"T:a","uve":"P-S-a","start":0,"end":{end},"data":{data}}}"#);
            view.writer().apply(&LineReader::default().row(line.as_bytes()).unwrap());
        }
        let labels = "{table=\"T\",name=\"a\",stream=\"S-a\"}";
        for (format, old, new) in
            [(Exposition::Text, "60001", "120000"), (Exposition::OpenMetrics, "60.001", "120.000")]
        {
            let objects = ObjectLabels::default();
            let mut page = Page { time: Some((format, 60_001)), ..Page::new(100, &objects) };
            page.add(&view, "T".to_owned(), Names::with_prefix(""));
            let text = format.of(page.finish());
            // The second result has no new value of the first attribute.
            assert!(text.contains(&format!("P_a{labels} 1 {old}\n")), "{text}");
            assert!(text.contains(&format!("P_b_c{labels} 3 {new}\n")), "{text}");
            assert!(text.contains("\nderived_statsd_results_series 2\n"), "that of the page is of now: {text}");
            assert!(text.contains("\nderived_statsd_results_series_left_out 1\n") && !text.contains("P_old"), "{text}");
        }
    }

    #[test]
    fn of_two_numbers_with_one_name_the_first_is_shown() {
        let view = UveView::default();
        let line = r#"{"key":"T:a","uve":"P-S-a","start":0,"end":60,"data":{"deleted":false,"v":{"a.b":1,"a_b":2}}}"#;
        view.writer().apply(&LineReader::default().row(line.as_bytes()).unwrap());
        let text = page(&view, 100, Names::with_prefix(""));
        assert!(text.contains("\nP_v_a_b{table=\"T\",name=\"a\",stream=\"S-a\"} 1\n#"), "{text}");
        assert!(text.contains("derived_statsd_results_series_left_out 1\n"), "{text}");
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted_and_names_are_selected() {
        let names: Vec<_> = (0..200).map(|number| format!("T:vn{number:03}")).collect();
        let view = view(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let text = page(&view, 5, Names::with_prefix(""));
        assert!(text.contains("derived_statsd_results_series 5\n"), "{text}");
        assert!(text.contains("derived_statsd_results_series_left_out 395\n"), "{text}");
        let text = page(&view, 500, Names::of("", ["vn1*", "vn000"]));
        assert_eq!(text.matches("P_value{").count(), 101, "{text}");
    }
}
