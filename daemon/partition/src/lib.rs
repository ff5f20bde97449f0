//! One partition as every engine runs it: records and time in, commits out.
//!
//! The engine on the embedded log and the engine on Kafka differ in where records come from and how a commit is
//! written. This crate contains the part between, which both share, without I/O and without a clock:
//!
//! * [`PartitionTable`]: the table of one partition with its cursors. It decides when windows close by the clock and
//!   when a commit is due ([`Due`]), and makes the commit ([`TableCommit`]);
//! * [`Regroup`]: the states of a stream in other partitions;
//! * [`DropLog`]: the messages about records that were not aggregated;
//! * [`StreamPlan`], [`WorkerSettings`], [`Control`]: the settings of a worker, and the flags that stop it;
//! * [`PartitionStatus`], [`StatusSource`]: the response of `GET /api/v1/partitions`, on either log;
//! * [`RestoreError`]: why a saved state cannot be used;
//! * [`RestoredStates`]: the states that a restore kept, dropped and started anew;
//! * [`Taps`]: the records with their outcomes, for a reader that looks on;
//! * [`Written`]: what the results have of a partition whose state was lost;
//! * [`WorkerTelemetry`]: the counters of the workers.

#![deny(missing_docs)]

mod commit;
mod control;
mod drops;
mod heartbeat;
mod restore_error;
mod restored;
mod settings;
mod status;
mod table;
mod tap;
mod telemetry;
mod written;

pub use self::commit::{Due, TableCommit};
pub use self::control::Control;
pub use self::drops::DropLog;
pub use self::heartbeat::{Heartbeat, Heartbeats};
pub use self::restore_error::RestoreError;
pub use self::restored::RestoredStates;
pub use self::settings::{StreamPlan, WorkerSettings};
pub use self::status::{MemberStatus, PartitionStatus, StatusSource, TableStatus};
pub use self::table::{MAX_PENDING_BYTES, PartitionTable, Regroup, RegroupError};
pub use self::tap::{RejectedSample, Tap, Tapped, TappedRecord, Taps};
pub use self::telemetry::WorkerTelemetry;
pub use self::written::{Written, WrittenReader};

/// The most objects of a closing window that a worker closes in one iteration before it reads its input again, in
/// addition to those that each record closes: some tens of milliseconds.
pub const CLOSED_PER_ITERATION: usize = 32 * 1024;
