//! The engine on Kafka: the parts of [`daemon_kafka`] on threads.

use std::sync::Arc;

use daemon_base::clock::Clock;
use daemon_kafka::{EngineParts, KafkaSettings, Shared};
use daemon_log::Log;
use daemon_sources::intake::{Intake, PayloadForm};

use super::rejections::TappedRejections;
use super::{Base, Engine, EngineSettings, FailedStart, Lifetime, Readiness};

/// Starts everything. That the cluster cannot be reached is not an error: the daemon waits for it.
pub(super) fn start(settings: &EngineSettings, own: &KafkaSettings, base: Base) -> Result<Engine, Box<FailedStart>> {
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
    let parts = EngineParts::new(&settings.plans, own, settings.threads, &settings.worker, &shared);
    let EngineParts { log, status, workers, helpers } = match parts {
        Ok(parts) => parts,
        Err(error) => return Err(FailedStart::before(error, base)),
    };
    let mut engine = Engine::new(log, status, intake(settings, own), ready, shared.control, base);
    let start_threads = |engine: &mut Engine| {
        engine.start_sinks(settings, &readiness)?;
        for (number, body) in workers.into_iter().enumerate() {
            engine.workers.spawn_for(Lifetime::UntilStop, format!("worker-{number}"), body)?;
        }
        helpers.into_iter().try_for_each(|(name, body)| engine.add_helper(name, body))
    };
    match start_threads(&mut engine) {
        Ok(()) => Ok(engine),
        Err(error) => Err(engine.give_up(error)),
    }
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
        .with_rejections(TappedRejections(settings.worker.taps.clone()))
}
