//! `derived-statsd check` reads all of a data directory, also of a running daemon, and names what is damaged.

pub(super) mod decode;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use daemon_base::regular_file;
use daemon_log::LogError;
use daemon_log_tools::{Damage, Loss, Owned, Report, StateToCheck, check, salvage};
use daemon_results::block;
use jiff::Timestamp;

use self::decode::StateDecoder;
use super::print::{USAGE, message, print};
use crate::commands::config_args::ConfigArgs;
use crate::config::Loaded;
use crate::engine::{PARTITIONS, RESULT_INDEX, VIEW_CHECKPOINT, partitions_file};

/// Arguments of `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The data directory, or a copy of one.
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
    /// Write what can be read to this directory, which must be empty or missing, and say what is lost.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) salvage: Option<PathBuf>,
    /// The partitions of each stream (log.partitions), where the file PARTITIONS of the directory cannot be read.
    #[arg(long, value_name = "N", requires = "salvage", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) partitions: Option<u16>,
    /// Its streams are those whose states are decoded; of other streams the checksums are checked.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Checks the directory, and salvages what can be read if that is asked for. The exit code is 0 if all is sound, 1 if
/// something is damaged, and 2 if there is no log of this version or it cannot be read.
///
/// # Errors
///
/// Fails if standard output cannot be written.
pub(crate) fn run(args: &CheckArgs, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let mut owned = Owned { empty_result: block::EMPTY.to_vec(), rebuilt: &REBUILT, beside: Vec::new() };
    if args.salvage.is_some() {
        let beside = partitions_beside(&args.directory, args.partitions, loaded);
        match beside.and_then(|beside| check_number(&args.directory, loaded).map(|()| beside)) {
            Ok(beside) => owned.beside = beside,
            Err(problem) => return Ok(refused(&problem)),
        }
    }
    let partitions = partitions_of(&args.directory).ok().or(args.partitions);
    let mut decoder = StateDecoder::new(loaded, partitions);
    let mut decode = |state: &StateToCheck<'_>| decoder.decode(state);
    let checked = match &args.salvage {
        None => check(&args.directory, &mut decode).map(|report| (report, None)),
        Some(out) => {
            salvage(&args.directory, out, &owned, &mut decode).map(|(report, loss)| (report, Some((out, loss))))
        }
    };
    let (mut report, salvaged) = match checked {
        Ok(checked) => checked,
        Err(error) => return Ok(unreadable(&error)),
    };
    if args.partitions.is_none() {
        check_partitions(&args.directory, &mut report);
    }
    let mut text = found(&report, decoder.unknown());
    if let Some((out, loss)) = salvaged {
        text += &lost(out, loss);
    }
    print(&text).context("write to standard output")?;
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The streams of the daemon's own indexes: a start makes their states of the results.
const REBUILT: [&str; 2] = [RESULT_INDEX, VIEW_CHECKPOINT];

/// The file PARTITIONS to write in place of that of `directory`: none if that can be read, and `given` otherwise, if the
/// states of the log fit it.
///
/// # Errors
///
/// What is wrong with it, with the remedy: no directory is made whose number of partitions is not known.
pub(super) fn partitions_beside(
    directory: &Path,
    given: Option<u16>,
    loaded: &Loaded,
) -> Result<Vec<(&'static str, String)>, String> {
    match (partitions_of(directory), given) {
        (Ok(found), Some(given)) if found != given => Err(format!(
            "{} was made with {found} partitions, not {given}; leave --partitions out",
            directory.display()
        )),
        (Ok(_), _) => Ok(Vec::new()),
        (Err(_), Some(given)) => {
            let mut decoder = StateDecoder::given(loaded, given);
            // Its damage is reported by what follows.
            let _ = check(directory, &mut |state| decoder.decode(state));
            let beside = vec![(PARTITIONS, format!("{given}\n"))];
            decoder.misfit().map_or(Ok(beside), Err)
        }
        // Without a store it is not a log, which is another problem.
        (Err(_), None) if !directory.join("store").is_dir() => Ok(Vec::new()),
        (Err(damage), None) => Err(format!(
            "{damage}; give it with --partitions N, the log.partitions of the daemon: with another number objects lose \
             their states"
        )),
    }
}

/// Names why nothing was written.
pub(super) fn refused(problem: &str) -> ExitCode {
    message(format_args!("error: nothing was written: {problem}"));
    ExitCode::FAILURE
}

/// Names why a directory cannot be checked.
pub(super) fn unreadable(error: &LogError) -> ExitCode {
    message(format_args!("error: {error}"));
    // What cannot be salvaged at all is damaged, whatever the reason is.
    ExitCode::from(if matches!(error, LogError::Damaged { .. }) { 1 } else { USAGE })
}

/// The file that the daemon keeps beside the log: with another number objects lose their states.
pub(super) fn check_partitions(directory: &Path, report: &mut Report) {
    report.damage.extend(partitions_of(directory).err());
}

/// The number of partitions that a directory was made with.
pub(super) fn partitions_of(directory: &Path) -> Result<u16, Damage> {
    let path = partitions_file(directory);
    let found = regular_file::read_to_string(&path);
    let reason = match found.as_deref().map(|text| text.trim().parse()) {
        Ok(Ok(number @ 1..)) => return Ok(number),
        Ok(_) => format!("it has {:?} instead of the number log.partitions", found.unwrap_or_default().trim_end()),
        Err(error) => format!("it cannot be read ({error}), and has the number log.partitions"),
    };
    Err(Damage { path, at: None, reason })
}

/// Compares the file PARTITIONS with the objects of the states, if it can be read. A salvage leaves out states that cannot be
/// used, and would leave out all that do not fit another number; what only copies reports them as damage.
fn check_number(directory: &Path, loaded: &Loaded) -> Result<(), String> {
    let Ok(partitions) = partitions_of(directory) else { return Ok(()) };
    let mut decoder = StateDecoder::new(loaded, Some(partitions));
    // Its damage is reported by the salvage.
    let _ = check(directory, &mut |state| decoder.decode(state));
    decoder.misfit().map_or(Ok(()), Err)
}

/// What a check found, as text.
pub(super) fn found(report: &Report, unknown: usize) -> String {
    let mut text = String::new();
    for damage in &report.damage {
        text += &format!("DAMAGED {damage}\n");
    }
    if report.more > 0 {
        text += &format!("DAMAGED {} more\n", report.more);
    }
    for note in &report.notes {
        text += &format!("note: {note}\n");
    }
    text += &stands_at(report);
    let Report { files, bytes, states, input, waiting, results, .. } = report;
    text += &format!(
        "{files} files, {} MiB: the states of {states} partitions, {input} records of input of which {waiting} are not \
         applied, {results} records of results.\n",
        bytes.div_ceil(1024 * 1024),
    );
    if unknown > 0 {
        text += &format!(
            "Of {unknown} of the states only checksums were checked: they belong to streams that the configuration does \
             not have, or to the daemon's own index.\n"
        );
    }
    match report.damage.len() as u64 + report.more {
        0 => text + "Sound.\n",
        damages => text + &format!("{damages} damages.\n"),
    }
}

/// The write at which a log stands, as text.
pub(super) fn stands_at(report: &Report) -> String {
    // A log that was opened and never took a sample has no time.
    let known = i64::try_from(report.at).ok().filter(|at| *at > 0);
    let at = known.and_then(|at| Timestamp::from_microsecond(at).ok()).map(|at| format!(" of {at}"));
    format!("The log stands at write {}{}.\n", report.write, at.unwrap_or_default())
}

fn lost(out: &Path, loss: Loss) -> String {
    let out = out.display();
    if loss.is_nothing() {
        return format!("Salvaged to {out}: nothing is lost.\n");
    }
    let Loss { input, applied_input, results, states, rebuilt, writes } = loss;
    let rebuilt = match rebuilt {
        0 => String::new(),
        count => format!("The next start makes {count} damaged indexes again, of the results.\n"),
    };
    let text = format!(
        "Salvaged to {out}. Lost are: {input} records of input that were not applied, {applied_input} that were, \
         {results} records of results, {states} states of partitions, which start over from the input that there is. \
         {writes} writes from the first damaged one on are left out; their input is kept where it can be read, and applied again.\n"
    );
    text + &rebuilt
}
