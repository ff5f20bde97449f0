//! The files of a directory.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// The ends of the names of series.
const ENDS: [&str; 6] = [".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst"];

/// The series in a directory and in those below it, in the order of their paths.
///
/// # Errors
///
/// When a directory cannot be read, and when there is no series.
pub(super) fn in_directory(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        let read = || format!("read {}", directory.display());
        for entry in std::fs::read_dir(&directory).with_context(read)? {
            let entry = entry.with_context(read)?;
            // A link to a directory is not followed: it may lead back. What is no file, such as a pipe, has no end.
            let path = entry.path();
            let is_special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
            match entry.file_type().with_context(read)?.is_dir() {
                true => open.push(path),
                false if is_series(&path) && !is_special => found.push(path),
                false => {}
            }
        }
    }
    ensure!(
        !found.is_empty(),
        "{} has no series; expected files whose names end in {}",
        directory.display(),
        ENDS.join(", ")
    );
    found.sort();
    Ok(found)
}

fn is_series(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    ENDS.iter().any(|end| name.ends_with(end))
}

/// The name of the picture of a series.
pub(super) fn picture_name(name: &str) -> String {
    let end = ENDS.iter().find(|end| name.to_ascii_lowercase().ends_with(**end)).map_or(0, |end| end.len());
    format!("{}.svg", &name[..name.len() - end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_name_of_its_series() {
        for (name, picture) in [("a/b.csv", "a/b.svg"), ("b.CSV.zst", "b.svg"), ("b.txt", "b.txt.svg")] {
            assert_eq!(picture_name(name), picture);
        }
    }
}
