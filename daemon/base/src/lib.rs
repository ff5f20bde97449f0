//! What every part of the daemon uses: time, stopping, retries, failpoints, HTTP clients, and kinds of settings.
//!
//! | module | what it holds |
//! |---|---|
//! | [`clock`] | the only reader of the wall clock and the monotonic clock |
//! | [`stop`] | waiting that a stop ends |
//! | [`backoff`] | pauses between retries |
//! | [`servers`] | which of several equal servers a client sends its request to |
//! | [`outbound`] | HTTP clients and their credentials |
//! | [`setting`] | the kinds of values that sections of the configuration share: durations, lists, addresses, secrets |
//! | [`failpoint`] | named points at which a test kills or freezes the process |
//! | [`splitmix`] | numbers that look random and are the same on every machine |
//!
//! # Crate features
//!
//! * `fault-points`: the failpoints are live. Never in a release build.
//! * `test-util`: [`clock::ManualClock`].

#![deny(missing_docs)]

pub mod backoff;
pub mod clock;
pub mod failpoint;
pub mod outbound;
pub mod servers;
pub mod setting;
pub mod splitmix;
pub mod stop;
