//! A picture of a series with the band, the alarms and the labels, as SVG.
//!
//! The upper panel has the values, the expected values and the band; the lower one has the score. A column of the
//! picture, one pixel wide, shows the smallest and the largest of its values, so that the size of the picture does not
//! depend on the number of values and no spike is lost.

mod axis;
mod columns;
mod svg;

use crate::labels::Range;
use crate::plot::axis::{Axis, time_ticks, value_ticks};
use crate::plot::columns::{Column, columns};
use crate::plot::svg::{Svg, path_along, path_around};
use crate::run::{Scored, alarms};

/// The width and the height of the picture in pixels.
const SIZE: (f64, f64) = (960.0, 420.0);
/// The left and the right end of both panels.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 945.0;
/// The top and the bottom of the panel with the values.
const VALUES: (f64, f64) = (40.0, 290.0);
/// The top and the bottom of the panel with the score.
const SCORES: (f64, f64) = (310.0, 380.0);
/// The share of the range of the values by which the band may exceed it.
const BAND_MARGIN: f64 = 0.25;

const STYLE: &str = "text{font:11px sans-serif;fill:#444}.title{font-size:14px;fill:#111}.end{text-anchor:end}\
                     .middle{text-anchor:middle}.grid{stroke:#ddd;fill:none}.band{fill:#9ecae1;opacity:.5}\
                     .label{fill:#fdae6b;opacity:.45}.expected{stroke:#3182bd;fill:none}\
                     .value{stroke:#222;fill:none;stroke-width:.8}.score{stroke:#756bb1;fill:none}\
                     .alarm{fill:#d7301f;stroke:#fff}";

/// Draws the scored values of a series under a title. `labels` are the time ranges of known anomalies.
///
/// ```
/// use daemon_detect::plot::svg;
///
/// assert!(svg("nothing", &[], &[]).starts_with("<svg xmlns"));
/// ```
pub fn svg(title: &str, scored: &[Scored], labels: &[Range]) -> String {
    let first = scored.iter().map(|one| one.at).min().unwrap_or_default();
    let last = scored.iter().map(|one| one.at).max().unwrap_or_default();
    let times = Axis::new((first as f64, last as f64), (LEFT, RIGHT));
    let columns = columns(scored, |one| times.at(one.at as f64));
    let values = Axis::new(value_range(&columns), (VALUES.1, VALUES.0));
    let scores = columns.iter().map(|column| column.score);
    let highest = scores.fold(0.0, f64::max);
    let scores = Axis::new((0.0, highest), (SCORES.1, SCORES.0));
    let mut svg = Svg::new(SIZE, STYLE);
    svg.text("title", (LEFT, 22.0), title);
    draw_labels(&mut svg, &times, labels, (first, last));
    draw_axes(&mut svg, &times, (&values, &scores), (first, last));
    draw_values(&mut svg, &columns, &values);
    let curve: Vec<_> = columns.iter().map(|column| (column.x, scores.at(column.score))).collect();
    svg.path("score", &path_along(&curve));
    let mut newest = f64::NEG_INFINITY;
    for alarm in alarms(scored) {
        let (x, y) = (times.at(alarm.at as f64), values.at(alarm.value));
        // One mark for alarms on the same pixels.
        if x - newest >= 2.0 {
            svg.circle("alarm", (x, y.clamp(VALUES.0, VALUES.1)), 4.0);
            newest = x;
        }
    }
    legend(&mut svg, scored.iter().any(|one| one.low.is_some()), !labels.is_empty());
    svg.finish()
}

/// The range of the values, widened for the band to a certain degree: the band of a warm-up may be very wide.
fn value_range(columns: &[Column]) -> (f64, f64) {
    let least = columns.iter().map(|column| column.least).fold(f64::INFINITY, f64::min);
    let most = columns.iter().map(|column| column.most).fold(f64::NEG_INFINITY, f64::max);
    if least > most {
        return (0.0, 1.0);
    }
    let margin = BAND_MARGIN * (most - least);
    let low = columns.iter().filter_map(|column| column.band).map(|(low, _)| low).fold(least, f64::min);
    let high = columns.iter().filter_map(|column| column.band).map(|(_, high)| high).fold(most, f64::max);
    (low.max(least - margin), high.min(most + margin))
}

fn draw_labels(svg: &mut Svg, times: &Axis, labels: &[Range], (first, last): (u64, u64)) {
    for (start, end) in labels.iter().filter(|(start, end)| *start <= last && *end >= first) {
        let (left, right) = (times.at((*start).max(first) as f64), times.at((*end).min(last) as f64));
        svg.rect("label", (left, VALUES.0), ((right - left).max(1.5), SCORES.1 - VALUES.0));
    }
}

