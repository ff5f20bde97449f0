//! The mapping of labelled series to samples of objects, one for all inputs that have labels.
//!
//! A stream takes the series of a metric that fulfil its conditions. Some labels make the key of the object; the others
//! are summed over. For counters, and where a type of the stream keeps sources, they are the source of the sample. The table
//! differences each series of a counter before it sums over them, with the resets, baselines and expiry of all counters.
//!
//! | series | what becomes of it |
//! |---|---|
//! | no stream takes it | left out; that is what a configuration of few streams means |
//! | the marker of its end | nothing; until the source expires, the next reading is compared with the one before |
//! | NaN or infinite | left out: exporters send NaN for a quantile without observations |
//! | a counter that began at most [`RECENT_START_MS`] before | a reading 0 at that time, from which a new counter counts |
//! | a counter that began after the last process that sent it | likewise, however old it is; see [`processes`] |
//! | a counter whose start is the time of the reading | a reading, a baseline if it is the first: its start is not known |
//! | deltas in a stream of counters, or a sum that falls too; cumulative sums in a stream of deltas | rejected |
//! | any sample of a replica that is not elected | left out; see [`election`] |
//! | a counter of another replica than before, hardly newer | left out; see [`takeover`] |
//! | a counter that two processes send at the same time | rejected of one of them; see [`processes`] |
//! | a native histogram `h` | samples of `h_count` and `h_sum` |

mod config;
mod election;
mod explain;
mod part;
mod problems;
mod processes;
mod rule;
mod takeover;
mod tally;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_formats::Series;

pub use self::config::{Kind, StreamConfig, TopicFormat, TypeName};
pub use self::election::{Elections, Open};
pub use self::explain::Mapped;
pub use self::problems::RuleProblem;
pub use self::processes::Processes;
pub use self::rule::Rule;
pub use self::tally::Tally;
pub use self::writer::{Unfinished, Writer};
use crate::intake::Intake;

/// The label that senders of one pair have in common.
const CLUSTER: &str = "cluster";

/// How long before a reading its counter may have begun to count in full, where that is the first one: as SDKs that export once
/// a minute, with some delay. An older counter that is new here has an increase that is of no window.
const RECENT_START_MS: i64 = 300_000;

/// All streams of series.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    rules: Vec<(u16, Rule)>,
    /// The rules for one metric, by its name.
    exact: HashMap<String, Vec<usize>>,
    globs: Vec<usize>,
    /// How long before a reading its counter may have begun to count in full, in milliseconds.
    recent_start: i64,
    elections: Arc<Elections>,
    processes: Arc<Processes>,
}

impl Mapping {
    /// The mapping of `rules` to the streams of `intake`. The start of a counter that is new counts if it is not older than
    /// five minutes, or than the samples that a window still takes. `elections` and `processes` outlive a change of the
    /// streams.
    pub fn new(
        rules: &[Rule],
        intake: &Intake,
        allowed_lateness: Duration,
        elections: Arc<Elections>,
        processes: Arc<Processes>,
    ) -> Self {
        let known =
            rules.iter().filter_map(|rule| Some((intake.stream(&rule.stream().to_string()).ok()?, rule.clone())));
        let mut mapping = Self {
            rules: known.collect(),
            recent_start: i64::try_from(allowed_lateness.as_millis()).unwrap_or(i64::MAX).max(RECENT_START_MS),
            elections,
            processes,
            ..Self::default()
        };
        for (index, (_, rule)) in mapping.rules.iter().enumerate() {
            match rule.exact_metric() {
                Some(metric) => mapping.exact.entry(metric.to_owned()).or_default().push(index),
                None => mapping.globs.push(index),
            }
        }
        mapping
    }

    /// The elected replicas.
    pub fn elections(&self) -> &Elections {
        &self.elections
    }

    fn taking<'r>(&'r self, metric: &'r str, series: &'r Series<'_>) -> impl Iterator<Item = &'r (u16, Rule)> {
        let exact = self.exact.get(metric).into_iter().flatten();
        let candidates = exact.chain(&self.globs).filter_map(|index| self.rules.get(*index));
        candidates.filter(move |(_, rule)| rule.takes(metric, series.labels))
    }
}

#[cfg(test)]
mod tests;
