//! The reader of recorded files, plain or compressed, of lines or an array, with a progress bar over all of them.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::Context as _;
use daemon_sources::array::{ArrayReader, is_array};
use daemon_sources::opening::{Foreign, OPENING_BYTES, without_mark};
use indicatif::{ProgressBar, ProgressStyle};

/// The file name for standard input.
pub(crate) const STDIN: &str = "-";

/// A progress bar over the bytes of `files` on disk, without a total if one of them is standard input. It is drawn on a
/// terminal only.
///
/// # Errors
///
/// Fails if a file does not exist.
pub(crate) fn progress_bar<P: AsRef<Path>>(files: &[P]) -> anyhow::Result<ProgressBar> {
    let mut total = Some(0);
    for path in files.iter().map(AsRef::as_ref) {
        total = match path.as_os_str() == STDIN {
            true => None,
            false => {
                let metadata = std::fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
                total.map(|total| total + metadata.len())
            }
        };
    }
    let template = match total {
        Some(_) => "{bar:40} {bytes}/{total_bytes} {binary_bytes_per_sec}, {eta} left {msg}",
        None => "{spinner} {bytes} {binary_bytes_per_sec} {msg}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    Ok(total.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style))
}

/// The lines of a file or of standard input, decompressed; reads advance the bar.
///
/// # Errors
///
/// Fails if the file cannot be opened, has an invalid header, or has a format that is not one of samples.
pub(crate) fn open(path: &Path, progress: &ProgressBar) -> anyhow::Result<Box<dyn Read + Send>> {
    if path.as_os_str() == STDIN {
        return lines(progress.wrap_read(std::io::stdin())).context("standard input");
    }
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    lines(progress.wrap_read(file)).with_context(|| path.display().to_string())
}

/// The lines of a file, plain or compressed, without a byte order mark.
fn lines(file: impl Read + Send + 'static) -> anyhow::Result<Box<dyn Read + Send>> {
    let (opening, text) = peek(decompressed(file)?)?;
    if let Some(format) = Foreign::of(&opening) {
        anyhow::bail!("it looks like {}: {}", format.name(), remedy(format));
    }
    let mark = opening.len() - without_mark(&opening).len();
    let mut text = text;
    std::io::copy(&mut text.by_ref().take(mark as u64), &mut std::io::sink())?;
    Ok(if is_array(&opening) { Box::new(ArrayReader::new(text)) } else { text })
}

/// Decompresses gzip and zstd, which the first bytes identify; other content stays as it is.
fn decompressed(file: impl Read + Send + 'static) -> anyhow::Result<Box<dyn Read + Send>> {
    let (opening, whole) = peek(Box::new(file))?;
    Ok(match Foreign::of(&opening) {
        Some(Foreign::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        Some(Foreign::Zstd) => Box::new(zstd::Decoder::new(whole)?),
        _ => whole,
    })
}

/// The first bytes, and a reader of the whole content.
fn peek(mut content: Box<dyn Read + Send>) -> anyhow::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut opening = Vec::new();
    content.by_ref().take(OPENING_BYTES as u64).read_to_end(&mut opening)?;
    Ok((opening.clone(), Box::new(Cursor::new(opening).chain(content))))
}

fn remedy(format: Foreign) -> &'static str {
    match format {
        Foreign::Bzip2 => "decompress it first (`bunzip2`), or use gzip or zstd",
        Foreign::Gzip | Foreign::Zstd => "it is compressed twice; decompress it once",
        Foreign::PrettyJson => "write each sample on one line (`jq -c .`), or an array of samples",
        Foreign::Utf16 => "convert it to UTF-8 (`iconv -f UTF-16 -t UTF-8`)",
        Foreign::Xz => "decompress it first (`unxz`), or use gzip or zstd",
    }
}
