//! The signals of the process.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

use crate::http::{Change, Current, Wanted};

/// The stop signals. Once registered, none of them ends the process by itself.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
        })
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Ends the process at the next one.
    pub(super) async fn exit_on_next(mut self) {
        self.next().await;
        warn!("Second signal: ending at once. What is not committed is done again at the next start.");
        std::process::exit(1);
    }
}

/// SIGHUP. Once registered, it does not end the process.
pub(crate) struct Hangups(Signal);

impl Hangups {
    /// # Errors
    ///
    /// When the signal cannot be listened for.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        signal(SignalKind::hangup()).context("listen for SIGHUP").map(Self)
    }

    /// Ignores them, with a message for each: for a program whose configuration is of no file.
    pub(crate) fn ignore(mut self) {
        tokio::spawn(async move {
            while self.0.recv().await.is_some() {
                warn!("SIGHUP is ignored: the configuration of a demo does not change while it runs.");
            }
        });
    }

    /// Asks at each for a change to the configuration that its sources have then.
    pub(super) fn change(mut self, current: Current) {
        tokio::spawn(async move {
            while self.0.recv().await.is_some() {
                let Some(configuration) = current.load().configuration.clone() else { continue };
                if configuration.changes.send(Change { wanted: Wanted::Sources, answer: None }).await.is_err() {
                    return;
                }
            }
        });
    }
}
