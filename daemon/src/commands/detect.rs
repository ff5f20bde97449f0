//! `derived-statsd detect` runs a detector over recorded series: a file with `timestamp,value` or a directory of them.
//!
//! It reads and prints; what it reads, computes and draws is in the crate `daemon-detect`.

mod files;
mod table;

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use daemon_detect::labels::{self, Labels, Range};
use daemon_detect::run::{Detector, Scored};
use daemon_detect::series::Series;
use daemon_detect::summary::Summary;
use daemon_detect::{plot, rows};
use derived_stats::Registry;

use crate::commands::detect::table::Table;
use crate::commands::pipeline_args::ASSUMED_PERIOD_SECONDS;
use crate::commands::print::{self, message};
use crate::commands::recorded;

/// The longest text of a file in a message.
const MAX_MESSAGE: usize = 400;

/// The exit code of a bad argument.
const BAD_ARGUMENT: u8 = 2;

/// Arguments of `detect`.
#[derive(Args, Debug)]
pub(crate) struct DetectArgs {
    /// A file with a row `timestamp,value[,label]` a line, plain or compressed (.gz, .zst), or a directory of such
    /// files; `-` is standard input. A timestamp is ISO 8601 or a number of s, ms, us or ns since 1970.
    #[arg(value_name = "FILE|DIR")]
    pub(crate) path: PathBuf,
    /// The detector with its arguments, such as `Seasonal:alarms=2`, which scores every value; or an annotation, such
    /// as `1.DSSum-value:DSAnomaly:Seasonal`, which scores each period.
    #[arg(long, value_name = "NAME[:ARGS]", default_value = "Seasonal")]
    pub(crate) algo: String,
    /// The period of the annotation; 60 by default.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) period: Option<u32>,
    /// The least size of a score that is an alarm, instead of the detector's own alarms.
    #[arg(long, value_name = "SCORE")]
    pub(crate) threshold: Option<f64>,
    /// Known anomalies: JSON `{"FILE": [[start, end], …]}` or `[[start, end], …]`, or lines of `start,end`. The default
    /// is the column `label`.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Draw values, band, alarms and labels into this SVG file; for a directory, into a directory with one for each
    /// file.
    #[arg(long, value_name = "OUT")]
    pub(crate) plot: Option<PathBuf>,
    /// The form of the output. The default is CSV, and an aligned table for a directory.
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatArg>,
}

/// The forms of the output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum FormatArg {
    Csv,
    Json,
}

/// A series with the scores of the detector.
struct Found {
    series: Series,
    scored: Vec<Scored>,
    labels: Option<Vec<Range>>,
}

impl Found {
    fn summary(&self) -> Summary {
        Summary::of(&self.scored, self.labels.as_deref(), self.series.interval())
    }
}

/// Runs the detector and prints a row for each value, or for each file of a directory. Exit code 2 for a bad argument.
///
/// # Errors
///
/// When a file cannot be read or written, and when no row of a file can be read.
pub(crate) fn run(args: &DetectArgs, registry: &Registry) -> anyhow::Result<ExitCode> {
    let detector = match check(args).and_then(|()| compile(args, registry)) {
        Ok(detector) => detector,
        Err(error) => {
            message(format_args!("{error}"));
            return Ok(ExitCode::from(BAD_ARGUMENT));
        }
    };
    if !detector.has_alarms() {
        message(format_args!("the detector has no alarms; --threshold SCORE makes them of its score"));
    }
    let labels = match &args.labels {
        None => None,
        Some(path) => Some(read_labels(path)?),
    };
    if args.path.is_dir() {
        return directory(args, &detector, labels.as_ref());
    }
    file(args, &detector, labels.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

fn compile(args: &DetectArgs, registry: &Registry) -> anyhow::Result<Detector> {
    let detector = Detector::compile(&args.algo, args.period.unwrap_or(ASSUMED_PERIOD_SECONDS), registry)?;
    let detector = detector.with_threshold(args.threshold).map_err(|error| anyhow!("error: --threshold: {error}"))?;
    if args.period.is_some() && !detector.has_periods() {
        bail!(
            "error: --period: `{}` scores every value; the period is that of an annotation, such as \
             1.DSSum-value:DSAnomaly:Seasonal",
            args.algo
        );
    }
    Ok(detector)
}

fn check(args: &DetectArgs) -> anyhow::Result<()> {
    if args.threshold.is_some_and(|threshold| !(threshold > 0.0 && threshold.is_finite())) {
        bail!("error: --threshold: expected a finite number above 0, such as 3");
    }
    let is_svg = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    match &args.plot {
        Some(path) if !args.path.is_dir() && !is_svg(path) => bail!(
            "error: --plot {}: the picture is SVG; expected a name such as out.svg (`rsvg-convert` makes PNG of it)",
            path.display()
        ),
        Some(path) if [Some(&args.path), args.labels.as_ref()].into_iter().flatten().any(|it| is_same(it, path)) => {
            bail!("error: --plot {}: the picture would replace an input; choose another name", path.display())
        }
        _ => Ok(()),
    }
}

/// Whether both paths are one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let [one, other] = [one, other].map(|path| path.canonicalize().ok());
    one.is_some() && one == other
}

fn read_labels(path: &Path) -> anyhow::Result<Labels> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Labels::parse(&text).with_context(|| path.display().to_string())
}

