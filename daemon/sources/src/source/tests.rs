//! Sources on a real log.

use std::sync::Arc;
use std::thread;

use daemon_base::clock::SystemClock;
use daemon_log::{EmbeddedLog, LogConfig, PartitionId, PartitionLog as _};
use derived_stats::ValueType;
use proxy_uve::StreamName;
use tempfile::TempDir;

use super::*;
use crate::intake::PayloadForm;
use crate::intake::tests::intake_of;

struct Rig {
    log: Arc<EmbeddedLog>,
    intake: CurrentIntake,
    observations: Observations,
    clock: SystemClock,
    telemetry: SourceTelemetry,
    stop: Stop,
    _folder: TempDir,
}

impl Rig {
    fn new(config: LogConfig) -> Self {
        let folder = TempDir::new().unwrap();
        let log = Arc::new(EmbeddedLog::open(folder.path(), config).unwrap());
        let stream = StreamName::new("Host", "load").unwrap();
        let id = log.stream_id("Host-load").unwrap();
        let intake = CurrentIntake::new(intake_of(&[(stream, id)], ValueType::F64, PayloadForm::Stored));
        Self {
            log,
            intake,
            observations: Observations::default(),
            clock: SystemClock::new(),
            telemetry: SourceTelemetry::default(),
            stop: Stop::default(),
            _folder: folder,
        }
    }

    fn context(&self) -> SourceContext<'_> {
        SourceContext::new(
            "moody",
            &self.telemetry,
            &*self.log,
            &self.intake,
            &self.observations,
            &self.clock,
            &self.stop,
        )
    }

    fn records(&self) -> u64 {
        self.log.bounds(PartitionId::new(0, 0)).unwrap().next
    }
}

fn sample(value: Number) -> Sample<'static> {
    Sample { stream: "Host-load", key: "ObjectHost:here", timestamp: 1_488_000_000_000_000, value, source: None }
}

#[test]
fn what_is_wrong_is_named_by_its_index_and_the_rest_is_durable() {
    let rig = Rig::new(LogConfig::default());
    let samples = [
        sample(Number::F64(f64::NAN)),
        sample(Number::I64(7)),
        Sample { stream: "Host-lode", ..sample(Number::U64(1)) },
        Sample { key: "here", ..sample(Number::U64(1)) },
        Sample { source: Some("cpu0"), ..sample(Number::F64(0.5)) },
    ];
    let outcome = rig.context().append(&samples).unwrap();
    let rejected: Vec<_> = outcome.rejected.iter().map(|(index, error)| format!("{index}: {error}")).collect();
    assert_eq!(rejected.len(), 3, "{rejected:?}");
    let parts = ["0: the value NaN is not a finite number", "2: no stream `Host-lode` is configured", "3: "];
    for (rejected, part) in rejected.iter().zip(parts) {
        assert!(rejected.starts_with(part), "{rejected}");
    }
    assert_eq!((outcome.accepted, rig.records()), (2, 2));
    assert_eq!(rig.telemetry.counts("moody"), [2, 3, 0]);
    assert_eq!(rig.context().append(&[]).unwrap().accepted, 0);
}

#[test]
fn a_full_log_holds_a_source_up_until_the_stop_and_writes_nothing_then() {
    let rig = Rig::new(LogConfig { max_backlog_bytes: 1, ..LogConfig::default() });
    rig.context().append(&[sample(Number::U64(1))]).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.context().append(&[sample(Number::U64(2))]));
        thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        rig.stop.set();
        assert!(matches!(waiting.join().unwrap(), Err(LogError::Full { .. })));
    });
    assert_eq!(rig.records(), 1);
}

/// Fails until its third run.
struct Moody(u32);

impl Source for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn run(&mut self, context: &SourceContext<'_>) -> anyhow::Result<()> {
        self.0 += 1;
        anyhow::ensure!(self.0 > 2, "not yet");
        context.append(&[sample(Number::U64(1))])?;
        Ok(())
    }
}

#[test]
fn a_source_that_failed_runs_again_and_a_stop_ends_its_pause() {
    let rig = Rig::new(LogConfig::default());
    let mut source = Moody(0);
    run(&mut source, &rig.context());
    assert_eq!((source.0, rig.records()), (3, 1));
    assert_eq!(rig.telemetry.counts("moody"), [1, 0, 2]);
    rig.stop.set();
    let mut stopped = Moody(0);
    run(&mut stopped, &rig.context());
    assert_eq!(stopped.0, 1, "no pause after a stop");
}

#[test]
fn what_a_source_does_not_state_as_observed_is_a_gap() {
    let rig = Rig::new(LogConfig::default());
    let now = rig.context().now();
    let observer = rig.context().observer(&["Host-load"]);
    observer.observed(now + 5_000_000, now + 6_000_000);
    let observed = rig.observations.stream("Host-load").get().unwrap();
    assert_eq!((observed.until, observed.gaps.len()), (now + 6_000_000, 1));
    assert_eq!(observed.gaps[0].1, now + 5_000_000 - 1);
}
