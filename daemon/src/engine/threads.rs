//! The threads of the engine: a stop waits for their end and no longer, and an unexpected end fails the engine.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use tokio::sync::watch;
use tracing::error;

use super::failure::Failure;

/// How often a wait looks at a deadline that may have come nearer.
const DEADLINE_CHECK: Duration = Duration::from_millis(100);

/// Threads that end when one flag is set.
pub(super) struct Threads {
    stop: Stop,
    failure: Arc<watch::Sender<Failure>>,
    sender: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
    running: usize,
}

/// Whether a thread may end before the stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lifetime {
    /// It may: a source that has brought all its samples.
    Own,
    /// It may not: the daemon does not work without it.
    UntilStop,
}

impl Threads {
    /// No threads yet. Those that are added end when `stop` is set; `failure` gets an end of another kind.
    pub(super) fn new(stop: Stop, failure: Arc<watch::Sender<Failure>>) -> Self {
        let (sender, ended) = mpsc::channel();
        Self { stop, failure, sender, ended, running: 0 }
    }

    /// Starts a thread, whose error fails the engine.
    pub(super) fn spawn_for(
        &mut self,
        lifetime: Lifetime,
        name: String,
        body: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let context = format!("start the thread {name}");
        let end = End {
            name: name.clone(),
            lifetime,
            stop: self.stop.clone(),
            failure: Arc::clone(&self.failure),
            ended: self.sender.clone(),
            error: None,
        };
        let body = move || {
            // Moved in, so that it is dropped with this thread, also when the body panics.
            let mut end = end;
            end.error = body().err();
        };
        thread::Builder::new().name(name).spawn(body).context(context)?;
        self.running += 1;
        Ok(())
    }

    /// Waits until all have ended; `false` at the deadline.
    pub(super) fn wait(&mut self, clock: &dyn Clock, deadline: Duration) -> bool {
        self.wait_until(clock, || deadline)
    }

    /// The same with a deadline that may come nearer meanwhile.
    pub(super) fn wait_until(&mut self, clock: &dyn Clock, deadline: impl Fn() -> Duration) -> bool {
        while self.running > 0 {
            let left = deadline().saturating_sub(clock.monotonic());
            match self.ended.recv_timeout(left.min(DEADLINE_CHECK)) {
                Ok(()) => self.running -= 1,
                Err(RecvTimeoutError::Timeout) if left > DEADLINE_CHECK => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }
}

/// The end of a thread, dropped when its body has returned or panicked.
struct End {
    name: String,
    lifetime: Lifetime,
    stop: Stop,
    failure: Arc<watch::Sender<Failure>>,
    ended: mpsc::Sender<()>,
    /// The error that the body returned.
    error: Option<anyhow::Error>,
}

impl Drop for End {
    fn drop(&mut self) {
        let thread = &self.name;
        let failed = if thread::panicking() {
            error!(%thread, "A thread panicked: this is a fault of the program. The daemon stops; restart it.");
            true
        } else if let Some(error) = &self.error {
            error!(%thread, error = %format!("{error:#}"), "A thread failed.");
            true
        } else if self.lifetime == Lifetime::UntilStop && !self.stop.is_set() {
            error!(%thread, "A thread ended that must not. The daemon stops; restart it.");
            true
        } else {
            false
        };
        if failed {
            self.failure.send_modify(|failure| failure.add(self.error.as_ref()));
        }
        // The receiver may have given up at its deadline.
        let _ = self.ended.send(());
    }
}

#[cfg(test)]
mod tests {
    use daemon_base::clock::SystemClock;

    use super::*;

    /// Whether a thread with this body and lifetime fails the engine, when `stop` is set before it ends.
    fn fails(lifetime: Lifetime, stops: bool, body: fn() -> anyhow::Result<()>) -> bool {
        let (stop, (failure, failed)) = (Stop::default(), watch::channel(Failure::None));
        let mut threads = Threads::new(stop.clone(), Arc::new(failure));
        if stops {
            stop.set();
        }
        threads.spawn_for(lifetime, "thread".to_owned(), body).unwrap();
        assert!(threads.wait(&SystemClock::new(), Duration::from_secs(60)));
        failed.borrow().has_failed()
    }

    #[test]
    fn a_deadline_that_comes_nearer_ends_the_wait() {
        let (stop, clock) = (Stop::default(), SystemClock::new());
        let mut threads = Threads::new(stop.clone(), Arc::new(watch::channel(Failure::None).0));
        let until_stop = stop.clone();
        let body = move || {
            while until_stop.rest(Duration::from_secs(60)) {}
            Ok(())
        };
        threads.spawn_for(Lifetime::UntilStop, "thread".to_owned(), body).unwrap();
        // Far away at first, and passed when it is looked at again.
        let looks = std::cell::Cell::new(0);
        let deadline = || {
            looks.set(looks.get() + 1);
            if looks.get() == 1 { Duration::MAX } else { Duration::ZERO }
        };
        assert!(!threads.wait_until(&clock, deadline));
        assert_eq!(looks.get(), 2);
        stop.set();
        assert!(threads.wait(&clock, Duration::MAX));
    }

    #[test]
    fn a_panic_always_fails_the_engine_and_an_end_before_the_stop_where_it_must_not() {
        let panics: fn() -> anyhow::Result<()> = || panic!("on purpose");
        let ends: fn() -> anyhow::Result<()> = || Ok(());
        let errs: fn() -> anyhow::Result<()> = || anyhow::bail!("on purpose");
        let cases = [
            (Lifetime::UntilStop, false, panics, true),
            (Lifetime::UntilStop, true, panics, true),
            (Lifetime::Own, false, panics, true),
            (Lifetime::UntilStop, false, ends, true),
            (Lifetime::UntilStop, true, ends, false),
            (Lifetime::Own, false, ends, false),
            (Lifetime::Own, false, errs, true),
            (Lifetime::UntilStop, true, errs, true),
        ];
        for (lifetime, stops, body, expected) in cases {
            assert_eq!(fails(lifetime, stops, body), expected, "{lifetime:?}, stop set: {stops}");
        }
    }
}
