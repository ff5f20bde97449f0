//! Stages appended input, and the registrations of streams and sinks.

use std::ops::Range;

use crate::embedded::change::Change;
use crate::embedded::keys::StoredKey;
use crate::embedded::stage::Stage;
use crate::error::LogError;
use crate::frame::OpenFrame;
use crate::{AppendBatch, Appended, Idempotency, PartitionCommit, PartitionId, SinkPosition, Written};

/// The longest name of a stream or a sink.
const MAX_NAME_BYTES: usize = 255;

impl Stage<'_> {
    /// Stages an append, unless its idempotency key is already stored. The key of a batch without records is not
    /// stored.
    pub(super) fn append(&mut self, batch: AppendBatch) -> Result<Appended, LogError> {
        let appended_at = batch.appended_at.max(self.tables.last_at);
        if let Some(idempotency) = &batch.idempotency
            && let Some(outcome) = self.tables.keys.outcome(idempotency, appended_at, self.config)?
        {
            return Ok(Appended::Duplicate { outcome });
        }
        self.check_backlog(batch.bytes())?;
        Ok(Appended::Written(self.append_checked(batch, appended_at)))
    }

    /// Stages an append that is within the limits.
    fn append_checked(&mut self, batch: AppendBatch, appended_at: u64) -> Written {
        if let Some(Idempotency { key, body_crc, outcome }) = batch.idempotency.filter(|_| !batch.partitions.is_empty())
        {
            let (key, outcome) = (key.into(), outcome.into());
            self.change(Change::Key(StoredKey { key, body_crc, at: appended_at, outcome }));
            self.tables.keys.drop_excess(self.config);
        }
        self.tables.clamp_time(appended_at);
        let mut offsets = Vec::with_capacity(batch.partitions.len());
        for (partition, records) in batch.partitions {
            offsets.push((partition, self.append_to(partition, records.into_frames(), appended_at)));
        }
        self.touched.inputs |= !offsets.is_empty();
        Written { offsets, appended_at }
    }

    /// Stages the state and results of a source together with its samples.
    pub(super) fn commit_source(&mut self, commit: PartitionCommit, samples: AppendBatch) -> Result<(), LogError> {
        // The checks come first: after an error no part of the call may be staged.
        if samples.idempotency.is_some() {
            return Err(LogError::invalid("the samples of a source have an idempotency key; a commit needs none"));
        }
        self.check_backlog(samples.bytes())?;
        self.commit(vec![commit], samples.appended_at)?;
        let appended_at = samples.appended_at.max(self.tables.last_at);
        self.append_checked(samples, appended_at);
        Ok(())
    }

    /// Fails if the backlog and `bytes` exceed the limit.
    ///
    /// An empty backlog accepts a batch of any size, because a batch larger than the limit could never succeed
    /// otherwise.
    fn check_backlog(&self, bytes: u64) -> Result<(), LogError> {
        let (backlog_bytes, limit_bytes) = (self.tables.backlog_bytes(), self.config.max_backlog_bytes);
        if bytes > 0 && backlog_bytes > 0 && backlog_bytes + bytes > limit_bytes {
            let retry_after = std::time::Duration::from_secs(self.config.full_retry_after_seconds);
            return Err(LogError::Full { backlog_bytes, limit_bytes, retry_after });
        }
        Ok(())
    }

    fn append_to(&mut self, id: PartitionId, frames: Vec<OpenFrame>, at: u64) -> Range<u64> {
        let first = self.tables.ends(id).bounds.next;
        frames.into_iter().for_each(|frame| self.add_frame(id, frame, at));
        first..self.tables.ends(id).bounds.next
    }

    /// Stages the number of a stream, unless the stream has one, and returns the number.
    pub(super) fn register_stream(&mut self, name: String) -> Result<u16, LogError> {
        check_name(&name)?;
        if let Some(number) = self.tables.streams.get(&name) {
            return Ok(*number);
        }
        // Streams are never removed, so their count is the next free number.
        let number = u16::try_from(self.tables.streams.len()).ok().filter(|number| *number < u16::MAX);
        let number = number.ok_or_else(|| LogError::invalid("all 65535 stream numbers are taken"))?;
        self.change(Change::Stream { name, number });
        Ok(number)
    }

    /// Stages the position of a sink.
    pub(super) fn set_sink(&mut self, name: String, position: SinkPosition) -> Result<(), LogError> {
        check_name(&name)?;
        self.change(Change::Sink { name, position: Some(position) });
        Ok(())
    }

    /// Stages the removal of a sink.
    pub(super) fn remove_sink(&mut self, name: &str) -> Result<(), LogError> {
        if self.tables.sinks.contains_key(name) {
            self.change(Change::Sink { name: name.to_owned(), position: None });
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), LogError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        let reason = format!("a stream or sink name has {} bytes, expected 1 to {MAX_NAME_BYTES}", name.len());
        return Err(LogError::invalid(reason));
    }
    Ok(())
}
