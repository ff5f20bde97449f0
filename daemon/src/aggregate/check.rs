//! Why a line is a bad one, with the remedy.

use crate::aggregate::lines::MAX_LINE_BYTES;

/// Why a line over the limit is refused.
pub(crate) fn too_long(length: u64) -> String {
    format!(
        "the line has {length} bytes where at most {MAX_LINE_BYTES} are allowed; write each record on a line of its own"
    )
}
