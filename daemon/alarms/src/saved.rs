//! The stored form of the alarms of a table: chunks in the commit of its partition, beside those of the table.
//!
//! ```text
//! chunk := version:u8 JSON                a list of objects, each with its key and its alarms
//! ```
//!
//! A table that started over after its state was lost has a mark beside its objects: with the empty key, and the event
//! time up to which the run before had evaluated windows.
//!
//! An object belongs to a chunk by its key, so that a commit writes the chunks whose alarms changed only. Tables number
//! their chunks from 0; those of alarms have the highest numbers.

use serde::{Deserialize, Serialize};

use crate::life::Life;
use crate::row::Alarm;

/// The number of chunks.
pub(crate) const CHUNKS: u32 = 256;

/// The number of the first chunk.
const FIRST: u32 = u32::MAX - CHUNKS + 1;

const VERSION: u8 = 1;

/// Whether a chunk of a partition's state belongs to the alarms, and not to the table.
pub fn is_alarm_chunk(number: u32) -> bool {
    number >= FIRST
}

/// The number of the chunk of a bucket.
pub(crate) fn chunk_number(bucket: usize) -> u32 {
    FIRST.saturating_add(u32::try_from(bucket).unwrap_or(CHUNKS - 1).min(CHUNKS - 1))
}

/// The bucket of an object: FNV-1a, which must never change.
pub(crate) fn bucket(key: &str) -> usize {
    let digest = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // Mixed once more: the upper bits of FNV depend little on the last bytes, and 8 bits are 256 buckets.
    usize::try_from(digest.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).unwrap_or(0)
}

/// The alarms of one object as they are stored.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedObject {
    pub key: String,
    pub alarms: Vec<SavedAlarm>,
    /// In the mark of a table whose state was lost: the event time up to which its windows were evaluated; else 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub known_until: u64,
}

/// One alarm as it is stored.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedAlarm {
    pub rule: String,
    pub uve: String,
    pub severity: u8,
    pub life: Life,
    pub text: String,
    pub matches: String,
    /// Whether the object is deleted.
    #[serde(default)]
    pub is_absent: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl SavedObject {
    /// The key of the mark of a table whose state was lost. Keys of objects have a table.
    pub(crate) const MARK: &str = "";

    /// The mark of a table whose state was lost.
    pub(crate) fn mark(known_until: u64) -> Self {
        Self { key: Self::MARK.to_owned(), alarms: Vec::new(), known_until }
    }
}

impl SavedAlarm {
    /// An alarm that fires, as its row shows it, of an object that the table does not have.
    pub(crate) fn of_lost(alarm: &Alarm) -> Self {
        Self {
            rule: alarm.rule.clone(),
            uve: alarm.uve.clone(),
            severity: alarm.severity,
            life: Life { since: alarm.since, fired: Some(alarm.timestamp), count: 0 },
            text: alarm.description.clone(),
            matches: alarm.alarm_rules.get().to_owned(),
            is_absent: true,
        }
    }
}

/// Why the stored alarms of a table cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StateError {
    /// They are not what was written.
    #[error("chunk {chunk} with the state of alarms is damaged: {reason}")]
    Damaged {
        /// The number of the chunk.
        chunk: u32,
        /// What is wrong.
        reason: String,
    },
    /// A newer version of the program wrote them.
    #[error(
        "chunk {chunk} with the state of alarms has version {found}, and this program reads up to 1; use the newer program"
    )]
    Newer {
        /// The number of the chunk.
        chunk: u32,
        /// Its version.
        found: u8,
    },
}

/// Encodes a chunk; `None` if it has no object.
pub(crate) fn encode(objects: &[SavedObject]) -> Option<Vec<u8>> {
    if objects.is_empty() {
        return None;
    }
    let mut bytes = vec![VERSION];
    // Plain data into memory: serialising cannot fail.
    let _ = serde_json::to_writer(&mut bytes, objects);
    Some(bytes)
}

/// Decodes a chunk.
pub(crate) fn decode(chunk: u32, bytes: &[u8]) -> Result<Vec<SavedObject>, StateError> {
    match bytes.split_first() {
        Some((&VERSION, json)) => {
            serde_json::from_slice(json).map_err(|error| StateError::Damaged { chunk, reason: error.to_string() })
        }
        Some((&found, _)) if found > VERSION => Err(StateError::Newer { chunk, found }),
        _ => Err(StateError::Damaged { chunk, reason: "it has no version".to_owned() }),
    }
}

/// The chunk with those objects only whose keys `keep` accepts; `None` if there are none. The mark of a table whose state
/// was lost stays.
///
/// # Errors
///
/// When the chunk is damaged or of a newer version.
pub fn retain(chunk: u32, bytes: &[u8], keep: impl Fn(&str) -> bool) -> Result<Option<Vec<u8>>, StateError> {
    let mut objects = decode(chunk, bytes)?;
    objects.retain(|object| object.key == SavedObject::MARK || keep(&object.key));
    Ok(encode(&objects))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_alarms_are_the_last_ones_and_keys_spread_over_them() {
        assert_eq!((chunk_number(0), chunk_number(255)), (FIRST, u32::MAX));
        assert!(!is_alarm_chunk(FIRST - 1) && is_alarm_chunk(FIRST));
        let used: std::collections::BTreeSet<_> = (0..4096).map(|number| bucket(&format!("T:vn{number}"))).collect();
        assert!(used.len() > 240, "{}", used.len());
    }

    #[test]
    fn a_part_of_a_chunk_has_the_objects_of_its_keys_and_the_mark() {
        let object = |key: &str| SavedObject { key: key.to_owned(), alarms: Vec::new(), known_until: 0 };
        let bytes = encode(&[object("T:a"), SavedObject::mark(7), object("T:b")]).unwrap();
        let part = retain(9, &bytes, |key| key == "T:b").unwrap().unwrap();
        let keys: Vec<_> = decode(9, &part).unwrap().into_iter().map(|object| object.key).collect();
        assert_eq!(keys, ["", "T:b"]);
        let one = encode(&[object("T:a")]).unwrap();
        assert_eq!(retain(9, &one, |_| false), Ok(None));
    }

    #[test]
    fn a_damaged_chunk_and_a_newer_one_are_told_apart() {
        assert!(matches!(decode(7, b"\x01[{"), Err(StateError::Damaged { chunk: 7, .. })));
        assert!(matches!(decode(7, b""), Err(StateError::Damaged { chunk: 7, .. })));
        assert_eq!(decode(7, b"\x02[]").unwrap_err(), StateError::Newer { chunk: 7, found: 2 });
    }
}
