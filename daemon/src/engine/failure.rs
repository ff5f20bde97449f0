//! Whether a part of the daemon has failed for good, and why no restart would help.

use anyhow::Context as _;
use daemon_log::LogError;

/// The state of the parts that the daemon needs.
#[derive(Clone, Debug, Default)]
pub(crate) enum Failure {
    /// All work.
    #[default]
    None,
    /// One has failed; a restart may help.
    Failed,
    /// One has failed because of damage that a restart does not mend.
    Damage(LogError),
}

impl Failure {
    /// Whether a part has failed.
    pub(crate) fn has_failed(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Fails with this text if a part has failed; the error has the damage behind it.
    pub(crate) fn check(&self, text: &'static str) -> anyhow::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Failed => Err(anyhow::anyhow!(text)),
            Self::Damage(error) => Err(error.clone()).context(text),
        }
    }

    /// Adds the failure of a part: the first damage stays.
    pub(super) fn add(&mut self, error: Option<&anyhow::Error>) {
        let damage = error.and_then(permanent_damage).cloned();
        match (&*self, damage) {
            (Self::Damage(_), _) => {}
            (_, Some(damage)) => *self = Self::Damage(damage),
            (_, None) => *self = Self::Failed,
        }
    }
}

/// The damage of the log behind an error that no later start can get over.
pub(crate) fn permanent_damage(error: &anyhow::Error) -> Option<&LogError> {
    error.chain().find_map(|cause| cause.downcast_ref::<LogError>()).filter(|error| error.is_permanent())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_stays_whatever_fails_later() {
        let damage = LogError::Damaged { path: "/x".into(), location: "byte 1".into(), reason: "checksum".into() };
        let error = Err::<(), _>(damage).context("open the log").unwrap_err();
        let temporary = anyhow::Error::new(LogError::Locked { path: "/x".into() });
        let mut failure = Failure::default();
        assert!(!failure.has_failed());
        failure.add(Some(&temporary));
        assert!(matches!(failure, Failure::Failed));
        failure.add(Some(&error));
        failure.add(None);
        assert!(matches!(&failure, Failure::Damage(LogError::Damaged { .. })), "{failure:?}");
    }
}
