//! A writer of SVG.

use std::fmt::Write as _;

/// A picture under construction.
#[derive(Debug)]
pub(super) struct Svg(String);

impl Svg {
    /// An empty picture with a white ground.
    pub(super) fn new((width, height): (f64, f64), style: &str) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\"><style>{style}</style>\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
        ))
    }

    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        self.element(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text)));
    }

    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        self.element(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        self.element(format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"));
    }

    /// A path with the points of [`path_along`] or [`path_around`].
    pub(super) fn path(&mut self, class: &str, points: &str) {
        self.element(format_args!("<path class=\"{class}\" d=\"{points}\"/>"));
    }

    pub(super) fn finish(mut self) -> String {
        self.0 += "</svg>\n";
        self.0
    }

    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "{element}");
    }
}

/// The line through the points.
pub(super) fn path_along(points: &[(f64, f64)]) -> String {
    points.iter().fold(String::new(), |mut path, (x, y)| {
        let command = if path.is_empty() { 'M' } else { ' ' };
        let _ = write!(path, "{command}{},{}", pixel(*x), pixel(*y));
        path
    })
}

/// The area between two lines: each point has its x, lower and upper y.
pub(super) fn path_around(points: &[(f64, f64, f64)]) -> String {
    let lower = points.iter().map(|(x, low, _)| (*x, *low));
    let upper = points.iter().rev().map(|(x, _, high)| (*x, *high));
    let path = path_along(&lower.chain(upper).collect::<Vec<_>>());
    if path.is_empty() { path } else { path + "Z" }
}

/// A pixel with one decimal, without a trailing zero.
fn pixel(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The text with the characters that have a meaning in XML escaped, and those that XML forbids replaced.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            character if character.is_control() => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
        escaped
    })
}
