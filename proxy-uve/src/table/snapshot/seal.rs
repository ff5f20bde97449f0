//! The version and the checksum around every part of a snapshot.
//!
//! ```text
//! part := version:u8 checksum:u32 body
//! ```
//!
//! The checksum is the CRC-32 of version and body, so every flip of a single bit is found, and nearly every other
//! damage.

use crate::table::snapshot::{SnapshotError, SnapshotPart, VERSION, VERSION_WITH_UNKNOWN_TIME};

const HEAD: usize = 5;

/// Replaces `part` by the head of a part of that version, whose body is still to be written.
pub(super) fn begin(version: u8, part: &mut Vec<u8>) {
    part.clear();
    part.extend([version, 0, 0, 0, 0]);
}

/// Fills in the checksum.
pub(super) fn finish(part: &mut [u8]) {
    if let Some((head, body)) = part.split_at_mut_checked(HEAD) {
        let checksum = checksum(head[0], body);
        head[1..].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The body of a part.
pub(super) fn open(part: SnapshotPart, bytes: &[u8]) -> Result<&[u8], SnapshotError> {
    let found = match bytes.first() {
        None => return Err(SnapshotError::Truncated { part, field: "version" }),
        // The meta part of version 1 had no head: it was bare JSON.
        Some(b'{') if part == SnapshotPart::Meta => 1,
        Some(&version) => version,
    };
    if found != VERSION && !(found == VERSION_WITH_UNKNOWN_TIME && part == SnapshotPart::Meta) {
        return Err(SnapshotError::Version { part, found });
    }
    let truncated = SnapshotError::Truncated { part, field: "checksum" };
    let (head, body) = bytes.split_at_checked(HEAD).ok_or(truncated)?;
    let (found, expected) = (&head[1..], checksum(head[0], body));
    if found != expected.to_le_bytes() {
        return Err(SnapshotError::Checksum { part });
    }
    Ok(body)
}

fn checksum(version: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(body);
    hasher.finalize()
}
