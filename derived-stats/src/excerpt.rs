//! The location of an error in a text: line, column, the text of the line, and carets under it.
//!
//! All errors with carets use it, here and in `proxy-uve`. Columns count characters, from 1, as editors do. The carets
//! are aligned for every text, because characters that could garble a terminal (line breaks, terminal escapes,
//! right-to-left marks, combining characters) are escaped, and the width counts the escaped form.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::Range;

const INDENT: &str = "    ";
/// The number of bytes of a long line that are printed before the span.
const SHOWN_BEFORE: usize = 80;
/// The number of bytes of a long line that are printed from the start of the span on.
const SHOWN_AFTER: usize = 120;
/// The largest number of characters of a quoted text: the line above the carets has more of it.
const LONGEST_QUOTE: usize = 60;

/// A location in a text. `Display` prints two indented lines, the text and the carets, each with its line break.
///
/// ```
/// use derived_stats::excerpt::Excerpt;
///
/// let excerpt = Excerpt::new("period = 60\nperid = 1\n", 12..17);
/// assert_eq!((excerpt.line(), excerpt.column()), (2, 1));
/// assert_eq!(excerpt.to_string(), "    perid = 1\n    ^^^^^\n");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Excerpt {
    line: usize,
    column: usize,
    shown: String,
    carets: String,
}

impl Excerpt {
    /// The location of `span`, in bytes of `text`. A span that does not fit the text is cut; of a span over several
    /// lines, the first line is printed. The cost is linear in the length of the text.
    pub fn new(text: &str, span: Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor_char_boundary(text, span.end.clamp(start, line_end));
        let line = text[line_start..line_end].trim_end_matches('\r');
        let (shown, carets) = underline(line, start - line_start..end - line_start, show);
        Self {
            line: 1 + text[..line_start].matches('\n').count(),
            column: 1 + text[line_start..start].chars().count(),
            shown,
            carets,
        }
    }

    /// The location of `span` in a text of one line: line breaks and tabs in it are printed as escapes.
    pub fn of_one_line(text: &str, span: Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let end = floor_char_boundary(text, span.end.max(start));
        let (shown, carets) = underline(text, start..end, |character, shown| shown.extend(printable(character)));
        Self { line: 1, column: 1 + text[..start].chars().count(), shown, carets }
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{INDENT}{}", self.shown)?;
        writeln!(f, "{INDENT}{}", self.carets)
    }
}

/// The line, in which `show` prints each character, and the carets under the span.
fn underline(line: &str, span: Range<usize>, show: fn(char, &mut String)) -> (String, String) {
    let from = floor_char_boundary(line, span.start.saturating_sub(SHOWN_BEFORE));
    let to = floor_char_boundary(line, span.start.saturating_add(SHOWN_AFTER));
    let indent = if from == 0 { line.len() - line.trim_start_matches([' ', '\t']).len() } else { 0 };
    let (mut shown, mut carets) = (String::new(), String::new());
    if from > 0 {
        shown.push('…');
        carets.push(' ');
    }
    for (offset, character) in line[from..to].char_indices() {
        let offset = from + offset;
        if offset < indent.min(span.start) {
            continue;
        }
        let before = shown.len();
        show(character, &mut shown);
        let width = shown[before..].chars().count();
        let mark = if span.contains(&offset) { '^' } else { ' ' };
        if offset < span.end.max(span.start) {
            carets.extend(core::iter::repeat_n(mark, width));
        }
    }
    if to < line.len() {
        shown.push('…');
    }
    if span.is_empty() {
        carets.push('^');
    }
    (shown, carets)
}

/// Prints a character of a line: a tab as one blank.
fn show(character: char, shown: &mut String) {
    match character {
        '\t' => shown.push(' '),
        _ => shown.extend(printable(character)),
    }
}

/// The printed form of a character: escaped if it would garble a message. Quotes are not escaped.
///
/// Columns are counted in characters, so carets after double-width characters (East Asian ones) are too far left.
/// Measuring the width would need tables, and valid names have no such characters.
fn printable(character: char) -> impl Iterator<Item = char> {
    let plain = matches!(character, '\'' | '"' | '\\');
    let escaped = (!plain).then(|| character.escape_debug());
    plain.then_some(character).into_iter().chain(escaped.into_iter().flatten())
}

/// The text in backquotes, escaped and cut after 60 characters.
pub fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(LONGEST_QUOTE).flat_map(printable).collect();
    let rest = if characters.next().is_some() { "…" } else { "" };
    format!("`{shown}{rest}`")
}

/// The end of a sentence about an unknown name; empty without a similar name.
pub fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean {}?", quoted(name)))
}

/// The start of the character that contains byte `index`, or the end of the text.
pub(crate) fn floor_char_boundary(text: &str, index: usize) -> usize {
    if index >= text.len() {
        return text.len();
    }
    (0..=index).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    fn location(text: &str, span: Range<usize>) -> String {
        let excerpt = Excerpt::new(text, span);
        format!("{}:{}\n{excerpt}", excerpt.line, excerpt.column)
    }

    #[test]
    fn carets_are_under_the_span_for_all_widths_of_characters() {
        let cases = [
            ("abc", 1..2, "1:2\n    abc\n     ^\n"),
            ("abc\n  def\nghi", 6..8, "2:3\n    def\n    ^^\n"),
            ("\té\u{1b}x", 4..5, "1:4\n    é\\u{1b}x\n           ^\n"),
            ("é:ü", 3..5, "1:3\n    é:ü\n      ^\n"),
            ("abc\r\ndef", 3..3, "1:4\n    abc\n       ^\n"),
            ("abc\ndef", 2..7, "1:3\n    abc\n      ^\n"),
            ("", 5..9, "1:1\n    \n    ^\n"),
            ("abc\n", 4..4, "2:1\n    \n    ^\n"),
        ];
        for (text, span, expected) in cases {
            assert_eq!(location(text, span.clone()), expected, "{text:?} {span:?}");
        }
    }

    #[test]
    fn only_the_surroundings_of_a_long_line_are_shown() {
        let line = format!("{}!{}", "a".repeat(500), "b".repeat(500));
        let (shown, carets) = underline(&line, 500..501, show);
        assert_eq!(shown, format!("…{}!{}…", "a".repeat(80), "b".repeat(119)));
        assert_eq!(carets, format!("{}^", " ".repeat(81)));
    }

    #[test]
    fn quoting_escapes_what_would_garble_a_message_and_nothing_else() {
        let cases = [
            ("raw", "`raw`"),
            ("it's \"é\" \\", "`it's \"é\" \\`"),
            ("a\nb", "`a\\nb`"),
            ("\u{1b}[31m", "`\\u{1b}[31m`"),
            ("\u{202e}", "`\\u{202e}`"),
            ("e\u{301}", "`e\\u{301}`"),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
    }

    #[test]
    fn quoting_cuts_long_text() {
        let quote = quoted(&"x".repeat(1000));
        assert_eq!(quote, format!("`{}…`", "x".repeat(60)));
        assert_eq!(quoted(&"x".repeat(60)), format!("`{}`", "x".repeat(60)));
    }

    proptest! {
        #[test]
        fn property_any_span_of_any_text_can_be_shown(text in any::<String>(), start in 0usize..80, end in 0usize..80) {
            let shown = Excerpt::new(&text, start..end).to_string();
            prop_assert_eq!(shown.lines().count(), 2);
        }
    }
}
