//! Texts of others in messages of one line.

/// The first `most` characters of a text, with a blank in place of each control character, which could end the line or move
/// the cursor.
pub fn one_line(text: &str, most: usize) -> String {
    text.chars().take(most).map(|it| if it.is_control() { ' ' } else { it }).collect()
}