fn file(args: &DetectArgs, detector: &Detector, labels: Option<&Labels>) -> anyhow::Result<()> {
    let found = find(&args.path, detector, labels)?;
    if let Some(path) = &args.plot {
        let name = args.path.file_name().map(Path::new).unwrap_or(&args.path);
        draw(path, &format!("{}, {}", display_name(name), args.algo), &found)?;
    }
    let form = match args.format {
        Some(FormatArg::Json) => rows::Form::Json,
        Some(FormatArg::Csv) | None => rows::Form::Csv,
    };
    let mut output = print::output();
    rows::write(&mut output, form, &found.scored, found.labels.as_deref()).and_then(|()| output.flush())?;
    message(format_args!("{}", table::sentence(&found.summary(), detector.has_alarms())));
    Ok(())
}

/// A file that cannot be scored is named, and is not in the table; then the exit code is 1.
fn directory(args: &DetectArgs, detector: &Detector, labels: Option<&Labels>) -> anyhow::Result<ExitCode> {
    let mut files = files::in_directory(&args.path)?;
    let of_labels = args.labels.as_ref().and_then(|path| path.canonicalize().ok());
    files.retain(|path| of_labels.is_none() || path.canonicalize().ok() != of_labels);
    let (mut table, mut failed) = (Table::default(), 0);
    let mut pictures = BTreeSet::new();
    for path in &files {
        let name = path.strip_prefix(&args.path).unwrap_or(path).display().to_string();
        let found = match find(path, detector, labels) {
            Ok(found) => found,
            Err(error) => {
                failed += 1;
                message(format_args!("{}", plain(&format!("error: {error:#}"))));
                continue;
            }
        };
        if let Some(directory) = &args.plot {
            let mut picture = files::picture_name(&name);
            if !pictures.insert(picture.clone()) {
                picture = format!("{name}.svg");
            }
            let target = directory.join(picture);
            let parent = target.parent().unwrap_or(directory);
            std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
            draw(&target, &format!("{name}, {}", args.algo), &found)?;
        }
        table.push(&plain(&name), &found.summary(), found.series.bad_lines);
    }
    print::print(&table.text(args.format))?;
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    message(format_args!("{failed} of {} files could not be scored", files.len()));
    Ok(ExitCode::FAILURE)
}

/// A text of a file for a message.
fn plain(text: &str) -> String {
    print::excerpt(text, MAX_MESSAGE)
}

/// Reads a series, reports what it lacks, and scores it.
fn find(path: &Path, detector: &Detector, labels: Option<&Labels>) -> anyhow::Result<Found> {
    let name = plain(&display_name(path));
    let series = read(path, &name)?;
    let (scored, refused) = detector.run(&series.points);
    if refused > 0 {
        message(format_args!("{name}: {refused} values came after the end of their period and were left out"));
    }
    let labels = match labels {
        Some(labels) => named_labels(path, &name, labels),
        None if series.labels.is_empty() => None,
        None => Some(Labels::of_column(&series)),
    };
    let labels = labels.map(|ranges| ranges.into_iter().map(|range| detector.widen(range)).collect::<Vec<_>>());
    if let Some(ranges) = &labels {
        let times: Vec<u64> = scored.iter().map(|one| one.at).collect();
        let lost = ranges.len() - labels::rows(&times, ranges).len();
        if lost > 0 {
            message(format_args!("{name}: {lost} of {} labelled ranges have no value of this series", ranges.len()));
        }
    }
    Ok(Found { series, scored, labels })
}

/// Reads a series in the order of time, and reports what it lacks.
fn read(path: &Path, name: &str) -> anyhow::Result<Series> {
    let progress = recorded::progress_bar(&[path])?;
    let input = recorded::open(path, &progress)?;
    let series = Series::read(BufReader::new(input)).with_context(|| name.to_owned());
    progress.finish_and_clear();
    let mut series = series?;
    for (line, error) in &series.errors {
        message(format_args!("{name}: line {line}: {}", plain(&error.to_string())));
    }
    if series.backwards > 0 {
        series.sort();
    }
    let notes = [
        (series.bad_lines, "bad lines were left out"),
        (series.missing, "rows have no value and were left out"),
        (series.backwards, "rows are older than the row before; the rows were sorted by time"),
    ];
    for (count, note) in notes.into_iter().filter(|(count, _)| *count > 0) {
        message(format_args!("{name}: {count} {note}"));
    }
    Ok(series)
}

/// The labels of a file, by its whole path; those of the series if there are none of its compressed form.
fn named_labels(path: &Path, name: &str, labels: &Labels) -> Option<Vec<Range>> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let whole = whole.to_string_lossy();
    let found = labels.of(&whole).or_else(|| labels.of(whole.trim_end_matches(".gz").trim_end_matches(".zst")));
    if found.is_none() {
        message(format_args!("{name}: --labels has no entry for this file"));
    }
    found.map(<[Range]>::to_vec)
}

fn draw(path: &Path, title: &str, found: &Found) -> anyhow::Result<()> {
    let svg = plot::svg(title, &found.scored, found.labels.as_deref().unwrap_or_default());
    std::fs::write(path, svg).with_context(|| format!("write {}", path.display()))
}

fn display_name(path: &Path) -> String {
    match path.as_os_str() == recorded::STDIN {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}
