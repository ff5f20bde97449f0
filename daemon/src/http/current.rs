//! The state of the handlers, which a change of the configuration replaces while the server goes on.

use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::FromRef;

use crate::http::Shared;

/// The state for the next request. Each request keeps the one that it began with.
#[derive(Clone)]
pub(crate) struct Current(Arc<RwLock<Arc<Shared>>>);

impl Current {
    /// Begins with this state.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(RwLock::new(shared)))
    }

    /// The state.
    pub(crate) fn load(&self) -> Arc<Shared> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the state.
    pub(crate) fn replace(&self, shared: Arc<Shared>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = shared;
    }
}

impl FromRef<Current> for Arc<Shared> {
    fn from_ref(current: &Current) -> Self {
        current.load()
    }
}
