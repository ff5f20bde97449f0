//! Keys of messages: the object that a sample belongs to, and the partition of the object.
//!
//! A key is `table:name`, such as `ObjectVNTable:default-domain:admin:vn1`. The table ends at the first `:`, the name
//! may contain more of them. An empty key or table, a null key (the original aborts the process on them) and a key
//! without `:` are errors here, which the caller counts.

mod uve_type;

use std::fmt;

pub use self::uve_type::{table_of_uve_type, uve_type_of_table};

/// The longest key that [`ObjectKey::parse`] takes, in bytes: ten times a long real one.
pub const MAX_KEY_LENGTH: usize = 1024;

/// Partitions of every aggregation topic, as the original has it: a constant in its producer, not a setting.
pub const PARTITIONS: u32 = 30;

/// What every hash of [`djb2`] starts from.
const SEED: u32 = 5381;

/// The object that a message is about.
///
/// ```
/// use proxy_uve::key::ObjectKey;
///
/// let key = ObjectKey::parse(b"ObjectVNTable:default-domain:admin:vn1")?;
/// assert_eq!((key.table, key.name), ("ObjectVNTable", "default-domain:admin:vn1"));
/// # Ok::<(), proxy_uve::key::KeyError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectKey<'k> {
    /// The table, not empty.
    pub table: &'k str,
    /// The name within the table. May be empty and may contain `:`.
    pub name: &'k str,
}

/// The reason why a key does not identify an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No bytes at all, or no key. The original aborts.
    #[error("the key is empty; expected `table:name`")]
    Empty,
    /// A `:` at the start. The original aborts.
    #[error("the key has no table before its first `:`; expected `table:name`")]
    EmptyTable,
    /// No `:` at all. The original takes the whole key for table and name.
    #[error("the key has no `:` between table and name; expected `table:name`")]
    NoColon,
    /// The key is not text.
    #[error("the key is not UTF-8 from byte {at} on; expected `table:name` in UTF-8")]
    NotUtf8 {
        /// The index of the first byte that is not part of a character.
        at: usize,
    },
    /// More bytes than are allowed.
    #[error("the key has {length} bytes where at most {limit} are allowed; shorten it or raise the limit")]
    TooLong {
        /// Length of the key in bytes.
        length: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
}

impl KeyError {
    /// A short constant name, for counting.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Empty => "key_empty",
            Self::EmptyTable => "key_empty_table",
            Self::NoColon => "key_no_colon",
            Self::NotUtf8 { .. } => "key_not_utf8",
            Self::TooLong { .. } => "key_too_long",
        }
    }
}

impl<'k> ObjectKey<'k> {
    /// Reads a key of at most [`MAX_KEY_LENGTH`] bytes. Allocates nothing.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for a key that does not name an object.
    pub fn parse(key: &'k [u8]) -> Result<Self, KeyError> {
        Self::parse_within(key, MAX_KEY_LENGTH)
    }

    /// The same with another limit, in bytes.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_within(key: &'k [u8], limit: usize) -> Result<Self, KeyError> {
        if key.is_empty() {
            return Err(KeyError::Empty);
        }
        if key.len() > limit {
            return Err(KeyError::TooLong { length: key.len(), limit });
        }
        let text = std::str::from_utf8(key).map_err(|error| KeyError::NotUtf8 { at: error.valid_up_to() })?;
        match text.split_once(':') {
            None => Err(KeyError::NoColon),
            Some(("", _)) => Err(KeyError::EmptyTable),
            Some((table, name)) => Ok(Self { table, name }),
        }
    }

    /// The UVE type of the table, such as `virtual-network`; the table in lower case where Contrail has none.
    pub fn uve_type(&self) -> std::borrow::Cow<'k, str> {
        uve_type_of_table(self.table)
    }
}

/// `table:name`.
impl fmt::Display for ObjectKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.table, self.name)
    }
}

/// The partition of a key: [`djb2`] modulo `partitions`, of which 0 counts as 1. Proportional to the key's length.
pub fn partition(key: &[u8], partitions: u32) -> u32 {
    djb2(key) % partitions.max(1)
}

/// The hash by which the original's producers choose a partition: h = 33 h + byte from 5381 on, modulo 2^32.
///
/// Bytes are *signed*: those of letters outside ASCII count negative, as `char` does on x86.
pub fn djb2(key: &[u8]) -> u32 {
    key.iter().fold(SEED, |hash, &byte| {
        // The cast to i8 gives the sign, the one to u32 extends it.
        hash.wrapping_mul(33).wrapping_add(i32::from(byte as i8) as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ends_at_the_first_colon() {
        let cases = [
            ("ObjectVNTable:default-domain:admin:vn1", "ObjectVNTable", "default-domain:admin:vn1"),
            ("T::x", "T", ":x"),
            ("T:", "T", ""),
            ("é:ü", "é", "ü"),
        ];
        for (key, table, name) in cases {
            assert_eq!(ObjectKey::parse(key.as_bytes()), Ok(ObjectKey { table, name }), "{key}");
        }
    }

    #[test]
    fn keys_that_name_no_object_are_errors() {
        let cases: [(&[u8], KeyError); 6] = [
            (b"", KeyError::Empty),
            (b":", KeyError::EmptyTable),
            (b":vn1", KeyError::EmptyTable),
            (b"vn1", KeyError::NoColon),
            (b"T:\xff\xfe", KeyError::NotUtf8 { at: 2 }),
            (&[b'a'; 1025], KeyError::TooLong { length: 1025, limit: 1024 }),
        ];
        for (key, expected) in cases {
            assert_eq!(ObjectKey::parse(key), Err(expected), "{key:?}");
        }
        assert_eq!(ObjectKey::parse(&[b'a'; 1024]), Err(KeyError::NoColon), "the length is right");
    }

    #[test]
    fn one_partition_holds_everything_and_none_counts_as_one() {
        assert_eq!((partition(b"a", 1), partition(b"a", 0)), (0, 0));
        assert_eq!(partition(b"ObjectVNTable:default-domain:demo:vn1", PARTITIONS), 14);
    }

    #[test]
    fn a_key_prints_as_table_and_name() {
        let key = ObjectKey { table: "T", name: ":x" };
        assert_eq!(key.to_string(), "T::x");
        assert_eq!(ObjectKey::parse(b"ObjectVNTable:x").unwrap().uve_type(), "virtual-network");
    }
}
