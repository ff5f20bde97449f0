//! One partition as every engine runs it: records and time in, commits out.
//!
//! The engine on the embedded log and the engine on Kafka differ in where records come from and how a commit is
//! written. What happens in between is here, once, without I/O and without a clock:
//!
//! * [`PartitionTable`]: the table of one partition with its cursors, and the rules of when windows close by the clock,
//!   when a commit is due, and what it holds;
//! * [`StreamPlan`], [`WorkerSettings`], [`Control`]: what a worker is made with and how it is stopped;
//! * [`PartitionStatus`], [`StatusSource`]: what `GET /api/v1/partitions` answers, on either log;
//! * [`RestoredStates`]: what a restore kept, dropped and started anew;
//! * [`WorkerTelemetry`]: the counters of the workers.

mod control;
mod restored;
mod settings;
mod status;
mod table;
mod telemetry;

pub use self::control::Control;
pub use self::restored::RestoredStates;
pub use self::settings::{StreamPlan, WorkerSettings};
pub use self::status::{PartitionStatus, StatusSource, TableStatus};
pub use self::table::{Due, PartitionTable, TableCommit};
pub use self::telemetry::WorkerTelemetry;

/// How many objects of a closing window a worker closes before it reads its input again, besides those that each
/// record closes: some tens of milliseconds.
pub const CLOSED_PER_TURN: usize = 32 * 1024;