fn draw_axes(svg: &mut Svg, times: &Axis, (values, scores): (&Axis, &Axis), (first, last): (u64, u64)) {
    for (at, text) in time_ticks(first, last) {
        let x = times.at(at as f64);
        svg.path("grid", &path_along(&[(x, VALUES.0), (x, SCORES.1)]));
        svg.text("middle", (x, SCORES.1 + 15.0), &text);
    }
    for (value, text) in value_ticks(values) {
        let y = values.at(value);
        svg.path("grid", &path_along(&[(LEFT, y), (RIGHT, y)]));
        svg.text("end", (LEFT - 5.0, y + 4.0), &text);
    }
    svg.text("end", (LEFT - 5.0, SCORES.0 + 8.0), &axis::short(scores.range().1));
    svg.text("end", (LEFT - 5.0, (SCORES.0 + SCORES.1) / 2.0 + 4.0), "score");
    svg.text("end", (LEFT - 5.0, SCORES.1 + 4.0), "0");
    svg.path("grid", &path_along(&[(LEFT, SCORES.1), (RIGHT, SCORES.1)]));
}

fn draw_values(svg: &mut Svg, columns: &[Column], values: &Axis) {
    let inside = |value: f64| values.at(value).clamp(VALUES.0, VALUES.1);
    let band = columns.iter().filter_map(|column| column.band.map(|(low, high)| (column.x, inside(low), inside(high))));
    let band: Vec<_> = band.collect();
    svg.path("band", &path_around(&band));
    let expected = columns.iter().filter_map(|column| column.expected.map(|value| (column.x, inside(value))));
    svg.path("expected", &path_along(&expected.collect::<Vec<_>>()));
    let value = columns.iter().flat_map(|column| {
        let (least, most) = ((column.x, inside(column.least)), (column.x, inside(column.most)));
        [least, most].into_iter().take(if column.least == column.most { 1 } else { 2 })
    });
    svg.path("value", &path_along(&value.collect::<Vec<_>>()));
}

fn legend(svg: &mut Svg, has_band: bool, has_labels: bool) {
    let y = SIZE.1 - 10.0;
    let mut x = LEFT;
    let items = [("value", true), ("expected", true), ("band", has_band), ("alarm", true), ("label", has_labels)];
    for (name, _) in items.into_iter().filter(|(_, is_shown)| *is_shown) {
        match name {
            "alarm" => svg.circle("alarm", (x + 10.0, y - 4.0), 4.0),
            "band" | "label" => svg.rect(name, (x, y - 9.0), (20.0, 10.0)),
            _ => svg.path(name, &path_along(&[(x, y - 4.0), (x + 20.0, y - 4.0)])),
        }
        svg.text("", (x + 25.0, y), name);
        x += 100.0;
    }
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::*;

    const MINUTE: u64 = 60_000_000;
    const START: u64 = 1_488_000_000_000_000;

    fn scored(rows: u64) -> Vec<Scored> {
        let one = |row: u64| {
            let value = 100.0 + (row % 50) as f64;
            let is_alarm = row % 5000 == 4000;
            Scored {
                at: START + row * MINUTE,
                value: if is_alarm { 400.0 } else { value },
                score: Some(if is_alarm { 0.9 } else { 0.1 }),
                strangeness: 1.0,
                threshold: None,
                expected: Some(120.0),
                low: Some(90.0),
                high: Some(160.0),
                is_alarm,
            }
        };
        (0..rows).map(one).collect()
    }

    /// The class and the points of each element, by an independent parser.
    fn elements(svg: &str) -> Vec<(String, String)> {
        let mut reader = Reader::from_str(svg);
        let mut found = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Eof => return found,
                Event::Start(element) | Event::Empty(element) => {
                    let attribute = |name: &str| {
                        let value = element.try_get_attribute(name).unwrap();
                        value.map(|value| value.value.into_owned()).unwrap_or_default()
                    };
                    found.push((attribute("class"), attribute("d") + &attribute("cy")));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_picture_has_values_band_alarms_and_labels() {
        let labels = [(START + 3990 * MINUTE, START + 4010 * MINUTE)];
        let found = elements(&svg("a <b> & \"c\"", &scored(20_000), &labels));
        // One of each is in the legend.
        let count = |class: &str| found.iter().filter(|(of, _)| of == class).count();
        assert_eq!(["alarm", "label", "band", "value", "expected"].map(count), [5, 2, 2, 2, 2]);
        let points = |class: &str| found.iter().find(|(of, _)| of == class).unwrap().1.matches([',', ' ']).count();
        assert!(points("value") > 1000 && points("band") > 1000 && points("score") > 500);
        let heights: Vec<f64> = found.iter().filter(|(of, _)| of == "alarm").map(|(_, y)| y.parse().unwrap()).collect();
        assert!(heights[..4].iter().all(|y| *y < 60.0), "alarms are at the top, on their values: {heights:?}");
    }

    #[test]
    fn the_size_does_not_grow_with_the_series() {
        let sizes = [20_000, 200_000].map(|rows| svg("size", &scored(rows), &[]).len());
        assert!(sizes[0] < 60_000 && sizes[1] < 60_000, "{sizes:?}");
    }

    #[test]
    fn every_series_gives_a_picture() {
        let mut flat = scored(3);
        for one in &mut flat {
            (one.value, one.expected, one.low, one.high, one.is_alarm) = (7.0, None, None, None, true);
        }
        let mut large = scored(3);
        large[0].value = -1e300;
        large[1].value = 1e300;
        for series in [Vec::new(), scored(1), flat, large] {
            let svg = svg("any", &series, &[(0, u64::MAX)]);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            elements(&svg);
        }
    }
}
