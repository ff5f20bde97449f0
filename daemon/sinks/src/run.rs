//! The loop that drives a sink.

use std::sync::Arc;
use std::time::Duration;

use daemon_base::failpoint;
use daemon_base::remedy::remedy;
use daemon_base::stop::Stop;
use daemon_log::{Log, LogError, RecordBatch};
use tracing::{error, warn};

use crate::{Sink, read_before_damage};

/// The size of the batches that a sink reads.
const READ_BYTES: usize = 1024 * 1024;

/// The longest wait of a sink between two polls of the log.
const IDLE_WAIT: Duration = Duration::from_millis(200);

/// The wait before a failed call is repeated.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Runs a sink on the current thread until `stop` is set; see [`Sink`] for the order of the calls.
///
/// The loop reads batches of about 1 MiB from the offset that [`Sink::start`] returned and passes each to
/// [`Sink::deliver`]. At the end of the log it calls [`Sink::idle`] and waits up to 200 ms for new results.
///
/// **Failures.** It logs an error of the log or of the sink, waits a second and repeats the call, without end. If
/// retention has deleted the next record, it logs a warning and continues at the oldest retained record. It does not
/// catch a panic of the sink.
///
/// **Progress.** After each batch and at the end of the log it calls `progress` with the name of the sink, the offset
/// [`Sink::delivered`], and whether the sink has delivered every result of the log. If it has, the offset is the end of
/// the log, which on Kafka is behind the control records of transactions.
///
/// **Stop.** After `stop` is set it delivers the results that are in the log, calls `idle` with `stopping`, and
/// returns. An error after the stop ends it at once; the next start repeats the rest. To end a wait early, the caller
/// sets `stop` and calls [`Log::wake_all`].
///
/// # Errors
///
/// When no later attempt can read the log ([`LogError::is_permanent`]).
pub fn run(sink: impl Sink, log: &Arc<dyn Log>, stop: &Stop, progress: impl Fn(&str, u64, bool)) -> anyhow::Result<()> {
    run_until(sink, log, stop, || false, progress, |_, _| ())
}

/// Runs a sink as [`run()`] does, but after `stop` it may leave a backlog: once `is_cut` returns true, a sink with a
/// position ends after its current batch, and the next one continues at that position. After each failure it calls
/// `problem` with the name of the sink and the reason, and with `None` once the failed call succeeds.
///
/// # Errors
///
/// As [`run()`].
pub fn run_until(
    mut sink: impl Sink,
    log: &Arc<dyn Log>,
    stop: &Stop,
    is_cut: impl Fn() -> bool,
    progress: impl Fn(&str, u64, bool),
    problem: impl Fn(&str, Option<String>),
) -> anyhow::Result<()> {
    let name = sink.name().to_owned();
    let retries = Retries { sink: &name, stop, problem: &problem };
    let Some(mut next) = retries.repeat(|| sink.start(&**log))? else {
        return Ok(());
    };
    // The offset after the last result: at the end of the log `next` may be behind it.
    let (mut taken, mut generation) = (next, 0);
    loop {
        failpoint::point("sink.run");
        // Loaded before the read, so that the read returns all results that were committed before the stop.
        let stopping = stop.is_set();
        if stopping && sink.is_durable() && is_cut() {
            retries.repeat(|| sink.idle(&**log, true))?;
            return Ok(());
        }
        let Some(batch) = retries.repeat(|| read(&sink, &**log, next))? else {
            return Ok(());
        };
        // Also of an empty batch: it may be behind damage, or behind the control records of Kafka.
        next = batch.next_offset();
        if batch.is_empty() {
            if retries.repeat(|| sink.idle(&**log, stopping))?.is_none() {
                return Ok(());
            }
            let delivered = sink.delivered(taken);
            let has_all = delivered == taken;
            progress(sink.name(), if has_all { next } else { delivered }, has_all);
            if stopping {
                return Ok(());
            }
            generation = log.wait_for_results(generation, IDLE_WAIT);
            continue;
        }
        if retries.repeat(|| sink.deliver(&**log, &batch))?.is_none() {
            return Ok(());
        }
        taken = next;
        progress(sink.name(), sink.delivered(next), false);
    }
}

