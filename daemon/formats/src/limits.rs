//! The limits of a request.

/// What a request may contain. They bound the memory and the time of a request that no sender means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The largest body after decompression, in bytes.
    pub body_bytes: usize,
    /// The most series, with and without samples.
    pub series: usize,
    /// The most labels of a series, its name included.
    pub labels: usize,
    /// The longest name of a label, in bytes.
    pub label_name_bytes: usize,
    /// The longest value of a label, in bytes.
    pub label_value_bytes: usize,
    /// How deep lists and maps in the value of an attribute are nested.
    pub nesting: usize,
    /// The most samples of a request.
    pub samples: usize,
    /// The largest encoded series, in bytes: what is decoded at a time.
    pub series_bytes: usize,
    /// The most texts that the series of a request refer to.
    pub symbols: usize,
}

impl Default for Limits {
    /// Far more than what Prometheus sends with its defaults (2,000 samples), and more labels than any exporter has.
    fn default() -> Self {
        Self {
            body_bytes: 16 * 1024 * 1024,
            series: 100_000,
            labels: 128,
            label_name_bytes: 512,
            label_value_bytes: 8 * 1024,
            nesting: 8,
            samples: 200_000,
            series_bytes: 256 * 1024,
            symbols: 500_000,
        }
    }
}
