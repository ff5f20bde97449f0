//! The parts that an embedding program adds to the daemon.

use std::fmt;
use std::sync::Arc;

use daemon_sinks::Sink;
use daemon_sinks::file::FileSink;
use daemon_sinks::influxdb::InfluxSink;
use daemon_sinks::redis::RedisSink;
use daemon_sources::Source;
use derived_stats::Registry;

use crate::engine::Engine;
use crate::view::ViewSink;

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
            let name = sink.name();
            // Where the daemon's own sink of the name is off, its position is forgotten at each start.
            let reserved = [FileSink::NAME, InfluxSink::NAME, RedisSink::NAME, ViewSink::NAME];
            anyhow::ensure!(!reserved.contains(&name), "the sink name {name} is the daemon's own; rename the sink");
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

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(|source| source.name()).collect();
        let sinks: Vec<_> = self.sinks.iter().map(|sink| sink.name()).collect();
        f.debug_struct("Extensions").field("sources", &sources).field("sinks", &sinks).finish()
    }
}
