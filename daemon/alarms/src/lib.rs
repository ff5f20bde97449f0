//! Alarm rules, and the evaluator that turns the results of a table into alarms. Pure: no clock, no I/O, no threads.
//!
//! ```text
//! [[alarms]], a file of Contrail ──► Rule ──► Rules ──► Alarms (one for each table)
//!                                                          ▲        │
//!                       results at the close of a window ──┘        ├──► rows `UVEAlarms`
//!                                                                   └──► state in the commit of the partition
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`config`] | the table `[[alarms]]` of the configuration |
//! | [`rule`] | a rule: condition, periods, clear condition, severity |
//! | [`text`] | the short form: `alarm "NAME" when …` |
//! | [`contrail`] | the alarm objects of Contrail, in JSON |
//! | [`check`] | the checks of rules against the configured proxy types |
//! | [`evaluate`] | the alarms of one table: results in, rows and state out |
//! | [`row`] | the row `UVEAlarms` of the results log, its encoder and its decoder |
//!
//! # The life of an alarm
//!
//! A rule is evaluated for each object at each window close of its proxy type. An alarm of an object is
//!
//! * *inactive* while the condition is false,
//! * *pending* from the first period in which it is true,
//! * *firing* once it was true in `for` consecutive periods,
//! * *resolved* once the clear condition was true in so many consecutive periods, or the object has expired.
//!
//! A period whose window is partial, or in which an operand has no value, changes nothing. All times are those of
//! windows, so that the same input gives the same alarms at any speed.

#![deny(missing_docs)]

pub mod check;
mod compile;
pub mod config;
pub mod contrail;
pub mod escape;
pub mod evaluate;
mod glob;
mod life;
mod operand;
pub mod row;
pub mod rule;
mod saved;
pub mod text;

pub use self::evaluate::{AlarmCounts, Alarms, StateError, is_alarm_chunk, retain};
pub use self::rule::{Rule, Rules, Severity};
