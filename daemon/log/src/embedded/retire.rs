//! Retention: deletes whole files of input and of results, the oldest first, and old idempotency keys.
//!
//! A file is deleted first, so that retention makes room on a full disk, and the write that records it follows. If that
//! write fails, the next opening finds that the oldest file is missing: see [`recover`](super::recover).

use std::collections::BTreeMap;

use daemon_base::failpoint;

use crate::config::is_older;
use crate::embedded::change::Change;
use crate::embedded::disk;
use crate::embedded::segment::Family;
use crate::embedded::tables::{Part, Parts};
use crate::embedded::writer::{Locked, Writer};
use crate::error::LogError;
use crate::retention::{Oldest, input_is_deletable, results_are_deletable};
use crate::{PartitionId, RetentionReport};

/// The parts of a limit of age to which it is kept.
const AGES_PER_LIMIT: u64 = 16;

impl Writer {
    /// Runs a whole retention pass and releases the write lock after each file.
    pub(super) fn enforce_retention(&self, now: u64) -> Result<RetentionReport, LogError> {
        failpoint::point("retention.before");
        let idempotency_keys = self.lock()?.drop_expired_keys(now);
        let mut total = RetentionReport { idempotency_keys, ..RetentionReport::default() };
        let families = [Family::Journal, Family::Results];
        for family in families {
            while self.lock()?.retire_one(family, now, &mut total)? {}
        }
        // Later, because it needs space.
        for family in families {
            self.lock()?.roll_if_old(family, now)?;
        }
        // Nothing to write, unless an earlier write has failed: then this one shows whether the next one works.
        self.lock()?.write(|_| Ok(()))?;
        Ok(total)
    }
}

/// The logs in one file, by number.
type File = (u32, BTreeMap<PartitionId, Part>);

impl Locked<'_> {
    /// Closes the open file when its records are older than a part of the limit, so that the limit is kept to that part.
    fn roll_if_old(&mut self, family: Family, now: u64) -> Result<(), LogError> {
        let config = self.config();
        let limit = match family {
            Family::Journal => config.max_input_age_seconds,
            _ => config.max_results_age_seconds,
        };
        let open = self.open_number(family);
        let oldest_at = self.parts(family).get(&open).and_then(|logs| logs.values().map(|part| part.oldest_at).min());
        match oldest_at {
            Some(oldest_at) if is_older(oldest_at, limit.div_ceil(AGES_PER_LIMIT), now) => self.roll(family),
            _ => Ok(()),
        }
    }

    /// Deletes a file of a family if the rules allow that; `false` if they allow none.
    fn retire_one(&mut self, family: Family, now: u64, total: &mut RetentionReport) -> Result<bool, LogError> {
        let Some((number, logs)) = self.deletable(family, now)? else { return Ok(false) };
        self.writer.health.check_found()?;
        if number == self.open_number(family) {
            self.roll(family)?;
        }
        // The files that stay are named before this one goes. Mostly they are, so that this works on a full disk.
        self.name_open_files()?;
        failpoint::point("retention.mid");
        let Some(file) = self.catalog().file(family, number) else { return Ok(false) };
        disk::remove(&file.path).map_err(|source| file.write_error(source))?;
        self.report(family, &logs, total);
        self.forget(family, number)?;
        Ok(true)
    }

    /// Writes that a file was deleted. Without that write the next opening finds the file missing.
    fn forget(&mut self, family: Family, segment: u32) -> Result<(), LogError> {
        if self.writer.health.has_failed() {
            // The disk is full, and the file takes space as long as it is open. The next opening closes it.
            self.fail("a file was deleted while nothing could be written".to_owned());
            return Ok(());
        }
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

    /// The oldest file that may go. Results go in order; a file of input may go while an older one has input that is not
    /// applied.
    fn deletable(&mut self, family: Family, now: u64) -> Result<Option<File>, LogError> {
        let config = self.config();
        let (open, size) = (self.open_number(family), self.size(family)?);
        let limit = if family == Family::Journal { config.max_input_bytes } else { config.max_results_bytes };
        let files = self.parts(family).iter().take(if family == Family::Results { 1 } else { usize::MAX });
        let may_go = |(number, logs): &(&u32, &BTreeMap<PartitionId, Part>)| {
            // The size of the open file does not count, unless nothing is to be kept.
            let size = if **number == open && limit > 0 { 0 } else { size };
            self.rules_allow(family, logs, size, now)
        };
        let found = files.into_iter().find(may_go);
        Ok(found.map(|(number, logs)| (*number, logs.clone())))
    }

    /// The size of all files of a family.
    fn size(&self, family: Family) -> Result<u64, LogError> {
        let catalog = self.catalog();
        self.parts(family).keys().filter_map(|number| catalog.file(family, *number)).map(|file| file.len()).sum()
    }

    fn rules_allow(&self, family: Family, logs: &BTreeMap<PartitionId, Part>, size: u64, now: u64) -> bool {
        let (config, tables) = (self.config(), self.known());
        let newest_at = logs.values().map(|part| part.newest_at).max().unwrap_or(0);
        let oldest = |part: &Part| Oldest { written_at: newest_at, end: part.end };
        logs.iter().all(|(id, part)| match family {
            Family::Journal => {
                tables.is_applied(*id, part) && input_is_deletable(oldest(part), part.end, size, now, config)
            }
            _ => results_are_deletable(oldest(part), tables.unread_results(), size, now, config),
        })
    }

    fn parts(&self, family: Family) -> &Parts {
        self.known().parts(family)
    }

    /// Adds what a deleted file had to the report.
    fn report(&self, family: Family, logs: &BTreeMap<PartitionId, Part>, total: &mut RetentionReport) {
        let tables = self.known();
        for (log, part) in logs {
            let records = part.end.saturating_sub(tables.ends(*log).bounds.first);
            if family == Family::Journal {
                total.input_records += records;
                total.input_bytes += part.bytes;
            } else {
                total.results += records;
                total.results_bytes += part.bytes;
                total.results_dropped += tables.unread_in(part);
            }
        }
    }
}
