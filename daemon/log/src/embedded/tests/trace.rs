//! Records the operations on the files of a store.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

/// One operation on the files of a store.
#[derive(Clone, Debug)]
pub(in crate::embedded) enum Op {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Sync(PathBuf),
    /// The sync failed: the system may take what was written before for written, although it is not on the disk.
    FailedSync(PathBuf),
    SyncDirectory,
    Cut(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

thread_local! {
    static FAIL_SYNC: Cell<bool> = const { Cell::new(false) };
    static RECORDED: RefCell<Option<Vec<Op>>> = const { RefCell::new(None) };
}

pub(in crate::embedded) fn push(op: impl FnOnce() -> Op) {
    RECORDED.with_borrow_mut(|recorded| {
        if let Some(recorded) = recorded {
            recorded.push(op());
        }
    });
}

/// Records the operations of this thread that `run` causes.
pub(in crate::embedded) fn record<T>(run: impl FnOnce() -> T) -> (T, Vec<Op>) {
    RECORDED.set(Some(Vec::new()));
    let returned = run();
    (returned, RECORDED.take().unwrap_or_default())
}

/// The number of operations that are recorded so far.
pub(in crate::embedded) fn recorded() -> usize {
    RECORDED.with_borrow(|recorded| recorded.as_ref().map_or(0, Vec::len))
}

/// Makes the next sync of this thread fail.
pub(in crate::embedded) fn fail_next_sync() {
    FAIL_SYNC.set(true);
}

pub(in crate::embedded) fn fail_if_asked(path: &Path) -> std::io::Result<()> {
    if FAIL_SYNC.replace(false) {
        push(|| Op::FailedSync(path.to_owned()));
        return Err(std::io::Error::other("the disk failed"));
    }
    Ok(())
}
