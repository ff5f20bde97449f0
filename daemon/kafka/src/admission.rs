//! Whether the workers of this process may be members of the group.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use daemon_base::stop::Stop;
use prometheus_client::metrics::gauge::Gauge;

/// The thread that polls the topics opens it. A worker joins the group once it is open. When it is closed, which is for
/// good, the workers commit and leave the group.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    is_open: AtomicBool,
    /// Why the workers wait, or have left the group.
    waiting: Mutex<Option<String>>,
    /// Whether they do, as a metric.
    is_waiting: Gauge,
    is_closed: AtomicBool,
    /// Why this process has to end.
    failure: Mutex<Option<String>>,
}

impl Admission {
    /// A closed one, whose state is shown by `is_waiting`.
    pub(crate) fn new(is_waiting: Gauge) -> Self {
        Self { is_waiting, ..Self::default() }
    }

    /// Opens it; `stop` is what the workers wait with.
    pub(crate) fn open(&self, stop: &Stop) {
        self.is_open.store(true, Ordering::Release);
        stop.wake();
    }

    /// Waits until it is open; `false` if `stop` is set before.
    pub(crate) fn wait(&self, stop: &Stop) -> bool {
        stop.wait_for(Duration::MAX, || self.is_open.load(Ordering::Acquire).then_some(())).is_some()
    }

    /// Closes it for good: the workers leave the group.
    pub(crate) fn close(&self, reason: String) {
        self.set_waiting(Some(reason));
        self.is_closed.store(true, Ordering::Release);
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Sets why the workers wait.
    pub(crate) fn set_waiting(&self, reason: Option<String>) {
        self.is_waiting.set(i64::from(reason.is_some()));
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Why the workers wait, or have left the group.
    pub(crate) fn waiting(&self) -> Option<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes this process end with an error; the first reason counts.
    pub(crate) fn fail(&self, reason: impl FnOnce() -> String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(reason);
    }

    /// Why this process has to end, if it has to.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
