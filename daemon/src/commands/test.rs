//! `derived-statsd test FILE…` runs unit tests of a configuration: samples with their times, and the results that must
//! come of them.
//!
//! ```text
//! file ─► series ─► samples in the order of their arrival ─► intake ─► tables ─► results ─► comparison
//! file.rs series.rs                                           outcome.rs                     expect.rs
//! ```
//!
//! Intake and tables are those of the daemon, with the configured limits, and event time is the samples'. There is no
//! log, no clock and no network: the same file gives the same outcome everywhere.

mod alarms;
mod expect;
mod file;
mod outcome;
mod series;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use derived_stats::Registry;

use self::file::{TestCase, TestFile};
use self::outcome::Outcome;
use crate::commands::print::{excerpt, message, print};
use crate::config::{self, Loaded, Sources};

/// The characters of a name or a reason that a report shows.
const EXCERPT: usize = 200;

/// Arguments of `test`.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Files with tests, in TOML. Paths in a file are relative to it.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Name the streams, proxy types and rules of alarms of each configuration of which no test expects anything.
    #[arg(long)]
    pub(crate) coverage: bool,
}

/// Runs the tests and prints a line for each, with what differs under those that fail. Returns exit code `bad` for a file
/// or a configuration that cannot be used, and 1 if a test failed.
///
/// # Errors
///
/// Fails if standard output cannot be written.
pub(crate) fn run(args: &TestArgs, registry: &Registry, bad: u8) -> anyhow::Result<ExitCode> {
    let (mut passed, mut failed, mut is_bad) = (0, 0, false);
    for path in &args.files {
        let (file, loaded) = match load(path, registry) {
            Ok(usable) => usable,
            Err(reason) => {
                message(format_args!("{}: {reason}", path.display()));
                is_bad = true;
                continue;
            }
        };
        let mut covered = Covered::default();
        for case in &file.tests {
            match test(case, &loaded, &mut covered) {
                Ok(differences) => {
                    if differences.is_empty() {
                        passed += 1
                    } else {
                        failed += 1
                    }
                    print(&report(path, case, &differences))?;
                }
                Err(reason) => {
                    message(format_args!("{}: test {:?}: {reason}", path.display(), excerpt(&case.name, EXCERPT)));
                    is_bad = true;
                }
            }
        }
        if args.coverage {
            print(&uncovered(path, &loaded, &covered))?;
        }
    }
    print(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(if is_bad { ExitCode::from(bad) } else { ExitCode::from(u8::from(failed > 0)) })
}

/// Reads a file and the configuration that it names.
fn load(path: &Path, registry: &Registry) -> Result<(TestFile, Loaded), String> {
    let file = TestFile::read(path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let mut set = file.set.clone();
    if !file.schema_files.is_empty() {
        let paths = file.schema_files.iter().map(|path| folder.join(path).to_string_lossy().into_owned().into());
        set.push(format!("aggregation.schema_files={}", toml::Value::Array(paths.collect())));
    }
    let sources = Sources {
        file: file.config.as_ref().map(|config| folder.join(config)),
        set,
        // Without the environment, so that the outcome is the same everywhere.
        ..Sources::default()
    };
    let loaded = config::load(&sources, registry).map_err(|problems| format!("its configuration:\n{problems}"))?;
    Ok((file, loaded))
}

/// What tests expect something of.
#[derive(Debug, Default)]
struct Covered {
    /// Streams and types.
    types: BTreeSet<(String, String)>,
    /// Names of rules.
    rules: BTreeSet<String>,
}

/// What differs from the expectations of a test. Adds what it expects something of to `covered`.
///
/// # Errors
///
/// When the test itself is wrong: it names what the configuration does not have, or expects nothing.
fn test(case: &TestCase, loaded: &Loaded, covered: &mut Covered) -> Result<Vec<String>, String> {
    let start = case.start()?;
    let samples = series::samples(case, start, &loaded.streams)?;
    let expected = expect::resolve(case, start, &loaded.streams)?;
    let of_results = expected.iter().filter(|expected| expected.is_of_result());
    alarms::check(case, start, &loaded.streams)?;
    covered.rules.extend(case.alarms.iter().map(|expected| expected.rule.clone()));
    covered.types.extend(of_results.map(|expected| (expected.stream.clone(), expected.proxy_type.clone())));
    let outcome = Outcome::of(&samples, loaded)?;
    let mut differences: Vec<String> =
        expected.iter().filter_map(|expected| expected.difference(&outcome.results)).collect();
    differences.extend(alarms::differences(case, start, &loaded.streams, &outcome)?);
    differences.extend(expect::drops(&case.drops, &outcome)?);
    Ok(differences)
}

fn report(path: &Path, case: &TestCase, differences: &[String]) -> String {
    let outcome = if differences.is_empty() { "pass" } else { "FAIL" };
    let mut report = format!("{outcome}  {}: {}\n", path.display(), excerpt(&case.name, EXCERPT));
    for line in differences.iter().flat_map(|difference| difference.lines()) {
        // Writing to a string cannot fail.
        let _ = writeln!(report, "      {line}");
    }
    report
}

fn uncovered(path: &Path, loaded: &Loaded, covered: &Covered) -> String {
    let entries = loaded.streams.proxies.entries().iter();
    let all = entries.flat_map(|entry| {
        let stream = entry.stream.to_string();
        entry.types.iter().map(move |of| (stream.clone(), of.name().to_owned()))
    });
    let all: BTreeSet<_> = all.collect();
    let missing: Vec<_> = all.difference(&covered.types).collect();
    let rules = || loaded.streams.alarms.iter();
    let untested = || rules().filter(|rule| !covered.rules.contains(&rule.name));
    let of_rules = match rules().count() {
        0 => String::new(),
        count => format!(", {} of {count} rules of alarms", count - untested().count()),
    };
    let tested = all.len() - missing.len();
    let mut report = format!("coverage  {}: {tested} of {}{of_rules}\n", path.display(), all.len());
    for (stream, proxy_type) in missing {
        let _ = writeln!(report, "      no test expects a result of {proxy_type} of {stream}");
    }
    for rule in untested() {
        let _ = writeln!(report, "      no test expects an alarm of {:?}", rule.name);
    }
    report
}
