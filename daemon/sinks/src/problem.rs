//! Why a sink does not deliver at present, for the status of the daemon.

use std::sync::{Arc, Mutex, PoisonError};

/// The reason of one sink; none while it delivers. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problem(Arc<Mutex<Option<String>>>);

impl Problem {
    pub(crate) fn set(&self, reason: impl Into<Option<String>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason.into();
    }

    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
