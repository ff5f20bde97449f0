//! The syntax of configuration files that Boost's program_options reads, with the rules of `parse_config_file`.
//!
//! A `#` starts a comment anywhere in a line, a `;` only as its very first character. A line is then a section
//! (`[NAME]`), a setting (`key = value`, split at the first `=`) or an error: there are no continuation lines, quotes or
//! escapes, and `:` does not separate. The section and a dot are put before each key. Sections may be repeated.
//!
//! Deviations: a byte order mark is skipped, and all errors are returned, not only the first.

/// The characters that Boost trims.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// An erroneous line is shown up to this number of characters.
const SHOWN_CHARACTERS: usize = 60;

/// One setting of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Setting<'t> {
    /// The full key, such as `DEFAULT.partitions`.
    pub key: String,
    pub value: &'t str,
    /// From 1.
    pub line: usize,
}

/// The settings of `text`, or the line and message of an error, in the order of the lines.
pub(super) fn parse(text: &str) -> Vec<Result<Setting<'_>, (usize, String)>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut prefix = String::new();
    let mut found = Vec::new();
    for (index, raw) in text.split('\n').enumerate() {
        let line = index + 1;
        let content = raw.split('#').next().unwrap_or_default();
        let content = if content.starts_with(';') { "" } else { content.trim_matches(BLANKS) };
        if content.is_empty() {
            continue;
        }
        let section = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match (section, content.split_once('=')) {
            (Some(""), _) | (None, None) => found.push(Err((line, unrecognized(raw, content)))),
            (Some(name), _) => prefix = if name.ends_with('.') { name.to_owned() } else { format!("{name}.") },
            (None, Some((name, value))) => {
                let key = format!("{prefix}{}", name.trim_matches(BLANKS));
                found.push(Ok(Setting { key, value: value.trim_matches(BLANKS), line }));
            }
        }
    }
    found
}

fn unrecognized(raw: &str, content: &str) -> String {
    let mut shown: String = content.chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < content.len() {
        shown.push('…');
    }
    let remedy = if content.starts_with(';') {
        "a comment behind blanks starts with `#`"
    } else if raw.starts_with([' ', '\t']) {
        "a line does not continue the one before it; repeat the key, or write the whole list in one line"
    } else {
        "Contrail's collector refuses this line, too"
    };
    format!("expected `key = value`, `[SECTION]` or a comment, found `{shown}`; {remedy}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The settings as `key=value@line` and the errors as `!line`.
    fn read(text: &str) -> String {
        let shown = parse(text).into_iter().map(|entry| match entry {
            Ok(setting) => format!("{}={}@{}", setting.key, setting.value, setting.line),
            Err((line, _)) => format!("!{line}"),
        });
        shown.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn lines_are_read_as_boost_reads_them() {
        let cases = [
            ("", ""),
            ("[", "!1"),
            ("]", "!1"),
            ("[]", "!1"),
            ("[ ]", ""),
            ("key", "!1"),
            ("key=", "key=@1"),
            ("= value", "=value@1"),
            ("[s]\n= value", "s.=value@2"),
            ("=", "=@1"),
            ("a=b=c", "a=b=c@1"),
            ("a=b#c=d", "a=b@1"),
            ("#a=b", ""),
            ("a#=b", "!1"),
            (";a=b", ""),
            (" ;a=b", ";a=b@1"),
            (" ;a", "!1"),
            ("a=b;c", "a=b;c@1"),
            ("[s]\na=1\n[t.]\na=2\n[s]\na=3", "s.a=1@2 | t.a=2@4 | s.a=3@6"),
            ("[s]#x\na.b=1", "s.a.b=1@2"),
            ("[s]x\na=1", "!1 | a=1@2"),
            ("[s]=1", "[s]=1@1"),
            ("[x]y]\na=1", "x]y.a=1@2"),
            ("\u{feff}[s]\r\n\r\n\ta = 1 \r\n", "s.a=1@3"),
            ("a=1\rb=2\nc=3", "a=1\rb=2@1 | c=3@2"),
            ("a=\"x y\"", "a=\"x y\"@1"),
            ("a: b", "!1"),
            ("a=1\n  b", "a=1@1 | !2"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn property_every_line_with_content_is_a_section_a_setting_or_an_error(
            lines in prop::collection::vec("[\\[\\]=#;. \\tax\u{e9}\u{feff}\\r]{0,6}", 0..12),
        ) {
            let found = parse(&lines.join("\n")).len();
            let is_comment = |line: &&String| {
                let line = line.strip_prefix('\u{feff}').unwrap_or(line);
                line.starts_with(';') || line.split('#').next().unwrap_or_default().trim_matches(BLANKS).is_empty()
            };
            let is_section = |line: &&String| line.contains('[') && line.contains(']');
            let bound = lines.iter().filter(|line| !is_comment(line)).count();
            let sections = lines.iter().filter(is_section).count();
            prop_assert!(found <= lines.len() && found + sections + 1 >= bound, "{found} of {bound}: {lines:?}");
        }
    }
}
