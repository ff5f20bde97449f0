//! `[workers]`.

use serde::Deserialize;

/// `[workers]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Workers {
    /// Threads that aggregate, each with a share of the partitions. Default 0: one for each core. At most 1024; more
    /// than there are partitions stay idle.
    pub threads: usize,
}

impl Workers {
    /// The number of threads in force.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}
