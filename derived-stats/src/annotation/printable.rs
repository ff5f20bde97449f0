//! Text from users made safe to print.
//!
//! An annotation in an error message may hold line breaks, terminal escapes, right-to-left marks or
//! combining characters. Each would garble the message or shift the carets under it, so it is shown as
//! an escape such as `\n` or `\u{202e}`. Every other character is shown as it is, quotes included.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Quoted names in messages end here: the caret line already shows where the full text stands.
const LONGEST_QUOTE: usize = 60;

/// How one character is shown.
///
/// Columns are counted in characters, so double-width characters (East Asian ones) make the carets
/// after them fall short; measuring them would need tables that no valid name can profit from.
pub(super) fn printable(character: char) -> impl Iterator<Item = char> {
    let plain = matches!(character, '\'' | '"' | '\\');
    let escaped = (!plain).then(|| character.escape_debug());
    plain.then_some(character).into_iter().chain(escaped.into_iter().flatten())
}

/// The text between backquotes, escaped, and cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(LONGEST_QUOTE).flat_map(printable).collect();
    let rest = if characters.next().is_some() { "…" } else { "" };
    format!("`{shown}{rest}`")
}

/// The proposal at the end of a sentence; nothing without a name.
pub(super) fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean {}?", quoted(name)))
}

/// The remedy for an unknown algorithm: the name that was meant, or else the choice and the way to add to it.
pub(super) fn nearest_or_known(nearest: Option<&str>, allowed: &[String]) -> String {
    match nearest {
        Some(name) => did_you_mean(Some(name)),
        None => format!(
            "; expected {}; for an algorithm of your own, register it in the registry of the context \
             (`Context::with_registry`)",
            one_of(allowed, "no algorithm")
        ),
    }
}

/// The names as a choice, `none` without names.
pub(crate) fn one_of(names: &[String], none: &str) -> String {
    match names {
        [] => none.to_owned(),
        [name] => quoted(name),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|name| quoted(name)).collect();
            format!("{} or {}", first.join(", "), quoted(last))
        }
    }
}

/// How many arguments there can be, and their names.
pub(super) fn at_most(arguments: &[String]) -> String {
    let names: Vec<_> = arguments.iter().map(|name| quoted(name)).collect();
    match names.len() {
        0 => "no arguments".to_owned(),
        1 => format!("at most 1 argument ({})", names[0]),
        count => format!("at most {count} arguments ({})", names.join(", ")),
    }
}

/// The prefix of a period with `arguments` after its last name, as the grammar requires it.
pub(super) fn in_parentheses(prefix: &str, arguments: &str) -> String {
    match arguments {
        "" => quoted(&format!("{prefix}-")),
        _ if arguments.contains(['(', ')']) => {
            format!("{}, where the arguments hold no parentheses", quoted(&format!("{prefix}(…)-")))
        }
        _ => quoted(&format!("{prefix}({arguments})-")),
    }
}

/// The text that was found, which may be empty.
pub(super) fn found(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

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
}
