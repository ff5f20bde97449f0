//! Retention: deletes whole files of input and of results, the oldest first, and old idempotency keys.
//!
//! A file is deleted first, so that retention makes room on a full disk, and the write that says so follows. If that
//! write fails, the next opening finds that the oldest file is missing: see [`recover`](super::recover).

use std::collections::BTreeMap;

use daemon_base::failpoint;

use crate::embedded::change::Change;
use crate::embedded::disk;
use crate::embedded::segment::Family;
use crate::embedded::tables::Part;
use crate::embedded::writer::{Locked, Writer};
use crate::error::LogError;
use crate::retention::{Oldest, input_is_deletable, results_are_deletable};
use crate::{PartitionId, RetentionReport};

impl Writer {
    /// Runs a whole retention pass and releases the write lock after each file.
    pub(super) fn enforce_retention(&self, now: u64) -> Result<RetentionReport, LogError> {
        failpoint::point("retention.before");
        let idempotency_keys = self.lock()?.drop_expired_keys(now);
        let mut total = RetentionReport { idempotency_keys, ..RetentionReport::default() };
        for family in [Family::Journal, Family::Results] {
            while self.lock()?.retire_oldest(family, now, &mut total)? {}
        }
        Ok(total)
    }
}

impl Locked<'_> {
    /// Deletes the oldest file of a family if the rules allow that; `false` if they do not.
    fn retire_oldest(&mut self, family: Family, now: u64, total: &mut RetentionReport) -> Result<bool, LogError> {
        let Some((number, logs)) = self.oldest(family) else { return Ok(false) };
        let open = self.open_number(family);
        if !self.is_deletable(family, &logs, now, number == open) {
            return Ok(false);
        }
        if number == open {
            self.roll(family)?;
            // The next file is known before this one goes.
            self.write(|stage| {
                stage.name_open_files();
                Ok(())
            })?;
        }
        failpoint::point("retention.mid");
        let Some(file) = self.catalog().file(family, number) else { return Ok(false) };
        disk::remove(&file.path).map_err(|source| file.write_error(source))?;
        self.report(family, &logs, total);
        self.forget(family, number)?;
        Ok(true)
    }

    /// Writes that a file was deleted. Without that write the next opening finds the file missing.
    fn forget(&mut self, family: Family, segment: u32) -> Result<(), LogError> {
        let written = self.write(|stage| {
            stage.change(Change::Retired { family, segment });
            Ok(())
        });
        match &written {
            Ok(()) => self.catalog_mut().retire(family, segment),
            Err(error) => self.fail(error.to_string()),
        }
        written
    }

    /// The oldest file with records, and what it has of each log.
    fn oldest(&mut self, family: Family) -> Option<(u32, BTreeMap<PartitionId, Part>)> {
        let tables = self.tables();
        let parts = if family == Family::Journal { &tables.input_parts } else { &tables.results_parts };
        parts.first_key_value().map(|(number, logs)| (*number, logs.clone()))
    }

    fn is_deletable(&mut self, family: Family, logs: &BTreeMap<PartitionId, Part>, now: u64, is_open: bool) -> bool {
        let config = self.config().clone();
        let tables = self.tables();
        let newest_at = logs.values().map(|part| part.newest_at).max().unwrap_or(0);
        let mut parts = logs.iter();
        if family == Family::Journal {
            let total = if is_open && config.max_input_bytes > 0 { 0 } else { tables.input_bytes() };
            parts.all(|(id, part)| {
                let applied = tables.partitions.get(id).map_or(0, |it| it.applied());
                input_is_deletable(Oldest { written_at: newest_at, end: part.end }, applied, total, now, &config)
            })
        } else {
            let total = if is_open && config.max_results_bytes > 0 { 0 } else { tables.results.bytes() };
            let unread = tables.unread_results();
            parts.all(|(_, part)| {
                results_are_deletable(Oldest { written_at: newest_at, end: part.end }, unread, total, now, &config)
            })
        }
    }

    /// Adds what a deleted file had to the report.
    fn report(&mut self, family: Family, logs: &BTreeMap<PartitionId, Part>, total: &mut RetentionReport) {
        let tables = self.tables();
        for (log, part) in logs {
            let first = tables.ends(*log).bounds.first;
            if family == Family::Journal {
                total.input_records += part.end - first;
                total.input_bytes += part.bytes;
            } else {
                total.results += part.end - first;
                total.results_bytes += part.bytes;
                total.results_dropped += tables.unread_in(part);
            }
        }
    }
}
