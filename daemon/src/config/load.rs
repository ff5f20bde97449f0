//! The loader, which merges the sources into one checked configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use derived_stats::Registry;

use super::effective::Effective;
use super::layers::Layers;
use super::problem::{Problem, Problems, SourceLocation};
use super::streams::Streams;
use super::{alarms, check, collector, environment, file, flags};
use crate::config::Config;

/// The extension of the collector's file.
const COLLECTOR_EXTENSION: &str = "conf";

/// The sources of settings, as the command line and the environment name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The daemon's file, or the collector's if its name ends in `.conf`.
    pub file: Option<PathBuf>,
    /// The text to read in place of that of `file`.
    pub text: Option<String>,
    /// The collector's file, under any name.
    pub collector_file: Option<PathBuf>,
    /// The whole environment; variables without the daemon's prefix are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Values of `--DEFAULT.uve_proxy_list`.
    pub uve_proxy_list: Vec<String>,
    /// Values of `--set`.
    pub set: Vec<String>,
}

impl Sources {
    /// Whether a file is that of Contrail's collector, and not the daemon's own.
    pub(crate) fn is_collectors(path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == COLLECTOR_EXTENSION)
    }

    fn text_of(&self, path: &Path) -> std::io::Result<String> {
        self.text.clone().map_or_else(|| daemon_base::setting::file::read_text(path), Ok)
    }
}

/// The result of a check of all sources: the configuration, its notices and its problems.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The configuration of all valid settings.
    pub config: Config,
    /// The compiled streams, unless there is a problem with them.
    pub streams: Option<Streams>,
    /// Hints for the operator that do not prevent a start, one sentence each.
    pub notices: Vec<String>,
    /// The value of each key.
    pub effective: Effective,
    /// The problems, each of which prevents a start.
    pub problems: Vec<Problem>,
    /// The settings of the file that the environment or a flag hides.
    pub hidden: Vec<HiddenKey>,
    /// Whether all files could be read. Else settings have their defaults that are written there.
    pub is_whole: bool,
    layers: Layers,
}

impl Survey {
    /// The configuration to run with.
    ///
    /// # Errors
    ///
    /// As [`load`].
    pub(crate) fn loaded(self) -> Result<Loaded, Problems> {
        let Self { config, streams, notices, effective, problems, hidden, .. } = self;
        match streams {
            Some(streams) if problems.is_empty() => Ok(Loaded { config, streams, notices, effective, hidden }),
            _ => Err(Problems::new(problems)),
        }
    }

    /// Whether one of these keys has a value that was not accepted, and is a problem for that already.
    pub(crate) fn is_refused(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.layers.is_refused(key))
    }

    /// Whether a flag or the environment sets one of these keys, so that the file does not.
    pub(crate) fn is_overridden(&self, keys: &[&str]) -> bool {
        let is_over =
            |key: &&str| matches!(self.layers.location(key), SourceLocation::Flag(_) | SourceLocation::Variable(_));
        keys.iter().any(is_over)
    }

    /// Adds a problem with the setting `key`, at its source location.
    pub(crate) fn add_problem(&mut self, key: &str, message: &str) {
        self.problems.push(Problem::new(self.layers.location(key), format!("`{key}`: {message}")));
    }
}

/// A configuration to run with.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub config: Config,
    pub streams: Streams,
    /// Hints for the operator, to be logged once logging runs.
    pub notices: Vec<String>,
    /// The value of each key.
    pub effective: Effective,
    /// The settings of the file that the environment or a flag hides.
    pub hidden: Vec<HiddenKey>,
}

/// A setting of the file whose value is not used, as a later source has another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HiddenKey {
    pub key: String,
    /// Where the value in force is from.
    pub by: String,
}

/// Reads and checks all sources; schema files may name the algorithms of `registry`.
///
/// # Errors
///
/// Returns all problems at once, each with its source location and remedy.
pub(crate) fn load(sources: &Sources, registry: &Registry) -> Result<Loaded, Problems> {
    survey(sources, registry).loaded()
}

/// Reads and checks all sources as [`load`] does, but returns the configuration together with its problems.
pub(crate) fn survey(sources: &Sources, registry: &Registry) -> Survey {
    let mut layers = Layers::default();
    let (mut notices, mut is_whole) = (Vec::new(), true);
    let is_collectors = |path: &&PathBuf| Sources::is_collectors(path);
    let collectors = sources.file.iter().filter(is_collectors).chain(&sources.collector_file);
    for path in collectors {
        if let Some(bytes) = readable(path, daemon_base::setting::file::read(path), &mut layers) {
            notices.extend(collector::read(path, &bytes, &mut layers));
        }
    }
    if let Some(path) = sources.file.as_ref().filter(|path| !is_collectors(path)) {
        let text = readable(path, sources.text_of(path), &mut layers);
        is_whole = text.is_some_and(|text| file::read(path, &text, &mut layers));
    }
    let of_file = layers.values();
    environment::read(&sources.environment, &mut layers);
    flags::read(&sources.set, &sources.uve_proxy_list, &mut layers);
    notices.extend(flags::notices(&sources.set));

    let hidden = layers.hidden(&of_file);
    let config = layers.config();
    check::values(&config, &mut layers);
    let streams = Streams::build(&config, registry, &mut layers);
    notices.extend(check::notices(&config));
    notices.extend(alarms::notices(&config));
    for name in streams.iter().flat_map(Streams::unused_types) {
        notices.push(notice!("the proxy type `{name}` runs on no stream; list it in aggregation.uve_proxy_list"));
    }
    notices.extend(streams.iter().flat_map(Streams::with_counters).map(check::counters_notice));
    notices.extend(streams.iter().flat_map(Streams::with_last_values).map(check::last_values_notice));
    notices.extend(streams.iter().flat_map(alarms::hints));
    if config.contiv.is_on() {
        notices.extend(streams.iter().flat_map(Streams::names).filter_map(check::contiv_notice));
    }
    let problems = std::mem::take(&mut layers.problems);
    Survey { effective: Effective::new(layers.table()), config, streams, notices, problems, hidden, is_whole, layers }
}

/// The content of a file, or a problem.
fn readable<T>(path: &Path, content: std::io::Result<T>, layers: &mut Layers) -> Option<T> {
    let location = SourceLocation::File { path: path.to_owned(), line: 0, column: 0 };
    let unreadable = |error| {
        layers.add_problem(location, format!("the file cannot be read ({error}); name a readable UTF-8 file"));
    };
    content.map_err(unreadable).ok()
}
