//! The reader of recorded files, plain or compressed, with a progress bar over all of them.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::Context as _;
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

/// The decompressed content of a file or of standard input; reads advance the bar.
///
/// # Errors
///
/// Fails if the file cannot be opened or has an invalid header.
pub(crate) fn open(path: &Path, progress: &ProgressBar) -> anyhow::Result<Box<dyn Read + Send>> {
    if path.as_os_str() == STDIN {
        return decompressed(progress.wrap_read(std::io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    decompressed(progress.wrap_read(file))
}

/// Decompresses gzip and zstd, which the first bytes identify; other content stays as it is.
fn decompressed(mut file: impl Read + Send + 'static) -> anyhow::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
    let is_zstd = magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let whole = Cursor::new(magic).chain(file);
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        (_, true) => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}
