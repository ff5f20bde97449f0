//! What a start with a configuration would meet: all problems of the configuration and of the files that it names.
//!
//! `validate` prints them, and a start that has failed takes its exit code from them. What a start survives, such as a
//! full disk or a result file that cannot be written yet, is a notice. No file is opened for writing and none is
//! created: `access(2)` checks permissions.

mod data_dir;
mod secrets;
mod tls;

use std::path::{Path, PathBuf};

use daemon_sinks::file::check_kind;
use derived_stats::Registry;
use rustix::fs::Access;

use crate::app::NotStarted;
use crate::config::{self, Config, LogKind, Problems, Sources, Survey, notice};
use crate::engine::check_partitions;

/// The most that the log needs beside the records that it retains, of its journal and of records that are deleted and
/// not compacted yet.
const LOG_ROOM_BYTES: u64 = 300 * 1024 * 1024;

/// Reads and checks all sources, and the files that they name if all sources can be read.
pub(crate) fn survey(sources: &Sources, registry: &Registry) -> Survey {
    let mut survey = config::survey(sources, registry);
    if !survey.is_whole {
        return survey;
    }
    if has_data_dir(&survey.config) {
        check_data_dir(&mut survey);
    }
    // A guard that is set, with a value that is not accepted, is one problem and not also a listener without a guard.
    let guards = ["http.insecure", "http.tokens_file"];
    if let Err((key, problem)) = crate::settings::access(&survey.config)
        && !survey.is_refused(&guards)
    {
        survey.add_problem(key, &problem);
    }
    tls::check(&mut survey);
    secrets::check(&mut survey);
    if let Some(path) = survey.config.sinks.file.path.clone()
        && let Err(error) = check_kind(&path)
    {
        survey.add_problem("sinks.file.path", &error);
    }
    survey.notices.extend(notices(&survey.config));
    survey
}

/// What a start survives of the disk of the data directory and of the result file.
pub(crate) fn notices(config: &Config) -> Vec<String> {
    let of_disk = has_data_dir(config).then(|| little_room(&config.log.data_dir)).flatten();
    let of_file = config.sinks.file.path.as_deref().and_then(unwritable_file);
    of_disk.into_iter().chain(of_file).collect()
}

/// Daemons on Kafka have no log of their own.
fn has_data_dir(config: &Config) -> bool {
    config.log.kind == LogKind::Embedded && !config.log.data_dir.as_os_str().is_empty()
}

/// The problems that `validate` names of the configuration with which a start failed; `None` if it names none, or if
/// the error is not that of a start.
pub(crate) fn problems(error: &anyhow::Error, sources: &Sources, registry: &Registry) -> Option<Problems> {
    // After a start the files may be others: what fails then is not the configuration.
    let survey = error.is::<NotStarted>().then(|| survey(sources, registry))?;
    (!survey.problems.is_empty()).then(|| Problems::new(survey.problems))
}

fn check_data_dir(survey: &mut Survey) {
    let (data_dir, partitions) = (survey.config.log.data_dir.clone(), survey.config.log.partitions);
    match data_dir::check(&data_dir).and_then(|()| can_make_directory(&data_dir)) {
        Err(error) => survey.add_problem("log.data_dir", &error),
        Ok(()) => {
            if let Err(error) = check_partitions(&data_dir, partitions) {
                survey.add_problem("log.partitions", &format!("{error:#}"));
            }
        }
    }
}

/// A notice if the result file, of a path that a start can use, cannot be written.
fn unwritable_file(path: &Path) -> Option<String> {
    check_kind(path).ok()?;
    let error = can_append(path).err()?;
    Some(notice!(
        "sinks.file.path: {error}; until then results wait in the log, up to log.retention.results_hard_limit_bytes"
    ))
}

/// The part of a path that exists.
fn nearest(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let nearest = path.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()).map(PathBuf::from);
    nearest.unwrap_or_else(|| PathBuf::from("/"))
}

/// Checks that `path` is a writable directory or can be created as one.
fn can_make_directory(path: &Path) -> Result<(), String> {
    let nearest = nearest(path);
    if !nearest.is_dir() {
        return Err(format!("{} is not a directory; name another path", nearest.display()));
    }
    allowed(&nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        format!("{} is not writable ({error}); change its owner or name another path", nearest.display())
    })
}

/// A notice if the disk of the data directory has less room than the log may need.
fn little_room(data_dir: &Path) -> Option<String> {
    let nearest = nearest(data_dir);
    let disk = rustix::fs::statvfs(&nearest).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let (found, remedy) = match () {
        // A file system without a fixed number of files has none in all.
        () if disk.f_files > 0 && disk.f_favail == 0 => ("has no room for another file".to_owned(), "remove files"),
        () if free < LOG_ROOM_BYTES => (format!("has {free} bytes free"), "free space"),
        () => return None,
    };
    Some(notice!(
        "log.data_dir: the disk of {} {found}; the log needs up to {LOG_ROOM_BYTES} bytes beside the records that it \
         retains, and without room `run` is not ready; {remedy}, or name another path",
        nearest.display()
    ))
}

/// Checks that the regular file `path` is writable or can be created in its directory.
fn can_append(path: &Path) -> Result<(), String> {
    if path.exists() {
        return allowed(path, Access::WRITE_OK)
            .map_err(|error| format!("{} is not writable ({error}); change its owner or mode", path.display()));
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        return Err(format!("the directory {} does not exist; create it or name another path", parent.display()));
    }
    allowed(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        format!("{} is not writable ({error}); change its owner or name another path", parent.display())
    })
}

fn allowed(path: &Path, access: Access) -> rustix::io::Result<()> {
    rustix::fs::access(path, access)
}
