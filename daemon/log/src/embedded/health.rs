//! Whether the store can write, for probes, which must not wait for the write lock.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon_base::clock::{Clock as _, SystemClock};

use crate::Outage;
use crate::error::LogError;

/// The longest time that a write takes on a disk which works.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The state of the store's writes.
pub(super) struct Health {
    clock: SystemClock,
    /// The data directory, that of the store in it, and the lock.
    guarded: [Guarded; 3],
    state: Mutex<State>,
}

/// A directory or a file that must stay what it was when the log was opened.
struct Guarded {
    /// As messages call it.
    name: &'static str,
    path: PathBuf,
    remedy: &'static str,
    /// Device and inode at its opening; `None` if they could not be read.
    opened: Option<(u64, u64)>,
}

#[derive(Default)]
struct State {
    /// The failure since which nothing was written.
    failure: Option<String>,
    writing_since: Option<Duration>,
    /// Whether a write succeeded since [`Health::take_written`] was called last.
    has_written: bool,
}

impl Health {
    /// Call it when all of these exist.
    pub(super) fn new(data: &Path, store: &Path, lock: &Path) -> Self {
        let restore = "restore it, then restart the daemon";
        // Without it another process may open the directory, too.
        let alone = "stop every daemon that has this directory open, then start one";
        let guarded =
            [("data directory", data, restore), ("directory of the store", store, restore), ("lock", lock, alone)];
        let watch = |(name, path, remedy): (_, &Path, _)| Guarded {
            name,
            path: path.to_owned(),
            remedy,
            opened: identity(path).ok(),
        };
        Self { clock: SystemClock::new(), guarded: guarded.map(watch), state: Mutex::default() }
    }

    /// Notes that a write begins.
    pub(super) fn begin_write(&self) {
        self.state().writing_since = Some(self.clock.monotonic());
    }

    /// Whether the last write or reopening failed: only a write shows that the next one works.
    pub(super) fn has_failed(&self) -> bool {
        self.state().failure.is_some()
    }

    /// Notes the outcome of a write, or that the store could not be reopened.
    pub(super) fn ended(&self, failure: Option<String>) {
        let mut state = self.state();
        let has_written = state.has_written || failure.is_none();
        *state = State { failure, writing_since: None, has_written };
    }

    /// Whether a write succeeded since the last call.
    pub(super) fn take_written(&self) -> bool {
        std::mem::take(&mut self.state().has_written)
    }

    /// Checks the disk with `check` and notes a failure. Success ends no failure: that is for a write of the store.
    pub(super) fn check(&self, check: impl FnOnce() -> Result<(), LogError>) -> Result<(), LogError> {
        self.begin_write();
        let checked = check();
        let mut state = self.state();
        state.writing_since = None;
        if let Err(error) = &checked {
            state.failure = Some(error.to_string());
        }
        checked
    }

    /// Returns why nothing must be written: the data directory is gone or is another one, so that it could not be found
    /// again, or the lock is, so that another process may write, too.
    pub(super) fn is_lost(&self) -> Option<String> {
        self.outage().filter(|outage| outage.needs_restart).map(|outage| outage.reason)
    }

    /// Fails if nothing that is written, deleted or read by its path is of this log.
    pub(super) fn check_found(&self) -> Result<(), LogError> {
        self.is_lost().map_or(Ok(()), |reason| Err(LogError::Unavailable { reason }))
    }

    /// Returns why the store cannot write; `None` if it can, as far as is known.
    pub(super) fn outage(&self) -> Option<Outage> {
        if let Some(outage) = self.guarded.iter().find_map(Guarded::outage) {
            return Some(outage);
        }
        let directory = self.guarded[0].path.display();
        let state = self.state();
        let since = state.writing_since.map(|since| self.clock.monotonic().saturating_sub(since));
        if let Some(since) = since.filter(|since| *since > STUCK_AFTER) {
            let reason = format!("a write to {directory} has not ended for {} s; check the disk", since.as_secs());
            return Some(Outage { reason, needs_restart: false });
        }
        state.failure.clone().map(|reason| Outage { reason, needs_restart: false })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guarded {
    /// Why what was opened is not there any more; `None` if it is.
    fn outage(&self) -> Option<Outage> {
        let Self { name, path, remedy, opened } = self;
        let needs_restart = |what: String| Outage { reason: format!("{what}; {remedy}"), needs_restart: true };
        let path = path.display();
        match identity(&self.path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Some(needs_restart(format!("the {name} {path} is gone ({error})")))
            }
            Err(error) => {
                let reason = format!("the {name} {path} cannot be read ({error}); correct its permissions");
                Some(Outage { reason, needs_restart: false })
            }
            Ok(found) if opened.is_some_and(|opened| opened != found) => {
                Some(needs_restart(format!("the {name} {path} was replaced by another one")))
            }
            Ok(_) => None,
        }
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_gone_or_replaced_needs_a_restart() {
        let parent = tempfile::tempdir().unwrap();
        let (data, aside) = (parent.path().join("log"), parent.path().join("aside"));
        let store = data.join("store");
        std::fs::create_dir_all(&store).unwrap();
        let lock = data.join("LOCK");
        std::fs::write(&lock, "").unwrap();
        let health = Health::new(&data, &store, &lock);
        assert_eq!(health.outage(), None);
        for directory in [&data, &store] {
            std::fs::rename(directory, &aside).unwrap();
            let gone = health.outage().unwrap();
            assert!(gone.needs_restart && gone.reason.contains("is gone"), "{gone:?}");
            std::fs::create_dir(directory).unwrap();
            let replaced = health.outage().unwrap();
            assert!(replaced.needs_restart && replaced.reason.contains("was replaced"), "{replaced:?}");
            std::fs::remove_dir(directory).unwrap();
            std::fs::rename(&aside, directory).unwrap();
            assert_eq!(health.outage(), None);
        }
        std::fs::rename(&lock, &aside).unwrap();
        let gone = health.outage().unwrap();
        assert!(gone.needs_restart && gone.reason.contains("stop every daemon"), "{gone:?}");
        std::fs::write(&lock, "").unwrap();
        assert!(health.outage().unwrap().reason.contains("was replaced"), "another daemon may hold the new one");
    }

    #[test]
    fn a_failure_lasts_until_a_write_succeeds() {
        let parent = tempfile::tempdir().unwrap();
        let health = Health::new(parent.path(), parent.path(), parent.path());
        health.begin_write();
        assert_eq!(health.outage(), None, "a write takes a moment");
        health.ended(Some("no space".to_owned()));
        assert_eq!(health.outage(), Some(Outage { reason: "no space".to_owned(), needs_restart: false }));
        health.check(|| Ok(())).unwrap();
        assert!(health.has_failed() && !health.take_written(), "a check is not a write");
        health.begin_write();
        health.ended(None);
        assert_eq!(health.outage(), None);
        assert!(health.take_written() && !health.take_written());
        let full = LogError::Unavailable { reason: "full".to_owned() };
        assert!(health.check(|| Err(full)).is_err() && health.outage().is_some());
    }
}
