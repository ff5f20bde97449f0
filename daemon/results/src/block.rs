//! Blocks of results: the binary, typed form in which the results log stores them.
//!
//! A record of the results log is one block. A block is complete by itself: a reader needs neither the configuration
//! nor an earlier block. JSON is made of it where results are served or written ([`result_line`](crate::line)).
//!
//! ```text
//! block      := 0xB5  version:u8  rows:u32  item*
//! item       := 0  length  definition            a further entry of the dictionary
//!             | entry+1  row                     a result of that entry
//! definition := uve:text  proxy:text  attributes  (name:text  shown:u8  fields  field*)*
//! field      := name:text  content:u8  [text]  group:text  form:u8  role:u8
//! row        := flags:u8  [key:text]  [start  length]  (attribute+1  value)*  0
//! value      := flaw:u8  types  number*
//! ```
//!
//! Numbers without a type are LEB128 varints, fixed ones little-endian, a `text` is its length and UTF-8. The flags of
//! a row are 1 for deleted, 2 for partial, 4 for the key of the row before, 8 for its window. `types` has two bits for
//! each number of the attribute: 0 absent, 1 `u64` (varint), 2 `i64` (zigzag varint), 3 `f64` (eight bytes).
//!
//! Checksums are the log's part. A reader checks the structure, and accepts no block of a newer [`VERSION`]: a new code
//! of a field raises it.

mod bytes;
mod decode;
mod encode;
mod shape;
mod value;

pub use self::bytes::{BlockError, Reader, put_varint};
pub use self::decode::{BlockReader, Row};
pub use self::encode::BlockSink;
pub use self::shape::{AttributeShape, Content, FieldShape, Shown, UveShape, is_plain_name};
pub use self::value::{put_value, read_value};

/// The first byte of a block. A text cannot begin with it, so a line of JSON is told from a block by one byte.
const MAGIC: u8 = 0xB5;

/// The version that this build writes, and the newest that it reads.
const VERSION: u8 = 1;

/// Magic, version, number of rows.
const HEADER_LEN: usize = 6;

/// The largest block, but for a single result that is larger.
pub const MAX_BLOCK_BYTES: usize = 64 * 1024;

/// The flags of a row.
mod flag {
    pub(super) const DELETED: u8 = 1;
    pub(super) const PARTIAL: u8 = 2;
    pub(super) const SAME_KEY: u8 = 4;
    pub(super) const SAME_WINDOW: u8 = 8;
    pub(super) const ALL: u8 = 15;
}

/// Whether a record of the results log is a block.
pub fn is_block(record: &[u8]) -> bool {
    record.first() == Some(&MAGIC)
}

/// How many results a record of the results log holds, as its header declares them: 1 for another record than a block.
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
