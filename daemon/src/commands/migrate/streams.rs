//! The streams of a configuration, whose states go to other partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon_base::observation::Observations;
use daemon_partition::{Regroup, StreamPlan};
use proxy_uve::TableSettings;

use crate::config::Loaded;
use crate::settings;

/// The streams of a configuration.
pub(super) struct Streams {
    plans: BTreeMap<String, Arc<StreamPlan>>,
    table: TableSettings,
}

impl Streams {
    pub(super) fn new(loaded: &Loaded) -> Self {
        let observations = Observations::default();
        let stream = |plan| StreamPlan::new(plan, &observations).with_alarms(&loaded.streams.alarms);
        let plans = settings::plans(&loaded.streams).into_iter().map(|plan| {
            let name = plan.stream().to_string();
            (name, Arc::new(stream(plan)))
        });
        Self { plans: plans.collect(), table: settings::table(&loaded.config.aggregation) }
    }

    /// Whether the configuration has a stream.
    pub(super) fn has(&self, stream: &str) -> bool {
        self.plans.contains_key(stream)
    }

    /// The states of a stream, without any yet; `None` if the configuration does not have it.
    pub(super) fn regroup(&self, stream: &str) -> Option<Regroup> {
        Some(Regroup::new(Arc::clone(self.plans.get(stream)?), self.table))
    }
}

/// What was moved.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) objects: usize,
    pub(super) streams: usize,
    /// The states in which windows were closed that were closed in others.
    pub(super) settled: usize,
}

impl Moved {
    /// Counts a stream.
    pub(super) fn add(&mut self, regroup: &Regroup, settled: usize) {
        self.objects += regroup.objects();
        self.streams += 1;
        self.settled += settled;
    }

    /// It, as text.
    pub(super) fn text(&self) -> String {
        let Self { objects, streams, .. } = self;
        format!("the states of {objects} objects of {streams} streams")
    }

    /// What was done to windows, as text; empty if nothing was.
    pub(super) fn settled_text(&self) -> String {
        match self.settled {
            0 => String::new(),
            settled => format!(
                "Partitions differed in event time: {settled} of them closed windows that others had closed; the \
                 results of these are among the results.\n"
            ),
        }
    }
}
