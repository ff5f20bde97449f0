//! Blocks of results: the binary, typed form in the results log.
//!
//! A record of the results log is one block. A block is self-contained: a reader needs neither the configuration nor an
//! earlier block. [`line::write`](crate::line::write) converts a row into JSON, where results are served or written.
//!
//! ```text
//! block      := 0xB5  version:u8  rows:u32  item*
//! item       := 0  length  definition            the next entry of the dictionary
//!             | entry+1  row                     a result of that entry
//! definition := uve:text  proxy:text  attributes  (name:text  shown:u8  fields  field*)*
//! field      := name:text  content:u8  [text]  group:text  form:u8  role:u8
//! row        := flags:u8  [key:text]  [start  length]  (attribute+1  value)*  0
//! value      := flaw:u8  types  number*
//! ```
//!
//! Numbers without a type are LEB128 varints, fixed-width numbers are little-endian, and a `text` is its length and
//! UTF-8. The flags of a row are 1 for deleted, 2 for partial, 4 for the key of the previous row, 8 for its window.
//! `types` has two bits for each number of the attribute: 0 absent, 1 `u64` (varint), 2 `i64` (zigzag varint), 3 `f64`
//! (eight bytes). An attribute has at most 64 numbers; of more than 32 there are two `types`, one for the first 32
//! numbers and one for the others.
//!
//! The attributes of a row have the same window. An attribute over several periods (`5-raw:DSSum`) is in a row of its own
//! window, which ends with that of the last period and starts earlier.
//!
//! A block has no checksum, because the log has one. A reader verifies the structure and rejects a block of a newer
//! `VERSION`. A new code of a field increments the version.

mod bytes;
mod decode;
mod encode;
mod row;
mod shape;
mod value;

pub use self::bytes::{BlockError, Reader, put_varint};
pub use self::decode::{BATCH, BlockReader};
pub use self::encode::BlockSink;
pub use self::row::{EncodedValue, Row, Values, ValuesBuffer};
pub use self::shape::{AttributeShape, Content, FieldShape, Shown, UveShape, is_plain_name};
pub use self::value::{put_value, read_value};

/// The first byte of a block. No UTF-8 text starts with it, so it distinguishes a block from a line of JSON.
const MAGIC: u8 = 0xB5;

/// The newest version that this build reads. It writes it for blocks with an attribute of more than 10 numbers, which
/// readers of earlier versions refuse.
pub const VERSION: u8 = 3;

/// The version of all other blocks. It has the flaws and the role that came with percentiles and detectors.
const NARROW_VERSION: u8 = 2;

/// The size of the header: first byte, version and number of rows.
const HEADER_LEN: usize = 6;

/// The size limit of a block in bytes; a block with a single result may exceed it.
pub const MAX_BLOCK_BYTES: usize = 64 * 1024;

/// The flags of a row.
mod flag {
    pub(super) const DELETED: u8 = 1;
    pub(super) const PARTIAL: u8 = 2;
    pub(super) const SAME_KEY: u8 = 4;
    pub(super) const SAME_WINDOW: u8 = 8;
    pub(super) const ALL: u8 = 15;
}

/// A block without results, which takes the place of a lost one; of the first version, so that each build reads it.
pub const EMPTY: [u8; HEADER_LEN] = [MAGIC, 1, 0, 0, 0, 0];

/// Whether a record of the results log is a block.
pub fn is_block(record: &[u8]) -> bool {
    record.first() == Some(&MAGIC)
}

/// The number of results in a record of the results log, as the header of a block declares it; 1 for other records.
pub fn declared_rows(record: &[u8]) -> u64 {
    match record {
        [MAGIC, _, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]).into(),
        [MAGIC, ..] => 0,
        _ => 1,
    }
}

#[cfg(any(test, feature = "test-util"))]
#[allow(clippy::unwrap_used, reason = "for tests")]
pub mod sample;
#[cfg(test)]
mod tests;
