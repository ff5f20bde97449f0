//! Characters of senders in the texts of alarms, which people read in a terminal, a mail or a chat.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A text with an escape, as in the log, for each character that is not shown itself but could end the line, move the
/// cursor, or turn the direction of the text around it: control characters, separators of lines, and controls of
/// [bidirectional text](https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters).
///
/// ```
/// use daemon_alarms::escape::escaped;
///
/// assert_eq!(escaped("vn1\n\u{1b}[2J\u{202e}"), r"vn1\n\u001b[2J\u202e");
/// assert_eq!(escaped("שלום é"), "שלום é");
/// ```
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_not_shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        // Writing to a string cannot fail.
        let _ = match character {
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            _ if is_not_shown(character) => write!(out, "\\u{:04x}", u32::from(character)),
            _ => out.write_char(character),
        };
    }
    Cow::Owned(out)
}

fn is_not_shown(character: char) -> bool {
    let turns =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || matches!(character, '\u{2028}' | '\u{2029}') || character.is_control()
}
