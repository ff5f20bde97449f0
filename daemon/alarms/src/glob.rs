//! Patterns of keys, with `*` for any characters and `?` for one.

/// Whether `text` matches `pattern`. Linear in the product of both lengths at worst, without recursion.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    // The position after the last star, and how much of the text the star takes.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                star = Some((at, from));
            }
            Some(&wanted) if wanted == '?' || text.get(from) == Some(&wanted) => (at, from) = (at + 1, from + 1),
            _ => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                (at, from) = (after, taken + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|left| *left == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_take_any_text_and_question_marks_one_character() {
        let cases = [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*b*b*", "abab", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("ObjectVNTable:default-domain:*", "ObjectVNTable:default-domain:demo:vn1", true),
            ("ObjectVNTable:default-domain:*", "ObjectVNTable:other:demo:vn1", false),
            ("", "a", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
