//! One write in the making: the requests of a group, staged into one record.
//!
//! A request is verified first and then applied to the tables in memory and to the record. A request that fails its
//! verification leaves no change.

use daemon_base::failpoint;

use crate::config::LogConfig;
use crate::embedded::catalog::Catalog;
use crate::embedded::change::{Change, Entry, FrameAt};
use crate::embedded::journal::{self, RECORD_LEN, Record};
use crate::embedded::segment::{Family, Place};
use crate::embedded::tables::Tables;
use crate::error::LogError;
use crate::frame::OpenFrame;
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

impl Request {
    /// The size of the records and of the changes of state.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Append(batch) => batch.bytes(),
            Self::Commit(commits, _) => commits.iter().map(PartitionCommit::bytes).sum(),
            Self::CommitSource(source, samples) => source.bytes() + samples.bytes(),
            Self::RegisterStream(_) | Self::RemoveSink(_) | Self::ResetState(_) | Self::SetSink(..) => 0,
        }
    }
}

/// The reply to a request that was written.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Appended(Appended),
    Done,
    /// The number of a stream.
    Stream(u16),
}

/// The tables and the record of one write.
pub(super) struct Stage<'a> {
    pub tables: &'a mut Tables,
    pub catalog: &'a Catalog,
    pub config: &'a LogConfig,
    pub record: Record,
    /// The number of this write.
    pub sequence: u64,
    /// The number and the end of the open file of each family.
    pub ends: [(u32, u64); 3],
    /// The kinds of data that this write changes.
    pub touched: Touched,
}

/// The kinds of data that a write changes, which decide its failpoints and signals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touched {
    pub inputs: bool,
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

    /// Adds a change to the record and to the tables.
    pub(super) fn change(&mut self, change: Change) {
        self.record.change(&change);
        self.tables.apply(change);
    }

    /// Names the open files of results and state that no write has named yet.
    pub(super) fn name_open_files(&mut self) {
        for family in [Family::Results, Family::State] {
            let (segment, end) = self.ends[family as usize];
            if !self.tables.file_ends.contains_key(&(family, segment)) {
                self.change(Change::File { family, segment, end });
            }
        }
    }

    /// Adds bytes of a family to the record; returns their place.
    pub(super) fn add(&mut self, family: Family, bytes: Vec<u8>) -> Place {
        let ((segment, end), len) = (self.ends[family as usize], bytes.len());
        let start = if family == Family::Journal { end + RECORD_LEN } else { end };
        journal::place(segment, start, self.record.add(family, bytes), len)
    }

    /// Appends a frame to a log.
    pub(super) fn add_frame(&mut self, log: PartitionId, frame: OpenFrame, at: u64) {
        let ends = self.tables.ends(log);
        let (base, bytes_before, count) = (ends.bounds.next, ends.bytes_next, frame.count());
        let place = self.add(Family::of(log), frame.seal(log, base, at, bytes_before));
        let entry = Entry { base, bytes_before, place };
        self.change(Change::Frame(FrameAt { log, entry, count, written_at: at }));
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
    }
}
