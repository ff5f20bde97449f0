//! The series of the benchmark.

use std::fmt;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use daemon_detect::generate::{self, Kind};
use daemon_detect::labels::{Labels, rows};
use daemon_detect::score::Marks;
use daemon_detect::score::events::Corpus;
use daemon_detect::series::{Point, Series, interval};

/// The longest series of the small set, in rows.
const SMALL_ROWS: usize = 10_000;

/// One series with its anomalies.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    /// The source and the name in it.
    pub(crate) name: String,
    pub(crate) source: &'static str,
    pub(crate) points: Vec<Point>,
    /// The first and the last row of each anomaly.
    pub(crate) anomalies: Vec<(usize, usize)>,
    /// Their kinds, of a generated series.
    pub(crate) kinds: Vec<Kind>,
}

/// The series that a table is over.
#[derive(Debug)]
pub(crate) struct Set {
    title: &'static str,
    pub(crate) series: Vec<Labelled>,
    /// The series with events, which are all that are not of the Numenta Anomaly Benchmark.
    pub(crate) corpus: Corpus,
}

/// The source with the points of the Numenta Anomaly Benchmark.
pub(crate) const NAB: &str = "nab";
/// The source that is reported beside the macro figures: synthetic and short.
pub(crate) const SIDE: &str = "merlion";
/// The sources with a value every one to five minutes, which false alarms are counted in.
pub(crate) const OPERATIONS: [&str; 2] = ["kpi", "gen"];

impl Set {
    /// Everything.
    pub(crate) fn whole(seed: u64, generated: u64) -> Result<Self, String> {
        let mut series = recorded("nab", |_| NAB)?;
        series.extend(recorded("bench2", source)?);
        series.extend((0..generated).map(|index| labelled(seed, index)));
        Ok(Self::new("All series", series))
    }

    /// The half of the Numenta Anomaly Benchmark alone.
    #[cfg(test)]
    pub(crate) fn nab() -> Result<Self, String> {
        Ok(Self::new("NAB", recorded("nab", |_| NAB)?))
    }

    /// The first rows of the recorded series with events, and generated series of five minutes.
    pub(crate) fn small(seed: u64, generated: u64) -> Result<Self, String> {
        let mut series = recorded("bench2", source)?;
        series.retain(|one| one.source != SIDE);
        for one in &mut series {
            one.points.truncate(SMALL_ROWS);
            let count = one.points.len();
            one.anomalies.retain(|(_, last)| *last < count);
        }
        let slow = (0..generated).filter(|index| generate::series(seed, *index).interval == 300);
        series.extend(slow.map(|index| labelled(seed, index)));
        Ok(Self::new("The smaller set", series))
    }

    fn new(title: &'static str, series: Vec<Labelled>) -> Self {
        let mut corpus = Corpus::default();
        for one in series.iter().filter(|one| one.source != NAB) {
            let times = one.points.iter().map(|point| point.at).collect();
            corpus.push(one.source, Marks::new(times, &one.anomalies, interval(&one.points)));
        }
        Self { title, series, corpus }
    }

    /// The number of values.
    pub(crate) fn values(&self) -> usize {
        self.series.iter().map(|one| one.points.len()).sum()
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = [NAB, "kpi", "ms", "gen", SIDE];
        let count = |source: &str| self.series.iter().filter(|one| one.source == source).count();
        let counts: Vec<String> = sources
            .iter()
            .map(|source| (*source, count(source)))
            .filter(|(_, count)| *count > 0)
            .map(|(source, count)| format!("{count} of {source}"))
            .collect();
        write!(f, "{}: {} with {} values in total.", self.title, counts.join(", "), self.values())
    }
}

fn source(name: &str) -> &'static str {
    ["kpi", "ms"].into_iter().find(|source| name.starts_with(source)).unwrap_or(SIDE)
}

fn labelled(seed: u64, index: u64) -> Labelled {
    let generated = generate::series(seed, index);
    let anomalies = generated.anomalies.iter().map(|one| (one.first, one.last)).collect();
    let kinds = generated.anomalies.iter().map(|one| one.kind).collect();
    Labelled { name: format!("gen/{index}"), source: "gen", points: generated.points, anomalies, kinds }
}

/// The series of a folder of `testdata`.
fn recorded(folder: &str, source: impl Fn(&str) -> &'static str) -> Result<Vec<Labelled>, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let path = folder.join("windows.json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let Ok(Labels::Named(labels)) = Labels::parse(&text) else {
        return Err(format!("{}: no labels by name", path.display()));
    };
    let series = |(name, ranges): &(String, Vec<_>)| {
        let series = read(&folder.join(format!("{name}.zst")))?;
        let times: Vec<u64> = series.points.iter().map(|point| point.at).collect();
        let anomalies = rows(&times, ranges);
        if anomalies.len() != ranges.len() {
            return Err(format!("{name}: a label is outside of the series"));
        }
        let source = source(name);
        let name = name.trim_end_matches(".csv").to_owned();
        let name = if source == NAB { format!("{NAB}/{name}") } else { name };
        Ok(Labelled { name, source, points: series.points, anomalies, kinds: Vec::new() })
    };
    labels.iter().map(series).collect()
}

fn read(path: &Path) -> Result<Series, String> {
    let name = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(|error| name(&error))?;
    let text = zstd::Decoder::new(file).map_err(|error| name(&error))?;
    let series = Series::read(BufReader::new(text)).map_err(|error| name(&error))?;
    match series.errors.first() {
        None => Ok(series),
        Some((line, error)) => Err(name(&format!("line {line}: {error}"))),
    }
}
