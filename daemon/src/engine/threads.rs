//! Threads that say when they end, so that stopping can wait for them and no longer.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;

/// The threads of the daemon that a stop waits for.
pub(super) struct Threads {
    sender: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
    running: usize,
}

impl Threads {
    pub(super) fn new() -> Self {
        let (sender, ended) = mpsc::channel();
        Self { sender, ended, running: 0 }
    }

    pub(super) fn spawn(&mut self, name: String, body: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
        let ended = EndNotice(self.sender.clone());
        let context = format!("start the thread {name}");
        thread::Builder::new()
            .name(name)
            .spawn(move || {
                let _ended = ended;
                body();
            })
            .context(context)?;
        self.running += 1;
        Ok(())
    }

    /// Waits until all have ended; `false` at the deadline.
    pub(super) fn wait(&mut self, clock: &dyn Clock, deadline: Duration) -> bool {
        while self.running > 0 {
            match self.ended.recv_timeout(deadline.saturating_sub(clock.monotonic())) {
                Ok(()) => self.running -= 1,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }
}

/// Says that its thread ended, also if it panicked.
struct EndNotice(mpsc::Sender<()>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        // Nobody may be waiting.
        let _ = self.0.send(());
    }
}
