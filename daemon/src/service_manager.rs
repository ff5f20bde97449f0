//! What systemd is told by [`sd_notify`]: that the daemon listens, its state in words, its progress, its stop.
//!
//! Nothing is sent unless `NOTIFY_SOCKET` is set, as it is for a unit of `Type=notify`. With `WatchdogSec=` the daemon
//! sends a keep-alive only while every worker makes progress: a process whose worker hangs in the disk or in a bug looks
//! alive and gives no results, and a restart is what helps it. A worker that tries again after an error makes progress. So
//! does one on Kafka while brokers are away: each of its requests has a limit, by which the silence begins later
//! ([`Heartbeat::wait_at_most`](daemon_partition::Heartbeat::wait_at_most)). The threads that restore on Kafka count too.
//!
//! [`sd_notify`]: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html

use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_partition::WorkerTelemetry;
use sd_notify::NotifyState;
use tracing::{error, warn};

use crate::engine::ReadyState;

/// How often the state is looked at, if the watchdog does not ask for more.
const INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two looks, whatever the watchdog asks for.
const SHORTEST: Duration = Duration::from_millis(10);

/// The part of the watchdog's time without progress from which on no keep-alive is sent.
const SILENCE_PART: u32 = 2;

/// Whether there is a service manager to tell.
pub(crate) fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Tells it that the daemon stops.
pub(crate) fn stopping() {
    if is_there() {
        send(&[NotifyState::Stopping, NotifyState::Status("Stopping: the last results and states are committed.")]);
    }
}

/// Tells it that the daemon listens, then its state and its progress, until the stop.
pub(crate) fn notify_until_stop(state: &ReadyState, workers: &Arc<WorkerTelemetry>, clock: &dyn Clock, stop: &Stop) {
    send(&[NotifyState::Ready]);
    let watchdog = watchdog();
    let interval = watchdog.map_or(INTERVAL, |watchdog| (watchdog / 4).clamp(SHORTEST, INTERVAL));
    let mut sent = None;
    let mut watch = watchdog.map(|watchdog| Watch::new(watchdog, interval, clock.monotonic()));
    loop {
        let status =
            state.not_ready_reason().map_or_else(|| "Ready.".to_owned(), |reason| format!("Not ready: {reason}"));
        if sent.as_ref() != Some(&status) {
            send(&[NotifyState::Status(&status)]);
            sent = Some(status);
        }
        if let Some(watch) = &mut watch {
            let now = clock.monotonic();
            let silence = workers.heartbeats.longest_silence(now);
            match watch.evaluate(now, silence) {
                Liveness::Progress => send(&[NotifyState::Watchdog]),
                Liveness::HangBegins => {
                    error!(
                        seconds = silence.as_secs_f64(),
                        "A worker makes no progress; the service manager restarts the daemon. Check the disk of \
                         log.data_dir; on Kafka, report it as a bug."
                    );
                    send(&[NotifyState::WatchdogTrigger]);
                }
                Liveness::Hang => {}
            }
        }
        if !stop.rest(interval) {
            return;
        }
    }
}

/// Decides whether a keep-alive is due.
struct Watch {
    watchdog: Duration,
    interval: Duration,
    hangs: bool,
    evaluated_at: Duration,
}

/// Whether the workers make progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Liveness {
    Progress,
    /// A worker hangs since the last evaluation.
    HangBegins,
    Hang,
}

impl Watch {
    fn new(watchdog: Duration, interval: Duration, now: Duration) -> Self {
        Self { watchdog, interval, hangs: false, evaluated_at: now }
    }

    /// Evaluates the longest silence of a worker; called once in each interval.
    fn evaluate(&mut self, now: Duration, silence: Duration) -> Liveness {
        // Where this thread was late itself, the process stood still, such as in a machine that was suspended: the
        // workers have not had the time for a keep-alive either.
        let was_late = now.saturating_sub(std::mem::replace(&mut self.evaluated_at, now)) > 2 * self.interval;
        let hangs = !was_late && silence > self.watchdog / SILENCE_PART;
        match (std::mem::replace(&mut self.hangs, hangs), hangs) {
            (_, false) => Liveness::Progress,
            (false, true) => Liveness::HangBegins,
            (true, true) => Liveness::Hang,
        }
    }
}

/// The time after which the service manager restarts a daemon without a keep-alive. `WATCHDOG_PID`, if it is set, names
/// the process that is meant. (The crate takes a variable that is missing for another process.)
fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_meant =
        std::env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
    number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros)
}

fn send(states: &[NotifyState<'_>]) {
    // The service manager notices by itself that nothing comes; a daemon under its control goes on.
    if let Err(error) = sd_notify::notify(false, states) {
        warn!(%error, "The service manager cannot be notified of the daemon's state.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Evaluates the silences, each a second after the one before.
    fn evaluate(watch: &mut Watch, silences: &[u32]) -> Vec<Liveness> {
        silences.iter().map(|silence| watch.evaluate(watch.evaluated_at + SECOND, *silence * SECOND)).collect()
    }

    #[test]
    fn keep_alives_stop_while_a_worker_hangs_and_come_again_after_that() {
        use Liveness::{Hang, HangBegins, Progress};
        let mut watch = Watch::new(8 * SECOND, SECOND, SECOND);
        let found = evaluate(&mut watch, &[0, 1, 4, 5, 6, 7, 8, 0, 1, 5, 6]);
        let expected =
            [Progress, Progress, Progress, HangBegins, Hang, Hang, Hang, Progress, Progress, HangBegins, Hang];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_process_that_stood_still_gives_its_workers_time_for_a_keep_alive() {
        let mut watch = Watch::new(8 * SECOND, SECOND, SECOND);
        assert_eq!(watch.evaluate(61 * SECOND, 60 * SECOND), Liveness::Progress);
        assert_eq!(evaluate(&mut watch, &[61]), [Liveness::HangBegins], "nothing came since");
        let mut watch = Watch::new(8 * SECOND, SECOND, SECOND);
        assert_eq!(watch.evaluate(3 * SECOND, 5 * SECOND), Liveness::HangBegins, "two intervals are not late");
    }
}
