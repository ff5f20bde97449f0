//! One write in the making: the requests of a group, staged into one batch.
//!
//! A request is verified first and then applied to the tables in memory and to the batch. A request that fails its
//! verification leaves no change.

use std::collections::HashMap;

use daemon_base::failpoint;

use crate::config::LogConfig;
use crate::embedded::store::{Batch, Store};
use crate::embedded::tables::Tables;
use crate::error::LogError;
use crate::{AppendBatch, Appended, PartitionCommit, PartitionId, SinkPosition};

/// A change that a caller requests.
pub(super) enum Request {
    Append(AppendBatch),
    /// The commits of one call and their time.
    Commit(Vec<PartitionCommit>, u64),
    CommitSource(PartitionCommit, AppendBatch),
    RegisterStream(String),
    RemoveSink(String),
    ResetState(PartitionId),
    SetSink(String, SinkPosition),
}

/// The reply to a request that was written.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Appended(Appended),
    Done,
    /// The number of a stream.
    Stream(u16),
}

/// The tables and the batch of one write.
pub(super) struct Stage<'a> {
    pub store: &'a Store,
    pub tables: &'a mut Tables,
    pub config: &'a LogConfig,
    pub batch: Batch,
    /// The number of this write.
    pub sequence: u64,
    /// The idempotency keys of this write, with checksum and outcome: the store does not return them yet.
    pub fresh_keys: HashMap<String, (u32, Vec<u8>)>,
    /// The kinds of data that this write changes.
    pub touched: Touched,
}

/// The kinds of data that a write changes, which decide its failpoints and signals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touched {
    pub inputs: bool,
    pub retention: bool,
    pub results: bool,
    pub states: bool,
}

impl Stage<'_> {
    /// Verifies a request, then stages it.
    pub(super) fn request(&mut self, request: Request) -> Result<Reply, LogError> {
        match request {
            Request::Append(batch) => self.append(batch).map(Reply::Appended),
            Request::Commit(commits, at) => self.commit(commits, at).map(|()| Reply::Done),
            Request::CommitSource(commit, samples) => self.commit_source(commit, samples).map(|()| Reply::Done),
            Request::RegisterStream(name) => self.register_stream(name).map(Reply::Stream),
            Request::RemoveSink(name) => self.remove_sink(&name).map(|()| Reply::Done),
            Request::ResetState(partition) => self.reset_state(partition).map(|()| Reply::Done),
            Request::SetSink(name, position) => self.set_sink(name, position).map(|()| Reply::Done),
        }
    }
}

impl Touched {
    /// The failpoints between the write and the sync.
    pub(super) fn failpoint(self) {
        if self.inputs {
            failpoint::point("append.mid");
        }
        if self.states {
            failpoint::point("commit.mid");
        }
        if self.retention {
            failpoint::point("retention.mid");
        }
    }
}
