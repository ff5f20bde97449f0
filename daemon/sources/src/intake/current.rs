//! The intake of sources that keep running while the configuration changes.

use std::sync::{Arc, PoisonError, RwLock};

use super::Intake;

/// The intake that is in force, which a change of the configuration replaces.
#[derive(Clone, Debug)]
pub struct CurrentIntake(Arc<RwLock<Arc<Intake>>>);

impl CurrentIntake {
    /// Begins with this intake.
    pub fn new(intake: Intake) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(intake))))
    }

    /// The intake for the next batch.
    pub fn load(&self) -> Arc<Intake> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the intake, in all clones.
    pub fn replace(&self, intake: Intake) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(intake);
    }
}
