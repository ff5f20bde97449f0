//! The section `[workers]`.

use serde::Deserialize;

/// `[workers]` sets the number of threads that aggregate.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Workers {
    /// The number of worker threads, each of which owns a part of the partitions. Default 0: one for each core. At
    /// most 1024; threads beyond the number of partitions stay idle.
    pub threads: usize,
}

impl Workers {
    /// The effective number of threads: the setting, or the number of cores for 0.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}
