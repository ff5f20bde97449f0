//! The parts that every crate of the daemon uses: time, stopping, retries, failpoints, HTTP clients and servers, types of
//! settings.
//!
//! | module | content |
//! |---|---|
//! | [`disk_use`] | how much of a disk files take |
//! | [`request_queue`] | concurrent requests, of which one caller processes all |
//! | [`observation`] | what sources have observed, for which time |
//! | [`sink_offsets`] | how far each sink has delivered |
//! | [`signal`] | a counter on which threads wait |
//! | [`clock`] | the only reader of the wall clock and the monotonic clock |
//! | [`stop`] | the stop flag and the waits that it ends |
//! | [`backoff`] | pauses between retries |
//! | [`remedy`](mod@remedy) | errors of files that no retry mends |
//! | [`servers`] | failover among equal servers |
//! | [`outbound`] | HTTP clients and their credentials |
//! | [`repeats`] | the rate limit of repeated messages |
//! | [`listener`] | HTTP servers with bounded connections and timeouts |
//! | [`regular_file`] | regular files, opened without waiting |
//! | [`one_line`](mod@one_line) | texts of others in messages of one line |
//! | [`open_files`] | the limit of open files |
//! | [`core_dumps`] | the limit of core dumps |
//! | [`setting`] | types of values that sections of the configuration share: durations, lists, addresses, secrets |
//! | [`failpoint`] | named points at which a test kills or freezes the process, or panics |
//! | [`fnv`] | a digest that is the same on every machine |
//! | [`splitmix`] | pseudo-random numbers that are the same on every machine |
//!
//! # Crate features
//!
//! * `fault-points`: the failpoints are live. Never in a release build.
//! * `test-util`: [`clock::ManualClock`].

#![deny(missing_docs)]

pub mod backoff;
pub mod certificate;
pub mod clock;
pub mod core_dumps;
pub mod disk_use;
pub mod failpoint;
pub mod fnv;
pub mod listener;
pub mod observation;
pub mod one_line;
pub mod open_files;
pub mod outbound;
pub mod regular_file;
pub mod remedy;
pub mod repeats;
pub mod request_queue;
pub mod servers;
pub mod setting;
pub mod signal;
pub mod sink_offsets;
pub mod splitmix;
pub mod stop;
