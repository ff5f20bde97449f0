//! Why a line that can be decoded is a bad one, with the remedy.

use proxy_uve::key::{KeyError, ObjectKey};

use crate::aggregate::lines::MAX_LINE_BYTES;

/// Characters of a key that a message shows.
const SHOWN_CHARACTERS: usize = 64;

/// Refuses a key that is not `table:name`.
pub(crate) fn check_key(key: &[u8]) -> Result<(), String> {
    let Err(error) = ObjectKey::parse(key) else {
        return Ok(());
    };
    let shown = excerpt(key);
    Err(match error {
        KeyError::Empty => "the key is empty; write `table:name`, e.g. `VM:a`".to_owned(),
        KeyError::EmptyTable => {
            format!("the key `{shown}` has no table before its first `:`; write e.g. `VM{shown}`")
        }
        KeyError::NoColon => format!("the key `{shown}` is not `table:name`; write e.g. `VM:{shown}`"),
        KeyError::TooLong { length, limit } => {
            format!("the key `{shown}` has {length} bytes where at most {limit} are allowed; shorten it")
        }
        error => format!("the key `{shown}`: {error}"),
    })
}

/// Why a line over the limit is refused.
pub(crate) fn too_long(length: u64) -> String {
    format!(
        "the line has {length} bytes where at most {MAX_LINE_BYTES} are allowed; write each record on a line of its own"
    )
}

/// The beginning of a text, on one line.
fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let shown = text.chars().take(SHOWN_CHARACTERS);
    let mut shown: String =
        shown.map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}
