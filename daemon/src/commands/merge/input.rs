//! The partial states of several files, in the order of the ends of their periods.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use anyhow::bail;
use indicatif::ProgressBar;
use proxy_uve::wire::{MAX_PARTIAL_LENGTH, PartialSeal, PartialSealError, PartialState};

use crate::commands::aggregate::{Found, Lines, MAX_NAMED, check_key, display_name, too_long};
use crate::commands::print::message;
use crate::commands::recorded;

/// The files, of each of which one partial state is read ahead.
pub(super) struct Input<'p> {
    files: Vec<File>,
    /// The end of the next period of each file. Of equal ends the first file comes first.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    bad: BadLines<'p>,
}

/// The file and the number of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    file: usize,
    line: u64,
}

/// A file, and its next partial state.
struct File {
    name: String,
    lines: Lines,
    block: Vec<u8>,
    /// The start of the rest of the block.
    at: usize,
    /// The number of the newest line.
    line: u64,
    next: Option<PartialState<'static>>,
    /// The end of the newest period.
    end: u64,
    /// The lines so far, and a buffer for one of them.
    seal: PartialSeal,
    canonical: Vec<u8>,
    /// The number of the last line, once it was read.
    last_line: Option<u64>,
    /// The lines that were left out, so that the checksum cannot agree.
    bad_lines: u64,
}

/// Counts bad lines and prints the first ones.
struct BadLines<'p> {
    strict: bool,
    count: u64,
    progress: &'p ProgressBar,
}

impl<'p> Input<'p> {
    /// Opens the files.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read.
    pub(super) fn open(files: &[PathBuf], strict: bool, progress: &'p ProgressBar) -> anyhow::Result<Self> {
        let mut input =
            Self { files: Vec::new(), next: BinaryHeap::new(), bad: BadLines { strict, count: 0, progress } };
        for path in files {
            let name = display_name(path);
            let lines = Lines::new(name.clone(), recorded::open(path, progress)?);
            input.files.push(File::new(name, lines));
        }
        for file in 0..input.files.len() {
            input.queue(file)?;
        }
        Ok(input)
    }

    /// The next partial state; `None` at the end of all files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not in order, and with `strict` at a bad line.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(Origin, PartialState<'static>)>> {
        while let Some(Reverse((_, file))) = self.next.pop() {
            let next = self.files.get_mut(file).and_then(|file| Some((file.line, file.next.take()?)));
            self.queue(file)?;
            if let Some((line, state)) = next {
                return Ok(Some((Origin { file, line }, state)));
            }
        }
        Ok(None)
    }

    /// Counts the line as bad.
    ///
    /// # Errors
    ///
    /// With `strict`.
    pub(super) fn reject(&mut self, origin: Origin, reason: &str) -> anyhow::Result<()> {
        let name = self.files.get(origin.file).map_or("", |file| &file.name);
        self.bad.add(name, origin.line, reason)
    }

    /// The number of bad lines so far.
    pub(super) fn bad_lines(&self) -> u64 {
        self.bad.count
    }

    /// Reads the next partial state of a file and adds it to the queue, unless the file has ended.
    fn queue(&mut self, index: usize) -> anyhow::Result<()> {
        let Self { files, next, bad } = self;
        let Some(file) = files.get_mut(index) else { return Ok(()) };
        while file.next.is_none() {
            if file.at >= file.block.len() && !file.read(bad)? {
                return Ok(());
            }
            file.step(bad)?;
        }
        next.push(Reverse((file.end, index)));
        Ok(())
    }
}

impl File {
    fn new(name: String, lines: Lines) -> Self {
        let (block, seal, canonical) = (Vec::new(), PartialSeal::default(), Vec::new());
        let (next, last_line, bad_lines) = (None, None, 0);
        Self { name, lines, block, at: 0, line: 0, next, end: 0, seal, canonical, last_line, bad_lines }
    }

    /// Reads the next block; returns `false` at the end of the file.
    fn read(&mut self, bad: &mut BadLines<'_>) -> anyhow::Result<bool> {
        self.at = 0;
        match self.lines.next(&mut self.block)? {
            Found::End => return self.check_end().map(|()| false),
            Found::Lines => {}
            Found::TooLong { length } => {
                self.bad_lines += 1;
                bad.add(&self.name, self.line + 1, &too_long(length))?;
            }
        }
        Ok(true)
    }

    /// Checks at the end of the file that it has its last line.
    fn check_end(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.last_line.is_some(),
            "{}:{}: the file ends without its last line `{{\"partial_end\":…}}`: it was cut, or is not complete yet; copy \
             it again, or aggregate its samples again",
            self.name,
            self.line
        );
        Ok(())
    }

    /// Decodes the next line of the block.
    fn step(&mut self, bad: &mut BadLines<'_>) -> anyhow::Result<()> {
        let rest = self.block.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or_default().trim_ascii();
        self.at += length;
        self.line += 1;
        if line.is_empty() {
            return Ok(());
        }
        if let Some(last) = self.last_line {
            bail!(
                "{}:{}: the last line of the output was line {last}; give each output of `aggregate --partial` as a \
                 file of its own",
                self.name,
                self.line
            );
        }
        if PartialSeal::is_seal(line) {
            self.last_line = Some(self.line);
            return self.check_seal(line, bad);
        }
        match decode(line) {
            Err(reason) => {
                self.bad_lines += 1;
                bad.add(&self.name, self.line, &reason)
            }
            Ok(state) if state.end() < self.end => bail!(
                "{}:{}: the period ends at {} us, that of an earlier line at {} us; give each output of `aggregate \
                 --partial` as a file of its own, in which periods are in order",
                self.name,
                self.line,
                state.end(),
                self.end
            ),
            Ok(state) => {
                let state = state.into_owned();
                self.take(state);
                Ok(())
            }
        }
    }

    /// Checks the last line.
    fn check_seal(&self, line: &[u8], bad: &BadLines<'_>) -> anyhow::Result<()> {
        let checked = match self.seal.check(line) {
            // What was wrong with these lines has been printed.
            Err(PartialSealError::Differs { .. }) if self.bad_lines > 0 => {
                let checked = self.seal.check_count(line, self.bad_lines);
                checked.inspect(|()| bad.print(&self.name, self.line, "the checksum was not compared, a line is bad"))
            }
            checked => checked,
        };
        checked.map_err(|error| anyhow::anyhow!("{}:{}: {error}", self.name, self.line))
    }

    fn take(&mut self, state: PartialState<'static>) {
        // JSON tools may have written it in another form.
        self.canonical.clear();
        state.encode(&mut self.canonical);
        self.seal.add(&self.canonical);
        self.end = state.end();
        self.next = Some(state);
    }
}

fn decode(line: &[u8]) -> Result<PartialState<'_>, String> {
    let state = PartialState::decode(line, MAX_PARTIAL_LENGTH).map_err(|error| error.to_string())?;
    check_key(state.key.as_bytes())?;
    Ok(state)
}

impl BadLines<'_> {
    fn add(&mut self, file: &str, line: u64, reason: &str) -> anyhow::Result<()> {
        if self.strict {
            bail!("{file}:{line}: {reason}");
        }
        self.count += 1;
        if self.count <= MAX_NAMED as u64 {
            self.print(file, line, reason);
        }
        Ok(())
    }

    fn print(&self, file: &str, line: u64, reason: &str) {
        self.progress.suspend(|| message(format_args!("{file}:{line}: {reason}")));
    }
}