/// Reads the next batch, from the oldest retained record if retention has deleted record `next`.
fn read(sink: &impl Sink, log: &dyn Log, next: u64) -> anyhow::Result<RecordBatch> {
    match log.read_results(next, READ_BYTES) {
        Err(LogError::OffsetOutOfRange { bounds, .. }) => {
            if next > bounds.next {
                warn!(
                    sink = sink.name(),
                    from = next,
                    to = bounds.first,
                    "The results end before the position of this sink: they were deleted, and begin anew. The sink goes on \
                     with the oldest that there are."
                );
            } else {
                warn!(
                    sink = sink.name(),
                    from = next,
                    to = bounds.first,
                    "Results were deleted before this sink read them; raise results_hard_limit_bytes to keep results for \
                     a longer lag."
                );
            }
            Ok(log.read_results(bounds.first, READ_BYTES)?)
        }
        Err(error) if is_damage(&error) && !sink.is_durable() => read_around_damage(sink, log, next),
        batch => Ok(batch?),
    }
}

/// Reads what is in front of damage, then goes on behind it: what a sink without a position misses is missing in its
/// memory only. A sink with a position stops, because nobody would deliver the rest later.
fn read_around_damage(sink: &impl Sink, log: &dyn Log, from: u64) -> anyhow::Result<RecordBatch> {
    let mut damage = None;
    for next in from..=log.results_bounds()?.next {
        match read_before_damage(log, next, READ_BYTES, is_damage) {
            Err(error) if is_damage(&error) => {
                damage.get_or_insert(error);
            }
            batch => {
                if let Some(error) = damage {
                    error!(sink = sink.name(), from, to = next, %error, "Results are damaged; the sink goes on behind them.");
                }
                return Ok(batch?);
            }
        }
    }
    Ok(log.read_results(from, READ_BYTES)?)
}

fn is_damage(error: &LogError) -> bool {
    matches!(error, LogError::CorruptFrame { .. })
}

/// What the repeated calls of a sink share.
struct Retries<'r> {
    sink: &'r str,
    stop: &'r Stop,
    problem: &'r dyn Fn(&str, Option<String>),
}

impl Retries<'_> {
    /// Repeats `attempt` until it succeeds; `None` after a failure with `stop` set.
    ///
    /// # Errors
    ///
    /// When no later attempt can succeed.
    fn repeat<T>(&self, mut attempt: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        let (sink, mut has_failed) = (self.sink, false);
        loop {
            match attempt() {
                Ok(done) => {
                    if has_failed {
                        (self.problem)(sink, None);
                    }
                    return Ok(Some(done));
                }
                Err(error) if is_permanent(&error) => return Err(error),
                Err(error) if self.stop.is_set() => {
                    warn!(sink, error = %format!("{error:#}"), "The sink failed during the stop; the next start tries again.");
                    return Ok(None);
                }
                Err(error) => self.failed(&error),
            }
            has_failed = true;
            self.stop.rest(RETRY_WAIT);
        }
    }

    fn failed(&self, error: &anyhow::Error) {
        let (sink, text) = (self.sink, format!("{error:#}"));
        let reason = match remedy_of(error) {
            Some(remedy) => {
                warn!(sink, error = %text, remedy, "The sink failed; retries fail until the remedy is applied.");
                format!("{text}; {remedy}")
            }
            None => {
                warn!(sink, error = %text, "The sink failed; it tries again in a second.");
                text
            }
        };
        (self.problem)(sink, Some(reason));
    }
}

fn is_permanent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<LogError>().is_some_and(LogError::is_permanent)
}

/// What an operator must change before a sink that failed so can succeed; `None` if a retry may do.
fn remedy_of(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| match (cause.downcast_ref(), cause.downcast_ref::<LogError>()) {
        (Some(error), _) => remedy(error),
        (None, error) => error.and_then(LogError::remedy),
    })
}

#[cfg(test)]
mod tests {
    use daemon_log::{EmbeddedLog, LogConfig, PartitionCommit, PartitionId, PartitionLog as _, RecordBuffer};

    use super::*;

