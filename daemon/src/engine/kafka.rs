//! The engine on Kafka: the parts of [`daemon_kafka`] on threads.

use std::sync::Arc;

use daemon_base::clock::Clock;
use daemon_kafka::{KafkaSettings, Shared};
use daemon_log::Log;
use daemon_sources::intake::{Intake, PayloadForm};

use super::{Base, Engine, EngineSettings, Lifetime, Readiness};

/// Starts everything. That the cluster cannot be reached is not an error: the daemon waits for it.
pub(super) fn start(settings: &EngineSettings, own: &KafkaSettings, base: Base) -> anyhow::Result<Engine> {
    let telemetry = Arc::clone(&base.telemetry);
    // Every worker and the view must be ready.
    let (readiness, ready) = Readiness::new(settings.threads + 1);
    let of_workers = Arc::clone(&readiness);
    let shared = Shared {
        clock: Arc::clone(&base.clock),
        control: Arc::default(),
        workers: Arc::clone(&telemetry.workers),
        group: Arc::clone(&telemetry.group),
        sinks: Arc::clone(&telemetry.sinks),
        worker_is_ready: Arc::new(move || of_workers.one_more()),
    };
    let parts = daemon_kafka::EngineParts::new(&settings.plans, own, settings.threads, &settings.worker, &shared)?;
    let mut engine = Engine::new(parts.log, parts.status, intake(settings, own), ready, shared.control, base);
    for (number, body) in parts.workers.into_iter().enumerate() {
        engine.workers.spawn_for(Lifetime::UntilStop, format!("worker-{number}"), body)?;
    }
    engine.start_sinks(settings, &readiness)?;
    for (name, body) in parts.helpers {
        engine.add_helper(name, body)?;
    }
    Ok(engine)
}

/// Only what publishes samples: for `replay`, which leaves the work to the group.
///
/// # Errors
///
/// When the cluster cannot be reached.
pub(crate) fn publisher(
    settings: &EngineSettings,
    own: &KafkaSettings,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Arc<dyn Log>, Intake)> {
    Ok((daemon_kafka::publisher(&settings.plans, own, clock)?, intake(settings, own)))
}

/// The streams to which samples are posted: the topics of other programs get none.
fn intake(settings: &EngineSettings, own: &KafkaSettings) -> Intake {
    let numbered = settings.plans.iter().zip(0..).filter(|(plan, _)| !own.is_foreign(&plan.stream().to_string()));
    // Which partition a sample goes to is decided when it is published: the number may change.
    Intake::new(numbered, 1, PayloadForm::Published, settings.worker.table.allowed_skew)
}
