//! When streams were not configured. Nobody took their samples then, so it is unknown time for their objects, whose
//! states wait in the log until the stream comes back.
//!
//! The file `ABSENCES` in the data directory has a line for each such stream: its number, when it was last configured
//! and, once it is back, since when (both in microseconds since the epoch, `-` before). Only the last absence is kept,
//! which every later start marks again without effect, so that a kill before the first commit loses none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daemon_base::setting::file;

/// The absences of all streams of a log.
pub(super) struct Absences {
    path: PathBuf,
    by_stream: BTreeMap<u16, Absence>,
}

/// The last time in which a stream was not configured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Absence {
    from: u64,
    until: Option<u64>,
}

impl Absences {
    /// Reads those of the log in a directory.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is none of this program.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("ABSENCES");
        let text = match file::read_regular_text(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("read {}", path.display()))?,
        };
        let lines = text.lines().enumerate();
        let by_stream = lines.map(|(index, line)| {
            parse(line).with_context(|| {
                format!(
                    "{}:{}: expected `STREAM FROM UNTIL`, found `{line}`; delete the file, and objects of streams that \
                     were not configured age by that time",
                    path.display(),
                    index + 1
                )
            })
        });
        Ok(Self { by_stream: by_stream.collect::<anyhow::Result<_>>()?, path: path.clone() })
    }

    /// Takes over which of the `known` streams are configured from `now` on. Those that are not any more were until
    /// `last`. Whether anything differs.
    pub(super) fn update(
        &mut self,
        known: impl IntoIterator<Item = u16>,
        configured: &BTreeSet<u16>,
        last: u64,
        now: u64,
    ) -> bool {
        let before = self.by_stream.clone();
        for stream in known.into_iter().filter(|stream| !configured.contains(stream)) {
            let absence = self.by_stream.entry(stream).or_insert(Absence { from: last, until: None });
            if absence.until.is_some() {
                *absence = Absence { from: last, until: None };
            }
        }
        for (_, absence) in self.by_stream.iter_mut().filter(|(stream, _)| configured.contains(stream)) {
            absence.until.get_or_insert(now);
        }
        self.by_stream != before
    }

    /// The time, both ends included, in which a stream that is configured was not.
    pub(super) fn of(&self, stream: u16) -> Option<(u64, u64)> {
        let Absence { from, until } = self.by_stream.get(&stream)?;
        until.filter(|until| until > from).map(|until| (*from, until))
    }

    /// Replaces the file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let mut text = String::new();
        for (stream, Absence { from, until }) in &self.by_stream {
            let until = until.map_or_else(|| "-".to_owned(), |until| until.to_string());
            // A String takes every text.
            let _ = writeln!(text, "{stream} {from} {until}");
        }
        file::replace(&self.path, &text).with_context(|| format!("write {}", self.path.display()))
    }
}

fn parse(line: &str) -> Option<(u16, Absence)> {
    let mut words = line.split(' ');
    let (stream, from, until) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
    let until = if until == "-" { None } else { Some(until.parse().ok()?) };
    words.next().is_none().then_some((stream, Absence { from, until }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_lasts_until_the_stream_is_back_and_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut absences = Absences::read(directory.path()).unwrap();
        let configured = |streams: &[u16]| streams.iter().copied().collect::<BTreeSet<_>>();
        assert!(!absences.update([1, 2], &configured(&[1, 2]), 0, 10), "all are there");
        assert!(absences.update([1, 2], &configured(&[1]), 20, 21));
        assert!(!absences.update([1, 2], &configured(&[1]), 30, 31), "still absent since 20");
        absences.write().unwrap();
        let mut absences = Absences::read(directory.path()).unwrap();
        assert_eq!(absences.of(2), None, "not back");
        assert!(absences.update([1, 2], &configured(&[1, 2]), 39, 40));
        assert!(!absences.update([1, 2], &configured(&[1, 2]), 49, 50), "once");
        absences.write().unwrap();
        let mut absences = Absences::read(directory.path()).unwrap();
        assert_eq!((absences.of(1), absences.of(2)), (None, Some((20, 40))));
        assert!(absences.update([1, 2], &configured(&[1]), 60, 61), "the next absence");
        assert!(absences.update([1, 2], &configured(&[1, 2]), 69, 70));
        assert_eq!(absences.of(2), Some((60, 70)));
    }

    #[test]
    fn a_file_of_something_else_is_refused_with_its_line() {
        for line in ["x", "1", "1 2", "1 2 3 4", "1 x -", "70000 1 -"] {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("ABSENCES"), format!("1 2 3\n{line}\n")).unwrap();
            let error = Absences::read(directory.path()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("ABSENCES:2: ") && error.contains(&format!("`{line}`")), "{error}");
        }
    }
}
