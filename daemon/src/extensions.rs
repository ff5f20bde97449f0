//! The parts that an embedding program adds to the daemon.

use std::fmt;
use std::sync::Arc;

use daemon_sinks::Sink;
use daemon_sinks::alarms::AlarmSink;
use daemon_sinks::file::FileSink;
use daemon_sinks::influxdb::InfluxSink;
use daemon_sinks::redis::RedisSink;
use daemon_sinks::{otlp, remote_write, results_webhook};
use daemon_sources::Source;
use derived_stats::Registry;

use crate::engine::Engine;
use daemon_view::ViewSink;

/// The names of the daemon's own sinks.
const BUILT_IN_SINKS: [&str; 9] = [
    AlarmSink::ALERTMANAGER,
    FileSink::NAME,
    InfluxSink::NAME,
    otlp::NAME,
    RedisSink::NAME,
    remote_write::NAME,
    results_webhook::NAME,
    ViewSink::NAME,
    AlarmSink::WEBHOOK,
];

/// Algorithms, sources and sinks of an embedding program.
#[derive(Default)]
pub(crate) struct Extensions {
    pub algorithms: Registry,
    pub sources: Vec<Box<dyn Source>>,
    pub sinks: Vec<Box<dyn Sink>>,
}

impl Extensions {
    /// Runs the sinks alone: for commands that bring samples of their own.
    ///
    /// # Errors
    ///
    /// When two sinks have one name, or a thread cannot be started.
    pub(crate) fn start_sinks(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        for sink in self.sinks.drain(..) {
            check_name(sink.name())?;
            engine.add_sink(sink)?;
        }
        Ok(())
    }

    /// Runs everything, and names the algorithms to the engine.
    ///
    /// # Errors
    ///
    /// As [`start_sinks`](Self::start_sinks).
    pub(crate) fn start(mut self, mut engine: Engine) -> anyhow::Result<Engine> {
        engine.algorithms = Arc::new(std::mem::take(&mut self.algorithms));
        self.start_sinks(&mut engine)?;
        self.sources.into_iter().try_for_each(|source| engine.add_own_source(source))?;
        Ok(engine)
    }
}

/// Refuses a name of the daemon's own sinks: where that sink is off, its position is forgotten at each start.
fn check_name(name: &str) -> anyhow::Result<()> {
    anyhow::ensure!(!BUILT_IN_SINKS.contains(&name), "the sink name {name} is the daemon's own; rename the sink");
    Ok(())
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(|source| source.name()).collect();
        let sinks: Vec<_> = self.sinks.iter().map(|sink| sink.name()).collect();
        f.debug_struct("Extensions").field("sources", &sources).field("sinks", &sinks).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_daemons_own_sinks_are_refused() {
        let own =
            ["alertmanager", "file", "influxdb", "otlp", "redis", "remote_write", "results_webhook", "view", "webhook"];
        for name in own {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(check_name("own").is_ok());
    }
}
