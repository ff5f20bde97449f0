//! What an operator may choose about a table.

/// Time and size limits of a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TableSettings {
    /// How far behind the newest timestamp a sample may be and still count, in microseconds. A window closes this long
    /// after its end, in event time: more forgives slower sources, less gives results sooner. Default 30 s.
    pub allowed_lateness: u64,
    /// How far ahead of its arrival a timestamp may be, in microseconds. Beyond it the record is refused: one clock
    /// that is hours ahead would close every other source's windows. Keep it below the lateness. Default 10 s.
    pub allowed_skew: u64,
    /// How many objects each record closes while a window is closing, rounded up to 64. A window of a million objects
    /// takes a while to close; spread over the records that come meanwhile, none of them waits for more than its share.
    /// Which results there are does not depend on it, their order may. Default all: every result is there when the
    /// call that made its window due returns.
    pub close_per_record: usize,
    /// Objects at most; a further one is refused and counted. Default 1,000,000, about 200 MB.
    pub max_objects: usize,
    /// The longest key taken, in bytes; at most 16,777,215. Default 1024.
    pub max_key_bytes: usize,
    /// The longest payload taken, in bytes. Default 65,536.
    pub max_payload_bytes: usize,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self {
            allowed_lateness: 30_000_000,
            allowed_skew: 10_000_000,
            close_per_record: usize::MAX,
            max_objects: 1_000_000,
            max_key_bytes: 1024,
            max_payload_bytes: 64 * 1024,
        }
    }
}
