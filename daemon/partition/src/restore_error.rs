//! Why the state of a partition cannot be restored.

use daemon_alarms::StateError;
use proxy_uve::SnapshotError;

/// The reason why the state of a partition cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The state of the alarms cannot be used.
    #[error(transparent)]
    Alarms(#[from] StateError),
    /// The state of the table cannot be used.
    #[error(transparent)]
    Table(#[from] SnapshotError),
}

impl RestoreError {
    /// Whether a newer version of the program wrote the state, so that it must not be overwritten.
    pub fn is_from_newer_program(&self) -> bool {
        match self {
            Self::Alarms(error) => matches!(error, StateError::Newer { .. }),
            Self::Table(error) => error.is_from_newer_program(),
        }
    }
}
