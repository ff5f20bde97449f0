//! Texts of others in messages of one line.

/// The first `most` characters of a text, with a blank in place of each character that is [not shown](is_not_shown).
pub fn one_line(text: &str, most: usize) -> String {
    text.chars().take(most).map(|it| if is_not_shown(it) { ' ' } else { it }).collect()
}

/// Whether a character is not shown itself, but could end the line, move the cursor, or turn the direction of the text
/// around it: a control character, a separator of lines, or a control of
/// [bidirectional text](https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters).
pub fn is_not_shown(character: char) -> bool {
    let turns =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let separates = matches!(character, '\u{2028}' | '\u{2029}');
    turns || separates || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_changes_the_line_around_it() {
        let cases = ["a\nb", "a\x1bb", "a\u{85}b", "a\u{202e}b", "a\u{2067}b", "a\u{200f}b", "a\u{2028}b", "a\u{61c}b"];
        for text in cases {
            assert_eq!(one_line(text, 9), "a b", "{text:?}");
        }
        // Letters of scripts that are read from the right, and what joins them, remain.
        for text in ["שלום", "می\u{200c}خواهم", "👩\u{200d}💻"] {
            assert_eq!(one_line(text, 9), text);
        }
    }
}
