//! The two text formats of metrics: [OpenMetrics] for those who ask for it, and else Prometheus' own [text format]
//! 0.0.4, which every scraper and a person with `curl` can read.
//!
//! The metrics are encoded as OpenMetrics; the other format is made of that text, line by line.
//!
//! [OpenMetrics]: https://prometheus.io/docs/specs/om/open_metrics_spec/
//! [text format]: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

/// A format of the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exposition {
    /// Text 0.0.4.
    Text,
    OpenMetrics,
}

impl Exposition {
    /// The format for an `Accept` header: OpenMetrics if its quality is at least that of plain text.
    pub(crate) fn accepted(accept: &str) -> Self {
        let (mut open_metrics, mut text) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut is_known) = (1.0, true);
            for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => is_known &= matches!(value.trim().trim_matches('"'), "1.0.0" | "0.0.1" | "0.0.4"),
                    _ => {}
                }
            }
            match kind.as_str() {
                "application/openmetrics-text" if is_known => open_metrics = f64::max(open_metrics, quality),
                "text/plain" if is_known => text = f64::max(text, quality),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// The value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The metrics in this format, from `open_metrics`.
    pub(crate) fn of(self, open_metrics: String) -> String {
        match self {
            Self::Text => to_text(&open_metrics),
            Self::OpenMetrics => open_metrics,
        }
    }
}

/// The same metrics in text 0.0.4. There the name of a counter has its `_total` in the head lines too, an information is
/// a gauge with `_info`, and there is no unit and no end.
fn to_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(helped) = line.strip_prefix("# HELP ") {
            // Its name depends on the type, which the next line has.
            help = helped.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "stateset" => ("", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, help)) = help.take().filter(|(helped, _)| *helped == name) {
                push(&mut text, &["# HELP ", name, suffix, " ", help]);
            }
            push(&mut text, &["# TYPE ", name, suffix, " ", kind]);
        } else if !line.starts_with('#') {
            push(&mut text, &[line]);
        }
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| text.push_str(part));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_the_highest_quality_and_text_for_those_who_do_not_say() {
        use Exposition::{OpenMetrics, Text};
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let cases = [
            ("", Text),
            ("*/*", Text),
            ("text/html, */*;q=0.8", Text),
            (prometheus, OpenMetrics),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Text),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", OpenMetrics),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=0.2, text/plain", Text),
            ("application/openmetrics-text;version=2.0.0", Text),
            ("application/openmetrics-text;q=high", Text),
        ];
        for (accept, expected) in cases {
            assert_eq!(Exposition::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn text_has_full_names_known_types_and_nothing_of_open_metrics() {
        let open_metrics = "\
# HELP a Some \\\"a\\\".\n# TYPE a counter\na_total{x=\"# TYPE b gauge\"} 1\na_total{x=\"y\"} 2
# HELP b_bytes Size.\n# TYPE b_bytes gauge\n# UNIT b_bytes bytes\nb_bytes 3
# HELP empty Nothing.\n# TYPE empty gauge
# HELP build Build.\n# TYPE build info\nbuild_info{version=\"1\"} 1
# TYPE odd unknown\nodd 1
# HELP h Times.\n# TYPE h histogram\nh_sum 0.5\nh_count 1\nh_bucket{le=\"+Inf\"} 1
# EOF\n";
        let text = "\
# HELP a_total Some \\\"a\\\".\n# TYPE a_total counter\na_total{x=\"# TYPE b gauge\"} 1\na_total{x=\"y\"} 2
# HELP b_bytes Size.\n# TYPE b_bytes gauge\nb_bytes 3
# HELP empty Nothing.\n# TYPE empty gauge
# HELP build_info Build.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1
# TYPE odd untyped\nodd 1
# HELP h Times.\n# TYPE h histogram\nh_sum 0.5\nh_count 1\nh_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(Exposition::Text.of(open_metrics.to_owned()), text);
        assert_eq!(Exposition::OpenMetrics.of(open_metrics.to_owned()), open_metrics);
    }
}
