//! Copies the files of a log to another directory, whether or not a process has it open.
//!
//! A write is complete in all files before the next one begins, and files only grow. So whatever is copied after the
//! newest journal has at least what that copy of the journal names: the whole is as a power cut leaves it, and its
//! opening cuts the last write off if only a part of it was copied. The exception is a file that is deleted meanwhile;
//! then everything is copied again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use crate::embedded::directory::{self, Format, check_format, copy_acknowledged, create_version, io_error, store_path};
use crate::embedded::recover::files;
use crate::embedded::segment::Family;
use crate::error::LogError;

/// How often a copy begins again because a file was deleted: retention comes every few seconds.
const TRIES: usize = 20;

/// Copies the log in `path` to the directory `target`, which must not exist; returns the number of bytes.
pub(super) fn backup(path: &Path, target: &Path) -> Result<u64, LogError> {
    if !directory::is_log(path)? {
        return Err(LogError::NoLog { path: path.to_owned() });
    }
    let Format::Known = check_format(path)? else { return Err(LogError::NoLog { path: path.to_owned() }) };
    let io = |source| io_error("copy the log", target, source);
    let (from, to) = (store_path(path), store_path(target));
    std::fs::create_dir(target).map_err(io)?;
    for _ in 0..TRIES {
        std::fs::create_dir(&to).map_err(io)?;
        // First: the number must not be ahead of the journal that is copied.
        copy_acknowledged(path, target)?;
        if let Some(bytes) = copy_store(&from, &to)? {
            File::open(&to).and_then(|store| store.sync_all()).map_err(io)?;
            // Last: without it the directory is not a log.
            create_version(target)?;
            return Ok(bytes);
        }
        std::fs::remove_dir_all(&to).map_err(io)?;
    }
    let reason =
        format!("files of {} were deleted during each of {TRIES} copies; copy it when less comes in", path.display());
    Err(LogError::Unavailable { reason })
}

/// `None` if a file was deleted meanwhile.
fn copy_store(from: &Path, to: &Path) -> Result<Option<u64>, LogError> {
    let before = files(from)?;
    let Some(newest) = before.iter().rfind(|(family, _)| *family == Family::Journal).copied() else {
        return Err(LogError::NoLog { path: from.to_owned() });
    };
    let Some(mut bytes) = copy(from, to, newest)? else { return Ok(None) };
    let after = files(from)?;
    if !before.is_subset(&after) {
        return Ok(None);
    }
    for file in after.difference(&BTreeSet::from([newest])) {
        let Some(more) = copy(from, to, *file)? else { return Ok(None) };
        bytes += more;
    }
    Ok(Some(bytes))
}

/// Copies a file durably; `None` if it is gone.
fn copy(from: &Path, to: &Path, (family, number): (Family, u32)) -> Result<Option<u64>, LogError> {
    let (from, to) = (from.join(family.file_name(number)), to.join(family.file_name(number)));
    let source = match File::open(&from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        source => source.map_err(|source| io_error("copy a file of the log", &from, source))?,
    };
    let copied = File::create_new(&to).and_then(|mut copy| {
        let bytes = std::io::copy(&mut &source, &mut copy)?;
        copy.sync_all().map(|()| bytes)
    });
    copied.map(Some).map_err(|source| io_error("copy a file of the log", &to, source))
}