    /// Keeps the offsets of what it gets, and stops at the end.
    struct Seen<'s>(&'s mut Vec<u64>, bool, Stop);

    impl Sink for Seen<'_> {
        fn name(&self) -> &str {
            "seen"
        }

        fn is_durable(&self) -> bool {
            self.1
        }

        fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
            Ok(log.results_bounds()?.first)
        }

        fn deliver(&mut self, _: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
            self.0.extend(batch.records().map(|record| record.offset));
            Ok(())
        }

        fn idle(&mut self, _: &dyn Log, _: bool) -> anyhow::Result<()> {
            self.2.set();
            Ok(())
        }
    }

    #[test]
    fn a_sink_without_a_position_goes_on_behind_damage_and_one_with_a_position_stops() {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap();
        let id = PartitionId::new(0, 0);
        log.restore(id).unwrap();
        for result in 0..5u8 {
            let mut results = RecordBuffer::default();
            results.push(b"", &[result; 100]).unwrap();
            let commit = PartitionCommit { partition: id, cursor: 0, meta: Vec::new(), chunks: Vec::new(), results };
            log.commit(vec![commit], u64::from(result)).unwrap();
        }
        drop(log);
        let file = folder.path().join("store/results-0000000001");
        let mut bytes = std::fs::read(&file).unwrap();
        let third = bytes.windows(9).position(|window| window == [2; 9]).unwrap();
        bytes[third] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap());
        let (mut seen, stop) = (Vec::new(), Stop::default());
        run(Seen(&mut seen, false, stop.clone()), &log, &stop, |_, _, _| ()).unwrap();
        assert_eq!(seen, [0, 1, 3, 4]);
        let (mut seen, stop) = (Vec::new(), Stop::default());
        let error = run(Seen(&mut seen, true, stop.clone()), &log, &stop, |_, _, _| ()).unwrap_err();
        assert!(error.to_string().contains("frame at offset 2"), "{error}");
    }

    #[test]
    fn after_a_stop_that_is_cut_only_a_sink_with_a_position_leaves_a_backlog() {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap();
        let id = PartitionId::new(0, 0);
        log.restore(id).unwrap();
        let mut results = RecordBuffer::default();
        results.push(b"", b"result").unwrap();
        let commit = PartitionCommit { partition: id, cursor: 0, meta: Vec::new(), chunks: Vec::new(), results };
        log.commit(vec![commit], 1).unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let stop = Stop::default();
        stop.set();
        for (is_durable, is_cut, expected) in [(true, true, 0), (true, false, 1), (false, true, 1)] {
            let mut seen = Vec::new();
            let sink = Seen(&mut seen, is_durable, stop.clone());
            run_until(sink, &log, &stop, || is_cut, |_, _, _| (), |_, _| ()).unwrap();
            assert_eq!(seen.len(), expected, "durable {is_durable}, cut {is_cut}");
        }
    }

    /// Cannot start, with errors that it was given, first to last.
    struct Failing(Vec<LogError>);

    impl Sink for Failing {
        fn name(&self) -> &str {
            "failing"
        }

        fn start(&mut self, _: &dyn Log) -> anyhow::Result<u64> {
            Err(self.0.remove(0).into())
        }

        fn deliver(&mut self, _: &dyn Log, _: &RecordBatch) -> anyhow::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_ends_when_no_retry_can_read_the_log_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap());
        let temporary = LogError::Unavailable { reason: "the disk is full".to_owned() };
        let damage =
            LogError::CorruptFrame { location: "results".to_owned(), offset: 7, reason: "checksum".to_owned() };
        let (attempts, stop) = (Failing(vec![temporary, damage]), Stop::default());
        let error = run(attempts, &log, &stop, |_, _, _| ()).unwrap_err();
        assert!(error.to_string().contains("frame at offset 7 of results is damaged"), "{error}");
    }

    /// Fails to deliver once, and stops at the end.
    struct Stumbling(bool, Stop);

    impl Sink for Stumbling {
        fn name(&self) -> &str {
            "stumbling"
        }

        fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
            Ok(log.results_bounds()?.first)
        }

        fn deliver(&mut self, _: &dyn Log, _: &RecordBatch) -> anyhow::Result<()> {
            anyhow::ensure!(std::mem::replace(&mut self.0, true), "the disk is full");
            Ok(())
        }

        fn idle(&mut self, _: &dyn Log, _: bool) -> anyhow::Result<()> {
            self.1.set();
            Ok(())
        }
    }

    #[test]
    fn a_failure_is_the_problem_of_the_sink_until_a_retry_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap();
        let id = PartitionId::new(0, 0);
        log.restore(id).unwrap();
        let mut results = RecordBuffer::default();
        results.push(b"", b"result").unwrap();
        let commit = PartitionCommit { partition: id, cursor: 0, meta: Vec::new(), chunks: Vec::new(), results };
        log.commit(vec![commit], 1).unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let (stop, problems) = (Stop::default(), std::cell::RefCell::new(Vec::new()));
        let problem = |name: &str, reason| problems.borrow_mut().push((name.to_owned(), reason));
        run_until(Stumbling(false, stop.clone()), &log, &stop, || false, |_, _, _| (), problem).unwrap();
        let expected = [Some("the disk is full".to_owned()), None].map(|reason| ("stumbling".to_owned(), reason));
        assert_eq!(*problems.borrow(), expected);
    }
}
