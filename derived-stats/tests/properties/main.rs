//! Properties of all sequences of samples, periods and restarts, for every algorithm, type and kind of metric.
//!
//! The algorithms are those of the menu and two registered ones ([`registered`]). The tests enumerate the entries
//! ([`shapes`]), so a new entry of the menu is tested without a change here.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod chains;
mod claims;
mod columns;
mod defaults;
mod docs;
mod input;
mod invalid_states;
mod limits;
mod map_columns;
mod maps;
mod means;
mod registered;
mod restarts;
mod robustness;
mod shapes;
mod versions;
mod windows;
