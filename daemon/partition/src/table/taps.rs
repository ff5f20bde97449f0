//! What a partition passes to taps.

use std::collections::BTreeMap;

use proxy_uve::{Fate, Record};

use super::{MALFORMED, PartitionTable};
use crate::{Tapped, TappedRecord};

impl PartitionTable {
    /// Passes records to the taps; `fates` are the outcomes of those that were not aggregated, by index.
    pub(super) fn pass_to_taps<'r>(
        &self,
        partition: u16,
        records: impl Iterator<Item = Record<'r>>,
        fates: &BTreeMap<usize, Fate>,
    ) {
        for (index, record) in records.enumerate() {
            let fate = fates.get(&index).copied().unwrap_or(Fate::Aggregated);
            let reason = MALFORMED.contains(&fate).then(|| self.reason_malformed(record.key, record.payload)).flatten();
            let (stream, reason) = (self.stream.name.as_str(), reason.as_deref());
            self.stream.taps.send(&Tapped::Record(TappedRecord { stream, partition, record, fate, reason }));
        }
    }
}
