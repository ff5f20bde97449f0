//! What the log says of topics that can be used: settings that lose samples, polls that take long.

use std::time::Duration;

use tracing::{info, warn};

use super::TopicWatch;
use crate::topics::{Step, Verdict};
use crate::worker::MAX_POLL_AGE;

/// The shortest time between two warnings that a poll of the topics takes long.
const SLOW_WARNING_PAUSE: Duration = Duration::from_secs(600);

impl TopicWatch {
    /// Warns, once in a while, that a poll which began at `began` has taken long: so much later idle windows close.
    pub(super) fn warn_if_slow(&mut self, began: Duration) {
        let now = self.clock.monotonic();
        let took = now.saturating_sub(began);
        let is_shown = self.slow_warned.is_some_and(|at| now.saturating_sub(at) < SLOW_WARNING_PAUSE);
        if took <= MAX_POLL_AGE || is_shown {
            return;
        }
        self.slow_warned = Some(now);
        warn!(
            seconds = took.as_secs_f64(),
            streams = self.settled.len(),
            "A poll of the topics takes long: windows of idle partitions close by that much later, and added \
             partitions are read later. Check the brokers and the way to them, or configure fewer streams."
        );
    }

    /// Logs once what the settings of the input topics will lead to.
    pub(super) fn show_notes(&mut self, inputs: &[Step]) {
        for Step { topic, verdict, notes, .. } in inputs {
            let problem = match verdict {
                // A number of partitions is logged with each change.
                Verdict::Problem(problem) if problem.starts_with("cleanup.policy") => Some((problem.as_str(), true)),
                _ => None,
            };
            let notes = notes.iter().map(|note| (note.text.as_str(), note.is_warning));
            for (text, is_warning) in problem.into_iter().chain(notes) {
                if !self.noted.insert(format!("{topic} {text}")) {
                    continue;
                }
                if is_warning {
                    warn!(topic, "An input topic has settings that lose samples or leave workers idle: {text}");
                } else {
                    info!(topic, "The settings of an input topic: {text}");
                }
            }
        }
    }
}
